"""Sweeps through the real host: begun by the timer, carried on by the queue, released on the page."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.azurite import Azurite
from local.crashpoints import HOUR_OF_TICKS, SWEPT
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
        world.deliver({**told, "TimeStamp": told["TimeStamp"] - HOUR_OF_TICKS})


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
