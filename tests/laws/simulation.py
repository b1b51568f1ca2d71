"""The real receive and apply code on simulated time, against services in memory, through one story."""

import contextlib
import json
import math
import random
import uuid
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
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.graph import Graph
from handlers.clients.limiter import MailboxLimiter
from handlers.clients.notifications import ReceivedNotification
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.receive import receive
from handlers.services import Services
from handlers.settings import Settings
from handlers.sync.change import RowChange, canonical, datetime_to_ticks
from handlers.sync.errors import Code, DuplicateTransaction, EventGone, Later, MailboxGone, Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import EventLink, from_state, merge, to_state
from handlers.sync.mapping_file import load_mapping
from handlers.sync.record import RecordUpdate
from local.sample import changed
from tests.laws.scheduler import Endless, Scheduler, Task
from tests.laws.story import Change, Deed, State, Story, simplest

BEGINNING = datetime(2026, 12, 1, tzinfo=UTC)
CLAIM = 60.0
GRACE = 10
QUIET = Story(())
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
    dead: dict[str, tuple[str, int]] = field(default_factory=dict)  # reason and TimeStamp
    events: dict[str, Event] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    rows: dict[str, State] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)  # when a row in the inquiry lost its only event
    bugs: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # mailboxes

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(BEGINNING.timestamp(), self.story.mishaps, self.story.switches, 1.5 * CLAIM)
        self.counter = 0
        self.store, self.outlook = Store(self), Outlook(self)
        self.services = Services(
            settings=SETTINGS,
            mappings={"m": MAPPING},
            storage=cast("Storage", self.store),
            graph=cast("Graph", self.outlook),
            sessions=cast("Sessions", Acumatica(self)),
            clock=lambda: self.now,
        )
        self._requests: list[Request] = []
        self._working: dict[Task, Request | Message] = {}
        self._outcomes: dict[Task, Any] = {}
        self._ticks = datetime_to_ticks(BEGINNING)

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
        for number, change in enumerate(sorted(self.story.changes, key=lambda c: c.at), 1):
            self.scheduler.at(self.now + change.at, partial(self._happen, change, f"change {number}"))
        with mock.patch.object(outcomes, "random", random.Random(0)):
            self.scheduler.run(self._offers, self._ended)
            if self.story.deed:
                self._do(self.story.deed)
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

    def _happen(self, change: Change, words: str) -> None:
        """A transaction in Acumatica, and its notifications on their way."""
        old = self.rows.get(change.row)
        if change.state is None and old is None:
            return
        self._ticks = max(self._ticks + 1, datetime_to_ticks(datetime.fromtimestamp(self.now, UTC)))
        shown = _row(change.row, change.state, old) if change.state else None
        deleted = _row(change.row, old) if old else None
        if change.state:
            self.rows[change.row] = change.state
        else:
            del self.rows[change.row]
        what = f"{words}, row {change.row} {f'is {change.state}' if change.state else 'leaves the inquiry'}"
        self.scheduler.log.append(f"{self.now - self.scheduler.began:6.0f} s  Acumatica: {what}")
        if change.halves and shown and deleted:
            self._deliver([shown], [], words, change.deliveries, f"{words}, Inserted")
            self._deliver([], [deleted], words, change.halves, f"{words}, Deleted")
        else:
            self._deliver([shown] if shown else [], [deleted] if deleted else [], words, change.deliveries, words)

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
        if waiting and not (visible or self._requests):
            self.scheduler.at(min(waiting), lambda: None)  # so that time stops there
        offers: list[Callable[[], Task]] = [partial(self._start, request) for request in self._requests]
        return offers + [partial(self._start, message) for message in visible]

    def _start(self, item: Request | Message) -> Task:
        if isinstance(item, Request):
            self._requests.remove(item)
            label = f"receive {item.words}"
        else:
            item.visible = float("inf")
            data = json.loads(item.text)
            label = f"apply {self.next()} ({data['key'][0]} {'gone' if data['row'] is None else data['row']['Subject']})"
        task = self.scheduler.start(lambda: self._work(task, item), label)
        task.failures = item.failures
        self._working[task] = item
        return task

    def _work(self, task: Task, item: Request | Message) -> None:
        try:
            if isinstance(item, Request):
                self._outcomes[task] = receive(item.body, Ready(self.services)).status  # type: ignore[arg-type]
            else:
                applying.apply(item.text, Ready(self.services))  # type: ignore[arg-type]
                self._outcomes[task] = 200
        except ServiceRequestError:
            pass
        except Exception as error:  # noqa: BLE001  (a bug of the app is a broken law)
            self.bugs.append(f"{type(error).__name__}: {error}")

    def _ended(self, task: Task) -> None:
        item, outcome = self._working.pop(task), self._outcomes.pop(task, 0)
        if outcome in {200, 202}:
            if isinstance(item, Message):
                self.queue.remove(item)
            return
        item.failures += 1
        when = self.now + 5 + 13 * (item.failures + self.scheduler.steps % 4)  # a while later, and it depends
        if isinstance(item, Request):
            self.scheduler.at(when, lambda: self._requests.append(item))
        elif item.failures >= 5:
            self.queue.remove(item)
            self.dead[item.text] = "poison", 0
        else:
            item.visible = when

    # -- judging -----------------------------------------------------------------------------------------------------

    def differences(self) -> list[str]:
        """One event per live row, in the right mailbox, equal to the newest row, its id written back; nothing left over."""
        found = list(self.bugs)
        for row, state in self.rows.items():
            wanted = calendar_event(MAPPING, _row(row, state), self.services.scope)
            mine = [(i, e) for i, e in self.events.items() if e.row == link_key(row)]
            if [(e.mailbox, e.body) for _, e in mine] != [(wanted.mailbox, wanted.body)]:
                found.append(f"row {row}: there is [{'; '.join(str(e) for _, e in mine)}] instead of {state}")
            elif self.records.get(note_id(row)) != mine[0][0] and not self.story.acumatica_away:
                found.append(f"row {row}: its record holds {self.records.get(note_id(row))} instead of {mine[0][0]}")
        live = {link_key(row) for row in self.rows}
        found += [f"left over: {event}" for event in self.events.values() if event.row not in live]
        for text, _ in self.links.values():
            link = from_state(json.loads(text))
            if not link.present and (kept := link.columns.keys() - MAPPING.attributes):
                found.append(f"row {link.row_key[0]} is gone, but {sorted(kept)} are remembered")
            if link.claim and not self.story.acumatica_away:
                found.append(f"row {link.row_key[0]} is still claimed")
        if not self.story.acumatica_away:
            found += [f"dead letter: {reason}" for reason, _ in self.dead.values()]
        return found


class Ready:
    """handlers.services.Factory with everything built."""

    def __init__(self, services: Services) -> None:
        self.services = self.intake = lambda: services
        self.storage = lambda: services.storage


class Store:
    """handlers.clients.storage.Storage in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.links, self.notifications = Links(sim), Notifications(sim)
        self.queue, self.dead_letters, self.pins, self.put_off = Queue(sim), DeadLetters(sim), Pins(), PutOff()

    def now(self) -> float:
        return self._sim.now

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
