"""The real receive and apply code on simulated time: whatever happens, calendars and records come to equal the newest rows.

Whatever happens: duplicates, any order, death at any step, lost and late answers, refusals, pauses, edits of the mapping,
mailboxes that refuse for good, changes with a mistake in them, and people who run things again.

Hypothesis looks for short stories, seeds for many; `python -m tests.laws --seconds 60` looks for as long as you like.
"""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

from tests.laws.judge import explained, order_matters, simulate, wasted
from tests.laws.scheduler import Mishap
from tests.laws.story import (
    ANY,
    DAY,
    NARROW,
    ORDERLY,
    PAUSED,
    PLOTS,
    Change,
    Deed,
    Edit,
    Fault,
    Look,
    Pause,
    Plot,
    Story,
    Sweep,
    stories,
    tell,
)
from tests.laws.test_ablations import ABLATIONS

SEEDS = 60


@pytest.mark.parametrize("name", PLOTS)
def test_every_story_ends_well(name: str, record_property: Callable[[str, object], None]) -> None:
    """The plots are in story.py."""
    record_property("stories", SEEDS)
    for seed in range(SEEDS):
        story = tell(seed, PLOTS[name])
        assert simulate(story) == [], f"seed {seed} of {name}{explained(story)}"


@pytest.mark.parametrize("plot", {a.plot: "" for a in ABLATIONS if a.law is simulate})
def test_what_the_ablations_find_is_due_to_them(plot: Plot) -> None:
    """The same stories end well with all rules in force."""
    firsts = {ablation.first for ablation in ABLATIONS if (ablation.plot, ablation.law) == (plot, simulate)}
    for seed in {seed + more for seed in firsts for more in range(5)}:
        story = tell(seed, plot)
        assert simulate(story) == [], f"seed {seed}{explained(story)}"


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(stories(PAUSED))
def test_hypothesis_finds_no_story_that_ends_badly(story: Story) -> None:
    assert simulate(story) == [], explained(story)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(stories(NARROW))
def test_hypothesis_finds_no_story_of_one_row_that_ends_badly(story: Story) -> None:
    assert simulate(story) == [], explained(story)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(stories(ANY))
def test_the_order_of_merging_does_not_matter(story: Story) -> None:
    assert order_matters(story) == []


@pytest.mark.parametrize("block", range(2))
def test_an_orderly_story_costs_what_it_has_to(block: int) -> None:
    """No call of Graph or Acumatica too many, three operations on the link per change, no moment without an event."""
    for seed in range(block * 40, block * 40 + 40):
        story = tell(seed, ORDERLY)
        assert wasted(story) == [], f"seed {seed}{explained(story, wasted)}"


def test_calendars_do_not_wait_for_acumatica() -> None:
    """A write-back that is refused for good holds no event back."""
    for seed in range(60):
        story = tell(seed, Plot(mishaps=0, acumatica_away=True))
        assert simulate(story) == [], f"seed {seed}{explained(story)}"


@pytest.mark.parametrize("kind", ["moves events to another calendar", "deletes events", "removes Ann's mailbox"])
@pytest.mark.parametrize("then", ["update", "move", "remove"])
def test_the_next_change_puts_right_what_people_do(kind: str, then: str) -> None:
    deed = Deed(kind, then)  # type: ignore[arg-type]
    for seed in range(20):
        story = tell(seed, Plot(deeds=(deed,)))
        assert simulate(story) == [], f"seed {seed}{explained(story)}"


def test_a_story_is_told_in_plain_words() -> None:
    """What a failure prints: the simplest story that breaks the law, line by line, and how to run it again."""

    def law(story: Story) -> list[str]:
        return ["an event was made twice"] if any(m.kind == "late" for m in story.mishaps) else []

    noise = tuple(Mishap("", n, "refused") for n in range(1, 5))
    changes = tuple(Change(n, "A", ("ann", f"s{n}", "r0"), (1, 2)) for n in range(3))
    story = Story(changes, (*noise, Mishap("POST", 1, "late", 0.5)), switches=tuple((n, 1) for n in range(9)))
    lines = explained(story, law).splitlines()
    assert lines[1] == "an event was made twice"
    assert any("POST" in line and "no answer, carried out" in line for line in lines)
    assert any("(late) POST" in line for line in lines)
    assert any("mishaps=(Mishap(call='POST', nth=1, kind='late', degree=0.5),)" in line for line in lines)
    assert sum("Acumatica: change" in line for line in lines) == 1


def test_stories_can_be_repeated() -> None:
    for seed in range(20):
        story = tell(seed, PAUSED)
        assert story == tell(seed, PAUSED)
        assert explained(story, lambda _: ["x"]) == explained(story, lambda _: ["x"])


# -- what was found --------------------------------------------------------------------------------------------------


def test_a_repair_during_the_successors_claim_is_not_forgotten() -> None:
    """The late event of a worker that had lost its claim came after its successor had looked for it."""
    changes = (Change(44, "A", ("ann", "s1", "r0"), (14,)), Change(91, "A", None, (23,)))
    stops = (("save", 3, 0.75), ("POST", 1, 0.73), ("save", 6, 0.4))
    story = Story(changes, tuple(Mishap(call, nth, "pause", degree) for call, nth, degree in stops), workers=2, echo=None)
    assert simulate(story) == [], explained(story)


def test_the_removed_half_of_an_update_leaves_the_dead_letter_of_the_other() -> None:
    """The row was neither in its calendar nor a dead letter: its Deleted counted as a state that is as new."""
    changes = (Change(42, "A", ("ann", "s1", "r0"), (19,)), Change(55, "A", ("bob", "s1", "r0"), (21,), (74,), bad="short"))
    story = Story(changes, workers=1)
    assert simulate(story) == [], explained(story)


def test_a_message_is_not_left_to_its_own_dead_worker() -> None:
    """An edited mapping read the same row otherwise, which counted as news for whoever had the claim: nobody had."""
    changes = (Change(62, "C", ("bob", "s0", "r0"), (21,)),)
    mishaps = (Mishap("save", 1, "refused", 0.45), Mishap("save", 2, "late", 0.36))
    story = Story(changes, mishaps, workers=1, echo=None, edits=(Edit(99, "noted", overlap=60),), touch="resubmitted")
    assert simulate(story) == [], explained(story)


def test_a_dead_letter_that_is_overtaken_is_taken_back() -> None:
    """The worker of a newer change had cleared what was not written yet, and had not saved that."""
    changes = (
        Change(13, "A", ("bob", "s1", "r1"), (44,), (15,), bad="short"),
        Change(0, "A", ("bob", "s0", "r1"), (0, 57)),
        Change(17, "A", None, (33,)),
    )
    story = Story(changes, switches=((24, 3), (28, 4), (30, 0)), workers=2, looks=(Look(44, "A"),), touch="resubmitted")
    assert simulate(story) == [], explained(story)


def test_a_removed_row_does_not_come_back_after_a_pause() -> None:
    """Its removal was forgotten, while an older change waited."""
    changes = (Change(10, "A", ("ann", "s0", "r0"), (75,)), Change(20, "A", None, (5,)))
    story = Story(changes, workers=1, echo=None, pause=Pause(60, 40, (40 * DAY,)))
    assert simulate(story) == [], explained(story)


def test_events_that_the_brake_keeps_leave_once_its_limit_is_raised() -> None:
    """Three rows at once were closed by an edit, one more than may leave in a sweep: its event stayed, and left some day."""
    rows = {"A": ("ann", 52, 2), "B": ("bob", 82, 134), "E": ("bob", 179, 106)}
    changes = tuple(Change(at, row, (owner, "s2", "r1"), (delay,)) for row, (owner, at, delay) in rows.items())
    story = Story(changes, workers=1, echo=None, edits=(Edit(424, "open"),), healed=True)
    assert simulate(story) == [], explained(story)


def test_whoever_is_told_of_an_error_releases_again() -> None:
    """What the brake holds was decided on while storage was away for a moment: the story ended there."""
    changes = tuple(Change(10, row, ("ann", "s0", "r0"), (5,)) for row in "ABC")
    faults, sweeps = (Fault(300, 200, "emptied"),), (Sweep(320),)
    for call, kind in (("order", "refused"), ("hold", "refused, yet done"), ("order", "dies before")):
        mishaps = tuple(Mishap(call, nth, kind) for nth in range(2, 5))  # type: ignore[arg-type]
        story = Story(changes, mishaps, workers=1, sweeps=sweeps, faults=faults, healed=True)
        assert simulate(story) == [], explained(story)


def test_an_emptied_inquiry_takes_no_row_that_comes_after_the_brake_was_asked() -> None:
    """The sweep knew of no row, so the brake had nothing against it; it was killed, and a late notification came."""
    change = Change(189, "D", ("bob", "s2", ""), (147,))
    faults, mishaps = (Fault(320, 147, "emptied"),), (Mishap("", 13, "dies after"),)
    story = Story((change,), mishaps, workers=1, echo=None, sweeps=(Sweep(322),), faults=faults, healed=True)
    assert simulate(story) == [], explained(story)


def test_a_sweep_sees_to_an_event_that_was_left_leaving() -> None:
    """Its worker died, and an instance with the mapping of before gave the claim back without the new one's column."""
    changes = (
        Change(258, "B", ("bob", "s2", "r0"), (29,), lasts=54),
        Change(165, "D", ("bob", "s0", "r1"), ()),
        Change(140, "A", ("bob", "s0", "r1"), (149, 42)),
        Change(149, "B", ("ann", "s2", ""), (31,), lasts=85),
        Change(225, "C", ("bob", "s1", "r1"), (73,)),
        Change(101, "A", ("ann", "s0", "r1"), (), lasts=79),
        Change(98, "D", ("ann", "s0", ""), (78,)),
    )
    story = Story(
        changes,
        (Mishap("DELETE", 2, "dies before", 0.46),),
        switches=((71, 1),),
        workers=2,
        echo=40,
        tells=False,
        edits=(Edit(324, "open", overlap=60),),
        sweeps=(Sweep(343), Sweep(46)),
        healed=True,
    )
    assert simulate(story) == [], explained(story)
