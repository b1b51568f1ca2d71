"""What has to be done so that Outlook and Acumatica agree with an event link: plans are data.

| wanted in the calendar | known of the link's events                     | effects                                    |
|------------------------|------------------------------------------------|--------------------------------------------|
| an event               | none in its mailbox                            | CreateEvent (others: DeleteEvent after it) |
| an event               | one, content equal                             | none                                       |
| an event               | one, content other or not known                | UpdateEvent                                |
| none                   | any                                            | DeleteEvent for each                       |
| an event               | its id is not known to be in the row's record  | WriteBack, last                            |
"""

from dataclasses import dataclass, replace

from handlers.sync.link import Entry, EventLink
from handlers.sync.mapping import CalendarEvent, Mapping


@dataclass(frozen=True)
class CreateEvent:
    """POST: repeatable, since `stamp` is its transactionId too."""

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
    """DELETE by id, or (id unknown, or changed by a move in Outlook) of whatever carries the stamp."""

    entry: Entry
    stamp: str


@dataclass(frozen=True)
class WriteBack:
    """PUT of the event's id into the Acumatica record; rendered last, so that its failure holds no event back."""

    event_id: str


type Effect = CreateEvent | UpdateEvent | DeleteEvent | WriteBack


def wanted_event(link: EventLink, mapping: Mapping) -> CalendarEvent | None:
    """The event that the newest row asks for; none when it is gone. Raises Permanent where the row cannot be rendered."""
    return mapping.calendar_event(link.row) if link.present else None


def intend(link: EventLink, wanted: CalendarEvent | None) -> EventLink:
    """The link as it must be saved before the first effect: what leaves is marked, what will be made has its generation."""
    entries = tuple(
        e if e.leaving or (wanted and e.mailbox == wanted.mailbox) else replace(e, leaving=True) for e in link.entries
    )
    marked = replace(link, entries=entries)
    return marked.with_new_entry(wanted.mailbox) if wanted and not marked.live else marked


def plan(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping) -> list[Effect]:
    """All effects, in order, for a link that `intend` has prepared. Make before break; write back last."""
    effects: list[Effect] = []
    live = link.live
    if wanted and live and live.id is None:
        effects.append(CreateEvent(live, link.stamp(live.generation), wanted))
    elif wanted and live and live.fingerprint != wanted.fingerprint:
        effects.append(UpdateEvent(live, link.stamp(live.generation), wanted))
    effects += [DeleteEvent(entry, link.stamp(entry.generation)) for entry in link.entries if entry.leaving]
    # A record that was deleted and made again has the same key and another id.
    other_record = link.written_to not in {None, mapping.record_id(link.row)}
    if wanted and live and live.id and mapping.write_back and (link.written_back != live.id or other_record):
        effects.append(WriteBack(live.id))
    return effects


def settled(link: EventLink, wanted: CalendarEvent | None, mapping: Mapping) -> bool:
    """Whether nothing is left to do."""
    return intend(link, wanted) == link and not plan(link, wanted, mapping)
