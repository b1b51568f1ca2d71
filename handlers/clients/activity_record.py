"""Table Runs, partition `runs`: what people look at. It is for reading; no decision about a row depends on it.

One partition, so that many entities are written in one transaction, and the newest are one query:

    r<newest first>-<hash>    a run: one notification, what a person did (resubmitted, discarded, released), what a
                              sweep sent; also refused requests
    h<hour>-<worker>          numbers of an hour, by worker
    b<the same>-<hash>        what a refused request held, for a week
    s<link>                   how a row that has changed is looked for (search.py)

The table's other partitions are put_off.py's (`put-off`, `state`) and sign_ins.py's (`access`).
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from handlers.clients.tables import Entity, untouched_since

VERSION = 1
PARTITION = "runs"
WHICH = {  # conditions of the runs that are asked for
    "accepted": " and State eq 'accepted'",
    "failed": " and Failed eq true",
    "rejected": " and State eq 'rejected'",
    "people": " and (State eq 'resubmitted' or State eq 'discarded' or State eq 'released')",
}
NUMBERS = "N_"  # begins the name of each worker's property
TEXT = 1000  # characters of what others have sent
_PROBLEMS = 16_000
_LAST_MILLISECOND = 9_999_999_999_999
_HOUR = "%Y-%m-%dT%H"
OWN = {"PartitionKey", "RowKey", "Version"}
_PROPERTIES = {
    "state": "State",
    "received": "Received",
    "query": "Query",
    "notification": "NotificationId",
    "rows": "Rows",
    "changes": "Changes",
    "without_key": "WithoutKey",
    "first": "First",
    "failed": "Failed",
    "status": "Status",
    "problems": "Problems",
    "bytes": "Bytes",
    "by": "By",
    "why": "Why",
    "row_key": "Key",
    "mapping": "Mapping",
    "link": "Link",
}


def run_key(received: float, key: str) -> str:
    """The row key of a run: newest first. `received` is in seconds since 1970, `key` a hash."""
    return f"r{_LAST_MILLISECOND - int(received * 1000):013d}-{key}"


def body_key(run: str) -> str:
    """The row key of what a refused request held, by that of its run."""
    return f"b{run[1:]}"


def old_bodies(before: datetime) -> str:
    """The condition of what refused requests held, and nobody has written since `before`."""
    return f"PartitionKey eq '{PARTITION}' and RowKey ge 'b' and RowKey lt 'c' and {untouched_since(before)}"


def hour_key(moment: float, worker: str = "") -> str:
    """The row key of a worker's numbers of an hour; without a worker, where that hour begins."""
    return f"h{datetime.fromtimestamp(moment, UTC):{_HOUR}}" + (f"-{worker}" if worker else "")


def hour_of(entity: Entity) -> datetime:
    """The hour that numbers are of."""
    return datetime.strptime(entity["RowKey"][1:14], _HOUR).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """A run, with the numbers of all workers added up. `received` is in UTC; `numbers["seconds"]` is the slowest row's way.

    `problems` are lines; `by` and what follows it is of what people did.
    """

    id: str
    state: str
    received: datetime
    query: str = ""
    notification: str = ""
    rows: int = 0
    changes: int = 0
    without_key: int = 0
    first: str = ""
    failed: bool = False
    status: int = 0
    problems: str = ""
    bytes: int = 0
    by: str = ""
    why: str = ""
    row_key: str = ""
    mapping: str = ""
    link: str = ""
    numbers: Counter[str] = field(default_factory=Counter)
    mended: bool = False  # none of its rows fails any more; told where that was looked at
    version: int = VERSION

    @property
    def key(self) -> str:
        """The key of its notification."""
        return self.id.partition("-")[2]

    @property
    def progress(self) -> str:
        """In one word: receiving, under way, done, failed (in part), mended, rejected, discarded."""
        if self.state not in {"accepted", "resubmitted", "released", "swept"}:
            return self.state
        if self.numbers["failed"]:
            return "mended" if self.mended else "failed"
        finished = self.numbers["changed"] + self.numbers["unchanged"]
        return "done" if finished >= self.changes else "under way"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        numbers = {
            name: self.numbers[name] for name in ("changed", "unchanged", "deferred", "failed", "duplicates", "times")
        }
        facts = {name: getattr(self, name) for name in _PROPERTIES if name not in {"state", "received"}}
        told = {name: value for name, value in facts.items() if value}
        return {"id": self.id, "state": self.progress, "received": self.received.isoformat(), **told, **numbers} | {
            "seconds": self.numbers["seconds"] or None
        }


def run_of(entity: Entity) -> Run:
    """A run as it is stored."""
    facts = {ours: entity[theirs] for ours, theirs in _PROPERTIES.items() if theirs in entity}
    # Only rows have written so far: the worker that took the notification in was killed before it wrote.
    facts.setdefault("state", "accepted")
    facts.setdefault("received", datetime.fromtimestamp((_LAST_MILLISECOND - int(entity["RowKey"][1:14])) / 1000, UTC))
    return Run(id=entity["RowKey"], **facts, numbers=sums_of(entity), version=entity.get("Version", 0))


def sums_of(entity: Entity) -> Counter[str]:
    """The numbers of all workers."""
    total: Counter[str] = Counter()
    for name, value in entity.items():
        if name.startswith(NUMBERS):
            sums = json.loads(value)
            longest = max(total["seconds"], sums.pop("seconds", 0))
            total.update(sums)
            total["seconds"] = longest
    return total


def facts_of(**values: Any) -> Entity:
    """Properties of a run; what is empty says nothing."""
    most = {"problems": _PROBLEMS}
    cut = {name: value[: most.get(name, TEXT)] if isinstance(value, str) else value for name, value in values.items()}
    return {_PROPERTIES[name]: value for name, value in cut.items() if value not in {"", False}}
