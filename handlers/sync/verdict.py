"""What becomes of one row of a snapshot: a verdict, by what its link knows. Pure.

| the row in the snapshot | its link                          | verdict                                                    |
|-------------------------|-----------------------------------|------------------------------------------------------------|
| there                   | equal, and settled                | Equal                                                      |
| there                   | other, older than σ               | Upsert                                                     |
| there, its event leaves | other, older than σ               | Withdrawn: in mode full, and as long as the brake agrees   |
| there                   | other, as young as σ or worked on | TooYoung: looked at again after the margin                 |
| there                   | none, or without an event where   | Upsert, or Skipped, as the mapping's [backfill] says       |
|                         | it belongs                        | (backfill.py)                                              |

Of rows that are not there, sweep_plan.py tells, as it does of σ.
"""

from dataclasses import dataclass

from handlers.sync.backfill import WHEN, why_none
from handlers.sync.change import Row
from handlers.sync.errors import Permanent
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.plan import settled, wanted
from handlers.sync.scope import Scope
from handlers.sync.snapshot_values import Times, as_pushed, forms, known_zone, same
from handlers.sync.template import folded

WOULD_REMOVE = "would-remove"


@dataclass(frozen=True)
class Equal:
    """Nothing to do."""


@dataclass(frozen=True)
class Upsert:
    """The row becomes a change, with these columns."""

    row: Row


@dataclass(frozen=True)
class Withdrawn:
    """The row becomes a change that takes its event out of the calendar: by `[when]`, or into the mailbox of a trial."""

    row: Row


@dataclass(frozen=True)
class TooYoung:
    """It differs, and may be newer than the snapshot."""


@dataclass(frozen=True)
class Skipped:
    """Nothing is done.

    It gets no event (`past`, `would-invite`, `unusable`) or message (`not-asked-for`), keeps the event that it has
    (`would-remove`), or has a midnight in UTC that may be a date without a time (`time-unknown`).
    """

    why: str


type Verdict = Equal | Upsert | Withdrawn | TooYoung | Skipped


def judge(
    link: EventLink | None, row: Row, mapping: Mapping, scope: Scope, *, sigma: int, now: float, times: Times
) -> Verdict:
    """What becomes of one row of the snapshot, in OData's form; `times`: what its columns hold. Raises MissingColumns."""
    picked = mapping.pick(row)
    zone = known_zone(mapping, picked)
    told = {name: forms(value, zone, times.get(folded(name))) for name, value in picked.items()}
    shown = {name: values[0] for name, values in told.items()}
    known = link.columns if link and link.version else {}
    kept = {  # where the value is the same, in the form of the push, or the event's fingerprint would change
        name: known[name].value
        for name, values in told.items()
        if name in known and any(same(known[name].value, value) for value in values)
    }
    never_set = {name for name in mapping.attributes if name not in known and shown.get(name) is None}
    other = picked.keys() - kept.keys() - never_set
    # The whole row, as in a push: the mapping may have been edited before the change is applied.
    upsert = Upsert(as_pushed(row, zone, times) | kept)
    if link and link.version and link.present and not other and _in_order(link, mapping, scope, now):
        return Equal()
    if link and link.version and (link.version.timestamp >= sigma or link.claimed(now)):
        return TooYoung()
    if any(len(told[name]) > 1 for name in other):
        return Skipped("time-unknown")
    if link and _leaves(link, shown | kept, mapping, scope):
        return Withdrawn(upsert.row)
    why = why_none(link, shown | kept, mapping, scope, now)
    if why == WHEN:
        return upsert if link and link.entries else Equal()  # what is leaving still has to leave
    return Skipped(why) if why else upsert


def _in_order(link: EventLink, mapping: Mapping, scope: Scope, now: float) -> bool:
    """Whether a row is as the mapping of today wants it. One with a dead letter waits for a person."""
    if link.buried:
        return True
    try:
        return not link.claim and settled(link, wanted(link, mapping, scope), mapping, now)
    except Permanent:
        return False


def _leaves(link: EventLink, row: Row, mapping: Mapping, scope: Scope) -> bool:
    """Whether a row that is there has an event that would leave its calendar, or would be told as removed."""
    if not mapping.matches(row):
        return link.stands and mapping.on.delete != "keep"
    event = link.live
    return event is not None and scope.test_mailbox not in {"", event.mailbox} and mapping.on.update != "ignore"
