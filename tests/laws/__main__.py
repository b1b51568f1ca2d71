"""Look for a story that ends badly: `python -m tests.laws --seconds 60 --seed 1000`."""

# ruff: noqa: T201  (a program that prints)

import argparse
import logging
import sys
import time
from collections import Counter

from tests.laws.judge import explained, simulate
from tests.laws.story import PLOTS, tell


def main() -> int:
    """Tell stories of all plots in turn, seed by seed; print how many, and the first that ends badly, made simple."""
    parser = argparse.ArgumentParser(prog="python -m tests.laws", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", choices=PLOTS, action="append")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began, seed, told = time.monotonic(), arguments.seed, Counter[str]()
    while time.monotonic() < began + arguments.seconds:
        for name in arguments.plot or PLOTS:
            told[name] += 1
            story = tell(seed, PLOTS[name])
            if simulate(story):
                print(f"Seed {seed} of {name} ends badly.{explained(story)}")
                return 1
        seed += 1
    minutes = (time.monotonic() - began) / 60
    plots = ", ".join(f"{count} {name}" for name, count in told.items())
    print(f"{told.total()} stories ({plots}) ended well, {told.total() / minutes:.0f} a minute; the next seed is {seed}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
