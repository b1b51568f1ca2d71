"""Many workers on simulated time, one I/O step at a time; where something goes wrong is data, so that it can shrink.

Each worker is a greenlet. `step` is an I/O call: before it others may get their turn (a *switch*), and a *mishap* may hit
it. Time passes by a second per step, and jumps where nobody has anything to do.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import greenlet
from azure.core.exceptions import ServiceRequestError

from handlers.sync.errors import Code, Later, OutcomeUnknown

type Kind = Literal["dies before", "dies meanwhile", "dies after", "lost", "late", "refused", "refused, yet done", "pause"]
STEPS_MAX = 3_000


class Died(greenlet.GreenletExit):
    """The worker's process is gone; nothing of its code has an effect any more."""


class Endless(Exception):
    """The run does not come to an end."""


@dataclass(frozen=True)
class Mishap:
    """What happens at the n-th call of a name ("" counts all calls). `degree` (0 to 1) says when, for what comes later.

    dies before, dies after   the process ends just before or just after the call has its effect
    lost, late                no answer; never carried out, or later, but while the claim holds (storage: at once)
    refused                   503 (storage: away); sometimes carried out all the same
    pause                     the process stands still, for longer than a claim holds at most
    """

    call: str
    nth: int
    kind: Kind
    degree: float = 0.0


class Task(greenlet.greenlet):
    """One worker. Its process may end at any step, and it may be waiting for a moment or for a condition."""

    def __init__(self, work: Callable[[], Any], label: str, process: str) -> None:
        super().__init__(work)
        self.label = label
        self.process = process
        self.gone = False
        self.until = 0.0
        self.condition: Callable[[], bool] | None = None
        self.expires = float("inf")  # of the claim under which it works
        self.saved = 0.0  # when it has last told what it knows
        self.immune = False
        self.failures = 0  # of its message so far
        self.stood_still = False

    def ready(self, now: float) -> bool:
        """Whether it can go on."""
        return self.until <= now or (self.condition is not None and self.condition())


class Scheduler:
    """Runs tasks. `offers` lists what could be started now; it is asked at every step."""

    def __init__(self, now: float, mishaps: Iterable[Mishap], switches: Iterable[tuple[int, int]], pause: float) -> None:
        self.now = self.began = now
        self.log: list[str] = []
        self.silent = False  # nobody wants to hear the story
        self.calls: Counter[str] = Counter()
        self.steps = 0
        self.pause = pause
        self.tick = 1.0  # seconds per step
        self.latest = pause  # after how long a request without a claim is carried out at most
        self.longest_request = 10.0
        self.mishaps = {(m.call, m.nth): m for m in mishaps}
        self.switches = dict(switches)
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self._agenda: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()

    # -- what runs inside of tasks -----------------------------------------------------------------------------------

    def step[T](
        self,
        call: str,
        words: str,
        effect: Callable[[], T],
        *,
        remote: bool = False,
        slow: float = 0.0,
        show: Callable[[T], str] = lambda result: "" if result is None else f" → {result}",
    ) -> T:
        """One I/O of the running task; `show` tells its result, `slow`: in how many seconds a late one comes."""
        me = self._me()
        self._others(me)
        self.now += self.tick
        self.steps += 1
        self.calls[call] += 1
        self.do_what_is_due()
        mishap = self.mishaps.get((call, self.calls[call])) or self.mishaps.get(("", self.steps))
        if mishap and mishap.kind == "pause":
            self.say(f"{words}: stands still before it for {mishap.degree * self.pause:.0f} s")
            me.stood_still = True
            self._wait(me, self.now + mishap.degree * self.pause, None)
            self.do_what_is_due()
            mishap = None
        if remote and self.now > me.expires:
            # Carried out after the claim: the promise holds as long as this worker lives to put it right.
            me.immune = True
        if mishap and not me.immune:
            self._go_wrong(me, mishap, words, effect, remote=remote, slow=slow)
        result = effect()
        if not self.silent:
            self.say(f"{words}{show(result)}")
        return result

    def sleep(self, until: float, condition: Callable[[], bool] | None = None) -> bool:
        """Wait for a moment, or for a condition before it; returns whether the condition holds."""
        me = self._me()
        self._wait(me, until, condition)
        return condition is None or condition()

    def say(self, words: str) -> None:
        """Add a line to the story."""
        label = self.current.label if self.current else "-"
        self.log.append(f"{self.now - self.began:6.0f} s  {label}: {words}")

    def _me(self) -> Task:
        me = greenlet.getcurrent()
        assert isinstance(me, Task)
        if me.gone:
            raise Died
        return me

    def _others(self, me: Task) -> None:
        assert me.parent
        me.parent.switch()
        if me.gone:
            raise Died

    def _wait(self, me: Task, until: float, condition: Callable[[], bool] | None) -> None:
        me.until, me.condition = until, condition
        self._others(me)
        me.until, me.condition = 0.0, None

    def _go_wrong(
        self, me: Task, mishap: Mishap, words: str, effect: Callable[[], Any], *, remote: bool, slow: float
    ) -> None:
        kind = mishap.kind
        fatal = kind.startswith("dies") or not remote
        if fatal and me.failures >= 4:
            return  # the host gives up after five tries: that is another promise
        # A request that was started in time ends while the claim holds; one that was not may take as long as it likes.
        left = me.expires - self.now
        in_time = self.longest_request <= left < float("inf")
        when = self.now + mishap.degree * (slow or (left if in_time else self.latest))

        def carry_out() -> None:
            effect()
            self.log.append(f"{self.now - self.began:6.0f} s  (late) {words}")

        if kind == "dies meanwhile" and remote:
            self.say(f"{words}: dies meanwhile; carried out {when - self.now:.0f} s later")
            self.at(when, carry_out)
            self.kill(me.process)
            raise Died
        if kind.startswith("dies"):
            done = kind != "dies before"
            if done:
                effect()
            self.say(f"{words}: dies just {'after' if done else 'before'} it")
            self.kill(me.process)
            raise Died
        if not remote:
            done = kind in {"late", "refused, yet done"}
            if done:
                effect()
            self.say(f"{words}: storage is away{', after having done it' if done else ''}")
            raise ServiceRequestError("away")
        if kind in {"refused", "refused, yet done"}:
            done = kind != "refused"
            if done:
                effect()
            self.say(f"{words}: 503{', yet carried out' if done else ''}")
            raise Later(Code.GRAPH_UNAVAILABLE, "throttled", 2.0)
        if kind == "lost":
            self.say(f"{words}: no answer, never carried out")
        else:
            self.say(f"{words}: no answer, carried out {when - self.now:.0f} s later")
            self.at(when, carry_out)
        raise OutcomeUnknown(Code.NOT_ANSWERED, "no answer")

    # -- what runs outside -------------------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], Any]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._agenda, (when, next(self._order), what))

    def do_what_is_due(self) -> None:
        """Everything on the agenda up to now."""
        while self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()

    def start(self, work: Callable[[], Any], label: str, process: str = "") -> Task:
        """Add a task."""
        task = Task(work, label, process or label)
        starter = greenlet.getcurrent()
        if isinstance(starter, Task) and starter.parent:
            task.parent = starter.parent  # turns are given by run()
        self.tasks.append(task)
        return task

    def kill(self, process: str) -> None:
        """End a process: none of its tasks does anything any more."""
        for task in self.tasks:
            if task.process == process:
                task.gone = True

    def run(self, offers: Callable[[], list[Callable[[], Task]]], ended: Callable[[Task], Any] = lambda _: None) -> None:
        """Until nothing is under way, on the agenda, or offered."""
        try:
            for _ in range(STEPS_MAX):
                self.do_what_is_due()
                task = self._next(offers())
                if task is None:
                    if not self._advance():
                        return
                    continue
                self.current = task
                task.switch()
                self.current = None
                for gone in [t for t in self.tasks if t.gone and not t.dead]:
                    gone.throw(Died)
                for done in [t for t in self.tasks if t.dead]:
                    self.tasks.remove(done)
                    ended(done)
                self.current = task
            raise Endless(f"the run does not end within {STEPS_MAX} steps")
        finally:
            self.current = None
            for task in self.tasks:
                task.gone = True
                if task:  # has begun, and is not dead
                    task.throw(Died)
            self.tasks.clear()

    def alone[T](self, work: Callable[[], T]) -> T:
        """Run one piece of work with nobody else about."""
        found: list[T] = []
        self.start(lambda: found.append(work()), "alone")
        self.run(list)
        return found[0]

    def _next(self, offers: list[Callable[[], Task]]) -> Task | None:
        """Whose turn it is: as long as there is no switch, whoever is at work goes on."""
        ready = [task for task in self.tasks if task.ready(self.now)]
        choice = self.switches.pop(self.steps, None)
        if choice is None and self.current in ready:
            return self.current
        others: list[Task | Callable[[], Task]] = [task for task in ready if task is not self.current]
        others += offers
        if not others:
            return self.current if self.current in ready else None
        chosen = others[(choice or 0) % len(others)]
        return chosen if isinstance(chosen, Task) else chosen()

    def _advance(self) -> bool:
        """Jump to the next moment at which anything happens; False if there is none."""
        moments = [task.until for task in self.tasks] + ([self._agenda[0][0]] if self._agenda else [])
        if not moments or min(moments) == float("inf"):
            return False
        self.now = max(self.now, min(moments))
        return True
