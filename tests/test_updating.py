"""docs/updating.md: mappings of one's own, through an update of the app, with the commands as they are printed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from handlers.services import load_mappings

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/updating.md").read_text(encoding="utf-8")
CHANGED = (
    "CHANGELOG.md",
    "mappings/README.md",
    "ready-made/case-follow-up.toml",
)  # all that an update may touch near mappings


def commands(name: str) -> str:
    (found,) = re.findall(rf"<!-- run {name} -->\n```sh\n(.*?)```\n<!-- end -->", PAGE, re.DOTALL)
    return str(found)


def run(script: str, folder: Path, **environment: str) -> str:
    """In a shell that stops at the first command that fails, with a git that knows nobody's configuration."""
    home = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    who = {
        f"GIT_{role}_{what}": f"{what.lower()}@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=home | who | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A repository with those of the app's files that an update may change beside people's mappings."""
    made = tmp_path / "upstream"
    for file in (*CHANGED, ".gitignore", ".funcignore"):
        (made / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, made / file)
    run("git init -q -b main && git add . && git commit -qm 'Version 1'", made)
    return made


def test_an_update_leaves_mappings_as_they_are(upstream: Path, tmp_path: Path) -> None:
    private = tmp_path / "private.git"
    run(f"git init -q --bare {private}", tmp_path)
    run(commands("once"), tmp_path, UPSTREAM=str(upstream), PRIVATE=str(private))
    mine = tmp_path / "calendar"
    mapping = mine / "mappings/case-follow-up.toml"
    mapping.write_text(mapping.read_text("utf-8").replace("Eastern Standard Time", "Europe/Berlin"), "utf-8")
    run("git commit -qam 'Use our time zone'", mine)
    for file in CHANGED:
        (upstream / file).write_text((upstream / file).read_text("utf-8") + "# newer\n", "utf-8")
    run("git commit -qam 'Version 2'", upstream)

    assert run(commands("update"), mine).splitlines()[-1] == "mappings/case-follow-up.toml"

    assert load_mappings(mine / "mappings")["case-follow-up"].time_zone.source == "Europe/Berlin"
    assert all((mine / file).read_text("utf-8").endswith("# newer\n") for file in CHANGED)
    assert run("git status --porcelain", mine) == ""
    again = tmp_path / "again"
    run(f"git clone -q -b main {private} {again}", tmp_path)
    assert (again / "mappings/case-follow-up.toml").read_bytes() == mapping.read_bytes()


def test_the_repository_has_no_mapping_of_its_own() -> None:
    """Else an update could meet somebody's file of that name."""
    assert [path.name for path in (ROOT / "mappings").iterdir() if path.name != "README.md"] == []
    assert "mappings" not in (ROOT / ".gitignore").read_text(encoding="utf-8")
