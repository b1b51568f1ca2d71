"""Which tests a run leaves out: those that take long and test a part that is as it was where the branch began.

pytest --tools (or `make test TOOLS=1`) runs them, and so does naming them.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Group(NamedTuple):
    """Folders of tests, and what they depend on beside themselves. `part` says it in a word."""

    part: str
    folders: tuple[str, ...]
    sources: tuple[str, ...]


GROUPS = (
    # What only developers use: the host, the fakes, the bench, the set-up.
    Group(
        "local/",
        ("tests/fakes", "tests/host", "tests/local"),
        ("local", "requirements.txt", "requirements-run.txt", "tests/conftest.py"),
    ),
    # Alerts along weeks.
    Group(
        "what alerts hang on",
        ("tests/weeks",),
        (
            "infra",
            "handlers/telemetry.py",
            "handlers/health.py",
            "handlers/outcome.py",
            "handlers/clients/condition.py",
            "handlers/clients/sessions.py",
            "tests/deploy",
        ),
    ),
)
# Where a branch began: the first of these that there is.
TRUNKS = ("origin/HEAD", "origin/main", "main")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for them."""
    parser.addoption("--tools", action="store_true", help="run the tests of local/ too, though it did not change")


class LeftOut:
    """The plugin of pytest that leaves them out, and says so."""

    def __init__(self, config: pytest.Config) -> None:
        asked = config.getoption("--tools")
        named = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
        given = getattr(config, "workerinput", None)  # in a worker of pytest-xdist: what the main process has decided
        self.left: dict[str, list[str]] = given["left_out"] if given else {} if asked else left_out(named, os.environ)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker."""
        node.workerinput["left_out"] = self.left

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave a folder out; None lets others decide."""
        return (
            True if any(collection_path == ROOT / folder for folders in self.left.values() for folder in folders) else None
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say it, whatever the verbosity."""
        for part, folders in self.left.items():
            why = f"{part} did not change on this branch; `make test TOOLS=1` runs them"
            terminalreporter.write_line(f"NOT RUN: {', '.join(folders)}. {why}.", yellow=True, bold=True)


def left_out(named: Iterable[Path], environ: Mapping[str, str], root: Path = ROOT) -> dict[str, list[str]]:
    """Return the folders to leave out, by the part that did not change; none in CI, and none that were named."""
    if environ.get("CI"):
        return {}
    paths = [path.resolve() for path in named]
    found = {}
    for part, folders, sources in GROUPS:
        unnamed = [folder for folder in folders if not any(path.is_relative_to(root / folder) for path in paths)]
        if unnamed and not changed((*folders, *sources), root):
            found[part] = unnamed
    return found


def changed(paths: Iterable[str], root: Path = ROOT) -> bool:
    """Whether git knows of a change in them, committed or not. Without git, or a trunk, one is assumed."""
    trunk = next((name for name in TRUNKS if _git(root, "rev-parse", "--verify", "--quiet", name)), "")
    base = _git(root, "merge-base", "HEAD", trunk)
    if not base:
        return True
    different = _git(root, "diff", "--name-only", base, "--", *paths)
    return bool(different or _git(root, "ls-files", "--others", "--exclude-standard", "--", *paths))


def _git(root: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], cwd=root, env=environ, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
