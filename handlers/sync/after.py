"""What an effect's result means for the link: the second half of plan's case table. Pure: data in, data out.

Requests without an answer: see late.py.

| effect               | result                  | what follows                                                          |
|----------------------|-------------------------|-----------------------------------------------------------------------|
| CreateEvent          | Done                    | its id is known                                                       |
|                      | AlreadyCreated          | that event is ours, its content not known; without its id: FindEvent  |
|                      | Refused                 | dead letter; nothing was made                                         |
| AdoptEvent           | Adoptable               | UpdateEvent with our stamp; if not ours: CreateEvent                  |
|                      | Gone                    | tried again a few times (Graph's 404 may pass), then CreateEvent      |
| UpdateEvent          | Done                    | its content is known                                                  |
|                      | Gone                    | moved or deleted by a person: FindEvent; of an adopted one: as above  |
|                      | Retry, Refused, Unknown | its content is not known                                              |
| FindEvent            | Found                   | its id is known; of none: a new event, or (leaving) nothing is left   |
| DeleteEvent          | Done                    | forgotten, unless a late request may bring it back                    |
|                      | Gone                    | FindEvent: a move in Outlook changes ids; just seen: later            |
| FindEvent, DeleteEv. | NoMailbox               | done; a renamed user's event is looked for in the new mailbox         |
|                      | Retry, Refused          | that event waits; it holds back nothing else                          |
| WriteBack            | Done                    | the record holds the id                                               |
|                      | Gone                    | the event was deleted before its record was told: FindEvent           |
|                      | NoRecord, Refused       | dead letter                                                           |
|                      | Retry, Unknown          | written again; a late copy is waited for, the calendar is not         |
| ReportOutlook        | Done                    | the record holds what was seen in Outlook; otherwise as a WriteBack   |
| Deliver              | Done                    | the receiver knows this state                                         |
|                      | Retry, Refused          | sent again under the same id; after Refused, once a person has acted  |
| ReportFailure        | any                     | the reason stands, or may stand, in the record                        |
| ClearRecord          | Done, NoRecord          | the record is empty                                                   |
"""

from dataclasses import replace
from typing import NamedTuple

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
    EventEffect,
    FindEvent,
    Found,
    Gone,
    NoMailbox,
    NoRecord,
    RecordEffect,
    Refused,
    ReportFailure,
    ReportOutlook,
    Result,
    Retry,
    Unknown,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.errors import Code, Later, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Delivery, Entry, EventLink, InOutlook
from handlers.sync.record import MAYBE

_MISSES = 3  # looks for an event that Graph speaks of and does not find, before it counts as gone
_SECOND_LOOKS = 1  # before an event that was there counts as gone: a mailbox may lag behind itself

# With these, a POST was certainly not carried out.
_NOT_CARRIED_OUT = {
    Code.MAILBOX_DENIED,
    Code.MAILBOX_FULL,
    Code.GRAPH_TOKEN,
    Code.GRAPH_THROTTLED,
    Code.NOT_REACHED,
    Code.NO_TIME_LEFT,
}

type Failure = Permanent | Later


class After(NamedTuple):
    """The link that knows of the result, and what it failed with (None: it did not)."""

    link: EventLink
    failure: Failure | None = None


def after(link: EventLink, effect: Effect, result: Result, now: float) -> After:
    """What follows from an effect's result. `now` is when its request began: a late one may have landed after it since."""
    match effect:
        case WriteBack() | ReportFailure() | ReportOutlook() | ClearRecord():
            return _after_record(link, effect, result, now)
        case Deliver():
            return _after_delivery(link, effect, result)
        case _ if effect.entry.leaving:
            return _after_removal(link, effect, result, now)
        case CreateEvent():
            return _after_create(link, effect, result)
        case AdoptEvent():
            return _after_adopt(link, effect, result)
        case UpdateEvent():
            return _after_update(link, effect, result, now)
        case FindEvent():
            return _after_find(link, effect, result, now)
        case DeleteEvent():
            raise TypeError("only what is leaving is deleted")


# -- the event that stays ----------------------------------------------------------------------------------------------


def _after_create(link: EventLink, effect: CreateEvent, result: Result) -> After:
    entry = _current(link, effect)
    match result:
        case Done(event_id=str() as event_id):
            fingerprint = None if entry.unsure else effect.event.fingerprint
            made = replace(entry, id=event_id, fingerprint=fingerprint, unsure=False, over=_over(entry, effect.event))
            return After(_overwritten(link.with_entry(made)))
        case AlreadyCreated(event_id=None):
            return After(link.with_entry(replace(entry, sought=True)))
        case AlreadyCreated(event_id=event_id):
            return After(link.with_entry(replace(entry, id=event_id, fingerprint=None, unsure=False)))
        case NoMailbox(failure=failure):
            return _not_made(link, entry, failure, certain=True)
        case Refused(failure=failure):
            # Graph may refuse the recipients of an event that it has made all the same.
            return _not_made(link, entry, failure, certain=not effect.event.body.get("attendees"))
        case Retry(failure=failure):
            return _not_made(link, entry, failure, certain=failure.code in _NOT_CARRIED_OUT)
        case Gone():
            return After(link, Later(Code.CALENDAR_MISSING, "Graph does not find the calendar at the moment"))
    return _stopped(link, result)


def _not_made(link: EventLink, entry: Entry, failure: Permanent | Later, *, certain: bool) -> After:
    """The link after a POST that was refused; an earlier one for the same event may have been carried out."""
    tried = entry.tried or not certain
    return After(
        link.with_entry(replace(entry, tried=tried, refused=not (tried or entry.unsure or entry.late_until))), failure
    )


def _after_adopt(link: EventLink, effect: AdoptEvent, result: Result) -> After:
    entry = _current(link, effect)
    match result:
        case Adoptable(ours=True):
            return After(link.with_entry(replace(entry, id=entry.adopt, fingerprint=None, misses=0)))
        case Adoptable(ours=False):
            return After(link.with_entry(replace(entry, adopt=None, misses=0)))
        case Gone():
            return _adopted_gone(link, entry)
    return _stopped(link, result)


def _adopted_gone(link: EventLink, entry: Entry) -> After:
    missed = replace(entry, id=None, misses=entry.misses + 1)
    if missed.misses < _MISSES:
        failure = Later(Code.EVENT_NOT_FOUND_YET, "the event that is to be taken over cannot be found", 5.0)
        return After(link.with_entry(missed), failure)
    return After(link.with_entry(replace(missed, adopt=None, misses=0)))


def _after_update(link: EventLink, effect: UpdateEvent, result: Result, now: float) -> After:
    entry = _current(link, effect)
    match result:
        case Done():
            written = replace(entry, fingerprint=effect.event.fingerprint, adopt=None, seen=False, misses=0)
            if now >= written.late_until:
                written = replace(written, late_until=0.0, late_print="")
            written = replace(written, over=_over(written, effect.event))
            return After(_overwritten(link.with_entry(written)))
        case Gone() if entry.adopt:
            return _adopted_gone(link, entry)
        case Gone() if entry.seen:
            return _contradicted(link, entry)
        case Gone():
            return After(link.with_entry(replace(entry, sought=True)))
    return _stopped(link.with_entry(replace(entry, fingerprint=None)), result)


def _over(entry: Entry, event: CalendarEvent) -> float:
    """When an event that was written is over; while a late copy of something else may land, the latest that is known."""
    return max(entry.over, event.over) if entry.late_until else event.over


def _overwritten(link: EventLink) -> EventLink:
    """The link after its event was written: what people had made of that before is not true any more."""
    seen = link.in_outlook
    if not seen or seen.status == "unchanged":
        return link
    return replace(link, in_outlook=InOutlook("unchanged", "", "", seen.responses))


def _after_find(link: EventLink, effect: FindEvent, result: Result, now: float) -> After:
    entry = _current(link, effect)
    match result:
        case Found(ids=()) if entry.misses < (_MISSES if entry.id is None else _SECOND_LOOKS):
            missed = replace(entry, misses=entry.misses + 1)
            failure = Later(Code.EVENT_NOT_FOUND_YET, "the event that was made earlier cannot be found yet", 5.0)
            return After(link.with_entry(missed), failure)
        case Found(ids=()):
            # While a POST without an answer may yet make it again, it is looked for once more when that is over.
            late = link.with_entry(replace(entry, leaving=True, id=None, sought=False, misses=0))
            known = late if now < entry.late_until else link.without_entry(entry)
            return After(known.with_new_entry(entry.mailbox, entry.calendar))
        case Found(ids=ids) if entry.id in ids:
            return _contradicted(link, entry)
        case Found(ids=ids):
            found = replace(
                entry, id=ids[0], others=ids[1:], fingerprint=None, unsure=False, sought=False, seen=True, misses=0
            )
            return After(link.with_entry(found))
    return _stopped(link, result)


def _contradicted(link: EventLink, entry: Entry) -> After:
    """Graph's look-up shows the event under an id that it does not know otherwise: one of the two will pass."""
    unsure = replace(entry, sought=False, seen=False, fingerprint=None)
    return After(
        link.with_entry(unsure), Later(Code.EVENT_NOT_FOUND_YET, "Graph finds the event, yet does not know it", 5.0)
    )


# -- events that leave -------------------------------------------------------------------------------------------------


def _after_removal(link: EventLink, effect: EventEffect, result: Result, now: float) -> After:
    entry = _current(link, effect)
    match result:
        case Found(ids=()) if entry.misses < _SECOND_LOOKS:
            failure = Later(Code.EVENT_NOT_FOUND_YET, "an event that may be there cannot be found; looking again", 5.0)
            return After(link.with_entry(replace(entry, misses=entry.misses + 1)), failure)
        case Found(ids=()):
            return After(link.without_entry(entry))
        case Found(ids=ids):
            found = replace(entry, id=ids[0], others=ids[1:], sought=False, seen=True, misses=0)
            return After(link.with_entry(found))
        case Done() if entry.others:
            return After(link.with_entry(replace(entry, id=entry.others[0], others=entry.others[1:])))
        case Done() if now < entry.late_until:  # a POST without an answer may yet make it again
            return After(link.with_entry(replace(entry, id=None, seen=False)))
        case Done():
            return After(link.without_entry(entry))
        case Gone() if entry.seen:
            return _contradicted(link, entry)
        case Gone():
            return After(link.with_entry(replace(entry, sought=True)))
        case NoMailbox():
            return After(_followed(link, entry))
        case Refused(failure=failure):
            remedy = f"The row needs this event no more: remove it in {entry.mailbox} by hand, then discard the dead letter."
            return After(link, Permanent(failure.code, failure.reason, remedy))
    return _stopped(link, result)  # a removal without an answer is wanted whenever it is carried out


def _followed(link: EventLink, entry: Entry) -> EventLink:
    """The mailbox is gone, and the event with it; or its user was renamed: then both are those of the row's new address."""
    live = link.live
    if live and live.mailbox != entry.mailbox:
        return link.with_entry(replace(entry, mailbox=live.mailbox, id=None, others=(), sought=True, seen=False))
    return link.without_entry(entry)


# -- the receiver ------------------------------------------------------------------------------------------------------


def _after_delivery(link: EventLink, effect: Deliver, result: Result) -> After:
    match result:
        case Done(event_id=answer):
            known = answer or link.delivery.answer
            told = Delivery(effect.message.after, answer="" if effect.message.after is None else known)
            return After(replace(link, delivery=told))
    return _stopped(link, result)


# -- the record --------------------------------------------------------------------------------------------------------


def _after_record(link: EventLink, effect: RecordEffect, result: Result, now: float) -> After:
    match effect, result:
        case WriteBack(entry=Entry() as entry), Gone():
            return After(link.with_entry(replace(entry, sought=True)))
        case WriteBack(content=content), Done():
            return After(_recorded(replace(link, written_back=content.event_id, reported=""), now))
        case ReportFailure(content=content), Done():
            return After(_recorded(replace(link, reported=content.reason), now))
        case ClearRecord(everything=everything), Done() | NoRecord():
            return After(_cleared(link, now, everything=everything))
        case ReportOutlook(content=content), Done():
            return After(replace(link, outlook_told=content))
        case ReportOutlook(), NoRecord(failure=failure) | Refused(failure=failure):
            return After(replace(link, outlook_told=None), failure)
        case WriteBack(), NoRecord(failure=failure) | Refused(failure=failure):
            return After(replace(link, written_back=None), failure)
        case ReportFailure(), NoRecord() | Refused() | Retry() | Unknown():  # the dead letter does not wait for it
            return After(replace(link, reported=MAYBE))
        case _, Retry() | Unknown():  # it may have been carried out all the same
            reported = MAYBE if link.reported else ""
            return _stopped(replace(link, written_back=None, reported=reported), result)
    return _stopped(link, result)


def _recorded(link: EventLink, now: float) -> EventLink:
    if now < link.record_late_until:
        return link
    told = link.outlook_told if link.record_late else None  # of several late requests, one may be of what is in Outlook
    return replace(link, record_late_until=0.0, record_late=None, outlook_told=told)


def _cleared(link: EventLink, now: float, *, everything: bool) -> EventLink:
    cleared = _recorded(replace(link, reported="", written_back="" if everything else link.written_back), now)
    if not everything or cleared.record_endangered:  # a late request may yet write into it
        return cleared
    return replace(cleared, written_back=None, written_to=None, written=False, in_outlook=None, outlook_told=None)


# -- common ------------------------------------------------------------------------------------------------------------


def _current(link: EventLink, effect: EventEffect) -> Entry:
    """The entry as the link has it: a repetition of the effect may have changed it."""
    return next(entry for entry in link.entries if entry.generation == effect.entry.generation)


def _stopped(link: EventLink, result: Result) -> After:
    match result:
        case Refused(failure=failure) | NoMailbox(failure=failure) | NoRecord(failure=failure):
            return After(link, failure)
        case Retry(failure=failure):
            return After(link, failure)
        case Unknown(failure=unknown):  # tried again soon: late.py remembers what a late copy may change
            return After(link, Later(unknown.code, unknown.reason, 1.0))
    raise TypeError(f"{type(result).__name__} is no result of this effect")
