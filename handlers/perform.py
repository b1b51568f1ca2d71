"""One effect is carried out by the clients; what came of it is data. Which effect follows is decided in sync/after.py."""

from handlers.clients.graph import Graph
from handlers.services import Services
from handlers.sync.effects import (
    Adoptable,
    AdoptEvent,
    AlreadyCreated,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Deliver,
    Done,
    Effect,
    FindEvent,
    Found,
    Gone,
    NoMailbox,
    NoRecord,
    Refused,
    ReportFailure,
    ReportOutlook,
    Result,
    Retry,
    Unknown,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.errors import (
    RUN_AGAIN,
    DuplicateTransaction,
    EventGone,
    Later,
    MailboxGone,
    OutcomeUnknown,
    Permanent,
    RecordGone,
)
from handlers.sync.link import Entry
from handlers.sync.mapping import Mapping
from handlers.sync.record import record_update, wants_details


def perform(effect: Effect, mapping: Mapping, services: Services, deadline: float) -> Result:
    """Carry out one effect; no request of it starts that might end after `deadline` (seconds since 1970).

    Raises on bugs and lost storage.
    """
    try:
        return _carried_out(effect, mapping, services, deadline)
    except EventGone:
        return Gone()
    except DuplicateTransaction as error:
        return AlreadyCreated(error.event_id)
    except MailboxGone as failure:
        return NoMailbox(failure)
    except RecordGone as error:
        return NoRecord(_no_record(error, mapping))
    except Permanent as failure:
        return Refused(failure)
    except Later as failure:
        return Retry(failure)
    except OutcomeUnknown as failure:
        if isinstance(effect, AdoptEvent | FindEvent | Deliver):  # they only look; a message has the same id again
            return Retry(Later(failure.code, failure.reason))
        return Unknown(failure)


def _carried_out(effect: Effect, mapping: Mapping, services: Services, deadline: float) -> Result:
    graph = services.graph
    match effect:
        case CreateEvent(event=event, stamp=stamp):
            return Done(graph.create(event, stamp, deadline))
        case AdoptEvent(entry=entry, event=event):
            key = effect.stamp.rpartition("-")[0]
            if not services.storage.pins.adopt(entry.adopt or "", key):  # two rows may carry one id
                return Adoptable(ours=False)
            return Adoptable(graph.adoptable(event.mailbox, entry.adopt or "", key, deadline))
        case UpdateEvent(entry=entry, event=event):
            graph.update(event.mailbox, entry.id or "", event, effect.stamp if entry.adopt else None, deadline)
        case FindEvent(entry=entry, stamp=stamp):
            return Found(tuple(graph.find(entry.mailbox, stamp, entry.calendar, deadline)))
        case DeleteEvent(entry=entry, comment=comment):
            event_id = entry.id or ""
            if comment is None or not graph.cancel(entry.mailbox, event_id, comment, deadline):
                graph.delete(entry.mailbox, event_id, deadline)
        case Deliver(message=message):
            return Done(services.relays.deliver(message, mapping.relay, deadline) if mapping.relay else "")
        case WriteBack(entry=entry, results=results):
            if entry and wants_details(mapping):
                results |= _details(entry, graph, deadline)
            services.sessions.put(record_update(mapping, effect.record, results), deadline)
        case ReportFailure() | ReportOutlook() | ClearRecord():
            services.sessions.put(record_update(mapping, effect.record, effect.results), deadline)
    return Done()


def _details(entry: Entry, graph: Graph, deadline: float) -> dict[str, str]:
    try:
        return graph.details(entry.mailbox, entry.id or "", deadline)
    except OutcomeUnknown as failure:  # it only looks
        raise Later(failure.code, failure.reason) from None


def _no_record(error: RecordGone, mapping: Mapping) -> Permanent:
    columns = " and ".join(mapping.write_back.id.columns) if mapping.write_back else ""
    remedy = (
        f"Check that {columns} is the NoteID of the record itself and not of another table of the inquiry, and that "
        f"write_back names its entity; {RUN_AGAIN}"
    )
    return Permanent(error.code, f"{error.reason.rstrip('.')}.", remedy)
