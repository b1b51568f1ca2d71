"""`make bench`: how fast the app is, what a row costs, and what binds it; ends with a table and the judge's verdict.

The app runs in its host, with Azurite as storage; fakes take 20 ms for each request to Graph and 30 ms for each to
Acumatica, whose licence has 4 sessions. Azurite's access log counts the operations of storage. What binds is measured or
reckoned beside it: what the sessions allow, and what Azurite alone does with the same operations. All numbers are of this
machine; the ratios travel better.
"""

import argparse
import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, override

import requests
from azure.storage.queue import QueueClient

from handlers.clients.links import LINKS
from handlers.clients.queue import QUEUE
from handlers.telemetry import DEFERRED
from local.azurite import Azurite, AzuriteError
from local.fakes import Fault
from local.host import HostProcess, start
from local.host.process import HostError
from local.inquiry import Notification
from local.measure import Cost, Operations, additions, azurite_alone, cold_start, machine_cpu, spent
from local.world import ROOT, World

GRAPH_SECONDS, ACUMATICA_SECONDS, SESSIONS = 0.020, 0.030, 4
RECEIVER_SECONDS = 0.2
MAILBOXES, ROWS_EACH = 20, 10  # rows of one notification
OFFERED = 100.0  # rows that Acumatica sends per second, above what is to be reached
THREADS = 16
SETTINGS = {
    "ACUMATICA_MAX_SESSIONS": str(SESSIONS),
    "ACUMATICA_LINGER_SECONDS": "2",  # 20 in production: how long an idle session is kept
    "PYTHON_THREADPOOL_THREAD_COUNT": str(THREADS),
}
# For the case with faults: what takes minutes in production takes seconds, and little enough for the poison queue.
HURRIED = {
    "ACUMATICA_LEASE_SECONDS": "3",
    "ACUMATICA_SESSION_TIMEOUT_SECONDS": "5",
    "CLAIM_SECONDS": "8",
    "DELETE_GRACE_SECONDS": "1",
    "REQUEST_TIMEOUT_SECONDS": "2",
}
TROUBLE = {
    "graph": [
        Fault("status", probability=0.02, status=503),
        Fault("status", probability=0.02, status=429, headers={"Retry-After": "1"}),
        Fault("reset_before", probability=0.005),
        Fault("reset_after", probability=0.005),
    ],
    "acumatica": [
        Fault("status", "PUT", probability=0.02, status=500),
        Fault("status", "PUT", probability=0.02, status=429),
        Fault("reset_after", "PUT", probability=0.005),
    ],
}


@dataclass
class Result:
    """What one case has shown; times in seconds unless the name says milliseconds."""

    case: str
    hosts: int
    rows: int
    notifications: int
    seconds: float = 0.0  # from the first notification until no message is left
    answers_ms: list[float] = field(default_factory=list)
    graph_calls: int = 0
    acumatica_calls: int = 0  # sign-ins and sign-outs included
    sign_ins: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    host_mib: float = 0.0  # of the largest host, at its peak
    host_cpu: float = 0.0  # of all hosts
    azurite_cpu: float = 0.0
    bench_cpu: float = 0.0  # of the fakes and of the load
    other_cpu: float = 0.0  # of everything else on the machine: what disturbs the measurement
    deferred: int = 0
    sessions_open: int = 0
    bounds: dict[str, float] = field(default_factory=dict)  # rows per second
    differences: list[str] = field(default_factory=list)
    unfinished: str = ""  # how far it came, if the time was over before

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def bound(self) -> float:
        """The least of the bounds."""
        return min(self.bounds.values(), default=0.0)

    def each(self, total: float) -> float:
        """So much for each row."""
        return total / (self.rows or 1)

    def per_row(self, operation: str) -> float:
        """Operations of one kind for each row."""
        return self.each(self.operations.get(operation, 0))

    def answered(self, percent: int) -> float:
        """Milliseconds within which so many percent of the notifications were answered."""
        times = sorted(self.answers_ms)
        return times[min(len(times) * percent // 100, len(times) - 1)] if times else 0.0

    def as_json(self) -> dict[str, Any]:
        """All of it, with what is told of it."""
        told = asdict(self) | {"rate": self.rate, "bound": self.bound}
        return told | {f"answer_p{percent}_ms": self.answered(percent) for percent in (50, 95, 99)}


class Bench(World):
    """A world with several hosts on one storage; each case is measured from its first notification to quiescence."""

    def __init__(
        self, azurite: Azurite, hosts: int, options: argparse.Namespace, until: float, *, hurried: bool = False
    ) -> None:
        seed = options.seed
        super().__init__(
            azurite.connection_string(),
            SETTINGS | (HURRIED if hurried else {}) | dict(options.set),
            graph={"latency": GRAPH_SECONDS, "seed": seed},
            acumatica={
                "latency": ACUMATICA_SECONDS,
                "session_limit": SESSIONS,
                # As Acumatica's own; hurried, where workers are killed, what they leave ends soon.
                "session_timeout": 5.0 if hurried else 600.0,
                "seed": seed,
            },
            fetch_visibility=20 if hurried else None,
        )
        self.hosts: list[HostProcess] = []
        self.random = random.Random(seed)
        self._azurite = azurite
        self._wanted = hosts
        self._until = until
        # The SDK would wait 15 s after a kept connection has been closed meanwhile.
        self._queue = QueueClient.from_connection_string(self.connection, QUEUE, initial_backoff=0.1, increment_base=1)
        self._seen = 0

    @override
    def start_host(self) -> None:
        self.hosts = [start(env=self.settings, fetch_visibility=self._fetch_visibility) for _ in range(self._wanted)]
        self.host = self.hosts[0]
        for host in self.hosts:  # the first request builds the clients and makes tables and queue
            health = requests.get(f"{host.url}/api/health", timeout=60).json()
            if health["status"] != "ready":
                raise HostError(f"The app is not ready: {health}\n{host.log[-2000:]}")

    @override
    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._queue.close()
        for host in self.hosts:
            host.__exit__(kind, value, trace)
        super().__exit__(kind, value, trace)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def mailbox(self, number: int) -> str:
        """The mailbox of a row, all of them in turn."""
        return f"user{number % MAILBOXES:02}@example.com"

    def transactions(self, numbers: range, each: int, change: Callable[[int], Notification]) -> list[Notification]:
        """One notification for each so many rows; `change` is what happens to a row."""
        made = []
        for some in itertools.batched(numbers, each, strict=False):
            parts = [change(number) for number in some]
            inserted, deleted = ([row for part in parts for row in part[side]] for side in ("Inserted", "Deleted"))
            made.append(self.inquiry.notification(inserted, deleted))
        return made

    def new(self, number: int) -> Notification:
        """A new row."""
        return self.inquiry.save(f"B{number:05}", OwnerEmail=self.mailbox(number))

    def changed(self, number: int) -> Notification:
        """Another subject."""
        return self.inquiry.save(f"B{number:05}", Subject=f"subject {self.random.randrange(10**6)}")

    def hot(self, number: int) -> Notification:
        """A new row; every second one in the same mailbox."""
        mailbox = self.mailbox(number // 2 % (MAILBOXES - 1) + 1) if number % 2 else self.mailbox(0)
        return self.inquiry.save(f"B{number:05}", OwnerEmail=mailbox)

    def echo(self, number: int) -> Notification:
        """What our own write-back causes: the same row on both sides."""
        row = self.inquiry.rows[f"B{number:05}"]
        return self.inquiry.notification([row], [row])

    # -- measuring -----------------------------------------------------------------------------------------------------

    def measure(self, case: str, notifications: list[Notification], rows: int, *, rate: float = OFFERED) -> Result:
        """Send the notifications, so many rows per second, wait until all is done, and look at what it took."""
        result = Result(case, len(self.hosts), rows, len(notifications))
        before = self._look()
        began = time.monotonic()
        over = threading.Event()
        with ThreadPoolExecutor(9, "bench") as threads:
            telling = threads.submit(self._tell, result, before, over)
            try:
                pause = rows / len(notifications) / rate
                senders = [
                    threads.submit(self._send, n, began + i * pause, next(turn))
                    for turn in [itertools.cycle(self.hosts)]
                    for i, n in enumerate(notifications)
                ]
                result.answers_ms = [sender.result() for sender in senders]
                quiet = self.wait(self._quiet, self._until - time.monotonic())
                result.seconds = time.monotonic() - began
            finally:
                over.set()
            telling.result()
        spent_until_quiet = self._look()
        if quiet:  # a session that was handed over, and then not needed any more, waits for the upkeep: each minute
            result.differences = self.differences(timeout=80.0, budget=SESSIONS)
        result.sessions_open = len(self.acumatica.sessions)
        self._account(result, before, spent_until_quiet, self._look())
        if not quiet:  # what was reached counts, and is told of as much as was done
            result.rows = min(rows, result.operations.get(f"queue {QUEUE} delete", 0))
            result.unfinished = f"cut short after {result.rows:,} of {rows:,} rows, and not judged"
        return result

    def _send(self, notification: Notification, moment: float, host: HostProcess) -> float:
        """Send at a moment, until it is taken in; returns the milliseconds until the first answer."""
        time.sleep(max(0.0, moment - time.monotonic()))
        headers = {"x-functions-key": host.key, "Content-Type": "application/json"}
        url, body = f"{host.url}/api/notifications", json.dumps(notification).encode()
        began = time.monotonic()
        answer = _session().post(url, data=body, headers=headers, timeout=120)
        took = (time.monotonic() - began) * 1000
        if not answer.ok:
            self.deliver(notification)
        return took

    def _quiet(self) -> bool:
        """Whether no message is left. The queue is asked only when calls have ceased: for Azurite, a deep one is work."""
        time.sleep(0.2)
        seen, self._seen = self._seen, len(self.graph.calls) + len(self.acumatica.calls) + len(self.receivers.calls)
        return seen == self._seen and not self._queue.get_queue_properties().approximate_message_count

    def _look(self) -> dict[str, Any]:
        return {
            "graph": sum("/v1.0/" in call.path for call in self.graph.calls),
            "acumatica": len(self.acumatica.calls),
            "sign_ins": self.acumatica.sign_ins,
            "operations": Operations.read(self._azurite.log()),
            "hosts": [spent(host.pid) for host in self.hosts],
            "azurite": spent(self._azurite.pid or 0),
            "bench": spent(os.getpid()),
            "machine": machine_cpu(),
            "deferred": sum(host.log.count(f"telemetry: {DEFERRED} {{") for host in self.hosts),
        }

    @staticmethod
    def _account(result: Result, before: dict[str, Any], quiet: dict[str, Any], after: dict[str, Any]) -> None:
        def cpu(costs: list[Cost], earlier: list[Cost]) -> float:
            return sum(cost.cpu for cost in costs) - sum(cost.cpu for cost in earlier)

        result.graph_calls = after["graph"] - before["graph"]
        result.acumatica_calls = after["acumatica"] - before["acumatica"]
        result.sign_ins = after["sign_ins"] - before["sign_ins"]
        result.deferred = after["deferred"] - before["deferred"]
        result.operations = dict(quiet["operations"].counts - before["operations"].counts)
        result.host_mib = max(cost.mib for cost in after["hosts"])
        result.host_cpu = cpu(quiet["hosts"], before["hosts"])
        result.azurite_cpu = cpu([quiet["azurite"]], [before["azurite"]])
        result.bench_cpu = cpu([quiet["bench"]], [before["bench"]])
        ours = result.host_cpu + result.azurite_cpu + result.bench_cpu
        result.other_cpu = quiet["machine"] - before["machine"] - ours

    def _tell(self, result: Result, before: dict[str, Any], over: threading.Event) -> None:
        began, pause = time.monotonic(), 1.0 if sys.stderr.isatty() else 10.0
        while not over.wait(pause):
            done = len(self.acumatica.calls) - before["acumatica"] or len(self.graph.calls) - before["graph"]
            tell(f"{result.case}: {time.monotonic() - began:.0f} s, {done} calls for {result.rows} rows")


_local = threading.local()


def _session() -> requests.Session:
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    session: requests.Session = _local.session
    return session


def tell(what: str) -> None:
    """The progress line."""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{what:<79}", end=end, file=sys.stderr, flush=True)


# -- cases ---------------------------------------------------------------------------------------------------------------


def common(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """New rows, updates and echoes on one host; and what Azurite alone does with the operations of the new rows."""
    with Azurite(access_log=True) as azurite, Bench(azurite, 1, options, until) as bench:
        numbers = range(options.rows)
        for case, change in (("new rows", bench.new), ("updates", bench.changed), ("echoes", bench.echo)):
            yield bench.measure(case, bench.transactions(numbers, ROWS_EACH, change), len(numbers))


def hot_mailbox(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """Half of the rows belong to one mailbox."""
    rows = options.rows // 2
    with Azurite(access_log=True) as azurite, Bench(azurite, 1, options, until) as bench:
        yield bench.measure("hot mailbox", bench.transactions(range(rows), ROWS_EACH, bench.hot), rows)


def large(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """One notification of ten times the rows."""
    rows = 10 * options.rows
    with Azurite(access_log=True) as azurite, Bench(azurite, 1, options, until) as bench:
        yield bench.measure(f"one of {rows:,}", bench.transactions(range(rows), rows, bench.new), rows)


def instances(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """Several hosts on one storage."""
    for hosts in options.instances:
        with Azurite(access_log=True) as azurite, Bench(azurite, hosts, options, until) as bench:
            rows = options.rows // 2
            yield bench.measure(f"{hosts} hosts", bench.transactions(range(rows), ROWS_EACH, bench.new), rows)


def trickle(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """One row per second."""
    with Azurite(access_log=True) as azurite, Bench(azurite, 1, options, until) as bench:
        rows = range(options.trickle)
        yield bench.measure("trickle", bench.transactions(rows, 1, bench.new), len(rows), rate=1.0)


def trouble(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """Everything twice and in any order, on as many hosts as there may be, while Graph and Acumatica fail now and then."""
    hosts, rows = max(options.instances, default=1), options.rows // 8
    with Azurite(access_log=True) as azurite, Bench(azurite, hosts, options, until, hurried=True) as bench:
        bench.graph.faults.add(*TROUBLE["graph"])
        bench.acumatica.faults.add(*TROUBLE["acumatica"])
        sent = bench.transactions(range(rows), ROWS_EACH, bench.new)
        sent += bench.transactions(range(rows), ROWS_EACH, bench.changed)
        sent += bench.transactions(range(rows // 4), ROWS_EACH, lambda n: bench.inquiry.remove(f"B{n:05}"))
        sent *= 2
        bench.random.shuffle(sent)
        yield bench.measure(f"trouble, {hosts} hosts", sent, sum(len(n["Inserted"] or n["Deleted"]) for n in sent))


def relayed(options: argparse.Namespace, until: float) -> Iterator[Result]:
    """Each row goes to a calendar and to a receiver that takes its time, whose answer is written back as well."""
    both = argparse.Namespace(**vars(options) | {"set": [*options.set, ("MAPPINGS_DIR", str(ROOT / "local" / "relayed"))]})
    with Azurite(access_log=True) as azurite, Bench(azurite, 1, both, until) as bench:
        bench.acumatica.declare("Opportunity", "Opportunity", "UsrFlowId")
        bench.receivers.latency = RECEIVER_SECONDS
        rows = options.rows // 4
        yield bench.measure("relayed", bench.transactions(range(rows), ROWS_EACH, bench.new), rows)


CASES = {
    "common": common,
    "hot": hot_mailbox,
    "instances": instances,
    "trouble": trouble,
    "trickle": trickle,
    "large": large,
    "relayed": relayed,
}


# -- in all --------------------------------------------------------------------------------------------------------------


class Bounds:
    """What the services allow, in rows per second; Azurite alone is tried right after the case, as long as there is time."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._alone: dict[tuple[int, int], float] = {}

    def set(self, result: Result) -> None:
        """Put them beside what was reached."""
        if result.acumatica_calls:
            result.bounds["sessions"] = SESSIONS / ACUMATICA_SECONDS
        if result.case == "trickle":
            result.bounds["offered"] = 1.0
            return
        saves = round(sum(result.per_row(f"{LINKS} {kind}") for kind in ("insert", "replace")))
        kind = (saves, result.rows // result.notifications)
        if result.hosts == 1 and kind not in self._alone and self._until - time.monotonic() > result.seconds:
            tell(f"Azurite alone, as for: {result.case}")
            self._alone[kind] = azurite_alone(rows=result.rows, each=kind[1], saves=saves)
        if kind in self._alone:
            result.bounds["Azurite alone"] = self._alone[kind]


def table(results: list[Result]) -> str:
    """Everything in one table (Markdown), a column for each case."""
    operations = sorted({name for result in results for name in result.operations})
    lines: list[tuple[str, Callable[[Result], str]]] = [
        ("hosts", lambda r: f"{r.hosts}"),
        ("rows", lambda r: f"{r.rows:,}"),
        ("**rows/s**", lambda r: f"**{r.rate:.1f}**"),
        ("least bound, rows/s", lambda r: f"{r.bound:.0f} {min(r.bounds, key=r.bounds.__getitem__, default='')}"),
        ("ratio to it", lambda r: f"{r.rate / r.bound:.0%}" if r.bound else "-"),
        ("answer p50, ms", lambda r: f"{r.answered(50):.0f}"),
        ("answer p95, ms", lambda r: f"{r.answered(95):.0f}"),
        ("answer p99, ms", lambda r: f"{r.answered(99):.0f}"),
        ("Graph calls/row", lambda r: f"{r.each(r.graph_calls):.3f}"),
        ("Acumatica calls/row", lambda r: f"{r.each(r.acumatica_calls):.3f}"),
        ("sign-ins", lambda r: f"{r.sign_ins}"),
        ("sessions left open", lambda r: f"{r.sessions_open}"),
        ("deferred/row", lambda r: f"{r.each(r.deferred):.3f}"),
        ("host CPU, ms/row", lambda r: f"{r.each(r.host_cpu) * 1000:.1f}"),
        ("host memory, MiB", lambda r: f"{r.host_mib:.0f}"),
        ("Azurite CPU, ms/row", lambda r: f"{r.each(r.azurite_cpu) * 1000:.1f}"),
        ("bench CPU, ms/row", lambda r: f"{r.each(r.bench_cpu) * 1000:.1f}"),
        ("other CPU, cores", lambda r: f"{r.other_cpu / r.seconds:.2f}" if r.seconds else "-"),
        *((f"{name}/row", lambda r, name=name: f"{r.per_row(name):.3f}") for name in operations),
        ("differences", lambda r: "not judged" if r.unfinished else f"{len(r.differences)}"),
    ]
    rows = [["", *(result.case for result in results)]]
    rows += [[name, *(show(result) for result in results)] for name, show in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    written = ["| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]])


def main(arguments: list[str] | None = None) -> int:
    """Run the cases; the exit status is 0 only if all were run and the judge finds no differences."""
    options = _options(arguments)
    until = time.monotonic() + options.minutes * 60
    bounds = Bounds(until)
    results: list[Result] = []
    missing: list[str] = []
    machine: dict[str, Any] = {"cores": os.cpu_count(), "python": sys.version.split()[0], "additions": additions()}
    try:
        tell("cold start")
        start_up = cold_start()
        for name in options.only or CASES:
            if time.monotonic() + 15 > until:
                missing.append(name)
                continue
            for result in CASES[name](options, until):
                results.append(result)
                bounds.set(result)
                how = result.unfinished or f"{len(result.differences)} differences"
                tell(f"{result.case}: {result.rate:.1f} rows/s, {how}")
    except (AzuriteError, HostError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped: no verdict.")
        return 130
    return _report(options, machine | {"cold_start": start_up}, results, missing)


def _report(options: argparse.Namespace, machine: dict[str, Any], results: list[Result], missing: list[str]) -> int:
    alone, app = machine["cold_start"]["azure.functions"], machine["cold_start"]["function_app"]
    print(f"\n{table(results)}\n")
    print(
        f"Machine: {machine['cores']} cores, Python {machine['python']}; "
        f"5 million additions take {machine['additions']:.2f} s."
    )
    print(f"Cold start: function_app {app * 1000:.0f} ms = {app / alone:.2f} x azure.functions ({alone * 1000:.0f} ms)")
    told = machine | {"seed": options.seed, "set": dict(options.set), "missing": missing}
    told["cases"] = [result.as_json() for result in results]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(f"All numbers: {options.json}")
    found = [f"{result.case}: {difference}" for result in results for difference in result.differences]
    short = [f"{result.case}: {result.unfinished}" for result in results if result.unfinished]
    short += [f"{name}: not run" for name in missing]
    for problem in (found + short)[:20]:
        print(f"  ✗ {problem}")
    if found:
        print(f"FAILED: {len(found)} differences")
    elif short:
        print(f"INCOMPLETE: the {options.minutes:g} minutes were over. Give more: --minutes 12 (all take 9 on two cores).")
    else:
        print("OK: every case was run, and the judge finds no differences.")
    return 1 if found or short else 0


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.bench", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument(
        "--rows", type=int, default=1000, help="of new rows, updates and echoes; others have more or fewer (default: 1000)"
    )
    parser.add_argument("--instances", type=int, nargs="*", default=[2, 4], help="numbers of hosts (default: 2 4)")
    parser.add_argument("--trickle", type=int, default=12, help="seconds of one row each (default: 12)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: 1)")
    parser.add_argument("--minutes", type=float, default=5.0, help="the most that it may take (default: 5)")
    parser.add_argument("--set", action="append", default=[], type=_setting, metavar="NAME=VALUE", help="an app setting")
    parser.add_argument("--json", type=Path, default=Path(".local/bench.json"), help="where the numbers go")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
