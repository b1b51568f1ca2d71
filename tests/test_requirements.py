"""The requirements files: made from the .in files, all pinned with hashes, with nothing of the machine that made them."""

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.requirements import ALONE, LEVELS, pins

ROOT = Path(__file__).resolve().parent.parent
FILES = [*LEVELS, *ALONE]
AGAIN = "run `make requirements` and `make tools`"


def entries(name: str) -> dict[str, tuple[Requirement, str]]:
    """The requirements of a .txt file by package, each with the rest of its entry: hashes, and what it is for."""
    text = (ROOT / f"{name}.txt").read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        first, _, rest = entry.partition("\n")
        requirement = Requirement(first.removesuffix("\\"))
        found[requirement.name] = requirement, rest
    return found


def wanted(name: str) -> list[Requirement]:
    """What a .in file asks for."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def applies(requirement: Requirement, extras: set[str] | frozenset[str] = frozenset()) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


def brought(requirements: list[Requirement]) -> Iterator[str]:
    """Packages that the requirements need, and those that these need, as the installed packages say."""
    waiting, seen = [r for r in requirements if applies(r)], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        yield name
        needed = map(Requirement, importlib.metadata.requires(name) or [])
        waiting += [other for other in needed if applies(other, requirement.extras)]


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_with_a_hash(name: str) -> None:
    for package, (requirement, rest) in entries(name).items():
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), package
        assert re.search(r"^ +--hash=sha256:[0-9a-f]{64}", rest), package
        assert requirement.url is None, package


@pytest.mark.parametrize("name", FILES)
def test_no_address_of_a_registry_is_in_a_file(name: str) -> None:
    """Where packages come from is for each machine's own configuration to say."""
    text = (ROOT / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|index-url|find-links|trusted-host", text)


@pytest.mark.parametrize("name", FILES)
def test_what_is_asked_for_is_pinned(name: str) -> None:
    """A line that was added to a .in file, or changed there, is in the .txt file that is made from it, or in one below."""
    here = LEVELS.index(name) if name in LEVELS else 0
    below = {package: pin for level in LEVELS[:here] for package, pin in entries(level).items()}
    pinned = below | entries(name)
    for requirement in wanted(name):
        assert requirement.name in pinned, f"{requirement}: {AGAIN}"
        (version,) = pinned[requirement.name][0].specifier
        assert requirement.specifier.contains(version.version, prereleases=True), f"{requirement}: {AGAIN}"
        assert requirement.name in below or f"-r {name}.in" in pinned[requirement.name][1], f"{requirement}: {AGAIN}"


def test_no_package_is_pinned_that_nothing_needs_any_more() -> None:
    """Nor is one missing: where all have hashes, an installer takes nothing else."""
    for number, level in enumerate(LEVELS):
        levels = LEVELS[: number + 1]
        needed = set(brought([requirement for name in levels for requirement in wanted(name)]))
        pinned = {name for other in levels for name, (requirement, _) in entries(other).items() if applies(requirement)}
        assert pinned == needed, f"{level}: {AGAIN}"


def test_what_is_installed_is_what_is_pinned() -> None:
    for level in LEVELS:
        for name, (requirement, _) in entries(level).items():
            if applies(requirement):
                assert importlib.metadata.version(name) == pins(ROOT / f"{level}.txt")[name], f"{name}: run `make tools`"


def test_a_package_stands_in_one_file() -> None:
    """Each file holds what those before it do not, so that no two can differ."""
    names = [name for level in LEVELS for name in pins(ROOT / f"{level}.txt")]
    assert len(names) == len(set(names))
