"""What the app does and knows, in words for people."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from handlers.operations.activity import RowState
from handlers.sync.link import BURIED, DISCARDED, DONE, NEWS, NOTHING

_EFFECTS = {
    "CreateEvent": "event made",
    "UpdateEvent": "event changed",
    "DeleteEvent": "event removed",
    "AdoptEvent": "earlier event taken over",
    "FindEvent": "event looked for",
    "Deliver": "message delivered",
    "WriteBack": "id written to Acumatica",
    "ReportFailure": "reason written to Acumatica",
    "ReportOutlook": "news from Outlook written to Acumatica",
    "ClearRecord": "fields emptied in Acumatica",
}
_VALUE_MAX = 500  # characters of a value that are shown
_LONG_WORD = 28  # characters; only longer ones may be broken
STATES = {
    "in order": "Calendar (or receiver) and record agree with the newest state of the row.",
    "left out": "The row is in the inquiry, but the mapping's [when] leaves it out.",
    "removed": "The row is not in the inquiry (any more), and has no event.",
    "waiting": "It is in the queue, and was not looked at yet.",
    "working": "A worker is at it.",
    "deferred": "It was not possible just now; it is tried again by itself.",
    "failed": "It needs a person.",
}

SKIPPED = {
    "past": "over already ([backfill] rows)",
    "would-invite": "Outlook would mail its attendees ([backfill] invite)",
    "would-remove": "their events would be removed ([when], TEST_MAILBOX)",
    "time-unknown": "midnight in UTC, which may be a date without a time",
    "unusable": "no event can be made of them",
    "key-missing": "without a key",
    "key-repeated": "several rows with one key",
}  # why a sweep leaves rows out


def effects(names: str) -> str:
    """`CreateEvent, WriteBack` as a person says it; the first letter is large."""
    words = ", ".join(_EFFECTS.get(name, name) for name in names.split(", ") if name)
    return words[:1].upper() + words[1:]


def shown(value: Any) -> str:
    """A value as text, and only so much of it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}… ({len(text):,} characters)"


def short(text: str) -> str:
    """The ends of an id."""
    return text if len(text) <= 14 else f"{text[:6]}…{text[-6:]}"


def has_long_words(text: str) -> bool:
    """Whether a text may be broken within a word, since it cannot be shown otherwise."""
    return any(len(word) > _LONG_WORD for word in text.split())


def iso(moment: datetime) -> str:
    """For programs, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def clock(moment: datetime, form: str = "") -> str:
    """For people, in UTC; `form` hour: the time of day alone."""
    utc = moment.astimezone(UTC)
    return f"{utc:%H:%M}" if form == "hour" else f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: int) -> str:
    """Seconds in the unit that fits."""
    for unit, each, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds // each} {unit}"
    return f"{seconds // 86_400} d"


class Step(NamedTuple):
    """One of the last changes of a row: when, what was done, what came of it, how often, and whether it was mended since."""

    at: float
    done: str
    outcome: str
    times: int
    mended: bool


def steps(row: RowState) -> list[Step]:
    """What happened to a row, newest first; the failure that stands is told once, above all of it."""
    found: list[Step] = []
    standing, mended = row.link.last_error if row.link else "", False
    for past in reversed(row.link.history if row.link else ()):
        buried, person = past.outcome.removeprefix(BURIED), past.outcome.startswith(DISCARDED)
        failed = not person and past.outcome not in {DONE, NOTHING, *NEWS}
        if not failed:
            told = "" if past.effect else past.outcome[:1].upper() + past.outcome[1:]
            mended = mended or past.outcome not in NEWS
        elif standing and not mended and standing.startswith(buried):
            told = "It needs a person; the reason stands above" if buried != past.outcome else "The reason stands above"
        else:
            told = f"It failed: {buried}"
        found.append(Step(past.at, effects(past.effect), told, past.times, mended and failed))
    return found
