"""Mappings for special times: a safe trial (all events go to one mailbox, and invite nobody), and the end (no events)."""

from dataclasses import replace
from typing import Any, override

from pydantic import PrivateAttr

from handlers.sync.mapping import CalendarEvent, Mapping, load_mapping

_ANY = """
query = "-"
key = ["Key"]
mailbox = "nobody@example.com"
time_zone = "UTC"
[event]
subject = "-"
start = "2000-01-01"
end = "2000-01-01"
"""


class _Redirected(Mapping):
    """Rows are read and checked as they will be later; only where the event goes is another."""

    _test_mailbox: str = PrivateAttr("")

    @override
    def calendar_event(self, row: dict[str, Any]) -> CalendarEvent:
        event = super().calendar_event(row)
        body = {name: value for name, value in event.body.items() if name != "attendees"}
        return replace(event, mailbox=self._test_mailbox, body=body)


class _Emptied(Mapping):
    """Wants no event for any row."""

    @override
    def calendar_event(self, row: dict[str, Any]) -> None:  # type: ignore[override]
        return None


def emptied(name: str) -> Mapping:
    """A mapping of this name under which every event is to be removed, whatever the mapping of that name says."""
    return _Emptied.model_construct(**dict(load_mapping(name, _ANY)))


def redirected(mapping: Mapping, mailbox: str) -> Mapping:
    """The mapping for a trial: a row without a usable mailbox of its own still fails, so that the trial shows it."""
    trial = _Redirected.model_construct(**dict(mapping))
    trial._test_mailbox = mailbox  # noqa: SLF001
    return trial
