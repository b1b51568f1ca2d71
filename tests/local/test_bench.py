"""The benchmark: what it counts, what it prints, and that it fails where something is wrong. No time is judged."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local.bench import __main__ as bench
from local.bench import limits
from local.bench.limits import in_the_calendar
from local.bench.result import Latency, Result, percentile
from local.bench.running import Bench
from local.bench.table import costs, felt, put_into
from local.bench.targets import targets
from local.measure import Operations, cold_start, spent

LOG = """
Azurite Table service successfully listens on http://127.0.0.1:10002
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "GET /devstoreaccount1/EventLinks(PartitionKey='ab',RowKey='abc') HTTP/1.1" 404 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "POST /devstoreaccount1/EventLinks HTTP/1.1" 204 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "PUT /devstoreaccount1/EventLinks(PartitionKey='ab',RowKey='abc') HTTP/1.1" 204 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "GET /devstoreaccount1/AcumaticaSessions()?$filter=x HTTP/1.1" 200 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "POST /devstoreaccount1/Tables HTTP/1.1" 201 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "PUT /devstoreaccount1/row-changes HTTP/1.1" 201 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "GET /devstoreaccount1/row-changes?comp=metadata HTTP/1.1" 200 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "POST /devstoreaccount1/row-changes/messages?messagettl=-1 HTTP/1.1" 201 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "GET /devstoreaccount1/row-changes/messages?numofmessages=8 HTTP/1.1" 200 -
127.0.0.1 - - [24/Nov/2026:17:59:38 +0000] "DELETE /devstoreaccount1/row-changes/messages/1-2?popreceipt=x HTTP/1.1" 204 -
"""


def test_operations_are_told_apart_by_table_queue_and_kind() -> None:
    """The bench's own looks at the queue do not count."""
    assert Operations.read(LOG).counts == {
        "EventLinks read": 1,
        "EventLinks insert": 1,
        "EventLinks replace": 1,
        "AcumaticaSessions read": 1,
        "Tables insert": 1,
        "row-changes PUT": 1,
        "queue row-changes send": 1,
        "queue row-changes receive": 1,
        "queue row-changes delete": 1,
    }


def test_rates_percentiles_and_the_least_bound() -> None:
    result = Result("a case", 1, rows=100, notifications=10, seconds=2.0, answers_ms=[float(n) for n in range(100, 0, -1)])
    result.bounds = {"sessions": 133.0, "Azurite alone": 80.0}
    result.operations = {"EventLinks read": 150}
    assert (result.rate, result.bound) == (50.0, 80.0)
    assert [result.answered(percent) for percent in (50, 95, 99)] == [51.0, 96.0, 100.0]
    lines = costs([result]).splitlines()
    assert "| least bound, rows/s | 80 Azurite alone |" in lines
    assert "| ratio to it         | 62%              |" in lines
    assert "| EventLinks read/row | 1.500            |" in lines


def test_the_floor_is_what_the_latencies_allow() -> None:
    """Two rows at a time, one session: the third starts once the first is written back."""
    moments = in_the_calendar([10.0, 10.0, 10.0, 20.0], Latency(0.3, 0.4), 2, sessions=1)
    assert moments == pytest.approx([10.3, 10.3, 11.0, 20.3])


def test_times_to_the_calendar_are_told_beside_the_floor() -> None:
    result = Result("a case", 1, rows=4, notifications=4, latency=Latency(0.3, 0.4))
    assert felt([result]).count("\n") == 1  # no event was made
    result.calendar, result.floor = [0.6, 0.3, 0.9, 9.0], [0.3] * 4
    assert [percentile(result.calendar, percent) for percent in (50, 95, 100)] == [0.9, 9.0, 9.0]
    cells = [cell.strip() for cell in felt([result]).splitlines()[2].strip("|").split("|")]
    assert cells == ["a case", "300, 400", "4", "0", "**0.90** = 3.0 × 0.30", *["**9.00** = 30.0 × 0.30"] * 3]


def test_a_target_is_met_or_not_and_left_out_where_its_case_was_not_run() -> None:
    result = Result("trickle, as in life", 1, rows=100, notifications=100)
    result.calendar, result.floor = [0.4] * 90 + [0.8] * 10, [0.3] * 100
    said = targets([result], 2.0)
    met = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in said.splitlines()[2:]}
    assert met == {
        "Single rows, Graph 300 ms: p50 ≤ 1.5 × the floor": "met",
        "The same: p95 ≤ 2.5 × the floor": "**not met**",
        "Cold start ≤ 2.1 × `import azure.functions`": "met",
        "Host memory ≤ 250 MiB, in all cases": "met",
        "Correct in all cases": "met",
    }


def test_the_tables_have_their_place_in_the_documentation(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    put_into(page, "new")
    put_into(page, "newer")
    assert page.read_text(encoding="utf-8") == "before\n<!-- bench -->\n\nnewer\n\n<!-- end -->\nafter\n"
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(OSError, match="no place for the tables"):
        put_into(page, "new")


def test_what_a_process_has_spent() -> None:
    cost = spent(os.getpid())
    assert cost.cpu > 0
    assert cost.mib > 10


def test_the_cold_start_is_measured_in_new_processes() -> None:
    """With identity settings, as in Azure; indexing the app is more than importing its library."""
    seconds = cold_start(times=1)
    assert seconds["function_app"] > seconds["azure.functions"] > 0


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of a short run."""
    monkeypatch.setattr(bench, "cold_start", lambda: {"azure.functions": 0.1, "function_app": 0.2})
    monkeypatch.setattr(limits, "azurite_alone", lambda **_: 100.0)
    return ["--only", "common", "--rows", "20", "--json", str(tmp_path / "bench.json")]


def test_a_short_run(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Costs per row are exact, whatever the machine: no call too many on the clean path, nothing left open."""
    assert bench.main(quick) == 0
    told: dict[str, Any] = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))
    new, updates, echoes, burst, offered = told["cases"]
    assert (offered["rows"], offered["bounds"]["offered"]) == (10, new["rate"])
    assert [len(case["calendar"]) for case in told["cases"]] == [20, 20, 0, 20, 10]
    assert min(burst["floor"]) == pytest.approx(burst["latency"]["graph"])
    assert (new["graph_calls"], updates["graph_calls"], echoes["graph_calls"]) == (20, 20, 0)
    assert new["acumatica_calls"] == 20 + 2 * new["sign_ins"]
    assert (updates["acumatica_calls"], echoes["acumatica_calls"]) == (0, 0)
    for case, kinds in ((new, {"insert": 20, "replace": 20}), (echoes, {"read": 20, "replace": 20})):
        assert {name: n for name, n in case["operations"].items() if "EventLinks" in name} == {
            f"EventLinks {kind}": n for kind, n in kinds.items()
        }
        assert case["operations"]["queue row-changes send"] == case["operations"]["queue row-changes delete"] == 20
    assert [case["sessions_open"] for case in told["cases"]] == [0, 0, 0, 0, 0]
    assert "OK: every case was run" in capsys.readouterr().out


def test_mailboxes(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever had to wait in the queue was sent once more, and counted; what binds is Graph's limit of a mailbox."""
    assert bench.main([quick[0], "mailboxes", *quick[2:]]) == 0
    hot, slow, five = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"]
    for case in (hot, slow, five):
        assert case["operations"]["queue row-changes send"] == case["rows"] + case["deferred"]
    assert slow["bounds"]["mailboxes"] == pytest.approx(4 / 0.3 * 2)
    assert five["bounds"]["mailboxes"] == pytest.approx(4 / 0.3 * 5)
    assert "5 mailboxes, slow Graph" in capsys.readouterr().out


def test_single_rows(quick: list[str]) -> None:
    """Each is measured from its answer to its event, and no row is lost sight of."""
    sizes = ["--trickle", "2", "--pauses", "1", "--troubled", "2"]
    assert bench.main([quick[0], "single", *sizes, *quick[2:]]) == 0
    cases = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"]
    assert [len(case["calendar"]) for case in cases] == [2, 2, 1, 2]
    for case in cases:
        assert case["floor"] == pytest.approx([case["latency"]["graph"]] * len(case["floor"]))
    assert cases[1]["calendar_p50"] > 0.25  # less than what Graph takes would be no measurement


def test_a_kill(quick: list[str]) -> None:
    """All rows are in the calendar in the end, those that were under way as well."""
    assert bench.main([quick[0], "kill", *quick[2:], "--lease", "3"]) == 0
    (case,) = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"]
    assert (case["rows"], len(case["calendar"]), case["differences"]) == (10, 10, [])


def test_a_case_that_is_cut_short(
    quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done until then counts; what was not is no success."""
    monkeypatch.setattr(Bench, "wait", staticmethod(lambda *_: False))
    assert bench.main(quick) == 1
    new = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"][0]
    assert new["rows"] <= 20
    said = capsys.readouterr().out
    assert f"new rows: cut short after {new['rows']} of 20 rows, and not judged" in said
    assert "INCOMPLETE: the 5 minutes were over." in said


def test_a_case_that_there_is_no_time_for_is_no_success(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([*quick, "--minutes", "0.1"]) == 1
    assert "common: not run" in capsys.readouterr().out
