"""Tests of our own tools run when those changed; what is left out is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.left_out import GROUPS, ROOT, changed, left_out

LOCAL = "NOT RUN: tests/fakes, tests/host, tests/local. local/ did not"
WEEKS = "NOT RUN: tests/weeks. what alerts hang on did not"
CONFTEST = """
from tests.left_out import LeftOut, pytest_addoption
def pytest_configure(config):
    config.pluginmanager.register(LeftOut(config))
"""


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def branch(tmp_path: Path) -> Path:
    """A branch that has changed nothing of local/ since it left main, which has."""
    git(tmp_path, "init")
    for name in ("local", "handlers", "tests/host"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.py").write_text("", encoding="utf-8")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "branch", "topic")
    change(tmp_path, "local/a.py")
    git(tmp_path, "commit", "-am", "second")
    git(tmp_path, "checkout", "topic")
    change(tmp_path, "handlers/a.py")
    git(tmp_path, "commit", "-am", "third")
    return tmp_path


def change(folder: Path, name: str) -> None:
    (folder / name).write_text("changed = 1\n", encoding="utf-8")


def test_they_are_left_out_while_nothing_of_theirs_changed(branch: Path) -> None:
    change(branch, "handlers/a.py")
    assert left_out([branch / "tests"], {}, branch) == {group.part: list(group.folders) for group in GROUPS}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("local/a.py", "local/"),
        ("local/new.py", "local/"),
        ("tests/host/a.py", "local/"),
        ("requirements-run.txt", "local/"),
        ("handlers/health.py", "what alerts hang on"),
    ],
)
@pytest.mark.parametrize("committed", [True, False])
def test_they_run_when_something_of_theirs_changed(branch: Path, name: str, part: str, *, committed: bool) -> None:
    change(branch, name)
    if committed:
        git(branch, "add", "-A")
        git(branch, "commit", "-m", "more")
    assert left_out([branch / "tests"], {}, branch).keys() == {group.part for group in GROUPS} - {part}


def test_they_run_in_continuous_integration(branch: Path) -> None:
    assert left_out([branch / "tests"], {"CI": "true"}, branch) == {}


def test_what_is_named_runs(branch: Path) -> None:
    named = [branch / "tests/host/a.py", branch / "tests/local", branch / "tests/weeks"]
    assert left_out(named, {}, branch) == {"local/": ["tests/fakes"]}


def test_without_git_nothing_is_left_out(tmp_path: Path) -> None:
    assert changed(["local"], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said", "passed"),
    [
        ([], [LOCAL, WEEKS], 1),
        (["-n", "2"], [LOCAL, WEEKS], 1),
        (["-n", "2", "--tools"], [], 2),
        (["tests/host/test_it.py"], ["NOT RUN: tests/fakes, tests/local. local/ did not", WEEKS], 1),
    ],
)
def test_a_run_says_what_it_leaves_out(branch: Path, arguments: list[str], said: list[str], passed: int) -> None:
    """In one line, and then come pytest's own."""
    for folder in ("tests", "tests/host"):
        (branch / folder / "__init__.py").write_text("", encoding="utf-8")
        (branch / folder / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    shutil.copy(ROOT / "tests/left_out.py", branch / "tests")
    (branch / "tests/conftest.py").write_text(CONFTEST, encoding="utf-8")
    git(branch, "add", "-A")
    git(branch, "commit", "-m", "tests")
    git(branch, "branch", "-f", "main")
    environ = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=branch, env=environ, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert [line.partition(" change")[0] for line in lines if "NOT RUN" in line] == said
    assert lines[-1].startswith(f"{passed} passed")
