"""What `make bench` measures with: what a process has spent, Azurite's access log, Azurite alone, and the cold start."""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
import timeit
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions as TablePermissions
from azure.data.tables import ResourceTypes as TableTypes
from azure.data.tables import generate_account_sas as table_signature
from azure.storage.queue import AccountSasPermissions as QueuePermissions
from azure.storage.queue import ResourceTypes as QueueTypes
from azure.storage.queue import generate_account_sas as queue_signature
from yarl import URL

from handlers.clients.links import LINKS
from handlers.clients.notifications import NOTIFICATIONS
from handlers.clients.queue import QUEUE
from local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite
from local.host.process import ROOT

_LINE = re.compile(rf'"(\w+) /{ACCOUNT}/([^/?( "]+)([^?" ]*)(\S*) HTTP')
_TABLE = {"GET": "read", "POST": "insert", "PUT": "replace", "PATCH": "merge", "DELETE": "delete"}
_QUEUE = {"GET": "receive", "POST": "send", "PUT": "update", "DELETE": "delete"}
_STATE, _MESSAGE = 1100, 700  # bytes of an event link, and of a message in base64, as in the cases of the bench
_LOOK = f"queue {QUEUE} other"  # how many messages there are: asked by the bench itself, and by health


@dataclass(frozen=True)
class Cost:
    """Of a process so far: CPU seconds, and the most memory that it had, in MiB."""

    cpu: float
    mib: float


def spent(pid: int) -> Cost:
    """What a process has spent, as Linux tells it (https://man7.org/linux/man-pages/man5/proc.5.html)."""
    process = Path("/proc", str(pid))
    if not process.exists():
        raise OSError("CPU and memory of other processes are read from /proc: the bench needs Linux.")
    fields = (process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    peak = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text(encoding="utf-8"))
    return Cost(ticks / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024 if peak else 0.0)


def machine_cpu() -> float:
    """CPU seconds that all processes together have spent since the start of the machine."""
    user, nice, system, *_ = Path("/proc/stat").read_text(encoding="ascii").split()[1:]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def additions() -> float:
    """Seconds that 5 million additions take: how fast the machine is for Python, median of 5."""
    return statistics.median(timeit.repeat("for i in range(5_000_000): n += i", "n = 0", number=1, repeat=5))


def machine() -> str:
    """What it all ran on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return f"Machine: {os.cpu_count()} cores ({model[1] if model else 'unknown'}), Python {sys.version.split()[0]}"


@dataclass(frozen=True)
class Operations:
    """Operations of storage by table or queue and kind, as `EventLinks read` or `queue row-changes send`."""

    counts: Counter[str]

    @classmethod
    def read(cls, access_log: str) -> Self:
        """Read Azurite's access log."""
        named = (cls._named(*match.groups()) for match in _LINE.finditer(access_log))
        counts = Counter(named)
        del counts[_LOOK]
        return cls(counts)

    @staticmethod
    def _named(method: str, first: str, rest: str, query: str) -> str:
        if rest.startswith("/messages"):
            return f"queue {first} {_QUEUE[method]}"
        if first[0].isupper():  # tables are named so here, queues and containers are not
            batch = first == "$batch"
            return f"{first} {'batch' if batch else _TABLE[method]}"
        return f"queue {first} other" if "comp=metadata" in query else f"{first} {method}"


# -- Azurite alone -------------------------------------------------------------------------------------------------------


def azurite_alone(*, rows: int, each: int, saves: int, at_a_time: int = 16) -> float:
    """Rows per second that Azurite carries when the app's operations are all that there is to do.

    The same operations as for `rows` rows in notifications of `each`, with `saves` writes of each event link, in the same
    order and `at_a_time` rows at once, from one process, without an SDK: HTTP by aiohttp, with a shared access signature
    instead of signed headers.
    """
    with Azurite() as azurite:
        return asyncio.run(_Replay(azurite, saves).run(rows, each, at_a_time))


class _Replay:
    def __init__(self, azurite: Azurite, saves: int) -> None:
        self._azurite = azurite
        self._saves = saves
        self._state = "x" * _STATE
        self._message = f"<QueueMessage><MessageText>{'x' * _MESSAGE}</MessageText></QueueMessage>"
        until = datetime.now(UTC) + timedelta(hours=1)
        key = AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY)
        everything = "rwdlacup"  # read, write, delete, list, add, create, update, process
        self._signatures = {
            "table": table_signature(
                key,
                TableTypes.from_string("sco"),
                TablePermissions.from_string(everything),
                until,
            ),
            "queue": queue_signature(
                ACCOUNT,
                ACCOUNT_KEY,
                QueueTypes.from_string("sco"),  # type: ignore[no-untyped-call]
                QueuePermissions.from_string(everything),  # type: ignore[no-untyped-call]
                until,
            ),
        }
        self._http: aiohttp.ClientSession

    async def run(self, rows: int, each: int, at_a_time: int) -> float:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as self._http:
            for table in (NOTIFICATIONS, LINKS):
                await self._table("POST", "Tables", {"TableName": table})
            await self._queue("PUT", QUEUE)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take_in(rows, each))
                tasks.create_task(self._apply(rows, at_a_time))
            return rows / (time.monotonic() - began)

    async def _take_in(self, rows: int, each: int) -> None:
        for number in range(0, rows, each):
            key = {"PartitionKey": f"{number % 256:02x}", "RowKey": f"{number:064x}"}
            await self._table("POST", NOTIFICATIONS, key | {"State": "receiving"})
            limit = asyncio.Semaphore(32)
            await asyncio.gather(*(self._send(limit) for _ in range(each)))
            await self._table("PATCH", _entity(NOTIFICATIONS, **key), key | {"State": "queued"})

    async def _send(self, limit: asyncio.Semaphore) -> None:
        async with limit:
            await self._queue("POST", f"{QUEUE}/messages", "messagettl=-1", self._message)

    async def _apply(self, rows: int, at_a_time: int) -> None:
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        while number < rows:
            text = await self._queue("GET", f"{QUEUE}/messages", "numofmessages=16&visibilitytimeout=600")
            receipts = re.findall(r"<MessageId>(.*?)</MessageId>.*?<PopReceipt>(.*?)</PopReceipt>", text, re.DOTALL)
            for message, receipt in receipts:
                under_way.add(asyncio.create_task(self._row(number, message, receipt)))
                number += 1
            while len(under_way) > at_a_time:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*under_way)

    async def _row(self, number: int, message: str, receipt: str) -> None:
        key = {"PartitionKey": f"{number % 256:02x}", "RowKey": f"{number:064x}"}
        entity, state = _entity(LINKS, **key), key | {"State0": self._state}
        await self._table("GET", entity, wanted=404)
        etag = await self._table("POST", LINKS, state)
        for _ in range(self._saves - 1):
            etag = await self._table("PUT", entity, state, etag)
        await self._queue("DELETE", f"{QUEUE}/messages/{message}", f"popreceipt={quote(receipt, safe='')}")

    async def _table(self, method: str, path: str, body: Any = None, etag: str = "", wanted: int = 0) -> str:
        headers = {"Accept": "application/json;odata=minimalmetadata", "Content-Type": "application/json"}
        headers |= {"Prefer": "return-no-content"} | ({"If-Match": etag} if etag else {})
        url = URL(f"{self._azurite.endpoint('table')}/{path}?{self._signatures['table']}", encoded=True)
        async with self._http.request(method, url, headers=headers, data=json.dumps(body) if body else None) as answer:
            await answer.read()
            _expect(answer.status, wanted)
            return answer.headers.get("ETag", "")

    async def _queue(self, method: str, path: str, query: str = "", body: str = "") -> str:
        url = f"{self._azurite.endpoint('queue')}/{path}?{query}{'&' if query else ''}{self._signatures['queue']}"
        headers = {"x-ms-version": "2024-11-04"}
        async with self._http.request(method, URL(url, encoded=True), headers=headers, data=body or None) as answer:
            text = await answer.text()
            _expect(answer.status)
            return text


def _entity(table: str, *, PartitionKey: str, RowKey: str) -> str:  # noqa: N803  (storage's names)
    return f"{table}(PartitionKey='{PartitionKey}',RowKey='{RowKey}')"


def _expect(status: int, wanted: int = 0) -> None:
    if status != wanted and not (200 <= status < 300 and not wanted):
        raise OSError(f"Azurite answered {status}.")


# -- cold start ----------------------------------------------------------------------------------------------------------

_START = """
import time
began = time.process_time()
{what}
print(time.process_time() - began)
"""
_IDENTITY = {
    "AzureWebJobsStorage__accountName": "account",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__clientId": "00000000-0000-0000-0000-000000000000",
}


def cold_start(times: int = 5) -> dict[str, float]:
    """Median seconds, each in a fresh process: to import azure.functions alone; to import and index function_app.py.

    CPU time: an import does not wait, and what else runs on the machine does not count.
    """
    ways = {
        "azure.functions": "import azure.functions",
        "function_app": "import function_app; function_app.app.get_functions()",
    }
    runs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(times):
        for name, what in ways.items():
            command = [sys.executable, "-c", _START.format(what=what)]
            environment = {"PATH": os.environ["PATH"], **_IDENTITY}
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
            runs[name].append(float(run.stdout))
    return {name: statistics.median(seconds) for name, seconds in runs.items()}
