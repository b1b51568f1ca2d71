"""What became of a message, decided once and told once: to the queue or the dead letters, to activity and to telemetry.

The row's history is told by the link itself, where it is saved.
"""

import logging
import random
from dataclasses import dataclass
from typing import Any

from handlers import telemetry
from handlers.bury import CORRECT_IT, bury
from handlers.clients.search import indexed
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError
from handlers.services import Services
from handlers.settle import Settled
from handlers.sync.change import RowChange
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent

log = logging.getLogger(__name__)

_BACKOFF_MAX = 600.0


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
    about: dict[str, Any] = {
        "notification": change.notification,
        "mapping": change.mapping,
        "row": change.link_key[:16],
        "age": now - change.first_sent,
    }
    _note(outcome, services)
    if settled.link:
        mapping = services.mappings.get(change.mapping)
        services.activity.indexed(indexed(settled.link, mapping, failed=outcome.dead is not None))
    if outcome.dead:
        services.activity.failed(change)  # the dead letter itself is told of where it is made
    elif outcome.delay is not None:
        services.activity.deferred(change)
        code = settled.failure.code if settled.failure else None
        about |= {"code": code, "try": change.tries + 1, "delay": outcome.delay}
        telemetry.emit(telemetry.DEFERRED, **about)
    else:
        services.activity.applied(change, list(settled.effects))
        if settled.effects:
            effects = ", ".join(settled.effects)
            telemetry.emit(telemetry.SETTLED, effects=effects, query=settled.query, seconds=settled.seconds, **about)


def _note(outcome: Outcome, services: Services) -> None:
    """Note which rows wait for another try: alerts count them. Best effort."""
    put_off, failure = services.storage.put_off, outcome.settled.failure
    try:
        if outcome.delay is not None and failure:
            put_off.note(outcome.change, failure.code, outcome.delay, services.clock())
        else:
            put_off.forget(outcome.change)
    except StorageError as error:
        log.warning("a row that waits could not be noted: %s", type(error).__name__)
