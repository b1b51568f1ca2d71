"""`python -m handlers preview`: what it shows, and that the app does just that."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers.console import main
from tests.bench import Bench

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests/fixtures"
READY_MADE = str(ROOT / "ready-made")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["preview", *arguments, "--mappings", READY_MADE]) == status
    captured = capsys.readouterr()
    return captured.out + captured.err


def rows(capsys: pytest.CaptureFixture[str], fixture: str, status: int = 0) -> list[dict[str, Any]]:
    answer = json.loads(shown(capsys, str(FIXTURES / f"{fixture}.json"), "--json", status=status))
    assert answer["problems"] == []
    return list(answer["rows"])


def test_a_person_sees_mailbox_times_and_requests(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, str(FIXTURES / "new_event.json")).splitlines()
    assert lines[:8] == [
        "1 row. Nothing was sent.",
        "",
        "opportunity-meetings: OP000123",
        "  Mailbox      jane.doe@example.com",
        "  Subject      Site visit",
        "  Time         3 Feb 2026, 09:30–10:30 (Eastern Standard Time), which begins at 14:30 UTC",
        "  Where        Building 4",
        "  CreateEvent  POST /v1.0/users/jane.doe%40example.com/events",
    ]
    record = "https://ACUMATICA_URL/entity/Default/24.200.001/Opportunity?$custom=Opportunity.AttributeCALEVT"
    assert f"  WriteBack    PUT {record} (If-Match: *)" in lines


@pytest.mark.parametrize(
    ("fixture", "effects"),
    [
        ("new_event", [["CreateEvent", "WriteBack"]]),
        ("changed", [["UpdateEvent"]]),
        ("owner_moved", [["CreateEvent", "DeleteEvent", "WriteBack"]]),
        ("removed", [["DeleteEvent"]]),
    ],
)
def test_effects(capsys: pytest.CaptureFixture[str], fixture: str, effects: list[list[str]]) -> None:
    """A row that is in `Deleted` as well is known: an update changes its event, or moves it."""
    assert [[step["effect"] for step in row["steps"]] for row in rows(capsys, fixture)] == effects


def test_what_is_probably_not_meant_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column with dates alone, in an event that is not all day."""
    file = tmp_path / "notification.json"
    text = (FIXTURES / "new_event.json").read_text("utf-8")
    file.write_text(text.replace("T09:30:00", "T00:00:00").replace("T10:30:00", "T00:00:00"), "utf-8")
    note = "  Note         The start is at midnight: if its column holds a date without a time, say isAllDay = true."
    assert note in shown(capsys, str(file)).splitlines()


@pytest.mark.parametrize("fixture", ["repeated_key", "without_key_columns"])
def test_rows_that_cannot_be_brought_into_a_calendar(capsys: pytest.CaptureFixture[str], fixture: str) -> None:
    """Are told with reason and remedy; the exit status says so."""
    broken = [row for row in rows(capsys, fixture, status=1) if row["problem"]]
    assert broken
    assert all(row["remedy"] for row in broken)
    assert "  DEAD LETTER  " in shown(capsys, str(FIXTURES / f"{fixture}.json"), status=1)


def test_it_says_what_the_app_does(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bodies are those that the fakes received."""
    change = bench.change(1, "Visit")
    notification = {
        "Inserted": [change.row],
        "Deleted": [],
        "Query": "Calendar - Opportunity Meetings",
        "CompanyId": "Production",
        "Id": "5f0c7a3e-8f57-4d0e-9d0a-3f7f0b8e21c4",
        "TimeStamp": change.timestamp,
        "AdditionalInfo": {},
    }
    file = tmp_path / "notification.json"
    file.write_text(json.dumps(notification), "utf-8")
    create, write_back = json.loads(shown(capsys, str(file), "--json"))["rows"][0]["steps"]
    bench.apply(change)
    (post,) = [call for call in bench.graph.calls if call.method == "POST"]
    (put,) = [call for call in bench.acumatica.calls if call.method == "PUT"]
    (event,) = bench.graph.events("ann@example.com")
    # Only the link's generation cannot be told before: it begins with the moment at which the row is first seen.
    assert (
        json.loads(
            re.sub(r"([0-9a-f]{64})-1\b", rf"\1-{post.body['transactionId'].partition('-')[2]}", json.dumps(create["body"]))
        )
        == post.body
    )
    assert create["request"].split() == ["POST", post.path]
    assert json.loads(json.dumps(write_back["body"]).replace("<id of the new event>", event["id"])) == put.body
    assert write_back["request"].split()[1].removeprefix("https://ACUMATICA_URL") == put.path


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    body = (FIXTURES / "new_event.json").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    assert "CreateEvent" in shown(capsys, "-")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.json"], "no-such-file.json: No such file or directory"),
        ([str(FIXTURES / "other_inquiry.json")], "has no mapping. Mapped: 'Calendar - Appointments', "),
        ([str(ROOT / "README.md")], "The body is not JSON"),
    ],
)
def test_what_cannot_be_read(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """A sentence, no traceback; also for machines."""
    assert said in shown(capsys, *arguments, status=1)
    assert said in json.loads(shown(capsys, *arguments, "--json", status=1))["problems"][0]


def test_mappings_that_are_wrong_or_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notification = str(FIXTURES / "new_event.json")
    assert main(["preview", notification, "--mappings", str(tmp_path)]) == 1
    assert "there is no mapping (.toml) in this folder" in capsys.readouterr().err
    (tmp_path / "a.toml").write_text("x", "utf-8")
    (tmp_path / "b.toml").write_text("qurey = 1", "utf-8")
    assert main(["preview", notification, "--mappings", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "a.toml: no TOML" in said
    assert "b.toml:1: qurey: unknown key; did you mean query?" in said


def test_it_runs_as_a_program_without_settings() -> None:
    """In an empty environment, as on an administrator's machine."""
    command = [sys.executable, "-m", "handlers", "preview", "tests/fixtures/new_event.json", "--mappings", "ready-made"]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CreateEvent" in done.stdout
