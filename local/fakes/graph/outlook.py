"""What is in the mailboxes of an organization, and what people do there."""

import base64
import copy
import hashlib
import threading
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from local.fakes.calls import Call
from local.fakes.graph import events
from local.fakes.graph.events import Body

DEFAULT_CALENDAR = "Calendar"
_DELETED_ITEMS = "Deleted Items"
_KIND = 5  # so many characters say whether an id is immutable; then comes the mailbox


@dataclass(frozen=True)
class Invitation:
    """A mail that Exchange sends to attendees, on its own account and in the organizer's name."""

    kind: Literal["request", "update", "cancellation"]
    mailbox: str
    event_id: str
    to: tuple[str, ...]


@dataclass
class Item:
    """An event in a folder of its mailbox. Moving changes `id`; `immutable_id` stays."""

    id: str
    immutable_id: str
    folder: str  # the id of its calendar
    event: Body
    original: Body
    created: datetime
    modified: datetime
    i_cal_uid: str
    version: int = 1
    organizer: bool = True
    online: bool = False  # a meeting in Teams
    way_in: bool = False  # its body says how to join

    @property
    def change_key(self) -> str:
        """Another one after each change."""
        return base64.b64encode(hashlib.sha256(f"{self.immutable_id}/{self.version}".encode()).digest()[:22]).decode()

    @property
    def etag(self) -> str:
        """As If-Match wants it."""
        return f'W/"{self.change_key}"'

    @property
    def deleted(self) -> bool:
        """Whether it is in Deleted Items."""
        return self.folder == _DELETED_ITEMS

    @property
    def attendees(self) -> set[str]:
        """Their addresses."""
        people = self.event.get("attendees") or ()
        return {str((person.get("emailAddress") or {}).get("address")).lower() for person in people}

    def extended(self, name: str) -> str | None:
        """The value of an extended property."""
        stamps = self.event.get("singleValueExtendedProperties") or ()
        return next((stamp.get("value") for stamp in stamps if stamp["id"] == name), None)

    def meet_online(self, changes: Body) -> None:
        """It becomes an online meeting, for good; its body then holds the way into it, until a new body replaces that.

        https://learn.microsoft.com/graph/api/resources/event#properties: isOnlineMeeting, and event-update.
        """
        if "body" in changes and self.online:
            self.way_in = False
        if self.event.get("isOnlineMeeting") and not self.online:
            self.online = self.way_in = True

    def shown(self, mailbox: str, zone: str | None, *, text: bool = False) -> Body:
        """The event as Graph shows it, with its times in `zone`, or as they were written if that is None."""
        join = f"https://teams.microsoft.com/l/meetup-join/{self.i_cal_uid}" if self.online else None
        event = self.event
        if self.way_in:
            body = event.get("body") or {"contentType": "html", "content": ""}
            event = event | {"body": body | {"content": f"{body.get('content') or ''}<p>Join: {join}</p>"}}
        return {
            "@odata.etag": self.etag,
            "id": self.id,
            "changeKey": self.change_key,
            "iCalUId": self.i_cal_uid,
            "createdDateTime": f"{self.created:%Y-%m-%dT%H:%M:%S.%f}0Z",
            "lastModifiedDateTime": f"{self.modified:%Y-%m-%dT%H:%M:%S.%f}0Z",
            "originalStartTimeZone": self.event["start"]["timeZone"],
            "originalEndTimeZone": self.event["end"]["timeZone"],
            "hasAttachments": False,
            "isCancelled": False,
            "isOrganizer": self.organizer,
            "isDraft": False,
            "seriesMasterId": None,
            "type": "singleInstance",
            "onlineMeetingUrl": None,
            "onlineMeeting": {"joinUrl": join} if join else None,
            "webLink": f"https://outlook.office365.com/owa/?itemid={quote(self.id, safe='')}&exvsurl=1&path=/calendar/item",
            "responseStatus": {"response": "organizer", "time": "0001-01-01T00:00:00Z"},
            "organizer": {"emailAddress": {"name": mailbox.partition("@")[0], "address": mailbox}},
            **events.shown(event | {"isOnlineMeeting": self.online}, zone, text=text),
        }


@dataclass
class Calendar:
    """A folder for events.

    One that is not `listed` can be used by its id all the same, and one that is `broken` answers 404 though it is listed.
    """

    id: str
    name: str
    listed: bool = True
    broken: bool = False


@dataclass
class Mailbox:
    """Calendars and items by id; `transactions` are the events that were made with a transactionId."""

    address: str
    calendars: dict[str, Calendar] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    transactions: dict[str, Item] = field(default_factory=dict)
    server: str = "1"
    owner: str = ""  # the address, where `address` is an object id
    denied: bool = False
    gone: bool = False
    moving: bool = False  # to another server
    under_way: list[Call] = field(default_factory=list)
    most: int = 0
    recent: deque[float] = field(default_factory=deque)
    view: list[Item] | None = None  # what calendarView shows instead of the items

    @property
    def default(self) -> Calendar:
        """The calendar that the mailbox began with."""
        return next(iter(self.calendars.values()))

    def named(self, name: str) -> Calendar | None:
        """The first calendar of a name that works."""
        return next((known for known in self.calendars.values() if known.name == name and not known.broken), None)


class Outlook:
    """`mailboxes`: the addresses that exist; None means everyone at example.com, each from its first use on."""

    lock: threading.RLock

    def __init__(self, seed: int, mailboxes: Iterable[str] | None) -> None:
        self.invitations: list[Invitation] = []
        self._open = mailboxes is None
        self._count = seed * 1_000_000
        self._mailboxes: dict[str, Mailbox] = {}
        for address in mailboxes or ():
            self.add_mailbox(address)

    # -- for tests and demos -------------------------------------------------------------------------------------------

    def mailboxes(self) -> list[str]:
        """Addresses of the mailboxes that exist or have been used."""
        with self.lock:
            return [box.address for box in self._mailboxes.values() if not box.gone]

    def events(self, mailbox: str) -> list[Body]:
        """The live events of a mailbox, in Graph's shape but with times as they were written.

        `stamp` is the value of the extended property, `transactionId` the one they were made with, `calendar` a name.
        """
        with self.lock:
            box = self._mailboxes.get(mailbox.lower())
            items = [item for item in box.items.values() if not item.deleted] if box and not box.gone else []
            return [self._inspected(box, item) for item in items if box]

    def add_mailbox(self, mailbox: str, server: str = "", owner: str = "") -> None:
        """A mailbox that exists, on a server; one that was removed comes back with its events.

        `owner`: the owner's address, where the mailbox is named by object id.
        """
        box = self._box(mailbox)
        box.owner = owner or box.owner
        box.gone, box.server = False, server or box.server

    def remove_mailbox(self, mailbox: str) -> None:
        """The owner has left, or lost the licence."""
        self._box(mailbox).gone = True

    def deny(self, mailbox: str, *, denied: bool = True) -> None:
        """Take a mailbox out of what the app may reach, or put it back."""
        self._box(mailbox).denied = denied

    def start_move(self, mailbox: str) -> None:
        """An administrator moves the mailbox to another server, which takes hours."""
        self._box(mailbox).moving = True

    def end_move(self, mailbox: str, server: str) -> None:
        """The mailbox is on its new server."""
        box = self._box(mailbox)
        box.moving, box.server = False, server

    def add_event(self, mailbox: str, subject: str, *, organizer: bool = True) -> str:
        """An event of another program, or (`organizer=False`) of a meeting that someone else has called; returns its id."""
        moments = {n: {"dateTime": f"2026-12-01T{h}:00:00", "timeZone": "UTC"} for n, h in (("start", "09"), ("end", "10"))}
        with self.lock:
            box = self._box(mailbox)
            event = events.merged({}, events.normalise({"subject": subject, **moments}, create=True))
            item = self.add(box, box.default, event)
            item.organizer = organizer
            return item.id

    def stamp(self, mailbox: str, event_id: str, name: str, value: str) -> None:
        """Give an event an extended property."""
        item = self._box(mailbox).items[event_id]
        item.event["singleValueExtendedProperties"] = [{"id": events.property_id(name), "value": value}]

    def user_deletes(self, mailbox: str, event_id: str) -> None:
        """A person deletes an event in Outlook: it moves to Deleted Items."""
        with self.lock:
            box = self._box(mailbox)
            self.move(box, box.items[event_id])

    def user_moves(self, mailbox: str, event_id: str, calendar: str = "Private") -> str:
        """A person moves an event to another calendar of the mailbox; returns its new id."""
        with self.lock:
            box = self._box(mailbox)
            return self.move(box, box.items[event_id], box.calendars[self.add_calendar(mailbox, calendar)])

    def user_reschedules(self, mailbox: str, event_id: str, start: Body, end: Body) -> None:
        """A person drags an event to another time; both are dateTimeTimeZone."""
        with self.lock:
            item = self._box(mailbox).items[event_id]
            item.event = events.merged(item.event, events.normalise({"start": start, "end": end}, create=False))
            item.version += 1

    def user_copies(self, mailbox: str, event_id: str) -> str:
        """A person copies an event, and pastes it into the same calendar; returns the copy's id.

        A copy has all properties, the transactionId and extended ones among them (https://github.com/mguessan/davmail/issues/522).
        """
        with self.lock:
            box = self._box(mailbox)
            item = box.items[event_id]
            return self.add(box, box.calendars[item.folder], copy.deepcopy(item.event)).id

    def attendee_answers(self, mailbox: str, event_id: str, address: str, response: str) -> None:
        """Someone who was invited answers: accepted, tentativelyAccepted or declined."""
        with self.lock:
            item = self._box(mailbox).items[event_id]
            item.event = copy.deepcopy(item.event)
            for person in item.event["attendees"]:
                if person["emailAddress"]["address"].lower() == address.lower():
                    person["status"] = {"response": response, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
            item.version += 1

    def hold_view(self, mailbox: str, *, held: bool = True) -> None:
        """From now on calendarView lags behind: it shows what it shows now. Requests for one event do not."""
        with self.lock:
            box = self._box(mailbox)
            box.view = [copy.copy(item) for item in box.items.values()] if held else None

    def add_calendar(self, mailbox: str, name: str, *, listed: bool = True, broken: bool = False) -> str:
        """A person adds a calendar to the mailbox, unless there is a working one of the name; returns its id.

        `/calendars` may lack one (https://techcommunity.microsoft.com, Office Graph, 4399500), and may list two of one name
        of which one answers 404 (https://github.com/microsoftgraph/microsoft-graph-docs/issues/19056).
        """
        with self.lock:
            box = self._box(mailbox)
            calendar = None if broken else box.named(name)
            return (calendar or self._new_calendar(box, name, listed=listed, broken=broken)).id

    def calendars(self, mailbox: str) -> dict[str, str]:
        """Ids of a mailbox's calendars by name, without broken ones; the default one is `Calendar`."""
        with self.lock:
            return {known.name: known.id for known in self._box(mailbox).calendars.values() if not known.broken}

    def max_concurrency(self, mailbox: str) -> int:
        """How many requests were under way at a time at most, those refused for it included."""
        with self.lock:
            box = self._mailboxes.get(mailbox.lower())
            return box.most if box else 0

    # -- for the API ---------------------------------------------------------------------------------------------------

    def known(self, address: str) -> Mailbox | None:
        """The mailbox of an address, if there ever was one."""
        if self._open and address.endswith("@example.com"):
            return self._box(address)
        return self._mailboxes.get(address)

    def owner(self, id_: str) -> Mailbox | None:
        """The mailbox in which an id was given out."""
        return next((box for box in self._mailboxes.values() if id_.startswith(_mark(box), _KIND)), None)

    def add(self, box: Mailbox, calendar: Calendar, event: Body) -> Item:
        """Put a new event into a calendar."""
        now = datetime.now(UTC)
        uid = f"040000008200E00074C5B7101A82E008{uuid.uuid4().hex.upper()}"
        item = Item(self._new_id(box), self._new_id(box, "AAkAL"), calendar.id, event, event, now, now, uid)
        box.items[item.id] = item
        self.invite("request", box, item, item.attendees)
        return item

    def move(self, box: Mailbox, item: Item, calendar: Calendar | None = None) -> str:
        """Move an event to another calendar, or to Deleted Items. Its default id is then no longer valid.

        https://learn.microsoft.com/graph/outlook-immutable-id
        """
        del box.items[item.id]
        item.id, item.folder = self._new_id(box), calendar.id if calendar else _DELETED_ITEMS
        item.version += 1
        box.items[item.id] = item
        return item.id

    def invite(self, kind: Literal["request", "update", "cancellation"], box: Mailbox, item: Item, to: set[str]) -> None:
        """Nothing suppresses these mails: https://learn.microsoft.com/graph/api/user-post-events."""
        if to:
            self.invitations.append(Invitation(kind, box.address, item.id, tuple(sorted(to))))

    def _box(self, mailbox: str) -> Mailbox:
        with self.lock:
            box = self._mailboxes.get(mailbox.lower())
            if box is None:
                box = self._mailboxes[mailbox.lower()] = Mailbox(mailbox.lower())
                self._new_calendar(box, DEFAULT_CALENDAR)
            return box

    def _new_calendar(self, box: Mailbox, name: str, **more: bool) -> Calendar:
        calendar = Calendar(self._new_id(box), name, **more)
        box.calendars[calendar.id] = calendar
        return calendar

    def _inspected(self, box: Mailbox, item: Item) -> Body:
        stamps = item.event.get("singleValueExtendedProperties") or [{}]
        more: dict[str, Any] = {"stamp": stamps[0].get("value"), "transactionId": item.event.get("transactionId")}
        return item.shown(box.address, None) | more | {"calendar": box.calendars[item.folder].name}

    def _new_id(self, box: Mailbox, kind: str = "AAMkA") -> str:
        """As long as real ones, bound to its mailbox, case-sensitive, and with characters that paths need encoded."""
        self._count += 1
        digest = hashlib.sha512(f"{self._count}".encode()).digest()
        return kind + _mark(box) + base64.urlsafe_b64encode(digest + digest[:12]).decode()[:101] + "="


def _mark(box: Mailbox) -> str:
    """What all ids of a mailbox have in common."""
    return "GI1-_" + base64.urlsafe_b64encode(hashlib.sha256(box.address.encode()).digest()).decode()[:40]
