"""How long an event is: minutes, hours, and Acumatica's time spans.

A number of JSON has one meaning under its key. Digits in text have not: 130 is 2 h 10 as minutes, and 1 h 30 as Acumatica
shows a time span. Nothing is guessed: what can be read in two ways is refused, and both are named.
"""

import re

from handlers.sync.errors import Permanent
from handlers.sync.mapping_event import Duration
from handlers.sync.mapping_values import LONGEST
from handlers.sync.template import Row, Template, is_number
from handlers.sync.values import unusable

_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d)(?::00)?", re.ASCII)
_FEW_DIGITS = re.compile(r"\d{1,2}", re.ASCII)
_DIGITS = re.compile(r"\d{3,}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,4}\.\d{1,4}", re.ASCII)
_SIGNED = re.compile(r"[+-]?\d{1,6}", re.ASCII)
_SPAN = re.compile(r"(?:(\d{1,3})(?=\d{4}$))?(?:(\d{1,2})(?=\d{2}$))?([0-5]?\d)", re.ASCII)


def duration(source: Duration, row: Row) -> int | None:
    """Minutes of an `end` that is told by its length; None where it is empty. Raises Permanent."""
    if source.hours:
        return _hours(source.hours, row)
    if source.time_span:
        return _time_span(source.time_span, row)
    return minutes("end.minutes", source.minutes, row) if source.minutes else None


def minutes(what: str, template: Template, row: Row) -> int | None:
    """A number of whole minutes, or text like 45 or 1:30; None where it is empty. Raises Permanent."""
    value = _value(template, row)
    if value == "":
        return None
    if not isinstance(value, str):
        if 0 <= value <= LONGEST and value == round(value):
            return round(value)
    elif _FEW_DIGITS.fullmatch(value):
        return int(value)
    elif (length := _clock(value)) is not None:
        return length
    elif _DIGITS.fullmatch(value):
        raise _ambiguous(what, template, row, "minutes")
    raise unusable(what, template, row, "is no length in minutes (90, or 1:30)", "Use a column with whole minutes.")


def shift(what: str, template: Template, row: Row) -> int:
    """Whole days or minutes, before (negative) or after; none where it is empty. Raises Permanent."""
    value = _value(template, row)
    if isinstance(value, str):
        if not value:
            return 0
        if _SIGNED.fullmatch(value):
            return int(value)
    elif -LONGEST <= value <= LONGEST and value == round(value):
        return round(value)
    raise unusable(what, template, row, "is no whole number", "Use a column with whole numbers.")


def _hours(template: Template, row: Row) -> int | None:
    value = _value(template, row)
    if value == "":
        return None
    if not isinstance(value, str):
        if 0 <= value <= LONGEST / 60:
            return round(60 * value)
    elif _FEW_DIGITS.fullmatch(value) or _DECIMAL.fullmatch(value):
        return round(60 * float(value))
    elif (length := _clock(value)) is not None:
        return length
    elif _DIGITS.fullmatch(value):
        raise _ambiguous("end.hours", template, row, "hours")
    raise unusable("end.hours", template, row, "is no length in hours (2.5, or 2:30)", "Use a column with hours.")


def _time_span(template: Template, row: Row) -> int | None:
    value = _value(template, row)
    if value == "":
        return None
    if not isinstance(value, str):
        raise _ambiguous("end.time_span", template, row, "minutes")
    if (length := _clock(value)) is not None:
        return length
    if match := _SPAN.fullmatch(value):
        days, hours, rest = (int(part or 0) for part in match.groups())
        return 1440 * days + 60 * hours + rest
    wrong = "is no time span as Acumatica shows it (digits: hhmm or dddhhmm)"
    raise unusable("end.time_span", template, row, wrong, "Use a column with a time span.")


def _value(template: Template, row: Row) -> float | str:
    """What a column holds, as it was sent; the mapping's own number; or text, trimmed."""
    if not template.columns:
        return float(template.source) if template.source else ""
    value = row.get(template.column) if template.column else None
    return value if is_number(value) else template.render(row)


def _clock(text: str) -> int | None:
    match = _CLOCK.fullmatch(text)
    return 60 * int(match[1]) + int(match[2]) if match else None


def _ambiguous(what: str, template: Template, row: Row, unit: str) -> Permanent:
    return unusable(
        what,
        template,
        row,
        f"holds digits that may be {unit} or a time span (hhmm), and nothing says which",
        'Use a column with numbers for minutes or hours; for digits as Acumatica shows them, { time_span = "{Column}" }.',
    )
