"""Intake with storage in memory: what does not need a server to be shown."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from handlers.clients.activity import Recorder
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


class Memory:
    """What intake needs of handlers.clients.storage.Storage, and of the services around it."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.queue = Queue()
        self.storage = self.notifications = self
        self.mappings = MAPPINGS
        self.pinned: set[str] = set()
        self.activity = Recorder()

    def services(self) -> "Memory":
        return self

    class settings:  # noqa: N801
        acumatica_tenant = "Production"
        max_notification_mib = 32
        delete_grace_seconds = 30

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
