"""What a run is made of, as data: what happens in Acumatica, when it is delivered, and what goes wrong on the way.

Stories come from a seed (fast) or from Hypothesis (shrinks by itself); `simplest` shrinks any of them.
"""

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from hypothesis import strategies as st

from tests.laws.scheduler import Kind, Mishap
from tests.laws.world import VERSIONS, State

# The calls of receive and apply, as mishaps name them.
REMOTE = ("POST", "PATCH", "DELETE", "find", "PUT")
STORAGE = ("begin", "send", "queued", "load", "save")
SWEEPING = ("date", "page", "list", "look-up", "keep", "order", "hold", "sweep")

type Bad = Literal["", "repeated", "short"]
type Closing = Literal["denies", "refuses", "missing"]
DAY = 86_400


@dataclass(frozen=True)
class Change:
    """A transaction that inserts, updates or moves a row (`state`), or removes it (None).

    `deliveries`: after how many seconds its notification arrives, each time that it does; `halves`: the same for its other
    half (Deleted), where an update comes in two requests; `bad`: the row is in it twice, or lacks a column; `lasts`: for how
    many seconds it is under way: its TimeStamp is of its begin, and until its end nobody sees it.
    """

    at: int
    row: str
    state: State | None
    deliveries: tuple[int, ...] = (0,)
    halves: tuple[int, ...] = ()
    bad: Bad = ""
    lasts: int = 0


@dataclass(frozen=True)
class Deed:
    """What people do once all is quiet, and how each row then changes, which must put everything right."""

    kind: Literal["moves events to another calendar", "deletes events", "removes Ann's mailbox"]
    then: Literal["update", "move", "remove"] = "update"


@dataclass(frozen=True)
class Edit:
    """Another version of the mapping is in force, `overlap` seconds after which the last instance works by it."""

    at: int
    version: str
    overlap: int = 0


@dataclass(frozen=True)
class Closed:
    """A mailbox that refuses for good: 403, 400 (but for look-ups), or that is not there (any more)."""

    owner: str
    kind: Closing
    at: int = 0


@dataclass(frozen=True)
class Pause:
    """Nothing is taken from the queue for some days; what comes in is. What is old is forgotten at the `purges`."""

    at: int
    days: int
    purges: tuple[int, ...] = ()  # seconds after `at`


@dataclass(frozen=True)
class Look:
    """Somebody puts a row right without a message of the queue behind it, like whoever removes all events does."""

    at: int
    row: str


@dataclass(frozen=True)
class Sweep:
    """A sweep begins."""

    at: int


@dataclass(frozen=True)
class Fault:
    """What the inquiry does for a while: it shows no rows, or answers with success and nothing at all."""

    at: int
    lasts: int
    kind: Literal["emptied", "broken"]


@dataclass(frozen=True)
class Story:
    """One run. `switches`: at which steps (counted over all workers) another worker gets its turn, and which one."""

    changes: tuple[Change, ...]
    mishaps: tuple[Mishap, ...] = ()
    switches: tuple[tuple[int, int], ...] = ()
    workers: int = 3
    echo: int | None = 5  # seconds until a write-back comes back as a notification
    tells: bool = True  # Graph names the event in ErrorDuplicateTransactionId
    deed: Deed | None = None
    acumatica_away: bool = False  # its API; notifications still come
    forgets: bool = False  # Graph forgets a transactionId with the event that it made
    edits: tuple[Edit, ...] = ()
    touch: Literal["saved", "resubmitted"] = "saved"  # how each row is seen again after the last edit
    closed: tuple[Closed, ...] = ()
    reopens: bool = False  # in the end the mailboxes serve again, and people run all dead letters again
    pause: Pause | None = None
    looks: tuple[Look, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    faults: tuple[Fault, ...] = ()
    release: bool = True  # what the brake holds; else somebody discards it
    healed: bool = False  # a last sweep, once all is quiet


@dataclass(frozen=True)
class Plot:
    """Which stories to tell: few rows, owners and subjects bring the changes closer together."""

    rows: str = "ABC"
    owners: tuple[str, ...] = ("ann", "bob")
    subjects: tuple[str, ...] = ("s0", "s1", "s2")
    rooms: tuple[str, ...] = ("r0", "r1")
    changes: int = 6
    removal: float = 0.25
    split: float = 0.3
    again: float = 0.3  # that a notification is delivered once more
    spread: int = 80  # seconds over which changes happen
    apart: int = 0  # seconds between two changes, at least
    delay: int = 80  # seconds until a notification arrives, at most
    mishaps: int = 5
    calls: tuple[str, ...] = ("", "", *REMOTE, *STORAGE)
    kinds: tuple[Kind, ...] = ("dies before", "dies after", "lost", "late", "late", "refused", "refused, yet done")
    nth: int = 5  # of the calls of a name, up to which one mishaps may hit
    degrees: tuple[float, float] = (0.0, 1.0)
    twice: float = 0.4  # that the next call of that name is hit as well: one repetition is made at once
    switching: tuple[float, ...] = (0.0, 0.1, 0.4)  # chances of a switch at a step
    workers: int = 3
    echo: tuple[int | None, ...] = (5, 40, None)
    deeds: tuple[Deed | None, ...] = (None,)
    acumatica_away: bool = False
    bad: float = 0.0
    forgets: float = 0.5
    edits: int = 0  # at most
    closings: tuple[Closing, ...] = ()
    closed_from: tuple[int, ...] = (0,)  # seconds
    days: tuple[int, ...] = ()  # of a pause
    looks: int = 0  # at most
    lost: float = 0.0  # that a notification never arrives
    lasts: int = 0  # seconds that a transaction takes at most
    sweeps: int = 0  # at most
    faults: float = 0.0  # that the inquiry is broken or emptied for a while
    healed: bool = False


ANY = Plot(looks=1)
CALM = Plot(mishaps=0)
PAUSED = Plot(kinds=(*ANY.kinds, "pause", "pause", "pause"))
# Nothing overtakes anything and nothing goes wrong: what such a story costs can be told beforehand.
ORDERLY = Plot(mishaps=0, workers=1, switching=(0.0,), spread=0, apart=200, delay=5)
# One row to and fro between two states, with trouble where it hurts: what finds most.
NARROW = Plot(rows="A", owners=("ann",), subjects=("s0", "s1"), rooms=("r0",), calls=(*REMOTE, *REMOTE, "save", ""))
# The same; who asked for something dies, and it is carried out all the same, sooner or later.
ORPHANED = replace(
    NARROW, owners=("ann", "bob"), calls=(*REMOTE, "PUT", "PUT"), kinds=("dies meanwhile", "dies before", "late")
)
# What can only be seen when people edit, close and stop things.
EDITED = replace(ANY, edits=3, mishaps=3)
CLOSED = replace(ANY, rows="AB", owners=("ann", "bob", "eve"), closings=("denies", "refuses", "missing"), mishaps=2)
CLOSED = replace(CLOSED, closed_from=(0, 0, 40))
BAD = replace(ANY, rows="AB", bad=0.4, mishaps=3)
STOPPED = replace(ANY, rows="AB", removal=0.4, mishaps=3, days=(0, 3, 40, 40), spread=120)
ALL = replace(
    CLOSED, bad=0.2, edits=2, days=(0, 40), owners=("ann", "bob", "bob", "eve"), kinds=PAUSED.kinds, switching=(0.1, 0.4)
)
# Sweeps between lost notifications: a last one puts right whatever went wrong, to the sweeps too. And where none is lost,
# they do no harm.
SWEPT = replace(
    ANY, rows="ABCDE", rooms=("r0", "r1", ""), changes=9, split=0.1, spread=300, delay=150, mishaps=3, looks=0, lost=0.3
)
SWEPT = replace(SWEPT, calls=(*ANY.calls, *SWEEPING), lasts=90, sweeps=3, edits=2, faults=0.3, healed=True)
KILLED = replace(SWEPT, calls=SWEEPING, kinds=("dies before", "dies after", "refused", "refused, yet done", "late"), nth=40)
KILLED = replace(KILLED, mishaps=6, spread=60, delay=10, edits=0, removal=0.4)
WATCHED = replace(SWEPT, rooms=("r0", "r1"), lost=0.0, edits=0, faults=0.0, healed=False)
PLOTS = {
    "calm": CALM,
    "any": ANY,
    "paused": PAUSED,
    "narrow": NARROW,
    "orphaned": ORPHANED,
    "edited": EDITED,
    "closed": CLOSED,
    "bad": BAD,
    "stopped": STOPPED,
    "all": ALL,
    "swept": SWEPT,
    "killed": KILLED,
    "watched": WATCHED,
}


def tell(seed: int, plot: Plot = ANY) -> Story:
    """The story of a seed."""
    rng = random.Random(seed)
    changes = []
    for number in range(rng.randint(1, plot.changes)):
        gone = rng.random() < plot.removal
        state = None if gone else (rng.choice(plot.owners), rng.choice(plot.subjects), rng.choice(plot.rooms))
        times = 2 if rng.random() < plot.again else 1
        split = not gone and rng.random() < plot.split
        changes.append(
            Change(
                at=number * plot.apart + rng.randint(0, plot.spread),
                row=rng.choice(plot.rows),
                state=state,
                deliveries=tuple(rng.randint(0, plot.delay) for _ in range(times)),
                halves=(rng.randint(0, plot.delay),) if split else (),
                bad=_bad(rng) if not gone and rng.random() < plot.bad else "",
            )
        )
    mishaps = []
    for _ in range(rng.randint(0, plot.mishaps)):
        call = rng.choice(plot.calls)
        nth, kind = rng.randint(1, plot.nth if call else 60), rng.choice(plot.kinds)
        mishaps.append(Mishap(call, nth, kind, rng.uniform(*plot.degrees)))
        if call and rng.random() < plot.twice:
            mishaps.append(Mishap(call, nth + 1, kind, rng.uniform(*plot.degrees)))
    if plot.lasts:
        changes = [replace(c, lasts=rng.choice((0, rng.randint(0, plot.lasts)))) for c in changes]
    if plot.lost:
        changes = [replace(c, deliveries=_left(rng, plot, c.deliveries), halves=_left(rng, plot, c.halves)) for c in changes]
    pause = _pause(rng, plot) if plot.days else None
    if pause:  # some changes come when it is over
        over = pause.days * DAY + 7200
        changes = [replace(c, at=c.at + over) if rng.random() < 0.4 else c for c in changes]
    chance = rng.choice(plot.switching)
    switches = [(step, rng.randint(0, 5)) for step in range(200) if rng.random() < chance]
    closed = tuple(
        Closed("eve", kind, rng.choice(plot.closed_from)) for kind in rng.sample(plot.closings, bool(plot.closings))
    )
    return Story(
        tuple(changes),
        tuple(mishaps),
        tuple(switches),
        workers=rng.randint(1, plot.workers),
        echo=rng.choice(plot.echo),
        tells=rng.random() < 0.5,
        deed=rng.choice(plot.deeds),
        acumatica_away=plot.acumatica_away,
        forgets=rng.random() < plot.forgets,
        edits=tuple(_edit(rng, plot) for _ in range(rng.randint(1, plot.edits) if plot.edits else 0)),
        touch=_TOUCHES[rng.randint(0, 1)],
        closed=closed,
        reopens=bool(closed) and rng.random() < 0.5 and not _is_lost(closed[0]),
        pause=pause,
        looks=tuple(Look(rng.randint(0, _latest(plot)), rng.choice(plot.rows)) for _ in range(rng.randint(0, plot.looks))),
        **(_swept(rng, plot) if plot.sweeps else {}),
    )


_TOUCHES: tuple[Literal["saved", "resubmitted"], ...] = ("saved", "resubmitted")


def _bad(rng: random.Random) -> Bad:
    return "repeated" if rng.random() < 0.5 else "short"


def _is_lost(closed: Closed) -> bool:
    """Whether events went with a mailbox: where it comes back, nobody tells the app that it is empty."""
    return closed.kind == "missing" and closed.at > 0


def _latest(plot: Plot) -> int:
    return plot.spread + plot.delay + plot.apart * plot.changes


def _edit(rng: random.Random, plot: Plot) -> Edit:
    return Edit(rng.randint(0, _latest(plot)), rng.choice(list(VERSIONS)), rng.choice((0, 0, 60)))


def _pause(rng: random.Random, plot: Plot) -> Pause:
    days = rng.choice(plot.days)
    purges = (rng.choice((0, 3600)),) if rng.random() < 0.7 else ()
    return Pause(rng.randint(0, plot.spread + plot.delay), days, tuple(days * DAY + later for later in purges))


def _left(rng: random.Random, plot: Plot, deliveries: tuple[int, ...]) -> tuple[int, ...]:
    """What is left of a notification's deliveries: Acumatica gives it up as a whole."""
    return () if rng.random() < plot.lost else deliveries


def _swept(rng: random.Random, plot: Plot) -> dict[str, Any]:
    latest = _latest(plot)
    fault = Fault(rng.randint(0, latest), rng.randint(1, 200), rng.choice(("emptied", "broken")))
    return {
        "sweeps": tuple(Sweep(rng.randint(0, latest)) for _ in range(rng.randint(1, plot.sweeps))),
        "faults": (fault,) if rng.random() < plot.faults else (),
        "release": rng.random() < 0.5,
        "healed": plot.healed,
    }


def stories(plot: Plot = ANY) -> st.SearchStrategy[Story]:
    """The same for Hypothesis, which shrinks towards few changes, no mishaps, and one worker after the other."""
    states = st.tuples(*map(st.sampled_from, (plot.owners, plot.subjects, plot.rooms)))
    delays = st.integers(0, plot.delay)
    changes = st.builds(
        Change,
        at=st.integers(0, plot.spread),
        row=st.sampled_from(plot.rows),
        state=states | st.none(),
        deliveries=st.lists(delays, min_size=1, max_size=3).map(tuple),
        halves=st.lists(delays, max_size=2).map(tuple),
        bad=st.sampled_from(["", "repeated", "short"]) if plot.bad else st.just(""),
    )
    degrees = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    mishap = st.one_of(
        st.builds(Mishap, st.sampled_from(plot.calls), st.integers(1, 6), st.sampled_from(plot.kinds), degrees),
        st.builds(Mishap, st.just(""), st.integers(1, 60), st.sampled_from(plot.kinds), degrees),
    )
    switch = st.tuples(st.integers(0, 150), st.integers(0, 5))
    return st.builds(
        Story,
        changes=st.lists(changes, min_size=1, max_size=plot.changes).map(tuple),
        mishaps=st.lists(mishap, max_size=plot.mishaps).map(tuple),
        switches=st.lists(switch, max_size=40).map(tuple),
        workers=st.integers(1, plot.workers),
        echo=st.sampled_from(plot.echo),
        tells=st.booleans(),
        deed=st.sampled_from(plot.deeds),
        forgets=st.booleans(),
    )
