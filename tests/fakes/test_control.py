"""Looking in and setting things up from outside, and both fakes as a program."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from pydantic import ValidationError

from local.fakes import AcumaticaSwitches, FakeAcumatica, FakeGraph, GraphSwitches
from local.fakes.switches import Switches
from tests.fakes.conftest import (
    MAILBOX,
    Client,
    event,
    new,
    token,
)


def test_calls_tell_what_was_sent(graph: FakeGraph, ann: Client) -> None:
    new(ann, subject="Seen")
    call = graph.calls[-1]
    assert (call.method, call.path, call.status) == ("POST", "/v1.0/users/ann%40example.com/events", 201)
    assert (call.mailbox, call.body["subject"], call.headers["content-type"]) == (MAILBOX, "Seen", "application/json")
    assert call.finished is not None
    assert call.started <= call.finished


def test_the_control_api_shows_events_and_takes_faults(graph: FakeGraph, ann: Client) -> None:
    new(ann)
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/faults", json={"kind": "status", "status": 500, "path": "/events"}).status_code == 204
        state = control.get("/state").json()
        assert (state["calls"], len(state["mailboxes"][MAILBOX]), state["faults"][0]["status"]) == (2, 1, 500)
        assert ann.get("/events").status_code == 500
        assert control.delete("/faults").status_code == 204
        assert control.post("/faults", json={"colour": "red"}).status_code == 400
        assert control.get("/nothing").status_code == 404
    assert ann.get("/events").status_code == 200


def test_the_control_api_shows_and_turns_switches(graph: FakeGraph) -> None:
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/switches", data='{"repeats": "original", "tells_existing_id": false}').status_code == 204
        assert (graph.switches.repeats, graph.switches.tells_existing_id) == ("original", False)
        shown = control.get("/switches").json()
        assert (shown["repeats"]["value"], "transactionId" in shown["repeats"]["meaning"]) == ("original", True)
        for wrong in ('{"repeats": "current", "colour": "red"}', '{"repeats": "red"}', "[]", "{"):
            assert control.post("/switches", data=wrong).status_code == 400
        assert graph.switches.repeats == "original"


@pytest.mark.parametrize("switches", [GraphSwitches(), AcumaticaSwitches()], ids=lambda switches: type(switches).__name__)
def test_every_switch_is_explained_and_refuses_nonsense(switches: Switches) -> None:
    assert [name for name, switch in switches.told().items() if not switch["meaning"]] == []
    for name in switches.told():
        with pytest.raises(ValidationError):
            setattr(switches, name, "nonsense")
    with pytest.raises(ValueError, match="colour"):
        switches.colour = "red"  # type: ignore[attr-defined]


def test_requests_are_recorded_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "requests.jsonl"
    monkeypatch.setenv("FAKES_RECORD", str(record))
    with FakeGraph() as graph, Client(f"{graph.url}/v1.0/users/{MAILBOX}") as client:
        client.headers.update(token(graph))
        new(client)
        secret = str(client.headers["Authorization"])
        requests.post(f"{graph.url}/t/oauth2/v2.0/token", data={"client_secret": "hush"}, timeout=10)
    text = record.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["method"], line["path"].rpartition("/")[2], line["status"]) for line in lines] == [
        ("GET", "token", 200), ("POST", "events", 201), ("POST", "token", 400)
    ]  # fmt: skip
    assert lines[0]["query"].startswith("api-version=")
    assert lines[1]["body"] == event()
    assert not any(word in text for word in (secret, "hush", graph.identity_header))


def test_the_control_api_makes_and_shows_records(acumatica: FakeAcumatica) -> None:
    with Client(f"{acumatica.url}/_fake") as control:
        made = control.post("/records", json={"entity": "Case", "fields": {"CaseID": "C1", "Subject": "Pump"}}).json()["id"]
        state = control.get("/state").json()
        assert (state["records"]["Case"][0]["id"], state["sessions"], state["calls"]) == (made, [], 0)
        assert control.post("/records", json={"entity": "Customer"}).status_code == 400
        assert (
            control.post("/records", data='{"entity": "Task", "fields": {"Summary": "Call"}}').status_code == 200
        )  # as curl -d does


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_settings_and_ends_with_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "local.fakes", "--tenant", "Test", "--session-limit", "1", "--latency-graph", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        settings = dict(process.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(10))
        assert settings["ACUMATICA_CLIENT_ID"].endswith("@Test")
        assert settings["IDENTITY_ENDPOINT"].startswith(settings["GRAPH_URL"])
        assert requests.get(f"{settings['ACUMATICA_URL']}/entity", timeout=10).status_code == 200
        process.send_signal(number)
        assert process.wait(10) == 0


def test_the_control_api_moves_mailboxes(graph: FakeGraph, ann: Client) -> None:
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/mailboxes", json={"mailbox": MAILBOX, "moving": True}).json() == {"mailbox": MAILBOX}
        assert ann.get("/events").status_code == 503
        assert control.post("/mailboxes", json={"mailbox": MAILBOX, "moving": False, "server": "2"}).status_code == 200
        assert control.post("/mailboxes", json={"mailbox": "bob@example.com", "server": "3"}).status_code == 200
        assert control.post("/mailboxes", json={"mailbox": 5}).status_code == 400
    assert ann.get("/events").status_code == 200
    assert graph.mailboxes() == [MAILBOX, "bob@example.com"]
