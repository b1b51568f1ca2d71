"""When an event is: dates, times and lengths in the forms that Acumatica sends, in the zone of the mapping.

Moments are worked with in their zone, so that lengths and comparisons are right across daylight saving: a time in the gap
moves past it; of a time that is there twice the first counts, unless an offset says otherwise or the end needs the second.
"""

import re
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from handlers.sync.mapping import Mapping
from handlers.sync.mapping_event import DateAndTime, Duration
from handlers.sync.template import Row, Template
from handlers.sync.values import flag, unusable
from handlers.sync.zones import windows_zone

_LENGTH = re.compile(r"(\d{1,6})(?:\.0+)?|(\d{1,4}):([0-5]\d)(?::00)?")
_NO_DATE = "Use a date-time column, and leave rows without one out with [when] or in the inquiry."


class _Zone(NamedTuple):
    name: str  # Windows'
    info: ZoneInfo


def start_and_end(mapping: Mapping, row: Row) -> dict[str, Any]:
    """Graph's `start`, `end` and `isAllDay`. Raises Permanent."""
    event = mapping.event
    zone = _zone(mapping, row)
    all_day = flag("event.isAllDay", event.isAllDay, row)
    start = _moment("start", event.start, row, zone, all_day=all_day)
    if start is None:
        raise unusable("start", _template_of(event.start), row, "is empty", _NO_DATE)
    if all_day:
        first, last = start.date(), _last_day(mapping, row, zone, start)
        days = {"start": first, "end": last + timedelta(days=1)}  # Graph's end is exclusive
        return {n: {"dateTime": f"{d.isoformat()}T00:00:00", "timeZone": zone.name} for n, d in days.items()} | {
            "isAllDay": True
        }
    end = _end(mapping, row, zone, start)
    if end.astimezone(UTC) < start.astimezone(UTC):  # (in one zone, Python compares the clocks on the wall)
        raise unusable("end", _template_of(event.end), row, "is before the start", "Correct the dates in Acumatica.")
    return {"start": _zoned(start, zone), "end": _zoned(end, zone), "isAllDay": False}


def _zone(mapping: Mapping, row: Row) -> _Zone:
    text = mapping.time_zone.render(row)
    try:
        name = windows_zone(text)
    except ValueError:
        remedy = "Use Windows or IANA names, or translate what the column holds with [values]."
        wrong = "is empty" if not text else "is no Windows or IANA time zone"
        raise unusable("time_zone", mapping.time_zone, row, wrong, remedy) from None
    return _Zone(name, ZoneInfo("UTC" if name == "UTC" else win_tz[name]))


def _moment(what: str, source: Template | DateAndTime, row: Row, zone: _Zone, *, all_day: bool = False) -> datetime | None:
    """A moment in the zone: as Acumatica sends it, or converted where it carries an offset; None where it is empty."""
    try:
        if isinstance(source, DateAndTime):
            day, clock = source.date.render(row), source.time.render(row)
            if not day:
                return None
            naive = datetime.combine(_date(day), day_time() if all_day else _clock(clock).replace(tzinfo=None))
        else:
            if not (text := source.render(row)):
                return None
            naive = datetime.fromisoformat(text)
        moment = (naive if naive.tzinfo else naive.replace(tzinfo=zone.info)).replace(microsecond=0)
        return moment.astimezone(UTC).astimezone(zone.info)  # also takes a time out of the gap
    except (ValueError, OverflowError):
        raise unusable(what, _template_of(source), row, "is no ISO date and time", _NO_DATE) from None


def _date(text: str) -> date:
    return datetime.fromisoformat(text).date()


def _clock(text: str) -> day_time:
    """The time of a time column: Acumatica sends it with some date, or as a label. Raises ValueError."""
    for form in ("%I:%M %p", "%I:%M:%S %p"):
        try:
            return datetime.strptime(text, form).timetz()  # noqa: DTZ007  (only the time of day is wanted)
        except ValueError:
            pass
    return day_time.fromisoformat(text) if "-" not in text else datetime.fromisoformat(text).timetz()


def _end(mapping: Mapping, row: Row, zone: _Zone, start: datetime) -> datetime:
    source, length = mapping.event.end, None
    if isinstance(source, Duration):
        length = length_in_minutes("end.minutes", source.minutes, row)
    elif source and (end := _moment("end", source, row, zone)):
        later = end.replace(fold=1)
        return later if end.astimezone(UTC) < start.astimezone(UTC) <= later.astimezone(UTC) else end
    minutes = mapping.default_minutes if length is None else length
    return (start.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(zone.info)


def _last_day(mapping: Mapping, row: Row, zone: _Zone, start: datetime) -> date:
    source = mapping.event.end
    if isinstance(source, Duration):
        length = length_in_minutes("end.minutes", source.minutes, row)
        return start.date() + timedelta(days=(max(length or 0, 1) - 1) // 1440)
    end = _moment("end", source, row, zone, all_day=True) if source else None
    last = end.date() if end else start.date()
    if last < start.date():
        raise unusable("end", _template_of(source), row, "is before the start", "Correct the dates in Acumatica.")
    return last


def _zoned(moment: datetime, zone: _Zone) -> dict[str, str]:
    """Wall-clock time and zone; the second of two equal wall-clock times can only be told in UTC."""
    if moment.fold and moment.replace(fold=0).utcoffset() != moment.utcoffset():
        return {"dateTime": moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds"), "timeZone": "UTC"}
    return {"dateTime": moment.replace(tzinfo=None).isoformat(timespec="seconds"), "timeZone": zone.name}


def length_in_minutes(what: str, template: Template, row: Row) -> int | None:
    """A length; None where it is empty. Raises Permanent."""
    text = template.render(row)
    if not text:
        return None
    if not (match := _LENGTH.fullmatch(text)):
        raise unusable(what, template, row, "is no length in minutes (90, or 1:30)", "Use a column with whole minutes.")
    return int(match[1]) if match[1] else 60 * int(match[2]) + int(match[3])


def _template_of(source: Template | DateAndTime | Duration | None) -> Template:
    match source:
        case Template():
            return source
        case DateAndTime():
            return Template(source.date.source, (*source.date.parts, *source.time.parts))
        case Duration():
            return source.minutes
    return Template("", ())
