"""The ready-made mappings through the real host: each notification in, every calendar and record judged."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.change import datetime_to_ticks
from local import judge, sample
from local.azurite import Azurite
from local.world import World
from tests.end_to_end.conftest import new_world

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/ready-made"


@pytest.fixture(scope="module")
def quiet(azurite: Azurite) -> Iterator[World]:
    """A world whose site has the records of the fixtures, and the fields that the mappings write."""
    with new_world(azurite.new_account()) as running:
        sample.make_records(running.acumatica)
        yield running


def test_every_fixture_ends_in_the_calendar_that_it_describes(quiet: World) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in quiet.mappings:
        notification = sample.notification(name)
        rows[name] = notification["Inserted"]
        now = datetime_to_ticks(datetime.now(UTC))
        answer = quiet.post(notification | {"TimeStamp": now})
        assert answer.status_code == 202, answer.text
    assert quiet.rest()
    assert judge.judge(rows, quiet.mappings, quiet.graph, quiet.acumatica, quiet.connection) == []

    # The judge renders rows as the app does; what is written down is the independent witness.
    for name in quiet.mappings:
        text = (FIXTURES / f"{name}.expected.json").read_text(encoding="utf-8")
        for expected in json.loads(text.replace("https://ACUMATICA_URL", quiet.acumatica.url)):
            wanted = expected["event"]
            found = [e for e in quiet.graph.events(expected["mailbox"]) if e["subject"] == wanted["subject"]]
            assert [judge.seen(event, wanted) for event in found] == [wanted]
