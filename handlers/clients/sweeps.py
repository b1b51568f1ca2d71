"""Table Sweeps: how far the sweep of each mapping is, its plan, and which rows it has seen. Queue sweeps: what is to go on.

One entity for each mapping holds its newest sweep, under its ETag: of two workers that go on with one sweep, the one that
saves later stops. For each page that was read, another entity has hashes of its rows' keys, in the sweep's own partition.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from handlers.clients.tables import Entity, Stored, Table, joined, split
from handlers.sync.change import canonical, digest, load_json
from handlers.sync.sweep_plan import SweepPlan

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

SWEEPS = "Sweeps"
SWEEP_QUEUE = "sweeps"
SWEEP_POISON_QUEUE = "sweeps-poison"
VERSION = 1
DECIDED = "0"  # before every link key: what may be removed is decided, nothing is looked up yet
MESSAGE_VERSION = 1
PREFIX = 8  # bytes of a key's hash: two of 100,000 rows are the same once in four thousand million sweeps
_PARTITION, _STATE, _KNOWN = "sweeps", "state", "failed-notifications"
_TEXT = 1000
_BYTES = 64 * 1024 // PREFIX * PREFIX  # that a property holds
_MOST = 1000  # mappings

type Mode = Literal["report", "upsert", "full"]
type Phase = Literal["read", "confirm", "done"]


@dataclass(frozen=True)
class Sweep:
    """One sweep of a mapping. Moments in seconds since 1970.

    `mode`: report (only the plan), upsert (rows are changed, none removed), full. `reached`: when it last got somewhere.
    `cursor`: rows that were read; `confirmed`: the last link key whose absence was looked up (`DECIDED` before the first).
    `sent`: changes that went to the queue. `second`: begun for what the one before could not judge. `code` and `reason`:
    why it waits, or ended early.
    """

    mapping: str
    id: str
    _: KW_ONLY
    mode: Mode
    by: str
    run: str
    started: float
    saved: float
    reached: float = 0.0
    plan: SweepPlan
    phase: Phase = "read"
    cursor: int = 0
    confirmed: str = ""
    sent: int = 0
    second: bool = False
    tries: int = 0
    code: str = ""
    reason: str = ""
    remedy: str = ""
    etag: str = ""
    version: int = VERSION


@dataclass(frozen=True)
class Look:
    """One look at a mailbox: for the events of these links, which follow each other in time."""

    mailbox: str
    keys: tuple[str, ...]

    def encode(self) -> dict[str, Any]:
        """As JSON members of a queue message."""
        return {"mailbox": self.mailbox, "keys": list(self.keys)}

    @classmethod
    def decode(cls, data: dict[str, Any]) -> "Look":
        """The reverse of `encode`."""
        return cls(str(data["mailbox"]), tuple(map(str, data["keys"])))


@dataclass(frozen=True)
class Order:
    """A message of queue sweeps: a sweep is to go on, what is held is to be released, or a look taken.

    Without a `sweep`, one more of the mapping is to begin. `hold`: its id. `tries`: how often the look was put off.
    """

    mapping: str = ""
    sweep: str = ""
    hold: str = ""
    look: Look | None = None
    tries: int = 0


class NotAnOrder(Exception):
    """A message of queue sweeps that this app did not write, or that a newer version wrote."""


class Sweeps:
    """All sweeps. `connect` gives the SDK's client of the queue. Every method may raise StorageError."""

    def __init__(self, table: Table, connect: "Callable[[], QueueClient]") -> None:
        self._table = table
        self._connect = connect

    def get(self, mapping: str) -> Sweep | None:
        """The newest sweep of a mapping."""
        stored = self._table.get(_PARTITION, _row(mapping))
        return _sweep(stored) if stored else None

    def all(self) -> list[Sweep]:
        """The newest sweep of each mapping, of those that are not active any more too."""
        found = self._table.query("PartitionKey eq @partition", {"partition": _PARTITION}, limit=_MOST)
        return [_sweep(stored) for stored in found]

    def ended_early(self) -> dict[str, str]:
        """Why the newest sweep of a mapping ended before its time, by mapping; those that did not are not in it."""
        return {sweep.mapping: sweep.code for sweep in self.all() if sweep.phase == "done" and sweep.code}

    def save(self, sweep: Sweep) -> Sweep | None:
        """Save a sweep in the place of the one with its ETag (none: of no sweep); None if it is another one by now."""
        etag = self._table.put(_entity(sweep), sweep.etag or None)
        return replace(sweep, etag=etag) if etag else None

    # -- which rows were seen ------------------------------------------------------------------------------------------

    def saw(self, sweep: Sweep, link_keys: Iterable[str]) -> None:
        """Remember the rows of the page at the sweep's cursor."""
        data = b"".join(prefix(key) for key in link_keys)
        parts = {f"Seen{i}": data[at : at + _BYTES] for i, at in enumerate(range(0, len(data), _BYTES))}
        self._table.upsert({"PartitionKey": sweep.id, "RowKey": f"{sweep.cursor:09d}", "Version": VERSION, **parts})

    def seen(self, sweep: Sweep) -> set[bytes]:
        """The `prefix` of each link key that the sweep has seen in pages before its cursor."""
        condition, parameters = (
            "PartitionKey eq @sweep and RowKey lt @cursor",
            {"sweep": sweep.id, "cursor": f"{sweep.cursor:09d}"},
        )
        found: set[bytes] = set()
        for entity, _ in self._table.query(condition, parameters):
            for name, data in entity.items():
                if name.startswith("Seen"):
                    found.update(data[at : at + PREFIX] for at in range(0, len(data), PREFIX))
        return found

    def forget_pages(self, sweep: Sweep) -> None:
        """The sweep has ended: what it has seen is of no use any more."""
        self._table.remove_all(f"PartitionKey eq '{sweep.id}'")

    def purge(self, old: str) -> int:
        """Remove pages of sweeps that never ended, if they fit a condition; returns how many."""
        return self._table.remove_all(f"{old} and PartitionKey ne '{_PARTITION}' and PartitionKey ne '{_STATE}'")

    # -- notifications that Acumatica could not send -------------------------------------------------------------------

    def failures(self) -> set[str] | None:
        """Hashes of the rows that the inquiry of failed notifications showed last; None before the first look."""
        stored = self._table.get(_STATE, _KNOWN)
        return set(json.loads(joined(stored.entity, "Rows"))) if stored else None

    def save_failures(self, rows: set[str]) -> None:
        """Remember them."""
        entity = {"PartitionKey": _STATE, "RowKey": _KNOWN, "Version": VERSION, **split(canonical(sorted(rows)), "Rows")}
        self._table.change(_STATE, _KNOWN, lambda _: entity)

    # -- the queue -----------------------------------------------------------------------------------------------------

    def send(self, order: Order, delay: float = 0.0) -> None:
        """Put an order into the queue, to be seen after `delay` seconds. It never expires."""
        content = {"v": MESSAGE_VERSION, "mapping": order.mapping, "sweep": order.sweep, "hold": order.hold}
        look = {"look": order.look.encode(), "tries": order.tries} if order.look else {}
        self.put_back(canonical(content | look), delay)

    def put_back(self, text: str, delay: float) -> None:
        """Put a message into the queue once more, as it was received."""
        self._connect().send_message(text, visibility_timeout=max(math.ceil(delay), 0), time_to_live=-1)

    @staticmethod
    def read(text: str) -> Order:
        """The order that a message holds. Raises NotAnOrder."""
        try:
            data = load_json(text)
        except ValueError as error:
            raise NotAnOrder(f"the message is not JSON: {error}") from None
        names = ("mapping", "sweep", "hold")
        if not isinstance(data, dict) or data.get("v") != MESSAGE_VERSION:
            raise NotAnOrder(f"the message is not an order of version {MESSAGE_VERSION}")
        if wrong := [name for name in names if not isinstance(data.get(name), str)]:
            raise NotAnOrder(f"the message's {', '.join(wrong)} is missing or of the wrong type")
        try:
            look = Look.decode(data["look"]) if "look" in data else None
            return Order(**{name: data[name] for name in names}, look=look, tries=int(data.get("tries", 0)))
        except (KeyError, TypeError, ValueError):
            raise NotAnOrder("the message's look is none") from None


def prefix(link_key: str) -> bytes:
    """What is kept of a link key that was seen."""
    return bytes.fromhex(link_key[: 2 * PREFIX])


def _row(mapping: str) -> str:
    return digest(mapping)  # a file's name may hold what a table refuses


def _entity(sweep: Sweep) -> Entity:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": _row(sweep.mapping),
        "Version": VERSION,
        "Mapping": sweep.mapping[:_TEXT],
        "Sweep": sweep.id,
        "Mode": sweep.mode,
        "By": sweep.by[:_TEXT],
        "Run": sweep.run,
        "Started": sweep.started,
        "Saved": sweep.saved,
        "Reached": sweep.reached,
        "Phase": sweep.phase,
        "Cursor": sweep.cursor,
        "Confirmed": sweep.confirmed,
        "Sent": sweep.sent,
        "Second": sweep.second,
        "Tries": sweep.tries,
        "Code": str(sweep.code),
        "Reason": sweep.reason[:_TEXT],
        "Remedy": sweep.remedy[:_TEXT],
        **split(canonical(sweep.plan.encode()), "Plan"),
    }


def _sweep(stored: Stored) -> Sweep:
    entity: dict[str, Any] = stored.entity
    return Sweep(
        mapping=entity["Mapping"],
        id=entity["Sweep"],
        mode=entity["Mode"],
        by=entity["By"],
        run=entity["Run"],
        started=entity["Started"],
        saved=entity["Saved"],
        reached=entity.get("Reached", entity["Saved"]),
        plan=_plan(entity),
        phase=entity["Phase"],
        cursor=entity["Cursor"],
        confirmed=entity["Confirmed"],
        sent=entity.get("Sent", 0),
        second=entity.get("Second", False),
        tries=entity["Tries"],
        code=entity["Code"],
        reason=entity["Reason"],
        remedy=entity["Remedy"],
        etag=stored.etag,
        version=entity["Version"],
    )


def _plan(entity: Entity) -> SweepPlan:
    try:
        return SweepPlan.decode(json.loads(joined(entity, "Plan")))
    except ValueError:  # of another version: only the newest plan counts, and the next sweep makes one
        return SweepPlan(entity["Mapping"], entity["Mode"], 0)
