"""What a row's meeting is, in the words of whoever looks for it: subject, time, whose calendar, and where its record is."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from handlers.sync.errors import Permanent
from handlers.sync.event import calendar_event, record_address
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.people import mailbox_of
from handlers.sync.scope import Scope
from handlers.sync.template import Row
from handlers.sync.text import one_line
from handlers.sync.values import translated

_SHOW_AS = {"free": "free", "tentative": "tentative", "busy": "busy", "oof": "out of office"}
_SHOW_AS |= {"workingElsewhere": "working elsewhere"}


@dataclass(frozen=True)
class Meeting:
    """What is known of it. `start` is the time on its own clock as ISO text; `record` the address of its record."""

    subject: str = ""
    when: str = ""
    mailbox: str = ""  # the one that the row asks for, whatever a trial makes of it
    start: str = ""
    record: str = ""


def meeting_of(link: EventLink, mapping: Mapping | None, site: str = "") -> Meeting:
    """The meeting of a row; of a row that cannot be shown as an event, or has left the inquiry, whatever is still known."""
    entries = [entry for entry in link.entries if not entry.leaving] or list(link.entries)
    there = entries[-1].mailbox if entries else ""
    if not mapping or not link.columns:
        return Meeting(mailbox=there)
    row, scope = link.row, Scope(site)
    if mapping.relay:
        return Meeting(record=record_address(mapping, row, scope))
    try:
        event = calendar_event(mapping, row, scope)
        row = translated(mapping, row)
    except Permanent:
        subject = mapping.shaped(row).event.subject
        with suppress(Permanent):
            row = translated(mapping, row)
        return Meeting(
            one_line(subject.render(row)),
            mailbox=_mailbox(mapping, row) or there,
            record=record_address(mapping, row, scope),
        )
    start = str(event.body["start"]["dateTime"])
    record = record_address(mapping, row, scope)
    return Meeting(str(event.body["subject"]), when(event.body), event.mailbox, start, record)


def when(body: dict[str, Any]) -> str:
    """The time of an event as a calendar shows it: `1–4 Dec 2026, all day`, `9 Dec 2026, 11:00–12:00 (UTC)`."""
    start, end = (datetime.fromisoformat(body[name]["dateTime"]) for name in ("start", "end"))
    if body["isAllDay"]:  # Graph's end is exclusive
        return f"{_days(start.date(), (end - timedelta(days=1)).date())}, all day"
    zone, last_zone = body["start"]["timeZone"], body["end"]["timeZone"]
    first, last = f"{_day(start.date())}, {start:%H:%M}", f"{_day(end.date())}, {end:%H:%M}"
    if zone != last_zone:
        return f"{first} ({zone}) – {last} ({last_zone})"
    return f"{first}–{end:%H:%M} ({zone})" if start.date() == end.date() else f"{first} – {last} ({zone})"


def particulars(body: dict[str, Any]) -> dict[str, str]:
    """How else an event shows itself, by what a person calls it; what the mapping does not say is Outlook's to choose."""
    people = [_person(attendee) for attendee in body.get("attendees", ())]
    reminder = body.get("reminderMinutesBeforeStart")
    found = {
        "Where": body.get("location", {}).get("displayName", ""),
        "Online": "Teams meeting" if body.get("isOnlineMeeting") else "",
        "Shown as": _SHOW_AS.get(body.get("showAs", ""), ""),
        "Categories": ", ".join(body.get("categories", ())),
        "Reminder": _reminder(on=body.get("isReminderOn"), minutes=reminder),
        "Private": body["sensitivity"] if body.get("sensitivity", "normal") != "normal" else "",
        "Importance": body["importance"] if body.get("importance", "normal") != "normal" else "",
        "Gets mail": f"{'; '.join(people)}. Outlook sends it, and nothing can suppress that" if people else "",
    }
    return {name: value for name, value in found.items() if value}


def _days(first: date, last: date) -> str:
    if first == last:
        return _day(first)
    if first.year != last.year:
        return f"{_day(first)} – {_day(last)}"
    if first.month != last.month:
        return f"{first.day} {first:%b} – {_day(last)}"
    return f"{first.day}–{_day(last)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%b} {day.year}"


def _person(attendee: dict[str, Any]) -> str:
    address, kind = attendee["emailAddress"], attendee["type"]
    name = f"{address['name']} <{address['address']}>" if address.get("name") else str(address["address"])
    return name if kind == "required" else f"{name} ({kind})"


def _reminder(*, on: bool | None, minutes: int | None) -> str:
    if on is False:
        return "none"
    return "" if minutes is None else f"{minutes} minutes before"


def _mailbox(mapping: Mapping, row: Row) -> str:
    try:
        return mailbox_of(mapping, row)
    except Permanent:
        return ""
