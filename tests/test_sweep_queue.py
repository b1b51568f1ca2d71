"""Queue sweeps: what each message is for, and what becomes of those that the host gives up on."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers import sweep_queue
from handlers.clients.condition import look
from handlers.clients.held import Hold, hold_id
from handlers.clients.sweeps import SWEEP_QUEUE, Look, NotAnOrder, Order, Sweeps
from handlers.operations import sweeps
from handlers.sweep_queue import bury_poison, sweep
from handlers.sweep_start import on_schedule, start
from handlers.sync.change import RowChange
from handlers.sync.errors import Code
from local.fakes import Fault
from local.sample import changed
from tests.bench import Bench

MAPPING = "opportunity-meetings"
LOOK = {"v": 1, "mapping": "", "sweep": "", "hold": "", "look": {"mailbox": "ann@example.com", "keys": []}, "tries": 2}


@pytest.fixture
def looking(bench: Bench, tmp_path: Path) -> Bench:
    """The app with a mapping that wants to know what people do in Outlook."""
    text = f'{changed()}\n[on]\nmoved = "report"\n[sweep]\nmode = "off"\n'
    (tmp_path / f"{MAPPING}.toml").write_text(text, "utf-8")
    bench.reconfigure(MAPPINGS_DIR=str(tmp_path))
    return bench


def meeting(bench: Bench) -> RowChange:
    """A row with an event to come."""
    day = datetime.fromtimestamp(bench.now, UTC).date() + timedelta(days=3)
    return bench.change(1, MeetingStart=f"{day}T09:00:00", MeetingEnd=f"{day}T10:00:00")


def text(**members: object) -> str:
    return json.dumps({"v": 1, "mapping": "", "sweep": "", "hold": ""} | members)


def orders(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Order, float]]:
    """What is sent to the queue from now on."""
    sent: list[tuple[Order, float]] = []
    monkeypatch.setattr(bench.factory.storage().sweeps, "send", lambda order, delay=0.0: sent.append((order, delay)))
    return sent


def test_a_look_comes_out_of_the_queue_as_it_went_in(bench: Bench) -> None:
    assert Sweeps.read(json.dumps(LOOK)) == Order(look=Look("ann@example.com", ()), tries=2)
    order = Order(look=Look("ann@example.com", ("a" * 64,)))
    bench.factory.storage().sweeps.send(order)
    policy = TextBase64DecodePolicy()
    with QueueClient.from_connection_string(bench.connection, SWEEP_QUEUE, message_decode_policy=policy) as queue:
        message = queue.receive_message()
    assert message
    assert Sweeps.read(message.content) == order


@pytest.mark.parametrize("look", [None, {}, {"mailbox": "ann@example.com"}, {"mailbox": "a", "keys": 3}, "ann"])
def test_what_is_no_look_is_no_order(look: object) -> None:
    with pytest.raises(NotAnOrder):
        Sweeps.read(json.dumps(LOOK | {"look": look}))


def test_the_schedule_sends_a_look_for_each_mailbox_and_the_queue_takes_it(
    looking: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking.apply(meeting(looking))
    sent = orders(looking, monkeypatch)
    on_schedule(looking.factory)
    [(order, delay)] = sent
    assert order.look
    assert (order.look.mailbox, len(order.look.keys), delay) == ("ann@example.com", 1, 0.0)
    before = len(looking.graph.calls)
    sweep(text(look=order.look.encode()), looking.factory)
    assert [call.segments[-1] for call in looking.graph.calls[before:]] == ["calendarView"]
    assert sent == [(order, 0.0)]


def test_a_look_that_has_to_wait_comes_again_and_some_day_no_more(looking: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    looking.apply(meeting(looking))
    looking.graph.faults.add(Fault(path=r"calendarView", status=503, headers={"Retry-After": "40"}, times=100))
    sent = orders(looking, monkeypatch)
    on_schedule(looking.factory)
    [(order, _)] = sent
    assert order.look
    for tries, delay in ((0, 40.0), (4, 80.0), (50, 300.0)):
        sweep(text(look=order.look.encode(), tries=tries), looking.factory)
        assert sent[-1][0] == replace(order, tries=tries + 1)
        assert sent[-1][1] == pytest.approx(delay, abs=1)
    sweep(text(look=order.look.encode(), tries=sweep_queue._LOOKS), looking.factory)
    assert len(sent) == 4
    (letter,) = looking.factory.storage().dead_letters.list(9)
    assert (letter.code, "six hours" in letter.reason) == (Code.APP_FAILED, True)


def test_where_no_mapping_wants_to_know_nothing_is_sent(
    looking: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking.apply(meeting(looking))
    (tmp_path / f"{MAPPING}.toml").write_text(changed(), "utf-8")
    looking.reconfigure(MAPPINGS_DIR=str(tmp_path))
    sent = orders(looking, monkeypatch)
    on_schedule(looking.factory)
    assert [(order.mapping, order.look) for order, _ in sent] == [(MAPPING, None)]


def test_while_storage_is_away_a_message_waits_in_its_queue(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is an order, or what the host gave up on: that would end where no function looks."""

    def away(*_: object) -> None:
        raise ServiceRequestError("nothing answers")

    storage, put_back = bench.factory.storage(), list[tuple[str, float]]()
    monkeypatch.setattr(storage.sweeps, "put_back", lambda *message: put_back.append(message))
    monkeypatch.setattr(storage.dead_letters, "put", away)
    monkeypatch.setattr(storage.sweeps, "get", away)
    sweep("{", bench.factory)
    sweep(text(mapping=MAPPING, sweep="s"), bench.factory)
    bury_poison("not this either", bench.factory)
    bury_poison(text(mapping=MAPPING, sweep="s"), bench.factory)
    messages = ["{", text(mapping=MAPPING, sweep="s"), "not this either", text(mapping=MAPPING, sweep="s")]
    assert put_back == [(message, 30.0) for message in messages]


def test_a_message_that_is_none_of_the_queues_is_a_dead_letter(bench: Bench) -> None:
    sweep("{", bench.factory)
    bury_poison("not this either", bench.factory)
    letters = bench.factory.storage().dead_letters.list(10)
    assert [letter.code for letter in letters] == [Code.MESSAGE_UNREADABLE] * 2


# -- what the host gave up on ------------------------------------------------------------------------------------------


def test_a_sweep_that_the_app_fails_on_ends_and_can_be_begun_anew(bench: Bench) -> None:
    storage = bench.factory.storage()
    found, _ = start(MAPPING, "full", "a test", bench.factory.intake(), queue=False)
    bury_poison(text(mapping=MAPPING, sweep="an older one"), bench.factory)
    assert storage.sweeps.get(MAPPING) == found
    bury_poison(text(mapping=MAPPING, sweep=found.id), bench.factory)
    ended = storage.sweeps.get(MAPPING)
    assert ended
    assert (ended.phase, ended.code, ended.plan.incomplete) == ("done", Code.APP_FAILED, Code.APP_FAILED)
    assert look(storage, bench.now).facts(bench.now)["sweeps_off"] == {MAPPING: Code.APP_FAILED}
    assert sweeps.begin(MAPPING, bench.factory.intake(), "ann", apply=True, queue=False).id != found.id


def test_a_hold_whose_release_the_app_fails_on_is_held_again(bench: Bench) -> None:
    storage = bench.factory.storage()
    new = Hold(hold_id("sweep", "", MAPPING), source="sweep", origin="s", company="p", mapping=MAPPING, timestamp=1)
    storage.held.hold(replace(new, at=datetime.now(UTC)), [("A",)])
    sweeps.release(new.id, bench.factory.intake(), "ann")
    bury_poison(text(hold=new.id), bench.factory)
    [hold] = sweeps.holds(storage)
    assert (hold.state, "failed" in hold.why) == ("held", True)
    assert sweeps.release(new.id, bench.factory.intake(), "ann").state == "releasing"


def test_looks_that_the_app_fails_on_are_one_dead_letter_for_each_mailbox(bench: Bench) -> None:
    for keys in (["a" * 64], ["b" * 64]):
        bury_poison(text(look={"mailbox": "ann@example.com", "keys": keys}), bench.factory)
    [letter] = bench.factory.storage().dead_letters.list(10)
    assert (letter.code, "sweep --calendars ann@example.com" in letter.remedy) == (Code.APP_FAILED, True)
