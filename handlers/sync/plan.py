"""What has to be done so that Outlook and Acumatica agree with an event link: plans are data.

after.py is the second half of the table: what the results of these effects mean.

| wanted in the calendar | known of the link's events                      | effects                                    |
|------------------------|-------------------------------------------------|--------------------------------------------|
| an event               | none in its mailbox and calendar                | CreateEvent (others: DeleteEvent after it) |
| an event               | one that an earlier integration made            | AdoptEvent, then UpdateEvent               |
| an event               | one that Graph does not know by its id          | FindEvent                                  |
| an event               | one, content equal                              | none                                       |
| an event               | one, content other or not known                 | UpdateEvent, unless changes are ignored    |
| an event               | one that a late request may still change        | none now; UpdateEvent once that is over    |
| none                   | one that is over                                | none, where the mapping keeps the past     |
| none                   | any, id not known                               | FindEvent for each, unless they are kept   |
| none                   | any, id known                                   | DeleteEvent for each, unless they are kept |
| an event               | its id is not known to be in the row's record   | WriteBack, last                            |
| an event               | its record does not hold what was seen of it    | ReportOutlook, last                        |
| none                   | an id may be in a record                        | ClearRecord, last, where the mapping says  |
| none                   | the reason of a failure may be in a record      | ClearRecord, last                          |

A mapping with a [relay] has Deliver in place of what is done to events (relay.py says when), and its answer to write back.
"""

from collections.abc import Iterator
from dataclasses import replace

from handlers.sync.effects import (
    AdoptEvent,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Deliver,
    Effect,
    FindEvent,
    ReportFailure,
    ReportOutlook,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import Entry, EventLink, Record
from handlers.sync.mapping import Mapping
from handlers.sync.record import adopted_id, names_record, record_id, reports, short_reason, tells_of_outlook
from handlers.sync.relay import RelayState, intend_message, message, wanted_state
from handlers.sync.scope import Scope

NO_SKIPS: frozenset[int] = frozenset()

type Wanted = CalendarEvent | RelayState | None


def wanted(link: EventLink, mapping: Mapping, scope: Scope) -> Wanted:
    """What the newest row asks for: an event (or none), or what a receiver is to know. Raises Permanent."""
    return wanted_state(link, mapping) if mapping.relay else wanted_event(link, mapping, scope)


def wanted_event(link: EventLink, mapping: Mapping, scope: Scope) -> CalendarEvent | None:
    """The event that the newest row asks for; none when it is gone, or does not belong into the calendar.

    Raises Permanent where the row cannot be rendered.
    """
    if not link.present or not mapping.matches(link.row):
        return None
    wanted = calendar_event(mapping, link.row, scope)
    made = link.live if link.live and link.live.id else None
    if made and mapping.on.update == "ignore":  # not even a new owner moves it
        return replace(wanted, mailbox=made.mailbox, calendar=made.calendar)
    return wanted


def intend(link: EventLink, wanted: Wanted, mapping: Mapping, now: float) -> EventLink:
    """The link as it must be saved before the first effect: what leaves is marked, what will be made has its generation."""
    if isinstance(wanted, RelayState):
        return _intend_message(link, wanted, mapping)
    if wanted is None:
        if mapping.on.delete == "keep":
            return replace(link, notes=())
        kept = tuple(entry for entry in link.entries if _stays_in_the_past(entry, mapping, now))
        leaving = _leaving(tuple(entry for entry in link.entries if entry not in kept))
        return replace(link, notes=(), entries=tuple(sorted((*kept, *leaving), key=lambda e: e.generation)))
    stays = [
        _until(replace(e, refused=False), wanted, mapping) for e in link.entries if not e.leaving and _belongs(e, wanted)
    ]
    leaves = _leaving(tuple(e for e in link.entries if e.leaving or not _belongs(e, wanted)))
    marked = replace(link, notes=wanted.notes, entries=tuple(sorted((*stays, *leaves), key=lambda e: e.generation)))
    if mapping.write_back:
        marked = _addressed(marked, record_id(mapping, link.row))
    if marked.live:
        return _online(marked, wanted)
    # Later the column holds the id of an event of our own; as long as none was made or taken over, it does not.
    fresh = link.generation == link.first_generation or any(entry.adopt for entry in link.entries)
    adopted = adopted_id(mapping, link.row) if fresh else None
    return _online(marked.with_new_entry(wanted.mailbox, wanted.calendar, adopted), wanted)


def _online(link: EventLink, wanted: CalendarEvent) -> EventLink:
    """The link with whether its event is a Teams meeting: Outlook makes no other of it, once it may have been made."""
    live = link.live
    if not live:
        return link
    once = live.online and (live.id is not None or live.unsure or live.tried)
    return link.with_entry(replace(live, online=once or bool(wanted.body.get("isOnlineMeeting"))))


def _until(entry: Entry, wanted: CalendarEvent, mapping: Mapping) -> Entry:
    """The entry with when its event is over at the latest, whichever of its states stands in the calendar by then."""
    if mapping.on.past != "keep" or (entry.id and mapping.on.update == "ignore"):
        return entry
    return replace(entry, over=max(entry.over, wanted.over))


def _intend_message(link: EventLink, wanted: RelayState, mapping: Mapping) -> EventLink:
    if mapping.write_back and wanted.data is not None:
        link = _addressed(link, record_id(mapping, link.row))
    return intend_message(link, wanted, mapping.relay) if mapping.relay else link


def _stays_in_the_past(entry: Entry, mapping: Mapping, now: float) -> bool:
    """Whether an event is over, and stays therefore; what is leaving by then still leaves."""
    return mapping.on.past == "keep" and not entry.leaving and entry.id is not None and 0 < entry.over <= now


def with_end(link: EventLink, wanted: CalendarEvent | None) -> EventLink:
    """The link with when its event is over, where that was not stored yet: as the row last asked for it."""
    live = link.live
    return link.with_entry(replace(live, over=wanted.over)) if live and live.id and not live.over and wanted else link


def _belongs(entry: Entry, wanted: CalendarEvent) -> bool:
    """Whether an event is where it should be. Calendars are named without regard to case, like in Outlook."""
    return entry.mailbox == wanted.mailbox and entry.calendar.strip().casefold() == wanted.calendar.strip().casefold()


def _leaving(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Entries as leaving. What Graph refused to make was never there; what is not adopted yet is not ours to delete."""
    return tuple(replace(e, leaving=True, id=None if e.adopt else e.id, adopt=None) for e in entries if not e.refused)


def _addressed(link: EventLink, record: str) -> EventLink:
    """The link with the record that is told of the event; one that was deleted and made again has another id."""
    if link.written_to == record:
        return replace(link, written=True)
    known = None if link.written_to else link.written_back
    link = replace(link, written_to=record, written_back=known, outlook_told=None, written=True)
    return replace(link, record_late_until=0.0, record_late=None)


def plan(link: EventLink, wanted: Wanted, mapping: Mapping, now: float, skipped: frozenset[int] = NO_SKIPS) -> list[Effect]:
    """All effects that can be carried out at `now`, in order, for a link that `intend` has prepared.

    Make before break; write back last. `skipped`: generations of events with which nothing can be done just now; that holds
    back nothing but what has to wait for an event that is not there yet.
    """
    if isinstance(wanted, RelayState):
        return [Deliver(message(link, wanted))] if link.delivery.pending else [*_told_answer(link, wanted, mapping, now)]
    effects: list[Effect] = []
    if wanted and (live := link.live):
        if live.generation not in skipped:
            effects += _towards(link, live, wanted, mapping, now)
        elif live.id is None or live.sought or live.adopt:
            return []
    for entry in link.entries:
        if entry.leaving and entry.generation not in skipped:
            effects += _away(link, entry, mapping, now)
    return effects + list(_told(link, wanted, mapping, now))


def _towards(link: EventLink, live: Entry, wanted: CalendarEvent, mapping: Mapping, now: float) -> Iterator[Effect]:
    stamp = link.stamp(live.generation)
    if live.sought:
        yield FindEvent(live, stamp)
    elif live.id is None:
        made = replace(wanted, silent=live.silent)
        yield AdoptEvent(live, stamp, wanted) if live.adopt else CreateEvent(live, stamp, made)
    elif live.adopt or (
        mapping.on.update == "update"
        and (live.fingerprint != wanted.fingerprint or (live.endangered and now >= live.late_until))
    ):
        yield UpdateEvent(live, stamp, replace(wanted, online=live.online))


def _away(link: EventLink, entry: Entry, mapping: Mapping, now: float) -> Iterator[Effect]:
    stamp = link.stamp(entry.generation)
    if entry.id and not entry.sought:
        yield DeleteEvent(entry, stamp, mapping.on.comment if mapping.on.delete == "cancel" else None)
    elif now >= entry.late_until:
        yield FindEvent(entry, stamp)


def _told(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping, now: float) -> Iterator[Effect]:
    live = link.live
    if wanted and mapping.write_back:
        over = link.record_endangered and now >= link.record_late_until
        if live and live.id and (link.written_back != live.id or link.reported or over):
            yield WriteBack(link.written_to or "", Record(live.id, ""), live)
        seen = link.in_outlook if tells_of_outlook(mapping) else None
        if live and live.id and seen and seen != link.outlook_told:
            yield ReportOutlook(link.written_to or "", seen)
    elif not wanted and names_record(link.written_to):
        over = link.record_endangered and now >= link.record_late_until
        if mapping.on.clear and link.written and (link.written_back != "" or link.reported or over):
            yield ClearRecord(link.written_to or "", everything=True)
        elif not mapping.on.clear and reports(mapping) and (link.reported or over):
            yield ClearRecord(link.written_to or "", everything=False)


def _told_answer(link: EventLink, wanted: RelayState, mapping: Mapping, now: float) -> Iterator[Effect]:
    """What tells the record of the receiver's answer, or that a failure is over."""
    over = link.record_endangered and now >= link.record_late_until
    answer = link.delivery.answer if mapping.write_back and wanted.data is not None else ""
    if answer and (link.written_back != answer or link.reported or over):
        yield WriteBack(link.written_to or "", Record(answer, ""), None)
    elif not answer and reports(mapping) and names_record(link.written_to) and (link.reported or over):
        yield ClearRecord(link.written_to or "", everything=False)


def waits_until(link: EventLink, wanted: Wanted, mapping: Mapping, now: float, skipped: frozenset[int] = NO_SKIPS) -> float:
    """The next moment at which a late request is over, and there is something to do for that; 0 where none is waited for."""
    moments = sorted({link.record_late_until, *(entry.late_until for entry in link.entries)})
    possible = plan(link, wanted, mapping, now, skipped)
    return next((m for m in moments if m > now and plan(link, wanted, mapping, m, skipped) != possible), 0.0)


def plan_report(link: EventLink, reason: str, mapping: Mapping) -> list[Effect]:
    """What tells the record of a failure, where the mapping has a field for it and the record does not say so already."""
    content = Record(None, short_reason(reason))
    if not reports(mapping) or link.reported == content.reason or not names_record(link.written_to):
        return []
    return [ReportFailure(link.written_to or "", content)]


def settled(link: EventLink, wanted: Wanted, mapping: Mapping, now: float) -> bool:
    """Whether nothing is left to do."""
    return (
        intend(link, wanted, mapping, now) == link
        and not plan(link, wanted, mapping, now)
        and not waits_until(link, wanted, mapping, now)
    )
