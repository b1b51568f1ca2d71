"""The requests to Microsoft Graph, as data: what the client sends and the preview prints are the same.

https://learn.microsoft.com/graph/api/resources/event
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from handlers.sync.event import CalendarEvent

# The named property that marks our events: its look-up finds an event whose id is not known, or has changed.
# https://learn.microsoft.com/graph/api/resources/extended-properties-overview
STAMP = "String {6f2c1d0e-52f4-4b0b-9d6c-3a5a4e0c7b21} Name AcumaticaRow"
_PAGE = 100
_VIEW_PAGE = 250
_EXPAND = "$expand=" + quote(f"singleValueExtendedProperties($filter=id eq '{STAMP}')", safe="")


@dataclass(frozen=True)
class GraphRequest:
    """Below /v1.0/users/{mailbox}. `names_event`: its path holds the id of an event; `lists`: a list is asked for."""

    method: str
    mailbox: str
    path: str
    body: dict[str, Any] | None = None
    names_event: bool = False
    lists: bool = False

    @property
    def url(self) -> str:
        """From the service's root."""
        return f"/v1.0/users/{_segment(self.mailbox)}{self.path}"


def create_event(event: CalendarEvent, stamp: str, calendar_id: str | None = None) -> GraphRequest:
    """POST, into the default calendar or another one. `transactionId` makes it repeatable."""
    body = event.body | ({"isReminderOn": False} if event.silent else {}) | {"transactionId": stamp} | _stamped(stamp)
    return GraphRequest("POST", event.mailbox, f"{_calendar(calendar_id)}/events", body)


def update_event(mailbox: str, event_id: str, event: CalendarEvent, stamp: str | None = None) -> GraphRequest:
    """PATCH of all that is mapped (and, where the event is not ours yet, of its stamp).

    The body of an online meeting holds the way into it, which a PATCH of the body would take away.
    https://learn.microsoft.com/graph/api/event-update
    """
    body = event.body
    if event.online or body.get("isOnlineMeeting"):
        body = {name: value for name, value in body.items() if name != "body"}
    return _on_event("PATCH", mailbox, event_id, body=body | (_stamped(stamp) if stamp else {}))


def delete_event(mailbox: str, event_id: str) -> GraphRequest:
    """DELETE; an appointment without attendees sends no mail."""
    return _on_event("DELETE", mailbox, event_id)


def cancel_event(mailbox: str, event_id: str, comment: str) -> GraphRequest:
    """https://learn.microsoft.com/graph/api/event-cancel: attendees are told."""
    return _on_event("POST", mailbox, event_id, "/cancel", {"comment": comment})


def get_ownership(mailbox: str, event_id: str) -> GraphRequest:
    """Whose event it is, and which stamp it carries."""
    return _on_event("GET", mailbox, event_id, f"?$select=isOrganizer,type&{_EXPAND}")


def get_details(mailbox: str, event_id: str) -> GraphRequest:
    """What else of an event a record can be told."""
    return _on_event("GET", mailbox, event_id, "?$select=webLink,iCalUId,onlineMeeting")


def find_events(mailbox: str, stamp: str, calendar_id: str | None = None) -> GraphRequest:
    """Events with a stamp, in one calendar.

    https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get: blanks as %20, values compared without
    regard to case.
    """
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq '{stamp}')"
    path = f"{_calendar(calendar_id)}/events?$filter={quote(condition, safe='')}&$select=id"
    return GraphRequest("GET", mailbox, path, lists=True)


def get_times(mailbox: str, event_id: str, *, responses: bool) -> GraphRequest:
    """When an event is, which stamp it carries, and what its attendees have answered. Times come in UTC."""
    return _on_event("GET", mailbox, event_id, f"?{_shown(responses=responses)}")


def view_calendar(
    mailbox: str, start: datetime, end: datetime, calendar_id: str | None = None, *, responses: bool
) -> GraphRequest:
    """The same of every event in a window: https://learn.microsoft.com/graph/api/calendar-list-calendarview."""
    window = "&".join(
        f"{name}={moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for name, moment in (("startDateTime", start), ("endDateTime", end))
    )
    path = f"{_calendar(calendar_id)}/calendarView?{window}&{_shown(responses=responses)}&$top={_VIEW_PAGE}"
    return GraphRequest("GET", mailbox, path, lists=True)


def _shown(*, responses: bool) -> str:
    return f"$select=start,end,isAllDay{',attendees' if responses else ''}&{_EXPAND}"


def list_calendars(mailbox: str) -> GraphRequest:
    """https://learn.microsoft.com/graph/api/user-list-calendars."""
    return GraphRequest("GET", mailbox, f"/calendars?$select=id,name,isDefaultCalendar&$top={_PAGE}", lists=True)


def get_owner(mailbox: str) -> GraphRequest:
    """Whose the mailbox is, with an address. https://learn.microsoft.com/graph/api/resources/calendar."""
    return GraphRequest("GET", mailbox, "/calendar?$select=id,owner")


def _on_event(method: str, mailbox: str, event_id: str, more: str = "", body: dict[str, Any] | None = None) -> GraphRequest:
    return GraphRequest(method, mailbox, f"/events/{_segment(event_id)}{more}", body, names_event=True)


def _calendar(calendar_id: str | None) -> str:
    return f"/calendars/{_segment(calendar_id)}" if calendar_id else ""


def _segment(text: str) -> str:
    return quote(text, safe="")


def _stamped(stamp: str) -> dict[str, Any]:
    return {"singleValueExtendedProperties": [{"id": STAMP, "value": stamp}]}
