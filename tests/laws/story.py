"""What a run is made of, as data: what happens in Acumatica, when it is delivered, and what goes wrong on the way.

Stories come from a seed (fast) or from Hypothesis (shrinks by itself); `simplest` shrinks any of them.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import strategies as st

from tests.laws.scheduler import Kind, Mishap

# The calls of receive and apply, as mishaps name them.
REMOTE = ("POST", "PATCH", "DELETE", "find", "PUT")
STORAGE = ("begin", "send", "queued", "load", "save")

type State = tuple[str, str, str]
"""Owner, subject and room of a row."""


@dataclass(frozen=True)
class Change:
    """A transaction that inserts, updates or moves a row (`state`), or removes it (None).

    `deliveries`: after how many seconds its notification arrives, each time that it does; `halves`: the same for its other
    half (Deleted), where an update comes in two requests.
    """

    at: int
    row: str
    state: State | None
    deliveries: tuple[int, ...] = (0,)
    halves: tuple[int, ...] = ()


@dataclass(frozen=True)
class Deed:
    """What people do once all is quiet, and how each row then changes, which must put everything right."""

    kind: Literal["moves events to another calendar", "deletes events", "removes Ann's mailbox"]
    then: Literal["update", "move", "remove"] = "update"


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
    switching: tuple[float, ...] = (0.0, 0.1, 0.4)  # chances of a switch at a step
    workers: int = 3
    echo: tuple[int | None, ...] = (5, 40, None)
    deeds: tuple[Deed | None, ...] = (None,)
    acumatica_away: bool = False


ANY = Plot()
CALM = Plot(mishaps=0)
PAUSED = Plot(kinds=(*ANY.kinds, "pause", "pause", "pause"))
# Nothing overtakes anything and nothing goes wrong: what such a story costs can be told beforehand.
ORDERLY = Plot(mishaps=0, workers=1, switching=(0.0,), spread=0, apart=200, delay=5)
# One row to and fro between two states, with trouble where it hurts: what finds most.
NARROW = Plot(rows="A", owners=("ann",), subjects=("s0", "s1"), rooms=("r0",), calls=(*REMOTE, *REMOTE, "save", ""))
PLOTS = {"calm": CALM, "any": ANY, "paused": PAUSED, "narrow": NARROW}


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
            )
        )
    mishaps = []
    for _ in range(rng.randint(0, plot.mishaps)):
        call = rng.choice(plot.calls)
        nth = rng.randint(1, plot.nth if call else 60)
        mishaps.append(Mishap(call, nth, rng.choice(plot.kinds), rng.uniform(*plot.degrees)))
    chance = rng.choice(plot.switching)
    switches = [(step, rng.randint(0, 5)) for step in range(200) if rng.random() < chance]
    return Story(
        tuple(changes),
        tuple(mishaps),
        tuple(switches),
        workers=rng.randint(1, plot.workers),
        echo=rng.choice(plot.echo),
        tells=rng.random() < 0.5,
        deed=rng.choice(plot.deeds),
        acumatica_away=plot.acumatica_away,
    )


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
    )


def simplest(story: Story, fails: Callable[[Story], bool], tries: int = 400) -> Story:
    """A story that fails too, from which nothing more can be taken away (or as far as the tries reach)."""
    again = True
    while again:
        again = False
        for simpler in _simpler(story):
            tries -= 1
            if tries < 0:
                return story
            if fails(simpler):
                story, again = simpler, True
                break
    return story


def _simpler(story: Story) -> Iterator[Story]:
    if len(story.switches) > 4:  # most of many do not matter: halves first
        middle = len(story.switches) // 2
        yield replace(story, switches=())
        yield replace(story, switches=story.switches[:middle])
        yield replace(story, switches=story.switches[middle:])
    for number, change in enumerate(story.changes):
        rest = story.changes[:number], story.changes[number + 1 :]
        if len(story.changes) > 1:
            yield replace(story, changes=(*rest[0], *rest[1]))
        if change.halves:
            yield replace(story, changes=(*rest[0], replace(change, halves=()), *rest[1]))
        if len(change.deliveries) > 1:
            yield replace(story, changes=(*rest[0], replace(change, deliveries=change.deliveries[:1]), *rest[1]))
    for number in range(len(story.mishaps)):
        yield replace(story, mishaps=story.mishaps[:number] + story.mishaps[number + 1 :])
    for number in range(len(story.switches)):
        yield replace(story, switches=story.switches[:number] + story.switches[number + 1 :])
    if story.deed:
        yield replace(story, deed=None)
    if story.echo is not None:
        yield replace(story, echo=None)
    if story.workers > 1:
        yield replace(story, workers=story.workers - 1)
