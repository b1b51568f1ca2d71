"""Outlook and Acumatica in memory, as adversarial as the real ones: whatever a story says of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.clients.acumatica import Read
from handlers.clients.limiter import MailboxLimiter
from handlers.sync.errors import Code, DuplicateTransaction, EventGone, Later, MailboxGone, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.record import RecordUpdate
from tests.laws.world import SETTINGS, link_key, shown

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation

LATE_PUT = 900.0  # seconds until Acumatica carries a request out at the latest


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


class Outlook:
    """handlers.clients.graph.Graph in memory.

    Whether it tells the event of a used transactionId, and remembers those of events that were deleted, the story says.
    """

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._made: dict[tuple[str, str], tuple[str, str]] = {}
        self.limiter = MailboxLimiter(lambda: sim.now, patience=0.0)

    def _step[T](self, call: str, words: str, mailbox: str, deadline: float, effect: Callable[[], T]) -> T:
        _check_time(self._sim, deadline)

        def answered() -> T | SyncFailure:
            closed = self._sim.closed(mailbox)
            if closed == "denies":
                return SyncFailure(Later(Code.MAILBOX_DENIED, "access is denied"))
            if closed == "missing" or mailbox in self._sim.gone:
                return SyncFailure(MailboxGone(Code.MAILBOX_MISSING, "the mailbox is gone", "nothing"))
            if closed == "refuses" and call != "find":
                return SyncFailure(Permanent(Code.GRAPH_REFUSED, "bad request", "nothing"))
            return effect()

        answer = self._sim.scheduler.step(call, words, answered, remote=True)
        if isinstance(answer, SyncFailure):
            raise answer.error
        return answer

    def create(self, event: CalendarEvent, stamp: str, deadline: float = math.inf) -> str:
        words = f"POST {Event(event.mailbox, stamp, event.body)}, {stamp[-2:]}"
        event_id, same = self._step("POST", words, event.mailbox, deadline, lambda: self._post(event, stamp))
        if not same:
            raise DuplicateTransaction(event_id if self._sim.story.tells else None)
        return event_id

    def _post(self, event: CalendarEvent, stamp: str) -> tuple[str, bool]:
        key = (event.mailbox, stamp)
        if (found := self._known(key)) is not None:
            event_id, fingerprint = found
            return event_id, fingerprint == event.fingerprint
        event_id = f"e{self._sim.next()}"
        self._made[key] = (event_id, event.fingerprint)
        self._sim.events[event_id] = Event(event.mailbox, stamp, event.body)
        return event_id, True

    def _known(self, key: tuple[str, str]) -> tuple[str, str] | None:
        """The event that a transactionId has made, and of what content."""
        found = self._made.get(key)
        return None if found and self._sim.story.forgets and found[0] not in self._sim.events else found

    def update(
        self,
        mailbox: str,
        event_id: str,
        event: CalendarEvent,
        stamp: str | None = None,  # noqa: ARG002
        deadline: float = math.inf,
    ) -> None:
        def patch() -> bool:
            known = self._sim.events.get(event_id)
            if known and known.mailbox == mailbox:
                known.body = event.body
                return True
            return False

        words = f"PATCH {event_id} {Event(mailbox, '', event.body)}"
        self._check(done=self._step("PATCH", words, mailbox, deadline, patch))

    def delete(self, mailbox: str, event_id: str, deadline: float = math.inf) -> None:
        def delete() -> bool:
            known = self._sim.events.get(event_id)
            if not (known and known.mailbox == mailbox):
                return False
            del self._sim.events[event_id]
            if not any(e.row == known.row for e in self._sim.events.values()):
                self._gap(known)
            return True

        self._check(done=self._step("DELETE", f"DELETE {event_id}", mailbox, deadline, delete))

    @staticmethod
    def _check(*, done: bool) -> None:
        if not done:
            raise EventGone("gone")

    def _gap(self, event: Event) -> None:
        for row, state in self._sim.rows.items():
            if link_key(row) == event.row and self._sim.mapping.matches(shown(row, state)):
                self._sim.gaps.append(f"row {row} has no event for a while, although it is in the inquiry")

    def find(self, mailbox: str, stamp: str, calendar: str = "", deadline: float = math.inf) -> list[str]:  # noqa: ARG002
        def find() -> list[str]:
            return sorted(i for i, e in self._sim.events.items() if (e.mailbox, e.stamp) == (mailbox, stamp))

        return self._step("find", f"looks for {mailbox.partition('@')[0]}'s {stamp[-2:]}", mailbox, deadline, find)


def _check_time(sim: "Simulation", deadline: float) -> None:
    if sim.now + SETTINGS.longest_request_seconds > deadline:
        raise Later(Code.NO_TIME_LEFT, "no time left", counted=False)


@dataclass
class SyncFailure:
    """An answer that is a failure: a late copy is answered with it too, and nobody listens."""

    error: Exception


class Acumatica:
    """handlers.clients.sessions.Sessions in memory; a write-back that changes something is echoed."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim

    def read(self, path: str, accept: str, what: str, deadline: float) -> Read:  # noqa: ARG002
        return self._sim.site.read(path, what)

    def put(self, update: RecordUpdate, deadline: float) -> None:
        _check_time(self._sim, deadline)
        record, event_id = update.body["id"], update.body["custom"]["Opportunity"]["AttributeCALEVT"]["value"]

        def put() -> None:
            if self._sim.records.get(record) != event_id:
                self._sim.records[record] = event_id
                self._sim.transactions.echo(record)

        if self._sim.story.acumatica_away:
            raise Permanent(Code.ACUMATICA_REFUSED, "refused", "nothing")
        self._sim.scheduler.step("PUT", f"PUT {event_id}", put, remote=True, slow=LATE_PUT)
