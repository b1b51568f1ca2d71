"""Microsoft Graph's calendars, for an app with the application permission Calendars.ReadWrite; and its tokens."""

import base64
import contextlib
import hashlib
import math
import re
import socket
import ssl
import tempfile
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, override
from urllib.parse import quote

from local.fakes import events
from local.fakes.events import Body, refused
from local.fakes.identity import Identity
from local.fakes.server import Call, Refused, Reply, Server

_RESOURCE = "https://graph.microsoft.com"
_DELETED_ITEMS = "Deleted Items"
_CALENDAR = "Calendar"
_PAGE = 10
# https://learn.microsoft.com/graph/throttling-limits#limits-per-mailbox: per app and mailbox
_CONCURRENT = 4
_QUERY_OPTIONS = {"$filter", "$select", "$top", "$skip", "$orderby", "$count", "$expand", "startDateTime", "endDateTime"}
_EQUALS = r"\s+eq\s+'((?:[^']|'')*)'"
_BY_PROPERTY = re.compile(
    rf"singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\1/id{_EQUALS}\s+and\s+\1/value{_EQUALS}\s*\)", re.IGNORECASE
)
_EXPAND = re.compile(rf"singleValueExtendedProperties\(\$filter=id{_EQUALS}\)", re.IGNORECASE)

# What Graph says with a status, where nothing else is known of the cause; shapes as in the service's own answers.
_STALE = (
    "The send or update operation could not be performed because the change key passed in the request does not match the "
    "current change key for the item."
)
_ERRORS = {
    400: ("ErrorInvalidRequest", "Your request can't be completed."),
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorItemNotFound", "The specified object was not found in the store."),
    409: ("ErrorIrresolvableConflict", _STALE),
    412: ("ErrorIrresolvableConflict", _STALE),
    429: ("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    500: ("ErrorInternalServerError", "An internal server error occurred. The operation failed."),
    503: ("serviceNotAvailable", "The service is unavailable."),
    504: ("UnknownError", ""),
}


@dataclass(frozen=True)
class Invitation:
    """A mail that Exchange sends to attendees, on its own account and in the organizer's name."""

    kind: Literal["request", "update", "cancellation"]
    mailbox: str
    event_id: str
    to: tuple[str, ...]


@dataclass
class _Item:
    """An event in a folder of its mailbox. Moving changes `id`; `immutable_id` stays."""

    id: str
    immutable_id: str
    folder: str
    event: Body
    original: Body
    created: datetime
    modified: datetime
    i_cal_uid: str
    version: int = 1
    organizer: bool = True

    @property
    def change_key(self) -> str:
        return base64.b64encode(hashlib.sha256(f"{self.immutable_id}/{self.version}".encode()).digest()[:22]).decode()

    @property
    def etag(self) -> str:
        return f'W/"{self.change_key}"'

    @property
    def deleted(self) -> bool:
        return self.folder == _DELETED_ITEMS

    def extended(self, name: str) -> str | None:
        """The value of an extended property."""
        stamps = self.event.get("singleValueExtendedProperties") or ()
        return next((stamp.get("value") for stamp in stamps if stamp["id"] == name), None)


@dataclass
class _Mailbox:
    address: str
    calendars: dict[str, str]  # id by name
    items: dict[str, _Item] = field(default_factory=dict)
    transactions: dict[str, _Item] = field(default_factory=dict)
    denied: bool = False
    gone: bool = False
    under_way: list[Call] = field(default_factory=list)
    most: int = 0
    recent: deque[float] = field(default_factory=deque)


class FakeGraph(Server):
    """`mailboxes`: the addresses that exist; None means everyone at example.com, each from its first use on.

    `tells_existing_id`: whether ErrorDuplicateTransactionId names the event (documented nowhere).
    `repeats`: what a creation is compared with whose transactionId is used up: the event as it is now, or as it was made.
    `request_limit`: requests and seconds, per mailbox; Outlook's own are 10,000 in 600 s.
    """

    service = "graph"

    def __init__(
        self,
        port: int = 0,
        latency: float = 0.0,
        seed: int = 0,
        mailboxes: Iterable[str] | None = None,
        *,
        tls: bool = False,
        tells_existing_id: bool = True,
        repeats: Literal["current", "original"] = "current",
        request_limit: tuple[int, float] | None = None,
    ) -> None:
        super().__init__(port, latency, seed)
        self.identity = Identity(seed)
        self.retry_after = "1"
        self.tells_existing_id = tells_existing_id
        self.repeats = repeats
        self.request_limit = request_limit
        self.invitations: list[Invitation] = []
        self._tls = tls
        self._tls_port = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._open = mailboxes is None
        self._count = seed * 1_000_000
        self._mailboxes: dict[str, _Mailbox] = {}
        for address in mailboxes or ():
            self.add_mailbox(address)

    # -- for tests and demos -------------------------------------------------------------------------------------------

    @property
    def identity_header(self) -> str:
        """IDENTITY_HEADER: whoever knows it gets tokens of the managed identity."""
        return self.identity.header

    @property
    def identity_endpoint(self) -> str:
        """IDENTITY_ENDPOINT of App Service: https://learn.microsoft.com/azure/app-service/overview-managed-identity."""
        return f"{self.url}/msi/token"

    @property
    def identity_settings(self) -> dict[str, str]:
        """What App Service puts into the environment, from where msal reads it."""
        return {"IDENTITY_ENDPOINT": self.identity_endpoint, "IDENTITY_HEADER": self.identity_header}

    @property
    def authority_url(self) -> str:
        """Address of Entra ID; needs `tls=True`, since msal refuses anything but https."""
        if not self._tls_port:
            raise RuntimeError("FakeGraph(tls=True) has to be started first")
        return f"https://127.0.0.1:{self._tls_port}"

    @property
    def ca_file(self) -> str:
        """The certificate to trust, as REQUESTS_CA_BUNDLE wants it."""
        if not self._folder:
            raise RuntimeError("FakeGraph(tls=True) has to be started first")
        return str(Path(self._folder.name) / "ca.pem")

    def mailboxes(self) -> list[str]:
        """Addresses of the mailboxes that exist or have been used."""
        with self.lock:
            return [box.address for box in self._mailboxes.values() if not box.gone]

    def events(self, mailbox: str) -> list[Body]:
        """The live events of a mailbox, in Graph's shape but with times as they were written.

        `stamp` is the value of the extended property, `transactionId` the one they were made with.
        """
        with self.lock:
            box = self._mailboxes.get(mailbox.lower())
            items = [item for item in box.items.values() if not item.deleted] if box and not box.gone else []
            return [self._inspected(box, item) for item in items if box]

    def add_mailbox(self, mailbox: str) -> None:
        """A mailbox that exists; one that was removed comes back with its events."""
        with self.lock:
            box = self._mailboxes.setdefault(mailbox.lower(), _Mailbox(mailbox.lower(), {_CALENDAR: self._new_id()}))
            box.gone = False

    def remove_mailbox(self, mailbox: str) -> None:
        """The owner has left, or lost the licence."""
        self.add_mailbox(mailbox)
        self._mailboxes[mailbox.lower()].gone = True

    def deny(self, mailbox: str, *, denied: bool = True) -> None:
        """Take a mailbox out of what the app may reach, or put it back."""
        self.add_mailbox(mailbox)
        self._mailboxes[mailbox.lower()].denied = denied

    def add_event(self, mailbox: str, subject: str, *, organizer: bool = True) -> str:
        """An event of another program, or (`organizer=False`) of a meeting that someone else has called; returns its id."""
        self.add_mailbox(mailbox)
        moments = {n: {"dateTime": f"2026-12-01T{h}:00:00", "timeZone": "UTC"} for n, h in (("start", "09"), ("end", "10"))}
        with self.lock:
            event = events.merged({}, events.normalise({"subject": subject, **moments}, create=True))
            item = self._add(self._mailboxes[mailbox.lower()], _CALENDAR, event)
            item.organizer = organizer
            return item.id

    def stamp(self, mailbox: str, event_id: str, name: str, value: str) -> None:
        """Give an event an extended property."""
        item = self._mailboxes[mailbox.lower()].items[event_id]
        item.event["singleValueExtendedProperties"] = [{"id": events.property_id(name), "value": value}]

    def user_deletes(self, mailbox: str, event_id: str) -> None:
        """A person deletes an event in Outlook: it moves to Deleted Items."""
        with self.lock:
            box = self._mailboxes[mailbox.lower()]
            self._move(box, box.items[event_id], _DELETED_ITEMS)

    def user_moves(self, mailbox: str, event_id: str, calendar: str = "Private") -> str:
        """A person moves an event to another calendar of the mailbox; returns its new id."""
        with self.lock:
            box = self._mailboxes[mailbox.lower()]
            box.calendars.setdefault(calendar, self._new_id())
            return self._move(box, box.items[event_id], calendar)

    def add_calendar(self, mailbox: str, name: str) -> str:
        """A person adds a calendar to the mailbox; returns its id."""
        self.add_mailbox(mailbox)
        return self._mailboxes[mailbox.lower()].calendars.setdefault(name, self._new_id())

    def calendars(self, mailbox: str) -> dict[str, str]:
        """Ids of a mailbox's calendars by name; the default one is `Calendar`."""
        self.add_mailbox(mailbox)
        return dict(self._mailboxes[mailbox.lower()].calendars)

    def max_concurrency(self, mailbox: str) -> int:
        """How many requests were under way at a time at most, those refused for it included."""
        with self.lock:
            box = self._mailboxes.get(mailbox.lower())
            return box.most if box else 0

    # -- the server's side ---------------------------------------------------------------------------------------------

    @override
    def sockets(self) -> list[tuple[socket.socket, Any]]:
        sockets = super().sockets()
        if self._tls:
            import trustme  # noqa: PLC0415  (slow; few need it)

            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self._folder = tempfile.TemporaryDirectory(prefix="fake-graph-")
            authority.cert_pem.write_to_path(self.ca_file)
            secure = self.reserve(self._tls_port)
            self._tls_port = secure.getsockname()[1]
            sockets.append((secure, context))
        return sockets

    @override
    def stop(self) -> None:
        super().stop()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    @override
    def locate(self, call: Call) -> None:
        if call.segments[:2] == ["v1.0", "users"] and len(call.segments) > 2:
            call.mailbox = call.segments[2].lower()

    @override
    def decorate(self, call: Call, reply: Reply) -> Reply:
        """https://learn.microsoft.com/graph/best-practices-concept#reliability-and-support."""
        if call.segments[0] != "v1.0":
            return reply
        request_id = str(uuid.uuid4())
        client_id = call.headers.get("client-request-id", request_id)
        headers = {"request-id": request_id, "client-request-id": client_id, **reply.headers}
        body = reply.body
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            inner = {"date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", "request-id": request_id}
            body = {"error": {**body["error"], "innerError": {**inner, "client-request-id": client_id}}}
        if body is not None:
            headers.setdefault("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
        return Reply(reply.status, body, headers)

    @override
    def error(self, status: int) -> Reply:
        code, message = _ERRORS.get(status, ("UnknownError", ""))
        headers = {"Retry-After": self.retry_after} if status == 429 else {}
        return Reply(status, {"error": {"code": code, "message": message}}, headers)

    @override
    def control(self, call: Call) -> Reply:
        """POST /_fake/mailboxes {"mailbox"} makes a mailbox, or brings one back."""
        if (call.method, call.segments) == ("POST", ["_fake", "mailboxes"]) and isinstance(call.body, dict):
            if isinstance(mailbox := call.body.get("mailbox"), str):
                self.add_mailbox(mailbox)
                return Reply(200, {"mailbox": mailbox.lower()})
            return Reply(400, {"error": "wanted: mailbox"})
        return super().control(call)

    @override
    def state(self) -> dict[str, Any]:
        return {
            "mailboxes": {address: self.events(address) for address in self.mailboxes()},
            "invitations": [asdict(invitation) for invitation in self.invitations],
        }

    @override
    @contextlib.asynccontextmanager
    async def turn(self, call: Call) -> AsyncGenerator[None]:
        """https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits, per app and mailbox."""
        if not call.mailbox:
            yield
            return
        with self.lock:
            box = self._known(call.mailbox) or _Mailbox(call.mailbox, {})
            busy = len(box.under_way) >= _CONCURRENT
            box.under_way.append(call)
            box.most = max(box.most, sum(not other.abandoned for other in box.under_way))
        try:
            if busy:
                # Retry-After is no time-table here: what counts is that requests under way end.
                raise self._throttled("MailboxConcurrency", self.retry_after)
            self._check_rate(box)
            yield
        finally:
            with self.lock:
                box.under_way.remove(call)

    def _check_rate(self, box: _Mailbox) -> None:
        if self.request_limit is None:
            return
        most, seconds = self.request_limit
        now = time.monotonic()
        while box.recent and box.recent[0] <= now - seconds:
            box.recent.popleft()
        if len(box.recent) >= most:
            raise self._throttled("RequestRate", str(math.ceil(box.recent[0] + seconds - now)))
        box.recent.append(now)

    @staticmethod
    def _throttled(limit: str, retry_after: str) -> Refused:
        error = {"code": "ApplicationThrottled", "message": f"Application is over its {limit} limit."}
        return Refused(Reply(429, {"error": error}, {"Retry-After": retry_after}))

    @override
    def answer(self, call: Call) -> Reply:
        match call.segments:
            case ["msi", "token"]:
                return self.identity.managed(call)
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                return self.identity.discovery(tenant, self.authority_url if self._tls_port else self.url)
            case [tenant, "oauth2", "v2.0", "token"]:
                return self.identity.client_credentials(call, tenant)
            case ["v1.0", "users", _, *rest]:
                if problem := self.identity.problem(call.headers.get("authorization", ""), _RESOURCE):
                    raise refused(401, "InvalidAuthenticationToken", problem)
                return self._route(call, self._mailbox(call.mailbox), rest)
        raise refused(400, "BadRequest", f"Resource not found for the segment '{call.segments[-1]}'.")

    # -- events --------------------------------------------------------------------------------------------------------

    def _known(self, address: str) -> _Mailbox | None:
        if address not in self._mailboxes and self._open and address.endswith("@example.com"):
            self.add_mailbox(address)
        return self._mailboxes.get(address)

    def _mailbox(self, address: str) -> _Mailbox:
        box = self._known(address)
        if box is None:
            raise refused(404, "ErrorInvalidUser", f"The requested user '{address}' is invalid.")
        if box.gone:
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise refused(404, "MailboxNotEnabledForRESTAPI", message)
        if box.denied:
            raise refused(403, *_ERRORS[403])
        return box

    def _route(self, call: Call, box: _Mailbox, rest: list[str]) -> Reply:
        """`/events` is the whole mailbox, of which POST fills the default calendar."""
        folder: str | None = None
        if (call.method, rest) == ("GET", ["calendars"]):
            return self._list_calendars(call, box)
        match rest:
            case ["calendar", *rest]:
                folder = _CALENDAR
            case ["calendars", calendar, *rest]:
                folder = next((name for name, known in box.calendars.items() if known == calendar), None)
                if folder is None:
                    raise refused(404, *_ERRORS[404])
        match call.method, rest:
            case "POST", ["events"]:
                return self._create(call, box, folder or _CALENDAR)
            case "GET", ["events" | "calendarView" as collection]:
                return self._list(call, box, folder, collection)
            case "GET", ["events", event_id]:
                item = self._find(call, box, event_id, folder)
                return Reply(200, self._answered(call, box, item), {"ETag": item.etag})
            case "PATCH", ["events", event_id]:
                return self._update(call, box, self._find(call, box, event_id, folder))
            case "DELETE", ["events", event_id]:
                return self._delete(call, box, self._find(call, box, event_id, folder))
            case "POST", ["events", event_id, "cancel"]:
                return self._cancel(box, self._find(call, box, event_id, folder))
            case _, ["events"] | ["events", _] | ["calendarView"]:
                raise refused(405, "Request_BadRequest", f"Specified HTTP method {call.method} is not allowed here.")
        raise refused(400, "BadRequest", f"Resource not found for the segment '{(rest or ['users'])[0]}'.")

    def _list_calendars(self, call: Call, box: _Mailbox) -> Reply:
        """https://learn.microsoft.com/graph/api/user-list-calendars: ten, unless more are asked for."""
        top = _number(_query(call), "$top", _PAGE)
        named = [
            {"id": known, "name": name, "isDefaultCalendar": name == _CALENDAR} for name, known in box.calendars.items()
        ]
        return Reply(200, {"value": named[:top]})

    def _create(self, call: Call, box: _Mailbox, folder: str) -> Reply:
        event = events.merged({}, events.normalise(call.body, create=True))
        transaction = event.get("transactionId")
        item = box.transactions.get(transaction) if transaction else None
        if item is None:
            item = self._add(box, folder, event)
            if transaction:
                box.transactions[transaction] = item
        elif event != (item.event if self.repeats == "current" else item.original):
            # https://learn.microsoft.com/graph/api/resources/event#properties: transactionId
            message = "Your request can't be completed. The TransactionId specified in the request has already been used to"
            more = {"@event.existingEventId": self._id(call, item)} if self.tells_existing_id else {}
            raise refused(400, "ErrorDuplicateTransactionId", f"{message} create a different event.", **more)
        location = f"{self.url}/v1.0/users/{quote(box.address)}/events/{quote(self._id(call, item))}"
        return Reply(201, self._answered(call, box, item, created=True), {"Location": location, "ETag": item.etag})

    def _add(self, box: _Mailbox, folder: str, event: Body) -> _Item:
        now = datetime.now(UTC)
        uid = f"040000008200E00074C5B7101A82E008{uuid.uuid4().hex.upper()}"
        item = _Item(self._new_id(), self._new_id("AAkAL"), folder, event, event, now, now, uid)
        box.items[item.id] = item
        self._invite("request", box, item, _addresses(event))
        return item

    def _update(self, call: Call, box: _Mailbox, item: _Item) -> Reply:
        if isinstance(call.body, dict) and "transactionId" in call.body:
            message = "Your request can't be completed. ClientId/TransactionId is immutable and cannot be updated."
            raise refused(400, "ErrorInvalidRequest", message)
        changes = events.normalise(call.body, create=False)
        self._check_etag(call, item)
        stamps = {stamp["id"]: stamp for stamp in item.event.get("singleValueExtendedProperties") or ()}
        if new := changes.get("singleValueExtendedProperties"):
            changes["singleValueExtendedProperties"] = [*(stamps | {stamp["id"]: stamp for stamp in new}).values()]
        before = _addresses(item.event)
        item.event = events.merged(item.event, changes)
        item.version += 1
        item.modified = datetime.now(UTC)
        # https://learn.microsoft.com/graph/api/event-update: where only attendees change, only those who changed get mail
        after = _addresses(item.event)
        self._invite("cancellation", box, item, before - after)
        self._invite("request", box, item, after - before)
        self._invite("update", box, item, after & before if changes.keys() != {"attendees"} else set())
        return Reply(200, self._answered(call, box, item), {"ETag": item.etag})

    def _delete(self, call: Call, box: _Mailbox, item: _Item) -> Reply:
        """An organizer's DELETE sends cancellations: https://learn.microsoft.com/graph/api/event-delete."""
        self._check_etag(call, item)
        if item.deleted:
            raise refused(403, "ErrorCannotDeleteObject", "Object cannot be deleted.")
        self._invite("cancellation", box, item, _addresses(item.event))
        self._move(box, item, _DELETED_ITEMS)
        return Reply(204)

    def _cancel(self, box: _Mailbox, item: _Item) -> Reply:
        """https://learn.microsoft.com/graph/api/event-cancel: for meetings, by their organizer."""
        if not _addresses(item.event):
            message = "Your request can't be completed. You need to be an organizer to cancel a meeting."
            raise refused(400, "ErrorInvalidRequest", message)
        self._invite("cancellation", box, item, _addresses(item.event))
        self._move(box, item, _DELETED_ITEMS)
        return Reply(202)

    def _find(self, call: Call, box: _Mailbox, event_id: str, folder: str | None) -> _Item:
        """By default id; by immutable id where the request prefers those, and then also in Deleted Items.

        https://learn.microsoft.com/graph/outlook-immutable-id
        """
        item = box.items.get(event_id)
        if item and item.deleted:
            item = None
        if item is None and _prefers_immutable(call):
            item = next((known for known in box.items.values() if known.immutable_id == event_id), None)
        if item is None or folder not in {None, item.folder}:
            raise refused(404, *_ERRORS[404])
        return item

    def _list(self, call: Call, box: _Mailbox, folder: str | None, collection: str) -> Reply:
        query = _query(call)
        items = [item for item in box.items.values() if not item.deleted and folder in {None, item.folder}]
        if collection == "calendarView":
            items = list(_in_window(items, query))
        if condition := query.get("$filter"):
            match = _BY_PROPERTY.fullmatch(condition.strip())
            if not match:
                raise refused(400, "BadRequest", f"Invalid filter clause: '{condition}' is not known to this fake.")
            name, value = events.property_id(match[2].replace("''", "'")), match[3].replace("''", "'").lower()
            items = [item for item in items if (item.extended(name) or "").lower() == value]
        skip, top = _number(query, "$skip", 0), _number(query, "$top", _page_size(call))
        page = items[skip : skip + top]
        body: Body = {"@odata.context": f"{self.url}/v1.0/$metadata#users('{box.address}')/{collection}"}
        body["value"] = [self._answered(call, box, item) for item in page]
        if query.get("$count") == "true":
            body["@odata.count"] = len(items)
        if skip + top < len(items):
            others = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if name != "$skip")
            body["@odata.nextLink"] = (
                f"{self.url}{call.path.partition('?')[0]}?{others}{'&' * bool(others)}$skip={skip + top}"
            )
        return Reply(200, body)

    def _answered(self, call: Call, box: _Mailbox, item: _Item, *, created: bool = False) -> Body:
        """An event as Prefer, $select and $expand want it. The answer to a creation keeps the zone that was sent."""
        preference = re.search(r'outlook\.timezone\s*=\s*"([^"]*)"', call.headers.get("prefer", ""))
        text = re.search(r'outlook\.body-content-type\s*=\s*"?text', call.headers.get("prefer", ""))
        zone = None if created else preference[1] if preference else "UTC"
        body = self._shown(box, item, zone, text=bool(text)) | {"id": self._id(call, item)}
        query = _query(call)
        if select := query.get("$select"):
            names = [name.strip() for name in select.split(",")]
            if unknown := [name for name in names if name not in events.PROPERTIES]:
                message = f"Could not find a property named '{unknown[0]}' on type 'microsoft.graph.event'."
                raise refused(400, "BadRequest", message)
            body = {name: value for name, value in body.items() if name in {*names, "@odata.etag", "id"}}
        if expand := query.get("$expand"):
            match = _EXPAND.fullmatch(expand)
            if not match:
                raise refused(400, "BadRequest", f"$expand: '{expand}' is not known to this fake.")
            name = match[1].replace("''", "'")
            value = item.extended(events.property_id(name))
            if value is not None:
                body["singleValueExtendedProperties"] = [{"id": name, "value": value}]
        return body

    def _shown(self, box: _Mailbox, item: _Item, zone: str | None, *, text: bool = False) -> Body:
        return {
            "@odata.etag": item.etag,
            "id": item.id,
            "changeKey": item.change_key,
            "iCalUId": item.i_cal_uid,
            "createdDateTime": f"{item.created:%Y-%m-%dT%H:%M:%S.%f}0Z",
            "lastModifiedDateTime": f"{item.modified:%Y-%m-%dT%H:%M:%S.%f}0Z",
            "originalStartTimeZone": item.event["start"]["timeZone"],
            "originalEndTimeZone": item.event["end"]["timeZone"],
            "hasAttachments": False,
            "isCancelled": False,
            "isOrganizer": item.organizer,
            "isDraft": False,
            "seriesMasterId": None,
            "type": "singleInstance",
            "onlineMeetingUrl": None,
            "onlineMeeting": None,
            "webLink": f"https://outlook.office365.com/owa/?itemid={quote(item.id, safe='')}&exvsurl=1&path=/calendar/item",
            "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
            "organizer": {"emailAddress": {"name": box.address.partition("@")[0], "address": box.address}},
            **events.shown(item.event, zone, text=text),
        }

    def _inspected(self, box: _Mailbox, item: _Item) -> Body:
        stamps = item.event.get("singleValueExtendedProperties") or [{}]
        more = {"stamp": stamps[0].get("value"), "transactionId": item.event.get("transactionId"), "calendar": item.folder}
        return self._shown(box, item, None) | more

    def _move(self, box: _Mailbox, item: _Item, folder: str) -> str:
        """A default id is no longer valid after the item has moved: https://learn.microsoft.com/graph/outlook-immutable-id."""
        del box.items[item.id]
        item.id, item.folder = self._new_id(), folder
        item.version += 1
        box.items[item.id] = item
        if item.deleted:
            box.transactions.pop(item.event.get("transactionId", ""), None)
        return item.id

    def _new_id(self, prefix: str = "AAMkA") -> str:
        """As long as real ones, case-sensitive, and with characters that paths need encoded."""
        self._count += 1
        digest = hashlib.sha512(f"{self._count}".encode()).digest()
        return prefix + "GI1-_" + base64.urlsafe_b64encode(digest + digest[:42]).decode()[:141] + "="

    @staticmethod
    def _id(call: Call, item: _Item) -> str:
        return item.immutable_id if _prefers_immutable(call) else item.id

    def _invite(self, kind: Literal["request", "update", "cancellation"], box: _Mailbox, item: _Item, to: set[str]) -> None:
        """Nothing suppresses these mails: https://learn.microsoft.com/graph/api/user-post-events."""
        if to:
            self.invitations.append(Invitation(kind, box.address, item.id, tuple(sorted(to))))

    @staticmethod
    def _check_etag(call: Call, item: _Item) -> None:
        if call.headers.get("if-match", "*") not in {"*", item.etag}:
            raise refused(412, *_ERRORS[412])


def _addresses(event: Body) -> set[str]:
    return {str((person.get("emailAddress") or {}).get("address")).lower() for person in event.get("attendees") or ()}


def _prefers_immutable(call: Call) -> bool:
    return re.search(r'IdType\s*=\s*"?ImmutableId', call.headers.get("prefer", ""), re.IGNORECASE) is not None


def _query(call: Call) -> dict[str, str]:
    """https://learn.microsoft.com/graph/query-parameters#encoding-query-parameters: a blank is %20, and + is a plus."""
    if "+" in call.path.partition("?")[2]:
        raise refused(400, "BadRequest", "Invalid filter clause: Syntax error: character '+' is not valid; use '%20'.")
    query = call.query
    if unknown := [name for name in query if name not in _QUERY_OPTIONS]:
        raise refused(400, "BadRequest", f"The query parameter '{unknown[0]}' is not supported.")
    return query


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise refused(400, "BadRequest", f"Invalid value '{value}' for {name} query option found.")
    return int(value)


def _page_size(call: Call) -> int:
    preference = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", call.headers.get("prefer", ""))
    return int(preference[1]) if preference else _PAGE


def _in_window(items: Iterable[_Item], query: dict[str, str]) -> Iterator[_Item]:
    """https://learn.microsoft.com/graph/api/user-list-calendarview: what overlaps the window, of 1825 days at most."""
    try:
        window = [datetime.fromisoformat(query[name]) for name in ("startDateTime", "endDateTime")]
    except (KeyError, ValueError):
        message = "This request requires a time window: StartDateTime and EndDateTime."
        raise refused(400, "ErrorInvalidParameter", message) from None
    start, end = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in window)
    if end - start > timedelta(days=1825):
        raise refused(400, "ErrorInvalidRequest", "The requested time window is over the limit of 1825 days.")
    for item in items:
        if events.instant(item.event["start"]) < end and events.instant(item.event["end"]) > start:
            yield item
