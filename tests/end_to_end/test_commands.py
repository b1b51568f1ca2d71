"""The README's commands, from outside."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from local import sample
from local.azurite import Azurite
from local.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = sample.NOTIFICATIONS / "opportunity-meetings.notification.json"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "AzureWebJobsStorage"}


@contextmanager
def running(module: str, env: dict[str, str], until: str, *arguments: str) -> Iterator[str]:
    """Run a module until Ctrl-C; yields what it prints up to a line with `until`. It has to exit with 0."""
    with running_command([sys.executable, "-m", module, *arguments], env, until) as printed:
        yield printed


@contextmanager
def running_command(command: list[str], env: dict[str, str], until: str) -> Iterator[str]:
    """Run a command until Ctrl-C, as `running`."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**ENVIRONMENT, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if until in line:
                break
        yield printed
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_the_demo_tells_its_story_and_ends_with_a_verdict() -> None:
    with running("local.demo", {"PYTHONUNBUFFERED": "1"}, "Ctrl-C stops", "--keep") as printed:
        assert "✓ Every calendar, record and hook agrees with Acumatica" in printed
        assert "\x1b" not in printed
        older, lost, emptied, moved, accepted = re.split(r"\n\d+\. ", printed.partition("\nVerdict")[0])[-5:]
        assert "1  added or changed (OP000103)\n" in older
        assert re.search("bob@.*Kick-off.* id written to OP000103\n", older)
        assert "1  added or changed (OP000102)\n" in lost
        assert re.search("cleo@.*plant 3.* id written to OP000102\n", lost)
        for line in ("4 removals of .*, held since", "The inquiry shows no row", "Discarded", "0 of 4 events removed"):
            assert re.search(line, emptied)
        assert re.search(r"OP000101: UsrOutlookStatus = moved\n.* UsrOutlookStart = \d{4}-\d\d-\d\dT15:00:00\n", moved)
        for chapter in (moved, accepted):
            assert re.search("ann@.* 15:00 .*second try .* id written to OP000101\n", chapter)
        assert "202 accepted" in accepted
        assert "Graph calls 1" in accepted
        # And then a newcomer finds the reason of a missing meeting, and mends it.
        page, key = (re.search(rf"{name} +(\S+)", printed) for name in ("Runs page", "Key"))
        curl = re.search(r"curl \S+/_fake/mailboxes .+", printed)
        assert page
        assert key
        assert curl
        headers = {"x-runs-key": key[1], "Accept": "application/json"}
        (letter,) = requests.get(f"{page[1]}/letters", headers=headers, timeout=10).json()["letters"]
        assert (letter["row"], letter["reason"][:30]) == ("OP000107", "Mailbox nora@example.com does ")
        assert (
            requests.get(f"{page[1]}/search?q=OP000107", headers=headers, timeout=10).json()["rows"][0]["state"] == "failed"
        )
        assert '"mailbox": "nora@example.com"' in shell(curl[0])


def test_what_the_fakes_print_works_as_printed(azurite: Azurite) -> None:
    """`make fakes` in one terminal, what it prints pasted before `make run` in another, its other lines in a third."""
    with running("local.fakes", {"PYTHONUNBUFFERED": "1"}, "Ctrl-C stops") as printed:
        settings = "\n".join(line for line in printed.splitlines() if line.startswith("export "))
        own = {"AzureWebJobsStorage": azurite.new_account(), "PORT": "0", "ACUMATICA_LINGER_SECONDS": "0.1"}
        started = ["bash", "-c", f"{settings}\nexec {sys.executable} -m local.host"]
        with running_command(started, {**own, "PYTHONUNBUFFERED": "1"}, "Ctrl-C") as told:
            (url,) = re.findall(r"(http://\S+)/api/notifications", told)
            assert requests.get(f"{url}/admin/host/ping", timeout=10).status_code == 200
            assert requests.get(f"{url}/api/runs", timeout=10).status_code == 401  # the page is on, and asks for the key
            commands = dict(re.findall(r"^#   (\S.*?)  +(\S.*)$", printed, re.MULTILINE))
            assert {"make a record", "turn a switch", "make it fail", "calendars", "send a notification"} <= commands.keys()
            assert '"id"' in shell(commands["make a record"])
            assert '"signed": {"messages": 0' in shell(commands["what hooks know"])
            shell(commands["turn a switch"].replace("true", "false"))
            shell(commands["make it fail"])  # the event's POST is answered with a gateway's page
            assert '"maintenance": {"value": false' in shell(commands["records, sessions"].replace("state", "switches"))
            send = commands["send a notification"].replace(".venv/bin/python", sys.executable)
            assert "202" in shell(f"{send} --url {url}")
            records, calendars = commands["records, sessions"], commands["calendars"]

            def written_back() -> bool:
                boxes = json.loads(shell(calendars))["mailboxes"]
                ids = [event["id"] for box in boxes.values() for event in box]
                written = shell(records)
                return len(ids) == 2 and all(event in written for event in ids)

            assert World.wait(written_back, 30)


def shell(command: str) -> str:
    """What a command prints that is typed into a shell, which no make has started; it has to succeed."""
    typed = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=typed, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def readme_commands() -> list[str]:
    """Every line of the README's blocks for a shell, without its comment."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


def test_every_command_of_the_readme_is_one_that_a_test_runs() -> None:
    preview, *others = sorted(readme_commands())
    assert preview.startswith(".venv/bin/python -m handlers preview ")
    # The demo is run above, the hook in tests/deploy, and `make test` runs this; `azd up` needs a subscription.
    assert others == ["azd up", "make demo", "make test", "python infra/hooks/set_secrets.py"]
    printed = shell(preview.replace(".venv/bin/python", sys.executable))
    assert printed.splitlines()[0].endswith("Nothing was sent.")
    assert "CreateEvent" in printed
    for target, module in (("demo", "local.demo"), ("test", "pytest")):
        recipe = shell(f"make --dry-run {target}").splitlines()
        assert any("local/setup.py" in line for line in recipe), target
        assert f".venv/bin/python -m {module}" in recipe[-1], target


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.json"], "no-such-file.json cannot be read as JSON"),
        (["README.md"], "README.md cannot be read as JSON"),
        (["tests/fixtures/new_event.json", "--url", "http://127.0.0.1:1"], "is the app running (make run)?"),
    ],
)
def test_send_says_what_is_wrong(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.send", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["preview", str(SAMPLE), "--mappings", "ready-made"]])
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str]) -> None:
    """As `| head -1` does."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "handlers", *arguments], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("module", ["local.demo", "local.host", "local.fakes", "local.send", "local.docs", "handlers"])
def test_a_python_that_was_not_set_up_says_what_to_do(module: str) -> None:
    """-S leaves the virtual environment's packages out."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", module], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "make setup" in done.stderr
    assert "Traceback" not in done.stderr
