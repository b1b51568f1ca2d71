"""Sweeps through the real host: begun by the timer, carried on by the queue, released on the page; looks at calendars."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from handlers.services import ROOT
from local.azurite import Azurite
from local.crashpoints import LONG_AGO_TICKS, SWEPT
from local.judge import look
from local.world import MAPPING, World
from tests.end_to_end.conftest import new_world

KEY = "a-key-of-the-runs-page"


@pytest.fixture(scope="module")
def world(azurite: Azurite) -> Iterator[World]:
    with new_world(azurite.new_account(), {**SWEPT, "RUNS_KEY": KEY, "SWEEP_PAGE_ROWS": "10"}) as running:
        yield running


def known(world: World, *keys: str) -> None:
    """Rows whose notifications came an hour ago: older than what a sweep believes."""
    for key in keys:
        told = world.inquiry.save(key)
        world.deliver({**told, "TimeStamp": told["TimeStamp"] - LONG_AGO_TICKS})


def page(world: World) -> dict[str, Any]:
    answer = requests.get(f"{world.host.url}/api/runs/sweeps?format=json", headers={"x-runs-key": KEY}, timeout=30)
    return dict(answer.json())


def sweep(world: World) -> dict[str, Any]:
    """Fire the timer, wait for the end of what it begins, and return that sweep as the page tells it."""

    def newest() -> dict[str, Any]:
        [standing] = page(world)["mappings"]
        return dict(standing.get("sweep", {}))

    before = newest().get("id")
    world.host.fire("sweep_start")
    assert world.wait(lambda: newest().get("id") != before and newest()["phase"] == "done", 60)
    return newest()


def test_a_sweep_finds_what_no_notification_told_of(world: World) -> None:
    known(world, "KNOWN1", "KNOWN2", "KNOWN3")
    assert world.rest()
    world.inquiry.save("OLD1", Subject="A record that was there before")
    world.inquiry.save("KNOWN1", Subject="Its notification was lost")
    world.inquiry.remove("KNOWN2")
    told = sweep(world)
    plan = told["plan"]
    assert (told["code"], plan["upserts"], plan["removals"], plan["equal"]) == (None, 2, 1, 1)
    assert world.differences() == []


def test_an_emptied_inquiry_is_braked(world: World) -> None:
    known(world, *(f"BRAKE{n}" for n in range(3)))
    assert world.differences() == []
    rows, events = dict(world.inquiry.rows), look(world.connection)
    world.inquiry.rows.clear()
    told = sweep(world)
    assert (told["plan"]["held"], told["plan"]["removals"]) == (len(rows), 0)
    [hold] = page(world)["held"]
    assert (hold["mapping"], hold["count"], hold["state"]) == (MAPPING, len(rows), "held")
    assert look(world.connection).links == events.links
    world.inquiry.rows.update(rows)
    assert sweep(world)["plan"]["held"] == 0
    assert page(world)["held"] == []
    assert world.differences() == []


@pytest.mark.parametrize("moved", ["report", "restore"])
def test_an_event_that_a_person_moves_is_reported_or_put_back(azurite: Azurite, tmp_path: Path, moved: str) -> None:
    text = (ROOT / SWEPT["MAPPINGS_DIR"] / f"{MAPPING}.toml").read_text("utf-8")
    field = '"custom.Opportunity.UsrStatus" = "{outlook_status}"\n' if moved == "report" else ""
    text = text.replace("[write_back.fields]\n", f"[write_back.fields]\n{field}") + f'\n[on]\nmoved = "{moved}"\n'
    (tmp_path / f"{MAPPING}.toml").write_text(text, "utf-8")
    with new_world(azurite.new_account(), {**SWEPT, "MAPPINGS_DIR": str(tmp_path), "RUNS_KEY": KEY}) as world:
        world.acumatica.declare("Opportunity", "Opportunity", "UsrStatus")
        day = datetime.now(UTC).date() + timedelta(days=3)
        told = world.inquiry.save("MOVED", MeetingStart=f"{day}T09:00:00", MeetingEnd=f"{day}T10:00:00")
        world.deliver({**told, "TimeStamp": told["TimeStamp"] - LONG_AGO_TICKS})
        assert world.rest()
        row = world.inquiry.rows["MOVED"]
        [event] = world.graph.events(row["OwnerEmail"])
        times = [{"dateTime": f"{day}T{hour}:00:00", "timeZone": "Eastern Standard Time"} for hour in (15, 16)]
        world.graph.user_reschedules(row["OwnerEmail"], event["id"], *times)

        def done() -> bool:
            [now] = world.graph.events(row["OwnerEmail"])
            record = world.acumatica.record("Opportunity", row["NoteID"]) or {}
            status = record["custom"]["Opportunity"].get("UsrStatus", {}).get("value")
            hour = now["start"]["dateTime"][11:13]
            return (hour, status) == (("15", "moved") if moved == "report" else ("09", None))

        assert not done()
        sweep(world)
        assert world.wait(done, 60), (world.graph.events(row["OwnerEmail"]), world.host.log[-2000:])
        assert world.rest()
        puts = len(world.graph.calls)
        sweep(world)
        assert world.rest()
        assert world.wait(lambda: len(world.graph.calls) > puts, 30)
        assert {call.method for call in world.graph.calls[puts:]} == {"GET"}
