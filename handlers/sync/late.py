"""Requests without an answer: how long they may be carried out, and what they may change.

Such a request is repeated at once. A late copy of it may land after newer content was written: that is written again when
the copy cannot come any more, and what it may make is looked for again (plan.py, `waits_until`).
"""

from dataclasses import replace

from handlers.sync.effects import (
    ClearRecord,
    CreateEvent,
    Effect,
    RecordEffect,
    ReportFailure,
    ReportOutlook,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.link import EventLink, Record


def late_until(effect: Effect, claim_ends: float, record_late: float) -> float:
    """Until when a request without an answer may be carried out: while the claim lasts; in Acumatica, till `record_late`."""
    if isinstance(effect, RecordEffect):
        return max(claim_ends, record_late)
    return claim_ends


def in_doubt(link: EventLink, effect: Effect, until: float) -> EventLink:
    """The link after an effect that was not answered, before the identical one is repeated: a late copy may still land.

    Of two late copies with different content nobody can say which one lands last.
    """
    match effect:
        case CreateEvent(entry=entry, event=event) | UpdateEvent(entry=entry, event=event):
            current = next((e for e in link.entries if e.generation == entry.generation), entry)
            known = current.late_print == event.fingerprint or not current.late_until
            late = event.fingerprint if known else ""
            return link.with_entry(replace(current, late_until=max(until, current.late_until), late_print=late))
        case WriteBack(content=content) | ReportFailure(content=content):
            return _late_record(link, content, until)
        case ClearRecord():
            return _late_record(link, Record("", ""), until)
        case ReportOutlook():
            return _late_record(link, None, until)
    return link


def _late_record(link: EventLink, content: Record | None, until: float) -> EventLink:
    until = max(until, link.record_late_until)
    known = link.record_late == content or not link.record_late_until
    return replace(link, record_late_until=until, record_late=content if known else None)
