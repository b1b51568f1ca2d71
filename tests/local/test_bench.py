"""The benchmark: what it counts, what it prints, and that it fails where something is wrong. No time is judged."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from local import bench
from local.bench import Result, main, table
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
    lines = table([result]).splitlines()
    assert "| least bound, rows/s | 80 Azurite alone |" in lines
    assert "| ratio to it         | 62%              |" in lines
    assert "| EventLinks read/row | 1.500            |" in lines


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
    monkeypatch.setattr(bench, "azurite_alone", lambda **_: 100.0)
    return ["--only", "common", "--rows", "20", "--json", str(tmp_path / "bench.json")]


def test_a_short_run(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Costs per row are exact, whatever the machine: no call too many on the clean path, nothing left open."""
    assert main(quick) == 0
    told: dict[str, Any] = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))
    new, updates, echoes = told["cases"]
    assert (new["graph_calls"], updates["graph_calls"], echoes["graph_calls"]) == (20, 20, 0)
    assert new["acumatica_calls"] == 20 + 2 * new["sign_ins"]
    assert (updates["acumatica_calls"], echoes["acumatica_calls"]) == (0, 0)
    for case, kinds in ((new, {"insert": 20, "replace": 20}), (echoes, {"read": 20, "replace": 20})):
        assert {name: n for name, n in case["operations"].items() if "EventLinks" in name} == {
            f"EventLinks {kind}": n for kind, n in kinds.items()
        }
        assert case["operations"]["queue row-changes send"] == case["operations"]["queue row-changes delete"] == 20
    assert [case["sessions_open"] for case in told["cases"]] == [0, 0, 0]
    assert "OK: every case was run" in capsys.readouterr().out


def test_a_hot_mailbox(quick: list[str]) -> None:
    """Whatever had to wait was sent once more, and counted."""
    assert main([quick[0], "hot", quick[2], "200", *quick[4:]]) == 0
    (hot,) = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"]
    assert hot["operations"]["queue row-changes send"] == hot["rows"] + hot["deferred"] == 100 + hot["deferred"]
    assert hot["deferred"] > 0


def test_a_case_that_is_cut_short(
    quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done until then counts; what was not is no success."""
    monkeypatch.setattr(bench.Bench, "wait", staticmethod(lambda *_: False))
    assert main(quick) == 1
    new = json.loads(Path(quick[-1]).read_text(encoding="utf-8"))["cases"][0]
    assert new["rows"] <= 20
    said = capsys.readouterr().out
    assert f"new rows: cut short after {new['rows']} of 20 rows, and not judged" in said
    assert "INCOMPLETE: the 5 minutes were over." in said


def test_a_case_that_there_is_no_time_for_is_no_success(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*quick, "--minutes", "0.1"]) == 1
    assert "common: not run" in capsys.readouterr().out
