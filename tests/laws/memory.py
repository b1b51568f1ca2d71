"""Storage in memory, on simulated time: each call is a step at which others may get their turn, or something go wrong."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from azure.core.exceptions import ServiceRequestError

from handlers.clients.activity import Recorder
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.links import ListedLinks, entity_of
from handlers.clients.notifications import ReceivedNotification
from handlers.clients.storage import Storage
from handlers.clients.tables import Entity, Stored
from handlers.services import Services
from handlers.sync.change import RowChange, canonical
from handlers.sync.errors import Code
from handlers.sync.link import EventLink
from handlers.sync.link_state import from_state, to_state
from tests.laws.memory_of_sweeps import Held, Sweeps

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation


@dataclass(eq=False)
class Message:
    """A message of the queue."""

    text: str
    visible: float
    failures: int = 0


class Store:
    """handlers.clients.storage.Storage in memory."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self.links, self.notifications = Links(sim), Notifications(sim)
        self.queue, self.dead_letters, self.pins, self.put_off = Queue(sim), DeadLetters(sim), Pins(), PutOff()
        self.sweeps, self.held = Sweeps(sim), Held(sim)

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

    def purge(self, before: datetime) -> dict[str, int]:
        until = before.timestamp() - (self.now() - self.queue.oldest())
        self.pins.forget(until)
        return {"EventLinks": self.links._forget(until)}


class Notifications:
    """handlers.clients.notifications.Notifications in memory."""

    def __init__(self, sim: "Simulation") -> None:
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

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._touched: dict[str, float] = {}
        self._entities: dict[int, Entity] = {}  # as they are listed, by the number of their save
        self._read: dict[int, EventLink] = {}

    def load(self, key: str) -> tuple[EventLink | None, str | None]:
        step = self._sim.scheduler.step
        return step("load", "loads the link", lambda: self._load(key), show=lambda found: told(found[0]))

    def _load(self, key: str) -> tuple[EventLink | None, str | None]:
        stored = self._sim.links.get(key)
        return (self._stored(key), str(stored[1])) if stored else (None, None)

    def _stored(self, key: str) -> EventLink:
        state, number = self._sim.links[key]
        if number not in self._read:
            self._read[number] = from_state(json.loads(state))
        return self._read[number]

    def of_mapping(self, mapping: str) -> ListedLinks:  # noqa: ARG002
        def listed() -> ListedLinks:
            found = ListedLinks()
            for key, (_, number) in self._sim.links.items():
                if number not in self._entities:
                    self._entities[number] = entity_of(self._stored(key))
                found.add(Stored(self._entities[number], str(number)))
            return found

        return self._sim.scheduler.step("list", "lists the links", listed, show=lambda _: "")

    def save(self, link: EventLink, etag: str | None) -> str | None:
        words = "" if self._sim.scheduler.silent else f"saves the link{told(link)}"
        new = self._sim.scheduler.step(
            "save", words, lambda: self._save(link, etag), show=lambda new: "" if new else ": conflict"
        )
        me = self._sim.scheduler.current
        if new and me:
            me.saved = self._sim.now
            me.expires = link.claim.expires if link.claim else float("inf")
        return new

    def _save(self, link: EventLink, etag: str | None) -> str | None:
        stored = self._sim.links.get(link.key)
        if (str(stored[1]) if stored else None) != etag:
            return None
        number = self._sim.next()
        self._sim.links[link.key] = (canonical(to_state(link)), number)
        self._touched[link.key] = self._sim.now
        return str(number)

    def _forget(self, before: float) -> int:
        old = [key for key in self._sim.links if self._touched[key] < before]
        links = [self._stored(key) for key in old]
        tombstones = [link.key for link in links if not (link.present or link.entries or link.claim or link.buried)]
        for key in tombstones:
            del self._sim.links[key]
        return len(tombstones)


class DeadLetters:
    """handlers.clients.dead_letters.DeadLetters in memory."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim

    def put(self, letter: DeadLetter) -> None:
        def put() -> None:
            known = self._sim.dead.get(letter.key)
            if known is None or known.timestamp <= letter.timestamp:
                self._sim.dead[letter.key] = letter

        self._sim.scheduler.step("dead letter", f"writes a dead letter: {letter.reason}", put)

    def list(self, limit: int) -> list[DeadLetter]:  # noqa: ARG002
        return self._sim.scheduler.step("letters", "lists dead letters", lambda: [*self._sim.dead.values()])

    def get(self, key: str) -> DeadLetter | None:
        return self._sim.dead.get(key)

    def mark_resubmitted(self, key: str, at: datetime, by: str) -> None:
        pass

    def clear(self, key: str, timestamp: int) -> None:
        def clear() -> None:
            known = self._sim.dead.get(key)
            if known and known.timestamp <= timestamp:
                del self._sim.dead[key]

        self._sim.scheduler.step("clear", "clears the dead letter", clear)


class Queue:
    """handlers.clients.queue.Queue in memory."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim

    def send(self, change: RowChange, delay: float = 0.0) -> None:
        self._sim.witness.see(change)
        self.put_back(canonical(change.encode()), delay)

    def put_back(self, text: str, delay: float) -> None:
        def send() -> None:
            self._sim.queue.append(Message(text, self._sim.now + delay))

        self._sim.scheduler.step("send", f"sends the change{f', to be seen in {delay:.0f} s' if delay else ''}", send)

    def oldest(self) -> float:
        """When the first of those was taken in that wait and can be known of: not under way, and for more than a moment."""
        now = self._sim.now
        seen = [m for m in self._sim.queue if not now < m.visible < now + 30]
        return min((self.read(message.text).first_sent for message in seen), default=now)

    def read(self, text: str) -> RowChange:
        return RowChange.decode(json.loads(text))


class PutOff:
    """handlers.clients.put_off.PutOff, on which no row depends."""

    def note(self, change: RowChange, code: Code, delay: float, now: float) -> None:
        pass

    def forget(self, change: RowChange) -> None:
        pass


class Ready:
    """handlers.services.Factory with everything built."""

    def __init__(self, services: Services) -> None:
        self.built = services

    def services(self) -> Services:
        return self.built

    def intake(self) -> Services:
        return self.built

    def storage(self) -> Storage:
        return self.built.storage


class Activity(Recorder):
    """handlers.clients.activity.Recorder, which is for people; it would remember nothing, but after much work."""

    def _nothing(self, *_: object, **__: object) -> None:
        pass

    began = queued = duplicate = indexed = applied = deferred = failed = sent = swept = _nothing


class Pins:
    """handlers.clients.pins.Pins that nothing differs from."""

    def __init__(self) -> None:
        self._forgotten = 0.0

    def forgotten(self) -> float:
        return self._forgotten

    def forget(self, until: float) -> None:
        self._forgotten = max(until, self._forgotten)

    def key_columns(self, mapping: str, key: list[str], *, pin: bool = True) -> list[str]:  # noqa: ARG002
        return key

    def company(self, name: str, *, pin: bool = True) -> str:  # noqa: ARG002
        return name


def told(link: EventLink | None) -> str:
    """A link in a few words."""
    if link is None:
        return " (none)"
    entries = [
        f"{str(e.generation)[-2:]}:{e.mailbox.partition('@')[0]}:{e.id or '?'}"
        f"{'' if e.fingerprint else ' content unknown'}"
        + "".join(f" {word}" for word in ("leaving", "unsure", "sought", "refused", "late_until") if getattr(e, word))
        for e in link.entries
    ]
    row = {name: link.row.get(name) for name in ("Owner", "Subject", "Room")} if link.present else "gone"
    late = "; a late write-back" if link.record_late_until else ""
    claimed = "; claimed" if link.claim else ""
    return f" ({row}; events {entries}; written back {link.written_back}{late}{claimed})"
