"""Dates and times in ISO 8601's extended form, as Acumatica sends them."""

import re
from datetime import datetime

# Python reads more than that, 1030 as 10:30 among it; digits alone may as well be minutes.
_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)([Zz]|[+-]\d{2}:?\d{2}(?::?\d{2})?)?)?", re.ASCII
)


def read_iso(text: str) -> datetime:
    """A date, or a date and time, perhaps with an offset, without fractions of seconds. Raises ValueError."""
    if not _ISO.fullmatch(text):
        raise ValueError("no ISO date and time")
    return datetime.fromisoformat(text.upper().replace(",", ".")).replace(microsecond=0)


def has_time(text: str) -> bool:
    """Whether such a text holds a time of day."""
    match = _ISO.fullmatch(text)
    return bool(match and match[2])
