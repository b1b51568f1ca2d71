"""What happens to the app so that an alert fires, or none: one function each, on a bench."""

import json
import time
from dataclasses import replace
from typing import Any

from azure.storage.queue import QueueClient

from handlers import calendar_sweep
from handlers.apply import bury_poison
from handlers.clients.queue import POISON_QUEUE
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, Look
from handlers.health import Health
from handlers.receive import receive
from handlers.services import Factory
from handlers.sweep import step
from handlers.sweep_start import start
from handlers.sync.slots import Open
from local.fakes import Fault
from tests.bench import QUERY, Bench
from tests.deploy.monitor import rules

ALERTS = rules()
DENIED = {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}}


def notify(bench: Bench, number: int, **members: Any) -> int:
    """Post a notification of the bench's row; returns the status."""
    change = bench.change(number)
    whole = {
        "Inserted": [change.row],
        "Deleted": [],
        "Query": QUERY,
        "CompanyId": "Production",
        "Id": f"id-{number}",
        "TimeStamp": change.timestamp,
        **members,
    }
    return receive(json.dumps(whole).encode(), bench.factory).status


def healthy(bench: Bench) -> None:
    """A notification, its repetition, its row, the echo, and a minute's look at health."""
    assert (notify(bench, 1), notify(bench, 1)) == (202, 200)
    bench.apply(replace(bench.change(1), notification="id-1"))
    bench.apply(replace(bench.change(2), notification="id-2"))  # nothing of the event has changed
    drain(bench)
    tell(bench)


def drain(bench: Bench) -> None:
    """Empty the queue, which nobody reads here."""
    bench.factory.storage().queue._connect().clear_messages()


def dead(bench: Bench) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))


def dead_at_intake(bench: Bench) -> None:
    row = {name: value for name, value in (bench.change(1).row or {}).items() if name != "OpportunityID"}
    assert notify(bench, 1, Inserted=[row]) == 202


def poisoned(bench: Bench) -> None:
    bury_poison(json.dumps(bench.change(1).encode()), bench.factory)


def unreadable(bench: Bench) -> None:
    bury_poison("no change", bench.factory)


def rejected(bench: Bench) -> None:
    assert receive(b"no JSON", bench.factory).status == 400


def not_ready(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    factory = Factory({"AzureWebJobsStorage": bench.connection})
    assert receive(b"{}", factory).status == 503
    bench.factory.activity().flush()
    tell(bench, factory)
    factory.close()


def tell(bench: Bench, factory: Factory | None = None) -> None:
    """A minute's look at health, by the timer of another instance."""
    bench.factory.activity().flush()
    Health(factory or bench.factory).tell(time.monotonic())


def wrong_password(bench: Bench) -> None:
    bench.acumatica.password = "another"
    for number in range(3):
        bench.apply(bench.change(number))
        bench.now += 3600  # past the pause, in which nobody tries


def no_access(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", status=403, body=DENIED, times=3))
    for number in range(3):
        bench.apply(bench.change(number))


def no_token(bench: Bench) -> None:
    bench.graph.identity.user_assigned = {"assigned"}
    environ = {**bench.factory._environ, "GRAPH_CLIENT_ID": "unassigned"}
    bench.factory = Factory(environ, lambda: bench.now)
    for number in range(3):
        bench.apply(bench.change(number))


def put_off_for_hours(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", status=503, times=1))
    bench.apply(replace(bench.change(1), first_sent=bench.now - 5 * 3600, tries=10))


def waiting_for_hours(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    bench.now += 5 * 3600
    tell(bench)


def no_session(bench: Bench) -> None:
    """Another instance has the only session, as far as its lease says."""
    slot = Open(bench.now + 10**6, bench.now, {"cookies": {}})
    bench.factory.storage().slots.save("0", slot, None)
    began, started = bench.now, time.monotonic()
    sessions = bench.factory.services().sessions
    sessions._clock = lambda: began + 40 * (time.monotonic() - started)  # 5 s of waiting pass quickly
    bench.apply(replace(bench.change(1), key=("a row that is new",)))


def silent(_: Bench) -> None:
    pass


def given_up_by_the_host(bench: Bench) -> None:
    """The app is too broken to make a dead letter of it: the message stays in the poison queue."""
    with QueueClient.from_connection_string(bench.connection, POISON_QUEUE) as queue:
        queue.create_queue()
        queue.send_message("x")


def sweep_given_up_by_the_host(bench: Bench) -> None:
    with QueueClient.from_connection_string(bench.connection, SWEEP_POISON_QUEUE) as queue:
        queue.create_queue()
        queue.send_message("x")


def swept(bench: Bench) -> None:
    """A sweep, and a look at a calendar."""
    services = bench.factory.services()
    step(start("opportunity-meetings", "report", "a test", services, queue=False)[0], services)
    assert calendar_sweep.run(Look("ann@example.com", ()), services) is None


def no_notification(bench: Bench) -> None:
    assert notify(bench, 1) == 202
    drain(bench)
    bench.factory.activity().flush()
    bench.now += 49 * 3600


def emptied(bench: Bench) -> None:
    """A notification takes all rows out of the inquiry; the brake holds them."""
    assert notify(bench, 1, Inserted=[], Deleted=[{"OpportunityID": f"OP{n}"} for n in range(51)]) == 202


def lies(bench: Bench) -> None:
    """Names of inquiries that look like the app's, or the host's, own words."""
    for text in ("Message has reached MaxDequeueCount of 5", 'health {"dead_letters": 5}\nhealth {"dead_letters": 6}'):
        assert notify(bench, 1, Query=text) == 400


def paused(bench: Bench) -> None:
    bench.reconfigure(SYNC_PAUSED="true")
