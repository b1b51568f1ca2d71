"""What `make setup` makes of .venv, in a checkout of its own that asks for packages of its own."""

import ast
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local import setup

SOURCE = Path(setup.__file__).read_text(encoding="utf-8")


def wheel(folder: Path, name: str) -> str:
    """Make a package of one module; return the line of a requirements file that asks for it."""
    file, info = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    parts = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in parts.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*parts, f"{info}/RECORD"]))
    return f"{name} @ {file.as_uri()} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that asks for three packages; uv is the one of this checkout."""
    (tmp_path / "local/node").mkdir(parents=True)
    for name, package in {"": "deployed", "-run": "host", "-dev": "linter"}.items():
        (tmp_path / f"requirements{name}.txt").write_text(wheel(tmp_path, package), encoding="utf-8")
    (tmp_path / "local/node/requirements.txt").write_text(wheel(tmp_path, "node"), encoding="utf-8")
    uv, root = setup.find_uv(), setup.ROOT
    monkeypatch.setattr(setup, "find_uv", lambda: uv)
    for name in ("ROOT", "VENV", "VENV_PYTHON", "SITE_PACKAGES"):
        monkeypatch.setattr(setup, name, tmp_path / getattr(setup, name).relative_to(root))
    return tmp_path


def installed() -> set[str]:
    """The packages in .venv, without the one for machines that have no Node."""
    return {path.name.partition("-")[0] for path in setup.SITE_PACKAGES.glob("*.dist-info")} - {"node"}


def test_it_makes_a_venv_once(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run says nothing and changes nothing."""
    setup._set_up_python(dev=False)
    made = (checkout / ".venv/pyvenv.cfg").stat()
    version = [str(setup.VENV_PYTHON), "-c", "import sys; print(*sys.version_info[:2])"]
    assert subprocess.run(version, capture_output=True, check=True, text=True).stdout == "3 13\n"
    capsys.readouterr()
    assert setup._set_up_python(dev=False) is False
    assert capsys.readouterr().out == ""
    assert (checkout / ".venv/pyvenv.cfg").stat() == made


def test_packages_come_go_and_change_with_the_files(checkout: Path) -> None:
    setup._set_up_python(dev=False)
    (checkout / "requirements-run.txt").write_text(wheel(checkout, "other"), encoding="utf-8")
    assert setup._set_up_python(dev=False) is True
    assert installed() == {"deployed", "other"}


def test_a_wrong_hash_installs_nothing(checkout: Path) -> None:
    line = wheel(checkout, "host")
    (checkout / "requirements-run.txt").write_text(line[:-9] + "00000000\n", encoding="utf-8")
    with pytest.raises(setup.SetupError, match=r"(?i)hash mismatch"):
        setup._set_up_python(dev=False)
    assert installed() == set()


@pytest.mark.parametrize("damage", ["no python", "a python that fails", "a lost file", "half a folder"])
def test_a_damaged_venv_is_replaced(checkout: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    setup._set_up_python(dev=False)
    match damage:
        case "no python":
            setup.VENV_PYTHON.unlink()
        case "a python that fails":
            setup.VENV_PYTHON.unlink()
            setup.VENV_PYTHON.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
            setup.VENV_PYTHON.chmod(0o755)
        case "a lost file":
            (setup.SITE_PACKAGES / "host.py").unlink()
        case _:
            (checkout / ".venv/pyvenv.cfg").unlink()
            setup.VENV_PYTHON.unlink()
    assert not setup._is_whole()
    setup._set_up_python(dev=False)
    assert "Replacing .venv: it is damaged, or not of Python 3.13" in capsys.readouterr().out
    assert setup._is_whole()
    assert installed() == {"deployed", "host"}


@pytest.mark.usefixtures("checkout")
def test_what_tests_need_stays_when_only_a_run_is_asked_for() -> None:
    """`make demo` after `make test` takes no linter away."""
    setup._set_up_python(dev=False)
    assert installed() == {"deployed", "host"}
    setup._set_up_python(dev=True)
    assert setup._set_up_python(dev=False) is False
    assert installed() == {"deployed", "host", "linter"}


@pytest.mark.usefixtures("checkout")
def test_a_failure_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "WANTED", "3.99")
    with pytest.raises(setup.SetupError, match=r"Python 3\.99 was not found.*then run `make setup` again"):
        setup._set_up_python(dev=False)


def test_two_at_once_go_one_after_the_other(tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import setup; from pathlib import Path\n"
    code += "setup.STATE = Path(sys.argv[2])\nwith setup._only_one(): print('in', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(Path(setup.__file__).parent), str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as second:
            assert second.stdout
            assert second.stdout.readline() == "Waiting for another set-up in this checkout ...\n"
            first.communicate()
            assert second.stdout.readline() == "in\n"
            second.communicate()


def test_an_old_python_reads_far_enough_to_say_what_is_wrong() -> None:
    """The file has no syntax that Python 3.6 does not know."""
    ast.parse(SOURCE, feature_version=(3, 6))
    assert SOURCE.index("sys.exit(f") < SOURCE.index("ROOT =")


def test_uv_is_pinned_once() -> None:
    """The version that is looked for is the one whose hashes are known."""
    wanted = (setup.ROOT / "local/uv/requirements.in").read_text(encoding="utf-8").strip()
    assert re.fullmatch(r"uv==[\d.]+", wanted)
    assert wanted in (setup.ROOT / "local/uv/requirements.txt").read_text(encoding="utf-8")
    shown = subprocess.run([setup.find_uv(), "--version"], capture_output=True, check=True, text=True).stdout
    assert shown.startswith(wanted.replace("==", " "))
