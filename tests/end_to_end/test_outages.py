"""Half a minute without a service: nothing is lost, and what can go on goes on."""

import time
from pathlib import Path

import pytest

from local.azurite import Azurite
from local.judge import look
from tests.end_to_end.conftest import new_world

OUTAGE_SECONDS = 30.0
pytestmark = pytest.mark.slow


def test_an_outage_of_acumatica_holds_back_ids_but_no_calendar(azurite: Azurite) -> None:
    with new_world(azurite.new_account()) as world:
        began = time.monotonic()
        world.acumatica.down = True
        for n in range(6):
            world.post(world.inquiry.save(f"AC{n}", OwnerEmail=f"user{n % 3}@example.com"))
        assert world.wait(lambda: sum(len(world.graph.events(m)) for m in world.graph.mailboxes()) == 6, 15)
        assert time.monotonic() - began < OUTAGE_SECONDS
        world.post(world.inquiry.save("AC0", Subject="changed during the outage"))
        world.wait(lambda: time.monotonic() - began >= OUTAGE_SECONDS, OUTAGE_SECONDS + 1)
        assert [world.graph.events("user0@example.com")[n]["subject"] for n in range(2)].count(
            "changed during the outage"
        ) == 1
        assert len(world.acumatica.calls) == 0
        world.acumatica.down = False
        assert world.differences(timeout=90) == []


def test_an_outage_of_graph_loses_nothing(azurite: Azurite) -> None:
    with new_world(azurite.new_account()) as world:
        world.post(world.inquiry.save("GR0"))
        world.rest()
        began = time.monotonic()
        world.graph.down = True
        for n in range(6):
            assert world.post(world.inquiry.save(f"GR{n}", Subject="made or changed during the outage")).status_code == 202
        world.post(world.inquiry.remove("GR1"))
        world.wait(lambda: time.monotonic() - began >= OUTAGE_SECONDS, OUTAGE_SECONDS + 1)
        world.graph.down = False
        assert world.differences(timeout=90) == []


@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_without_storage_intake_says_503_and_what_was_accepted_is_done_later(tmp_path: Path, how: str) -> None:
    with Azurite(tmp_path / "data") as own, new_world(own.connection_string()) as world:
        world.post(world.inquiry.save("ST0"))
        world.rest()
        assert world.post(world.inquiry.save("ST0", Subject="accepted before the outage")).status_code == 202
        refused = world.inquiry.save("ST1")
        if how == "stopped":
            own.stop()
        else:
            own.pause()
        began = time.monotonic()
        answer = world.post(refused)
        assert (answer.status_code, answer.json()["part"]) == (503, "storage")
        assert int(answer.headers["Retry-After"]) > 0
        world.wait(lambda: time.monotonic() - began >= OUTAGE_SECONDS / 2, OUTAGE_SECONDS)
        if how == "stopped":
            own.start()
        else:
            own.resume()
        world.deliver(refused)
        assert world.differences(timeout=90) == []
        assert look(world.connection).dead_letters == {}
