"""Intake with storage in memory: what does not need a server to be shown."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from handlers.clients.activity import Recorder
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.held import Hold
from handlers.clients.notifications import ReceivedNotification
from handlers.receive import Answer, receive
from handlers.services import Factory, load_mappings
from handlers.sync.change import RowChange, datetime_to_ticks

NOW = datetime(2026, 12, 1, tzinfo=UTC)
MAPPINGS = load_mappings(Path(__file__).resolve().parent.parent / "ready-made")


class Queue(list[tuple[RowChange, float]]):
    """handlers.clients.queue.Queue in memory."""

    def send(self, change: RowChange, delay: float) -> None:
        self.append((change, delay))


class DeadLetters(dict[str, DeadLetter]):
    """handlers.clients.dead_letters.DeadLetters in memory."""

    def put(self, letter: DeadLetter) -> None:
        self[letter.key] = letter


class Held(dict[str, tuple[Hold, list[tuple[str, ...]]]]):
    """handlers.clients.held.Held in memory."""

    def hold(self, hold: Hold, keys: list[tuple[str, ...]]) -> bool:
        new = hold.id not in self
        self.setdefault(hold.id, (hold, keys))
        return new


class Memory:
    """What intake needs of handlers.clients.storage.Storage, and of the services around it."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.queue = Queue()
        self.dead_letters = DeadLetters()
        self.held = Held()
        self.storage = self.notifications = self
        self.mappings = MAPPINGS
        self.pinned: set[str] = set()
        self.activity = Recorder()

    def intake(self) -> "Memory":
        return self

    company = "production"

    class settings:  # noqa: N801
        acumatica_tenant = "Production"
        max_notification_mib = 32
        max_notification_rows = 20_000
        delete_grace_seconds = 30
        removals_max = 3

    def clock(self) -> float:
        return NOW.timestamp()

    def check_pins(self, names: list[str], *, pin: bool) -> None:
        assert pin
        self.pinned.update(names)

    def begin(self, received: ReceivedNotification) -> str:
        return self.states.setdefault(received.key, "receiving")

    def mark_queued(self, key: str) -> None:
        self.states[key] = "queued"

    def in_parallel(self, calls: list[Callable[[], None]]) -> None:
        for call in calls:
            call()


@pytest.fixture
def memory() -> Memory:
    return Memory()


def post(memory: Memory, **notification: Any) -> Answer:
    whole = {
        "Inserted": [],
        "Deleted": [],
        "Query": "Calendar - Opportunity Meetings",
        "CompanyId": "Production",
        "Id": "1",
        "TimeStamp": datetime_to_ticks(NOW),
        **notification,
    }
    return receive(json.dumps(whole).encode(), cast("Factory", memory))


def row(key: str) -> dict[str, Any]:
    return {"OpportunityID": key, "Subject": "s"}


def test_ten_thousand_rows_are_one_message_each(memory: Memory) -> None:
    answer = post(memory, Inserted=[row(f"K{n}") for n in range(10_000)])
    assert (answer.status, answer.body["changes"]) == (202, 10_000)
    assert len({change.key for change, _ in memory.queue}) == 10_000


def test_a_removal_waits_for_its_other_half_and_an_update_does_not(memory: Memory) -> None:
    post(memory, Inserted=[row("A")], Deleted=[row("A"), row("B")])
    assert [(c.key, c.row is None, delay) for c, delay in memory.queue] == [(("A",), False, 0.0), (("B",), True, 30)]


def test_more_removals_than_the_brake_allows_are_held_and_all_else_goes_on(memory: Memory) -> None:
    gone = [row(f"K{n}") for n in range(4)]
    answer = post(memory, Inserted=[row("A"), row("K0")], Deleted=[*gone, row("L")])
    assert answer.body == {"status": "accepted", "rows": 7, "changes": 2, "without_key": 0, "held": 4}
    assert [change.key for change, _ in memory.queue] == [("A",), ("K0",)]
    [(hold, keys)] = memory.held.values()
    assert keys == [("K1",), ("K2",), ("K3",), ("L",)]
    assert (hold.mapping, hold.timestamp, hold.source) == ("opportunity-meetings", datetime_to_ticks(NOW), "notification")


def test_as_many_removals_as_the_brake_allows_are_no_reason_to_hold_any(memory: Memory) -> None:
    answer = post(memory, Inserted=[row("A")], Deleted=[row("B"), row("C"), row("D")])
    assert answer.body == {"status": "accepted", "rows": 4, "changes": 4, "without_key": 0}
    assert len(memory.queue) == 4
    assert not memory.held


def test_removals_are_held_before_the_notification_counts_as_taken_in_and_once(memory: Memory) -> None:
    """Its worker may die at any moment: the repetition does all of it again."""
    states = []
    memory.mark_queued = lambda key: states.append((key, len(memory.held)))  # type: ignore[method-assign]
    for _ in range(2):
        assert post(memory, Deleted=[row(f"K{n}") for n in range(4)]).status == 202
    assert [count for _, count in states] == [1, 1]


def test_a_notification_that_was_begun_but_not_finished_is_sent_again_as_a_whole(memory: Memory) -> None:
    post(memory, Inserted=[row("A")])
    memory.states = dict.fromkeys(memory.states, "receiving")
    assert post(memory, Inserted=[row("A")]).status == 202
    assert len(memory.queue) == 2
    assert post(memory, Inserted=[row("A")]) == Answer(200, {"status": "duplicate"})
    assert len(memory.queue) == 2


def test_the_halves_of_a_split_update_are_two_notifications_although_they_share_their_id(memory: Memory) -> None:
    assert post(memory, Inserted=[row("A")]).status == 202
    assert post(memory, Deleted=[row("A")]).status == 202


def body_of(inserted: bytes) -> bytes:
    """A whole notification with the JSON text of its rows."""
    whole = {
        "Inserted": "@@",
        "Deleted": [],
        "Query": "Calendar - Opportunity Meetings",
        "CompanyId": "Production",
        "Id": "1",
    }
    return json.dumps(whole | {"TimeStamp": datetime_to_ticks(NOW)}).encode().replace(b'"@@"', inserted)


SMALL = {
    "{}": b"{},",
    "one column": b'{"a":1},',
    "text": b'{"a":"b"},',
    "braces": b'{"a":{}},',
    "arrays": b'{"a":[[],[]]},',
    "no rows at all": b"[],",
}


@pytest.mark.parametrize("name", SMALL)
def test_many_small_rows_take_no_more_than_ten_times_their_body(name: str, memory: Memory) -> None:
    """2 MiB of them took 1.5 GiB. They are refused by their number, with the setting that limits it."""
    row = SMALL[name]
    body = body_of(b"[" + row * (2 * 2**20 // len(row)) + b"{}]")
    answer, most = measured(body, memory)
    assert answer.status == 413
    assert "MAX_NOTIFICATION_ROWS is 20000" in answer.body["problems"][0]
    assert most < 10 * len(body)


def test_as_many_rows_as_are_taken_need_no_more_than_ten_times_their_body(memory: Memory) -> None:
    """The most rows, of a usual size."""
    rows = [
        {
            "OpportunityID": f"OP{number:06}",
            "OwnerEmail": f"person{number}@example.com",
            "Subject": f"Site visit number {number}",
            "MeetingStart": "2026-12-01T09:00:00",
            "MeetingEnd": "2026-12-01T10:00:00",
            "Room": f"Building {number}",
            "NoteID": f"6b0f6a52-5d0e-4f1e-9c2a-{number:012}",
        }
        for number in range(20_000)
    ]
    body = body_of(json.dumps(rows).encode())
    del rows
    answer, most = measured(body, memory)
    assert (answer.status, answer.body["changes"]) == (202, 20_000)
    assert most < 10 * len(body)


def measured(body: bytes, memory: Memory) -> tuple[Answer, int]:
    """The answer, and the memory that was needed beside the body."""
    tracemalloc.start()
    try:
        answer = receive(body, cast("Factory", memory))
        return answer, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_limit_of_rows_can_be_set(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.settings, "max_notification_rows", 3)
    assert post(memory, Inserted=[row("A"), row("B")], Deleted=[row("C")]).status == 202
    refused = post(memory, Inserted=[row("A"), row("B")], Deleted=[row("C"), row("D")])
    assert refused == Answer(
        413, {"status": "rejected", "problems": ["The notification has 4 rows; MAX_NOTIFICATION_ROWS is 3."]}
    )


def test_the_same_row_without_a_key_is_one_dead_letter(memory: Memory) -> None:
    """However often it came; the answer counts them all."""
    answer = post(memory, Inserted=[{}] * 500 + [{"Subject": "s"}])
    assert (answer.body["rows"], answer.body["changes"], answer.body["without_key"]) == (501, 0, 501)
    assert [json.loads(letter.content or "")["row"] for letter in memory.dead_letters.values()] == [{}, {"Subject": "s"}]
