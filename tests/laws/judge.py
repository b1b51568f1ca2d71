"""What is right at the end of a story, and what it may cost: the laws."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from handlers.clients.dead_letters import DeadLetter
from handlers.sync.change import RowChange, canonical
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import EventLink, merge
from handlers.sync.link_state import from_state, to_state
from tests.laws.outlook import Event
from tests.laws.scheduler import Endless
from tests.laws.shrinking import simplest
from tests.laws.simulation import Simulation
from tests.laws.story import Story
from tests.laws.world import MAPPING, State, change_of, link_key, note_id, shown


def simulate(story: Story) -> list[str]:
    """Live through a story; returns every difference from what should be."""
    sim = _lived(story)
    return [sim] if isinstance(sim, str) else differences(sim)


def gaps(story: Story) -> list[str]:
    """The same, and every moment in which a row had no event: for stories in which nothing overtakes anything."""
    sim = _lived(story)
    return [sim] if isinstance(sim, str) else [*differences(sim), *sim.gaps]


def _lived(story: Story) -> Simulation | str:
    sim = Simulation(story)
    sim.scheduler.silent = True
    try:
        sim.run()
    except Endless as endless:
        return str(endless)
    return sim


def differences(sim: Simulation) -> list[str]:
    """One event per row that belongs into a calendar, equal to its newest state, its id written back; nothing left over.

    And a dead letter exactly for each row whose newest change cannot be carried out.
    """
    found = list(sim.bugs)
    for row in sorted(sim.sound):
        found += [f"row {row}: {wrong}" for wrong in _wrong(sim, row)]
    known = {link_key(row) for row in sim.sound}
    found += [f"left over: {event}" for event in sim.events.values() if event.row not in known]
    found += [f"dead letter: {letter.reason}" for letter in sim.dead.values() if letter.key not in known]
    for text, _ in sim.links.values():
        link = from_state(json.loads(text))
        if not link.present and (kept := link.columns.keys() - MAPPING.attributes):
            found.append(f"row {link.row_key[0]} is gone, but {sorted(kept)} are remembered")
        if link.claim and link.claim.backed and not sim.story.acumatica_away:  # else nobody promised to go on
            found.append(f"row {link.row_key[0]} is still claimed")
    return found


def _wrong(sim: Simulation, row: str) -> Iterator[str]:
    """What is wrong with one row."""
    mine = [(i, e) for i, e in sim.events.items() if e.row == link_key(row)]
    letter = sim.dead.get(link_key(row))
    wanted = _wanted(sim, sim.sound.get(row), row)
    closed = sim.closed(wanted.mailbox) if wanted else ""
    if row in sim.bad and letter and wanted and sim.story.reopens:
        closed = closed or next((c.kind for c in sim.story.closed if wanted.mailbox.startswith(f"{c.owner}@")), "")
    if wanted and closed:  # of two failures, there is one dead letter to run again: that of the newest change
        yield from _in_vain(sim, wanted, mine, letter, row)
        return
    excused = {i for i, e in mine if letter and sim.closed(e.mailbox)}  # the dead letter says that it cannot be removed
    mine = [(i, e) for i, e in mine if i not in excused]
    if [(e.mailbox, e.body) for _, e in mine] != ([(wanted.mailbox, wanted.body)] if wanted else []):
        yield f"there is [{'; '.join(str(e) for _, e in mine)}] instead of {sim.sound.get(row)}"
    elif mine and sim.records.get(note_id(row)) != mine[0][0] and not sim.story.acumatica_away:
        yield f"its record holds {sim.records.get(note_id(row))} instead of {mine[0][0]}"
    if row in sim.bad and not letter:
        yield "its newest change is bad, and no dead letter says so"
    if letter and row not in sim.bad and not excused and not sim.story.acumatica_away and not _may_be_left(sim, row):
        yield f"dead letter: {letter.reason}"


def _wanted(sim: Simulation, state: State | None, row: str) -> CalendarEvent | None:
    whole = shown(row, state) if state else {}
    return calendar_event(sim.mapping, whole, sim.services.scope) if state and sim.mapping.matches(whole) else None


def _in_vain(
    sim: Simulation, wanted: CalendarEvent, mine: list[tuple[str, Event]], letter: DeadLetter | None, row: str
) -> Iterator[str]:
    """What is wrong with a row whose mailbox refuses: a dead letter says so, unless all was done before."""
    done = [(e.mailbox, e.body) for _, e in mine] == [(wanted.mailbox, wanted.body)]
    vanished = any(c.kind == "missing" and c.at for c in sim.story.closed)  # nobody has told the app
    if not (letter or done or vanished):
        yield "its mailbox refuses, and no dead letter says so"
    if (more := [e for _, e in mine if not sim.closed(e.mailbox)]) and not letter:
        yield f"there is [{'; '.join(map(str, more))}], which should have left"
    if row in sim.bad and not letter:
        yield "its newest change is bad, and no dead letter says so"


def _may_be_left(sim: Simulation, row: str) -> bool:
    """Whether an event of the row may be in a mailbox that refuses: it was open once, or nobody can tell what was done."""
    closed = [c for c in sim.story.closed if sim.closed(f"{c.owner}@")]
    unsure = any(c.at for c in closed) or sim.story.mishaps
    owners = {change.state[0] for change in sim.story.changes if change.row == row and change.state}
    return bool(unsure and owners & {c.owner for c in closed})


def wasted(story: Story) -> list[str]:
    """What an orderly story (see story.ORDERLY) costs more, or less, than it has to; and every moment without an event."""
    sim = Simulation(story)
    sim.scheduler.silent = True
    sim.run()
    wanted: Counter[str] = Counter()
    rows: dict[str, State] = {}
    seen: set[str] = set()
    for change in sorted(story.changes, key=lambda c: c.at):
        old, new = rows.get(change.row), change.state
        if old is None and new is None:
            continue
        rows = {row: state for row, state in rows.items() if row != change.row} | ({change.row: new} if new else {})
        halved = bool(change.halves and old and new)
        arrives = new is not None and (old is None or old[0] != new[0])
        leaves = old is not None and (new is None or old[0] != new[0])
        effects = {"POST": arrives, "PUT": arrives, "DELETE": leaves, "PATCH": not (arrives or leaves) and old != new}
        wanted += Counter({name: int(count) for name, count in effects.items()})
        inserted = new is not None and (old is None or halved)  # nothing in the notification is older: taken for new
        unread = inserted and change.row not in seen  # its link is inserted; where there is one, it is read after that
        seen.add(change.row)
        wanted += Counter(begin=1 + halved, send=1 + halved, queued=1 + halved, load=1 + halved - unread)
        # Claim and result, or what was learnt; and an insert in vain.
        wanted += Counter(save=(2 if any(effects.values()) else 1) + (inserted and not unread))
        if arrives and story.echo is not None:
            wanted += Counter(begin=1, send=1, queued=1, load=1, save=1)
    if story.changes and any(len(change.deliveries) > 1 for change in story.changes):
        wanted["begin"] = sim.calls["begin"]  # that is all that a repeated notification costs
    calls = {name: (sim.calls[name], wanted[name]) for name in {*sim.calls, *wanted}}
    found = [f"{name}: {made} instead of {due}" for name, (made, due) in sorted(calls.items()) if made != due]
    return [*differences(sim), *sim.gaps, *found]


def order_matters(story: Story) -> list[str]:
    """Whether merging the changes of a story, many with equal TimeStamps, depends on their order or number."""
    changes = [change_of("A", change.at // 40, change.state) for change in story.changes]
    if len(changes) > 1 and changes[0].row:
        changes[0] = replace(changes[0], row=changes[0].row | {"Room": None})

    def merged(some: list[RowChange]) -> EventLink:
        link = EventLink("t", "m", ("A",))
        for change in some:
            link = merge(link, change, MAPPING)
        return link

    found = {canonical(to_state(merged(some))) for some in (changes, changes[::-1], changes[1:] + changes)}
    return sorted(found) if len(found) > 1 else []


def explained(story: Story, law: Callable[[Story], list[str]] = simulate) -> str:
    """The simplest story that breaks the law too, step by step, and how to run it again."""
    story = simplest(story, lambda simpler: bool(law(simpler)))
    sim = Simulation(story)
    with contextlib.suppress(Endless):
        sim.run()
    found = law(story)
    parts = [f"  {name}={value!r}" for name, value in vars(story).items()]
    return "\n".join(["", *found, *sim.scheduler.log[:200], "Again: simulate(Story(", *(f"{part}," for part in parts), "))"])
