"""Sweeps in the simulation: the inquiry is read page by page, and handlers.sync.sweep_plan decides.

Each request is a step. What is kept between them is what another process goes on with when this one dies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from handlers.services import Services
from handlers.sync.change import SNAPSHOT, RowChange
from handlers.sync.link import EventLink
from handlers.sync.sweep_plan import SweepPlan, TooYoung, Upsert, brake, judge, removals, sigma, too_young
from handlers.sync.template import Row
from tests.laws.world import link_key, shown

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation

MARGIN = 100.0  # seconds; no transaction takes as long
PAGE = 2  # rows
REMOVALS_MAX = 2


@dataclass(frozen=True)
class Kept:
    """How far a sweep has come. `broken`: one of its answers was none; `gone`: what was looked up, once all is read."""

    began: float
    plan: SweepPlan
    links: dict[str, EventLink] | None = None  # listed once
    skip: int = 0
    seen: frozenset[str] = frozenset()
    read: bool = False


@dataclass(eq=False)
class Sweeping:
    """A sweep, from its message on. `last`: once all is quiet, and what it holds is released; `idle`: all is in order."""

    once: bool = False
    last: bool = False
    idle: bool = False
    kept: Kept | None = None
    failures: int = 0


class Sweeper:
    """Carries sweeps out as a worker does, and knows what none may do."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self.since: dict[str, float] = {}  # when a row came into the inquiry
        self.held: list[list[RowChange]] = []
        self.young = False  # whether the last sweep has to look again

    def _step[T](self, call: str, words: str, effect: Callable[[], T], *, remote: bool = False) -> T:
        return self._sim.scheduler.step(call, words, effect, remote=remote, show=lambda _: "")

    def run(self, sweep: Sweeping, services: Services) -> None:
        """From where it stands to its end."""
        kept = sweep.kept or self._begun(sweep, services)
        while not kept.read:
            kept = self._with_page(kept, services, idle=sweep.idle)
            self._keep(sweep, kept)
        links = self._list()
        missing = removals(links.values(), kept.seen.__contains__, sigma=kept.plan.sigma, complete=kept.plan.complete)
        gone = [link for link in missing if self._is_absent(link.row_key[0])]
        live = sum(link.present for link in links.values())
        held = brake(len(gone), live, at_most=REMOVALS_MAX, read=kept.plan.read)
        changes = [self._change(link.row_key, None, kept, services) for link in gone]
        if held and not sweep.last:
            self._sim.scheduler.say(f"removes nothing: {held}")
            self.held.append(changes)
            return
        self._sim.bugs += [
            f"a sweep removes row {change.key[0]}, although all is in order" for change in changes if sweep.idle
        ]
        for change in changes:
            self._check(change.key[0], kept, among=len(changes))
            services.storage.queue.send(change)
        if sweep.last:
            young = too_young(links.values(), kept.seen.__contains__, sigma=kept.plan.sigma)
            self.young = bool(kept.plan.too_young or young)

    def _begun(self, sweep: Sweeping, services: Services) -> Kept:
        date = self._step("date", "asks for Acumatica's clock", lambda: self._sim.now, remote=True)
        mapping = services.mappings["m"]
        plan = SweepPlan("m", mapping.sweep.mode, sigma(datetime.fromtimestamp(date, UTC), MARGIN))
        kept = Kept(date, plan, self._list() if sweep.once else None)
        self._keep(sweep, kept)
        return kept

    def _keep(self, sweep: Sweeping, kept: Kept) -> None:
        def keep() -> None:
            sweep.kept = kept

        self._step("keep", "keeps how far it has come", keep)

    def _list(self) -> dict[str, EventLink]:
        links = self._sim.store.links
        return self._step("list", "lists the links", lambda: {key: links.known(key) for key in self._sim.links})

    def _with_page(self, kept: Kept, services: Services, *, idle: bool) -> Kept:
        page = self._step(
            "page", f"reads rows {kept.skip + 1} to {kept.skip + PAGE}", lambda: self._page(kept.skip), remote=True
        )
        if page is None:
            return replace(kept, read=True, plan=replace(kept.plan, incomplete="a page is none"))
        links, mapping, plan, seen = kept.links or self._list(), services.mappings["m"], kept.plan, set(kept.seen)
        for row in page:
            key = mapping.key_of(row)
            link = links.get(link_key(key[0]))
            verdict = judge(link, row, mapping, services.scope, sigma=plan.sigma, now=self._sim.now)
            if isinstance(verdict, Upsert):
                services.storage.queue.send(self._change(key, verdict.row, kept, services))
                self._sim.bugs += [f"a sweep sends row {key[0]}, which is in order"] if idle else []
            elif isinstance(verdict, TooYoung):
                self._sim.scheduler.say(f"finds {key[0]} too young to judge")
            plan = plan.judged(key, verdict)
            seen.add(link_key(key[0]))
        done = len(page) < PAGE
        return replace(kept, plan=replace(plan, complete=done), seen=frozenset(seen), skip=kept.skip + len(page), read=done)

    def _page(self, skip: int) -> list[Row] | None:
        """Rows as OData shows them; None instead of a list of rows."""
        match self._fault():
            case "emptied":
                return []
            case "broken":
                return None
        return [_padded(shown(row, self._sim.rows[row])) for row in sorted(self._sim.rows)[skip : skip + PAGE]]

    def _is_absent(self, row: str) -> bool:
        return self._step(
            "look-up", f"looks {row} up", lambda: bool(self._fault()) or row not in self._sim.rows, remote=True
        )

    def _fault(self) -> str:
        since = self._sim.now - self._sim.scheduler.began
        return next((f.kind for f in self._sim.story.faults if f.at <= since < f.at + f.lasts), "")

    def _change(self, key: tuple[str, ...], row: Row | None, kept: Kept, services: Services) -> RowChange:
        return RowChange("t", "m", key, kept.plan.sigma, row, "sweep", services.storage.now(), origin=SNAPSHOT)

    def _check(self, row: str, kept: Kept, *, among: int) -> None:
        """No row is removed that was in the inquiry all the time; but of one that is emptied meanwhile, some may be."""
        began = self._sim.scheduler.began
        emptied = any(f.kind == "emptied" and f.at + f.lasts + began > kept.began for f in self._sim.story.faults)
        if (
            row in self._sim.rows
            and self.since[row] <= kept.began
            and not (emptied and kept.plan.read and among <= REMOVALS_MAX)
        ):
            self._sim.bugs.append(f"a sweep removes row {row}, which is in the inquiry")


def _padded(row: Row) -> dict[str, Any]:
    return {name: f"{value}  " if isinstance(value, str) else value for name, value in row.items()}
