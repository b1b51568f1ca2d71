"""A push notification as a file: what a refused one held, or one made of the rows of a run or of a dead letter.

Such a file can be previewed, corrected and sent again. What is made of rows has the columns that the mapping reads, as
they are now, since nothing else of a notification that was taken in is kept.
"""

import json
from dataclasses import dataclass

from handlers.clients import activity_reading as stored
from handlers.clients.activity_record import Run
from handlers.clients.storage import Storage
from handlers.operations.activity import About, rows_of
from handlers.operations.dead_letters import Letter
from handlers.sync.change import Row, load_json

_ROWS = 5  # shown
_COLUMNS = 60


@dataclass(frozen=True)
class RefusedBody:
    """What a refused notification held, to be looked at; `envelope` is all of it but the rows."""

    text: str
    envelope: dict[str, str]
    rows: int = 0
    first: tuple[Row, ...] = ()


def refused_body(run: Run, storage: Storage) -> RefusedBody | None:
    """What a refused request held; none where that is not kept: it was too large, or is a week old."""
    text = stored.refused_body(storage, run.id) if run.state == "rejected" else None
    if text is None:
        return None
    try:
        body = load_json(text)
    except ValueError:
        return RefusedBody(text, {})
    if not isinstance(body, dict):
        return RefusedBody(text, {})
    lists = [body[name] for name in ("Inserted", "Deleted") if isinstance(body.get(name), list)]
    rows = [dict(list(row.items())[:_COLUMNS]) for some in lists for row in some if isinstance(row, dict)]
    names = ("Query", "CompanyId", "Id", "TimeStamp")
    return RefusedBody(text, {n: str(body[n])[:200] for n in names if n in body}, sum(map(len, lists)), tuple(rows[:_ROWS]))


def of_run(run: Run, storage: Storage, about: About) -> str | None:
    """The file of a run; none where nothing of it is known."""
    if found := refused_body(run, storage):
        return found.text
    states, _ = rows_of(run, storage, about)
    known = storage.notifications.get(run.key)
    inserted: dict[tuple[str, ...], Row] = {}
    deleted: dict[tuple[str, ...], Row] = {}
    query = run.query
    for state in states:
        mapping, link = about.mappings.get(state.mapping), state.link
        if not (mapping and link):
            continue
        query = query or mapping.query
        keys = dict(zip(mapping.key, state.row_key, strict=False))
        if link.present:
            inserted[state.row_key] = inserted.get(state.row_key, {}) | keys | link.row
        else:
            deleted[state.row_key] = keys
    if not (known and (inserted or deleted)):
        return None
    rows = list(inserted.values()), list(deleted.values())
    return _file(*rows, query, about.company, run.notification or run.id, known.timestamp)


def of_letter(letter: Letter, about: About) -> str | None:
    """The file of a dead letter; none where it holds no row, or its mapping is gone."""
    change, mapping = letter.change, about.mappings.get(letter.facts.mapping)
    if not (change and mapping):
        return None
    keys = dict(zip(mapping.key, change.key, strict=False))
    row = change.row
    rows: tuple[list[Row], list[Row]] = ([], [keys]) if row is None else ([row], [])
    return _file(*rows, mapping.query, change.company, change.notification, change.timestamp)


def _file(inserted: list[Row], deleted: list[Row], query: str, company: str, name: str, timestamp: int) -> str:  # noqa: PLR0917
    file = {"Inserted": inserted, "Deleted": deleted, "Query": query, "CompanyId": company, "Id": name}
    return json.dumps(file | {"TimeStamp": timestamp}, ensure_ascii=False, indent=2)
