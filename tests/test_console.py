"""The command line, as a function and from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from handlers import console
from local.fakes import Fault
from tests.bench import Bench
from tests.operations.steps import a_row, post, work

ROOT = Path(__file__).resolve().parent.parent
SECRET = "a-secret-that-nobody-may-see"

type Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with settings from a file; returns the exit status and what it printed."""
    shutil.copy("ready-made/opportunity-meetings.toml", tmp_path)
    bench.reconfigure(RUNS_KEY=SECRET, ACUMATICA_LINGER_SECONDS="0", MAPPINGS_DIR=str(tmp_path))
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": dict(bench.factory._environ)}), encoding="utf-8")
    for name in bench.factory._environ:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        status = console.main([*arguments, "--settings", str(file)])
        return status, capsys.readouterr().out

    return run


# -- runs ---------------------------------------------------------------------------------------------------------------


def test_the_command_line_does_what_the_page_does(bench: Bench, command: Command) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    post(bench, a_row(bench))
    work(bench)
    bench.factory.services().activity.flush()
    status, printed = command("runs", "list", "--json", "--which", "failed")
    (listed,) = json.loads(printed)
    assert (status, listed["state"], listed["failed"]) == (0, "failed", 1)
    assert "OP1 (opportunity-meetings): failed" in command("runs", "show", listed["id"])[1]
    assert "ann@example.com does not exist" in command("runs", "show", "OP1")[1]
    assert json.loads(command("runs", "show", "--json", "ann@example.com")[1])[0]["state"] == "failed"
    (letter,) = json.loads(command("runs", "letters", "--json")[1])
    bench.graph.add_mailbox("ann@example.com")
    assert "1 resubmitted" in command("runs", "resubmit", letter["id"][:8])[1]
    work(bench)
    assert bench.subjects() == ["s"]
    assert "There are no dead letters." in command("runs", "letters")[1]
    assert command("runs", "resubmit", "--all")[0] == 1
    bench.apply(bench.change(5, MeetingEnd="absent"))
    (letter,) = json.loads(command("runs", "letters", "--json")[1])
    assert "discarded" in command("runs", "discard", letter["id"], "--why", "test")[1]
    assert "discarded" in command("runs", "list", "--which", "people")[1]
    with pytest.raises(SystemExit, match="no run, row or mailbox"):
        command("runs", "show", "nobody")


@pytest.mark.parametrize("content", ['{"ACUMATICA_URL": "x"}', "{}", '\ufeff{"IsEncrypted": false}'])
def test_a_settings_file_without_its_values(tmp_path: Path, content: str) -> None:
    """One thing is wrong, and not every setting is missing."""
    file = tmp_path / "local.settings.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match=r'"Values" is missing; the settings stand in it'):
        console.main(["runs", "list", "--settings", str(file)])


def test_storage_that_is_not_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is said of roles where nobody listens."""
    away = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;" + "".join(
        f"{service}Endpoint=http://127.0.0.1:9/a;" for service in ("Blob", "Queue", "Table")
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AzureWebJobsStorage", away)
    with pytest.raises(SystemExit) as caught:
        console.main(["runs", "list"])
    assert str(caught.value).startswith("storage: nothing answers at its address. Check AzureWebJobsStorage")
    assert "Azurite" in str(caught.value)
    assert "YQ==" not in str(caught.value)


def test_the_command_line_says_what_is_wrong_with_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("AzureWebJobsStorage", "ACUMATICA", "GRAPH")):
            monkeypatch.delenv(name)
    with pytest.raises(SystemExit, match="AzureWebJobsStorage"):
        console.main(["runs", "list"])
    with pytest.raises(SystemExit, match="cannot be read as settings"):
        console.main(["runs", "list", "--settings", "nowhere.json"])


# -- doctor -------------------------------------------------------------------------------------------------------------


def test_the_bundle_holds_no_secrets_and_no_row_contents(bench: Bench, command: Command, tmp_path: Path) -> None:
    bench.apply(bench.change(1, "very private"))
    bench.graph.remove_mailbox("secret.person@example.com")
    bench.apply(bench.change(2, "very private", OwnerEmail="secret.person@example.com"))
    file = tmp_path / "bundle.zip"
    status, printed = command("doctor", "--bundle", str(file))
    assert (status, "look into it before you send it" in printed) == (0, True)
    with zipfile.ZipFile(file) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(texts) == {
        "about.json",
        "settings.json",
        "checks.json",
        "state.json",
        "mappings/opportunity-meetings.toml",
    }
    whole = "\n".join(texts.values())
    environ = bench.factory._environ
    for hidden in (SECRET, environ["ACUMATICA_PASSWORD"], environ["ACUMATICA_CLIENT_SECRET"], "AccountKey", "very private"):
        assert hidden not in whole
    assert "secret.person" not in whole
    shown = json.loads(texts["settings.json"])
    assert (shown["RUNS_KEY"], shown["ACUMATICA_TENANT"], shown["TEST_MAILBOX"]) == ("(set)", "Production", "(not set)")
    assert shown["AzureWebJobsStorage"] == "(set)"
    state = json.loads(texts["state.json"])
    assert state["links"] == {"opportunity-meetings: present": 1}
    assert list(state["dead_letters"].values()) == [1]
    assert json.loads(texts["about.json"])["packages"]["requests"]


def test_the_command_fails_where_a_check_does(bench: Bench, command: Command) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    status, printed = command("doctor", "--json", "--mailbox", "ann@example.com")
    found = {check["what"]: check["verdict"] for check in json.loads(printed)}
    assert (status, found["Mailbox"], found["Acumatica"]) == (1, "fails", "ok")
    status, printed = command("doctor", "--quick")
    assert (status, "✓ Storage" in printed) == (0, True)
    assert bench.acumatica.sessions == []


# -- uninstall ----------------------------------------------------------------------------------------------------------


def test_every_event_that_was_made_is_removed_after_a_dry_run(bench: Bench, command: Command) -> None:
    for key in ("A", "B", "C", "D"):
        bench.apply(replace(bench.change(1), key=(key,)))
    bench.apply(replace(bench.change(1, OwnerEmail="bob@example.com"), key=("E",)))
    bench.apply(replace(bench.change(1), key=("F",), mapping="old"))  # no such mapping: a dead letter without events
    told = json.loads(command("uninstall", "--json")[1])
    assert (told["events_by_mailbox"], told["removed"]) == ({"ann@example.com": 4, "bob@example.com": 1}, 0)
    assert len(bench.subjects()) == 4
    status, printed = command("uninstall", "--json", "--remove", "--mailbox", "Bob@example.com")
    assert (status, json.loads(printed)["removed"]) == (0, 1)
    assert (len(bench.subjects()), bench.subjects("bob@example.com")) == (4, [])
    bench.graph.faults.add(Fault(method="DELETE", status=400, body={"error": {"code": "ErrorX", "message": "no"}}, times=1))
    status, printed = command("uninstall", "--json", "--remove")
    assert (status, len(json.loads(printed)["failed"])) == (1, 1)
    status, printed = command("uninstall", "--remove")
    assert (status, "The events of 1 rows are removed." in printed) == (0, True)
    assert bench.subjects() == []
    bench.apply(replace(bench.change(2), key=("A",)))
    assert len(bench.subjects()) == 1, "a row that changes later has its event again"


# -- from outside -------------------------------------------------------------------------------------------------------


def run(*arguments: str, python: str = sys.executable, **options: object) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "handlers", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


COMMANDS = [(), ("doctor",), ("preview",), ("runs",), ("uninstall",)]
COMMANDS += [("runs", name) for name in ("list", "show", "letters", "resubmit", "discard")]


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does(names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        console.main([*names, "--help"])
    assert f"usage: python -m handlers {' '.join(names)}".rstrip() in capsys.readouterr().out


def test_without_the_packages_it_says_how_to_get_them(tmp_path: Path) -> None:
    """As from the system's own Python, before `make setup`."""
    done = run("doctor", python=sys.executable, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(without(tmp_path))})
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"The package \w+ is missing here: run `make setup`, then `\S+ -m handlers ...`\n", done.stderr)


def without(folder: Path) -> Path:
    """A folder for PYTHONPATH that takes the packages away."""
    text = "import sys\nsys.path[:] = [entry for entry in sys.path if 'site-packages' not in entry]\n"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return folder


def test_an_older_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from handlers import __main__ as entry  # noqa: PLC0415

    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    assert str(entry.main()).startswith("This needs Python 3.13, and this is 3.9: run `make setup`")
    tree = (ROOT / "handlers/__main__.py").read_text(encoding="utf-8")
    for version in ((3, 7), (3, 13)):
        compile_as(tree, version)


def compile_as(text: str, version: tuple[int, int]) -> None:
    import ast  # noqa: PLC0415

    ast.parse(text, feature_version=version)


@pytest.mark.parametrize("arguments", [("--help",), ("preview", "-"), ("uninstall", "--help")])
def test_a_reader_that_has_seen_enough_ends_it_quietly(arguments: tuple[str, ...]) -> None:
    """`| head -1`: the pipe is closed before anything is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    notification = (ROOT / "tests/fixtures/ready-made/crm-task.notification.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "handlers", *arguments]
    command += ["--mappings", "ready-made"] if arguments[0] == "preview" else []
    try:
        done = subprocess.run(
            command, cwd=ROOT, input=notification, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_it_without_a_traceback() -> None:
    """While it waits for a notification on its standard input."""
    command = [sys.executable, "-m", "handlers", "preview", "-", "--mappings", "ready-made"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as started:
        assert started.stderr
        while not is_reading(started.pid):
            assert started.poll() is None
        started.send_signal(signal.SIGINT)
        assert started.wait(10) == 130
        assert started.stderr.read() == b""


def is_reading(pid: int) -> bool:
    """Whether a process waits for its standard input."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")
