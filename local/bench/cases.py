"""The cases of the bench."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from local.azurite import Azurite
from local.bench.options import Options
from local.bench.result import LIFE, SLOW_GRAPH, Result
from local.bench.running import Bench
from local.fakes import Fault
from local.world import ROOT

_EACH = 10  # rows of one notification
_PAUSE = 7.0  # seconds without a row: the host's looks into the queue are as rare by then as they get
_KILLED = 30.0  # rows a second
_HURRIED = 20  # seconds
_RECEIVER = 0.2  # seconds
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


def unanswered(seconds: float, path: str) -> list[Fault]:
    """2 % of the requests get no answer that says what came of them; `seconds` is longer than an answer is waited for."""
    some = 0.02 / 6
    return [
        Fault("status", path=path, probability=some, status=504),
        Fault("status_after", path=path, probability=some, status=504),
        Fault("reset_before", path=path, probability=some),
        Fault("reset_after", path=path, probability=some),
        Fault("slow", path=path, probability=some, seconds=seconds),
        Fault("slow_after", path=path, probability=some, seconds=seconds),
    ]


@contextmanager
def _bench(options: Options, hosts: int = 1, lease: int = 600) -> Iterator[Bench]:
    with Azurite(access_log=True) as azurite, Bench(azurite, hosts, options, lease=lease) as bench:
        yield bench


def common(options: Options) -> Iterator[Result]:
    """New rows, updates and echoes on one host, a burst, and rows that come as fast as they are done."""
    rows = options.sizes.rows
    with _bench(options) as bench:
        new = bench.measure("new rows", bench.transactions(range(rows), _EACH, bench.new))
        yield new
        for case, change in (("updates", bench.changed), ("echoes", bench.echo)):
            yield bench.measure(case, bench.transactions(range(rows), _EACH, change))
        yield bench.measure("burst", bench.transactions(range(rows, 2 * rows), _EACH, bench.new), rate=math.inf)
        some = range(2 * rows, 2 * rows + rows // 2)
        offered = bench.measure("offered as done", bench.transactions(some, _EACH, bench.new), rate=new.rate)
        offered.bounds["offered"] = new.rate
        yield offered


def mailboxes(options: Options) -> Iterator[Result]:
    """Half of the rows belong to one mailbox; and with a Graph as slow as in life, where mailboxes bind."""
    rows = options.sizes.rows
    with _bench(options) as bench:
        yield bench.measure("hot mailbox", bench.transactions(range(rows // 2), _EACH, bench.hot))
        bench.latency = SLOW_GRAPH
        yield bench.measure("hot, slow Graph", bench.transactions(range(rows // 2, rows), _EACH, bench.hot))
        five = bench.transactions(range(rows, 2 * rows), _EACH, lambda n: bench.new(n, mailboxes=5))
        yield bench.measure("5 mailboxes, slow Graph", five)


def instances(options: Options) -> Iterator[Result]:
    """Several hosts on one storage."""
    for hosts in options.hosts:
        with _bench(options, hosts) as bench:
            yield bench.measure(f"{hosts} hosts", bench.transactions(range(options.sizes.rows // 2), _EACH, bench.new))


def trouble(options: Options) -> Iterator[Result]:
    """Everything twice and in any order, on as many hosts as there may be, while Graph and Acumatica fail now and then."""
    hosts, rows = max(options.hosts, default=1), options.sizes.rows // 8
    with _bench(options, hosts, _HURRIED) as bench:
        bench.graph.faults.add(*TROUBLE["graph"])
        bench.acumatica.faults.add(*TROUBLE["acumatica"])
        sent = bench.transactions(range(rows), _EACH, bench.new)
        sent += bench.transactions(range(rows), _EACH, bench.changed)
        sent += bench.transactions(range(rows // 4), _EACH, lambda n: bench.inquiry.remove(f"B{n:05}"))
        sent *= 2
        bench.random.shuffle(sent)
        yield bench.measure(f"trouble, {hosts} hosts", sent)


def single(options: Options) -> Iterator[Result]:
    """Single rows: one a second, after a pause, and while 2 % of the requests get no answer. All waits as in production."""
    done = 0

    def some(count: int, rate: float, case: str, *, late: bool = False) -> Result:
        nonlocal done
        rows = range(done, done + count)
        done += count
        result = bench.measure(case, bench.transactions(rows, 1, bench.new), rate=rate, late=late)
        result.bounds["offered"] = rate
        return result

    with _bench(options) as bench:
        yield some(options.sizes.trickle, 1.0, "trickle")
        bench.latency = LIFE
        yield some(options.sizes.trickle, 1.0, "trickle, as in life")
        yield some(options.sizes.pauses, 1 / _PAUSE, "after a pause")
        bench.graph.faults.add(*unanswered(45.0, "/events"))
        bench.acumatica.faults.add(*unanswered(120.0, "/Opportunity"))
        yield some(options.sizes.troubled, 1.0, "2 % unanswered", late=True)


def kill(options: Options) -> Iterator[Result]:
    """The host is killed midway; what it had fetched comes back when its lease is over."""
    rows, lease = options.sizes.rows // 2, options.sizes.lease
    with _bench(options, lease=lease) as bench:
        sent = bench.transactions(range(rows), _EACH, bench.new)
        result = bench.measure(f"kill, leases of {lease} s", sent, rate=_KILLED, midway=bench.kill_host)
        result.bounds["offered"] = _KILLED
        yield result


def large(options: Options) -> Iterator[Result]:
    """One notification of many rows."""
    rows = options.sizes.large
    with _bench(options) as bench:
        yield bench.measure(f"one of {rows:,}", bench.transactions(range(rows), rows, bench.new))


def relayed(options: Options) -> Iterator[Result]:
    """Each row goes to a calendar and to a receiver that takes its time, whose answer is written back as well."""
    both = replace(options, settings={**options.settings, "MAPPINGS_DIR": str(ROOT / "local" / "relayed")})
    with _bench(both) as bench:
        bench.acumatica.declare("Opportunity", "Opportunity", "UsrFlowId")
        bench.receivers.latency = _RECEIVER
        yield bench.measure("relayed", bench.transactions(range(options.sizes.rows // 4), _EACH, bench.new))


CASES: Mapping[str, Callable[[Options], Iterator[Result]]] = {
    "common": common,
    "mailboxes": mailboxes,
    "instances": instances,
    "trouble": trouble,
    "single": single,
    "kill": kill,
    "large": large,
    "relayed": relayed,
}
