"""A sweep: the whole inquiry is read, and what differs from the links is set right. The queue carries it on, step by step.

read      page by page: each row is judged, what differs becomes a row change, the cursor is saved
confirm   what a complete read did not show is looked up by its key; what is absent then is removed
done      the plan stays, for people

A step ends after two minutes, and sends the message of the next one. Whatever is killed is done again from the cursor that
was saved last: every change is merged, so that one that is sent twice is one. sync/verdict.py and sync/sweep_plan.py
decide; the argument for their correctness stands there, and in docs/sweep.md.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import batched
from typing import Any

from handlers import telemetry
from handlers.again import retry_passing
from handlers.clients.held import Hold, hold_id
from handlers.clients.inquiries import Page
from handlers.clients.links import ListedLinks
from handlers.clients.sweeps import DECIDED, Order, Sweep, prefix
from handlers.services import Services
from handlers.snapshot import SHOW_IT, Missing, exposed, looked_up, same_identity
from handlers.sweep_start import mode_now
from handlers.sync.change import SNAPSHOT, Row, RowChange, link_key
from handlers.sync.errors import Code, Later, Permanent, SyncError
from handlers.sync.mapping import Mapping
from handlers.sync.odata import Inquiry
from handlers.sync.site_zone import off
from handlers.sync.snapshot_values import learnt
from handlers.sync.sweep_plan import removals, sigma, too_young
from handlers.sync.template import MissingColumns
from handlers.sync.verdict import Skipped, Upsert, Withdrawn, judge

STEP_SECONDS = 120.0  # the function has 290: a page that has begun may take its time
_LISTING_SECONDS = 60.0  # that a step lasts longer, if listing its links takes them: it is to get further than one page
_GIVE_UP_SECONDS = 6 * 3600.0
_LONGEST_DELAY = 300.0
_BEHIND_SECONDS = 60.0
_RELEASE_SECONDS = 30.0  # until it is looked again whether a release is over
_BATCH = 1000

type Watch = Callable[[Sweep], None]


class Overtaken(Exception):
    """Another worker goes on with the sweep, or a newer sweep has taken its place."""


def step(
    found: Sweep, services: Services, seconds: float = STEP_SECONDS, watch: Watch = lambda _: None
) -> tuple[Sweep, float]:
    """Go on with a sweep for some seconds; the sweep as it is then, and how long the next step has to wait.

    `watch` is told whenever it was saved. Raises Overtaken, StorageError.
    """
    work = _Step(found, services, services.clock() + seconds, watch)
    try:
        work.run()
    except Permanent as failure:
        work.end(failure.code, failure.reason, failure.remedy)
    except MissingColumns as failure:
        work.end(Code.COLUMN_MISSING, str(failure), SHOW_IT)
    except SyncError as failure:
        tries = work.sweep.tries + 1
        if services.clock() - work.sweep.reached > _GIVE_UP_SECONDS:
            work.end(failure.code, failure.reason, "The next sweep begins anew.")
            return work.sweep, 0.0
        work.save(tries=tries, code=failure.code, reason=failure.reason, reached=work.sweep.reached)
        wanted = failure.delay if isinstance(failure, Later) else 0.0
        return work.sweep, min(max(wanted, 5.0 * 2 ** min(tries, 10)), _LONGEST_DELAY)
    return work.sweep, 0.0


@dataclass
class _Step:
    """One step's work. `sweep` is as it was saved last."""

    sweep: Sweep
    services: Services
    until: float
    watch: Watch

    def run(self) -> None:
        """Read, confirm, or as much of it as there is time for; a page or a look-up at least, however late it is."""
        if (mode := mode_now(self.sweep.mode, self.mapping)) != self.sweep.mode:
            plan = replace(self.sweep.plan, mode=mode)
            self.sweep = replace(self.sweep, mode=mode, plan=plan, confirmed="")  # nothing is decided in this mode yet
        same_identity(self.mapping, self.services, pin=self.sweep.mode != "report")
        inquiry = exposed(self.mapping, self.services.inquiries)
        began = self.sweep.phase
        if began == "read":
            self._read(inquiry)
        if self.sweep.phase == "confirm" and (began == "confirm" or not self.is_late):
            self._confirm(inquiry)

    @cached_property
    def mapping(self) -> Mapping:
        """The mapping. Raises Permanent."""
        if found := self.services.mappings.get(self.sweep.mapping):
            return found
        raise Permanent(
            Code.MAPPING_MISSING, f"There is no active mapping {self.sweep.mapping!r}.", "Nothing is to be done."
        )

    @cached_property
    def links(self) -> ListedLinks:
        """The mapping's links, as they were when this step first looked."""
        began = self.services.clock()
        found = self.services.storage.links.of_mapping(self.mapping.name)
        self.until += min(self.services.clock() - began, _LISTING_SECONDS)
        return found

    @cached_property
    def seen(self) -> set[bytes]:
        """The rows that were seen, in this step or an earlier one."""
        return self.services.storage.sweeps.seen(self.sweep)

    @property
    def margin(self) -> float:
        """Longer than any transaction of Acumatica lasts, in seconds."""
        return self.services.settings.sweep_margin_minutes * 60

    @property
    def is_late(self) -> bool:
        """Whether the step has to end."""
        return self.services.clock() >= self.until

    def save(self, **facts: Any) -> None:
        """Save the sweep; a step that gets somewhere has no failure any more. Raises Overtaken."""
        now = self.services.clock()
        progress: dict[str, Any] = {"tries": 0, "code": "", "reason": "", "saved": now, "reached": now}
        changed = replace(self.sweep, **progress | facts)
        saved = self.services.storage.sweeps.save(changed)
        if saved is None:
            raise Overtaken
        self.sweep = saved
        self.watch(saved)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read(self, inquiry: Inquiry) -> None:
        if not self.sweep.plan.sigma:
            self._begin(inquiry.date)
        for page in self.services.inquiries.pages(inquiry, self.mapping.key, self.sweep.cursor):
            self._take(page)
            if page.next is None:
                self.save(phase="confirm", plan=replace(self.sweep.plan, complete=True))
            elif self.is_late:
                return

    def _begin(self, date: datetime) -> None:
        """σ comes from Acumatica's clock before it was asked for the first page, or from ours, whichever says less."""
        ours = datetime.fromtimestamp(int(self.services.clock()), UTC)
        begun = sigma(min(date, ours), self.margin)
        retried = retry_passing(self.mapping, self.sweep.run, self.services) if self.sweep.mode != "report" else 0
        self.save(plan=replace(self.sweep.plan, sigma=begun, live=self.links.present, retried=retried), sent=retried)

    def _take(self, page: Page) -> None:
        """Judge the rows of a page, send what differs, and save the cursor behind it."""
        plan, now = self.sweep.plan, self.services.clock()
        keyed = [(self._key(row), row) for row in page.rows]
        times = Counter(key for key, _ in keyed)
        known = {key: self.links.get(self._link_key(key)) for key, _ in keyed if key}
        picked = [(self.mapping.pick(row), known[key]) for key, row in keyed if key]
        if wrong := off(self.mapping, picked):
            reason = f"The site's dates are {wrong} hours off the mapping's time_zone: each event would be moved by that."
            raise Permanent(Code.ZONE_DIFFERS, reason, "Correct time_zone in the mapping; doctor says what was measured.")
        plan = replace(plan, times=learnt(plan.times, self.mapping, picked))
        shown, changes = [], []
        for key, row in keyed:
            if key is None:
                plan = plan.judged((), Skipped("key-missing"))
                continue
            link = self._link_key(key)
            shown.append(link)
            if prefix(link) in self.seen:
                continue  # rows have moved from page to page meanwhile
            if times[key] > 1:
                plan = plan.judged(key, Skipped("key-repeated"))
                continue
            verdict = judge(known[key], row, self.mapping, self.services.scope, sigma=plan.sigma, now=now, times=plan.times)
            verdict = plan.agreed(verdict, self.services.settings.removals_max)
            plan = plan.judged(key, verdict)
            changes += [self._change(key, verdict.row)] if isinstance(verdict, Upsert | Withdrawn) else []
        if shown and self.seen.issuperset(map(prefix, shown)):
            reason = "Acumatica sends the same page again and again."
            raise Permanent(Code.INQUIRY_PAGES_REPEAT, reason, "Sort the inquiry by its key columns.")
        sent = self._send(changes)
        self.services.storage.sweeps.saw(self.sweep, shown)
        self.seen.update(map(prefix, shown))
        cursor = self.sweep.cursor + len(page.rows) if page.next is None else page.next
        self.save(plan=plan, cursor=cursor, sent=sent)

    def _key(self, row: Row) -> tuple[str, ...] | None:
        try:
            return self.mapping.key_of(row)
        except MissingColumns:
            return None

    def _link_key(self, key: tuple[str, ...]) -> str:
        return link_key(self.services.company, self.mapping.name, key)

    def _change(self, key: tuple[str, ...], row: Row | None) -> RowChange:
        sweep = self.sweep
        return RowChange(
            company=self.services.company,
            mapping=sweep.mapping,
            key=key,
            timestamp=sweep.plan.sigma,
            row=row,
            notification=f"sweep {sweep.id}",
            first_sent=self.services.clock(),
            run=sweep.run,
            origin=SNAPSHOT,
        )

    def _send(self, changes: list[RowChange]) -> int:
        """Send changes, unless this is a report; how many the sweep has sent by then."""
        if self.sweep.mode == "report":
            return 0
        storage = self.services.storage
        storage.in_parallel([partial(storage.queue.send, change) for change in changes])
        return self.sweep.sent + len(changes)

    # -- removing ------------------------------------------------------------------------------------------------------

    def _confirm(self, inquiry: Inquiry) -> None:
        left = sorted(each for each in self._missing() if each[0] > self.sweep.confirmed)
        agreed = self.sweep.confirmed and not self._braked(left)  # rows may have come since the brake was asked
        if not agreed and not self._decide(left):
            return
        for some, absent in looked_up(left, self.links, inquiry, self.mapping, self.services):
            sent = self._send([self._change(row_key, None) for row_key in absent])
            plan = self.sweep.plan
            plan = replace(plan, removals=plan.removals - len(some) + len(absent))
            self.save(confirmed=some[-1][0], sent=sent, plan=plan)
            if self.is_late and some[-1] != left[-1]:
                return
        self._close_holds(set(self._young()))
        self.end()

    def _missing(self) -> list[Missing]:
        """Link keys and row keys of live rows that the read did not show; little of each, since they may be all of them."""
        plan, batches = self.sweep.plan, batched(self.links.but(self._has_seen), _BATCH, strict=False)
        left = (removals(some, self._has_seen, sigma=plan.sigma, complete=plan.complete) for some in batches)
        return [(link.key, link.row_key) for some in left for link in some]

    def _young(self) -> list[tuple[str, ...]]:
        """Row keys of live rows that were not shown, and may be newer than the snapshot."""
        batches = batched(self.links.but(self._has_seen), _BATCH, strict=False)
        return [link.row_key for some in batches for link in too_young(some, self._has_seen, sigma=self.sweep.plan.sigma)]

    def _has_seen(self, key: str) -> bool:
        return prefix(key) in self.seen

    def _decide(self, missing: list[Missing]) -> bool:
        """Say in the plan what is missing; whether it may be removed. Where not, or not yet, the sweep ends here."""
        plan = self.sweep.plan
        young, keys = self._young(), sorted(row_key for _, row_key in missing)
        counted = 0 if self.sweep.confirmed else len(young)  # where it was decided before, they are in the plan
        plan = replace(plan, removals=len(missing), too_young=plan.too_young + counted)
        for row_key in keys[:_BATCH]:
            plan = plan.sampled("removals", row_key)
        why = self._braked(missing)
        if self._is_ahead():
            self.save(plan=plan)
            reason = "Notifications are stamped later than Acumatica's web server says it is, so nothing was removed."
            self.end(Code.CLOCKS_DIFFER, reason, "Set the clocks of Acumatica's servers, or raise SWEEP_MARGIN_MINUTES.")
            return False
        if why and self.sweep.mode == "full":
            if not self._hold(keys, why):
                raise Later(Code.RELEASE_UNDER_WAY, "What an earlier sweep held is being released.", _RELEASE_SECONDS)
            plan = replace(plan, removals=0, held=len(missing))
        removes = self.sweep.mode == "full" and not why
        if not removes:
            self._close_holds({*young, *keys})
        self.save(plan=plan, reason=why or "", confirmed=DECIDED if removes else "")
        if not removes:
            self.end(reason=why or "")
        return removes

    def _braked(self, missing: list[Missing]) -> str | None:
        return self.sweep.plan.braked(len(missing), self.services.settings.removals_max)

    def _is_ahead(self) -> bool:
        """Whether a push has a TimeStamp that Acumatica's own clock, as σ was taken from it, has not reached yet."""
        passed = self.services.clock() - self.sweep.started
        latest = self.sweep.plan.sigma + int((2 * self.margin + passed) * 10_000_000)
        return self.links.newest > latest

    def _hold(self, keys: list[tuple[str, ...]], why: str) -> bool:
        """Hold removals; False while what is held already is being released: less may be missing after that."""
        sweep, storage = self.sweep, self.services.storage
        hold = Hold(
            hold_id("sweep", sweep.id, sweep.mapping),
            source="sweep",
            origin=sweep.id,
            company=self.services.company,
            mapping=sweep.mapping,
            timestamp=sweep.plan.sigma,
            notification=f"sweep {sweep.id}",
            reason=why,
            at=datetime.fromtimestamp(self.services.clock(), UTC),
        )
        if not storage.held.hold(hold, keys):
            return False
        telemetry.emit(telemetry.HELD, level=logging.ERROR, mapping=sweep.mapping, sweep=sweep.id, rows=len(keys))
        return True

    def _close_holds(self, missing: set[tuple[str, ...]]) -> None:
        """Holds of which no row is missing any more are overtaken: their rows are back, or are removed by this sweep.

        Of a notification that is as young as the snapshot, what was read says nothing. Rows that are not stored any more
        may be any that are missing.
        """
        held, at = self.services.storage.held, datetime.fromtimestamp(self.services.clock(), UTC)
        for hold in held.of_mapping(self.sweep.mapping):
            if hold.source == "notification" and hold.timestamp >= self.sweep.plan.sigma:
                continue
            keys = held.keys(hold)
            if missing.isdisjoint(missing if keys is None else keys):
                held.decide(hold, "overtaken", at, "a later sweep", f"sweep {self.sweep.id} would not remove its rows")

    def end(self, code: str = "", reason: str = "", remedy: str = "") -> None:
        """The sweep is over; `code` says why before its time."""
        plan = self.sweep.plan
        if code and not plan.complete:
            plan = replace(plan, incomplete=str(code))
        if not code:
            reason = " ".join(filter(None, (reason, plan.withheld)))
        if plan.too_young and not code and self.sweep.mode != "report" and not self.sweep.second:
            self.services.storage.sweeps.send(Order(self.sweep.mapping), self.margin + _BEHIND_SECONDS)
        self.save(phase="done", plan=plan, code=str(code), reason=reason, remedy=remedy)
        self.services.storage.sweeps.forget_pages(self.sweep)
        if self.sweep.sent:
            self.services.activity.swept(
                self.sweep.run, self.sweep.started, self.sweep.by, self.sweep.mapping, self.sweep.sent
            )
        names = ("read", "equal", "upserts", "too_young", "removals", "held", "retried")
        facts = {name: getattr(plan, name) for name in names}
        about = {"mapping": plan.mapping, "sweep": self.sweep.id, "mode": plan.mode, "code": code or None}
        telemetry.emit(telemetry.SWEPT, level=logging.WARNING if code else logging.INFO, **about, **facts)
