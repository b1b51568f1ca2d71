"""What has to be done so that Outlook and Acumatica agree with an event link: plans are data.

| wanted in the calendar | known of the link's events                     | effects                                     |
|------------------------|------------------------------------------------|---------------------------------------------|
| an event               | none in its mailbox and calendar               | CreateEvent (others: DeleteEvent after it)  |
| an event               | one that an earlier integration made           | AdoptEvent                                  |
| an event               | one, content equal                             | none                                        |
| an event               | one, content other or not known                | UpdateEvent, unless changes are ignored     |
| none                   | any                                            | DeleteEvent for each, unless they are kept  |
| an event               | its id is not known to be in the row's record  | WriteBack, last                             |
| none                   | an id may be in a record                       | ClearRecord, last, where the mapping says so |
"""

from dataclasses import dataclass, replace

from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import Entry, EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.record import adopted_id, names_record, record_id
from handlers.sync.scope import Scope


@dataclass(frozen=True)
class CreateEvent:
    """POST: repeatable, since `stamp` is its transactionId too."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class AdoptEvent:
    """GET, and PATCH with the stamp: the event with the id `entry.adopt` becomes ours if it may."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class UpdateEvent:
    """PATCH of the event with the entry's id."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class DeleteEvent:
    """DELETE by id, or (id unknown, or changed by a move in Outlook) of whatever carries the stamp.

    With a comment, attendees are told it (cancel).
    """

    entry: Entry
    stamp: str
    comment: str | None = None


@dataclass(frozen=True)
class WriteBack:
    """PUT of the event's id into the Acumatica record; rendered last, so that its failure holds no event back."""

    event_id: str


@dataclass(frozen=True)
class ClearRecord:
    """PUT that empties what was written back into a record whose row is removed."""

    record: str


type Effect = CreateEvent | AdoptEvent | UpdateEvent | DeleteEvent | WriteBack | ClearRecord


def wanted_event(link: EventLink, mapping: Mapping, scope: Scope) -> CalendarEvent | None:
    """The event that the newest row asks for; none when it is gone, or does not belong into the calendar.

    Raises Permanent where the row cannot be rendered.
    """
    if not link.present or not mapping.matches(link.row):
        return None
    wanted = calendar_event(mapping, link.row, scope)
    if mapping.on.update == "ignore" and link.live:  # not even a new owner moves it
        return replace(wanted, mailbox=link.live.mailbox, calendar=link.live.calendar)
    return wanted


def intend(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping) -> EventLink:
    """The link as it must be saved before the first effect: what leaves is marked, what will be made has its generation."""
    if wanted is None:
        kept = mapping.on.delete == "keep"
        return replace(link, notes=(), entries=tuple(e if kept else replace(e, leaving=True) for e in link.entries))
    entries = tuple(
        e if (e.mailbox, e.calendar) == (wanted.mailbox, wanted.calendar) else replace(e, leaving=True) for e in link.entries
    )
    marked = replace(link, notes=wanted.notes, entries=entries)
    if mapping.write_back and link.written_to != (record := record_id(mapping, link.row)):
        # A record that was deleted and made again has the same key and another id.
        marked = replace(marked, written_to=record, written_back=None if link.written_to else link.written_back)
    if marked.live:
        return marked
    adopt = None if link.generation else adopted_id(mapping, link.row)
    return marked.with_new_entry(wanted.mailbox, wanted.calendar, adopt)


def plan(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping) -> list[Effect]:
    """All effects, in order, for a link that `intend` has prepared. Make before break; write back last."""
    effects: list[Effect] = []
    live = link.live
    if wanted and live and live.id is None:
        make = AdoptEvent if live.adopt else CreateEvent
        effects.append(make(live, link.stamp(live.generation), wanted))
    elif wanted and live and live.fingerprint != wanted.fingerprint and mapping.on.update == "update":
        effects.append(UpdateEvent(live, link.stamp(live.generation), wanted))
    comment = mapping.on.comment if mapping.on.delete == "cancel" else None
    effects += [DeleteEvent(entry, link.stamp(entry.generation), comment) for entry in link.entries if entry.leaving]
    if wanted and live and live.id and mapping.write_back and (link.written_back != live.id or link.reported):
        effects.append(WriteBack(live.id))
    elif not wanted and mapping.on.clear and link.written_to and names_record(link.written_to):
        effects.append(ClearRecord(link.written_to))
    return effects


def settled(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping) -> bool:
    """Whether nothing is left to do."""
    return intend(link, wanted, mapping) == link and not plan(link, wanted, mapping)
