"""Microsoft Graph: events in mailboxes, written by the app itself (application permission Calendars.ReadWrite).

https://learn.microsoft.com/graph/api/resources/event
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

from handlers.clients.gate import Gate
from handlers.clients.web import Http, succeeded
from handlers.settings import CONNECT_SECONDS, Settings
from handlers.sync.answers import graph_code, graph_error
from handlers.sync.errors import (
    RUN_AGAIN,
    Code,
    EventGone,
    Later,
    MailboxGone,
    NoCalendar,
    OutcomeUnknown,
    Permanent,
)
from handlers.sync.event import CalendarEvent

log = logging.getLogger(__name__)

# The named property that marks our events: its look-up finds an event whose id is not known, or has changed.
# https://learn.microsoft.com/graph/api/resources/extended-properties-overview
STAMP = "String {6f2c1d0e-52f4-4b0b-9d6c-3a5a4e0c7b21} Name AcumaticaRow"

_TOKEN_DELAY = 30.0
_CALENDARS_SECONDS = 600.0
_RESOURCE = "https://graph.microsoft.com"


def created(event: CalendarEvent, stamp: str) -> dict[str, Any]:
    """The body of the POST that makes an event."""
    return event.body | {"transactionId": stamp} | stamped(stamp)


def stamped(stamp: str) -> dict[str, Any]:
    """The property that marks an event as a link's."""
    return {"singleValueExtendedProperties": [{"id": STAMP, "value": stamp}]}


def _event(event_id: str) -> str:
    return f"/events/{quote(event_id, safe='')}"


class Graph:
    """Create, change, remove and find events. All methods may raise any SyncError."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._http = Http(settings.request_timeout_seconds)
        self._token_lock = threading.Lock()
        self._last_token = ""
        self._clock = clock
        self._patience = min(CONNECT_SECONDS, settings.request_timeout_seconds)
        self._token_client: Callable[[], dict[str, Any]] | None = None
        self._calendars: dict[tuple[str, str], tuple[str, float]] = {}  # id and expiry by mailbox and name
        self.gate = Gate(clock)

    def create(self, event: CalendarEvent, stamp: str) -> str:
        """POST an event; returns its id. Repeating it with the same stamp makes no second event.

        Raises DuplicateTransaction where the stamp has made an event of other content.
        """
        folder = self._folder(event.mailbox, event.calendar)
        try:
            answer = self._call("POST", event.mailbox, f"{folder}/events", created(event, stamp))
        except EventGone as error:
            self._calendars.pop((event.mailbox, event.calendar), None)  # perhaps the calendar is gone
            raise Later(Code.GRAPH_UNAVAILABLE, str(error)) from None
        if not isinstance(answer.get("id"), str):
            raise OutcomeUnknown(Code.NOT_THE_SERVICE, "Graph answered without the event's id")
        return str(answer["id"])

    def update(self, mailbox: str, event_id: str, event: CalendarEvent, stamp: str | None = None) -> None:
        """PATCH an event with all that is mapped (and, where it is not ours yet, with its stamp). Raises EventGone."""
        body = event.body | (stamped(stamp) if stamp else {})
        self._call("PATCH", mailbox, _event(event_id), body)

    def adoptable(self, mailbox: str, event_id: str, link_key: str) -> bool:
        """Whether an event is there that another integration has made in this mailbox, and no other row owns."""
        expand = f"singleValueExtendedProperties($filter=id eq '{STAMP}')"
        path = f"{_event(event_id)}?$select=isOrganizer,type&$expand={quote(expand, safe='')}"
        try:
            answer = self._call("GET", mailbox, path)
        except MailboxGone:
            raise
        except (EventGone, Permanent):  # gone, or no id of Graph's at all
            return False
        stamps = [str(item.get("value")) for item in answer.get("singleValueExtendedProperties") or ()]
        ours = all(stamp.lower().startswith(link_key) for stamp in stamps)
        return bool(answer.get("isOrganizer")) and answer.get("type") == "singleInstance" and ours

    def details(self, mailbox: str, event_id: str) -> dict[str, str]:
        """What else of an event a record can be told. Raises EventGone."""
        answer = self._call("GET", mailbox, f"{_event(event_id)}?$select=webLink,iCalUId")
        return {name: str(answer.get(name) or "") for name in ("webLink", "iCalUId")}

    def cancel(self, mailbox: str, event_id: str, comment: str) -> bool:
        """Tell attendees that a meeting is off; False where there is nobody to tell. Raises EventGone, MailboxGone.

        https://learn.microsoft.com/graph/api/event-cancel
        """
        try:
            self._call("POST", mailbox, f"{_event(event_id)}/cancel", {"comment": comment})
        except MailboxGone:
            raise
        except Permanent:
            return False
        return True

    def delete(self, mailbox: str, event_id: str) -> None:
        """DELETE an event; an appointment without attendees sends no mail. Raises EventGone, MailboxGone."""
        self._call("DELETE", mailbox, _event(event_id))

    def find(self, mailbox: str, stamp: str, calendar: str = "") -> list[str]:
        """Ids of the events that carry a stamp, in a stable order, first in the calendar that is named. Raises MailboxGone.

        https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get: blanks as %20, values compared without
        regard to case.
        """
        condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq '{stamp}')"
        folders = [""]
        if calendar:
            with contextlib.suppress(NoCalendar):
                folders.insert(0, self._folder(mailbox, calendar))
        for folder in folders:
            try:
                answer = self._call("GET", mailbox, f"{folder}/events?$filter={quote(condition, safe='')}&$select=id")
                if found := sorted(str(event["id"]) for event in answer["value"]):
                    return found
            except EventGone as error:
                if not folder:
                    raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's look-up failed ({type(error).__name__})") from None
                self._calendars.pop((mailbox, calendar), None)
            except (KeyError, TypeError) as error:
                raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's look-up failed ({type(error).__name__})") from None
        return []

    def _folder(self, mailbox: str, calendar: str) -> str:
        """The path of a calendar, by name or id; the default one is the mailbox itself. Raises NoCalendar.

        https://learn.microsoft.com/graph/api/user-list-calendars
        """
        if not calendar:
            return ""
        known, expires = self._calendars.get((mailbox, calendar), ("", 0.0))
        if self._clock() >= expires:
            try:
                answer = self._call("GET", mailbox, "/calendars?$select=id,name&$top=100")
                names = {str(found["id"]): str(found["name"]) for found in answer["value"]}
            except (EventGone, KeyError, TypeError) as error:
                raise Later(Code.GRAPH_UNAVAILABLE, f"Graph's list of calendars failed ({type(error).__name__})") from None
            wanted = calendar.strip().casefold()
            known = next((i for i, name in names.items() if i == calendar or name.strip().casefold() == wanted), "")
            if not known:
                raise NoCalendar(
                    Code.CALENDAR_MISSING,
                    f"The mailbox has no calendar of the mapping's name: {calendar[:100]!r} in {mailbox}.",
                    f"Add it in Outlook, or correct the mapping's calendar; {RUN_AGAIN}",
                )
            self._calendars[mailbox, calendar] = known, self._clock() + _CALENDARS_SECONDS
        return f"/calendars/{quote(known, safe='')}"

    def check_token(self) -> None:
        """Raises Later, with Entra's reason, unless a token can be had."""
        self._token()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def _call(self, method: str, mailbox: str, path: str, body: Any = None) -> dict[str, Any]:
        url = f"{self._settings.graph_url}/v1.0/users/{quote(mailbox, safe='')}{path}"
        request_id, began, token = str(uuid.uuid4()), self._clock(), ""
        for _ in range(2):
            token = self._token(refused=token)
            if self._clock() - began > self._patience:  # the caller has counted on no more
                raise Later(Code.GRAPH_TOKEN, "the token for Microsoft Graph took too long")
            # https://learn.microsoft.com/graph/best-practices-concept: client-request-id finds a call in Microsoft's logs
            headers = {"Authorization": f"Bearer {token}", "client-request-id": request_id}
            answer = self._http.request(method, url, headers=headers, json=body)
            if answer.status_code != requests.codes.unauthorized:
                break
        if succeeded(answer):
            log.debug("Graph: %s: %d, client-request-id %s", method, answer.status_code, request_id)
            return dict(self._http.json(answer)) if answer.content else {}
        code = graph_code(answer.content)
        log.warning("Graph: %s: %d %s, client-request-id %s", method, answer.status_code, code, request_id)
        error = graph_error(answer.status_code, answer.headers, answer.content, mailbox=mailbox)
        if answer.status_code == requests.codes.too_many_requests and isinstance(error, Later):
            self.gate.throttled(mailbox, error.delay)  # each further request would count against the mailbox
        raise error

    def _token(self, refused: str = "") -> str:
        """The app's token: one request for many threads, then from msal's cache; another one than was `refused`.

        Raises Later with Entra's reason.
        """
        from msal.exceptions import MsalError  # noqa: PLC0415  (slow; only `apply` needs it)

        with self._token_lock:
            try:
                if self._token_client is None or (refused and refused == self._last_token):
                    self._token_client = self._http.reach(self._new_token_client)
                result = self._http.reach(self._token_client)
            except OutcomeUnknown as error:  # asking for a token changes nothing
                raise Later(Code.GRAPH_TOKEN, f"no token for Microsoft Graph: {error}") from None
            except (ValueError, KeyError, MsalError) as error:  # e.g. a 5xx of Entra
                raise Later(
                    Code.GRAPH_TOKEN, f"no token for Microsoft Graph ({type(error).__name__})", _TOKEN_DELAY
                ) from None
            if "access_token" in result:
                self._last_token = str(result["access_token"])
                return self._last_token
        # msal gives error_description with correlation ids behind the first line, and no secrets.
        reason = str(result.get("error_description") or result.get("error") or "no reason given").splitlines()[0][:300]
        raise Later(
            Code.GRAPH_TOKEN,
            f"no token for Microsoft Graph: {reason}; check the identity and the GRAPH_* settings",
            _TOKEN_DELAY,
        )

    def _new_token_client(self) -> Callable[[], dict[str, Any]]:
        """What asks for tokens: the managed identity, or an app registration where a client secret is set.

        https://learn.microsoft.com/entra/msal/python/
        """
        import msal  # noqa: PLC0415  (slow; only `apply` needs it)

        settings, session = self._settings, self._http.session
        if secret := settings.graph_client_secret.get_secret_value():
            app = msal.ConfidentialClientApplication(
                settings.graph_client_id,
                client_credential=secret,
                authority=f"{settings.graph_authority}/{settings.graph_tenant_id}",
                instance_discovery=False,  # the authority is the administrator's own setting; one request less
                http_client=session,
            )
            return lambda: dict(app.acquire_token_for_client(scopes=[f"{_RESOURCE}/.default"]))
        identity = (
            msal.UserAssignedManagedIdentity(client_id=settings.graph_client_id)
            if settings.graph_client_id
            else msal.SystemAssignedManagedIdentity()
        )
        client = msal.ManagedIdentityClient(identity, http_client=session)
        return lambda: dict(client.acquire_token_for_client(resource=_RESOURCE))
