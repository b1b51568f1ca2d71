"""The real receive and apply code on simulated time, with workers that are interleaved at every I/O step.

Each worker is a greenlet. Every call of an in-memory service is a step: the scheduler may run others before it, let the
worker die just before or just after it, lose its answer, or throttle it. A seed fixes the whole schedule.
"""

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import greenlet
from azure.core.exceptions import ServiceRequestError

from handlers import apply as applying
from handlers.clients.gate import Gate
from handlers.clients.graph import Graph
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.receive import receive
from handlers.services import Services
from handlers.settings import Settings
from handlers.sync.errors import DuplicateTransaction, EventGone, Later, OutcomeUnknown
from handlers.sync.link import EventLink, from_state, to_state
from handlers.sync.mapping import CalendarEvent, Mapping, RecordUpdate, load_mapping
from handlers.sync.notification import RowChange, canonical, datetime_to_ticks

BEGINNING = datetime(2026, 12, 1, tzinfo=UTC)
CLAIM = 60.0
NOTE_IDS = {key: str(uuid.UUID(int=n)) for n, key in enumerate("ABC", 1)}
MAPPING_TEXT = """
query = "Q"
key = ["Key"]
mailbox = "{Owner}@example.com"
time_zone = "UTC"
attributes = ["Room"]
[event]
subject = "{Subject}"
start = "2026-12-01T09:00:00"
end = "2026-12-01T10:00:00"
location = "{Room}"
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
[write_back.fields]
"custom.Opportunity.AttributeCALEVT" = "{event_id}"
"""


class Died(greenlet.GreenletExit):
    """The worker's process is gone; nothing of its code runs any more."""


@dataclass
class Odds:
    """How likely a step goes wrong, and how often at most in one run."""

    death: float = 0.03
    lost: float = 0.03
    refused: float = 0.02
    pause: float = 0.0
    most: int = 10


@dataclass
class Simulation:
    """One run. `log` is the story that a failure is told with."""

    seed: int
    odds: Odds = field(default_factory=Odds)
    workers_at_most: int = 3

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = BEGINNING.timestamp()
        self.log: list[str] = []
        self.mishaps = 0
        self.queue: list[dict[str, Any]] = []
        self.links: dict[str, tuple[str, int]] = {}
        self.notifications: dict[str, str] = {}
        self.dead: dict[str, str] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.transactions: dict[tuple[str, str], tuple[str, str]] = {}
        self.records: dict[str, str] = {}
        self.echoes: list[str] = []
        self.inbox: list[bytes] = []
        self.late: list[tuple[float, str, Callable[[], Any]]] = []
        self.counter = 0
        self.calls: dict[str, int] = {}
        self.echo: Callable[[str], bytes | None] = lambda _: None
        mapping = load_mapping("m", MAPPING_TEXT)
        settings = Settings(
            ACUMATICA_URL="https://erp.example.com",
            ACUMATICA_TENANT="T",
            ACUMATICA_USERNAME="u",
            ACUMATICA_PASSWORD="p",
            CLAIM_SECONDS=CLAIM,
            REQUEST_TIMEOUT_SECONDS=5,
            DELETE_GRACE_SECONDS=10,
        )
        self.services = Services(
            settings=settings,
            mappings={"m": mapping},
            storage=cast("Storage", Store(self)),
            graph=cast("Graph", Outlook(self)),
            sessions=cast("Sessions", Acumatica(self)),
            clock=lambda: self.now,
        )
        self.mapping: Mapping = mapping

    # -- steps -------------------------------------------------------------------------------------------------------

    def step[T](self, what: str, effect: Callable[[], T], *, remote: bool = False) -> T:
        """One I/O of the running worker: give others their turn, perhaps go wrong, have the effect."""
        me = greenlet.getcurrent()
        assert me.parent
        me.parent.switch()
        self.now += 1
        self.calls[what] = self.calls.get(what, 0) + 1
        name = getattr(me, "label", "?")
        chance = self.random.random()
        odds = self.odds
        wrong = self.mishaps < odds.most
        if wrong and chance < odds.death:
            self.mishaps += 1
            if after := self.random.random() < 0.5:
                effect()
            self.log.append(f"{name} {what}: dies {'after' if after else 'before'} it")
            raise Died
        if wrong and remote and chance < odds.death + odds.lost:
            self.mishaps += 1
            when = self._late()
            if self.random.random() < 0.3:
                self.log.append(f"{name} {what}: no answer, never carried out")
            else:
                self.log.append(f"{name} {what}: no answer, carried out at {when:.0f}")
                self.late.append((when, what, effect))
            raise OutcomeUnknown("no answer")
        if wrong and chance < odds.death + odds.lost + odds.refused:
            self.mishaps += 1
            if remote:
                if kept := self.random.random() < 0.3:
                    effect()
                self.log.append(f"{name} {what}: 503{', yet carried out' if kept else ''}")
                raise Later("throttled", 2.0)
            self.log.append(f"{name} {what}: storage is away")
            raise ServiceRequestError("away")
        if wrong and chance < odds.death + odds.lost + odds.refused + odds.pause:
            self.mishaps += 1
            self.log.append(f"{name} {what}: is paused before it")
            until = self.now + self.random.uniform(0, CLAIM)
            while self.now < until:
                me.parent.switch()
        self._carry_out_what_is_late()
        result = effect()
        self.log.append(f"{name} {what} → {result!r}"[:200])
        return result

    def _late(self) -> float:
        """Some time until a claim expires: what the services do with our requests after that is outside the promise."""
        claims = [link.claim for link in (from_state(json.loads(state)) for state, _ in self.links.values()) if link.claim]
        return self.random.uniform(self.now, min((c.expires for c in claims if c.expires > self.now), default=self.now))

    def _carry_out_what_is_late(self) -> None:
        for item in [item for item in self.late if item[0] <= self.now]:
            self.late.remove(item)
            item[2]()
            self.log.append(f"     {item[1]}: carried out now")

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, deliveries: list[bytes], steps: int = 30_000) -> None:
        """Deliver notifications at random times, until each was answered with 2xx and the queue is empty."""
        waiting = [(self.now + self.random.randint(0, 80), body) for body in deliveries]
        busy: dict[greenlet.greenlet, Any] = {}
        for _ in range(steps):
            self.now += 1
            self._carry_out_what_is_late()
            waiting += [(self.now + self.random.randint(1, 10), echo) for echo in self._take_echoes()]
            if len(busy) < self.workers_at_most:
                due = [item for item in waiting if item[0] <= self.now]
                visible = [message for message in self.queue if message["visible"] <= self.now]
                if due and self.random.random() < 0.5:
                    item = self.random.choice(due)
                    waiting.remove(item)
                    self._start(busy, item, self._receive)
                elif visible:
                    message = self.random.choice(visible)
                    message["visible"] = self.now + 600
                    self._start(busy, message, self._apply)
            if busy:
                worker = self.random.choice(list(busy))
                outcome = worker.switch()
                if worker.dead:
                    self._ended(busy.pop(worker), outcome, waiting)
            elif not (waiting or self.queue or self.late):
                return
        raise AssertionError("the run does not end")

    def alone[T](self, work: Callable[[], T]) -> T:
        """Run one piece of work with nobody else about."""
        worker = greenlet.greenlet(work)
        result = worker.switch()
        while not worker.dead:
            result = worker.switch()
        return cast("T", result)

    def _start(self, busy: dict[greenlet.greenlet, Any], item: Any, work: Callable[[Any], Any]) -> None:
        self.counter += 1
        worker = greenlet.greenlet(lambda: work(item))
        worker.label = f"w{self.counter}"  # type: ignore[attr-defined]
        busy[worker] = item

    def _receive(self, item: tuple[float, bytes]) -> Any:
        try:
            return receive(item[1], Ready(self.services)).status  # type: ignore[arg-type]
        except Died:
            return "died"

    def _apply(self, message: dict[str, Any]) -> Any:
        try:
            applying.apply(message["text"], Ready(self.services))  # type: ignore[arg-type]
        except Died:
            return "died"
        except ServiceRequestError:
            return "raised"
        return "done"

    def _ended(self, item: Any, outcome: Any, waiting: list[tuple[float, bytes]]) -> None:
        if isinstance(item, tuple):
            if outcome not in {200, 202}:  # Acumatica sends again
                waiting.append((self.now + self.random.randint(5, 60), item[1]))
        elif outcome == "done":
            self.queue.remove(item)
        else:
            item["visible"] = self.now + (30 if outcome == "raised" else self.random.randint(5, 60))

    def _take_echoes(self) -> list[bytes]:
        echoes, self.echoes = self.echoes, []
        return [echo for echo in map(self.echo, echoes) if echo]


class Ready:
    """handlers.services.Factory with everything built."""

    def __init__(self, services: Services) -> None:
        self.services = lambda: services
        self.storage = lambda: services.storage


class Store:
    """handlers.clients.storage.Storage in memory."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def begin_notification(self, key: str, facts: dict[str, Any]) -> str:  # noqa: ARG002
        return self._sim.step("begin", lambda: self._sim.notifications.setdefault(key, "receiving"))

    def notification_queued(self, key: str) -> None:
        self._sim.step("queued", lambda: self._sim.notifications.update({key: "queued"}))

    def record_rejected(self, content: bytes, facts: dict[str, Any]) -> None:  # noqa: ARG002
        raise AssertionError(f"rejected: {facts}")

    def pinned_key(self, mapping: str, key: list[str]) -> list[str]:  # noqa: ARG002
        return key

    def load_link(self, key: str) -> tuple[EventLink | None, str | None]:
        def load() -> tuple[EventLink | None, str | None]:
            stored = self._sim.links.get(key)
            return (from_state(json.loads(stored[0])), str(stored[1])) if stored else (None, None)

        return self._sim.step("load", load)

    def save_link(self, link: EventLink, etag: str | None) -> str | None:
        def save() -> str | None:
            stored = self._sim.links.get(link.key)
            if (str(stored[1]) if stored else None) != etag:
                return None
            self._sim.counter += 1
            self._sim.links[link.key] = (canonical(to_state(link)), self._sim.counter)
            return str(self._sim.counter)

        return self._sim.step(f"save {link.row_key[0]} {link.version} {link.entries} claim={bool(link.claim)}", save)

    def put_dead_letter(self, key: str, content: Any, reason: str, remedy: str, facts: dict[str, Any]) -> None:  # noqa: ARG002
        self._sim.step("dead letter", lambda: self._sim.dead.update({key: reason}))

    def clear_dead_letter(self, key: str) -> None:
        self._sim.step("clear dead letter", lambda: self._sim.dead.pop(key, None))

    def send(self, change: RowChange, delay: float = 0.0) -> None:
        message = {"text": canonical(change.encode()), "visible": self._sim.now + delay}
        self._sim.step("send", lambda: self._sim.queue.append(message))

    def send_all(self, changes: list[tuple[RowChange, float]]) -> None:
        for change, delay in changes:
            self.send(change, delay)

    def read_message(self, text: str) -> RowChange:
        return RowChange.decode(json.loads(text))


class Outlook:
    """handlers.clients.graph.Graph in memory, as adversarial as the real one: it keeps transactionIds for ever."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.gate = Gate(lambda: sim.now)

    def create(self, event: CalendarEvent, stamp: str) -> str:
        def post() -> tuple[str, bool]:
            key = (event.mailbox, stamp)
            if key in self._sim.transactions:
                event_id, fingerprint = self._sim.transactions[key]
                return event_id, fingerprint == event.fingerprint
            self._sim.counter += 1
            event_id = f"e{self._sim.counter}"
            self._sim.transactions[key] = (event_id, event.fingerprint)
            self._sim.events[event_id] = {"mailbox": event.mailbox, "stamp": stamp, "body": event.body}
            return event_id, True

        event_id, same = self._sim.step(f"POST {event.mailbox} {event.body['subject']} {stamp[-2:]}", post, remote=True)
        if not same:
            raise DuplicateTransaction(event_id if self._sim.random.random() < 0.5 else None)
        return event_id

    def update(self, mailbox: str, event_id: str, event: CalendarEvent) -> None:
        def patch() -> bool:
            known = self._sim.events.get(event_id)
            if known and known["mailbox"] == mailbox:
                known["body"] = event.body
                return True
            return False

        if not self._sim.step(f"PATCH {event_id} {event.body['subject']}", patch, remote=True):
            raise EventGone("gone")

    def delete(self, mailbox: str, event_id: str) -> None:
        def delete() -> bool:
            known = self._sim.events.get(event_id)
            return bool(known and known["mailbox"] == mailbox and self._sim.events.pop(event_id))

        if not self._sim.step(f"DELETE {event_id}", delete, remote=True):
            raise EventGone("gone")

    def find(self, mailbox: str, stamp: str) -> list[str]:
        return self._sim.step(
            f"find {stamp[-2:]}",
            lambda: sorted(i for i, e in self._sim.events.items() if (e["mailbox"], e["stamp"]) == (mailbox, stamp)),
            remote=True,
        )


class Acumatica:
    """handlers.clients.sessions.Sessions in memory; a write-back that changes something is echoed."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def put(self, update: RecordUpdate, deadline: float) -> None:  # noqa: ARG002
        event_id = update.body["custom"]["Opportunity"]["AttributeCALEVT"]["value"]

        def put() -> None:
            if self._sim.records.get(update.body["id"]) != event_id:
                self._sim.records[update.body["id"]] = event_id
                self._sim.echoes.append(update.body["id"])

        self._sim.step(f"PUT {event_id}", put, remote=True)


@dataclass
class History:
    """What happened in Acumatica: transactions in order, with the rows as they are at the end."""

    notifications: list[dict[str, Any]]
    rows: dict[str, dict[str, Any]]


def history(rng: random.Random, changes: int = 6, keys: str = "ABC") -> History:
    """Insertions, updates, moves, removals and returns of up to three rows; some updates are split into two requests."""
    ticks = datetime_to_ticks(BEGINNING)
    rows: dict[str, dict[str, Any]] = {}
    sent: list[dict[str, Any]] = []
    for number in range(rng.randint(1, changes)):
        ticks += 10_000_000
        key = rng.choice(keys)
        old = rows.get(key)
        inserted, deleted = [], []
        if old and rng.random() < 0.3:
            deleted = [old]
            del rows[key]
        else:
            owner, subject = rng.choice(["ann", "bob"]), f"s{rng.randint(0, 2)}"
            new: dict[str, Any] = {
                "Key": key,
                "Owner": owner,
                "Subject": subject,
                "NoteID": NOTE_IDS[key],
                "Room": f"r{rng.randint(0, 1)}",
            }
            shown = dict(new)
            if old and rng.random() < 0.5:
                new["Room"], shown["Room"] = old["Room"], None  # an attribute that did not change comes as null
            inserted, deleted = [shown], [old] if old else []
            rows[key] = new
        whole = {"Query": "Q", "CompanyId": "T", "Id": f"id{number}", "TimeStamp": ticks}
        if inserted and deleted and rng.random() < 0.3:
            sent += [{**whole, "Inserted": inserted, "Deleted": []}, {**whole, "Inserted": [], "Deleted": deleted}]
        else:
            sent.append({**whole, "Inserted": inserted, "Deleted": deleted})
    return History(sent, rows)


def simulate(seed: int, odds: Odds | None = None) -> list[str]:
    """Run one seed; returns every difference from what should be."""
    sim = Simulation(seed, odds or Odds())
    past = history(sim.random)
    ticks = max(n["TimeStamp"] for n in past.notifications)

    def echo(note_id: str) -> bytes | None:
        nonlocal ticks
        row = next((row for row in past.rows.values() if row["NoteID"] == note_id), None)
        if row is None:
            return None
        ticks += 1
        body = {
            "Query": "Q",
            "CompanyId": "T",
            "Id": f"echo{ticks}",
            "TimeStamp": ticks,
            "Inserted": [row],
            "Deleted": [row],
        }
        return json.dumps(body).encode()

    sim.echo = echo
    bodies = [json.dumps(n).encode() for n in past.notifications]
    bodies += [body for body in bodies if sim.random.random() < 0.3]
    sim.random.shuffle(bodies)
    sim.run(bodies)
    found = differences(sim, past)
    if found:
        found += ["--- " + json.dumps(n) for n in past.notifications] + sim.log
    return found


def differences(sim: Simulation, past: History) -> list[str]:
    """One event per live row, in the right mailbox, equal to the newest state, its id written back; nothing left over."""
    found = []
    for key, row in past.rows.items():
        wanted = sim.mapping.calendar_event(row)
        mine = [(i, e) for i, e in sim.events.items() if e["stamp"].startswith(_link_key(key))]
        if [(e["mailbox"], e["body"]) for _, e in mine] != [(wanted.mailbox, wanted.body)]:
            found.append(f"{key}: {mine} instead of {wanted}")
        elif sim.records.get(row["NoteID"]) != mine[0][0]:
            found.append(f"{key}: record holds {sim.records.get(row['NoteID'])} instead of {mine[0][0]}")
    live = {_link_key(key) for key in past.rows}
    found += [f"left over: {e}" for e in sim.events.values() if e["stamp"].rsplit("-", 1)[0] not in live]
    for state, _ in sim.links.values():
        link = from_state(json.loads(state))
        if link.claim:
            found.append(f"still claimed: {link}")
    found += [f"dead letter: {reason}" for reason in sim.dead.values()]
    return found


def _link_key(key: str) -> str:
    return RowChange("T", "m", (key,), 0, None, "", 0.0).link_key
