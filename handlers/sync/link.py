"""The event link: all that is remembered of one row under one mapping.

A last-writer-wins map. `merge` is commutative, associative and idempotent, so neither the order nor the number of
deliveries matters. The link also lists every event that may exist for the row, and who works on it (the claim).
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from handlers.sync.change import SNAPSHOT, RowChange, canonical, digest, link_key
from handlers.sync.mapping import Mapping

_HISTORY = 8  # changes; older ones are forgotten
_OUTCOME_MAX = 300  # characters
# What came of a change, as the history says it; anything else is the reason of a failure.
DONE, NOTHING = "done", "nothing to do"
DISCARDED = "dead letter discarded"  # begins it: by whom, and why
BURIED = "dead letter: "  # begins it: the reason
LEFT = "left to the worker that has the row"


def seen_in_outlook(status: str) -> str:
    """What a look at the calendar has shown; `status` as InOutlook has it."""
    return f"{status} in Outlook"


NEWS = {LEFT, *map(seen_in_outlook, ("unchanged", "moved", "deleted"))}  # neither success nor failure


class Version(NamedTuple):
    """What orders two states of a row; a pair (upsert, removal) with one TimeStamp is one update, so the upsert wins.

    `row_hash` is of the whole row as it was sent: what a mapping picks of it must not decide which of two states is newer.
    """

    timestamp: int
    present: bool
    row_hash: str


class Past(NamedTuple):
    """One entry of a row's history: what came of a change. `at` is in seconds since 1970; `times` counts equal ones."""

    at: float
    notification: str
    timestamp: int
    effect: str
    outcome: str
    times: int = 1


class Column(NamedTuple):
    """A value and the TimeStamp of the transaction that it came with."""

    timestamp: int
    value: Any


@dataclass(frozen=True)
class Entry:
    """An event that may exist. `id` is None until Graph has told it; what is leaving is only ever deleted."""

    mailbox: str
    generation: int
    id: str | None = None
    fingerprint: str | None = None  # of the content last written; None = not known
    leaving: bool = False
    unsure: bool = False  # a POST for it may have been carried out without our learning of it
    misses: int = 0  # how often Graph spoke of the event, and did not find it
    calendar: str = ""  # as the mapping says it; empty = the mailbox's default one
    adopt: str | None = None  # id of an event that an earlier integration made, to be taken over
    tried: bool = False  # a POST for it was answered with an error, and may have been carried out all the same
    refused: bool = False  # Graph has refused to make it: there is nothing to remove
    sought: bool = False  # Graph does not know it by its id (any more): look its stamp up first
    seen: bool = False  # the look-up of its stamp has just shown it under this id
    others: tuple[str, ...] = ()  # ids of more events with its stamp
    late_until: float = 0.0  # until when a request without an answer may still be carried out
    late_print: str = ""  # fingerprint of what such a request writes; empty = of several
    over: float = 0.0  # when the event is over, as it was last written; 0 = not known
    silent: bool = False  # made without a reminder
    online: bool = False  # asked to be a Teams meeting: it stays one

    @property
    def endangered(self) -> bool:
        """Whether a late request may have changed, or may still change, what was written since."""
        return bool(self.late_until) and self.late_print != self.fingerprint


@dataclass(frozen=True)
class Claim:
    """Whoever holds it may call Graph and Acumatica for this row; `expires` is in seconds since 1970.

    `backed`: a message of the queue stands behind it, so that what is left to it cannot be forgotten. `record_late`: until
    when Acumatica may carry out what was asked of it under the claim.
    """

    token: str
    expires: float
    backed: bool = True
    record_late: float = 0.0


@dataclass(frozen=True)
class Delivery:
    """What a receiver knows of the row, and the message to it that is under way; relay.py says how they go together."""

    confirmed: dict[str, Any] | None = None  # the state that it has confirmed; None = none, or that it was removed
    pending: bool = False  # the message with the link's generation is not confirmed
    intent: str = ""  # hash of the state that it tells
    timestamp: int = 0  # TimeStamp of that state when it was new
    answer: str = ""  # the id in the receiver's answer


class InOutlook(NamedTuple):
    """What a look at the calendar has shown of the event, as its record is told it.

    `status`: unchanged, moved or deleted. Times are on the wall of the mapping's zone, days where it is of whole days.
    """

    status: str
    start: str
    end: str
    responses: str  # of the attendees who have answered


class Record(NamedTuple):
    """What a record of Acumatica is told: the id of its event (None = as it is), and why there is none."""

    event_id: str | None
    reason: str


@dataclass(frozen=True)
class EventLink:
    """State of one row under one mapping."""

    company: str
    mapping: str
    row_key: tuple[str, ...]
    version: Version | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    generation: int = 0
    first_generation: int = 0  # what `generation` began with: no stamp of a link that was forgotten comes back
    written_back: str | None = None  # the id of the event
    written_to: str | None = None  # the id of the record that gets it
    written: bool = False  # whether the record may have got anything
    record_late_until: float = 0.0  # until when a write-back without an answer may still be carried out
    record_late: Record | None = None  # what it writes; None = several, or what is in Outlook
    delivery: Delivery = Delivery()
    in_outlook: InOutlook | None = None  # what people made of the event, as last seen; None = nothing to tell of
    outlook_told: InOutlook | None = None  # what of that is known to be in the record
    claim: Claim | None = None
    last_effect: str = ""
    last_error: str = ""
    last_code: str = ""
    repairs: int = 0
    settled: int = 0  # TimeStamp of the newest state that was brought into agreement
    buried: int = 0  # TimeStamp of the newest change that is a dead letter; 0 without one
    buried_row: bool = False  # whether that change holds a row
    notes: tuple[str, ...] = ()  # what of the row could not be shown as it is
    reported: str = ""  # the reason of a failure that stands, or may stand, in the record
    history: tuple[Past, ...] = ()  # for people; nothing is decided by it

    @property
    def key(self) -> str:
        """The same hash as RowChange.link_key."""
        return link_key(self.company, self.mapping, self.row_key)

    @property
    def present(self) -> bool:
        """Whether the row is in the inquiry, as far as is known."""
        return self.version is not None and self.version.present

    @property
    def row(self) -> dict[str, Any]:
        """The newest value of each column."""
        return {name: column.value for name, column in self.columns.items()}

    @property
    def newest(self) -> dict[str, Any]:
        """The row as its newest version had it: an attribute that came earlier was null in it."""
        at = self.version.timestamp if self.version else 0
        return {name: column.value if column.timestamp == at else None for name, column in self.columns.items()}

    @property
    def outlived(self) -> bool:
        """Whether there is a dead letter, and the row's state is as new as what it holds.

        A removal with its TimeStamp is the other half of one update: it says nothing of the row that it holds.
        """
        return bool(self.buried and self.version and self.version[:2] >= (self.buried, self.buried_row))

    @property
    def live(self) -> Entry | None:
        """The one event that stays."""
        return next((entry for entry in self.entries if not entry.leaving), None)

    @property
    def stands(self) -> bool:
        """Whether there is an event, or a receiver that was told of the row."""
        return self.live is not None or self.delivery.pending or self.delivery.confirmed is not None

    @property
    def record_endangered(self) -> bool:
        """Whether a late write-back may have changed, or may still change, what was written since."""
        late = self.record_late
        if not self.record_late_until:
            return False
        return late is None or late.event_id not in {None, self.written_back} or late.reason != self.reported

    def claimed(self, now: float) -> bool:
        """Whether somebody's claim is in force."""
        return self.claim is not None and self.claim.expires > now

    def unknown(self, mapping: Mapping) -> list[str]:
        """Columns of a present row that were never received: the mapping reads them only since it was edited.

        Of an attribute, Acumatica sends null as long as it does not change; one that was never received counts as empty.
        """
        if not self.present:
            return []
        return [name for name in mapping.columns if name not in self.columns and name not in mapping.attributes]

    def stamp(self, generation: int) -> str:
        """What marks an event in Outlook as this link's, and (as transactionId) makes its creation repeatable."""
        return f"{self.key}-{generation}"

    def noted(self, at: float, change: RowChange, effect: str, outcome: str) -> "EventLink":
        """Add to the history what came of a change. It is saved with what is saved anyway, so it costs no operation."""
        past = Past(at, change.notification[:100], change.timestamp, effect, outcome[:_OUTCOME_MAX])
        kept = self.history
        if kept and kept[-1][1:3] == past[1:3]:  # the same change once more
            last = kept[-1]
            if last[3:5] == past[3:5]:
                past, kept = past._replace(times=last.times + 1), kept[:-1]
            elif not effect and outcome.removeprefix(BURIED)[:_OUTCOME_MAX] == last.outcome:  # a failure is buried
                past, kept = past._replace(effect=last.effect, times=last.times), kept[:-1]
        return replace(self, history=(*kept, past)[-_HISTORY:])

    def with_entry(self, entry: Entry) -> "EventLink":
        """Put an entry in the place of the one with its generation."""
        return replace(self, entries=tuple(entry if e.generation == entry.generation else e for e in self.entries))

    def without_entry(self, entry: Entry) -> "EventLink":
        """Forget an entry."""
        return replace(self, entries=tuple(e for e in self.entries if e.generation != entry.generation))

    def with_new_entry(self, mailbox: str, calendar: str = "", adopt: str | None = None) -> "EventLink":
        """Make room for one more event, in the next generation."""
        entry = Entry(mailbox, self.generation + 1, calendar=calendar, adopt=adopt)
        return replace(self, generation=entry.generation, entries=(*self.entries, entry))

    def unconfirmed(self) -> "EventLink":
        """Mark everything that was not seen as unknown: for whoever follows a claim that expired or was lost."""
        entries = tuple(replace(e, fingerprint=None, unsure=e.unsure or e.id is None) for e in self.entries)
        return replace(self, entries=entries, written_back=None, outlook_told=None, claim=None)

    def caught_up(self, newer: "EventLink") -> "EventLink":
        """Take over what others have saved while this worker held the claim: row content, and perhaps stray events.

        After strays, what was removed meanwhile is leaving once more: the event may have come after its removal.
        """
        buried, row = max((self.buried, self.buried_row), (newer.buried, newer.buried_row))
        link = replace(self, version=newer.version, columns=newer.columns, buried=buried, buried_row=row)
        backed = bool(newer.claim and newer.claim.backed)  # the message behind it may be a dead letter by now
        link = replace(link, history=newer.history, claim=replace(self.claim, backed=backed) if self.claim else None)
        if newer.repairs == self.repairs:
            return link
        known = {entry.generation for entry in self.entries}
        extra = tuple(replace(entry, leaving=True) for entry in newer.entries if entry.generation not in known)
        link = replace(
            link,
            entries=(*self.entries, *extra),
            generation=max(self.generation, newer.generation),
            repairs=newer.repairs,
        )
        return replace(link.with_late_record(newer).unconfirmed(), claim=link.claim)

    def with_strays(self, mine: "EventLink") -> "EventLink":
        """Add events that a worker with a lost claim may have made, as leaving, and mark everything as unknown.

        Another worker may hold the claim; it learns of them by the count of repairs, since its own save will conflict.
        """
        known = {entry.generation for entry in self.entries}
        extra = tuple(replace(e, leaving=True, refused=False) for e in mine.entries if e.generation not in known)
        generation = max(self.generation, *(entry.generation for entry in mine.entries), 0)
        link = replace(self, entries=(*self.entries, *extra), generation=generation, repairs=self.repairs + 1)
        return replace(link.with_late_record(mine).unconfirmed(), claim=self.claim)

    def with_late_record(self, other: "EventLink") -> "EventLink":
        """With another worker's write-back that may come late."""
        if not other.record_late_until or self.record_late_until == other.record_late_until:
            return self
        content = None if self.record_late_until else other.record_late
        return replace(self, record_late_until=max(self.record_late_until, other.record_late_until), record_late=content)


def new_link(change: RowChange, now: float) -> EventLink:
    """A link that knows nothing yet. Its generations begin with the time: no stamp that was forgotten comes back."""
    return EventLink(change.company, change.mapping, change.key, generation=int(now), first_generation=int(now))


def merge(link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    """Take in one change; a link that compares equal has learnt nothing. Raises MissingColumns.

    A row is complete, so the newest version decides on all of its columns but the attributes: of those, a push holds null
    where the transaction did not change them, so its null never replaces a known value (a snapshot's does), and a removal
    (which forgets everything else) keeps them for the row's return. The newest version seen again is picked again: the
    mapping may read other columns by now.
    """
    version = Version(change.timestamp, change.row is not None, digest(change.row))
    latest = link.version is None or version >= link.version
    columns = {name: column for name, column in link.columns.items() if not latest or name in mapping.attributes}
    for name, value in (mapping.pick(change.row) if change.row is not None else {}).items():
        known = columns.get(name)
        if name not in mapping.attributes:
            columns |= {name: Column(change.timestamp, value)} if latest else {}
        elif (value is not None or change.origin == SNAPSHOT) and (
            known is None or (change.timestamp, canonical(value)) > (known.timestamp, canonical(known.value))
        ):
            columns[name] = Column(change.timestamp, value)
        elif value is None:
            columns.setdefault(name, Column(-1, None))  # the inquiry has it; any value is newer
    return replace(link, version=version if latest else link.version, columns=columns)
