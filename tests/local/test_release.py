"""A release: the version stands in one place, and another one breaks no test. CONTRIBUTING.md, "A release"."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handlers import __version__

ROOT = Path(__file__).resolve().parents[2]
# Where a version is named or compared: the app's answer, the log, what deployment reads, and the pages.
NAMING = [
    "tests/end_to_end/test_main_job.py::test_health_says_ready",
    "tests/deploy/test_alerts.py::test_an_event_has_facts_and_a_version_and_nothing_of_the_row",
    "tests/deploy/test_hooks.py",
    "tests/deploy/test_infra.py",
    "tests/deploy/test_pages.py",
    "tests/deploy/test_workflows.py",
    "tests/test_docs.py",
    "tests/test_requirements.py",
    "tests/local/test_release.py::test_the_changes_of_this_version_are_told",
]


def test_the_changes_of_this_version_are_told() -> None:
    headings = re.findall(r"(?m)^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert any(heading.partition(" ")[0] == __version__ for heading in headings)
    assert len(set(headings)) == len(headings)


@pytest.mark.slow
def test_another_version_is_set_in_one_place(tmp_path: Path) -> None:
    """In a copy, where the recipe's two lines are changed: every test that names a version passes."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for name in (".local", ".venv"):  # what was set up
        (tmp_path / name).symlink_to((ROOT / name).resolve())
    for name, old, new in (
        ("handlers/__init__.py", f'__version__ = "{__version__}"', '__version__ = "47.11.8"'),
        ("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n## 47.11.8 (2027-01-01)\n"),
    ):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, name
        (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *NAMING],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
