"""The plan of a sweep: what a complete read of an inquiry says of the links of one mapping. A value; nothing is done here.

A snapshot is a notification whose TimeStamp is σ: Acumatica's clock before the first page, less more than any transaction
takes. What was stamped before σ has ended, so the snapshot holds it; what was stamped later wins over it. An equal row is
not stamped with σ, as that would be a write: of its older removal that comes later still, the next sweep has to bring it
back. Before a removal, the row's key is looked up once more (pages may tear while rows change), and the brake has to agree.

What becomes of a row that is in the snapshot, verdict.py says. One that is not there:

| its link                        | what follows                            |
|---------------------------------|-----------------------------------------|
| a live row, older than σ        | a removal, if the read was complete     |
| a live row, as young as σ       | too young: looked at again              |
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.sync.change import datetime_to_ticks
from handlers.sync.link import EventLink
from handlers.sync.snapshot_values import Times
from handlers.sync.verdict import WOULD_REMOVE, Equal, Skipped, TooYoung, Upsert, Verdict, Withdrawn

PLAN_VERSION = 1
_SAMPLES, _SHARE, _SHARE_FROM = 10, 0.3, 20


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep found, in numbers, with a few keys of each kind. `incomplete`: why its read counts as incomplete.

    `before`: how many rows the sweep before it found whose event leaves; too many then are not taken away night by night.
    `times`: what is known of columns with dates, from earlier sweeps too.
    """

    mapping: str
    mode: str
    sigma: int
    read: int = 0
    live: int = 0
    equal: int = 0
    upserts: int = 0
    withdrawn: int = 0
    before: int = 0
    times: Times = field(default_factory=dict)
    too_young: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    removals: int = 0
    held: int = 0
    retried: int = 0
    complete: bool = False
    incomplete: str = ""
    samples: dict[str, list[str]] = field(default_factory=dict)
    version: int = PLAN_VERSION

    def following(self, mode: str) -> "SweepPlan":
        """The plan of the next sweep, before it reads."""
        return SweepPlan(self.mapping, mode, 0, before=self.leaving, times=self.times)

    def judged(self, key: tuple[str, ...], verdict: Verdict) -> "SweepPlan":
        """The plan with one row of the snapshot more."""
        plan = replace(self, read=self.read + 1)
        match verdict:
            case Equal():
                return replace(plan, equal=plan.equal + 1)
            case Upsert():
                return replace(plan, upserts=plan.upserts + 1).sampled("upserts", key)
            case Withdrawn():
                return replace(plan, withdrawn=plan.withdrawn + 1).sampled("withdrawn", key)
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

    @property
    def leaving(self) -> int:
        """How many rows have an event that leaves."""
        found = self.withdrawn + self.skipped.get(WOULD_REMOVE, 0)
        return found if self.complete else max(found, self.before)

    def braked(self, removals: int, at_most: int) -> str | None:
        """Why so many rows that were not shown stay for now; None where they may be removed."""
        return brake(removals, self.live, at_most=at_most, read=self.read)

    def agreed(self, verdict: Verdict, at_most: int) -> Verdict:
        """The verdict on the next row, where mode and brake agree to what it takes away."""
        if not isinstance(verdict, Withdrawn):
            return verdict
        many = max(self.leaving, self.withdrawn + self.skipped.get(WOULD_REMOVE, 0) + 1)
        held = self.mode != "full" or brake(many, self.live, at_most=at_most, read=self.read + 1)
        return Skipped(WOULD_REMOVE) if held else verdict

    @property
    def withheld(self) -> str:
        """In words, which events stay that a sweep of mode full would take away; empty: none."""
        count = self.skipped.get(WOULD_REMOVE, 0) if self.mode == "full" else 0
        told = (
            f"{count} rows of the inquiry keep their event, which [when] or TEST_MAILBOX would take away: too many at once."
        )
        return told if count else ""

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
    if read == 0:
        return "The inquiry shows no row at all."
    if removals > at_most:
        return f"More than REMOVALS_MAX ({at_most}) rows would be removed."
    if read is not None and live >= _SHARE_FROM and removals > _SHARE * live:
        return f"More than {_SHARE:.0%} of the mapping's {live} rows would be removed."
    return None
