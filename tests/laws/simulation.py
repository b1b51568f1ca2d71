"""The real receive and apply code on simulated time, against services in memory, through one story."""

import json
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from unittest import mock

from azure.core.exceptions import ServiceRequestError

from handlers import apply as applying
from handlers import outcome as outcomes
from handlers import upkeep
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.graph import Graph
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.receive import receive
from handlers.services import Services
from handlers.settle import settle
from handlers.sync.change import RowChange, canonical, datetime_to_ticks
<<<<<<< HEAD
from handlers.sync.errors import Code, DuplicateTransaction, EventGone, Later, MailboxGone, Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import EventLink, from_state, merge, to_state
from handlers.sync.mapping_file import load_mapping
from handlers.sync.record import RecordUpdate
from local.sample import changed
from tests.laws.scheduler import Endless, Scheduler, Task
from tests.laws.story import Change, Deed, State, Story, simplest
=======
from handlers.sync.errors import Later, Permanent
from handlers.sync.mapping import Mapping
from tests.laws.memory import Message, Store
from tests.laws.outlook import Acumatica, Event, Outlook
from tests.laws.scheduler import Scheduler, Task
from tests.laws.story import DAY, Bad, Change, Deed, Edit, Look, Story
from tests.laws.world import BEGINNING, CLAIM, MAPPING, SETTINGS, VERSIONS, State, change_of, link_key, note_id, shown
>>>>>>> laws

QUIET = Story(())
<<<<<<< HEAD
MAPPING = load_mapping(
    "m",
    changed(
        ("Eastern Standard Time", "UTC"),
        ("{OwnerEmail}", "{OwnerEmail}@example.com"),
        ("{MeetingStart}", "2026-12-01T09:00:00"),
        ("{MeetingEnd}", "2026-12-01T10:00:00"),
    ),
)
SETTINGS = Settings(
    ACUMATICA_URL="https://erp.example.com",
    ACUMATICA_TENANT="t",
    ACUMATICA_USERNAME="u",
    ACUMATICA_PASSWORD="p",
    CLAIM_SECONDS=CLAIM,
    REQUEST_TIMEOUT_SECONDS=5,
    DELETE_GRACE_SECONDS=GRACE,
)


def note_id(row: str) -> str:
    """The id of a row's record in Acumatica."""
    return str(uuid.UUID(int=ord(row[0])))


@dataclass
class Event:
    """An event in a calendar."""

    mailbox: str
    stamp: str
    body: dict[str, Any]

    @property
    def row(self) -> str:
        """The key of its event link."""
        return self.stamp.rsplit("-", 1)[0]

    def __str__(self) -> str:
        return f"{self.mailbox.partition('@')[0]}: {self.body['subject']}, {self.body['location']['displayName']}"


@dataclass(eq=False)
class Message:
    """A message of the queue."""

    text: str
    visible: float
    failures: int = 0
=======
>>>>>>> laws


@dataclass(eq=False)
class Request:
    """A notification under way to the app; Acumatica sends it again until it is answered with 2xx."""

    body: bytes
    words: str
    failures: int = 0


@dataclass
class Simulation:
    """One run. `scheduler.log` is the story that a failure is told with."""

    story: Story = QUIET
    queue: list[Message] = field(default_factory=list)
    links: dict[str, tuple[str, int]] = field(default_factory=dict)
    notifications: dict[str, str] = field(default_factory=dict)
    dead: dict[str, DeadLetter] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    rows: dict[str, State] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)  # when a row in the inquiry lost its only event
    bugs: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # mailboxes
    mapping: Mapping = MAPPING  # the newest version
    sound: dict[str, State | None] = field(default_factory=dict)  # each row as the last sound change has it
    bad: set[str] = field(default_factory=set)  # rows whose newest change is none
    newest: dict[str, RowChange] = field(default_factory=dict)  # the newest sound change of each row

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(BEGINNING.timestamp(), self.story.mishaps, self.story.switches, 1.5 * CLAIM)
        self.counter = 0
        self.store, self.outlook = Store(self), Outlook(self)
        self.services = Services(
            settings=SETTINGS,
            mappings={"m": self.mapping},
            storage=cast("Storage", self.store),
            graph=cast("Graph", self.outlook),
            sessions=cast("Sessions", Acumatica(self)),
            clock=lambda: self.now,
        )
        self._requests: list[Request] = []
        self._looks: list[Look] = []
        self._working: dict[Task, Request | Message | Look] = {}
        self._outcomes: dict[Task, Any] = {}
        self._ticks = datetime_to_ticks(BEGINNING)
        self._before: tuple[Mapping, float] = (self.mapping, 0.0)  # in force too, until then
        self._paused = self._reopened = False

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.scheduler.now

    @property
    def calls(self) -> Counter[str]:
        """How often each call was made."""
        return self.scheduler.calls

    def next(self) -> int:
        """A number that was not used yet."""
        self.counter += 1
        return self.counter

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through the story. Raises Endless."""
        story, began = self.story, self.now
        for number, change in enumerate(sorted(story.changes, key=lambda c: c.at), 1):
            self.scheduler.at(began + change.at, partial(self._happen, change, f"change {number}"))
        for edit in story.edits:
            self.scheduler.at(began + edit.at, partial(self._edit, edit))
        for closed in story.closed:
            if closed.kind == "missing":
                self.scheduler.at(began + closed.at, partial(self._vanish, closed.owner))
        for look in story.looks:
            self.scheduler.at(began + look.at, partial(self._looks.append, look))
        if pause := story.pause:
            self.scheduler.at(began + pause.at, partial(self._pause, True))
            for purge in pause.purges:
                self.scheduler.at(began + pause.at + purge, self._purge)
            self.scheduler.at(began + pause.at + pause.days * DAY, partial(self._pause, False))
        endings = [partial(self._do, story.deed) if story.deed else None, self._touch if story.edits else None]
        with mock.patch.object(outcomes, "random", random.Random(0)):
            for ending in (lambda: None, *endings, self._reopen if story.reopens else None):
                if ending:
                    ending()
                    self.scheduler.run(self._offers, self._ended)

    def alone[T](self, work: Callable[[], T]) -> T:
        """Run one piece of work with nobody else about."""
        return self.scheduler.alone(work)

    def _do(self, deed: Deed) -> None:
        self.scheduler.log.append(f"Somebody {deed.kind}.")
        match deed.kind:
            case "moves events to another calendar":
                self.events = {f"e{self.next()}": event for event in self.events.values()}
            case "deletes events":
                self.events.clear()
            case _:
                self.gone.add("ann@example.com")
                self.events = {i: e for i, e in self.events.items() if e.mailbox not in self.gone}
        for row, (owner, subject, room) in list(self.rows.items()):
            other = "bob" if owner == "ann" else "carl"
            move = deed.then == "move" or deed.kind == "removes Ann's mailbox"
            new = None if deed.then == "remove" else (other, subject, room) if move else (owner, f"{subject}!", room)
            self._happen(Change(0, row, new), "the last change")

    # -- what people do ----------------------------------------------------------------------------------------------

    def closed(self, mailbox: str) -> str:
        """Whether a mailbox refuses, and how."""
        owner = mailbox.partition("@")[0]
        since = self.now - self.scheduler.began
        return next((c.kind for c in self.story.closed if c.owner == owner and c.at <= since and not self._reopened), "")

    def _vanish(self, owner: str) -> None:
        self.events = {i: e for i, e in self.events.items() if e.mailbox.partition("@")[0] != owner}

    def _edit(self, edit: Edit) -> None:
        self.scheduler.log.append(f"{self.now - self.scheduler.began:6.0f} s  The mapping is {edit.version!r} from now on.")
        self._before = self.mapping, self.now + edit.overlap
        self.scheduler.at(self.now + edit.overlap, lambda: None)  # so that nothing counts as quiet before
        self.mapping = VERSIONS[edit.version]

    def _pause(self, begins: bool) -> None:
        self.scheduler.log.append(f"{self.now - self.scheduler.began:6.0f} s  The pause {'begins' if begins else 'ends'}.")
        self._paused = begins

    def _purge(self) -> None:
        upkeep.purge(self.services)

    def _touch(self) -> None:
        """After an edit, each row is seen again: the record is saved, or somebody runs the newest change again."""
        self.scheduler.log.append(f"Each row is {self.story.touch}.")
        for row, state in list(self.rows.items()):
            if self.story.touch == "saved":
                self._happen(Change(0, row, state), "the last change")
            elif row in self.newest:
                self._resubmit(self.newest[row])

    def _reopen(self) -> None:
        self.scheduler.log.append("The mailboxes serve again, and each dead letter is run again.")
        self._reopened = True
        for letter in self.dead.values():
            if letter.mapping:
                self._resubmit(RowChange.decode(json.loads(letter.content or "")))

    def _resubmit(self, change: RowChange) -> None:
        again = replace(change, first_sent=self.now, tries=0, tried_for=0.0, tried_at=0.0)
        self.queue.append(Message(canonical(again.encode()), self.now))

    # -- what Acumatica does -----------------------------------------------------------------------------------------

    def _happen(self, change: Change, words: str) -> None:
        """A transaction in Acumatica, and its notifications on their way."""
        row, state, old = change.row, change.state, self.rows.get(change.row)
        if state is None and old is None:
            return
        self._ticks = max(self._ticks + 1, datetime_to_ticks(datetime.fromtimestamp(self.now, UTC)))
        inserted = _inserted(row, state, self.sound.get(row), change.bad) if state else []
        deleted = [shown(row, old)] if old else []
        if state:
            self.rows[row] = state
        else:
            del self.rows[row]
        what = f"{words}, row {row} {f'is {state}' if state else 'leaves the inquiry'}"
        what += f" ({change.bad})" if change.bad else ""
        self.scheduler.log.append(f"{self.now - self.scheduler.began:6.0f} s  Acumatica: {what}")
        halved = bool(change.halves and inserted and deleted)
        self._remember(change, inserted, halved=halved)
        if halved:
            self._deliver(inserted, [], words, change.deliveries, f"{words}, Inserted")
            self._deliver([], deleted, words, change.halves, f"{words}, Deleted")
        else:
            self._deliver(inserted, deleted, words, change.deliveries, words)

    def _remember(self, change: Change, inserted: list[Any], *, halved: bool) -> None:
        """What the app can know of the row by this change."""
        row = change.row
        if change.bad:
            self.bad.add(row)
            self.sound.setdefault(row, None)
            if not halved:
                return
        else:
            self.bad.discard(row)
        self.sound[row] = None if change.bad else change.state
        sent = None if change.bad or not inserted else inserted[0]
        self.newest[row] = replace(change_of(row, self._ticks, None), row=sent)

    def _deliver(
        self, inserted: list[Any], deleted: list[Any], transaction: str, delays: tuple[int, ...], words: str
    ) -> None:
        body = {"Query": MAPPING.query, "CompanyId": "t", "Id": transaction, "TimeStamp": self._ticks}
        text = json.dumps({**body, "Inserted": inserted, "Deleted": deleted}).encode()
        for number, delay in enumerate(delays):
            request = Request(text, f"{words}{' again' if number else ''}")
            self.scheduler.at(self.now + delay, partial(self._requests.append, request))

    def echo(self, record: str) -> None:
        """A write-back has changed a record: its row is notified of, if it is in the inquiry."""
        row = next((row for row in self.rows if note_id(row) == record), None)
        if row and self.story.echo is not None:
            state = self.rows[row]
            self.scheduler.at(self.now + 1, lambda: self._echo(row, state))

    def _echo(self, row: str, state: State) -> None:
        if self.rows.get(row) == state:
            self._happen(Change(0, row, state, (self.story.echo or 0,)), f"echo {self.next()}")

    def _offers(self) -> list[Callable[[], Task]]:
        if len(self.scheduler.tasks) >= self.story.workers:
            return []
        visible = [message for message in self.queue if message.visible <= self.now]
        waiting = [message.visible for message in self.queue if message.visible > self.now]
        if waiting and not (visible or self._requests or self._looks):
            self.scheduler.at(min(waiting), lambda: None)  # so that time stops there
        coming: list[Request | Look] = [*self._requests, *self._looks]
        offers: list[Callable[[], Task]] = [partial(self._start, item) for item in coming]
        return offers + [partial(self._start, message) for message in visible if not self._paused]

    def _start(self, item: Request | Message | Look) -> Task:
        if isinstance(item, Request):
            self._requests.remove(item)
            label = f"receive {item.words}"
        elif isinstance(item, Look):
            self._looks.remove(item)
            label = f"look at {item.row}"
        else:
            item.visible = float("inf")
            data = json.loads(item.text)
            label = f"apply {self.next()} ({data['key'][0]} {'gone' if data['row'] is None else data['row'].get('Subject')})"
        ready = Ready(self._instance())
        task = self.scheduler.start(lambda: self._work(task, item, ready), label)
        task.failures = 0 if isinstance(item, Look) else item.failures
        self._working[task] = item
        return task

    def _instance(self) -> Services:
        """By which version of the mapping one of the instances works."""
        version, until = self._before
        old = self.now < until and self.scheduler.steps % 2
        return replace(self.services, mappings={"m": version if old else self.mapping})

    def _work(self, task: Task, item: Request | Message | Look, ready: "Ready") -> None:
        try:
            if isinstance(item, Request):
                self._outcomes[task] = receive(item.body, ready).status  # type: ignore[arg-type]
            elif isinstance(item, Look):
                self._look(item.row, ready.services())
            else:
                applying.apply(item.text, ready)  # type: ignore[arg-type]
                self._outcomes[task] = 200
        except (ServiceRequestError, Permanent, Later):
            pass
        except Exception as error:  # noqa: BLE001  (a bug of the app is a broken law)
            self.bugs.append(f"{type(error).__name__}: {error}")

    def _look(self, row: str, services: Services) -> None:
        """A removal that is no news: the row stays as it is known (as in handlers.operations.uninstall)."""
        stored, _ = self.store.links.load(link_key(row))
        if stored and stored.version:
            change = change_of(row, stored.version.timestamp, None)
            settle(change, services, deadline=self.now + 3600, backed=False)

    def _ended(self, task: Task) -> None:
        item, outcome = self._working.pop(task), self._outcomes.pop(task, 0)
        if outcome in {200, 202} or isinstance(item, Look):
            if isinstance(item, Message):
                self.queue.remove(item)
            return
        item.failures += 1
        when = self.now + 5 + 13 * (item.failures + self.scheduler.steps % 4)  # a while later, and it depends
        if isinstance(item, Request):
            self.scheduler.at(when, lambda: self._requests.append(item))
        elif item.failures >= 5:
            self.queue.remove(item)
            self.dead[item.text] = DeadLetter(item.text, reason="poison")
        else:
            item.visible = when


class Ready:
    """handlers.services.Factory with everything built."""

    def __init__(self, services: Services) -> None:
        self.built = services

    def services(self) -> Services:
        return self.built

    def intake(self) -> Services:
        return self.built

<<<<<<< HEAD
    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.links, self.notifications = Links(sim), Notifications(sim)
        self.queue, self.dead_letters, self.pins, self.put_off = Queue(sim), DeadLetters(sim), Pins(), PutOff()
=======
    def storage(self) -> Storage:
        return self.built.storage
>>>>>>> laws


<<<<<<< HEAD
    def in_parallel(self, calls: list[Callable[[], None]]) -> None:
        failures = []
        for call in calls:  # one after the other, but each is tried
            try:
                call()
            except ServiceRequestError as error:
                failures.append(error)
        if failures:
            raise failures[0]


class Notifications:
    """handlers.clients.notifications.Notifications in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def begin(self, received: ReceivedNotification) -> str:
        step = self._sim.scheduler.step
        return step("begin", "remembers the notification", lambda: self._begin(received.key))

    def _begin(self, key: str) -> str:
        return self._sim.notifications.setdefault(key, "receiving")

    def mark_queued(self, key: str) -> None:
        step = self._sim.scheduler.step
        step("queued", "marks it as queued", lambda: self._sim.notifications.update({key: "queued"}))


class Links:
    """handlers.clients.links.Links in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def load(self, key: str) -> tuple[EventLink | None, str | None]:
        step = self._sim.scheduler.step
        return step("load", "loads the link", lambda: self._load(key), show=lambda found: told(found[0]))

    def _load(self, key: str) -> tuple[EventLink | None, str | None]:
        stored = self._sim.links.get(key)
        return (from_state(json.loads(stored[0])), str(stored[1])) if stored else (None, None)

    def save(self, link: EventLink, etag: str | None) -> str | None:
        words = "" if self._sim.scheduler.silent else f"saves the link{told(link)}"
        new = self._sim.scheduler.step(
            "save", words, lambda: self._save(link, etag), show=lambda new: "" if new else ": conflict"
        )
        me = self._sim.scheduler.current
        if new and me:
            me.expires = link.claim.expires if link.claim else float("inf")
        return new

    def _save(self, link: EventLink, etag: str | None) -> str | None:
        stored = self._sim.links.get(link.key)
        if (str(stored[1]) if stored else None) != etag:
            return None
        number = self._sim.next()
        self._sim.links[link.key] = (canonical(to_state(link)), number)
        return str(number)


class DeadLetters:
    """handlers.clients.dead_letters.DeadLetters in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def put(self, letter: DeadLetter) -> None:
        def put() -> None:
            if self._sim.dead.get(letter.key, ("", 0))[1] <= letter.timestamp:
                self._sim.dead[letter.key] = letter.reason, letter.timestamp

        self._sim.scheduler.step("dead letter", f"writes a dead letter: {letter.reason}", put)

    def clear(self, key: str, timestamp: int) -> None:
        def clear() -> None:
            if self._sim.dead.get(key, ("", 0))[1] <= timestamp:
                self._sim.dead.pop(key, None)

        self._sim.scheduler.step("clear", "clears the dead letter", clear)


class Queue:
    """handlers.clients.queue.Queue in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def send(self, change: RowChange, delay: float = 0.0) -> None:
        def send() -> None:
            self._sim.queue.append(Message(canonical(change.encode()), self._sim.now + delay))

        self._sim.scheduler.step("send", f"sends the change{f', to be seen in {delay:.0f} s' if delay else ''}", send)

    def read(self, text: str) -> RowChange:
        return RowChange.decode(json.loads(text))


class PutOff:
    """handlers.clients.put_off.PutOff, of which nothing depends."""

    def note(self, change: RowChange, code: Code, delay: float, now: float) -> None:
        pass

    def forget(self, change: RowChange) -> None:
        pass


class Pins:
    """handlers.clients.pins.Pins that nothing differs from."""

    def key_columns(self, mapping: str, key: list[str], *, pin: bool = True) -> list[str]:  # noqa: ARG002
        return key

    def company(self, name: str, *, pin: bool = True) -> str:  # noqa: ARG002
        return name


class Outlook:
    """handlers.clients.graph.Graph in memory, as adversarial as the real one: it keeps transactionIds for ever."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._made: dict[tuple[str, str], tuple[str, str]] = {}
        self.limiter = MailboxLimiter(lambda: sim.now)

    def _step[T](self, call: str, words: str, effect: Callable[[], T]) -> T:
        return self._sim.scheduler.step(call, words, effect, remote=True)

    def create(self, event: CalendarEvent, stamp: str, deadline: float = math.inf) -> str:  # noqa: ARG002
        shown = f"POST {Event(event.mailbox, stamp, event.body)}, {stamp[-2:]}"
        event_id, same = self._step("POST", shown, lambda: self._post(event, stamp))
        if event_id is None:
            raise MailboxGone(Code.MAILBOX_MISSING, "gone", "nothing")
        if not same:
            raise DuplicateTransaction(event_id if self._sim.story.tells else None)
        return event_id

    def _post(self, event: CalendarEvent, stamp: str) -> tuple[str | None, bool]:
        if event.mailbox in self._sim.gone:
            return None, False
        key = (event.mailbox, stamp)
        if key in self._made:
            event_id, fingerprint = self._made[key]
            return event_id, fingerprint == event.fingerprint
        event_id = f"e{self._sim.next()}"
        self._made[key] = (event_id, event.fingerprint)
        self._sim.events[event_id] = Event(event.mailbox, stamp, event.body)
        return event_id, True

    def update(self, mailbox: str, event_id: str, event: CalendarEvent, stamp: str | None = None) -> None:  # noqa: ARG002
        def patch() -> str:
            if mailbox in self._sim.gone:
                return "no mailbox"
            known = self._sim.events.get(event_id)
            if known and known.mailbox == mailbox:
                known.body = event.body
                return "done"
            return "gone"

        self._check(self._step("PATCH", f"PATCH {event_id} {Event(mailbox, '', event.body)}", patch))

    def delete(self, mailbox: str, event_id: str) -> None:
        def delete() -> str:
            if mailbox in self._sim.gone:
                return "no mailbox"
            known = self._sim.events.get(event_id)
            if not (known and known.mailbox == mailbox):
                return "gone"
            del self._sim.events[event_id]
            if not any(e.row == known.row for e in self._sim.events.values()):
                self._gap(known)
            return "done"

        self._check(self._step("DELETE", f"DELETE {event_id}", delete))

    @staticmethod
    def _check(answer: str) -> None:
        if answer == "gone":
            raise EventGone("gone")
        if answer == "no mailbox":
            raise MailboxGone(Code.MAILBOX_MISSING, "gone", "nothing")

    def _gap(self, event: Event) -> None:
        row = next((row for row in self._sim.rows if link_key(row) == event.row), None)
        if row:
            self._sim.gaps.append(f"row {row} has no event for a while, although it is in the inquiry")

    def find(self, mailbox: str, stamp: str, calendar: str = "", deadline: float = math.inf) -> list[str]:  # noqa: ARG002
        def find() -> list[str] | None:
            if mailbox in self._sim.gone:
                return None
            return sorted(i for i, e in self._sim.events.items() if (e.mailbox, e.stamp) == (mailbox, stamp))

        found = self._step("find", f"looks for {mailbox.partition('@')[0]}'s {stamp[-2:]}", find)
        if found is None:
            raise MailboxGone(Code.MAILBOX_MISSING, "gone", "nothing")
        return found


class Acumatica:
    """handlers.clients.sessions.Sessions in memory; a write-back that changes something is echoed."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def put(self, update: RecordUpdate, deadline: float) -> None:
        if self._sim.now + SETTINGS.longest_request_seconds > deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left", counted=False)
        record, event_id = update.body["id"], update.body["custom"]["Opportunity"]["AttributeCALEVT"]["value"]

        def put() -> None:
            if self._sim.records.get(record) != event_id:
                self._sim.records[record] = event_id
                self._sim.echo(record)

        if self._sim.story.acumatica_away:
            raise Permanent(Code.ACUMATICA_REFUSED, "refused", "nothing")
        self._sim.scheduler.step("PUT", f"PUT {event_id}", put, remote=True)


def _row(row: str, state: State, old: State | None = None) -> dict[str, Any]:
    """A row as the inquiry shows it; an attribute that did not change comes as null."""
    owner, subject, room = state
    shown = None if old and old[2] == room else room
    return {"OpportunityID": row, "OwnerEmail": owner, "Subject": subject, "NoteID": note_id(row), "Room": shown}


def link_key(row: str) -> str:
    """The key of a row's event link."""
    return RowChange("t", "m", (row,), 0, None, "", 0.0).link_key


def told(link: EventLink | None) -> str:
    """A link in a few words."""
    if link is None:
        return " (none)"
    entries = [
        f"{e.generation}:{e.mailbox.partition('@')[0]}:{e.id or '?'}"
        f"{'' if e.fingerprint else ' content unknown'}{' leaving' if e.leaving else ''}{' unsure' if e.unsure else ''}"
        for e in link.entries
    ]
    row = {name: link.row.get(name) for name in ("OwnerEmail", "Subject", "Room")} if link.present else "gone"
    return f" ({row}; events {entries}; written back {link.written_back}{'; claimed' if link.claim else ''})"


def simulate(story: Story) -> list[str]:
    """Live through a story; returns every difference from what should be."""
    sim = Simulation(story)
    sim.scheduler.silent = True
    try:
        sim.run()
    except Endless as endless:
        return [str(endless)]
    return sim.differences()


def wasted(story: Story) -> list[str]:
    """What an orderly story (see story.ORDERLY) costs more, or less, than it has to; and every moment without an event."""
    sim = Simulation(story)
    sim.scheduler.silent = True
    sim.run()
    wanted: Counter[str] = Counter()
    rows: dict[str, State] = {}
    for change in sorted(story.changes, key=lambda c: c.at):
        old, new = rows.get(change.row), change.state
        if old is None and new is None:
            continue
        rows = {row: state for row, state in rows.items() if row != change.row} | ({change.row: new} if new else {})
        halved = bool(change.halves and old and new)
        arrives = new is not None and (old is None or old[0] != new[0])
        leaves = old is not None and (new is None or old[0] != new[0])
        effects = {"POST": arrives, "PUT": arrives, "DELETE": leaves, "PATCH": not (arrives or leaves) and old != new}
        wanted += Counter({name: int(count) for name, count in effects.items()})
        wanted += Counter(begin=1 + halved, send=1 + halved, queued=1 + halved, load=1 + halved)
        wanted += Counter(save=2 if any(effects.values()) else 1)  # claim and result, or what was learnt
        if arrives and story.echo is not None:
            wanted += Counter(begin=1, send=1, queued=1, load=1, save=1)
    if story.changes and any(len(change.deliveries) > 1 for change in story.changes):
        wanted["begin"] = sim.calls["begin"]  # that is all that a repeated notification costs
    calls = {name: (sim.calls[name], wanted[name]) for name in {*sim.calls, *wanted}}
    found = [f"{name}: {made} instead of {due}" for name, (made, due) in sorted(calls.items()) if made != due]
    return [*sim.differences(), *sim.gaps, *found]


def order_matters(story: Story) -> list[str]:
    """Whether merging the changes of a story, many with equal TimeStamps, depends on their order or number."""
    changes = [
        RowChange("t", "m", ("A",), change.at // 40, _row("A", change.state) if change.state else None, "", 0.0)
        for change in story.changes
    ]
    if len(changes) > 1 and changes[0].row:
        changes[0] = replace(changes[0], row=changes[0].row | {"Room": None})

    def merged(some: list[RowChange]) -> EventLink:
        link = EventLink("t", "m", ("A",))
        for change in some:
            link = merge(link, change, MAPPING)
        return link

    found = {canonical(to_state(merged(some))) for some in (changes, changes[::-1], changes[1:] + changes)}
    return sorted(found) if len(found) > 1 else []


def explained(story: Story, law: Callable[[Story], list[str]] = simulate) -> str:
    """The simplest story that breaks the law too, step by step, and how to run it again."""
    story = simplest(story, lambda simpler: bool(law(simpler)))
    sim = Simulation(story)
    with contextlib.suppress(Endless):
        sim.run()
    found = law(story)
    parts = [f"  {name}={value!r}" for name, value in vars(story).items()]
    return "\n".join(["", *found, *sim.scheduler.log[:200], "Again: simulate(Story(", *(f"{part}," for part in parts), "))"])
=======
def _inserted(row: str, state: State, known: State | None, bad: Bad) -> list[dict[str, Any]]:
    """A row of `Inserted`, or what a mistake in the inquiry makes of it."""
    sound = shown(row, state, known)
    match bad:
        case "repeated":
            return [sound | {"Subject": "twice"}, sound]
        case "short":
            return [{name: value for name, value in sound.items() if name != "Subject"}]
        case _:
            return [sound]
>>>>>>> laws
