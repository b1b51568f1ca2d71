"""The sample and the least mapping, and what rows become under them."""

from typing import Any

import pytest

from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.scope import Scope
from local.sample import ROW

LEAST = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "America/New_York"
[event]
subject = "s"
start = "{Start}"
"""
SITE = Scope("https://erp.example.com/site")
SHORT: dict[str, Any] = {"Key": "A", "Owner": "ann@example.com", "Start": "2026-02-03T09:30:00"}


def least(event: str = "", top: str = "", tables: str = "", start: str = 'start = "{Start}"') -> Mapping:
    """The least mapping, and more: in [event], before it, after it, and instead of its start."""
    text = LEAST.replace("[event]", top + "\n[event]").replace('start = "{Start}"', start)
    return load_mapping("m", f"{text}\n{event}\n{tables}")


def body(mapping: Mapping, **columns: Any) -> dict[str, Any]:
    return calendar_event(mapping, SHORT | columns, SITE).body


def times(mapping: Mapping, **columns: Any) -> tuple[str, str]:
    """Start and end as `2026-02-03 09:30`, with the zone's name where it is not the mapping's."""
    found = body(mapping, **columns)

    def shown(moment: dict[str, str]) -> str:
        zone = "" if moment["timeZone"] == "Eastern Standard Time" else f" {moment['timeZone']}"
        return moment["dateTime"][:16].replace("T", " ") + zone

    return shown(found["start"]), shown(found["end"])


def reason(mapping: Mapping, **columns: Any) -> str:
    with pytest.raises(Permanent) as caught:
        body(mapping, **columns)
    assert caught.value.remedy.endswith(".")
    return caught.value.reason


def event(mapping: Mapping, **columns: Any) -> CalendarEvent:
    return calendar_event(mapping, ROW | columns, Scope())


def refused(mapping: Mapping, **columns: Any) -> str:
    with pytest.raises(Permanent) as caught:
        event(mapping, **columns)
    assert caught.value.remedy.endswith(".")
    return caught.value.reason
