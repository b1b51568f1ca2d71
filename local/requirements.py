"""`make requirements`: write the requirements files, every package with its version and hashes, from the .in files.

Each file holds what the files before it do not. What is pinned stays as it is; `make requirements UPGRADE=1` takes the
newest versions that the .in files allow.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from local.setup import ROOT, SetupError, find_uv

# The levels of .venv, each on top of the one before; the other two stand alone.
LEVELS = ("requirements", "requirements-run", "requirements-dev")
ALONE = ("local/uv/requirements", "local/node/requirements")
_OPTIONS = ["--universal", "--python-version", "3.13", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]


def pins(file: Path) -> dict[str, str]:
    """Return the version by package that a requirements file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", file.read_text(encoding="utf-8"), re.MULTILINE))


def compile_all(*options: str, folder: Path = ROOT) -> None:
    """Write all requirements files below a folder; raise SetupError where that cannot be done."""
    for number, level in enumerate(LEVELS):
        below = [f"{name}.txt" for name in LEVELS[:number]]
        known = [name for file in below for name in pins(folder / file)]
        given = [argument for file in below for argument in ("--constraints", file)]
        given += [f"--no-emit-package={name}" for name in known]
        _compile(folder, level, *given, *options)
    for name in ALONE:
        _compile(folder, name, *options)


def _compile(folder: Path, name: str, *options: str) -> None:
    command = [find_uv(), "pip", "compile", f"{name}.in", "--output-file", f"{name}.txt", "--quiet", *_OPTIONS, *options]
    command += ["--custom-compile-command", "make requirements"]
    if subprocess.run(command, cwd=folder, check=False).returncode != 0:
        raise SetupError(f"{name}.txt could not be written.")


def main() -> int:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m local.requirements", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    try:
        compile_all(*(["--upgrade"] if parser.parse_args().upgrade else []))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
