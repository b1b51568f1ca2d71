"""The event link: all that is remembered of one row under one mapping.

A last-writer-wins map. `merge` is commutative, associative and idempotent, so neither the order nor the number of
deliveries matters. The link also lists every event that may exist for the row, and who works on it (the claim).
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from handlers.sync.change import RowChange, canonical, digest, link_key
from handlers.sync.mapping import Mapping

STATE_VERSION = 1
_HISTORY = 8  # changes; older ones are forgotten
_OUTCOME_MAX = 300  # characters


class Version(NamedTuple):
    """What orders two states of a row; a pair (upsert, removal) with one TimeStamp is one update, so the upsert wins."""

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
    """An event that may exist. `id` is None until Graph has told it; what is leaving is only ever deleted.

    `unsure`: a POST for it may have been carried out without our learning of it, so its content is unknown.
    `misses`: how often Graph said that its transactionId is used, and the look-up found nothing.
    `adopt`: id of an event that an earlier integration made, to be tried before one is created.
    """

    mailbox: str
    generation: int
    id: str | None = None
    fingerprint: str | None = None  # of the content last written; None = not known
    leaving: bool = False
    unsure: bool = False
    misses: int = 0
    calendar: str = ""  # as the mapping says it; empty = the mailbox's default one
    adopt: str | None = None


@dataclass(frozen=True)
class Claim:
    """Whoever holds it may call Graph and Acumatica for this row; `expires` is in seconds since 1970."""

    token: str
    expires: float


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
    written_back: str | None = None  # the id of the event
    written_to: str | None = None  # the id of the record that got it, or may have got it
    claim: Claim | None = None
    last_effect: str = ""
    last_error: str = ""
    repairs: int = 0
    buried: int = 0  # TimeStamp of the newest change that is a dead letter; 0 without one
    notes: tuple[str, ...] = ()  # what of the row could not be shown as it is
    reported: str = ""  # the reason of a failure that stands in the record
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
    def outlived(self) -> bool:
        """Whether there is a dead letter, and the row's state is as new as what it holds."""
        return bool(self.buried and self.version and self.version.timestamp >= self.buried)

    @property
    def live(self) -> Entry | None:
        """The one event that stays."""
        return next((entry for entry in self.entries if not entry.leaving), None)

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
            elif not effect and outcome.endswith(last.outcome):  # what became of the failure before
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

    def doubted(self) -> "EventLink":
        """Trust nothing that was not seen: for whoever follows a claim that expired or was lost."""
        entries = tuple(replace(e, fingerprint=None, unsure=e.unsure or e.id is None) for e in self.entries)
        return replace(self, entries=entries, written_back=None, claim=None)

    def adopting(self, newer: "EventLink") -> "EventLink":
        """Take over what others have saved while this worker held the claim: row content, and perhaps a repair.

        After a repair, what was removed meanwhile is leaving once more: the event may have come after its removal.
        """
        link = replace(self, version=newer.version, columns=newer.columns, buried=max(self.buried, newer.buried))
        link = replace(link, history=newer.history)
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
        return replace(link.doubted(), claim=self.claim)

    def repaired(self, mine: tuple[Entry, ...]) -> "EventLink":
        """Add events that a worker with a lost claim may have made, as leaving, and doubt everything.

        Another worker may hold the claim; it learns of the repair by the count, since its own save will conflict.
        """
        known = {entry.generation for entry in self.entries}
        extra = tuple(replace(entry, leaving=True) for entry in mine if entry.generation not in known)
        generation = max(self.generation, *(entry.generation for entry in mine), 0)
        link = replace(self, entries=(*self.entries, *extra), generation=generation, repairs=self.repairs + 1)
        return replace(link.doubted(), claim=self.claim)


def new_link(change: RowChange) -> EventLink:
    """A link that knows nothing yet."""
    return EventLink(change.company, change.mapping, change.key)


def merge(link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    """Take in one change; a link that compares equal has learnt nothing. Raises MissingColumns.

    A row is complete, so the newest version decides on all of its columns but the attributes: of those, Acumatica sends
    null where the transaction did not change them, so for them null never replaces a known value, and a removal (which
    forgets everything else) keeps them for the row's return.
    """
    picked = mapping.pick(change.row) if change.row is not None else {}
    version = Version(change.timestamp, change.row is not None, digest(picked))
    newer = link.version is None or version > link.version
    columns = {name: column for name, column in link.columns.items() if not newer or name in mapping.attributes}
    for name, value in picked.items():
        known = columns.get(name)
        if name in mapping.attributes:
            if value is None:
                continue
            if known is None or (change.timestamp, canonical(value)) > (known.timestamp, canonical(known.value)):
                columns[name] = Column(change.timestamp, value)
        elif newer:
            columns[name] = Column(change.timestamp, value)
    return replace(link, version=version if newer else link.version, columns=columns)


def to_state(link: EventLink) -> dict[str, Any]:
    """As JSON, with a version of its own."""
    return {"v": STATE_VERSION, **asdict(link)}


def from_state(state: dict[str, Any]) -> EventLink:
    """The reverse of `to_state`."""
    if state["v"] != STATE_VERSION:
        raise ValueError(f"an event link of version {state['v']} was stored by a newer version of this app")
    return EventLink(
        company=state["company"],
        mapping=state["mapping"],
        row_key=tuple(state["row_key"]),
        version=Version(*state["version"]) if state["version"] else None,
        columns={name: Column(*column) for name, column in state["columns"].items()},
        entries=tuple(Entry(**entry) for entry in state["entries"]),
        generation=state["generation"],
        written_back=state["written_back"],
        written_to=state.get("written_to"),
        claim=Claim(**state["claim"]) if state["claim"] else None,
        last_effect=state["last_effect"],
        last_error=state["last_error"],
        repairs=state["repairs"],
        buried=state.get("buried", 0),
        notes=tuple(state.get("notes", ())),
        reported=state.get("reported", ""),
        history=tuple(Past(*past) for past in state.get("history", ())),
    )
