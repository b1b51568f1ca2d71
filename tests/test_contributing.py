"""CONTRIBUTING.md shows the house as it is: every module has its place there, and what the walks name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOUSE = TEXT[TEXT.index("```\nfunction_app.py") : TEXT.index("**Layers.**")]
WALKS = TEXT[TEXT.index("## The way of a notification") : TEXT.index("## Beyond")]
WINGS = ("", "sync", "clients", "operations", "runs_page")


def shown(wing: str) -> set[str]:
    """The modules that the house shows in a wing."""
    start = HOUSE.index(f"  {wing}/ " if wing else "handlers/\n")
    section = HOUSE[start + 1 :]
    end = re.search(r"\n  \w+/ |\nmappings/", section)
    return set(re.findall(r"\b(\w+\.py)\b", section[: end.start() if end else None]))


@pytest.mark.parametrize("wing", WINGS)
def test_the_house_shows_every_module(wing: str) -> None:
    there = {path.name for path in (ROOT / "handlers" / wing).glob("*.py")} - {"__init__.py"}
    missing = there - shown(wing)
    assert not missing
    elsewhere = {path.name for path in (ROOT / "handlers").rglob("*.py")} | {"__main__.py"}
    assert shown(wing) <= elsewhere


def test_what_the_walks_name_exists() -> None:
    """Files from the root, or below handlers; and behind a file of ours, a name that stands in it."""
    for name in re.findall(r"`([\w/]+\.(?:py|md|bicep|json))`", WALKS):
        assert any((ROOT / base / name).exists() for base in ("", "handlers", "tests/deploy", "handlers/sync")), name
    for file, function in re.findall(r"`([\w/]+\.py)` `(\w+(?:\.\w+)?)`", WALKS):
        (path,) = [p for base in ("", "handlers", "handlers/sync") if (p := ROOT / base / file).exists()]
        name = function.rpartition(".")[2]
        assert re.search(rf"\b(?:def|class) {name}\b", path.read_text(encoding="utf-8")), f"{file} {function}"
