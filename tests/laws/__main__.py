"""Look for stories that end badly: `python -m tests.laws --seconds 60 --seed 1000`."""

# ruff: noqa: T201  (a program that prints)

import argparse
import logging
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.laws import quick
from tests.laws.judge import explained, simulate
from tests.laws.story import PLOTS, tell

_SEEDS, _BLOCKS = 2, 4  # seeds that a process takes at once, and how often before it is asked how it went
_SAY_SECONDS = 10


def main() -> int:
    """Tell stories of all plots in turn, seed by seed; print which end badly, how many there were, and one made simple."""
    parser = argparse.ArgumentParser(prog="python -m tests.laws", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", choices=PLOTS, action="append")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    plots = arguments.plot or list(PLOTS)
    logging.disable(logging.CRITICAL)
    began = said = time.monotonic()
    seed, bad = arguments.seed, list[tuple[int, str]]()
    with ProcessPoolExecutor(arguments.processes, initializer=_prepare) as pool:
        while (now := time.monotonic()) < began + arguments.seconds:
            if now > said + _SAY_SECONDS:
                said = now
                print(_so_far(seed - arguments.seed, plots, len(bad), now - began), file=sys.stderr, flush=True)
            first, seed = seed, seed + arguments.processes * _BLOCKS * _SEEDS
            for found in pool.map(partial(_told, plots), range(first, seed, _SEEDS)):
                for number, name, wrong in found:
                    bad.append((number, name))
                    print(f"Seed {number} of {name} ends badly: {'; '.join(wrong)}", flush=True)
    print(f"{_so_far(seed - arguments.seed, plots, len(bad), time.monotonic() - began)}; the next seed is {seed}.")
    if bad:
        number, name = bad[0]
        print(f"Seed {number} of {name}, made simple:{explained(tell(number, PLOTS[name]))}")
    return 1 if bad else 0


def _prepare() -> None:
    logging.disable(logging.CRITICAL)
    quick.install(pytest.MonkeyPatch())


def _told(plots: list[str], first: int) -> list[tuple[int, str, list[str]]]:
    """Which of some seeds' stories end badly, and how."""
    stories = [(seed, name) for seed in range(first, first + _SEEDS) for name in plots]
    return [(seed, name, wrong) for seed, name in stories if (wrong := simulate(tell(seed, PLOTS[name])))]


def _so_far(seeds: int, plots: list[str], bad: int, seconds: float) -> str:
    stories = seeds * len(plots)
    return f"{stories} stories of {', '.join(plots)}: {bad} ended badly; {60 * stories / seconds:.0f} a minute"


if __name__ == "__main__":
    sys.exit(main())
