"""What a sweep of many equal rows costs: `python -m local.sweep_costs --rows 100000`.

Rows are put into the fake's inquiry, and their event links into Azurite, as if each had been pushed long ago. The host
then sweeps them, in a process of its own each time: as a report, and in mode `upsert`. Nothing is to be done, so all that is
spent is the cost of looking. Memory is the most that the host's process had (VmHWM), which is the same in Azure but for
what the worker there needs itself; times are of this machine, where the fake sorts all rows for each page. Linux.
"""

import argparse
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import batched, groupby
from pathlib import Path

from handlers.clients.links import LINKS, entity_of
from handlers.clients.storage import Storage
from handlers.clients.sweeps import Mode, Sweep
from handlers.clients.tables import BATCH
from handlers.environment import load_settings
from handlers.services import Intake
from handlers.settings import IntakeSettings, StorageSettings
from handlers.sweep_start import start
from handlers.sync.link import Column, EventLink
from local import judge
from local.azurite import Azurite
from local.measure import Operations, spent
from local.world import MAPPING, MAPPINGS, World

PAGE = 1000
_FIRST = "K0"
_MIB_MAX = 300e6 / 2**20


def main() -> int:
    """Measure; the exit status is 0 if the sweep is as cheap as it has to be."""
    made = argparse.ArgumentParser(prog="python -m local.sweep_costs", description=(__doc__ or "").partition(":")[0])
    made.add_argument("--rows", type=int, default=100_000, help="equal rows (default: 100000)")
    made.add_argument("--minutes", type=float, default=20.0, help="that one sweep may take (default: 20)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as folder, Azurite(access_log=True) as azurite:
        text = (MAPPINGS / f"{MAPPING}.toml").read_text(encoding="utf-8")
        Path(folder, f"{MAPPING}.toml").write_text(f'{text}\n[sweep]\nmode = "upsert"\n[backfill]\nrows = "all"\n', "utf-8")
        settings = {"MAPPINGS_DIR": folder, "SWEEP_PAGE_ROWS": str(PAGE)}
        with World(azurite.connection_string(), settings) as world:
            began = time.monotonic()
            _clone(world, options.rows)
            print(f"{options.rows:,} rows and links made in {time.monotonic() - began:.0f} s", flush=True)
            modes: tuple[Mode, ...] = ("report", "upsert")
            bad = [wrong for mode in modes for wrong in _measured(mode, world, azurite, options)]
    for wrong in bad:
        print(f"  ✗ {wrong}")
    return 1 if bad else 0


def _clone(world: World, count: int) -> None:
    """One row is pushed and settled; all others are like it, in the inquiry and among the links."""
    world.deliver(world.inquiry.save(_FIRST))
    world.rest()
    row = world.inquiry.rows[_FIRST]
    settings = load_settings(StorageSettings, {"AzureWebJobsStorage": world.connection})
    with closing(Storage(settings)) as storage:
        first = next(storage.links.all())
        links = sorted(_alike(first, count), key=lambda link: link.key)
        for _, some in groupby(links, key=lambda link: link.key[:2]):
            for batch in batched(some, BATCH, strict=False):
                storage.links._table.upsert_all([entity_of(link) for link in batch])  # noqa: SLF001
    world.inquiry.rows |= {link.row_key[0]: row | {"OpportunityID": link.row_key[0]} for link in links}


def _alike(first: EventLink, count: int) -> Iterator[EventLink]:
    stamp = first.columns["OpportunityID"].timestamp
    for key in (f"K{n}" for n in range(1, count)):
        yield replace(first, row_key=(key,), columns=first.columns | {"OpportunityID": Column(stamp, key)})


def _measured(mode: Mode, world: World, azurite: Azurite, options: argparse.Namespace) -> Iterator[str]:
    """Sweep once, in a new host, and print what it took; yields what was too much."""
    world.restart_host(kill=False)
    idle = spent(world.host.pid)
    before, asked = Operations.read(azurite.log()).counts, len(world.acumatica.calls)
    graph, began = _graph(world), time.monotonic()
    done = _swept(world, mode, options.minutes * 60)
    if done is None:
        yield f"{mode}: it did not end within {options.minutes:g} minutes"
        return
    seconds, cost = time.monotonic() - began, spent(world.host.pid)
    operations = Operations.read(azurite.log()).counts - before
    paths = Counter(
        "$metadata" if "$metadata" in call.path else "page" for call in world.acumatica.calls[asked:] if "odata" in call.path
    )
    writes = sum(operations[f"{LINKS} {kind}"] for kind in ("insert", "replace", "merge", "delete", "batch"))
    plan, steps = done.plan, paths["$metadata"]
    print(f"{mode}: {plan.read:,} rows read, {plan.equal:,} equal, in {seconds:.0f} s and {steps} steps")
    print(f"  memory {cost.mib:.0f} MiB ({idle.mib:.0f} before), processor {cost.cpu - idle.cpu:.0f} s")
    print(f"  Acumatica {paths['page']} pages, Graph {_graph(world) - graph} calls")
    print(f"  links: {operations[f'{LINKS} read']} list requests, {writes} writes")
    print(f"  storage in all: {', '.join(f'{name} {n}' for name, n in sorted(operations.items()))}", flush=True)
    if (plan.read, plan.equal) != (options.rows, options.rows):
        yield f"{mode}: {plan} {done.code} {done.reason}"
    if paths["page"] > math.ceil(options.rows / PAGE) + steps - 1:  # a step that begins anew may ask for a page again
        yield f"{mode}: {paths['page']} pages of Acumatica"
    if _graph(world) > graph or writes:
        yield f"{mode}: Graph was called, or links were written"
    if operations[f"{LINKS} read"] > steps * (math.ceil(options.rows / PAGE) + 1):
        yield f"{mode}: {operations[f'{LINKS} read']} list requests"
    if cost.mib > _MIB_MAX:
        yield f"{mode}: {cost.mib:.0f} MiB"


def _graph(world: World) -> int:
    return sum("/v1.0/" in call.path for call in world.graph.calls)


def _swept(world: World, mode: Mode, timeout: float) -> Sweep | None:
    """Begin a sweep of the rows alone, not of the calendars, and wait for its end."""
    with closing(Storage(load_settings(StorageSettings, world.settings))) as storage:
        intake = Intake(settings=load_settings(IntakeSettings, world.settings), mappings=world.mappings, storage=storage)
        begun, _ = start(MAPPING, mode, "a measurement", intake)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        time.sleep(1.0)
        found = judge.newest_sweep(world.connection, MAPPING)
        if found and found.phase == "done" and found.id == begun.id:
            return found
    return None


if __name__ == "__main__":
    sys.exit(main())
