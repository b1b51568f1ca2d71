"""Dates and amounts in texts: `{Start:date}`, `{Amount:0.00}`, in the words of the mapping's locale.

Their forms are CLDR's, as Babel has them. It is imported where a mapping says a locale or a format, and nowhere else: that
takes as long as importing all the rest of the core.
"""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from handlers.sync.iso import has_time, read_iso
from handlers.sync.template import FORMATS, Part, as_text, is_number
from handlers.sync.zones import Zone

if TYPE_CHECKING:
    from babel.core import Locale

type Show = Callable[[Any, Part], str]

_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII)
_EXACT = Context(prec=50)
_NEEDS_TIME = {"time", "datetime"}


@cache
def find_locale(name: str) -> "Locale":
    """A locale by its name, such as `de` or `en-GB`. Raises ValueError."""
    from babel.core import Locale, UnknownLocaleError  # noqa: PLC0415

    try:
        return Locale.parse(name.replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        raise ValueError(f"{name[:100]!r} is no locale; known are en-US, en-GB, de-DE, fr-CA and the like") from None


def shower(locale: str, zone: Callable[[], Zone], notes: list[str]) -> Show:
    """How the columns of a text are shown; what has no such form is shown as it is, with a note.

    Dates with an offset are shown in the `zone` (which is asked for only then).
    """

    def show(value: Any, part: Part) -> str:
        text = as_text(value)
        if not part.shown or not text:
            return text
        try:
            return _date(text, part.shown, locale, zone) if part.shown in FORMATS else _number(value, part.shown, locale)
        except (ValueError, OverflowError):
            kind = "date and time" if part.shown in _NEEDS_TIME else "date" if part.shown in FORMATS else "number"
            note = f"{part.column} is shown as it is: it holds no {kind}."
            if note not in notes:
                notes.append(note)
            return text

    return show


def _date(text: str, shown: str, locale: str, zone: Callable[[], Zone]) -> str:
    from babel.dates import format_date, format_datetime, format_time  # noqa: PLC0415

    moment: datetime = read_iso(text)
    if shown in _NEEDS_TIME and not has_time(text):
        raise ValueError("no time")
    if moment.tzinfo:
        moment = moment.astimezone(zone().clock).replace(tzinfo=None)
    known = find_locale(locale)
    match shown:
        case "time":
            return format_time(moment, "short", locale=known)
        case "datetime":
            return f"{format_date(moment, 'medium', known)} {format_time(moment, 'short', locale=known)}"
        case "weekday":
            return format_datetime(moment, "EEEE", locale=known)
        case "longdate":
            return format_date(moment, "long", known)
    return format_date(moment, "medium", known)


def _number(value: Any, pattern: str, locale: str) -> str:
    from babel.numbers import format_decimal  # noqa: PLC0415

    text = repr(value) if is_number(value) else as_text(value)
    if isinstance(value, float):  # 1e16 is a number too
        text = f"{Decimal(text):f}"
    if not _NUMBER.fullmatch(text):
        raise ValueError("no number of a size that people read")
    places = len(pattern.partition(".")[2])
    rounded = Decimal(text).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, _EXACT)  # half a cent as people round it
    return format_decimal(rounded, pattern, find_locale(locale))
