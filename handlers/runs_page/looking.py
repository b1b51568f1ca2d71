"""Views that look; each page is JSON too."""

from collections import Counter
from dataclasses import asdict

from werkzeug.wrappers import Response

from handlers.operations import activity, calendars, checks, dead_letters, notification_files, words
from handlers.operations import sweeps as sweeping
from handlers.runs_page.render import data, file, html, there
from handlers.runs_page.visit import Visit

_RUNS = 50  # on a page
_LETTERS = 200  # of one reason on a page
_FILTERS = {"": "All", "failed": "With failures", "rejected": "Rejected", "people": "By people"}


def overview(visit: Visit) -> Response:
    """The last day in numbers, and the newest runs."""
    request, storage = visit.request, visit.factory.storage()
    which, before = request.args.get("which", ""), request.args.get("before", "")
    which = which if which in _FILTERS else ""
    runs = activity.newest(storage, before=before, which=which, limit=_RUNS)
    if request.wants_json:
        return data({"runs": [run.as_json() for run in runs]})
    hours, total, most = activity.day(storage)
    return html(
        "overview",
        visit=visit,
        runs=runs,
        more=len(runs) >= _RUNS,
        total=total,
        hours=hours,
        most=most,
        filters=_FILTERS,
        which=which,
        paged=bool(before),
        letters=storage.dead_letters.count(dead_letters.COUNTED),
        held=len(sweeping.holds(storage)),
        counted=dead_letters.COUNTED,
        waiting=storage.queue.waiting()[0],
    )


def run(visit: Visit, key: str) -> Response:
    """A run, and what became of its rows; what a refused one held."""
    storage = visit.factory.storage()
    found = there(activity.run(key, storage))
    rows, total = activity.rows_of(found, storage, activity.about(visit.factory))
    if visit.request.wants_json:
        return data({**found.as_json(), "rows_in_all": total, "row_states": [row.as_json() for row in rows]})
    return html(
        "run",
        visit=visit,
        run=found,
        held=notification_files.refused_body(found, storage),
        timestamp=activity.timestamp_of(found, storage),
        rows=rows,
        total=total,
        so_far=activity.in_words(found),
        states=[f"{count} {state}" for state, count in Counter(row.state for row in rows).most_common()],
        under_way=found.progress == "under way" or any(row.under_way for row in rows),
    )


def run_file(visit: Visit, key: str) -> Response:
    """The push notification of a run, or one made of its rows."""
    storage = visit.factory.storage()
    text = notification_files.of_run(there(activity.run(key, storage)), storage, activity.about(visit.factory))
    return file(there(text), f"notification-{key[1:14]}.json")


def row(visit: Visit, key: str) -> Response:
    """A row: what the meeting is, how it is, what happened to it, and what is known of it."""
    storage = visit.factory.storage()
    found = there(activity.row(key, storage, activity.about(visit.factory)))
    if visit.request.wants_json:
        return data(found.as_json())
    letter = dead_letters.get(key, storage)
    under_way = found.under_way or bool(letter and letter.resubmitted)
    return html("row", visit=visit, row=found, letter=letter, steps=words.steps(found), under_way=under_way)


def letters(visit: Visit) -> Response:
    """All dead letters, by reason."""
    code = visit.request.args.get("code", "")
    every = dead_letters.find(visit.factory.storage())
    found = [letter for letter in every if not code or letter.facts.code == code]
    if visit.request.wants_json:
        return data({"letters": [letter.as_json() for letter in found]})
    return html(
        "letters",
        visit=visit,
        count=len(found),
        groups=[(len(some), some[:_LETTERS]) for some in dead_letters.by_reason(found)],
        codes=Counter(letter.facts.code for letter in every if letter.facts.code).most_common(),
        code=code,
    )


def letter(visit: Visit, key: str) -> Response:
    """One dead letter, with what it holds."""
    found = there(dead_letters.get(key, visit.factory.storage()))
    return data(found.as_json()) if visit.request.wants_json else html("letter", visit=visit, letter=found)


def sweeps(visit: Visit) -> Response:
    """What the brake holds, and each mapping's newest plan."""
    intake = visit.factory.intake()
    held, standings = sweeping.holds(intake.storage), sweeping.standings(intake)
    if visit.request.wants_json:
        told = {"held": [sweeping.hold_as_json(hold) for hold in held], "mappings": [each.as_json() for each in standings]}
        return data(told)
    return html("sweeps", visit=visit, held=held, standings=standings, looks=calendars.is_wanted(intake))


def letter_file(visit: Visit, key: str) -> Response:
    """A dead letter as a push notification."""
    found = there(dead_letters.get(key, visit.factory.storage()))
    return file(there(notification_files.of_letter(found, activity.about(visit.factory))), f"notification-{key[:13]}.json")


def health(visit: Visit) -> Response:
    """All checks that need no other service, with their remedies."""
    found = checks.quick(visit.factory)
    if visit.request.wants_json:
        return data({"checks": [asdict(check) for check in found]})
    return html("health", visit=visit, checks=found, mailbox="", deep=False)
