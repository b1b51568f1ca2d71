"""Values of an inquiry as OData tells them, brought into the form in which a push notification tells them.

A push holds local times without an offset; OData holds the same moment in UTC, and a date without a time as midnight in
UTC. Strings may be padded here and there, numbers may be text. What means the same has to compare equal, or every sweep
would write every event again.
https://help.acumatica.com, "Push Notification Format" and "OData Support" of the Integration Development Guide
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from handlers.sync.errors import Permanent
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.template import Row, as_text, folded, is_number
from handlers.sync.values import translated
from handlers.sync.zones import Zone, find_zone

_UTC_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|\+00:00)", re.ASCII)
_LOCAL_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2})(?::(\d{2})(?:\.\d+)?)?)?", re.ASCII)
_MIDNIGHT = "T00:00:00"
_SECOND = 10_000_000  # .NET ticks
DATE, MOMENT = "date", "moment"

type Times = dict[str, str]  # DATE or MOMENT by a column's folded name, where it is known
_NONE: Times = {}


def learnt(times: Times, mapping: Mapping, rows: Iterable[tuple[Row, EventLink | None]]) -> Times:
    """What is known of columns, after rows (of picked columns) and the links of those that are known.

    OData tells a date like the moment of midnight in UTC, and 19:00 in New York is that moment, too. So a column holds
    moments once a row of it has another time, by OData or by a push; and dates, where a push and OData have one midnight in
    common that is not the zone's. Nothing is concluded from midnights alone.
    """
    found = dict(times)
    for row, link in rows:
        zone = known_zone(mapping, row)
        for name, value in row.items():
            if not (isinstance(value, str) and _UTC_MOMENT.fullmatch(value)):
                continue
            told = pushed(link, name)
            if _MIDNIGHT not in value or (told and _MIDNIGHT not in told):
                found[folded(name)] = MOMENT
            elif told and told[:10] == value[:10] and len(forms(value, zone)) > 1:
                found.setdefault(folded(name), DATE)
    return found


def pushed(link: EventLink | None, name: str) -> str:
    """The date and time that a push has brought; empty otherwise.

    What a sweep has brought bears the date of an answer, whole seconds.
    """
    column = link.columns.get(name) if link else None
    text = as_text(column.value) if column and column.timestamp % _SECOND else ""
    moment = _LOCAL_MOMENT.fullmatch(text)
    return f"{moment[1]}T{moment[2] or '00:00'}:{moment[3] or '00'}" if moment else ""


def known_zone(mapping: Mapping, row: Row) -> Zone | None:
    """The zone of a row's date columns; None where it names none that is known (the row's event says so, in time)."""
    try:
        return find_zone(mapping.time_zone.render(translated(mapping, row)))
    except (ValueError, Permanent):
        return None


def forms(value: Any, zone: Zone | None, kind: str | None = None) -> list[Any]:
    """How a push may tell a value of OData; the likeliest first. Midnight in UTC can be a date, or that moment.

    `kind`: what its column holds, DATE or MOMENT; None: not known.
    """
    if not isinstance(value, str):
        return [value]
    if not _UTC_MOMENT.fullmatch(value):
        return [value.rstrip()]
    unshifted = value[:19]
    if not zone:
        return [unshifted]
    try:
        moment = datetime.fromisoformat(unshifted).replace(tzinfo=UTC).astimezone(zone.clock)
    except (ValueError, OverflowError):  # no such date, or none in this zone
        return [unshifted]
    shifted = moment.replace(tzinfo=None).isoformat()
    if _MIDNIGHT not in value or kind == MOMENT or shifted == unshifted:
        return [shifted]
    return [unshifted] if kind == DATE else [shifted, unshifted]


def as_pushed(row: Row, zone: Zone | None, times: Times = _NONE) -> Row:
    """A row of OData as a push would hold it."""
    return {name: forms(value, zone, times.get(folded(name)))[0] for name, value in row.items()}


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same, whatever their padding and the form of their number or date."""
    return bool(_plain(one) == _plain(other)) or _equal_numbers(one, other)


def _plain(value: Any) -> Any:
    """A value without what makes no difference; none and empty text are alike. True is not 1."""
    if isinstance(value, bool):
        return ("bool", value)
    if is_number(value):
        return Decimal(str(value))
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and (moment := _LOCAL_MOMENT.fullmatch(text)):
        return (moment[1], moment[2] or "00:00", moment[3] or "00")
    return None if text == "" else text


def _equal_numbers(one: Any, other: Any) -> bool:
    """Whether one is a number, and the other the same one as text."""
    number, text = (one, other) if is_number(one) else (other, one)
    if not (is_number(number) and isinstance(text, str)):
        return False
    try:
        return Decimal(text.strip()) == Decimal(str(number))
    except InvalidOperation:
        return False
