"""Queue sweeps in: one step of a sweep, held removals that were released, or a look at a mailbox; and its poison queue."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

from handlers import calendar_sweep
from handlers.bury import bury_look, bury_unreadable
from handlers.clients.storage import Storage
from handlers.clients.sweeps import Look, NotAnOrder, Order
from handlers.put_back import waiting_for_storage
from handlers.release import release
from handlers.services import Factory, NotReady, Services
from handlers.sweep import Overtaken, step
from handlers.sweep_start import mode_of, start
from handlers.sync.errors import Code

log = logging.getLogger(__name__)

_LONGEST_DELAY = 300.0
_LOOKS = 80  # of one message: six hours
_FAILED = "The app failed on this again and again; its log of that time says why."


def sweep(message: str, factory: Factory) -> None:
    """Take one message of queue sweeps. Returns when it may be acknowledged; raises on bugs, and without the queue."""
    storage = factory.storage()
    with waiting_for_storage(message, storage.sweeps.put_back):
        try:
            order = storage.sweeps.read(message)
        except NotAnOrder as error:
            bury_unreadable(message, f"The queue of sweeps held a message that is none of its own: {error}.", storage)
            return
        try:
            services = factory.services()
        except NotReady:
            storage.sweeps.send(order, 60.0)
            return
        delay = _taken(order, services)
        if delay is not None:
            storage.sweeps.send(replace(order, tries=order.tries + 1), delay)


def _taken(order: Order, services: Services) -> float | None:
    """Do what a message is for; after how many seconds it is to come again, or None where it is done with."""
    if order.look:
        return _looked(order.look, order.tries, services)
    if order.hold:
        return release(order.hold, services)
    if order.sweep:
        return _go_on(order, services)
    _begin_again(order.mapping, services)
    return None


def _looked(look: Look, tries: int, services: Services) -> float | None:
    delay: float | None = calendar_sweep.run(look, services)
    if delay is None:
        return None
    if tries >= _LOOKS:  # the next night looks again
        bury_look(look, "The mailbox could not be looked at for six hours; the app's log says why.", services.storage)
        return None
    return max(delay, min(5.0 * 2.0 ** min(tries, 10), _LONGEST_DELAY))


def _begin_again(name: str, services: Services) -> None:
    """One more sweep, for what was too young to judge."""
    if mapping := services.mappings.get(name):
        start(name, mode_of(mapping), "what was too young to judge", services, second=True)


def _go_on(order: Order, services: Services) -> float | None:
    """One step of a sweep; how long the next one has to wait, or None where there is none."""
    found = services.storage.sweeps.get(order.mapping)
    if not found or found.id != order.sweep or found.phase == "done":
        return None
    try:
        worked, delay = step(found, services)
    except Overtaken:
        return None
    return None if worked.phase == "done" else delay


def bury_poison(message: str, factory: Factory) -> None:
    """Keep what the host gave up on, after it had raised five times, where people see it and can begin it anew.

    While storage is away, it is tried anew instead.
    """
    storage = factory.storage()
    with waiting_for_storage(message, storage.sweeps.put_back):
        try:
            order = storage.sweeps.read(message)
        except NotAnOrder:
            bury_unreadable(message, _FAILED, storage)
            return
        _give_up(order, storage)


def _give_up(order: Order, storage: Storage) -> None:
    if order.look:
        bury_look(order.look, _FAILED, storage)
        return
    hold = storage.held.get(order.hold) if order.hold else None
    if hold and hold.state == "releasing":
        storage.held.decide(hold, "held", datetime.now(UTC), hold.by, _FAILED)
    found = storage.sweeps.get(order.mapping) if order.mapping else None
    if found and found.id == order.sweep and found.phase != "done":
        remedy = "Correct the cause, and begin the sweep anew; the next one of the schedule begins anew by itself."
        plan = found.plan if found.plan.complete else replace(found.plan, incomplete=str(Code.APP_FAILED))
        storage.sweeps.save(
            replace(found, phase="done", plan=plan, code=str(Code.APP_FAILED), reason=_FAILED, remedy=remedy)
        )
