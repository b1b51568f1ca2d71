"""Doctor says whether each mapping's inquiry can be read by OData, and whether its dates are in the mapping's zone."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.operations.check import Check
from handlers.operations.inquiry_checks import inquiries
from local.fakes import FakeAcumatica, FakeGraph
from local.inquiry import COLUMNS, QUERY
from tests.bench import Bench

INQUIRY, ZONE = "Inquiry of opportunity-meetings", "Zone of opportunity-meetings"


@pytest.fixture
def bench(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        shutil.copy("ready-made/opportunity-meetings.toml", tmp_path)
        bench = Bench(storage, graph, acumatica, ACUMATICA_LINGER_SECONDS="0", MAPPINGS_DIR=str(tmp_path))
        yield bench
        bench.factory.close()
        assert acumatica.max_sessions_seen <= 1


def exposed(bench: Bench, *rows: dict[str, Any], parameters: tuple[str, ...] = (), **columns: str) -> None:
    kinds = {name: kind for name, kind in (COLUMNS | columns).items() if kind}
    bench.acumatica.expose(QUERY, lambda: rows, kinds, ("OpportunityID",), parameters)


def pushed(bench: Bench, key: str, start: str, end: str, number: int = 1) -> dict[str, Any]:
    """A row that a push has brought."""
    note_id = bench.acumatica.put_record("Opportunity", {"OpportunityID": key, "Subject": "s"})
    change = bench.change(number, OpportunityID=key, MeetingStart=start, MeetingEnd=end, NoteID=note_id)
    bench.apply(replace(change, key=(key,)))
    assert change.row is not None
    return change.row


def looked(bench: Bench) -> dict[str, Check]:
    return {check.what: check for check in inquiries(bench.factory.services())}


def zone(bench: Bench, mapping_zone: str = "") -> Check:
    if mapping_zone:
        file = Path(bench.factory.intake().settings.mappings_dir) / "opportunity-meetings.toml"
        text = file.read_text(encoding="utf-8").replace("Eastern Standard Time", mapping_zone)
        file.write_text(text, encoding="utf-8")
        bench.reconfigure()
    return looked(bench)[ZONE]


def test_an_inquiry_that_is_not_exposed_is_no_failure(bench: Bench) -> None:
    found = looked(bench)
    assert list(found) == [INQUIRY]
    assert (found[INQUIRY].verdict, "Expose via OData" in found[INQUIRY].remedy) == ("note", True)


def test_an_inquiry_that_can_be_read_is_in_order(bench: Bench) -> None:
    exposed(bench, pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00"))
    found = looked(bench)
    assert {name: check.verdict for name, check in found.items()} == {INQUIRY: "ok", ZONE: "ok"}
    assert "1 rows" in found[INQUIRY].seen


def test_the_inquiry_is_the_one_that_the_mapping_names_for_sweeps(bench: Bench) -> None:
    exposed(bench, parameters=("Owner",))
    bench.acumatica.expose("For sweeps", list, COLUMNS, ("OpportunityID",))
    file = Path(bench.factory.intake().settings.mappings_dir) / "opportunity-meetings.toml"
    file.write_text(file.read_text("utf-8") + '\n[sweep]\ninquiry = "For sweeps"\n', "utf-8")
    bench.reconfigure()
    assert looked(bench)[INQUIRY].verdict == "ok"


def test_a_zone_that_a_value_stands_for_is_measured(bench: Bench) -> None:
    """[values] says which zone a column's value means."""
    file = Path(bench.factory.intake().settings.mappings_dir) / "opportunity-meetings.toml"
    text = file.read_text("utf-8").replace('"Eastern Standard Time"', '"{Room}"', 1)
    file.write_text(f'{text}\n[values.Room]\n"1" = "Eastern Standard Time"\n', "utf-8")
    bench.reconfigure()
    exposed(bench, pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00"))
    assert looked(bench)[ZONE].verdict == "ok"


def test_what_keeps_a_sweep_from_reading_is_told(bench: Bench) -> None:
    exposed(bench, parameters=("Owner",))
    found = looked(bench)[INQUIRY]
    assert (found.verdict, "without parameters" in found.remedy) == ("fails", True)
    exposed(bench, Room="")
    found = looked(bench)[INQUIRY]
    assert (found.verdict, "no column Room" in found.seen) == ("fails", True)
    exposed(bench)
    bench.acumatica.switches.odata_calculated = {"OpportunityID"}
    found = looked(bench)[INQUIRY]
    assert (found.verdict, "formula" in found.remedy) == ("fails", True)


def test_columns_that_differ_by_a_number_alone_are_noted(bench: Bench) -> None:
    bench.acumatica.expose(QUERY, list, {**COLUMNS, "Owner Email": "string"}, ("OpportunityID",))
    found = looked(bench)[INQUIRY]
    assert (found.verdict, "OwnerEmail_2" in found.seen) == ("note", True)


def test_a_sign_in_that_may_not_read_is_told_once(bench: Bench) -> None:
    exposed(bench)
    bench.reconfigure(ACUMATICA_AUTH="cookie")
    found = looked(bench)
    assert (list(found), found["Inquiries"].verdict) == (["Inquiries"], "fails")
    assert "ACUMATICA_AUTH" in found["Inquiries"].remedy


# -- the zone -----------------------------------------------------------------------------------------------------------


def test_the_zone_is_measured_by_dates_on_both_sides_of_daylight_saving(bench: Bench) -> None:
    winter = pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00")
    summer = pushed(bench, "OP3", "2026-07-01T09:00:00", "2026-07-01T10:00:00", 2)
    exposed(bench, winter, summer)
    found = zone(bench)
    assert found.verdict == "ok"
    assert ("UTC−05:00 on 2026-12-01" in found.seen, "UTC−04:00 on 2026-07-01" in found.seen) == (True, True)


def test_a_mapping_in_another_zone_than_the_sites_is_told(bench: Bench) -> None:
    exposed(bench, pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00"))
    found = zone(bench, "W. Europe Standard Time")
    assert (found.verdict, "06:00 h off" in found.seen, "time_zone" in found.remedy) == ("fails", True, True)


def test_a_zone_of_the_same_hour_without_daylight_saving_is_told_in_summer(bench: Bench) -> None:
    winter = pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00")
    exposed(bench, winter)
    assert zone(bench, "SA Pacific Standard Time").verdict == "ok"
    exposed(bench, pushed(bench, "OP3", "2026-07-01T09:00:00", "2026-07-01T10:00:00", 2))
    assert zone(bench).verdict == "fails"


def test_a_row_that_changed_meanwhile_is_no_wrong_zone(bench: Bench) -> None:
    """By OData it is newer than what its push has told."""
    rows = [pushed(bench, f"OP{n}", "2026-12-01T09:00:00", "2026-12-01T10:00:00", n) for n in (2, 3)]
    moved = rows[0] | {"MeetingStart": "2026-12-01T08:00:00"}
    exposed(bench, moved, rows[1])
    assert zone(bench).verdict == "ok"
    exposed(bench, moved | {"MeetingEnd": None})
    assert zone(bench).verdict == "note"


def test_what_a_sweep_has_brought_says_nothing(bench: Bench) -> None:
    row = pushed(bench, "OP2", "2026-12-01T09:00:00", "2026-12-01T10:00:00", 1 - bench.first % 10_000_000 + 9_999_999)
    exposed(bench, row)
    assert zone(bench).verdict == "note"
    assert zone(bench, "W. Europe Standard Time").verdict == "note"


def test_nothing_is_measured_by_rows_that_were_not_pushed_or_hold_no_times(bench: Bench) -> None:
    exposed(
        bench, pushed(bench, "OP2", "2026-12-01T00:00:00", "2026-12-02T00:00:00"), MeetingStart="date", MeetingEnd="date"
    )
    assert zone(bench).verdict == "note"
    exposed(bench, {"OpportunityID": "OP9", "MeetingStart": "2026-12-01T09:00:00"})
    assert zone(bench).verdict == "note"
