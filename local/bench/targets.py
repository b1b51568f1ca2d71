"""What is to be reached, and what was. A target whose cases were not run is left out."""

from collections.abc import Callable, Mapping, Sequence

from handlers.clients.links import LINKS
from local.bench.result import Result, percentile
from local.bench.table import markdown

type Reached = tuple[str, bool]


def targets(results: Sequence[Result], cold_start: float) -> str:
    """The table of targets; `cold_start` is how many times as long as the library alone."""
    cases = {result.case: result for result in results}
    lines = []
    for target, needed, reached in _TARGETS:
        if not set(needed) - cases.keys():
            text, met = reached(cases)
            lines.append([target, text, "met" if met else "**not met**"])
    lines.append(
        ["Cold start ≤ 2.1 × `import azure.functions`", f"{cold_start:.2f} ×", "met" if cold_start <= 2.1 else "**not met**"]
    )
    if results:
        most = max(result.host_mib for result in results)
        wrong = sum(len(result.differences) for result in results)
        lines.append(["Host memory ≤ 250 MiB, in all cases", f"{most:.0f} MiB", "met" if most <= 250 else "**not met**"])
        lines.append(["Correct in all cases", f"{wrong} differences", "met" if not wrong else "**not met**"])
    return markdown([["Target", "Reached", ""], *lines])


def _single(cases: Mapping[str, Result], percent: int, most: float) -> Reached:
    case = cases["trickle, as in life"]
    ratio = percentile(case.calendar, percent) / (percentile(case.floor, percent) or 1)
    return f"{ratio:.2f} ×", ratio <= most


def _unanswered(cases: Mapping[str, Result]) -> Reached:
    times = cases["2 % unanswered"].calendar
    p99, most = percentile(times, 99), percentile(times, 100)
    return f"{p99:.1f} s, {most:.1f} s", p99 <= 15 and most <= 60


def _limits(cases: Mapping[str, Result]) -> Reached:
    shares = [case.rate / case.bound for case in (cases["hot, slow Graph"], cases["5 mailboxes, slow Graph"])]
    return ", ".join(f"{share:.0%}" for share in shares), min(shares) >= 0.8


def _intake(cases: Mapping[str, Result]) -> Reached:
    p50, p99 = (cases["offered as done"].answered(percent) for percent in (50, 99))
    return f"{p50:.0f} ms, {p99:.0f} ms", p50 <= 60 and p99 <= 300


def _rate(cases: Mapping[str, Result]) -> Reached:
    rate = cases["new rows"].rate
    return f"{rate:.1f}", rate >= 55


def _cpu(cases: Mapping[str, Result]) -> Reached:
    spent = cases["new rows"].each(cases["new rows"].host_cpu) * 1000
    return f"{spent:.1f} ms", spent <= 14


def _calls(cases: Mapping[str, Result]) -> Reached:
    new = cases["new rows"]
    graph, acumatica = new.each(new.graph_calls), new.each(new.acumatica_calls - 2 * new.sign_ins)
    links = sum(new.per_row(f"{LINKS} {kind}") for kind in ("read", "insert", "replace"))
    return f"{graph:.3f}, {acumatica:.3f}, {links:.3f}", graph == 1 and acumatica == 1 and links <= 2


def _echo(cases: Mapping[str, Result]) -> Reached:
    echo = cases["echoes"]
    calls, reads, writes = (
        echo.graph_calls + echo.acumatica_calls,
        *(echo.per_row(f"{LINKS} {k}") for k in ("read", "replace")),
    )
    return f"{calls}, {reads:.3f}, {writes:.3f}", calls == 0 and reads == 1 and writes == 1


_TARGETS: Sequence[tuple[str, tuple[str, ...], Callable[[Mapping[str, Result]], Reached]]] = (
    (
        "Single rows, Graph 300 ms: p50 ≤ 1.5 × the floor",
        ("trickle, as in life",),
        lambda cases: _single(cases, 50, 1.5),
    ),
    ("The same: p95 ≤ 2.5 × the floor", ("trickle, as in life",), lambda cases: _single(cases, 95, 2.5)),
    ("2 % of requests unanswered: p99 ≤ 15 s, none above 60 s", ("2 % unanswered",), _unanswered),
    ("New rows: ≥ 55 rows/s", ("new rows",), _rate),
    ("New rows: ≤ 14 ms of host CPU each", ("new rows",), _cpu),
    (
        "Slow Graph: hot mailbox and 5 mailboxes at ≥ 80 % of the least bound",
        ("hot, slow Graph", "5 mailboxes, slow Graph"),
        _limits,
    ),
    ("Rows offered as fast as they are done: answer p50 ≤ 60 ms, p99 ≤ 300 ms", ("offered as done",), _intake),
    (
        "New row: 1 request to Graph, 1 to Acumatica beside signing in and out, 2 operations on EventLinks",
        ("new rows",),
        _calls,
    ),
    ("Echo: no request, 1 read, 1 conditional write", ("echoes",), _echo),
)
