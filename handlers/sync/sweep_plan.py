"""The plan of a sweep: what a complete read of an inquiry says of the links of one mapping. A value; nothing is done here.

A snapshot is a notification whose TimeStamp is σ: Acumatica's clock before the first page, less more than any transaction
takes. What was stamped before σ has ended, so the snapshot holds it; what was stamped later wins over it. Before a removal,
the row's key is looked up once more (pages may tear while rows change), and the brake has to agree.

| the row in the snapshot | its link                          | verdict                                                    |
|-------------------------|-----------------------------------|------------------------------------------------------------|
| there                   | equal, and settled                | Equal                                                      |
| there                   | other, older than σ               | Upsert                                                     |
| there                   | other, as young as σ or worked on | TooYoung: looked at again after the margin                 |
| there                   | none, or without an event         | Upsert, or Skipped, as the mapping's [backfill] says       |
| not there               | a live row, older than σ          | a removal, if the read was complete                        |
| not there               | a live row, as young as σ         | too young: looked at again                                 |
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.sync.change import Row, datetime_to_ticks
from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import EventLink
from handlers.sync.mapping import Days, Mapping
from handlers.sync.plan import settled, wanted
from handlers.sync.scope import Scope
from handlers.sync.snapshot_values import as_pushed, forms, same, zone_of

PLAN_VERSION = 1
_SAMPLES, _SHARE, _SHARE_FROM = 10, 0.3, 20


@dataclass(frozen=True)
class Equal:
    """Nothing to do."""


@dataclass(frozen=True)
class Upsert:
    """The row becomes a change, with these columns."""

    row: Row


@dataclass(frozen=True)
class TooYoung:
    """It differs, and may be newer than the snapshot."""


@dataclass(frozen=True)
class Skipped:
    """It gets no event (or message): `past`, `would-invite`, `unusable`; `not-asked-for` by a relay."""

    why: str


type Dates = frozenset[str]
type Verdict = Equal | Upsert | TooYoung | Skipped


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep found, in numbers, with a few keys of each kind. `incomplete`: why its read counts as incomplete."""

    mapping: str
    mode: str
    sigma: int
    read: int = 0
    live: int = 0
    equal: int = 0
    upserts: int = 0
    too_young: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    removals: int = 0
    held: int = 0
    retried: int = 0
    complete: bool = False
    incomplete: str = ""
    samples: dict[str, list[str]] = field(default_factory=dict)
    version: int = PLAN_VERSION

    def judged(self, key: tuple[str, ...], verdict: Verdict) -> "SweepPlan":
        """The plan with one row of the snapshot more."""
        plan = replace(self, read=self.read + 1)
        match verdict:
            case Equal():
                return replace(plan, equal=plan.equal + 1)
            case Upsert():
                return replace(plan, upserts=plan.upserts + 1).sampled("upserts", key)
            case TooYoung():
                return replace(plan, too_young=plan.too_young + 1).sampled("too_young", key)
            case Skipped(why):
                return replace(plan, skipped=plan.skipped | {why: plan.skipped.get(why, 0) + 1}).sampled(why, key)

    def sampled(self, kind: str, key: tuple[str, ...]) -> "SweepPlan":
        """The plan with a key as an example of a kind, if it has not enough of them."""
        known = self.samples.get(kind, [])
        if len(known) >= _SAMPLES:
            return self
        return replace(self, samples=self.samples | {kind: [*known, ", ".join(key)]})

    def encode(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def decode(cls, data: dict[str, Any]) -> "SweepPlan":
        """The reverse of `encode`. Raises ValueError on what a newer version wrote."""
        if data.get("version") != PLAN_VERSION:
            raise ValueError("the plan of a sweep was stored by another version of this app")
        return cls(**data)


def sigma(date: datetime, margin_seconds: float) -> int:
    """σ in .NET ticks, from the HTTP `Date` of an answer before the first page."""
    return datetime_to_ticks(date.astimezone(UTC) - timedelta(seconds=margin_seconds))


def judge(
    link: EventLink | None, row: Row, mapping: Mapping, scope: Scope, *, sigma: int, now: float, dates: Dates = frozenset()
) -> Verdict:
    """What becomes of one row of the snapshot, in OData's form; `dates`: columns without a time. Raises MissingColumns."""
    picked = mapping.pick(row)
    zone = zone_of(mapping, picked)
    shown = as_pushed(picked, zone, dates)
    known = link.columns if link and link.version else {}
    kept = {  # where the value is the same, in the form of the push, or the event's fingerprint would change
        name: known[name].value
        for name, value in picked.items()
        if name in known and any(same(known[name].value, form) for form in forms(value, zone, is_date=name in dates))
    }
    never_set = {name for name in mapping.attributes if name not in known and shown.get(name) is None}
    other = picked.keys() - kept.keys() - never_set
    # The whole row, as in a push: the mapping may have been edited before the change is applied.
    upsert = Upsert(as_pushed(row, zone, dates) | kept)
    if link and link.version and link.present and not other and _in_order(link, mapping, scope, now):
        return Equal()
    if link and link.version and (link.version.timestamp >= sigma or link.held(now)):
        return TooYoung()
    if link and link.stands:
        return upsert
    return _skipped(shown | kept, mapping, scope, now) or upsert


def _in_order(link: EventLink, mapping: Mapping, scope: Scope, now: float) -> bool:
    """Whether a row is as the mapping of today wants it. One with a dead letter waits for a person."""
    if link.buried:
        return True
    try:
        return not link.claim and settled(link, wanted(link, mapping, scope), mapping, now)
    except Permanent:
        return False


def _skipped(row: Row, mapping: Mapping, scope: Scope, now: float) -> Equal | Skipped | None:
    """Why a row that has no event gets none; None where it gets one."""
    if not mapping.matches(row):
        return Equal()
    if mapping.relay:
        return None if mapping.backfill.rows == "all" else Skipped("not-asked-for")
    try:
        event = calendar_event(mapping, row, scope)
    except Permanent:
        return Skipped("unusable")
    if _is_past(event, mapping.backfill.rows, now):
        return Skipped("past")
    return Skipped("would-invite") if event.body.get("attendees") and not mapping.backfill.invite else None


def _is_past(event: CalendarEvent, rows: str | Days, now: float) -> bool:
    if isinstance(rows, Days):
        return event.moment("start") < now - rows.days * 86_400
    return rows == "future" and event.moment("end") <= now


def removals(links: Iterable[EventLink], seen: Callable[[str], bool], *, sigma: int, complete: bool) -> list[EventLink]:
    """Links of live rows that a complete read did not show; `seen` tells of a link's key. Each is still to be looked up."""
    return [link for link in _not_shown(links, seen) if complete and link.version and link.version.timestamp < sigma]


def too_young(links: Iterable[EventLink], seen: Callable[[str], bool], *, sigma: int) -> list[EventLink]:
    """Links of live rows that were not shown, and may be newer than the snapshot: they are looked at again."""
    return [link for link in _not_shown(links, seen) if link.version and link.version.timestamp >= sigma]


def _not_shown(links: Iterable[EventLink], seen: Callable[[str], bool]) -> Iterator[EventLink]:
    return (link for link in links if link.present and not seen(link.key))


def brake(removals: int, live: int, *, at_most: int, read: int | None = None) -> str | None:
    """Why so many removals are held; None where they are not. `read`: rows that a sweep has read; None = a notification."""
    if not removals:
        return None
    if removals > at_most:
        return f"more than REMOVALS_MAX ({at_most}) rows would be removed"
    if read == 0:
        return "the inquiry shows no row at all"
    if read is not None and live >= _SHARE_FROM and removals > _SHARE * live:
        return f"more than {_SHARE:.0%} of the mapping's {live} rows would be removed"
    return None
