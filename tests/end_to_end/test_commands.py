"""The README's commands, from outside."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from handlers.sync.notification import datetime_to_ticks
from local.azurite import Azurite
from local.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "AzureWebJobsStorage"}


@contextmanager
def running(module: str, env: dict[str, str], until: str) -> Iterator[str]:
    """Run a module until Ctrl-C; yields what it prints up to a line with `until`. It has to exit with 0."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, cwd=ROOT, env={**ENVIRONMENT, **env}, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if until in line:
                break
        yield printed
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_the_demo_tells_its_story_and_ends_with_a_verdict() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ Every calendar and record agrees with Acumatica" in done.stdout
    assert "\x1b" not in done.stdout


def test_make_run_works_against_stand_ins_elsewhere_with_nothing_but_settings(azurite: Azurite) -> None:
    """`make fakes` in one terminal, `make run` with what it prints in another, curl in a third."""
    with running("local.fakes", {}, "ACUMATICA_PASSWORD") as printed:
        settings = dict(re.findall(r"([A-Z_]+)=(.*)", printed))
        env = settings | {
            "AzureWebJobsStorage": azurite.new_account(),
            "PORT": "0",
            "LOCAL_FUNCTION_KEY": "a-key",
            "ACUMATICA_LINGER_SECONDS": "0.1",
            "PYTHONUNBUFFERED": "1",
        }
        with running("local.host", env, "Ctrl-C") as told:
            found = re.search(r"(http://\S+)/api/notifications", told)
            assert found
            url = found[1]
            assert requests.get(f"{url}/admin/host/ping", timeout=10).status_code == 200
            record = {"entity": "Opportunity", "fields": {"OpportunityID": "OP1", "Subject": "By hand"}}
            made = requests.post(f"{settings['ACUMATICA_URL']}/_fake/records", json=record, timeout=10).json()
            row = {
                "OpportunityID": "OP1",
                "Subject": "By hand",
                "OwnerEmail": "ann@example.com",
                "MeetingStart": "2026-12-01T09:30:00",
                "MeetingEnd": "2026-12-01T10:30:00",
                "Room": "1",
                "NoteID": made["id"],
            }
            headers = {"x-functions-key": "a-key"}
            notification = {
                "Inserted": [row],
                "Deleted": [],
                "Query": "Calendar - Opportunity Meetings",
                "CompanyId": "Production",
                "Id": "1",
                "TimeStamp": _now(),
            }
            answer = requests.post(f"{url}/api/notifications", json=notification, headers=headers, timeout=30)
            assert answer.status_code == 202

            def written_back() -> bool:
                state = requests.get(f"{settings['ACUMATICA_URL']}/_fake/state", timeout=10).text
                events = requests.get(f"{settings['GRAPH_URL']}/_fake/state", timeout=10).json()
                ids = [event["id"] for box in events["mailboxes"].values() for event in box]
                return len(ids) == 1 and ids[0] in state

            assert World.wait(written_back, 20)


def _now() -> int:
    return datetime_to_ticks(datetime.now(UTC))
