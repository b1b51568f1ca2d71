"""The tables of the bench, as Markdown."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from local.bench.result import PERCENTS, Result, percentile

_COLUMNS = 9
_BEGIN, _END = "<!-- bench -->\n", "<!-- end -->"


def costs(results: Sequence[Result]) -> str:
    """What each case took and what binds it, a column for each; nine in one table."""
    return "\n\n".join(map(_costs, itertools.batched(results, _COLUMNS, strict=False)))


def _costs(results: Sequence[Result]) -> str:
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
    return markdown([["", *(r.case for r in results)], *([name, *map(show, results)] for name, show in lines)])


def felt(results: Sequence[Result]) -> str:
    """Seconds to the calendar as a multiple of the floor, a line for each case in which events were made."""
    heads = ["", "Graph, Acumatica, ms", "rows", "faults", *("max" if p == 100 else f"p{p}" for p in PERCENTS)]
    return markdown([heads, *(_felt(result) for result in results if result.calendar)])


def _felt(result: Result) -> list[str]:
    graph, acumatica = result.latency
    cells = [result.case, f"{graph * 1000:.0f}, {acumatica * 1000:.0f}", f"{len(result.calendar):,}", f"{result.faults}"]
    for percent in PERCENTS:
        took, floor = percentile(result.calendar, percent), percentile(result.floor, percent)
        cells.append(f"**{took:.2f}** = {took / floor:.1f} × {floor:.2f}")
    return cells


def markdown(rows: list[list[str]]) -> str:
    """A table; its first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    written = ["| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]])


def put_into(page: Path, text: str) -> None:
    """Put the tables into a page of the documentation, between `<!-- bench -->` and `<!-- end -->`."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise OSError(f"{page} has no place for the tables: {_BEGIN.strip()} and {_END}.")
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
