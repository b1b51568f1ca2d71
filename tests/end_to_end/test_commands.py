"""The README's commands, from outside."""

import json
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

from handlers.sync.change import datetime_to_ticks
from local.azurite import Azurite
from local.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "AzureWebJobsStorage"}


@contextmanager
def running(module: str, env: dict[str, str], until: str, *arguments: str) -> Iterator[str]:
    """Run a module until Ctrl-C; yields what it prints up to a line with `until`. It has to exit with 0."""
    command = [sys.executable, "-m", module, *arguments]
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
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_the_demo_tells_its_story_and_ends_with_a_verdict() -> None:
    with running("local.demo", {"PYTHONUNBUFFERED": "1"}, "Ctrl-C stops", "--keep") as printed:
        assert "✓ Every calendar and record agrees with Acumatica" in printed
        assert "\x1b" not in printed
        # And then a newcomer finds the reason of a missing meeting, and mends it.
        page, key = (re.search(rf"{name} +(\S+)", printed) for name in ("Runs page", "Key"))
        curl = re.search(r"curl (\S+/_fake/mailboxes) -d '(.+)'", printed)
        assert page
        assert key
        assert curl
        headers = {"x-runs-key": key[1], "Accept": "application/json"}
        (letter,) = requests.get(f"{page[1]}/letters", headers=headers, timeout=10).json()["letters"]
        assert (letter["row"], letter["reason"][:30]) == ("OP000107", "Mailbox nora@example.com does ")
        assert (
            requests.get(f"{page[1]}/search?q=OP000107", headers=headers, timeout=10).json()["rows"][0]["state"] == "failed"
        )
        assert requests.post(curl[1], json=json.loads(curl[2]), timeout=10).status_code == 200


def test_make_run_works_against_fakes_elsewhere_with_nothing_but_settings(azurite: Azurite) -> None:
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
