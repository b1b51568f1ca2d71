"""How a row becomes the event that should stand in a calendar."""

import hashlib
import html
import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from handlers.sync.errors import Code, Permanent
from handlers.sync.formats import Show, shower
from handlers.sync.lengths import minutes
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_values import IMPORTANCE, SENSITIVITY, SHOW_AS
from handlers.sync.people import attendees, mailbox_of
from handlers.sync.scope import Scope
from handlers.sync.template import Row, Template
from handlers.sync.text import cut, one_line, without_controls
from handlers.sync.times import start_and_end, zone_of
from handlers.sync.values import choice, flag, translated
from handlers.sync.zones import find_zone

# Characters of a subject and of a location, which are one line each; Graph's documentation tells neither.
# https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
# https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxcical
_LINE_MAX = 255

# What Graph itself takes where nothing is said; a PATCH has to say it, or an older value stays.
# https://learn.microsoft.com/graph/api/resources/event
_CHOICES = {
    "showAs": (SHOW_AS, "busy"),
    "sensitivity": (SENSITIVITY, "normal"),
    "importance": (IMPORTANCE, "normal"),
}
_REMINDER_DEFAULT = 15
_TEAMS = "teamsForBusiness"
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class CalendarEvent:
    """What should stand in a calendar: a Graph `event` body (without ids), and the mailbox and calendar that it belongs to.

    `notes` say what of the row could not be shown as it is. `silent`: it is made without a reminder, which is no part
    of its content, or it would be written again for that. `online`: it is a Teams meeting, whatever its content says.
    """

    mailbox: str
    body: dict[str, Any]
    calendar: str = ""
    notes: tuple[str, ...] = ()
    silent: bool = False
    online: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content; write-back and audit columns are not part of it."""
        text = json.dumps(self.body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def over(self) -> float:
        """When it is over, in seconds since 1970; 0 where that is not said."""
        return self.moment("end") if "end" in self.body else 0.0

    def moment(self, which: str) -> float:
        """Its `start` or `end` in seconds since 1970; of whole days, in the mapping's zone."""
        told = self.body[which]
        clock = find_zone(told["timeZone"]).clock
        return datetime.fromisoformat(told["dateTime"]).replace(tzinfo=clock).timestamp()


def calendar_event(mapping: Mapping, row: Row, scope: Scope) -> CalendarEvent:
    """Render picked columns. Raises Permanent, naming the column, what it holds by kind, and the rule."""
    mapping = mapping.shaped(row)
    row = translated(mapping, row)
    mailbox = mailbox_of(mapping, row)
    event, notes = mapping.event, list[str]()
    show = shower(mapping.locale, lambda: zone_of(mapping, row), notes)
    body: dict[str, Any] = {"subject": _shown("subject", event.subject, row, show, notes)}
    if event.body or mapping.footer:
        body["body"] = _body(mapping, row, scope, show)
    try:
        body |= start_and_end(mapping, row, notes)
    except OverflowError:
        raise Permanent(
            Code.ROW_UNUSABLE, "The event would not be within the years 1 to 9999.", "Correct the dates in Acumatica."
        ) from None
    if event.location:
        body["location"] = {"displayName": _shown("location", event.location, row, show, notes)}
    if event.attendees:
        body["attendees"] = attendees(mapping, row, mailbox, show, notes)
    body |= _further(mapping, row, show)
    if scope.test_mailbox:  # read and checked as it will be later; only where it goes is another
        return CalendarEvent(scope.test_mailbox, {n: v for n, v in body.items() if n != "attendees"}, notes=tuple(notes))
    return CalendarEvent(mailbox, body, mapping.calendar.render(row) if mapping.calendar else "", tuple(notes))


def _body(mapping: Mapping, row: Row, scope: Scope, show: Show) -> dict[str, str]:
    source, link = mapping.event.body, record_address(mapping, row, scope)
    footer = mapping.footer.parts if mapping.footer else ()
    if source and source.contentType == "html":
        anchor = f'<a href="{html.escape(link)}">{html.escape(link)}</a>'
        last = "".join(html.escape(part.text) + (anchor if part.column else "") for part in footer)
        content = source.content.render(row, _escaped, show) + (f"<hr><p>{last}</p>" if last else "")
        return {"contentType": "html", "content": without_controls(content)}
    parts = [
        source.content.render(row, show=show) if source else "",
        "".join(part.text + (link if part.column else "") for part in footer),
    ]
    return {"contentType": "text", "content": without_controls("\n\n".join(filter(None, parts)))}


def _escaped(text: str) -> str:
    return re.sub(r"\r\n|[\r\n]", "<br>", html.escape(text))


def record_address(mapping: Mapping, row: Row, scope: Scope) -> str:
    """The address of the row's record in Acumatica; empty where the mapping says none."""
    if not mapping.link:
        return ""
    if mapping.link.column and _ADDRESS.match(address := mapping.link.render(row)):  # a column with whole addresses
        return quote(one_line(address), safe="%/:?#[]@!$&'()*+,;=~")
    link = mapping.link.render(row, lambda text: quote(text, safe=""))
    return link if _ADDRESS.match(link) else f"{scope.site.rstrip('/')}/{link.lstrip('/')}"


def _further(mapping: Mapping, row: Row, show: Show) -> dict[str, Any]:
    """The properties that say how the event is shown and announced."""
    event, body = mapping.event, dict[str, Any]()
    for name, (known, default) in _CHOICES.items():
        if template := getattr(event, name):
            body[name] = choice(f"event.{name}", template, row, known, default)
    if event.categories:
        names = [one_line(category.render(row, show=show)) for category in event.categories]
        body["categories"] = list(dict.fromkeys(filter(None, names)))
    for name in ("isReminderOn", "hideAttendees"):
        if template := getattr(event, name):
            body[name] = flag(f"event.{name}", template, row)
    if template := event.reminderMinutesBeforeStart:
        length = minutes("event.reminderMinutesBeforeStart", template, row)
        body["reminderMinutesBeforeStart"] = _REMINDER_DEFAULT if length is None else length
    if template := event.isOnlineMeeting:
        online = flag("event.isOnlineMeeting", template, row)
        body |= {"isOnlineMeeting": True, "onlineMeetingProvider": _TEAMS} if online else {"isOnlineMeeting": False}
    return body


def _shown(what: str, template: Template, row: Row, show: Show, notes: list[str]) -> str:
    """Text of one line that is cut, with a note, where it is too long."""
    text = one_line(template.render(row, show=show))
    shown = cut(text, _LINE_MAX)
    if shown != text:
        notes.append(f"The {what} is longer than {_LINE_MAX} characters and was cut.")
    return shown
