"""What became of a message, decided once and told once: to the queue or the dead letters, to activity and to telemetry.

The row's history is told by the link itself, where it is saved.
"""

import logging
import random
from dataclasses import dataclass, replace
from hashlib import sha256

from handlers import telemetry
from handlers.clients.activity import readable
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.storage import Storage
from handlers.services import Services
from handlers.settle import Settled
from handlers.sync.change import RowChange, canonical, digest
from handlers.sync.errors import RUN_AGAIN, Code, Later, OutcomeUnknown, Permanent
from handlers.sync.link import new_link
from handlers.sync.notification import Unidentified

_BACKOFF_MAX = 600.0
_BURY_TRIES = 10
CORRECT_IT = f"Correct the cause, {RUN_AGAIN}"


@dataclass(frozen=True)
class Outcome:
    """What becomes of a message: done with, sent again after `delay` seconds, or a dead letter."""

    change: RowChange
    settled: Settled
    delay: float | None = None
    dead: Permanent | None = None


def decide(change: RowChange, settled: Settled, now: float, claim_seconds: float) -> Outcome:
    """Whether a message is done with. Where nobody knows what was done, nobody may act before the claim has expired."""
    match settled.failure:
        case None:
            return Outcome(change, settled)
        case Permanent() as failure:
            return Outcome(change, settled, dead=failure)
        case OutcomeUnknown():
            return Outcome(change.tried(now), settled, delay=claim_seconds + 1)
        case Later() as later:
            backoff = min(2.0 ** min(change.tries, 10), _BACKOFF_MAX) * random.uniform(0.5, 1.0) if later.counted else 0.0  # noqa: S311
            return Outcome(change.tried(now), settled, delay=max(later.delay + backoff, 1.0))


def given_up(outcome: Outcome, hours: float) -> Permanent | None:
    """Why a change is not tried any more; None as long as it is."""
    failure = outcome.settled.failure
    if outcome.delay is None or failure is None or outcome.change.tried_for <= hours * 3600:
        return None
    return Permanent(Code.GAVE_UP, f"Tried for {hours:g} hours, last: {failure.reason.rstrip('.')}.", CORRECT_IT)


def carry_out(outcome: Outcome, storage: Storage) -> None:
    """Send the message again, or make a dead letter of it."""
    if outcome.dead:
        bury(outcome.change, outcome.dead, storage)
    elif outcome.delay is not None:
        counted = not isinstance(outcome.settled.failure, Later) or outcome.settled.failure.counted
        storage.queue.send(outcome.change.again() if counted else outcome.change, outcome.delay)


def tell(outcome: Outcome, services: Services) -> None:
    """Tell activity and telemetry."""
    change, settled = outcome.change, outcome.settled
    now = services.clock()
    about = {
        "notification": change.notification,
        "mapping": change.mapping,
        "row": change.link_key[:16],
        "age": now - change.first_sent,
    }
    if outcome.dead:
        services.activity.failed(change)  # the dead letter itself is told of where it is made
    elif outcome.delay is not None:
        services.activity.deferred(change)
        code = settled.failure.code if settled.failure else None
        telemetry.emit(telemetry.DEFERRED, code=code, **about, **{"try": change.tries + 1, "delay": outcome.delay})
    else:
        services.activity.applied(change, list(settled.effects))
        if settled.effects:
            effects = ", ".join(settled.effects)
            telemetry.emit(telemetry.SETTLED, effects=effects, query=settled.query, seconds=settled.seconds, **about)


# -- dead letters ------------------------------------------------------------------------------------------------------


def bury(change: RowChange, failure: Permanent, storage: Storage) -> None:
    """Make a dead letter of a change, and note it on the link so that a later success clears it.

    Where the link knows a newer state of the row, it is that one which failed: its columns are kept.
    """
    for _ in range(_BURY_TRIES):
        stored, etag = storage.links.load(change.link_key)
        link = stored or new_link(change, storage.now())
        if link.version and link.version.timestamp > change.timestamp:
            change = replace(change, timestamp=link.version.timestamp, row=link.row if link.present else None)
        _put(change.link_key, canonical(change.encode()), failure, storage, change)
        marked = replace(link, last_error=failure.reason, last_code=failure.code, buried=max(link.buried, change.timestamp))
        if marked != stored:
            marked = marked.noted(storage.now(), change, "", f"dead letter: {failure.reason}")
        if marked == stored or storage.links.save(marked, etag):
            return
    raise RuntimeError("the link of a dead letter could not be marked")


def bury_unreadable(message: str, reason: str, storage: Storage) -> None:
    """Make a dead letter of a message that holds no row change."""
    failure = Permanent(Code.MESSAGE_UNREADABLE, reason, CORRECT_IT)
    _put(sha256(message.encode()).hexdigest(), message, failure, storage)


def bury_row(row: Unidentified, timestamp: int, notification: str, storage: Storage) -> None:
    """Make a dead letter of a row that cannot be tied to an event, since it has no key."""
    content = {"mapping": row.mapping, "timestamp": timestamp, "row": row.row}
    letter = DeadLetter(
        key=digest(content),
        code=Code.KEY_MISSING,
        reason=row.reason,
        remedy=f"Correct the mapping's key or the inquiry's columns, {RUN_AGAIN}",
        mapping=row.mapping,
        notification=notification,
        content=canonical(content),
    )
    storage.dead_letters.put(letter)
    _tell_of(letter)


def _put(key: str, content: str, failure: Permanent, storage: Storage, change: RowChange | None = None) -> None:
    letter = DeadLetter(
        key=key,
        code=failure.code,
        reason=failure.reason,
        remedy=failure.remedy,
        content=content,
        mapping=change.mapping if change else "",
        row_key=readable(", ".join(change.key), 1000) if change else "",
        notification=change.notification if change else "",
        timestamp=change.timestamp if change else 0,
        tries=change.tries if change else 0,
    )
    storage.dead_letters.put(letter)
    _tell_of(letter)


def _tell_of(letter: DeadLetter) -> None:
    telemetry.emit(
        telemetry.DEAD_LETTER,
        level=logging.ERROR,
        notification=letter.notification or None,
        mapping=letter.mapping or None,
        row=letter.key[:16],
        code=letter.code,
        tries=letter.tries,
    )
