"""What the bench is asked for: which cases, of which size."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sizes:
    """How much is done; the other numbers follow from `rows`."""

    rows: int  # new rows, updates, echoes, burst
    large: int  # rows of one notification
    trickle: int  # single rows, one a second
    troubled: int  # single rows while requests get no answer
    pauses: int  # single rows after a pause
    lease: int  # seconds until what a killed host had fetched is seen by others; 600 in Azure
    minutes: float  # the most that it may take


SHORT = Sizes(rows=200, large=400, trickle=12, troubled=30, pauses=3, lease=10, minutes=5.0)
FULL = Sizes(rows=1000, large=10_000, trickle=100, troubled=300, pauses=20, lease=600, minutes=60.0)


@dataclass(frozen=True)
class Options:
    """`until`, by time.monotonic, it has to end."""

    sizes: Sizes
    until: float
    only: tuple[str, ...]
    hosts: tuple[int, ...]
    seed: int
    settings: dict[str, str]
    json: Path
    page: Path | None


def parse(arguments: list[str] | None, cases: tuple[str, ...], about: str) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.bench", description=about)
    parser.add_argument("--only", nargs="+", choices=cases, metavar="CASE", help=f"of {', '.join(cases)} (default: all)")
    parser.add_argument("--full", action="store_true", help="the sizes of docs/performance.md; takes half an hour")
    for name, kind, what in (
        ("rows", int, "new rows, updates and echoes; others have more or fewer"),
        ("large", int, "rows of the large notification"),
        ("trickle", int, "single rows, one a second"),
        ("troubled", int, "single rows while requests get no answer"),
        ("pauses", int, "single rows, each after a pause"),
        ("lease", int, "seconds until what a killed host had fetched is seen by others"),
        ("minutes", float, "the most that it may take"),
    ):
        short, full = getattr(SHORT, name), getattr(FULL, name)
        parser.add_argument(f"--{name}", type=kind, help=f"{what} (default: {short:g}, full: {full:g})")
    parser.add_argument("--instances", type=int, nargs="*", default=[2, 4], help="numbers of hosts (default: 2 4)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: 1)")
    parser.add_argument("--set", action="append", default=[], type=_setting, metavar="NAME=VALUE", help="an app setting")
    parser.add_argument("--json", type=Path, default=Path(".local/bench.json"), help="where the numbers go")
    parser.add_argument(
        "--page", type=Path, help="a page that the tables are put into, between <!-- bench --> and <!-- end -->"
    )
    read = vars(parser.parse_args(arguments))
    usual = FULL if read["full"] else SHORT
    sizes = Sizes(**{name: value if read[name] is None else read[name] for name, value in vars(usual).items()})
    return Options(
        sizes=sizes,
        until=time.monotonic() + sizes.minutes * 60,
        only=tuple(read["only"] or cases),
        hosts=tuple(read["instances"]),
        seed=read["seed"],
        settings=dict(read["set"]),
        json=read["json"],
        page=read["page"],
    )


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value
