"""What a message leads to, before anything is done: the change is merged, and the row claimed, left alone or given up. Pure.

| the row                                      | what follows                                                           |
|----------------------------------------------|------------------------------------------------------------------------|
| has no active mapping (any more)             | a dead letter, `no_mapping`                                            |
| has no link, and the change is very old      | Stop: what came after it may be forgotten already                      |
| has no link, and the removal is very old     | Save: there is nothing to remove                                       |
| is claimed, the change is no news            | Stop: later                                                            |
| is claimed, the change is newer              | Save: the worker that has the row goes on with it (a message stands    |
|                                              | behind its claim; else Stop: later)                                    |
| lacks columns that the mapping reads by now  | Save: nothing is planned until the row is seen again                   |
| cannot be rendered or merged                 | Save, or Work where its record is told why; either way a dead letter   |
| is in order                                  | Save what was learnt                                                   |
| is not                                       | Work, under a claim that is saved together with the intent             |
"""

from dataclasses import dataclass, replace

from handlers.sync.change import SNAPSHOT, RowChange
from handlers.sync.errors import RUN_AGAIN, Code, Later, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import LEFT, Claim, EventLink, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.plan import Wanted, intend, plan_report, settled, with_end
from handlers.sync.plan import wanted as asked_for
from handlers.sync.record import MAYBE, names_record, record_id
from handlers.sync.scope import Scope
from handlers.sync.template import MissingColumns, pick


@dataclass(frozen=True)
class Stop:
    """Nothing is saved."""

    failure: Permanent | Later


@dataclass(frozen=True)
class Save:
    """Save the link, unless it is what is stored already; then the message is done with, or fails."""

    link: EventLink
    failure: Permanent | Later | None = None
    left: bool = False  # to the worker that has the row
    settled: bool = False


@dataclass(frozen=True)
class Work:
    """Save the link with its claim, and settle it. With a failure, only the record is told of that."""

    link: EventLink
    wanted: Wanted
    failure: Permanent | None = None
    unmerged: bool = False  # the failure is of a change that the link does not know


type Turn = Stop | Save | Work


def take_turn(  # noqa: PLR0917  (all that a decision depends on)
    stored: EventLink | None,
    change: RowChange,
    mapping: Mapping,
    scope: Scope,
    claim: Claim,
    now: float,
    forgotten: float,
    gave_up: Permanent | None = None,
) -> Turn:
    """Decide. `claim` is what this worker would work under; `gave_up` says why the change is not tried any more.

    `forgotten`: a row whose last change was before then may be forgotten (seconds since 1970).
    """
    if not (stored and stored.version) and change.moment < forgotten:
        # What nothing is known of has no event; a tombstone would let old changes in that are newer than itself.
        return Stop(_too_old()) if change.row is not None else Save(stored or new_link(change, now), settled=True)
    known = _with_end(stored, mapping, scope) if stored else new_link(change, now)
    merged, failure = _merged(known, change, mapping)
    if merged.claimed(now):
        return _under_another_claim(stored, merged, change, now, failure)
    link = _doubted(merged) if merged.claim else merged
    unmerged = failure is not None
    if not failure and (columns := link.unknown(mapping)):
        if link.version and link.settled == link.version.timestamp:
            return Save(_unseen(link, columns))
        failure = _owed(columns)  # its newest state was left to this message, and lacks what is read by now
    wanted, unusable = _wanted(link, mapping, scope)
    failure = gave_up or failure or unusable
    if failure:
        return _failing(link, failure, change, mapping, claim, unmerged=unmerged)
    if settled(link, wanted, mapping, now):
        return Save(in_order(link), settled=True)
    intended = intend(link, wanted, mapping, now)
    if change.origin == SNAPSHOT and isinstance(wanted, CalendarEvent) and wanted.moment("start") <= now:
        intended = _silent(intended)
    return Work(replace(intended, claim=claim), wanted)


def _doubted(link: EventLink) -> EventLink:
    """The link of a worker that died: nothing of its work is known, and Acumatica may carry out yet what it asked for."""
    late = link.claim.record_late if link.claim and names_record(link.written_to) else 0.0
    link = link.unconfirmed()
    return replace(link, record_late_until=max(late, link.record_late_until), record_late=None) if late else link


def in_order(link: EventLink) -> EventLink:
    """The link of a row that is settled; a dead letter that holds a newer change stays."""
    link = replace(link, settled=link.version.timestamp if link.version else 0)
    if link.buried and not link.outlived:
        return link
    return replace(link, last_error="", last_code="", buried=0, buried_row=False)


def no_mapping(change: RowChange) -> Permanent:
    """Why a row cannot be looked at whose mapping's file was removed."""
    reason = f"There is no active mapping {change.mapping!r}."
    return Permanent(Code.MAPPING_MISSING, reason, f"Add {change.mapping}.toml again; {RUN_AGAIN}")


def _with_end(stored: EventLink, mapping: Mapping, scope: Scope) -> EventLink:
    """The link as it is stored; where the past is kept, with the end of an event that an older version has written."""
    live = stored.live
    if mapping.on.past != "keep" or not live or live.over or stored.unknown(mapping):
        return stored
    wanted, _ = _wanted(stored, mapping, scope)
    return with_end(stored, wanted) if isinstance(wanted, CalendarEvent) else stored


def _silent(link: EventLink) -> EventLink:
    """The link whose event, if it is still to be made, gets no reminder: Outlook would show it as overdue at once."""
    live = link.live
    return link.with_entry(replace(live, silent=True)) if live and live.id is None else link


def _too_old() -> Permanent:
    reason = "The change is older than what is remembered of rows (RETENTION_DAYS): what came after it may be forgotten."
    return Permanent(Code.TOO_OLD, reason, "Save the record in Acumatica again.")


def _merged(link: EventLink, change: RowChange, mapping: Mapping) -> tuple[EventLink, Permanent | None]:
    """The link with the change in it, and why it cannot be merged; a change that is superseded fails nothing."""
    code, problem = Code.KEY_REPEATED, change.problem
    if not problem:
        try:
            return merge(link, change, mapping), None
        except MissingColumns as error:
            code, problem = Code.COLUMN_MISSING, str(error)
    if link.version and link.version.timestamp > change.timestamp:
        return link, None
    if change.problem:
        remedy = "Name all columns that tell rows apart in the mapping's key; then save the record in Acumatica again."
        return link, Permanent(code, problem, remedy)
    return link, Permanent(code, problem, f"Bring the inquiry and the mapping together; {RUN_AGAIN}")


def _under_another_claim(
    stored: EventLink | None, merged: EventLink, change: RowChange, now: float, failure: Permanent | None
) -> Turn:
    if failure:
        return Stop(failure)
    # What is not newer may be the very message that stands behind the claim, read by another version of the mapping.
    newer = merged.version and (not (stored and stored.version) or merged.version > stored.version)
    if not newer or not (merged.claim and merged.claim.backed):
        return Stop(Later(Code.ROW_CLAIMED, "another worker has the row"))  # if it died, until its claim expires
    # The holder's own save will fail, and it will go on with this.
    return Save(merged.noted(now, change, "", LEFT), left=True)


def _wanted(link: EventLink, mapping: Mapping, scope: Scope) -> tuple[Wanted, Permanent | None]:
    try:
        return asked_for(link, mapping, scope), None
    except Permanent as failure:
        return None, failure


def _unseen(link: EventLink, columns: list[str]) -> EventLink:
    names = ", ".join(columns)
    return replace(
        link, notes=(f"The mapping reads {names} by now, which came with no change of this row yet: save it again.",)
    )


def _owed(columns: list[str]) -> Permanent:
    reason = f"The newest state of the row came before the mapping was edited, and does not hold {', '.join(columns)}."
    return Permanent(Code.COLUMN_MISSING, reason, "Save the record in Acumatica again.")


def _failing(
    link: EventLink, failure: Permanent, change: RowChange, mapping: Mapping, claim: Claim, *, unmerged: bool
) -> Turn:
    """A row that needs a person. Its record is told, where the mapping has a field for that."""
    told = replace(link, written_to=link.written_to or _record(change, mapping))
    failing = replace(link, last_error=failure.reason, last_code=failure.code)
    present = link.present if link.version else change.row is not None
    if present and plan_report(told, failure.reason, mapping):
        # Should this worker die, its reason may stand there.
        told = replace(told, reported=told.reported or MAYBE, written=True, claim=claim)
        return Work(told, None, failure, unmerged)
    return Save(failing, failure)


def _record(change: RowChange, mapping: Mapping) -> str | None:
    """The record of a row that could not be merged, as far as it tells."""
    if not mapping.write_back or not change.row:
        return None
    try:
        return record_id(mapping, pick(change.row, mapping.write_back.id.columns))
    except MissingColumns:
        return None
