"""Table Runs, written: what happens is remembered, and written down now and then, best effort. No decision reads it.

Each worker adds up its own numbers, in a property of its own, so that none overwrites another's, and a write may be
repeated. They are kept in memory for a few seconds and written together: a worker that is killed loses the numbers of
those seconds. What became of each row is in its event link, and not lost.
"""

import logging
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from azure.core.exceptions import AzureError, HttpResponseError

from handlers.clients.activity_record import (
    NUMBERS,
    OWN,
    PARTITION,
    TEXT,
    VERSION,
    Run,
    body_key,
    facts_of,
    hour_key,
    run_key,
)
from handlers.clients.notifications import ReceivedNotification
from handlers.clients.search import IndexedRow, delta
from handlers.clients.storage import Storage
from handlers.clients.tables import BATCH, Entity, split
from handlers.sync.change import RowChange, canonical, digest

log = logging.getLogger(__name__)

__all__ = ["Recorder", "Run", "first_keys", "readable", "run_key"]

FLUSH_SECONDS = 3.0
_REMEMBERED = 5000  # runs whose numbers a worker adds up; for older ones it begins anew
_UNWRITTEN = 5000
_NAMES = 120
_REFUSALS = 500
_BODY_BYTES = 200_000  # of a refused request; what is larger is not kept
_BODIES_A_MINUTE = 20
_CLOSE_SECONDS = 3.0


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

    def began(self, received: ReceivedNotification, first: str = "") -> None:
        """A notification is being taken in; `first` are its `first_keys`."""
        facts = facts_of(
            state="receiving",
            received=received.received,
            query=received.query,
            notification=received.notification,
            rows=received.rows,
            changes=received.changes,
            without_key=received.without_key,
            first=first,
        )
        self._note(received.run, facts)

    def queued(self, run: str, *, unidentified: int) -> None:
        """All of its rows are in the queue, but for those without a key, which are dead letters already."""
        self._note(run, facts_of(state="accepted", failed=unidentified > 0), failed=unidentified)
        self._count("notifications")

    def duplicate(self, key: str) -> None:
        """Acumatica has sent a notification once more."""
        self._count("duplicates")
        if self._storage:
            with self._lock:
                self._duplicates[key] += 1

    def rejected(self, now: float, status: int, problems: list[str], body: bytes) -> None:
        """A request was refused. The same problems within one minute are one run, however often; written at once.

        What the first of them held is kept for a week, for whoever corrects the cause; it is told to no log.
        """
        facts = facts_of(
            state="rejected",
            received=datetime.fromtimestamp(now, UTC),
            status=status,
            problems="\n".join(problem[:TEXT] for problem in problems),
            bytes=min(len(body), 2**31 - 1),
        )
        with self._lock:
            minute, kind = int(now // 60), digest([status, problems])
            new = (minute, kind) not in self._refusals
            few = sum(known == minute for known, _ in self._refusals) < _BODIES_A_MINUTE
            run = self._refusals.setdefault((minute, kind), run_key(now, kind))
            while len(self._refusals) > _REFUSALS:
                del self._refusals[next(iter(self._refusals))]
        self._note(run, facts, times=1)
        self._count("rejected")
        self.flush()
        if new and few:
            self._keep_body(run, body)

    def applied(self, change: RowChange, effects: list[str] | None) -> None:
        """A row is settled; `effects` are none where nothing had to be done."""
        if effects:
            self._row(change, {}, changed=1, seconds=max(round(self._clock() - change.first_sent), 0))
            self._count("applied")
        else:
            self._row(change, {}, unchanged=1)
            self._count("unchanged")

    def indexed(self, row: IndexedRow) -> None:
        """How a row that has changed is looked for; written together with all else."""
        self._note(*delta(row))

    def deferred(self, change: RowChange) -> None:
        """A row was sent back to the queue."""
        self._row(change, {}, deferred=1)
        self._count("deferred")

    def failed(self, change: RowChange) -> None:
        """A row has become a dead letter."""
        self._row(change, facts_of(failed=True), failed=1)
        self._count("failed")

    def person(
        self,
        state: str,
        by: str,
        *,
        key: str = "",
        changes: int = 0,
        first: str = "",
        why: str = "",
        problems: str = "",
        row_key: str = "",
        mapping: str = "",
        link: str = "",
    ) -> str:
        """What a person did (resubmitted, discarded, released); written at once. The run's key; `key` is its second half."""
        now = self._clock()
        run = run_key(now, key or secrets.token_hex(32))
        about: dict[str, str | int] = {
            "first": first,
            "why": why,
            "problems": problems,
            "row_key": row_key,
            "mapping": mapping,
            "link": link,
        }
        if changes:
            about |= {"changes": changes, "rows": changes}
        self._note(run, facts_of(state=state, received=datetime.fromtimestamp(now, UTC), by=by, **about))
        self.flush()
        return run

    def sent(self, run: str, changes: int) -> None:
        """A release has sent so many changes in the end: rows that are there again were left alone."""
        self._note(run, facts_of(changes=changes, rows=changes))

    def swept(self, run: str, began: float, by: str, mapping: str, changes: int) -> None:
        """A sweep has sent so many changes."""
        about = {"by": by, "mapping": mapping, "changes": changes, "rows": changes}
        self._note(run, facts_of(state="swept", received=datetime.fromtimestamp(began, UTC), **about))

    # -- writing it down -----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write down what was not yet; what cannot be written now stays for the next time."""
        if not self._storage:
            return
        with self._writing:
            self._add_duplicates(self._storage)
            with self._lock:
                unwritten, self._unwritten = self._unwritten, {}
            own = {"PartitionKey": PARTITION, "Version": VERSION}
            entities = [{**own, "RowKey": key, **facts} for key, facts in unwritten.items()]
            for at in range(0, len(entities), BATCH):
                self._write(self._storage, entities[at : at + BATCH])

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
            self._note(change.run, facts_of(received=received, notification=change.notification) | facts, **numbers)

    def _count(self, what: str) -> None:
        self._note(hour_key(self._clock(), self._worker), {}, **{what: 1})

    def _note(self, key: str, facts: Entity, **numbers: int) -> None:
        if not self._storage:
            return
        with self._lock:
            entity = self._unwritten.setdefault(key, {})
            entity |= facts
            if numbers:
                name, sums = self._numbers.setdefault(key, (f"{NUMBERS}{secrets.token_hex(4)}", Counter()))
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
                known = storage.notifications.get(key)
            except AzureError:
                continue  # a number less
            if known and known.run:
                self._note(known.run, facts_of(received=known.received), duplicates=times)

    def _write(self, storage: Storage, entities: list[Entity]) -> None:
        if self._closing.is_set() and len(entities) > 1:
            # A transaction of the SDK needs threads, and at exit there are none.
            for entity in entities:
                if time.monotonic() < self._end:
                    self._write(storage, [entity])
            return
        try:
            if len(entities) == 1:
                storage.activity_table.upsert(entities[0])
            else:
                storage.activity_table.upsert_all(entities)
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

    def _keep_body(self, run: str, body: bytes) -> None:
        """Best effort, and once: a body is too large to wait in memory for better times."""
        if not self._storage or len(body) > _BODY_BYTES:
            return
        text = split(body.decode("utf-8", "replace"), "Body")
        try:
            self._storage.activity_table.upsert(
                {"PartitionKey": PARTITION, "RowKey": body_key(run), "Version": VERSION, **text}
            )
        except AzureError as error:
            log.warning("what a refused request held could not be kept: %s", type(error).__name__)

    def _keep(self, entities: list[Entity]) -> None:
        with self._lock:
            for entity in entities:
                facts = {name: value for name, value in entity.items() if name not in OWN}
                self._unwritten[entity["RowKey"]] = facts | self._unwritten.get(entity["RowKey"], {})
