"""Table Runs: what people look at. Everything in it is for reading; no decision of the app depends on it.

All entities are in one partition, so that many are written in one transaction, and the newest are one query:

    r<newest first>-<hash>    a run: one notification, or what a person did (resubmitted, discarded); also refused requests
    h<hour>-<worker>          numbers of an hour, by worker

Each worker adds up its own numbers, in a property of its own (N_<worker>), so that none overwrites another's, and a
write may be repeated. They are kept in memory for a few seconds and written together: a worker that is killed loses the
numbers of those seconds. What became of each row is in its event link, and not lost.
"""

import json
import logging
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

from handlers.clients.storage import Entity, Storage, split
from handlers.sync.notification import RowChange, canonical, digest

log = logging.getLogger(__name__)

PARTITION = "runs"
FLUSH_SECONDS = 3.0
KEYS_MAX = 1000  # rows of one notification whose keys are kept with it
_KEYS_TEXT = 150_000  # characters of them; an entity holds 1 MiB
_BATCH = 100  # https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
_REMEMBERED = 5000  # runs whose numbers a worker adds up; for older ones it begins anew
_UNWRITTEN = 5000
_LAST_MILLISECOND = 9_999_999_999_999
_TEXT = 1000  # characters of what others have sent
_NAMES = 120
_PAGES = 20
_REFUSALS = 500
_CLOSE_SECONDS = 3.0


def run_key(received: float, key: str) -> str:
    """The row key of a run: newest first. `received` is in seconds since 1970, `key` a hash."""
    return f"r{_LAST_MILLISECOND - int(received * 1000):013d}-{key}"


def kept_keys(changes: Iterable[RowChange], run: str) -> Entity:
    """What a notification's entity says of its rows: mapping and key of each, so that their links can be found."""
    keys: list[list[Any]] = []
    room = _KEYS_TEXT
    for change in changes:
        key = [change.company, change.mapping, list(change.key)]
        room -= len(canonical(key))
        if room < 0 or len(keys) == KEYS_MAX:
            break
        keys.append(key)
    return {"Run": run, **split(canonical(keys), "Keys")}


def readable(text: str, most: int) -> str:
    """The beginning of a text from outside, without characters that a table may refuse."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:most])


def first_keys(changes: Sequence[RowChange]) -> str:
    """The first rows of a run in a few words, for the list."""
    names = list(dict.fromkeys(", ".join(change.key) for change in changes[:50]))
    return readable("; ".join(names[:3]), _NAMES) + (" …" if len(names) > 3 else "")


class Recorder:
    """Remembers what happens, and writes it down now and then. Without storage it remembers nothing. Never raises."""

    def __init__(self, storage: Storage | None = None, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock
        self._worker = secrets.token_hex(4)
        self._unwritten: dict[str, Entity] = {}
        self._duplicates: Counter[str] = Counter()
        self._refusals: dict[tuple[int, str], str] = {}  # the run of each kind in each minute
        self._numbers: OrderedDict[str, tuple[str, Counter[str]]] = OrderedDict()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._end = float("inf")
        self._writer: threading.Thread | None = None

    # -- what happens --------------------------------------------------------------------------------------------------

    def began(self, run: str, facts: Entity) -> None:
        """A notification is being taken in."""
        kept = {name: value for name, value in facts.items() if name != "TransactionTimeStamp"}
        self._note(run, {"State": "receiving", **kept})

    def queued(self, run: str, *, unidentified: int) -> None:
        """All of its rows are in the queue, but for those without a key, which are dead letters already."""
        self._note(run, {"State": "accepted", **({"Failed": True} if unidentified else {})}, failed=unidentified)
        self._count("notifications")

    def duplicate(self, key: str) -> None:
        """Acumatica has sent a notification once more."""
        self._count("duplicates")
        if self._storage:
            with self._lock:
                self._duplicates[key] += 1

    def rejected(self, now: float, status: int, problems: list[str], size: int) -> None:
        """A request was refused. The same problems within one minute are one run, however often; written at once."""
        facts = {
            "State": "rejected",
            "Received": datetime.fromtimestamp(now, UTC),
            "Status": status,
            "Problems": "\n".join(problem[:_TEXT] for problem in problems)[:16_000],
            "Bytes": min(size, 2**31 - 1),
        }
        with self._lock:
            minute, kind = int(now // 60), digest([status, problems])
            run = self._refusals.setdefault((minute, kind), run_key(now, kind))
            while len(self._refusals) > _REFUSALS:
                del self._refusals[next(iter(self._refusals))]
        self._note(run, facts, times=1)
        self._count("rejected")
        self.flush()

    def applied(self, change: RowChange, effects: list[str] | None) -> None:
        """A row is settled; `effects` are none where nothing had to be done."""
        if effects:
            self._row(change, {}, changed=1, seconds=max(round(self._clock() - change.first_sent), 0))
            self._count("applied")
        else:
            self._row(change, {}, unchanged=1)
            self._count("unchanged")

    def deferred(self, change: RowChange) -> None:
        """A row was sent back to the queue."""
        self._row(change, {}, deferred=1)
        self._count("deferred")

    def failed(self, change: RowChange) -> None:
        """A row has become a dead letter."""
        self._row(change, {"Failed": True}, failed=1)
        self._count("failed")

    def person(self, state: str, facts: Entity, key: str = "") -> str:
        """What a person did; written at once. Returns the run's key."""
        now = self._clock()
        run = run_key(now, key or secrets.token_hex(32))
        self._note(run, {"State": state, "Received": datetime.fromtimestamp(now, UTC), **facts})
        self.flush()
        return run

    # -- writing it down -----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write down what was not yet; what cannot be written now stays for the next time."""
        if not self._storage:
            return
        with self._writing:
            self._add_duplicates(self._storage)
            with self._lock:
                unwritten, self._unwritten = self._unwritten, {}
            entities = [{"PartitionKey": PARTITION, "RowKey": key, **facts} for key, facts in unwritten.items()]
            for at in range(0, len(entities), _BATCH):
                self._write(self._storage, entities[at : at + _BATCH])

    def close(self) -> None:
        """Write down the rest, for a few seconds at most."""
        self._closing.set()
        self._end = time.monotonic() + _CLOSE_SECONDS
        try:
            self.flush()
        except Exception:  # what else has to be closed must not suffer
            log.exception("the last runs could not be written down")

    def _row(self, change: RowChange, facts: Entity, **numbers: int) -> None:
        if change.run.startswith("r"):
            # In case its worker was killed before it wrote the run down.
            received = datetime.fromtimestamp(change.first_sent, UTC)
            self._note(change.run, {"Received": received, "NotificationId": change.notification[:_TEXT], **facts}, **numbers)

    def _count(self, what: str) -> None:
        self._note(f"h{datetime.fromtimestamp(self._clock(), UTC):%Y-%m-%dT%H}-{self._worker}", {}, **{what: 1})

    def _note(self, key: str, facts: Entity, **numbers: int) -> None:
        if not self._storage:
            return
        with self._lock:
            entity = self._unwritten.setdefault(key, {})
            entity |= facts
            if numbers:
                name, sums = self._numbers.setdefault(key, (f"N_{secrets.token_hex(4)}", Counter()))
                self._numbers.move_to_end(key)
                longest = max(sums["seconds"], numbers.pop("seconds", 0))
                sums.update(numbers)
                if longest:
                    sums["seconds"] = longest
                entity[name] = canonical(sums)
            while len(self._numbers) > _REMEMBERED:
                self._numbers.popitem(last=False)
            while len(self._unwritten) > _UNWRITTEN:  # storage is away for long
                del self._unwritten[next(iter(self._unwritten))]
            self._start_writer()

    def _start_writer(self) -> None:
        if self._writer is None and not self._closing.is_set():
            writer = threading.Thread(target=self._write_now_and_then, name="runs", daemon=True)
            try:
                writer.start()
            except RuntimeError:  # the machine has no thread left: the next note tries again
                return
            self._writer = writer

    def _write_now_and_then(self) -> None:
        """Ends when there is nothing to write; the next note starts another one."""
        while not self._closing.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:  # nobody would learn of it otherwise
                log.exception("runs could not be written down")
            with self._lock:
                if not (self._unwritten or self._duplicates):
                    self._writer = None
                    return

    def _add_duplicates(self, storage: Storage) -> None:
        with self._lock:
            duplicates, self._duplicates = self._duplicates, Counter()
        for key, times in duplicates.items():
            try:
                known = storage.notification(key)
            except AzureError:
                continue  # a number less
            if known and known.get("Run"):
                self._note(str(known["Run"]), {"Received": known["Received"]}, duplicates=times)

    def _write(self, storage: Storage, entities: list[Entity]) -> None:
        if self._closing.is_set() and len(entities) > 1:
            # A transaction of the SDK needs threads, and at exit there are none.
            for entity in entities:
                if time.monotonic() < self._end:
                    self._write(storage, [entity])
            return
        try:
            if len(entities) == 1:
                storage.runs.upsert_entity(entities[0])
            else:
                storage.runs.submit_transaction([("upsert", entity) for entity in entities])
        except HttpResponseError as error:
            if error.status_code == 400 and len(entities) > 1:  # one of them cannot be stored: the others can
                for entity in entities:
                    self._write(storage, [entity])
                return
            log.warning("%d runs could not be written down: %s", len(entities), error.status_code)
            if error.status_code not in {400, 413}:
                self._keep(entities)
        except (AzureError, RuntimeError) as error:  # RuntimeError: the SDK found no thread for its transaction
            log.warning("%d runs could not be written down: %s", len(entities), type(error).__name__)
            self._keep(entities)

    def _keep(self, entities: list[Entity]) -> None:
        with self._lock:
            for entity in entities:
                facts = {name: value for name, value in entity.items() if name not in {"PartitionKey", "RowKey"}}
                self._unwritten[entity["RowKey"]] = facts | self._unwritten.get(entity["RowKey"], {})


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run, with the numbers of all workers added up. `received` is in UTC; `seconds` is the slowest row's way."""

    id: str
    state: str
    received: datetime
    facts: Entity = field(repr=False)
    numbers: Counter[str] = field(default_factory=Counter)

    @property
    def key(self) -> str:
        """The key of its notification."""
        return self.id.partition("-")[2]

    @property
    def progress(self) -> str:
        """In one word: receiving, under way, done, failed (in part), rejected, resubmitted, discarded."""
        if self.state not in {"accepted", "resubmitted"}:
            return self.state
        if self.numbers["failed"]:
            return "failed"
        finished = self.numbers["changed"] + self.numbers["unchanged"]
        return "done" if finished >= int(self.facts.get("Changes", 0)) else "under way"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        numbers = {
            name: self.numbers[name] for name in ("changed", "unchanged", "deferred", "failed", "duplicates", "times")
        }
        facts = {name: value for name, value in self.facts.items() if not isinstance(value, datetime)}
        return {"id": self.id, "state": self.progress, "received": self.received.isoformat(), **facts, **numbers} | {
            "seconds": self.numbers["seconds"] or None
        }


def newest(storage: Storage, *, before: str = "", which: str = "", limit: int = 50) -> list[Run]:
    """The newest runs, older than the one called `before`; `which`: failed, rejected or people."""
    wanted = {
        "failed": " and Failed eq true",
        "rejected": " and State eq 'rejected'",
        "people": " and (State eq 'resubmitted' or State eq 'discarded')",
    }
    condition = "PartitionKey eq @partition and RowKey gt @after and RowKey lt 's'" + wanted.get(which, "")
    parameters = {"partition": PARTITION, "after": before or "r"}
    pages = storage.runs.query_entities(condition, parameters=parameters, results_per_page=limit).by_page()
    found: list[Run] = []
    for _, page in zip(range(_PAGES), pages, strict=False):
        found += [_run(entity) for entity in page]
        if len(found) >= limit:
            break
    return found[:limit]


def newest_notification(storage: Storage) -> float | None:
    """When the newest notification was taken in, in seconds since 1970; None where none is remembered."""
    condition = f"PartitionKey eq '{PARTITION}' and RowKey gt 'r' and RowKey lt 's' and State eq 'accepted'"
    pages = storage.runs.query_entities(condition, results_per_page=1).by_page()
    for _, page in zip(range(_PAGES), pages, strict=False):
        for entity in page:
            return _run(entity).received.timestamp()
    return None


def one(storage: Storage, run_id: str) -> Run | None:
    """One run."""
    try:
        return _run(storage.runs.get_entity(PARTITION, run_id))
    except ResourceNotFoundError:
        return None


def hours(storage: Storage, now: datetime, count: int = 24) -> dict[datetime, Counter[str]]:
    """The numbers of the last hours, oldest first: applied, unchanged, failed, deferred, and so on."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found: dict[datetime, Counter[str]] = {this - timedelta(hours=n): Counter() for n in reversed(range(count))}
    condition = "PartitionKey eq @partition and RowKey ge @first and RowKey lt 'i'"
    parameters = {"partition": PARTITION, "first": f"h{min(found):%Y-%m-%dT%H}"}
    for entity in storage.runs.query_entities(condition, parameters=parameters):
        hour = datetime.strptime(entity["RowKey"][1:14], "%Y-%m-%dT%H").replace(tzinfo=UTC)
        if hour in found:
            found[hour] += _sums(entity)
    return found


def _run(entity: Entity) -> Run:
    hidden = {"PartitionKey", "RowKey", "State", "Received"}
    facts = {name: value for name, value in entity.items() if name not in hidden and not name.startswith("N_")}
    received = entity.get("Received")
    if not isinstance(received, datetime):
        received = datetime.fromtimestamp((_LAST_MILLISECOND - int(entity["RowKey"][1:14])) / 1000, UTC)
    # Only rows have written so far: the worker that took the notification in was killed before it wrote.
    return Run(entity["RowKey"], entity.get("State", "accepted"), received, facts, _sums(entity))


def _sums(entity: Entity) -> Counter[str]:
    total: Counter[str] = Counter()
    for name, value in entity.items():
        if name.startswith("N_"):
            sums = json.loads(value)
            longest = max(total["seconds"], sums.pop("seconds", 0))
            total.update(sums)
            total["seconds"] = longest
    return total
