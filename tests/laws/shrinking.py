"""A story that fails is made simple, so that it can be read."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.laws.story import Story

# What a story may have, and what it is like without.
_PLAIN: dict[str, Any] = {
    "deed": None,
    "echo": None,
    "closed": (),
    "reopens": False,
    "pause": None,
    "looks": (),
    "forgets": False,
    "faults": (),
}


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
        for some in ((), story.switches[:middle], story.switches[middle:]):
            yield replace(story, switches=some)
    for name in ("changes", "mishaps", "switches", "edits", "sweeps"):
        whole = vars(story)[name]
        if len(whole) > (name == "changes"):
            yield from (replace(story, **{name: whole[:n] + whole[n + 1 :]}) for n in range(len(whole)))
    for number, change in enumerate(story.changes):
        plain = replace(change, halves=()), replace(change, deliveries=change.deliveries[:1]), replace(change, bad="")
        for simpler in (*plain, replace(change, lasts=0)):
            if simpler != change:
                yield replace(story, changes=(*story.changes[:number], simpler, *story.changes[number + 1 :]))
    yield from (replace(story, **{name: nothing}) for name, nothing in _PLAIN.items() if vars(story)[name] != nothing)
    if any(edit.overlap for edit in story.edits):
        yield replace(story, edits=tuple(replace(edit, overlap=0) for edit in story.edits))
    if story.workers > 1:
        yield replace(story, workers=story.workers - 1)
