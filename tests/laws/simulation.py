"""The real receive and apply code on simulated time, against services in memory, through one story."""

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast
from unittest import mock

from azure.core.exceptions import ServiceRequestError

from handlers import apply as applying
from handlers import outcome as outcomes
from handlers import sweep_queue, upkeep
from handlers.again import Refused
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.graph import Graph
from handlers.clients.held import Hold
from handlers.clients.relay import Relays
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.operations import sweeps
from handlers.receive import receive
from handlers.services import Services
from handlers.settle import settle
from handlers.sweep_start import on_schedule
from handlers.sync.change import RowChange, canonical
from handlers.sync.errors import Later, OutcomeUnknown, Permanent
from handlers.sync.mapping import Mapping
from tests.laws.memory import Activity, Message, Ready, Store
from tests.laws.outlook import Acumatica, Event, Outlook
from tests.laws.scheduler import Scheduler, Task
from tests.laws.story import DAY, Change, Deed, Edit, Look, Story
from tests.laws.sweeping import Site, Sweeping, Witness
from tests.laws.transactions import Request, Transactions
from tests.laws.world import (
    BEGINNING,
    CLAIM,
    MAPPING,
    MARGIN,
    SETTINGS,
    VERSIONS,
    State,
    change_of,
    link_key,
)

QUIET = Story(())


@dataclass
class Simulation:
    """One run. `scheduler.log` is the story that a failure is told with."""

    story: Story = QUIET
    queue: list[Message] = field(default_factory=list)
    orders: list[Message] = field(default_factory=list)  # of queue sweeps
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
        self.witness, self.site = Witness(self), Site(self)
        self.services = Services(
            settings=SETTINGS,
            mappings={"m": self.mapping},
            storage=cast("Storage", self.store),
            graph=cast("Graph", self.outlook),
            sessions=cast("Sessions", Acumatica(self)),
            relays=Relays({}, SETTINGS),
            clock=lambda: self.now,
            activity=Activity(),
        )
        self.requests: list[Request] = []
        self.transactions = Transactions(self)
        self._looks: list[Look | Sweeping] = []
        self._working: dict[Task, Request | Message | Look | Sweeping] = {}
        self._outcomes: dict[Task, Any] = {}
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

    def order(self, text: str, delay: float) -> None:
        """Put a message into queue sweeps."""
        self.orders.append(Message(text, self.now + delay))

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through the story. Raises Endless."""
        story, began = self.story, self.now
        for number, change in enumerate(sorted(story.changes, key=lambda c: c.at), 1):
            self.scheduler.at(began + change.at, partial(self.transactions.begin, change, f"change {number}"))
        for edit in story.edits:
            self.scheduler.at(began + edit.at, partial(self._edit, edit))
        for closed in story.closed:
            if closed.kind == "missing":
                self.scheduler.at(began + closed.at, partial(self._vanish, closed.owner))
        for look in story.looks:
            self.scheduler.at(began + look.at, partial(self._looks.append, look))
        for sweep in story.sweeps:
            self.scheduler.at(began + sweep.at, partial(self._looks.append, Sweeping()))
        for fault in story.faults:
            self.scheduler.at(began + fault.at + fault.lasts, lambda: None)  # so that nothing counts as quiet before
        if pause := story.pause:
            self.scheduler.at(began + pause.at, partial(self._pause, True))
            for purge in pause.purges:
                self.scheduler.at(began + pause.at + purge, self._purge)
            self.scheduler.at(began + pause.at + pause.days * DAY, partial(self._pause, False))
        # How a row is looked for is for people, too.
        with mock.patch.multiple(outcomes, random=random.Random(0), indexed=lambda *_, **__: None):
            for ending in (lambda: None, *self._endings()):
                ending()
                self.scheduler.run(self._offers, self._ended)

    def _endings(self) -> list[Callable[[], None]]:
        """What happens once all is quiet, one after the other."""
        story = self.story
        if story.healed:
            decide = partial(self._decide, release=story.release)
            return [decide, self._sweep, self._decide, self._let_go, self._sweep_idly]
        endings: list[Callable[[], None]] = [partial(self._do, story.deed)] if story.deed else []
        endings += [self._touch] if story.edits else []
        return endings + ([self._reopen] if story.reopens else [])

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
            self.transactions.begin(Change(0, row, new), "the last change")

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
                self.transactions.begin(Change(0, row, state), "the last change")
            elif row in self.newest:
                self._resubmit(self.newest[row])

    def _decide(self, *, release: bool = True) -> None:
        """Somebody releases what the brake holds, or discards it."""
        for hold in self.store.held.open(1000):
            self.scheduler.log.append(f"Somebody {'releases' if release else 'discards'} what the brake holds.")
            decided: list[str] = []
            while not decided:  # who is told of an error, or of nothing, tries again
                self.scheduler.start(partial(self._decided, hold, decided, release=release), "ann")
                self.scheduler.run(list)

    def _decided(self, hold: Hold, decided: list[str], *, release: bool) -> None:
        with contextlib.suppress(ServiceRequestError):
            try:
                if release:
                    sweeps.release(hold.id, self.services, "ann")
                else:
                    sweeps.discard(hold.id, self.services, "ann", "a mistake")
            except Refused:
                pass  # it was done at the first try
            decided.append(hold.id)

    def _sweep(self) -> None:
        """A sweep puts right what no message tells of; what is too young for it is looked at again."""
        self._looks.append(Sweeping())

    def _let_go(self) -> None:
        """Where the brake keeps events of rows that are there, and they are to go, somebody raises REMOVALS_MAX."""
        newest = self.store.sweeps.newest()
        if newest and newest.plan.withheld:
            self.scheduler.log.append("Somebody raises REMOVALS_MAX.")
            self.services = replace(self.services, settings=SETTINGS.model_copy(update={"removals_max": 1000}))
            self._sweep()

    def _sweep_idly(self) -> None:
        """Everything is in order by now, so that a sweep costs nothing."""
        self.witness.idle = True
        self.scheduler.at(self.now + MARGIN, self._sweep)

    def _reopen(self) -> None:
        self.scheduler.log.append("The mailboxes serve again, and each dead letter is run again.")
        self._reopened = True
        for letter in self.dead.values():
            if letter.mapping:
                self._resubmit(RowChange.decode(json.loads(letter.content or "")))

    def _resubmit(self, change: RowChange) -> None:
        again = replace(change, first_sent=self.now, tries=0, tried_for=0.0, tried_at=0.0)
        self.queue.append(Message(canonical(again.encode()), self.now))

    # -- what the app does ---------------------------------------------------------------------------------------------

    def _offers(self) -> list[Callable[[], Task]]:
        if len(self.scheduler.tasks) >= self.story.workers:
            return []
        messages = [*self.queue, *self.orders]
        visible = [message for message in messages if message.visible <= self.now]
        waiting = [message.visible for message in messages if message.visible > self.now]
        if waiting and not (visible or self.requests or self._looks):
            self.scheduler.at(min(waiting), lambda: None)  # so that time stops there
        coming: list[Request | Look | Sweeping] = [*self.requests, *self._looks]
        offers: list[Callable[[], Task]] = [partial(self._start, item) for item in coming]
        return offers + [partial(self._start, message) for message in visible if not self._paused]

    def _start(self, item: Request | Message | Look | Sweeping) -> Task:
        if isinstance(item, Request):
            self.requests.remove(item)
            label = f"receive {item.words}"
        elif isinstance(item, Look):
            self._looks.remove(item)
            label = f"look at {item.row}"
        elif isinstance(item, Sweeping):
            self._looks.remove(item)
            label = "schedule"
        elif item in self.orders:
            item.visible = float("inf")
            label = f"sweep {self.next()}"
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

    def _work(self, task: Task, item: Request | Message | Look | Sweeping, ready: Ready) -> None:
        try:
            if isinstance(item, Request):
                self._outcomes[task] = receive(item.body, ready).status  # type: ignore[arg-type]
            elif isinstance(item, Look):
                self._look(item.row, ready.services())
            elif isinstance(item, Sweeping):
                on_schedule(ready)  # type: ignore[arg-type]
                self._outcomes[task] = 200
            elif item in self.orders:
                sweep_queue.sweep(item.text, ready)  # type: ignore[arg-type]
                self._outcomes[task] = 200
            else:
                applying.apply(item.text, ready)  # type: ignore[arg-type]
                self._outcomes[task] = 200
        except (ServiceRequestError, Permanent, Later, OutcomeUnknown):
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
                (self.orders if item in self.orders else self.queue).remove(item)
            return
        item.failures += 1
        when = self.now + 5 + 13 * (item.failures + self.scheduler.steps % 4)  # a while later, and it depends
        if isinstance(item, Request):
            self.scheduler.at(when, lambda: self.requests.append(item))
        elif isinstance(item, Sweeping):
            self.scheduler.at(when, lambda: self._looks.append(item))
        elif item.failures >= 5:
            (self.orders if item in self.orders else self.queue).remove(item)
            self.dead[item.text] = DeadLetter(item.text, reason="poison")
        else:
            item.visible = when
