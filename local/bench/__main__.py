"""`python -m local.bench`: runs the cases; the exit status is 0 only if all were run and the judge finds no differences."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import local.bench as package
from local.azurite import AzuriteError
from local.bench.cases import CASES
from local.bench.limits import Bounds
from local.bench.options import Options, parse
from local.bench.result import Result
from local.bench.running import tell
from local.bench.table import costs, felt, put_into
from local.bench.targets import targets
from local.host.process import HostError
from local.measure import additions, cold_start, machine


def main(arguments: list[str] | None = None) -> int:
    """Run the cases that are asked for."""
    options = parse(arguments, tuple(CASES), (package.__doc__ or "").partition("\n\n")[0])
    sizes = ", ".join(f"{name} {value:g}" for name, value in vars(options.sizes).items())
    print(f"Cases: {', '.join(options.only)}. Sizes: {sizes}; --full has those of docs/performance.md.", flush=True)
    bounds = Bounds(options.until, options.settings, tell)
    results: list[Result] = []
    missing: list[str] = []
    about: dict[str, Any] = {"additions": additions()}
    try:
        tell("cold start")
        about["cold_start"] = cold_start()
        for name in options.only:
            if time.monotonic() + 15 > options.until:
                missing.append(name)
                continue
            for result in CASES[name](options):
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
    return _report(options, about, results, missing)


def _report(options: Options, about: dict[str, Any], results: Sequence[Result], missing: Sequence[str]) -> int:
    alone, app = about["cold_start"]["azure.functions"], about["cold_start"]["function_app"]
    told = [
        felt(results),
        targets(results, app / alone),
        costs(results),
        f"{machine()}; 5 million additions take {about['additions']:.2f} s. Seed {options.seed}.",
        f"Cold start: function_app {app * 1000:.0f} ms = {app / alone:.2f} x azure.functions ({alone * 1000:.0f} ms).",
    ]
    text = "\n\n".join(told)
    print(f"\n{text}")
    numbers = about | {"machine": machine(), "seed": options.seed, "set": options.settings, "missing": [*missing]}
    numbers |= {"sizes": vars(options.sizes), "cases": [result.as_json() for result in results]}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    print(f"All numbers: {options.json}")
    if options.page:
        put_into(options.page, text)
    found = [f"{result.case}: {difference}" for result in results for difference in result.differences]
    short = [f"{result.case}: {result.unfinished}" for result in results if result.unfinished]
    short += [f"{name}: not run" for name in missing]
    for problem in (found + short)[:20]:
        print(f"  ✗ {problem}")
    if found:
        print(f"FAILED: {len(found)} differences")
    elif short:
        print(f"INCOMPLETE: the {options.sizes.minutes:g} minutes were over. Give more: --minutes.")
    else:
        print("OK: every case was run, and the judge finds no differences.")
    return 1 if found or short else 0


if __name__ == "__main__":
    sys.exit(main())
