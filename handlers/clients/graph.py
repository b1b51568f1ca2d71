"""Microsoft Graph: events in mailboxes, written by the app itself (application permission Calendars.ReadWrite)."""

import contextlib
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from handlers.clients import requests_to_graph as to_graph
from handlers.clients.entra import Tokens
from handlers.clients.limiter import MailboxLimiter
from handlers.clients.requests_to_graph import GraphRequest
from handlers.clients.web import Http, succeeded
from handlers.settings import CONNECT_SECONDS, Settings
from handlers.sync.answers import graph_code, graph_error, met
from handlers.sync.errors import RUN_AGAIN, Code, EventGone, Later, MailboxGone, NoCalendar, OutcomeUnknown, Permanent
from handlers.sync.event import CalendarEvent

log = logging.getLogger(__name__)

_CALENDARS_SECONDS = 600.0
_WRITE_SECONDS = 30.0  # that the answer to a write is waited for: the repetition follows, and does no harm
_PAGES = 50
_VIEW_PAGES = 1000
_CALENDAR_ID = re.compile(r"[A-Za-z0-9_=+/-]{60,}")

type Json = dict[str, Any]


class Graph:
    """Create, change, remove and find events. All methods may raise any SyncError.

    No request starts that might end after `deadline` (seconds since 1970), however many a method makes.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._read_seconds = settings.request_timeout_seconds
        self._write_seconds = min(_WRITE_SECONDS, settings.request_timeout_seconds)
        self._http = Http(self._read_seconds)
        self._clock = clock
        self._patience = min(CONNECT_SECONDS, settings.request_timeout_seconds)
        self._tokens = Tokens(settings, self._patience)
        self._calendars: dict[tuple[str, str], tuple[list[str], float]] = {}  # ids and expiry by mailbox and name
        self._owners: dict[str, str] = {}  # addresses by object id
        self.limiter = MailboxLimiter(clock)

    def create(self, event: CalendarEvent, stamp: str, deadline: float = math.inf) -> str:
        """POST an event; returns its id. Repeating it with the same stamp makes no second event.

        Raises DuplicateTransaction where the stamp has made an event of other content, EventGone where the calendar is gone.
        """
        event = self._without_owner(event, deadline)
        folders: list[str | None] = [*self._named(event.mailbox, event.calendar, deadline)] or [None]
        for last, folder in enumerate(folders, 1 - len(folders)):
            try:
                return str(self._call(to_graph.create_event(event, stamp, folder), deadline)["id"])
            except EventGone:  # of two calendars with one name, Graph may list one that it does not find
                if not last:
                    self._calendars.pop((event.mailbox, event.calendar), None)
                    raise
        raise AssertionError("never reached")

    def update(
        self, mailbox: str, event_id: str, event: CalendarEvent, stamp: str | None = None, deadline: float = math.inf
    ) -> None:
        """PATCH an event with all that is mapped (and, where it is not ours yet, with its stamp). Raises EventGone."""
        event = self._without_owner(event, deadline)
        self._call(to_graph.update_event(mailbox, event_id, event, stamp), deadline)

    def adoptable(self, mailbox: str, event_id: str, link_key: str, deadline: float = math.inf) -> bool:
        """Whether an event that another integration has made may become a row's. Raises EventGone where it is not there."""
        try:
            answer = self._call(to_graph.get_ownership(mailbox, event_id), deadline)
        except MailboxGone:
            raise
        except EventGone as error:
            if error.foreign:
                return False
            raise
        except Permanent:  # no id of Graph's at all
            return False
        stamps = [str(item.get("value")) for item in answer.get("singleValueExtendedProperties") or ()]
        ours = all(stamp.lower().startswith(link_key) for stamp in stamps)
        return bool(answer.get("isOrganizer")) and answer.get("type") == "singleInstance" and ours

    def details(self, mailbox: str, event_id: str, deadline: float = math.inf) -> dict[str, str]:
        """What else of an event a record can be told. Raises EventGone."""
        answer = self._call(to_graph.get_details(mailbox, event_id), deadline)
        meeting = answer.get("onlineMeeting")
        join = meeting.get("joinUrl") if isinstance(meeting, dict) else None
        return {name: str(answer.get(name) or "") for name in ("webLink", "iCalUId")} | {"joinUrl": str(join or "")}

    def cancel(self, mailbox: str, event_id: str, comment: str, deadline: float = math.inf) -> bool:
        """Tell attendees that a meeting is off; False where there is nobody to tell. Raises EventGone, MailboxGone."""
        try:
            self._call(to_graph.cancel_event(mailbox, event_id, comment), deadline)
        except MailboxGone:
            raise
        except Permanent:
            return False
        return True

    def delete(self, mailbox: str, event_id: str, deadline: float = math.inf) -> None:
        """DELETE an event; an appointment without attendees sends no mail. Raises EventGone, MailboxGone."""
        self._call(to_graph.delete_event(mailbox, event_id), deadline)

    def find(self, mailbox: str, stamp: str, calendar: str = "", deadline: float = math.inf) -> list[str]:
        """Ids of the events that carry a stamp, in a stable order, wherever in the mailbox they are. Raises MailboxGone.

        First in the calendar that is named and in the mailbox's own list, which may be that of its default calendar only:
        Microsoft's pages disagree. Where those have none, in each of its calendars.
        """
        looked: set[str | None] = set()
        for folder in self._near_first(mailbox, calendar, deadline):
            if folder in looked:
                continue
            looked.add(folder)
            try:
                found = sorted(
                    str(event["id"]) for event in self._list(to_graph.find_events(mailbox, stamp, folder), deadline)
                )
            except EventGone as error:
                if folder is None:
                    raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's look-up failed: {error}") from None
                self._calendars.pop((mailbox, calendar), None)
                continue  # a calendar that is listed and not there
            if found:
                return found
        return []

    def view(
        self,
        mailbox: str,
        calendar: str,
        window: tuple[datetime, datetime],
        *,
        responses: bool = False,
        deadline: float = math.inf,
    ) -> Iterator[Json]:
        """What a calendar shows of its events in a window, as Graph tells it; nothing where there is no such calendar."""
        try:
            folders: list[str | None] = [*self._named(mailbox, calendar, deadline)] or [None]
        except NoCalendar:
            return
        for folder in folders:
            request = to_graph.view_calendar(mailbox, *window, folder, responses=responses)
            try:
                yield from self._list(request, deadline, _VIEW_PAGES)
            except EventGone as error:
                if folder is None:
                    raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's view of the calendar failed: {error}") from None
                self._calendars.pop((mailbox, calendar), None)  # it is listed, and not there

    def look(self, mailbox: str, event_id: str, *, responses: bool = False, deadline: float = math.inf) -> Json:
        """The same of one event. Raises EventGone."""
        return self._call(to_graph.get_times(mailbox, event_id, responses=responses), deadline)

    def time(self) -> datetime:
        """The service's clock. Raises SyncError, also where an answer tells no time."""
        answer = self._http.request("GET", self._settings.graph_url)
        try:
            return parsedate_to_datetime(answer.headers["Date"])
        except (KeyError, ValueError):
            raise Later(Code.NOT_THE_SERVICE, "the answer tells no time") from None

    def check_token(self) -> None:
        """Raises Later, with Entra's reason, unless a token can be had."""
        self._tokens.get()

    def close(self) -> None:
        """End the connections."""
        self._tokens.close()
        self._http.close()

    # -- people --------------------------------------------------------------------------------------------------------

    def _without_owner(self, event: CalendarEvent, deadline: float) -> CalendarEvent:
        """The event without its organizer among the attendees, where the mailbox is an object id that says no address."""
        people = event.body.get("attendees")
        if not people or "@" in event.mailbox:
            return event
        owner = self._owner(event.mailbox, deadline)
        others = [person for person in people if str(person["emailAddress"]["address"]).casefold() != owner]
        return replace(event, body=event.body | {"attendees": others})

    def _owner(self, mailbox: str, deadline: float) -> str:
        if mailbox not in self._owners:
            try:
                owner = self._call(to_graph.get_owner(mailbox), deadline).get("owner")
            except EventGone as error:
                raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's look-up of the owner failed: {error}") from None
            self._owners[mailbox] = str((owner or {}).get("address") or "").casefold()
        return self._owners[mailbox]

    # -- calendars -----------------------------------------------------------------------------------------------------

    def _near_first(self, mailbox: str, calendar: str, deadline: float) -> Iterator[str | None]:
        with contextlib.suppress(NoCalendar):  # renamed or removed since
            yield from self._named(mailbox, calendar, deadline)
        yield None
        yield from (str(found["id"]) for found in self._all_calendars(mailbox, deadline))

    def _named(self, mailbox: str, calendar: str, deadline: float) -> list[str]:
        """Ids of the calendars that a mapping may mean, by name or id; none for the default one. Raises NoCalendar."""
        if not calendar:
            return []
        ids, expires = self._calendars.get((mailbox, calendar), ([], 0.0))
        if self._clock() < expires:
            return ids
        wanted = calendar.strip().casefold()
        listed = self._all_calendars(mailbox, deadline)
        named = [c for c in listed if c["id"] == calendar or str(c.get("name")).strip().casefold() == wanted]
        ids = [str(c["id"]) for c in sorted(named, key=lambda c: not c.get("isDefaultCalendar"))]
        if not ids and _CALENDAR_ID.fullmatch(calendar):
            ids = [calendar]  # Graph does not list every calendar
        if not ids:
            raise NoCalendar(
                Code.CALENDAR_MISSING,
                f"The mailbox has no calendar of the mapping's name: {calendar[:100]!r} in {mailbox}.",
                f"Add it in Outlook, or correct the mapping's calendar; {RUN_AGAIN}",
            )
        self._calendars[mailbox, calendar] = ids, self._clock() + _CALENDARS_SECONDS
        return ids

    def _all_calendars(self, mailbox: str, deadline: float) -> list[Json]:
        try:
            return list(self._list(to_graph.list_calendars(mailbox), deadline))
        except EventGone as error:
            raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's list of calendars failed: {error}") from None

    # -- requests ------------------------------------------------------------------------------------------------------

    def _list(self, request: GraphRequest, deadline: float, pages: int = _PAGES) -> Iterator[Json]:
        """All items of a list, page by page. https://learn.microsoft.com/graph/paging."""
        prefix = self._settings.graph_url + GraphRequest("GET", request.mailbox, "").url.rpartition("/")[0]
        for _ in range(pages):
            answer = self._call(request, deadline)
            items = answer["value"]
            yield from items
            if not (more := answer.get("@odata.nextLink")):
                return
            if not str(more).startswith(prefix):  # the token goes nowhere else
                raise Later(Code.NOT_THE_SERVICE, "Graph's list goes on at another address", 30.0)
            mailbox_path = str(more).removeprefix(prefix).lstrip("/")
            request = replace(request, path=f"/{mailbox_path.partition('/')[2]}")
        raise Later(Code.NOT_THE_SERVICE, f"Graph's list has more than {pages} pages", 30.0)

    def _call(self, request: GraphRequest, deadline: float) -> Json:
        if self._clock() + self._settings.longest_request_seconds > deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left for one more request", counted=False)
        request_id, began, token = str(uuid.uuid4()), self._clock(), ""
        for _ in range(2):
            token = self._tokens.get(refused=token)
            if self._clock() - began > self._patience:  # the caller has counted on no more
                raise Later(Code.GRAPH_TOKEN, "the token for Microsoft Graph took too long")
            # https://learn.microsoft.com/graph/best-practices-concept: client-request-id finds a call in Microsoft's logs
            headers = {"Authorization": f"Bearer {token}", "client-request-id": request_id}
            url = self._settings.graph_url + request.url
            timeout = self._read_seconds if request.method == "GET" else self._write_seconds
            answer = self._http.request(request.method, url, timeout=timeout, headers=headers, json=request.body)
            if answer.status_code != requests.codes.unauthorized:
                break
        if succeeded(answer):
            log.debug("Graph: %s: %d, client-request-id %s", request.method, answer.status_code, request_id)
            return _content(request, answer)
        code = graph_code(answer.content)
        log.warning("Graph: %s: %d %s, client-request-id %s", request.method, answer.status_code, code, request_id)
        error = graph_error(
            answer.status_code,
            answer.headers,
            answer.content,
            mailbox=request.mailbox,
            names_event=request.names_event,
        )
        if isinstance(error, Later) and error.code == Code.GRAPH_THROTTLED:
            self.limiter.throttled(request.mailbox, error.delay)  # each further request would count against the mailbox
        raise error


def _content(request: GraphRequest, answer: requests.Response) -> Json:
    """The JSON of a success, in the shape that was asked for. Raises where something else has answered: Later to a look."""
    if not answer.content and (request.method == "DELETE" or request.path.endswith("/cancel")):
        return {}
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        content = None
    wanted = "value" if request.lists else "id"
    if request.method == "PATCH" and not answer.content and answer.status_code == requests.codes.no_content:
        return {}
    if isinstance(content, dict) and _right_shape(content, wanted):
        return content
    strange = f"Graph's answer is not what was asked for: {met(answer.status_code, answer.headers, answer.content)}"
    if request.method == "GET":
        raise Later(Code.NOT_THE_SERVICE, strange, 30.0)
    raise OutcomeUnknown(Code.NOT_THE_SERVICE, strange)


def _right_shape(content: Json, wanted: str) -> bool:
    if wanted == "id":
        return isinstance(content.get("id"), str)
    items = content.get("value")
    return isinstance(items, list) and all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in items)
