"""Push notifications as Acumatica sends them, and the row changes that they break into."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from handlers.sync.change import TICKS_MAX, Row, RowChange, canonical, digest, load_json, ticks_to_datetime
from handlers.sync.mapping import Mapping
from handlers.sync.template import MissingColumns

_AHEAD = timedelta(days=1)
_DEEPEST = 32
_LISTS = ("Inserted", "Deleted")
_MEMBERS = {*_LISTS, "Query", "TimeStamp"}
_WRAPPINGS = 4
_OTHER_CONTAINERS = 1000  # objects and arrays of a notification that are no rows
_CONTAINER_OR_STRING = re.compile(r'[{\[]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
MAX_ROWS = 20_000


class NotificationProblems(Exception):
    """The body is not a push notification that this app can take; `problems` lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class TooManyRows(NotificationProblems):
    """The body holds more rows than are taken at once."""


@dataclass(frozen=True)
class PushNotification:
    """One data transaction, as seen by one query. `timestamp` is .NET ticks in UTC (100 ns since 0001-01-01).

    AdditionalInfo is not kept: what is in it differs from site to site, and nothing here needs it.
    https://help.acumatica.com, "Push Notification Format" of the Integration Development Guide
    """

    inserted: tuple[Row, ...]
    deleted: tuple[Row, ...]
    query: str
    company_id: str
    id: str
    timestamp: int

    @property
    def dedup_key(self) -> str:
        """Hash of what makes two requests the same one: Id + Query as Acumatica advises, the company, and the contents.

        The contents count because the two halves of one update may arrive in two requests that share their Id.
        """
        return digest([self.company_id, self.id, self.query, self.inserted, self.deleted])


@dataclass(frozen=True)
class Unidentified:
    """A row without its key columns: it cannot be tied to an event, so it goes straight to the dead letters."""

    mapping: str
    row: Row
    reason: str
    times: int = 1  # how often this very row came in the notification


def parse_notification(
    body: bytes, *, company: str, queries: Iterable[str], now: datetime, max_rows: int = MAX_ROWS
) -> PushNotification:
    """Read a request body. Raises NotificationProblems with everything that is wrong with it, in plain words.

    One of the two lists of rows may be missing, and each may be null, for none. Raises TooManyRows before rows could take
    much more memory than the body.
    """
    data = _parse_json(body, max_rows)
    if not isinstance(data, dict):
        raise NotificationProblems([f"The body is {_kind(data)}; a push notification is an object."])
    if wrapped := _wrapped(data):
        raise NotificationProblems([f"The notification is inside of {wrapped!r}: send (or save) that part alone."])
    data |= {name: [] for name in _LISTS if data.get(name) is None and (name in data or data.keys() & _LISTS)}
    rows = sum(len(data[name]) for name in _LISTS if isinstance(data.get(name), list))
    if rows > max_rows:
        raise TooManyRows([f"The notification has {rows} rows; MAX_NOTIFICATION_ROWS is {max_rows}."])
    shape: dict[str, tuple[type, str]] = {
        "Inserted": (list, "an array of rows"),
        "Deleted": (list, "an array of rows"),
        "Query": (str, "the title of a Generic Inquiry or the name of a built-in definition"),
        "CompanyId": (str, "the name of the tenant"),
        "Id": (str, "the id of the transaction"),
        "TimeStamp": (int, "an integer of .NET ticks"),
    }
    problems = {
        name: f"{name} is {_kind(data[name]) if name in data else 'missing'}; it has to be {what}."
        for name, (kind, what) in shape.items()
        if not isinstance(data.get(name), kind) or isinstance(data.get(name), bool)
    }
    sound = {name: value for name, value in data.items() if name not in problems}
    reasons = [*problems.values(), *_senseless(sound, company, list(queries), now)]
    if reasons:
        raise NotificationProblems(reasons)
    return PushNotification(
        inserted=tuple(data["Inserted"]),
        deleted=tuple(data["Deleted"]),
        query=data["Query"],
        company_id=name_form(company),  # part of every event's identity: another spelling of the setting makes no other
        id=data["Id"],
        timestamp=data["TimeStamp"],
    )


def _senseless(sound: Row, company: str, queries: list[str], now: datetime) -> Iterator[str]:
    """What is wrong with fields that have the right type."""
    for name in _LISTS:
        rows = sound.get(name, [])
        if not all(isinstance(row, dict) for row in rows):
            yield f"{name} holds something that is not an object; every row has to be one."
        elif any(_too_deep(row) for row in rows):
            yield f"{name} holds a row that is nested more than {_DEEPEST} levels deep."
    query, company_id, timestamp = sound.get("Query"), sound.get("CompanyId"), sound.get("TimeStamp")
    if query is not None and name_form(query) not in map(name_form, queries):
        yield f"Query {query[:200]!r} has no mapping. Mapped: {', '.join(map(repr, queries)) or 'none'}."
    if company_id is not None and name_form(company_id) != name_form(company):
        yield f"CompanyId {company_id[:200]!r} is another tenant than ACUMATICA_TENANT ({company!r})."
    if not sound.get("Id", "-").strip():
        yield "Id is empty."
    if timestamp is not None and not 0 < timestamp <= TICKS_MAX:
        yield "TimeStamp is outside of what .NET ticks can be."
    elif timestamp is not None and ticks_to_datetime(timestamp) > now + _AHEAD:
        yield f"TimeStamp is {ticks_to_datetime(timestamp):%Y-%m-%d %H:%M} UTC, more than a day ahead of now."


def row_changes(
    notification: PushNotification, mappings: Iterable[Mapping], now: float
) -> tuple[list[RowChange], list[Unidentified]]:
    """One change per row and mapping. `Inserted` and `Deleted` with one key are one update; `now` is seconds since 1970."""
    changes: list[RowChange] = []
    unidentified: dict[str, Unidentified] = {}  # by content: the same row again is the same dead letter
    for mapping in mappings:
        if name_form(mapping.query) == name_form(notification.query):
            changes += _changes_under(mapping, notification, now, unidentified)
    return changes, list(unidentified.values())


def _changes_under(
    mapping: Mapping, notification: PushNotification, now: float, unidentified: dict[str, Unidentified]
) -> list[RowChange]:
    inserted = _keyed(notification.inserted, mapping, unidentified)
    deleted = dict(_keyed(notification.deleted, mapping, unidentified))
    times, once = Counter(key for key, _ in inserted), dict(inserted)  # the last row stands for a repeated key
    repeated = f"The key columns ({', '.join(mapping.key)}) are the same in several rows of one notification."
    removal = RowChange(
        company=notification.company_id,
        mapping=mapping.name,
        key=(),
        timestamp=notification.timestamp,
        row=None,
        notification=notification.id,
        first_sent=now,
    )
    return [
        replace(removal, key=key, row=row, problem=repeated if times[key] > 1 else "", new=key not in deleted)
        for key, row in once.items()
    ] + [replace(removal, key=key) for key in deleted if key not in once]


def _keyed(
    rows: tuple[Row, ...], mapping: Mapping, unidentified: dict[str, Unidentified]
) -> list[tuple[tuple[str, ...], Row]]:
    """Rows with their keys; those without one are added to `unidentified`."""
    found = []
    for row in rows:
        try:
            found.append((mapping.key_of(row), row))
        except MissingColumns as error:
            content = canonical([mapping.name, row])
            known = unidentified.get(content)
            again = replace(known, times=known.times + 1) if known else Unidentified(mapping.name, row, str(error))
            unidentified[content] = again
    return found


def name_form(name: str) -> str:
    """Titles and tenant names as Acumatica compares them: without regard to case and outer blanks."""
    return name.strip().casefold()


def _wrapped(data: Row) -> str:
    """The member that holds the notification, as a flow's run history or a log shows it; empty where it is not wrapped."""
    level = [("", data)]
    for _ in range(_WRAPPINGS):
        if found := next((path for path, inner in level if inner.keys() & _MEMBERS), ""):
            return found
        level = [
            (f"{path}.{name[:100]}".removeprefix("."), value)
            for path, inner in level
            for name, value in inner.items()
            if isinstance(value, dict) and not inner.keys() & _MEMBERS
        ]
    return ""


def _parse_json(body: bytes, max_rows: int) -> Any:
    if not body.strip():
        empty = "The body is empty. Was it sent chunked? What sends requests on (a gateway, a flow) has to tell its length."
        raise NotificationProblems([empty])
    try:
        text = body.decode(json.detect_encoding(body))
        _check_size(text, max_rows)
        return load_json(text)
    except ValueError as error:
        raise NotificationProblems([f"The body is not JSON: {str(error)[:200]}"]) from None


def _check_size(text: str, max_rows: int) -> None:
    """Raises TooManyRows where the text holds more objects and arrays than rows can be: each takes 64 bytes or more."""
    most = 2 * max_rows + _OTHER_CONTAINERS
    if text.count("{") + text.count("[") <= most:
        return
    found = (match for match in _CONTAINER_OR_STRING.finditer(text) if match[0] in "{[")  # those in strings are text
    if next(islice(found, most, None), None):
        raise TooManyRows([f"The body has more than {most} objects and arrays; MAX_NOTIFICATION_ROWS is {max_rows}."])


def _too_deep(row: Row) -> bool:
    """Rows are flat; what is nested beyond reason must not reach code that recurses."""
    level = [value for value in row.values() if isinstance(value, dict | list)]
    for _ in range(_DEEPEST):
        if not level:
            return False
        items = (item.values() if isinstance(item, dict) else item for item in level)
        level = [value for item in items for value in item if isinstance(value, dict | list)]
    return True


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
