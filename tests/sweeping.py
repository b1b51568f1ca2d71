"""A sweep without a host: its steps are run one by one, and what it sends to the queues is applied by hand."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, override

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers import sweep as steps
from handlers import sweep_queue
from handlers.apply import apply
from handlers.clients.queue import QUEUE
from handlers.clients.sweeps import SWEEP_QUEUE, Mode, Sweep
from handlers.operations.activity import RowState, row
from handlers.sweep_start import start
from handlers.sync.change import RowChange, link_key
from local.fakes import FakeAcumatica, FakeGraph
from local.inquiry import Inquiry
from tests.bench import Bench

MAPPING = "opportunity-meetings"
READY_MADE = Path(__file__).resolve().parent.parent / "ready-made" / f"{MAPPING}.toml"


class Sweeping(Bench):
    """The app with one mapping of mode `full` that takes all existing rows in, and an inquiry whose rows can be read."""

    def __init__(self, storage: str, graph: FakeGraph, acumatica: FakeAcumatica, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._ahead, self._margin = 0.0, 240.0
        self.edit()
        super().__init__(
            storage, graph, acumatica, MAPPINGS_DIR=str(folder), SWEEP_MARGIN_MINUTES=str(self._margin), **settings
        )
        self.inquiry = Inquiry(acumatica)
        self._numbers = itertools.count(1)

    @property
    def now(self) -> float:
        """The time, which goes on by itself: whoever waits for a session gives up some day."""
        return time.time() + self._ahead

    @now.setter
    def now(self, moment: float) -> None:
        self._ahead = moment - time.time()

    def edit(self, mode: str = "full", rows: str = '"all"', change: Callable[[str], str] = lambda text: text) -> None:
        """Write the mapping file, which counts from the next start."""
        text = READY_MADE.read_text(encoding="utf-8") + f'\n[sweep]\nmode = "{mode}"\n[backfill]\nrows = {rows}\n'
        (self.folder / f"{MAPPING}.toml").write_text(change(text), encoding="utf-8")

    def save(self, *keys: str, **columns: Any) -> None:
        """Rows are in the inquiry, and no notification tells of it."""
        for key in keys:
            self.inquiry.save(key, **columns)

    def start(self, mode: Mode = "full") -> Sweep:
        """Begin a sweep that no message goes on with."""
        return start(MAPPING, mode, "a test", self.factory.intake(), queue=False)[0]

    def sweep(self, mode: Mode = "full", seconds: float = 120) -> Sweep:
        """One whole sweep, in steps of some seconds of simulated time; what it sends is applied."""
        found = self.start(mode)
        while found.phase != "done":
            found, delay = steps.step(found, self.factory.services(), seconds)
            self.now += delay
        self.drain()
        return found

    def drain(self) -> int:
        """Take all messages out of the queues, until none can be seen; how many they were."""
        count = 0
        for name, take in itertools.cycle(((SWEEP_QUEUE, sweep_queue.sweep), (QUEUE, apply))):
            taken = self._drain(name, take)
            count += taken
            if not taken and name == QUEUE:
                return count
        raise AssertionError

    def _drain(self, name: str, take: Callable[..., None]) -> int:
        count = 0
        client = QueueClient.from_connection_string(self.connection, name, message_decode_policy=TextBase64DecodePolicy())
        with client as queue, suppress(ResourceNotFoundError):
            for message in queue.receive_messages(visibility_timeout=300):
                take(message.content, self.factory)
                queue.delete_message(message)
                count += 1
        return count

    def later(self) -> None:
        """The next sweep's margin is shorter, as if time had passed: what was known before is older than its snapshot."""
        self._margin /= 2
        self.reconfigure()

    @override
    def reconfigure(self, **settings: str) -> None:
        super().reconfigure(**{"SWEEP_MARGIN_MINUTES": str(self._margin)} | settings)

    def pushed(self, key: str, timestamp: int = 0, **columns: Any) -> RowChange:
        """The change that the notification of a row brings."""
        told = self.inquiry.save(key, **columns)
        row = told["Inserted"][0]
        return RowChange("production", MAPPING, (key,), timestamp or told["TimeStamp"], row, "n", self.now)

    def delayed(self) -> int:
        """How many orders cannot be seen yet; they are forgotten by this."""
        with QueueClient.from_connection_string(self.connection, SWEEP_QUEUE) as queue, suppress(ResourceNotFoundError):
            count = queue.get_queue_properties().approximate_message_count or 0
            queue.clear_messages()
            return count
        return 0

    def entities(self, table: str, but: str = "") -> list[dict[str, Any]]:
        """What a table holds, with its ETags; without a partition."""
        with TableServiceClient.from_connection_string(self.connection) as tables:
            found = tables.get_table_client(table).list_entities()
            return [dict(each) | {"etag": each.metadata["etag"]} for each in found if each["PartitionKey"] != but]

    def row(self, key: str) -> RowState | None:
        """What is known of a row."""
        return row(link_key("production", MAPPING, (key,)), self.factory.storage())


@contextmanager
def sweeping(storage: str, folder: Path, patch: pytest.MonkeyPatch, **settings: str) -> Iterator[Sweeping]:
    """The app with fakes of its own, until it is closed."""
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            patch.setenv(name, value)
        bench = Sweeping(storage, graph, acumatica, folder, **settings)
        yield bench
        bench.factory.close()


def names(count: int) -> list[str]:
    """Keys of so many rows."""
    return [f"K{n:03}" for n in range(count)]


def known(swept: Sweeping, count: int) -> None:
    """Rows that are in the calendar, since an hour."""
    swept.save(*names(count))
    swept.sweep()
    swept.later()
    assert len(swept.subjects()) == count
