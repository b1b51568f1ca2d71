"""Each check says what it saw and what to do; the bundle tells nothing that it must not."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.operations.check import Check
from handlers.operations.checks import deep, quick
from handlers.services import Factory
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, Fault
from local.inquiry import COLUMNS, QUERY
from tests.bench import Bench

SECRET = "a-secret-that-nobody-may-see"


@pytest.fixture
def bench(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        shutil.copy("ready-made/opportunity-meetings.toml", tmp_path)
        bench = Bench(storage, graph, acumatica, RUNS_KEY=SECRET, ACUMATICA_LINGER_SECONDS="0", MAPPINGS_DIR=str(tmp_path))
        yield bench
        bench.factory.close()


def by_name(checks: Any) -> dict[str, Check]:
    return {check.what: check for check in checks}


def looked(bench: Bench, mailbox: str = "ann@example.com") -> dict[str, Check]:
    return by_name([*quick(bench.factory), *deep(bench.factory.services(), mailbox)])


FIELD = "Field custom.Opportunity.AttributeCALEVT"


def test_with_all_in_order_nothing_fails(bench: Bench) -> None:
    change = bench.change(1)
    bench.apply(change)
    bench.acumatica.expose(QUERY, lambda: [change.row or {}], COLUMNS, ("OpportunityID",))
    found = looked(bench)
    names = ["Storage", "Settings", "Mappings", "Queue", "Dead letters", "Sessions", "Clock", "Graph token", "Mailbox"]
    names += ["Acumatica", FIELD, "Inquiry of opportunity-meetings", "Zone of opportunity-meetings"]
    names += ["Held removals", "Sweeps of opportunity-meetings"]
    assert {name: check.verdict for name, check in found.items()} == dict.fromkeys(names, "ok")
    assert "holds ids of" in found[FIELD].seen
    bench.factory.close()
    assert bench.acumatica.sessions == []
    assert bench.acumatica.max_sessions_seen == 1


def test_relays_are_told_with_where_and_how(bench: Bench, tmp_path: Path) -> None:
    begin = 'query = "Q"\nkey = ["Key"]\ntime_zone = "UTC"\n[relay]\nurl = "RELAY_{}"\nauth = "{}"\n'
    for name, auth in (("hook", "signature"), ("flow", "entra"), ("zap", "none")):
        (tmp_path / f"to-{name}.toml").write_text(begin.format(name.upper(), auth))
    with FakeReceivers(bench.graph.identity) as receivers:
        bench.reconfigure(**receivers.settings)
        found = looked(bench)
        assert {name: check.seen for name, check in found.items() if name.startswith(("Relay", "Token for"))} == {
            "Relay of to-flow": "messages go to the address in RELAY_FLOW, with a token for https://service.flow.microsoft.com/",
            "Relay of to-hook": "messages go to the address in RELAY_HOOK, signed with 1 secret of RELAY_HOOK_SECRET",
            "Relay of to-zap": "messages go to the address in RELAY_ZAP, with neither signature nor token",
            "Token for https://service.flow.microsoft.com/": "issued; whether the receiver lets the identity in, the first "
            "message shows",
        }
        assert receivers.calls == []
        receivers.switches.off = True
        bench.apply(replace(bench.change(1), mapping="to-zap", row={"Key": "A"}))
        found = looked(bench)
        assert (found["Relay of to-zap"].verdict, "410" in found["Relay of to-zap"].seen) == ("fails", True)
        assert found["Relay of to-hook"].verdict == "ok"


def test_a_token_that_is_not_issued_is_told(bench: Bench, tmp_path: Path) -> None:
    begin = 'query = "Q"\nkey = ["Key"]\ntime_zone = "UTC"\n[relay]\nurl = "RELAY_A"\nauth = "entra"\naudience = "api://a"\n'
    (tmp_path / "a.toml").write_text(begin)
    bench.reconfigure(RELAY_A="https://a.example.com")
    bench.graph.identity.header = "another"
    found = looked(bench)["Token for api://a"]
    assert (found.verdict, "audience" in found.remedy) == ("fails", True)


def test_a_relay_whose_settings_are_missing_is_named(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('query = "Q"\nkey = ["Key"]\ntime_zone = "UTC"\n[relay]\nurl = "RELAY_A"\n')
    bench.reconfigure(RELAY_A="http://a.example.com")
    found = by_name(quick(bench.factory))["Settings"]
    assert (found.verdict, "RELAY_A: has to be one address that begins with https://" in found.seen) == ("fails", True)
    assert "RELAY_A_SECRET: missing (secret of the relay of a.toml)" in found.seen


def test_before_anything_was_written_the_length_is_asked_for(bench: Bench) -> None:
    found = looked(bench, "")
    assert (found[FIELD].verdict, "255" in found[FIELD].remedy) == ("note", True)
    assert (found["Mailbox"].verdict, "--mailbox" in found["Mailbox"].remedy) == ("note", True)


def test_a_field_that_is_too_short_is_found(bench: Bench) -> None:
    bench.apply(bench.change(1))
    record: Any = bench.acumatica.record("Opportunity", bench.note_id)
    value = record["custom"]["Opportunity"]["AttributeCALEVT"]["value"]
    bench.acumatica.change_record("Opportunity", bench.note_id, {"custom.Opportunity.AttributeCALEVT": value[:20]})
    found = looked(bench)[FIELD]
    assert (found.verdict, found.seen.startswith("is too short: 20 of")) == ("fails", True)
    assert "255" in found.remedy


def test_what_other_services_refuse_is_told_with_its_remedy(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.acumatica.custom_fields["Opportunity"].clear()
    found = looked(bench)
    assert (found["Mailbox"].verdict, "licence" in found["Mailbox"].remedy) == ("fails", True)
    assert (found[FIELD].verdict, "write_back.fields" in found[FIELD].remedy) == ("fails", True)
    bench.graph.deny("bob@example.com")
    assert "RBAC for Applications" in looked(bench, "bob@example.com")["Mailbox"].remedy


def test_a_wrong_password_is_tried_once_and_told(storage: str, bench: Bench) -> None:
    other = Bench(storage, bench.graph, bench.acumatica, ACUMATICA_PASSWORD="wrong")
    for _ in range(3):
        found = looked(other)
        assert (found["Acumatica"].verdict, "SM303010" in found["Acumatica"].seen) == ("fails", True)
    assert bench.acumatica.failed_sign_ins == 1
    assert "sign-in fails" in found["Sessions"].seen
    other.factory.close()


def test_without_a_token_the_identity_is_to_be_looked_at(bench: Bench) -> None:
    bench.graph.faults.add(Fault(path="msi/token", status=400, body={"error": "invalid_request"}, times=9))
    found = looked(bench)
    assert (found["Graph token"].verdict, "identity" in found["Graph token"].remedy, "Mailbox" in found) == (
        "fails",
        True,
        False,
    )


def test_missing_settings_and_storage_are_told() -> None:
    checks = quick(Factory({}))
    assert [(check.what, check.verdict) for check in checks] == [("Settings", "fails")]
    away = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;" + "".join(
        f"{service}Endpoint=http://127.0.0.1:9/a;" for service in ("Blob", "Queue", "Table")
    )
    factory = Factory({"AzureWebJobsStorage": away})
    found = by_name(quick(factory))
    assert (found["Storage"].verdict, found["Storage"].seen) == ("fails", "nothing answers at its address")
    assert "On one machine it is Azurite, which has to be running" in found["Storage"].remedy
    factory.close()


def test_a_pause_a_trial_and_dead_letters_are_noted(storage: str, bench: Bench) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))
    other = Bench(storage, bench.graph, bench.acumatica, SYNC_PAUSED="true", TEST_MAILBOX="test@example.com")
    found = by_name(quick(other.factory))
    assert {name for name, check in found.items() if check.verdict == "note"} == {"Paused", "Trial", "Dead letters"}
    other.factory.close()
