"""A story that fails is made simple, so that it can be read."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.laws.story import Story

# What a story may have, and what it is like without.
_PLAIN: dict[str, Any] = {"deed": None, "echo": None, "closed": (), "reopens": False, "pause": None, "looks": (), "forgets": False}


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
        others = story.changes[:number], story.changes[number + 1 :]
        if len(story.changes) > 1:
            yield replace(story, changes=(*others[0], *others[1]))
        if change.halves:
            yield replace(story, changes=(*others[0], replace(change, halves=()), *others[1]))
        if len(change.deliveries) > 1:
            yield replace(story, changes=(*others[0], replace(change, deliveries=change.deliveries[:1]), *others[1]))
    for number in range(len(story.mishaps)):
        yield replace(story, mishaps=story.mishaps[:number] + story.mishaps[number + 1 :])
    for number in range(len(story.switches)):
        yield replace(story, switches=story.switches[:number] + story.switches[number + 1 :])
    for number, edit in enumerate(story.edits):
        rest = story.edits[:number], story.edits[number + 1 :]
        yield replace(story, edits=(*rest[0], *rest[1]))
        if edit.overlap:
            yield replace(story, edits=(*rest[0], replace(edit, overlap=0), *rest[1]))
    for number, change in enumerate(story.changes):
        if change.bad:
            whole = replace(change, bad="")
            yield replace(story, changes=(*story.changes[:number], whole, *story.changes[number + 1 :]))
    yield from (replace(story, **{name: nothing}) for name, nothing in _PLAIN.items() if vars(story)[name] != nothing)
    if story.pause and story.pause.purges:
        yield replace(story, pause=replace(story.pause, purges=()))
    if story.workers > 1:
        yield replace(story, workers=story.workers - 1)
