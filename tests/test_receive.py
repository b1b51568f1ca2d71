"""Intake with storage in memory: what does not need a server to be shown."""

import json
from datetime import UTC, datetime
from typing import Any

from handlers.receive import receive
from handlers.sync.notification import datetime_to_ticks
from tests.laws.simulation import Odds, Ready, Simulation


def post(sim: Simulation, **notification: Any) -> tuple[int, dict[str, Any]]:
    whole = {
        "Inserted": [],
        "Deleted": [],
        "Query": "Q",
        "CompanyId": "T",
        "Id": "1",
        "TimeStamp": datetime_to_ticks(datetime.fromtimestamp(sim.now, UTC)),
        **notification,
    }
    answer = sim.alone(lambda: receive(json.dumps(whole).encode(), Ready(sim.services)))  # type: ignore[arg-type]
    return answer.status, answer.body


def row(key: str) -> dict[str, Any]:
    return {"Key": key, "Owner": "ann", "Subject": "s", "NoteID": "n", "Room": None}


def test_ten_thousand_rows_are_one_message_each() -> None:
    sim = Simulation(0, Odds(0, 0, 0))
    status, body = post(sim, Inserted=[row(f"K{n}") for n in range(10_000)])
    assert (status, body) == (202, {"status": "accepted", "rows": 10_000, "changes": 10_000, "without_key": 0})
    assert len({json.loads(message["text"])["key"][0] for message in sim.queue}) == 10_000


def test_a_removal_waits_for_its_other_half_and_an_update_does_not() -> None:
    sim = Simulation(0, Odds(0, 0, 0))
    post(sim, Inserted=[row("A")], Deleted=[row("A"), row("B")])
    waits = {
        json.loads(m["text"])["key"][0]: (json.loads(m["text"])["row"] is None, m["visible"] > sim.now) for m in sim.queue
    }
    assert waits == {"A": (False, False), "B": (True, True)}


def test_a_notification_that_was_begun_but_not_finished_is_sent_again_as_a_whole() -> None:
    sim = Simulation(0, Odds(0, 0, 0))
    post(sim, Inserted=[row("A")])
    sim.notifications = dict.fromkeys(sim.notifications, "receiving")
    assert post(sim, Inserted=[row("A")])[0] == 202
    assert len(sim.queue) == 2
    assert post(sim, Inserted=[row("A")]) == (200, {"status": "duplicate"})
    assert len(sim.queue) == 2
