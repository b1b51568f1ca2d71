"""Row changes: what the queue carries, how it is written and read, and what identifies a row.

Written as JSON in one canonical form, so that equal values have equal hashes; read strictly, so that what was read can be
stored.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

type Row = dict[str, Any]

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_SURROGATE = re.compile("[\ud800-\udfff]")
TICKS_MAX = 3_155_378_975_999_999_999  # 9999-12-31, the last instant of .NET's DateTime
_SECONDS_MAX = 253_402_300_799  # the same in seconds since 1970
_TRIES_MAX = 10**9
KEY_MAX = 10_000  # characters; of a real one, tens
_NAME_MAX = 1000  # characters; a file system gives a mapping 255
_PAUSE_SECONDS = 7200.0  # no delay between two tries is longer; the app was paused or away if more has passed
MESSAGE_VERSION = 1
PUSH, SNAPSHOT, PERSON = "push", "snapshot", "person"  # where a change comes from; person: of what was done in Outlook


class NotARowChange(Exception):
    """A queue message that this app did not write, or that a newer version wrote."""


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
    origin: str = PUSH
    new: bool = False  # the notification says so: it has no older state of the row. True for a late half of an update, too

    @property
    def link_key(self) -> str:
        """Identity of row and mapping: lower-case hex, since table keys and the look-up of stamps want plain letters."""
        return link_key(self.company, self.mapping, self.key)

    @property
    def moment(self) -> float:
        """When its transaction was, in seconds since 1970."""
        return ticks_to_datetime(self.timestamp).timestamp()

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
            "origin": self.origin,
            "new": self.new,
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
        # Not in the first messages:
        later: dict[str, Any] = {"run": str, "tried_for": int | float, "tried_at": int | float, "new": bool}
        later["origin"] = str
        if not isinstance(data, dict) or data.get("v") != MESSAGE_VERSION:
            raise NotARowChange(f"the message is not a row change of version {MESSAGE_VERSION}")
        wrong = [name for name, kind in shape.items() if name not in data or not isinstance(data[name], kind)]
        wrong += [name for name, kind in later.items() if name in data and not isinstance(data[name], kind)]
        if wrong or not all(isinstance(part, str) for part in data["key"]):
            raise NotARowChange(f"the message's {', '.join(wrong) or 'key'} is missing or of the wrong type")
        if data.get("origin", PUSH) not in {PUSH, SNAPSHOT, PERSON}:
            raise NotARowChange("the message's origin is none that this version knows")
        long = [name for name in ("company", "mapping", "run") if len(data.get(name, "")) > _NAME_MAX]
        long += ["key"] if sum(map(len, data["key"])) > KEY_MAX else []
        if long:
            raise NotARowChange(f"the message's {', '.join(long)} is longer than any that this app gives")
        seconds = dict.fromkeys(("first_sent", "tried_for", "tried_at"), _SECONDS_MAX)
        limits = {"timestamp": TICKS_MAX, "tries": _TRIES_MAX, **seconds}
        if beyond := [name for name, most in limits.items() if not 0 <= data.get(name, 0) <= most]:
            raise NotARowChange(f"the message's {', '.join(beyond)} is outside of what it can be")
        names = [name for name in (*shape, *later) if name in data and name != "key"]
        return cls(**{name: data[name] for name in names}, key=tuple(data["key"]))


def canonical(value: Any) -> str:
    """One text per JSON value, whatever the order of its members."""
    return _CANONICAL.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical text, in lower-case hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def link_key(company: str, mapping: str, key: Iterable[str]) -> str:
    """Identity of a row under a mapping; `company` as `name_form`, `key` as Mapping.key_of gives it."""
    return _link_key(company, mapping, tuple(key))


@lru_cache(maxsize=4096)  # of one row, a dozen times for each of its messages
def _link_key(company: str, mapping: str, key: tuple[str, ...]) -> str:
    return digest([company, mapping, key])


def ticks_to_datetime(ticks: int) -> datetime:
    """.NET ticks as a date-time in UTC, to the microsecond."""
    return datetime(1, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)


def datetime_to_ticks(moment: datetime) -> int:
    """A date-time as .NET ticks, exactly (no floats: ticks are above 2^53)."""
    return (moment - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10


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


def _without_lone_surrogates(value: Any) -> Any:
    """Half a surrogate pair cannot be stored or sent as UTF-8; it becomes U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
    return value
