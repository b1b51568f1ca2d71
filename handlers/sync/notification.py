"""Push notifications as Acumatica sends them, and the row changes that they break into."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.sync.mapping import Mapping
from handlers.sync.template import MissingColumns

type Row = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")
_TICKS_MAX = 3_155_378_975_999_999_999  # 9999-12-31, the last instant of .NET's DateTime
_SECONDS_MAX = 253_402_300_799  # the same in seconds since 1970
_TRIES_MAX = 10**9
_PAUSE_SECONDS = 7200.0  # no delay between two tries is longer; the app was paused or away if more has passed
_AHEAD = timedelta(days=1)
_DEEPEST = 32
MESSAGE_VERSION = 1


class NotificationProblems(Exception):
    """The body is not a push notification that this app can take; `problems` lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NotARowChange(Exception):
    """A queue message that this app did not write, or that a newer version wrote."""


@dataclass(frozen=True)
class PushNotification:
    """One data transaction, as seen by one query. `timestamp` is .NET ticks in UTC (100 ns since 0001-01-01).

    https://help.acumatica.com, "Push Notification Format" of the Integration Development Guide
    """

    inserted: tuple[Row, ...]
    deleted: tuple[Row, ...]
    query: str
    company_id: str
    id: str
    timestamp: int
    additional_info: Row

    @property
    def dedup_key(self) -> str:
        """Hash of what makes two requests the same one: Id + Query as Acumatica advises, the company, and the contents.

        The contents count because the two halves of one update may arrive in two requests that share their Id.
        """
        return digest([self.company_id, self.id, self.query, self.inserted, self.deleted])


@dataclass(frozen=True)
class RowChange:
    """One row under one mapping: its newest content, or that it left the inquiry (`row` is None)."""

    company: str
    mapping: str
    key: tuple[str, ...]
    timestamp: int
    row: Row | None
    notification: str
    first_sent: float
    tries: int = 0
    problem: str = ""  # why this change cannot be applied, known at intake
    run: str = ""  # the key of the run that it came with; empty: sent by a version that kept none
    tried_for: float = 0.0  # seconds of trying so far, in which a pause of the app hardly counts
    tried_at: float = 0.0  # the last try; 0 = none yet

    @property
    def link_key(self) -> str:
        """Identity of row and mapping: lower-case hex, since table keys and the look-up of stamps want plain letters."""
        return link_key(self.company, self.mapping, self.key)

    def again(self) -> "RowChange":
        """The same change, tried once more."""
        return replace(self, tries=self.tries + 1)

    def tried(self, now: float) -> "RowChange":
        """The same change, known to have been tried at `now`; what passed since the try before counts up to a limit."""
        passed = min(max(now - self.tried_at, 0.0), _PAUSE_SECONDS) if self.tried_at else 0.0
        return replace(self, tried_for=self.tried_for + passed, tried_at=now)

    def encode(self) -> dict[str, Any]:
        """As JSON members. None may be named like a queue trigger's metadata (Id, DequeueCount …): the host mixes them."""
        return {
            "v": MESSAGE_VERSION,
            "company": self.company,
            "mapping": self.mapping,
            "key": list(self.key),
            "timestamp": self.timestamp,
            "row": self.row,
            "notification": self.notification,
            "first_sent": self.first_sent,
            "tries": self.tries,
            "problem": self.problem,
            "run": self.run,
            "tried_for": self.tried_for,
            "tried_at": self.tried_at,
        }

    @classmethod
    def decode(cls, data: Any) -> "RowChange":
        """The reverse of `encode`. Raises NotARowChange."""
        shape = {
            "company": str,
            "mapping": str,
            "key": list,
            "timestamp": int,
            "row": dict | None,
            "notification": str,
            "first_sent": int | float,
            "tries": int,
            "problem": str,
        }
        later: dict[str, Any] = {"run": str, "tried_for": int | float, "tried_at": int | float}  # not in the first messages
        if not isinstance(data, dict) or data.get("v") != MESSAGE_VERSION:
            raise NotARowChange(f"the message is not a row change of version {MESSAGE_VERSION}")
        wrong = [name for name, kind in shape.items() if name not in data or not isinstance(data[name], kind)]
        wrong += [name for name, kind in later.items() if name in data and not isinstance(data[name], kind)]
        if wrong or not all(isinstance(part, str) for part in data["key"]):
            raise NotARowChange(f"the message's {', '.join(wrong) or 'key'} is missing or of the wrong type")
        seconds = dict.fromkeys(("first_sent", "tried_for", "tried_at"), _SECONDS_MAX)
        limits = {"timestamp": _TICKS_MAX, "tries": _TRIES_MAX, **seconds}
        if beyond := [name for name, most in limits.items() if not 0 <= data.get(name, 0) <= most]:
            raise NotARowChange(f"the message's {', '.join(beyond)} is outside of what it can be")
        names = [name for name in (*shape, *later) if name in data and name != "key"]
        return cls(**{name: data[name] for name in names}, key=tuple(data["key"]))


@dataclass(frozen=True)
class Unidentified:
    """A row without its key columns: it cannot be tied to an event, so it goes straight to the dead letters."""

    mapping: str
    row: Row
    reason: str


def canonical(value: Any) -> str:
    """One text per JSON value, whatever the order of its members."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """SHA-256 of the canonical text, in lower-case hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def link_key(company: str, mapping: str, key: Iterable[str]) -> str:
    """Identity of a row under a mapping; `company` as `folded`, `key` as Mapping.key_of gives it."""
    return digest([company, mapping, list(key)])


def ticks_to_datetime(ticks: int) -> datetime:
    """.NET ticks as a date-time in UTC, to the microsecond."""
    return datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)


def datetime_to_ticks(moment: datetime) -> int:
    """A date-time as .NET ticks, exactly (no floats: ticks are above 2^53)."""
    return (moment - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10


def parse_notification(body: bytes, *, company: str, queries: Iterable[str], now: datetime) -> PushNotification:
    """Read a request body. Raises NotificationProblems with everything that is wrong with it, in plain words."""
    data = _parse_json(body)
    if not isinstance(data, dict):
        raise NotificationProblems([f"The body is {_kind(data)}; a push notification is an object."])
    if data.get("AdditionalInfo") is None:
        data["AdditionalInfo"] = {}
    shape: dict[str, tuple[type, str]] = {
        "Inserted": (list, "an array of rows"),
        "Deleted": (list, "an array of rows"),
        "Query": (str, "the title of a Generic Inquiry or the name of a built-in definition"),
        "CompanyId": (str, "the name of the tenant"),
        "Id": (str, "the id of the transaction"),
        "TimeStamp": (int, "an integer of .NET ticks"),
        "AdditionalInfo": (dict, "an object"),
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
        company_id=folded(company),  # part of every event's identity: another spelling of the setting makes no other
        id=data["Id"],
        timestamp=data["TimeStamp"],
        additional_info=data["AdditionalInfo"],
    )


def _senseless(sound: Row, company: str, queries: list[str], now: datetime) -> Iterator[str]:
    """What is wrong with fields that have the right type."""
    for name in ("Inserted", "Deleted"):
        rows = sound.get(name, [])
        if not all(isinstance(row, dict) for row in rows):
            yield f"{name} holds something that is not an object; every row has to be one."
        elif any(_too_deep(row) for row in rows):
            yield f"{name} holds a row that is nested more than {_DEEPEST} levels deep."
    query, company_id, timestamp = sound.get("Query"), sound.get("CompanyId"), sound.get("TimeStamp")
    if query is not None and folded(query) not in map(folded, queries):
        yield f"Query {query[:200]!r} has no mapping. Mapped: {', '.join(map(repr, queries)) or 'none'}."
    if company_id is not None and folded(company_id) != folded(company):
        yield f"CompanyId {company_id[:200]!r} is another tenant than ACUMATICA_TENANT ({company!r})."
    if not sound.get("Id", "-").strip():
        yield "Id is empty."
    if timestamp is not None and not 0 < timestamp <= _TICKS_MAX:
        yield "TimeStamp is outside of what .NET ticks can be."
    elif timestamp is not None and ticks_to_datetime(timestamp) > now + _AHEAD:
        yield f"TimeStamp is {ticks_to_datetime(timestamp):%Y-%m-%d %H:%M} UTC, more than a day ahead of now."


def row_changes(
    notification: PushNotification, mappings: Iterable[Mapping], now: float
) -> tuple[list[RowChange], list[Unidentified]]:
    """One change per row and mapping. `Inserted` and `Deleted` with one key are one update; `now` is seconds since 1970."""
    changes: list[RowChange] = []
    unidentified: list[Unidentified] = []
    for mapping in mappings:
        if folded(mapping.query) != folded(notification.query):
            continue

        def keyed(rows: tuple[Row, ...], mapping: Mapping = mapping) -> list[tuple[tuple[str, ...], Row]]:
            found = []
            for row in rows:
                try:
                    found.append((mapping.key_of(row), row))
                except MissingColumns as error:
                    unidentified.append(Unidentified(mapping.name, row, str(error)))
            return found

        inserted, deleted = keyed(notification.inserted), keyed(notification.deleted)
        times = Counter(key for key, _ in inserted)

        def change(key: tuple[str, ...], row: Row | None, problem: str = "", mapping: Mapping = mapping) -> RowChange:
            return RowChange(
                company=notification.company_id,
                mapping=mapping.name,
                key=key,
                timestamp=notification.timestamp,
                row=row,
                notification=notification.id,
                first_sent=now,
                problem=problem,
            )

        repeated = f"The key columns ({', '.join(mapping.key)}) are the same in several rows of one notification."
        once = {key: row for key, row in inserted}  # noqa: C416  (the last row stands for a repeated key)
        changes += [change(key, row, repeated if times[key] > 1 else "") for key, row in once.items()]
        changes += [change(key, None) for key in dict.fromkeys(key for key, _ in deleted) if key not in once]
    return changes, unidentified


def folded(name: str) -> str:
    """Titles and tenant names as Acumatica compares them: without regard to case and outer blanks."""
    return name.strip().casefold()


def load_json(text: str) -> Any:
    """Strict JSON whose strings can be stored: no NaN or infinity, no lone surrogates. Raises ValueError."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON value")

    def finite(number: str) -> float:
        value = float(number)
        if value in {float("inf"), float("-inf")}:
            raise ValueError(f"the number {number[:20]} is too large")
        return value

    try:
        data = json.loads(text.removeprefix("\ufeff"), parse_constant=refuse, parse_float=finite)
        return _without_lone_surrogates(data) if "\\ud" in text.lower() else data
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _parse_json(body: bytes) -> Any:
    try:
        return load_json(body.decode(json.detect_encoding(body)))
    except ValueError as error:
        raise NotificationProblems([f"The body is not JSON: {str(error)[:200]}"]) from None


def _without_lone_surrogates(value: Any) -> Any:
    """Half a surrogate pair cannot be stored or sent as UTF-8; it becomes U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
    return value


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
