"""A row that goes to a calendar and to a receiver: what the one does never holds the other up."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.console import main
from handlers.services import NotReady
from handlers.sync.change import RowChange
from handlers.sync.errors import Code
from handlers.sync.link import EventLink
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, Fault
from local.fakes.receivers import SECRET
from tests.bench import Bench

READY_MADE = Path(__file__).resolve().parents[1] / "ready-made"
KEY = ("OP1",)
RELAY = """
query = "Calendar - Opportunity Meetings"
key = ["OpportunityID"]
time_zone = "UTC"
[relay]
url = "RELAY_CRM"
[relay.fields]
subject = "{Subject}"
"""
WRITE_BACK = """
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
[write_back.fields]
"custom.Opportunity.AttributeCALEVT" = "{answer.id}"
"""


@pytest.fixture
def fakes() -> Iterator[FakeReceivers]:
    with FakeReceivers() as fakes:
        yield fakes


@pytest.fixture
def relay_bench(storage: str, fakes: FakeReceivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The app with two mappings of one inquiry."""
    shutil.copy(READY_MADE / "opportunity-meetings.toml", tmp_path)
    (tmp_path / "relay.toml").write_text(RELAY)
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        settings = {"RELAY_CRM": f"{fakes.url}/signed", "RELAY_CRM_SECRET": SECRET, "MAPPINGS_DIR": str(tmp_path)}
        bench = Bench(storage, graph, acumatica, **settings)
        yield bench
        bench.factory.close()


def of_relay(change: RowChange) -> RowChange:
    return replace(change, mapping="relay")


def both(bench: Bench, change: RowChange) -> None:
    bench.apply(of_relay(change))
    bench.apply(change)


def link(bench: Bench) -> EventLink:
    found, _ = bench.factory.storage().links.load(of_relay(bench.change(1)).link_key)
    assert found
    return found


def letter_codes(bench: Bench) -> list[str]:
    return [letter.code for letter in bench.factory.storage().dead_letters.list(1000)]


def rewrite(folder: Path, text: str) -> None:
    (folder / "relay.toml").write_text(text)


def test_a_row_goes_to_its_calendar_and_to_its_receiver(relay_bench: Bench, fakes: FakeReceivers) -> None:
    bench = relay_bench
    for number, subject in ((1, "one"), (2, "two")):
        both(bench, bench.change(number, subject))
        assert (bench.subjects(), fakes.signed.present) == ([subject], {KEY: {"subject": subject}})
    both(bench, bench.removal(3))
    assert (bench.subjects(), fakes.signed.present, len(fakes.signed.seen)) == ([], {}, 3)
    assert link(bench).claim is None


def test_a_change_that_comes_twice_is_told_once(relay_bench: Bench, fakes: FakeReceivers) -> None:
    for number in (2, 2, 1):
        relay_bench.apply(of_relay(relay_bench.change(number, f"s{number}")))
    assert (len(fakes.signed.seen), fakes.signed.present) == (1, {KEY: {"subject": "s2"}})


def test_the_outage_of_a_receiver_delays_no_calendar(relay_bench: Bench, fakes: FakeReceivers) -> None:
    bench = relay_bench
    fakes.down = True
    both(bench, bench.change(1, "one"))
    assert (bench.subjects(), bench.sent(), link(bench).last_code) == (["one"], 1, Code.NOT_REACHED)
    both(bench, bench.change(2, "two"))
    fakes.down = False
    bench.apply(of_relay(bench.change(1, "one")))
    assert (bench.subjects(), fakes.signed.present, len(fakes.signed.seen)) == (["two"], {KEY: {"subject": "two"}}, 1)


def test_a_message_without_an_answer_comes_again_under_its_id(relay_bench: Bench, fakes: FakeReceivers) -> None:
    """The receiver has taken it in, and says so to nobody: it is told once more, and knows the id."""
    fakes.faults.add(Fault(method="POST", kind="reset_after", times=1))
    for _ in range(2):
        relay_bench.apply(of_relay(relay_bench.change(1, "one")))
    first, second = fakes.calls
    assert (first.raw, first.headers["webhook-id"]) == (second.raw, second.headers["webhook-id"])
    assert fakes.signed.present == {KEY: {"subject": "one"}}


def test_a_crash_between_message_and_save_repeats_the_message(
    relay_bench: Bench, fakes: FakeReceivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = relay_bench
    bench.reconfigure(CLAIM_SECONDS="60", REQUEST_TIMEOUT_SECONDS="30")  # a signature is good for five minutes
    services = bench.factory.services()
    deliver = services.relays.deliver

    def dies(*arguments: Any) -> str:
        deliver(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(services.relays, "deliver", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.apply(of_relay(bench.change(1, "one")))
    bench.now += services.settings.claim_seconds + 1
    bench.apply(of_relay(bench.change(1, "one")))
    first, second = fakes.calls
    assert (first.raw, first.headers["webhook-id"]) == (second.raw, second.headers["webhook-id"])
    assert link(bench).delivery.confirmed == {"subject": "one"}


@pytest.mark.parametrize(("status", "code"), [(410, Code.RELAY_GONE), (400, Code.RELAY_REFUSED)])
def test_what_a_receiver_refuses_is_a_dead_letter_that_can_be_resubmitted(
    relay_bench: Bench, fakes: FakeReceivers, status: int, code: Code
) -> None:
    bench = relay_bench
    fakes.faults.add(Fault(method="POST", kind="status", status=status, times=1))
    bench.apply(of_relay(bench.change(1, "one")))
    assert letter_codes(bench) == [code]
    bench.reconfigure()
    bench.apply(of_relay(bench.change(1, "one")))
    assert (letter_codes(bench), fakes.signed.present) == ([], {KEY: {"subject": "one"}})


def test_a_busy_receiver_leaves_the_row_unclaimed(relay_bench: Bench, fakes: FakeReceivers) -> None:
    bench = relay_bench
    bench.factory.services().relays.limiter.throttled("RELAY_CRM", 600.0)
    bench.apply(of_relay(bench.change(1)))
    assert (fakes.calls, bench.sent()) == ([], 1)
    assert bench.factory.storage().links.load(of_relay(bench.change(1)).link_key)[0] is None


def test_the_secret_that_the_command_makes_is_taken(relay_bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relay-secret"]) == 0
    relay_bench.reconfigure(RELAY_CRM_SECRET=capsys.readouterr().out)
    assert relay_bench.factory.services().relays.receiver("relay").name == "RELAY_CRM"


def test_an_address_that_is_missing_is_named_beside_all_else(relay_bench: Bench) -> None:
    relay_bench.reconfigure(RELAY_CRM="", ACUMATICA_PASSWORD="")
    with pytest.raises(NotReady) as told:
        relay_bench.factory.services()
    assert told.value.missing == ["ACUMATICA_PASSWORD", "RELAY_CRM"]


def test_the_id_in_an_answer_is_written_into_the_record(relay_bench: Bench, fakes: FakeReceivers, tmp_path: Path) -> None:
    """As a flow of Power Automate answers that has made something."""
    bench = relay_bench
    rewrite(tmp_path, RELAY.replace('"RELAY_CRM"', '"RELAY_CRM"\nauth = "none"') + WRITE_BACK)
    bench.reconfigure(RELAY_CRM=f"{fakes.url}/hooks/catch/1/abc/")
    bench.apply(of_relay(bench.change(1)))
    record = bench.acumatica.record("Opportunity", bench.note_id) or {}
    assert record["custom"]["Opportunity"]["AttributeCALEVT"]["value"] == "zap-1"
