"""How a row becomes the event that should stand in a calendar, and what its record is told.

Moments are worked with in their zone, so that lengths and comparisons are right across daylight saving: a time in the gap
moves past it; of a time that is there twice the first counts, unless an offset says otherwise or the end needs the second.
"""

import hashlib
import html
import json
import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from handlers.sync.errors import Code, Permanent
from handlers.sync.mapping import (
    ATTENDEE_TYPES,
    ELSE,
    EVENT_ID,
    IMPORTANCE,
    SENSITIVITY,
    SHOW_AS,
    DateAndTime,
    Duration,
    Mapping,
    windows_zone,
)
from handlers.sync.template import Row, Template, as_text, kind_of

_MAILBOX = re.compile(
    r"[^@\s/\\?%<>\x00-\x1f]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_ADDRESS = re.compile(r"[^@\s<>\x00-\x1f]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENT_ID = re.compile(r"[A-Za-z0-9_=+/-]{20,1000}")
_LENGTH = re.compile(r"(\d{1,6})(?:\.0+)?|(\d{1,4}):([0-5]\d)(?::00)?")
_SUBJECT_MAX = 255  # https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
_ATTENDEES_MAX = 500  # https://learn.microsoft.com/graph/api/resources/event
_REASON_MAX = 250
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}

# What Graph itself takes where nothing is said; a PATCH has to say it, or an older value stays.
# https://learn.microsoft.com/graph/api/resources/event
_CHOICES = {
    "showAs": (SHOW_AS, "busy"),
    "sensitivity": (SENSITIVITY, "normal"),
    "importance": (IMPORTANCE, "normal"),
}
_REMINDER_DEFAULT = 15
_NO_DATE = "Use a date-time column, and leave rows without one out with [when] or in the inquiry."


@dataclass(frozen=True)
class CalendarEvent:
    """What should stand in a calendar: a Graph `event` body (without ids), and the mailbox and calendar that it belongs to.

    `notes` say what of the row could not be shown as it is.
    """

    mailbox: str
    body: dict[str, Any]
    calendar: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content; write-back and audit columns are not part of it."""
        text = json.dumps(self.body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class RecordUpdate:
    """A PUT to Acumatica: the path below /entity/ and the body in the shape of the contract-based REST API."""

    path: str
    body: dict[str, Any]


class _Zone(NamedTuple):
    name: str  # Windows'
    info: ZoneInfo


def calendar_event(mapping: Mapping, row: Row) -> CalendarEvent:
    """Render picked columns. Raises Permanent, naming the column, what it holds by kind, and the rule."""
    row = _translated(mapping, row)
    mailbox = mapping.mailbox.render(row).lower()
    if not _MAILBOX.fullmatch(mailbox):
        empty = "is empty" if not mailbox else "is no e-mail address"
        remedy = "Give the row an owner with an e-mail address, or leave such rows out with [when] or in the inquiry."
        raise _unusable("mailbox", mapping.mailbox, row, empty, remedy)
    event, notes = mapping.event, list[str]()
    body: dict[str, Any] = {"subject": _subject(event.subject.render(row), notes)}
    if event.body or mapping.footer:
        body["body"] = _body(mapping, row)
    try:
        body |= _times(mapping, row)
    except OverflowError:
        raise Permanent(
            Code.ROW_UNUSABLE, "The event would end after the year 9999.", "Correct the dates in Acumatica."
        ) from None
    if event.location:
        body["location"] = {"displayName": event.location.render(row)}
    if event.attendees:
        body["attendees"] = _attendees(mapping, row, mailbox, notes)
    body |= _further(mapping, row)
    if mapping.test_mailbox:  # read and checked as it will be later; only where it goes is another
        return CalendarEvent(mapping.test_mailbox, {n: v for n, v in body.items() if n != "attendees"}, notes=tuple(notes))
    return CalendarEvent(mailbox, body, mapping.calendar.render(row) if mapping.calendar else "", tuple(notes))


def adopted_id(mapping: Mapping, row: Row) -> str | None:
    """The id of an event that an earlier integration has made for the row."""
    found = mapping.adopt.render(row) if mapping.adopt else ""
    return found if _EVENT_ID.fullmatch(found) else None


def record_id(mapping: Mapping, row: Row) -> str:
    """The id (NoteID) of the record that write-back goes to; empty where nothing is written back."""
    return mapping.write_back.id.render(row) if mapping.write_back else ""


def names_record(text: str | None) -> bool:
    """Whether a text can be the id of a record."""
    return bool(text and _GUID.fullmatch(text))


def reports(mapping: Mapping) -> bool:
    """Whether failures are written into the record."""
    return "reason" in mapping.results


def wants_details(mapping: Mapping) -> bool:
    """Whether the record is told more of the event than its id."""
    return bool({"webLink", "iCalUId"} & mapping.results)


def record_update(mapping: Mapping, record: str, results: MappingOf[str, str] | None) -> RecordUpdate:
    """The write-back of `results` (by placeholder) into a record; fields that need others are let alone; None empties all.

    Raises Permanent without a usable record id.
    """
    target = mapping.write_back
    if not target:
        raise ValueError("this mapping writes nothing back")
    if not names_record(record):
        wrong = "is empty" if not record else "is no GUID"
        made = f", made of {' and '.join(target.id.columns)}," if target.id.columns else ""
        raise Permanent(
            Code.ROW_UNUSABLE,
            f"The mapping's write_back.id{made} {wrong} in this row.",
            "Use the column with the record's NoteID.",
        )
    body: dict[str, Any] = {"id": record}
    for name, field in target.fields.items():
        template = field.value if isinstance(field.value, Template) else None
        needed = (template and template.columns) or (EVENT_ID,)
        if results is not None and not set(needed) <= results.keys():
            continue
        kind, value = field.type or _custom_type(field.value), field.value
        if template:
            value = template.render(dict(results)) if results is not None else ""
        elif results is None:
            value = None
        match name.split("."):
            case ["custom", view, member]:
                empty = template is not None and not value and kind != "CustomStringField"
                body.setdefault("custom", {}).setdefault(view, {})[member] = {
                    "type": kind,
                    "value": None if empty else value,
                }
            case ["Attributes", attribute]:
                # Appointments name it otherwise: swagger.json of the endpoint Default
                key = "Attribute" if target.entity == "Appointment" else "AttributeID"
                text = value if isinstance(value, str) else as_text(value)
                body.setdefault("Attributes", []).append({key: {"value": attribute}, "Value": {"value": text}})
            case _:
                body[name] = {"value": value}
    return RecordUpdate(f"{target.endpoint}/{target.entity}", body)


def short_reason(reason: str) -> str:
    """A reason that fits a field of Acumatica."""
    return reason if len(reason) <= _REASON_MAX else reason[: _REASON_MAX - 1] + "…"


def _custom_type(value: Any) -> str:
    if isinstance(value, bool):
        return "CustomBooleanField"
    if isinstance(value, int):
        return "CustomIntField"
    return "CustomDecimalField" if isinstance(value, float) else "CustomStringField"


def _translated(mapping: Mapping, row: Row) -> Row:
    """The row with what [values] says in place of its labels. Raises Permanent for an unknown label."""
    if not mapping.values:
        return row
    row = dict(row)
    for column, labels in mapping.values.items():
        known = {label.strip().casefold(): value for label, value in labels.items() if label != ELSE}
        label = as_text(row.get(column))
        if label.casefold() in known:
            row[column] = known[label.casefold()]
        elif ELSE in labels:
            row[column] = labels[ELSE]
        elif label:
            raise Permanent(
                Code.ROW_UNUSABLE,
                f"[values.{column}] does not know what the column holds: {label[:100]!r}.",
                f'Add it there, or a value for all others: "{ELSE}" = "…".',
            )
    return row


def _times(mapping: Mapping, row: Row) -> dict[str, Any]:
    event = mapping.event
    zone = _zone(mapping, row)
    all_day = _flag("event.isAllDay", event.isAllDay, row)
    start = _moment("start", event.start, row, zone, all_day=all_day)
    if start is None:
        raise _unusable("start", _template(event.start), row, "is empty", _NO_DATE)
    if all_day:
        first, last = start.date(), _last_day(mapping, row, zone, start)
        days = {"start": first, "end": last + timedelta(days=1)}  # Graph's end is exclusive
        return {n: {"dateTime": f"{d.isoformat()}T00:00:00", "timeZone": zone.name} for n, d in days.items()} | {
            "isAllDay": True
        }
    end = _end(mapping, row, zone, start)
    if end.astimezone(UTC) < start.astimezone(UTC):  # (in one zone, Python compares the clocks on the wall)
        raise _unusable("end", _template(event.end), row, "is before the start", "Correct the dates in Acumatica.")
    return {"start": _zoned(start, zone), "end": _zoned(end, zone), "isAllDay": False}


def _zone(mapping: Mapping, row: Row) -> _Zone:
    text = mapping.time_zone.render(row)
    try:
        name = windows_zone(text)
    except ValueError:
        remedy = "Use Windows or IANA names, or translate what the column holds with [values]."
        wrong = "is empty" if not text else "is no Windows or IANA time zone"
        raise _unusable("time_zone", mapping.time_zone, row, wrong, remedy) from None
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
        raise _unusable(what, _template(source), row, "is no ISO date and time", _NO_DATE) from None


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
        length = _minutes("end.minutes", source.minutes, row)
    elif source and (end := _moment("end", source, row, zone)):
        later = end.replace(fold=1)
        return later if end.astimezone(UTC) < start.astimezone(UTC) <= later.astimezone(UTC) else end
    minutes = mapping.default_minutes if length is None else length
    return (start.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(zone.info)


def _last_day(mapping: Mapping, row: Row, zone: _Zone, start: datetime) -> date:
    source = mapping.event.end
    if isinstance(source, Duration):
        length = _minutes("end.minutes", source.minutes, row)
        return start.date() + timedelta(days=(max(length or 0, 1) - 1) // 1440)
    end = _moment("end", source, row, zone, all_day=True) if source else None
    last = end.date() if end else start.date()
    if last < start.date():
        raise _unusable("end", _template(source), row, "is before the start", "Correct the dates in Acumatica.")
    return last


def _zoned(moment: datetime, zone: _Zone) -> dict[str, str]:
    """Wall-clock time and zone; the second of two equal wall-clock times can only be told in UTC."""
    if moment.fold and moment.replace(fold=0).utcoffset() != moment.utcoffset():
        return {"dateTime": moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds"), "timeZone": "UTC"}
    return {"dateTime": moment.replace(tzinfo=None).isoformat(timespec="seconds"), "timeZone": zone.name}


def _body(mapping: Mapping, row: Row) -> dict[str, str]:
    source, link = mapping.event.body, _link(mapping, row)
    footer = mapping.footer.parts if mapping.footer else ()
    if source and source.contentType == "html":
        anchor = f'<a href="{html.escape(link)}">{html.escape(link)}</a>'
        last = "".join(html.escape(text) + (anchor if column else "") for text, column in footer)
        return {
            "contentType": "html",
            "content": source.content.render(row, _escaped) + (f"<hr><p>{last}</p>" if last else ""),
        }
    parts = [
        source.content.render(row) if source else "",
        "".join(text + (link if column else "") for text, column in footer),
    ]
    return {"contentType": "text", "content": "\n\n".join(filter(None, parts))}


def _escaped(text: str) -> str:
    return html.escape(text).replace("\r\n", "\n").replace("\n", "<br>")


def _link(mapping: Mapping, row: Row) -> str:
    if not mapping.link:
        return ""
    link = mapping.link.render(row, lambda text: quote(text, safe=""))
    return link if re.match(r"https?://", link) else f"{mapping.site.rstrip('/')}/{link.lstrip('/')}"


def _attendees(mapping: Mapping, row: Row, mailbox: str, notes: list[str]) -> list[dict[str, Any]]:
    """Each address once, without the mailbox's own: that is the organizer."""
    found: dict[str, dict[str, Any]] = {}
    unusable = 0
    for attendee in mapping.event.attendees:
        kind = _choice("event.attendees.type", attendee.type, row, ATTENDEE_TYPES, "required")
        addresses = [address for address in re.split(r"[;,\s]+", attendee.address.render(row)) if address]
        usable = [address for address in addresses if _ADDRESS.fullmatch(address)]
        unusable += len(addresses) - len(usable)
        name = attendee.name.render(row) if attendee.name and len(usable) == 1 else ""
        for address in usable:
            person = {"address": address} | ({"name": name} if name else {})
            found.setdefault(address.casefold(), {"emailAddress": person, "type": kind})
    found.pop(mailbox.casefold(), None)
    if unusable:
        notes.append(f"{unusable} of the attendees have no usable e-mail address and are left out.")
    if len(found) > _ATTENDEES_MAX:
        notes.append(f"Of {len(found)} attendees only the first {_ATTENDEES_MAX} are invited; Outlook takes no more.")
    return list(found.values())[:_ATTENDEES_MAX]


def _choice(what: str, template: Template, row: Row, known: tuple[str, ...], default: str) -> str:
    text = template.render(row) or default
    for name in known:
        if name.casefold() == text.casefold():
            return name
    column = template.columns[0] if template.columns else "…"
    remedy = f"Translate what the column holds with [values.{column}]."
    raise _unusable(what, template, row, f"is none of {', '.join(known)}", remedy)


def _flag(what: str, template: Template, row: Row) -> bool:
    text = template.render(row).casefold()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise _unusable(
        what, template, row, "is neither true nor false", "Use a check box column, or translate it with [values]."
    )


def _minutes(what: str, template: Template, row: Row) -> int | None:
    text = template.render(row)
    if not text:
        return None
    if not (match := _LENGTH.fullmatch(text)):
        raise _unusable(what, template, row, "is no length in minutes (90, or 1:30)", "Use a column with whole minutes.")
    return int(match[1]) if match[1] else 60 * int(match[2]) + int(match[3])


def _further(mapping: Mapping, row: Row) -> dict[str, Any]:
    """The properties that say how the event is shown and announced."""
    event, body = mapping.event, dict[str, Any]()
    for name, (known, default) in _CHOICES.items():
        if template := getattr(event, name):
            body[name] = _choice(f"event.{name}", template, row, known, default)
    if event.categories:
        body["categories"] = list(dict.fromkeys(filter(None, (category.render(row) for category in event.categories))))
    for name in ("isReminderOn", "hideAttendees"):
        if template := getattr(event, name):
            body[name] = _flag(f"event.{name}", template, row)
    if minutes := event.reminderMinutesBeforeStart:
        length = _minutes("event.reminderMinutesBeforeStart", minutes, row)
        body["reminderMinutesBeforeStart"] = _REMINDER_DEFAULT if length is None else length
    return body


def _subject(subject: str, notes: list[str]) -> str:
    """Exchange counts UTF-16 units, of which an emoji takes two; none is cut in half."""
    subject = re.sub(r"[\r\n]+", " ", subject)
    units = subject.encode("utf-16-le")
    if len(units) <= 2 * _SUBJECT_MAX:
        return subject
    notes.append(f"The subject is longer than {_SUBJECT_MAX} characters and was cut.")
    return units[: 2 * (_SUBJECT_MAX - 1)].decode("utf-16-le", "ignore") + "…"


def _template(source: Template | DateAndTime | Duration | None) -> Template:
    match source:
        case Template():
            return source
        case DateAndTime():
            return Template(source.date.source, (*source.date.parts, *source.time.parts))
        case Duration():
            return source.minutes
    return Template("", ())


def _unusable(what: str, template: Template, row: Row, wrong: str, remedy: str) -> Permanent:
    kinds = [(column, kind_of(row.get(column))) for column in template.columns]
    made = " and ".join(column if kind == "empty" else f"{column} ({kind})" for column, kind in kinds)
    return Permanent(
        Code.ROW_UNUSABLE, f"The mapping's {what}{f', made of {made},' if made else ''} {wrong} in this row.", remedy
    )
