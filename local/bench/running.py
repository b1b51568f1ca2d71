"""One case of the bench: a world with several hosts on one storage, from the first notification until no message is left."""

import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, override

import requests
from azure.storage.queue import QueueClient

from handlers.clients.queue import QUEUE
from handlers.telemetry import DEFERRED
from local.azurite import Azurite
from local.bench.limits import SESSIONS, at_a_time, in_the_calendar
from local.bench.options import Options
from local.bench.result import QUICK, Latency, Result
from local.host import HostProcess, start
from local.host.process import HostError
from local.inquiry import Notification
from local.measure import Cost, Operations, machine_cpu, spent
from local.world import World

MAILBOXES = 20
OFFERED = 100.0  # rows that Acumatica sends per second, above what is to be reached
_SENDERS = 8
SETTINGS = {
    "ACUMATICA_MAX_SESSIONS": str(SESSIONS),
    "ACUMATICA_LINGER_SECONDS": "2",  # 20 in production: how long an idle session is kept
    # 900 in production: until a record is written once more that a host was killed over; no calendar waits for it.
    "ACUMATICA_LATE_SECONDS": "4",
    "PYTHON_THREADPOOL_THREAD_COUNT": "16",
}
# Where hosts and workers die, or faults are many: what takes minutes in production takes seconds, and little enough for the
# poison queue.
HURRIED = {
    "ACUMATICA_LEASE_SECONDS": "3",
    "ACUMATICA_SESSION_TIMEOUT_SECONDS": "5",
    "CLAIM_SECONDS": "8",
    "DELETE_GRACE_SECONDS": "1",
    "REQUEST_TIMEOUT_SECONDS": "2",
}


class Bench(World):
    """A world with several hosts on one storage; each case is measured from its first notification to quiescence.

    `lease`: seconds until a message that a host has fetched is seen by others; 600 in Azure. Where it is shorter, claims and
    sessions are as well.
    """

    def __init__(self, azurite: Azurite, hosts: int, options: Options, *, lease: int = 600) -> None:
        hurried = lease < 600
        super().__init__(
            azurite.connection_string(),
            SETTINGS | (HURRIED if hurried else {}) | options.settings,
            graph={"seed": options.seed},
            acumatica={
                "session_limit": SESSIONS,
                # As Acumatica's own; hurried, where workers are killed, what they leave ends soon.
                "session_timeout": 5.0 if hurried else 600.0,
                "seed": options.seed,
            },
            fetch_visibility=lease,
        )
        self.latency = QUICK
        self.hosts: list[HostProcess] = []
        self.random = random.Random(options.seed)
        self._azurite = azurite
        self.workers = self._wanted = hosts
        self._until = options.until
        # The SDK would wait 15 s after a kept connection has been closed meanwhile.
        self._queue = QueueClient.from_connection_string(self.connection, QUEUE, initial_backoff=0.1, increment_base=1)
        self._seen = 0
        self._gone: list[tuple[Cost, str]] = []  # hosts that were killed: what they had spent, and their log

    @property
    def latency(self) -> Latency:
        """What the fakes take for each request."""
        return Latency(self.graph.latency, self.acumatica.latency)

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self.graph.latency, self.acumatica.latency = latency

    @override
    def start_host(self) -> None:
        self.hosts = [start(env=self.settings, fetch_visibility=self._fetch_visibility) for _ in range(self._wanted)]
        self.host = self.hosts[0]
        for host in self.hosts:  # the first request builds the clients and makes tables and queue
            health = requests.get(f"{host.url}/api/health", timeout=60).json()
            if health["status"] != "ready":
                raise HostError(f"The app is not ready: {health}\n{host.log[-2000:]}")

    def kill_host(self) -> None:
        """Kill the only host, and start another."""
        self._gone.append((spent(self.host.pid), self.host.log))
        self.restart_host(kill=True)

    @override
    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._queue.close()
        for host in self.hosts:
            host.__exit__(kind, value, trace)
        super().__exit__(kind, value, trace)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def transactions(self, numbers: range, each: int, change: Callable[[int], Notification]) -> list[Notification]:
        """One notification for each so many rows; `change` is what happens to a row."""
        made = []
        for some in itertools.batched(numbers, each, strict=False):
            parts = [change(number) for number in some]
            inserted, deleted = ([row for part in parts for row in part[side]] for side in ("Inserted", "Deleted"))
            made.append(self.inquiry.notification(inserted, deleted))
        return made

    def new(self, number: int, mailboxes: int = MAILBOXES) -> Notification:
        """A new row, in each mailbox in turn."""
        return self.inquiry.save(f"B{number:05}", OwnerEmail=_mailbox(number % mailboxes))

    def changed(self, number: int) -> Notification:
        """Another subject."""
        return self.inquiry.save(f"B{number:05}", Subject=f"subject {self.random.randrange(10**6)}")

    def hot(self, number: int) -> Notification:
        """A new row; every second one in the same mailbox."""
        other = number // 2 % (MAILBOXES - 1) + 1
        return self.inquiry.save(f"B{number:05}", OwnerEmail=_mailbox(other if number % 2 else 0))

    def echo(self, number: int) -> Notification:
        """What our own write-back causes: the same row on both sides."""
        row = self.inquiry.rows[f"B{number:05}"]
        return self.inquiry.notification([row], [row])

    # -- measuring -----------------------------------------------------------------------------------------------------

    def measure(
        self,
        case: str,
        notifications: list[Notification],
        *,
        rate: float | None = None,
        midway: Callable[[], None] | None = None,
        late: bool = False,
    ) -> Result:
        """Send the notifications, so many rows per second, wait until all is done, and look at what it took.

        `midway` is done when half of them are sent; `late`: sessions may rest for minutes, and are not waited for.
        """
        owners = Counter(row["OwnerEmail"] for n in notifications for row in n["Inserted"] or n["Deleted"])
        rows = owners.total()
        result = Result(case, len(self.hosts), rows, len(notifications), self.latency)
        result.share = max(owners.values()) / rows
        before = self._look()
        began = time.monotonic()
        over = threading.Event()
        with ThreadPoolExecutor(_SENDERS + 2, "bench") as threads:
            telling = threads.submit(self._tell, result, before, over)
            try:
                pause = rows / len(notifications) / (rate or OFFERED)
                doing = [threads.submit(_at, began + len(notifications) * pause / 2, midway)] if midway else []
                senders = [
                    threads.submit(self._send, n, began + i * pause, next(turn))
                    for turn in [itertools.cycle(range(len(self.hosts)))]
                    for i, n in enumerate(notifications)
                ]
                answers = [sender.result() for sender in senders]
                for deed in doing:
                    deed.result()
                quiet = self.wait(self._quiet, self._until - time.monotonic())
                result.seconds = time.monotonic() - began
            finally:
                over.set()
            telling.result()
        spent_until_quiet = self._look()
        if quiet:
            result.differences = self._judged(resting=late)
        result.answers_ms = [(answered - sent) * 1000 for sent, answered in answers]
        result.sessions_open = len(self.acumatica.sessions)
        self._account(result, before, spent_until_quiet, self._look())
        self._to_the_calendar(result, notifications, [answered for _, answered in answers], before["calls"])
        if not quiet:  # what was reached counts, and is told of as much as was done
            result.rows = min(rows, result.operations.get(f"queue {QUEUE} delete", 0))
            result.unfinished = f"cut short after {result.rows:,} of {rows:,} rows, and not judged"
        return result

    def _send(self, notification: Notification, moment: float, host: int) -> tuple[float, float]:
        """Send at a moment, until it is taken in; when that began, and when it was answered with 2xx."""
        time.sleep(max(0.0, moment - time.monotonic()))
        target = self.hosts[host]
        headers = {"x-functions-key": target.key, "Content-Type": "application/json"}
        url, body = f"{target.url}/api/notifications", json.dumps(notification).encode()
        began = time.monotonic()
        try:
            taken = _session().post(url, data=body, headers=headers, timeout=120).ok
        except requests.RequestException:  # the host was killed
            taken = False
        if not taken:
            self.deliver(notification)
        return began, time.monotonic()

    def _quiet(self) -> bool:
        """Whether no message is left. The queue is asked only when calls have ceased: for Azurite, a deep one is work."""
        time.sleep(0.2)
        seen, self._seen = self._seen, len(self.graph.calls) + len(self.acumatica.calls) + len(self.receivers.calls)
        return seen == self._seen and not self._queue.get_queue_properties().approximate_message_count

    def _judged(self, *, resting: bool) -> list[str]:
        """A session that was handed over, and then not needed any more, waits for the upkeep, which comes each minute."""
        if not resting and not self.rest(10.0):
            self.host.fire("upkeep_sessions")
        return self.differences(timeout=70.0, budget=SESSIONS, resting=resting)

    def _to_the_calendar(self, result: Result, notifications: list[Notification], answers: list[float], before: int) -> None:
        """When each row was in the calendar, from when its notification was answered; rows are known by their subject.

        Where one is told of twice, none of it is looked at: which of them has led to the event cannot be said.
        """
        told = [(str(row["Subject"]), when) for n, when in zip(notifications, answers, strict=True) for row in n["Inserted"]]
        if len(dict(told)) < len(told):
            return
        made: dict[str, float] = {}
        for call in self.graph.calls[before:]:
            if call.carried_out and isinstance(call.body, dict) and "subject" in call.body:
                made.setdefault(str(call.body["subject"]), call.carried_out)
        seen = sorted((when, made[subject]) for subject, when in told if subject in made)
        arrivals = [when for when, _ in seen]
        result.calendar = [max(done - when, 0.0) for when, done in seen]
        most, _ = at_a_time(self.settings)
        best = in_the_calendar(arrivals, result.latency, result.hosts * most)
        result.floor = [done - when for when, done in zip(arrivals, best, strict=True)]

    def _look(self) -> dict[str, Any]:
        calls = self.graph.calls
        logs = [*(log for _, log in self._gone), *(host.log for host in self.hosts)]
        return {
            "calls": len(calls),
            "graph": sum("/v1.0/" in call.path for call in calls),
            "acumatica": len(self.acumatica.calls),
            "sign_ins": self.acumatica.sign_ins,
            "faults": len(self.graph.faults.drawn) + len(self.acumatica.faults.drawn),
            "operations": Operations.read(self._azurite.log()),
            "hosts": [*(cost for cost, _ in self._gone), *(spent(host.pid) for host in self.hosts)],
            "azurite": spent(self._azurite.pid or 0),
            "bench": spent(os.getpid()),
            "machine": machine_cpu(),
            "deferred": sum(log.count(f"telemetry: {DEFERRED} {{") for log in logs),
        }

    @staticmethod
    def _account(result: Result, before: dict[str, Any], quiet: dict[str, Any], after: dict[str, Any]) -> None:
        def cpu(costs: list[Cost], earlier: list[Cost]) -> float:
            return sum(cost.cpu for cost in costs) - sum(cost.cpu for cost in earlier)

        result.graph_calls = after["graph"] - before["graph"]
        result.acumatica_calls = after["acumatica"] - before["acumatica"]
        result.sign_ins = after["sign_ins"] - before["sign_ins"]
        result.faults = after["faults"] - before["faults"]
        result.deferred = after["deferred"] - before["deferred"]
        result.operations = dict(quiet["operations"].counts - before["operations"].counts)
        result.host_mib = max(cost.mib for cost in after["hosts"])
        result.host_cpu = cpu(quiet["hosts"], before["hosts"])
        result.azurite_cpu = cpu([quiet["azurite"]], [before["azurite"]])
        result.bench_cpu = cpu([quiet["bench"]], [before["bench"]])
        ours = result.host_cpu + result.azurite_cpu + result.bench_cpu
        result.other_cpu = quiet["machine"] - before["machine"] - ours

    def _tell(self, result: Result, before: dict[str, Any], over: threading.Event) -> None:
        began, pause = time.monotonic(), 1.0 if sys.stderr.isatty() else 10.0
        while not over.wait(pause):
            done = len(self.acumatica.calls) - before["acumatica"] or len(self.graph.calls) - before["calls"]
            tell(f"{result.case}: {time.monotonic() - began:.0f} s, {done} calls for {result.rows} rows")


def _mailbox(number: int) -> str:
    return f"user{number:02}@example.com"


def _at(moment: float, deed: Callable[[], None]) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
    deed()


_local = threading.local()


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    session: requests.Session = _local.session
    return session


def tell(what: str) -> None:
    """The progress line."""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{what:<79}", end=end, file=sys.stderr, flush=True)
