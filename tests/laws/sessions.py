"""The real handlers.clients.sessions on simulated time: several processes with several threads each, one budget."""

import contextlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from azure.core.exceptions import ServiceRequestError

from handlers.clients import sessions as module
from handlers.clients.acumatica import Acumatica, SignInRefused
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown, SignedOut
from handlers.sync.record import RecordUpdate
from handlers.sync.slots import Breaker, Credentials, Free, Slot
from tests.laws.scheduler import Endless, Kind, Mishap, Scheduler, Task

LEASE, LINGER, ABANDONED = 30.0, 20.0, 600.0
CALLS = ("PUT", "PUT", "sign-in", "sign-out", "slots", "load breaker", "save slot", "save breaker")


@dataclass(frozen=True)
class Traffic:
    """One run. `jobs`: when a write-back is due, and in which process; `closes`: when a process ends as it should."""

    jobs: tuple[tuple[int, int], ...]
    budget: int = 1
    closes: tuple[tuple[int, int], ...] = ()
    mishaps: tuple[Mishap, ...] = ()
    switches: tuple[tuple[int, int], ...] = ()
    rejected_until: float = 0.0  # the password is wrong until then


KINDS: tuple[Kind, ...] = ("dies before", "dies after", "lost", "late", "refused", "pause", "pause")


def tell(seed: int, mishaps: int = 5, calls: tuple[str, ...] = CALLS, kinds: tuple[Kind, ...] = KINDS) -> Traffic:
    """The traffic of a seed."""
    rng = random.Random(seed)
    jobs = tuple((rng.randint(0, 60), rng.randint(0, 2)) for _ in range(rng.randint(1, 8)))
    closes = tuple((rng.randint(20, 100), n) for n in range(3) if rng.random() < 0.3)
    some = [Mishap(c, rng.randint(1, 6), rng.choice(kinds), rng.random()) for c in rng.choices(calls, k=mishaps)]
    chance = rng.choice((0.0, 0.2, 0.5))
    switches = tuple((step, rng.randint(0, 5)) for step in range(250) if rng.random() < chance)
    budget = rng.randint(1, 2)
    rejected = rng.choice((0.0, 0.0, 0.0, 200.0))
    return Traffic(jobs, budget, closes, tuple(some[: rng.randint(0, mishaps)]), switches, rejected)


class Lock:
    """threading.Lock for tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Task | None = None

    def __enter__(self) -> None:
        while self._owner and not self._owner.gone:
            self._scheduler.sleep(float("inf"), lambda: self._owner is None)
        self._owner = self._scheduler.current

    def __exit__(self, *_: object) -> None:
        self._owner = None


class Condition:
    """threading.Condition for tasks, which change only at I/O: what it guards holds none, so it needs no lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._notified = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        self._notified += 1

    def notify(self) -> None:
        """Wakes all, which threading.Condition may do too."""
        self.notify_all()

    def wait(self, timeout: float) -> bool:
        return self._wait_until(self._scheduler.now + timeout)

    def _wait_until(self, until: float) -> bool:
        before = self._notified
        return self._scheduler.sleep(until, lambda: self._notified > before)

    def wait_for(self, condition: Callable[[], Any], timeout: float) -> bool:
        until = self._scheduler.now + timeout
        while not condition() and self._scheduler.now < until:
            self._wait_until(until)
        return bool(condition())


class Thread:
    """threading.Thread for tasks."""

    def __init__(self, scheduler: Scheduler, target: Callable[[], Any], name: str, *, daemon: bool) -> None:  # noqa: ARG002
        self._scheduler, self._target, self._name = scheduler, target, name
        self._task: Task | None = None

    def start(self) -> None:
        current = self._scheduler.current
        assert current
        self._task = self._scheduler.start(self._target, f"{current.process} keeper", current.process)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.dead

    def join(self, timeout: float) -> None:
        self._scheduler.sleep(self._scheduler.now + timeout, lambda: not self.is_alive())


@dataclass
class Site:
    """Acumatica's side: open sessions with their last use; each ends ABANDONED after that by itself."""

    scheduler: Scheduler
    traffic: Traffic
    open: dict[str, float] = field(default_factory=dict)
    busy: dict[str, Task] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    abandoned: dict[str, float] = field(default_factory=dict)  # until when an unanswered request may be running
    refusals: list[float] = field(default_factory=list)
    outside: bool = False
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def expire(self) -> None:
        self.open = {name: used for name, used in self.open.items() if used + ABANDONED > self.scheduler.now}

    def sign_in(self) -> Credentials:
        me = self.scheduler.current
        assert me

        def sign_in() -> str | None:
            if self.scheduler.now - self.scheduler.began < self.traffic.rejected_until:
                self.refusals.append(self.scheduler.now)
                return None
            self.expire()
            name = f"s{next(self.numbers)}"
            self.open[name] = self.scheduler.now
            # Who stands still while it signs in has blocked its slot for too short: outside of the promise.
            self.outside |= me.stood_still
            if len(self.open) > self.traffic.budget and not self.outside:
                self.broken.append(f"{len(self.open)} sessions are open, the budget is {self.traffic.budget}")
            return name

        name = self.scheduler.step("sign-in", "signs in", sign_in, remote=True)
        if name is None:
            raise SignInRefused("wrong password", rejected=True)
        return {"cookies": {"name": name}, "expires": None}

    def sign_out(self, credentials: Credentials) -> None:
        name = credentials["cookies"]["name"]
        self._alone(name, "sign-out")
        self.scheduler.step("sign-out", f"signs {name} out", lambda: (self.open.pop(name, None), None)[1], remote=True)

    def _alone(self, name: str, words: str) -> None:
        if self.abandoned.get(name, 0.0) > self.scheduler.now:
            self.broken.append(f"a {words} in session {name}, where an abandoned request may still be running")

    def put(self, credentials: Credentials, update: RecordUpdate) -> None:
        name, me = credentials["cookies"]["name"], self.scheduler.current
        assert me

        def begin() -> bool:
            self.expire()
            other = self.busy.get(name)
            late = self.scheduler.current is not me  # its client has hung up; the site takes one after the other
            # Who stands still for longer than its lease does not know that the session is another's by now.
            excused = late or me.stood_still or (other is not None and other.stood_still)
            if other and not other.gone and not excused:
                self.broken.append(f"two requests at a time in session {name}")
            if name in self.open:
                self.open[name] = self.scheduler.now
            return name in self.open

        def end() -> None:
            self.busy.pop(name, None)
            self.done(update.path)

        self._alone(name, "request")
        try:
            known = self.scheduler.step("PUT", f"PUT {update.path} in {name}", begin, remote=True)
        except OutcomeUnknown:
            self.abandoned[name] = self.scheduler.now + self.scheduler.latest
            raise
        if not known:
            raise SignedOut("unknown session")
        self.busy[name] = me
        self.scheduler.step("answer", f"answer to {update.path}", end)

    def close(self) -> None:
        """End the connections."""

    done: Callable[[str], Any] = print


def unchanged(known: str | None, etag: str | None) -> bool:
    """Whether a save may be carried out."""
    return known == etag


class Slots:
    """handlers.clients.slots.Slots in memory."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.content: dict[str, tuple[Slot, str]] = {}
        self._breaker: tuple[Breaker, str | None] = (Breaker(), None)
        self._numbers = itertools.count(1)

    def all(self) -> dict[str, tuple[Slot, str]]:
        def slots() -> dict[str, tuple[Slot, str]]:
            self._knows_the_time()
            return dict(self.content)

        return self._scheduler.step("slots", "reads the slots", slots, show=lambda found: f" {found}")

    def save(self, name: str, slot: Slot, etag: str | None) -> str | None:
        def save() -> str | None:
            known = self.content[name][1] if name in self.content else None
            if not unchanged(known, etag):
                return None
            self.content[name] = (slot, new := str(next(self._numbers)))
            return new

        words = f"saves slot {name} {slot}"
        return self._scheduler.step("save slot", words, save, show=lambda new: "" if new else ": conflict")

    def load_breaker(self) -> tuple[Breaker, str | None]:
        def load() -> tuple[Breaker, str | None]:
            self._knows_the_time()
            return self._breaker

        return self._scheduler.step("load breaker", "reads the circuit breaker", load)

    def save_breaker(self, breaker: Breaker, etag: str | None) -> str | None:
        def save() -> str | None:
            if not unchanged(self._breaker[1], etag):
                return None
            self._breaker = (breaker, str(next(self._numbers)))
            return self._breaker[1]

        words = f"saves the circuit breaker, {breaker}"
        return self._scheduler.step("save breaker", words, save, show=lambda new: "" if new else ": conflict")

    def _knows_the_time(self) -> None:
        if self._scheduler.current:
            self._scheduler.current.stood_still = False


class Run:
    """One run of a Traffic; `found` says which laws did not hold."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.scheduler = Scheduler(1e9, traffic.mishaps, traffic.switches, 2.5 * LEASE)
        self.scheduler.latest, self.scheduler.tick = 5.0, 0.2
        self.scheduler.silent = True
        self.site, self.slots = Site(self.scheduler, traffic), Slots(self.scheduler)
        self.site.done = self._done
        self.waiting: set[int] = set(range(len(traffic.jobs)))
        self._processes: dict[str, Sessions] = {}
        self._restarts = itertools.count(1)
        self._jobs: dict[Task, tuple[int, str]] = {}
        self._offers: list[tuple[int, str]] = []
        self.settings = Settings(
            ACUMATICA_URL="https://erp.example.com",
            ACUMATICA_TENANT="t",
            ACUMATICA_AUTH="cookie",
            ACUMATICA_USERNAME="u",
            ACUMATICA_PASSWORD="p",
            ACUMATICA_MAX_SESSIONS=traffic.budget,
            ACUMATICA_LINGER_SECONDS=LINGER,
            ACUMATICA_LEASE_SECONDS=LEASE,
            REQUEST_TIMEOUT_SECONDS=5,
        )

    def found(self) -> list[str]:
        """Every law that did not hold."""
        scheduler = self.scheduler
        fakes = SimpleNamespace(
            Condition=partial(Condition, scheduler), Thread=partial(Thread, scheduler), Lock=partial(Lock, scheduler)
        )

        class Held(module._Held):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.saving = Lock(scheduler)  # type: ignore[assignment]

        with (
            mock.patch.object(module, "threading", fakes),
            mock.patch.object(module, "random", random.Random(0)),
            mock.patch.object(module, "_Held", Held),
        ):
            for number, (at, process) in enumerate(self.traffic.jobs):
                scheduler.at(scheduler.now + at, partial(self._offer, number, f"p{process}"))
            for at, process in self.traffic.closes:
                scheduler.at(scheduler.now + at, partial(self._close, f"p{process}"))
            try:
                scheduler.run(self._take_offers, self._ended)
                scheduler.mishaps.clear()
                for minute in range(15):
                    if not (self.site.open or any(self._taken())):
                        break
                    scheduler.now += 60
                    self.site.expire()
                    scheduler.start(self._sessions(f"timer{minute}").upkeep, f"upkeep {minute}")
                    scheduler.run(list)
            except Endless as endless:
                return [str(endless)]
        found = [*self.site.broken]
        if self.waiting:
            found.append(f"never written back: {sorted(self.waiting)}")
        if self.site.open:
            found.append(f"sessions left open: {sorted(self.site.open)}")
        found += [f"slot {name} is left {self.slots.content[name][0]}" for name in self._taken()]
        # Each slot may be at its first sign-in before anybody knows; after that, the circuit breaker is open for minutes.
        if len(self.site.refusals) > self.traffic.budget and not self.traffic.mishaps:
            found.append(f"{len(self.site.refusals)} sign-ins with a wrong password")
        return found

    def _taken(self) -> list[str]:
        return [name for name, (slot, _) in self.slots.content.items() if slot != Free()]

    def _sessions(self, process: str) -> Sessions:
        if process not in self._processes:
            acumatica, storage = cast("Acumatica", self.site), cast("Storage", SimpleNamespace(slots=self.slots))
            clock = lambda: self.scheduler.now  # noqa: E731
            self._processes[process] = Sessions(acumatica, storage, self.settings, clock)
        return self._processes[process]

    def _offer(self, number: int, process: str) -> None:
        self._offers.append((number, process))

    def _take_offers(self) -> list[Callable[[], Task]]:
        return [partial(self._start, number, process) for number, process in self._offers]

    def _start(self, number: int, process: str) -> Task:
        self._offers.remove((number, process))
        task = self.scheduler.start(lambda: self._work(number, self._sessions(process)), f"{process} job {number}", process)
        self._jobs[task] = (number, process)
        return task

    def _work(self, number: int, sessions: Sessions) -> None:
        while number in self.waiting:
            try:
                sessions.put(RecordUpdate(str(number), {}), self.scheduler.now + 60)
            except Later as later:
                self.scheduler.sleep(self.scheduler.now + max(later.delay, 1.0) + number)
                if later.code == Code.SHUTTING_DOWN:
                    return  # the message is seen by another process
            except (OutcomeUnknown, ServiceRequestError):
                self.scheduler.sleep(self.scheduler.now + 30)

    def _done(self, path: str) -> None:
        self.waiting.discard(int(path))

    def _close(self, process: str) -> None:
        if process in self._processes:
            self.scheduler.start(partial(self._end, self._processes.pop(process)), f"{process} ends", process)

    def _end(self, sessions: Sessions) -> None:
        with contextlib.suppress(ServiceRequestError):  # what is left is the timer's
            sessions.close()

    def _ended(self, task: Task) -> None:
        number, process = self._jobs.pop(task, (-1, ""))
        if task.gone:
            self._processes.pop(task.process, None)
        if number in self.waiting:
            fresh = f"{process.partition('/')[0]}/{next(self._restarts)}"
            self.scheduler.at(self.scheduler.now + 20, partial(self._offer, number, fresh))


def simulate(traffic: Traffic) -> list[str]:
    """Live through a traffic; returns which laws did not hold."""
    return Run(traffic).found()


def explained(traffic: Traffic) -> str:
    """The story of a traffic, step by step."""
    run = Run(traffic)
    run.scheduler.silent = False
    return "\n".join(["", *run.found(), *run.scheduler.log[-150:], f"Again: simulate({traffic!r})"])
