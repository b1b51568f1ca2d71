"""Queue in: one row change is settled, and its outcome told. See settle.py for the work, outcome.py for what follows."""

from handlers import telemetry
from handlers.bury import CORRECT_IT, bury, bury_unreadable
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError, is_away
from handlers.outcome import Outcome, carry_out, decide, given_up, tell
from handlers.put_back import waiting_for_storage
from handlers.services import Factory, NotReady, Services
from handlers.settings import FUNCTION_SECONDS
from handlers.settle import Settled, settle
from handlers.sync.change import NotARowChange, RowChange
from handlers.sync.errors import Code, Later, Permanent


def apply(message: str, factory: Factory) -> None:
    """Take one message of queue row-changes. Returns when it may be acknowledged; raises on bugs, and without the queue."""
    storage, taken = factory.storage(), None
    with waiting_for_storage(message, storage.queue.put_back):
        taken = _taken(message, factory, storage)
    if taken:
        tell(*taken)


def _taken(message: str, factory: Factory, storage: Storage) -> tuple[Outcome, Services] | None:
    """What is still to be told of a message that is done with."""
    try:
        change = storage.queue.read(message)
    except NotARowChange as error:
        bury_unreadable(message, f"The queue held a message that is no row change: {error}.", storage)
        return None
    try:
        services = factory.services()
    except NotReady as error:  # however long that takes: nobody has looked at the change yet
        storage.queue.send(change, 60.0)
        telemetry.emit(telemetry.DEFERRED, code=Code.NOT_READY, part=error.part, mapping=change.mapping)
        return None
    outcome = _outcome(change, services)
    carry_out(outcome, storage)
    return outcome, services


def _outcome(change: RowChange, services: Services) -> Outcome:
    settings, deadline = services.settings, services.clock() + FUNCTION_SECONDS
    outcome = decide(change, _settled(change, services, deadline), services.clock())
    if gave_up := given_up(outcome, settings.defer_max_hours):
        told = _settled(change, services, deadline, gave_up)  # the record is told, if it has a field for that
        if told.failure is None:  # a newer change has come, and is settled
            return Outcome(change, told)
        return Outcome(outcome.change, outcome.settled, dead=gave_up)
    return outcome


def _settled(change: RowChange, services: Services, deadline: float, gave_up: Permanent | None = None) -> Settled:
    try:
        return settle(change, services, deadline=deadline, gave_up=gave_up)
    except StorageError as error:
        if not is_away(error):
            raise
        reason = f"storage cannot be used ({type(error).__name__})"
        return Settled(failure=Later(Code.STORAGE_AWAY, reason, 10.0))
    except (Permanent, Later) as failure:
        return Settled(failure=failure)


def bury_poison(message: str, factory: Factory) -> None:
    """Keep what the host gave up on, after it had raised five times; while storage is away, it is tried anew instead."""
    storage = factory.storage()
    reason = "The app failed on this change again and again; its log of that time says why."
    with waiting_for_storage(message, storage.queue.put_back):
        try:
            change = storage.queue.read(message)
        except NotARowChange:
            bury_unreadable(message, reason, storage)
            return
        bury(change, Permanent(Code.APP_FAILED, reason, CORRECT_IT), storage)
        factory.activity().failed(change)
