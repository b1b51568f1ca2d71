"""When an event is: dates and times in the forms that Acumatica sends, in the zone of the mapping.

Moments are worked with in their zone, so that lengths and comparisons are right across daylight saving: what starts in the
gap is moved past it as a whole; of a time that is there twice the first counts, unless an offset says otherwise or the end
needs the second.
"""

import re
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from typing import Any, NamedTuple

from handlers.sync.errors import Permanent
from handlers.sync.iso import has_time, read_iso
from handlers.sync.lengths import duration, shift
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_event import DateAndTime, Duration
from handlers.sync.template import Row, Template
from handlers.sync.values import flag, unusable
from handlers.sync.zones import Zone, find_zone

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(?: ?([ap])\.?m\.?)?", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"\d+", re.ASCII)
_NO_DATE = "Use a date-time column, and leave rows without one out with [when] or in the inquiry."
_CORRECT = "Correct the dates in Acumatica."
_FIRST_YEAR = 1900  # what Acumatica puts before a time that has no date
_MIDNIGHT = day_time()


class _Moment(NamedTuple):
    written: datetime  # as it was sent, perhaps with an offset
    at: datetime  # in the zone, out of the gap


def start_and_end(mapping: Mapping, row: Row, notes: list[str]) -> dict[str, Any]:
    """Graph's `start`, `end` and `isAllDay`; adds notes on what is probably not meant. Raises Permanent, OverflowError."""
    event, zone = mapping.event, zone_of(mapping, row)
    all_day = flag("event.isAllDay", event.isAllDay, row)
    written = _written("start", event.start, row, all_day=all_day)
    if written is None:
        raise unusable("start", _template_of(event.start), row, "is empty", _NO_DATE)
    if written.year <= _FIRST_YEAR:
        notes.append("The start is in the year 1900, as of a time without a date: use { date = …, time = … }.")
    if all_day:
        return _whole_days(mapping, row, zone, written.date())
    read = _moment("start", event.start, row, zone, written)
    start = _later(read.at, _minutes("start", event.start, row))
    end = _end(mapping, row, zone, read, start)
    if end.astimezone(UTC) < start.astimezone(UTC):  # (in one zone, Python compares the clocks on the wall)
        raise unusable("end", _template_of(event.end), row, "is before the start", _CORRECT)
    if start == read.at and _shows_a_time(event.start) and _has_no_time(written) and _has_no_end(mapping, row):
        notes.append("The start is at midnight: if its column holds a date without a time, say isAllDay = true.")
    return {"start": _told(start, zone), "end": _told(end, zone), "isAllDay": False}


def zone_of(mapping: Mapping, row: Row) -> Zone:
    """The zone of a row's dates. Raises Permanent."""
    text = mapping.time_zone.render(row)
    try:
        return find_zone(text)
    except ValueError:
        remedy = "Use Windows or IANA names, or translate what the column holds with [values]."
        wrong = "is empty" if not text else "is no Windows or IANA time zone"
        raise unusable("time_zone", mapping.time_zone, row, wrong, remedy) from None


def _whole_days(mapping: Mapping, row: Row, zone: Zone, first: date) -> dict[str, Any]:
    """Of whole days the written dates count, whatever time and offset stand behind them; Graph's end is exclusive."""
    source, last = mapping.event.end, first
    if isinstance(source, Duration):
        last += timedelta(days=(max(duration(source, row) or 0, 1) - 1) // 1440)
    elif source and (end := _written("end", source, row, all_day=True)):
        last = end.date()
    if last < first:
        raise unusable("end", _template_of(source), row, "is before the start", _CORRECT)
    days = {"start": first, "end": last + timedelta(days=1)}
    told = {name: {"dateTime": f"{day.isoformat()}T00:00:00", "timeZone": zone.windows} for name, day in days.items()}
    return told | {"isAllDay": True}


def _end(mapping: Mapping, row: Row, zone: Zone, read: _Moment, start: datetime) -> datetime:
    """`read`: the start as its column holds it; `start`: shifted by what the mapping says."""
    source = mapping.event.end
    length = duration(source, row) if isinstance(source, Duration) else None
    if source and not isinstance(source, Duration) and (written := _written("end", source, row)):
        moved = read.written.tzinfo is None and read.at.replace(tzinfo=None) != read.written
        if moved and written.tzinfo is None:  # the start is in the gap: the length on the wall stays
            written = read.at.replace(tzinfo=None) + (written - read.written)
        end = _moment("end", source, row, zone, written).at
        later = end.replace(fold=1)
        end = later if end.astimezone(UTC) < read.at.astimezone(UTC) <= later.astimezone(UTC) else end
        return _later(end, _minutes("end", source, row))
    return _later(start, mapping.default_minutes if length is None else length)


def _later(moment: datetime, minutes: int) -> datetime:
    """Real minutes, across daylight saving too."""
    return (moment.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(moment.tzinfo) if minutes else moment


def _minutes(what: str, source: Template | DateAndTime, row: Row) -> int:
    template = source.minutes if isinstance(source, DateAndTime) else None
    return shift(f"{what}.minutes", template, row) if template else 0


def _moment(what: str, source: Template | DateAndTime, row: Row, zone: Zone, written: datetime) -> _Moment:
    try:
        aware = written if written.tzinfo else written.replace(tzinfo=zone.clock)
        return _Moment(written, aware.astimezone(UTC).astimezone(zone.clock))
    except OverflowError:
        raise _no_date(what, source, row) from None


def _written(what: str, source: Template | DateAndTime, row: Row, *, all_day: bool = False) -> datetime | None:
    """The date and time that a row holds, shifted by days, without fractions; None where it is empty. Raises Permanent."""
    date_column, clock = (source, None) if isinstance(source, Template) else (source.date, source.time)
    text, time = date_column.render(row), clock.render(row) if clock else ""
    if not text:
        return None
    if clock and not all_day and _DIGITS.fullmatch(time):
        wrong = "holds digits that may be a time of day (hhmm) or minutes, and nothing says which"
        remedy = "Show the time in the inquiry as a date-time or as text like 10:30."
        raise unusable(what, _template_of(source), row, wrong, remedy)
    try:
        written = read_iso(text)
        if clock:
            written = datetime.combine(written.date(), _MIDNIGHT if all_day else _time_of(time))
    except ValueError:
        raise _no_date(what, source, row) from None
    days = source.days if isinstance(source, DateAndTime) else None
    return written + timedelta(days=shift(f"{what}.days", days, row)) if days else written


def _time_of(text: str) -> day_time:
    """The time of a time column: Acumatica sends it with some date, or as a label. Raises ValueError."""
    if match := _CLOCK.fullmatch(text):
        hour = int(match[1])
        if match[4]:
            if not 1 <= hour <= 12:
                raise ValueError("no hour of half a day")
            hour = hour % 12 + (12 if match[4] in "pP" else 0)
        return day_time(hour, int(match[2]), int(match[3] or 0))
    if not has_time(text):
        raise ValueError("no time")
    return read_iso(text).time()


def _shows_a_time(source: Template | DateAndTime) -> bool:
    return isinstance(source, Template) or source.time is None


def _has_no_time(written: datetime) -> bool:
    return written.tzinfo is None and written.time() == _MIDNIGHT


def _has_no_end(mapping: Mapping, row: Row) -> bool:
    source = mapping.event.end
    end = None if not source or isinstance(source, Duration) else _written("end", source, row)
    return end is None or _has_no_time(end)


def _told(moment: datetime, zone: Zone) -> dict[str, str]:
    """A moment in Graph's terms: wall-clock time and zone; what the Windows zone cannot tell, in UTC."""
    told, name = (moment, zone.windows) if zone.is_told_by(moment) else (moment.astimezone(UTC), "UTC")
    return {"dateTime": told.replace(tzinfo=None).isoformat(timespec="seconds"), "timeZone": name}


def _template_of(source: Template | DateAndTime | Duration | None) -> Template:
    match source:
        case Template():
            return source
        case DateAndTime():
            return Template(source.date.source, (*source.date.parts, *(source.time.parts if source.time else ())))
        case Duration():
            return source.template
    return Template("", ())


def _no_date(what: str, source: Template | DateAndTime, row: Row) -> Permanent:
    remedy = _NO_DATE
    if isinstance(source, Template) and len(source.columns) == 2:
        remedy = f'Where date and time are in two columns, write {{ date = "{{{source.columns[0]}}}", time = '
        remedy += f'"{{{source.columns[1]}}}" }}. {_NO_DATE}'
    elif isinstance(source, Template) and len(source.columns) == 1 and source.source.strip() != f"{{{source.columns[0]}}}":
        shifted = f'{{ date = "{{{source.columns[0]}}}", days = -30 }}'
        remedy = f"Name the column alone; a number of days or minutes is added by {shifted}. {_NO_DATE}"
    return unusable(what, _template_of(source), row, "is no ISO date and time", remedy)
