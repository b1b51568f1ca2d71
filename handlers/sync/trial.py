"""A safe trial: mappings whose events all go to one mailbox, and invite nobody."""

from dataclasses import replace
from typing import Any, override

from pydantic import PrivateAttr

from handlers.sync.mapping import CalendarEvent, Mapping


class _Redirected(Mapping):
    """Rows are read and checked as they will be later; only where the event goes is another."""

    _test_mailbox: str = PrivateAttr("")

    @override
    def calendar_event(self, row: dict[str, Any]) -> CalendarEvent:
        event = super().calendar_event(row)
        body = {name: value for name, value in event.body.items() if name != "attendees"}
        return replace(event, mailbox=self._test_mailbox, body=body)


def redirected(mapping: Mapping, mailbox: str) -> Mapping:
    """The mapping for a trial: a row without a usable mailbox of its own still fails, so that the trial shows it."""
    trial = _Redirected.model_construct(**dict(mapping))
    trial._test_mailbox = mailbox  # noqa: SLF001
    return trial
