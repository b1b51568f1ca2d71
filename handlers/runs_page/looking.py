"""Views that look; each page is JSON too."""

from collections import Counter, defaultdict
from dataclasses import asdict

from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from handlers.operations import activity, checks, dead_letters
from handlers.operations import sweeps as sweeping
from handlers.runs_page.render import data, html, see_other
from handlers.runs_page.visit import Visit

_RUNS = 50  # on a page
_LETTERS = 200  # of one reason on a page
_FILTERS = {"": "All", "failed": "With failures", "rejected": "Rejected", "people": "By people"}
_SO_FAR = {"changed": "changed", "unchanged": "unchanged", "failed": "failed", "deferred": "times back to the queue"}


def overview(visit: Visit) -> Response:
    """The last day in numbers, and the newest runs."""
    request, storage = visit.request, visit.factory.storage()
    which, before = request.args.get("which", ""), request.args.get("before", "")
    which = which if which in _FILTERS else ""
    runs = activity.newest(storage, before=before, which=which, limit=_RUNS)
    if request.wants_json:
        return data({"runs": [run.as_json() for run in runs]})
    hours = activity.hours(storage)
    return html(
        "overview",
        visit=visit,
        runs=runs,
        more=len(runs) >= _RUNS,
        total=sum(hours.values(), Counter()),
        hours=hours,
        most=max(1, *(numbers["applied"] + numbers["failed"] for numbers in hours.values())),
        filters=_FILTERS,
        which=which,
        paged=bool(before),
        letters=storage.dead_letters.count(dead_letters.COUNTED),
        held=len(sweeping.holds(storage)),
        counted=dead_letters.COUNTED,
        waiting=storage.queue.waiting()[0],
    )


def run(visit: Visit, key: str) -> Response:
    """A run, and what became of its rows."""
    storage = visit.factory.storage()
    found = activity.run(key, storage)
    if not found:
        raise NotFound
    rows, total = activity.rows_of(found, storage)
    if visit.request.wants_json:
        return data({**found.as_json(), "rows_in_all": total, "row_states": [row.as_json() for row in rows]})
    states = Counter(row.state for row in rows)
    return html(
        "run",
        visit=visit,
        run=found,
        timestamp=activity.timestamp_of(found, storage),
        rows=rows,
        total=total,
        so_far=[f"{found.numbers[name]} {words}" for name, words in _SO_FAR.items() if found.numbers[name]],
        states=[f"{count} {state}" for state, count in states.most_common()],
    )


def row(visit: Visit, key: str) -> Response:
    """A row: how it is, what happened to it, and what is known of it."""
    storage = visit.factory.storage()
    found = activity.row(key, storage)
    if not found:
        raise NotFound
    if visit.request.wants_json:
        return data(found.as_json())
    return html("row", visit=visit, row=found, letter=dead_letters.get(key, storage))


def search(visit: Visit) -> Response:
    """Rows by their key, or by mailbox; one alone is shown at once."""
    text, intake = visit.request.args.get("q", "")[:1000], visit.factory.intake()
    rows = activity.search(text, intake.storage, intake.mappings, intake.company)
    if visit.request.wants_json:
        return data({"rows": [row.as_json() for row in rows]})
    if len(rows) == 1:
        return see_other(f"row/{rows[0].key}")
    return html("search", visit=visit, text=text, rows=rows, most=activity.ROWS)


def letters(visit: Visit) -> Response:
    """All dead letters, by reason."""
    code = visit.request.args.get("code", "")
    every = dead_letters.find(visit.factory.storage())
    found = [letter for letter in every if not code or letter.facts.code == code]
    if visit.request.wants_json:
        return data({"letters": [letter.as_json() for letter in found]})
    groups: dict[str, list[dead_letters.Letter]] = defaultdict(list)
    for letter in found:
        groups[letter.facts.reason].append(letter)
    return html(
        "letters",
        visit=visit,
        count=len(found),
        groups=[(len(some), some[:_LETTERS]) for some in groups.values()],
        codes=Counter(letter.facts.code for letter in every if letter.facts.code).most_common(),
        code=code,
    )


def letter(visit: Visit, key: str) -> Response:
    """One dead letter, with what it holds."""
    found = dead_letters.get(key, visit.factory.storage())
    if not found:
        raise NotFound
    return data(found.as_json()) if visit.request.wants_json else html("letter", visit=visit, letter=found)


def sweeps(visit: Visit) -> Response:
    """What the brake holds, and each mapping's newest plan."""
    intake = visit.factory.intake()
    held, standings = sweeping.holds(intake.storage), sweeping.standings(intake)
    if visit.request.wants_json:
        told = {"held": [sweeping.hold_as_json(hold) for hold in held], "mappings": [each.as_json() for each in standings]}
        return data(told)
    return html("sweeps", visit=visit, held=held, standings=standings)


def health(visit: Visit) -> Response:
    """All checks that need no other service, with their remedies."""
    found = checks.quick(visit.factory)
    if visit.request.wants_json:
        return data({"checks": [asdict(check) for check in found]})
    return html("health", visit=visit, checks=found, mailbox="", deep=False)
