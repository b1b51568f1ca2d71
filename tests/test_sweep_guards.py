"""What a sweep must not do to events that are there, whatever was edited, renamed or mistaken meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers import again
from handlers.clients import inquiries
from handlers.clients.sweeps import DECIDED, Mode
from handlers.sweep import step
from handlers.sync.change import datetime_to_ticks
from handlers.sync.errors import Code
from handlers.sync.odata_answers import Rows, rows_of
from handlers.terminal import sweep_lines
from local.fakes import Fault
from local.inquiry import COLUMNS, QUERY
from tests.sweeping import Sweeping, known, names, sweeping


@pytest.fixture
def swept(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    with sweeping(storage, tmp_path, monkeypatch, SWEEP_PAGE_ROWS="10", REMOVALS_MAX="5") as bench:
        yield bench


def edited(swept: Sweeping, old: str, new: str, mode: str = "full") -> None:
    """The mapping file is another one from now on."""
    change: Callable[[str], str] = lambda text: text.replace(old, new, 1)  # noqa: E731
    swept.edit(mode, change=change)
    swept.reconfigure()


# -- what an event's identity is made of -------------------------------------------------------------------------------


def test_a_tenant_of_another_name_makes_no_event_twice(swept: Sweeping) -> None:
    known(swept, 3)
    swept.acumatica.tenant = "Renamed"
    swept.reconfigure(ACUMATICA_TENANT="Renamed")
    done = swept.sweep()
    assert (done.code, "ACUMATICA_TENANT_FORMERLY" in done.reason, done.plan.upserts) == (Code.NOT_READY, True, 0)
    assert len(swept.subjects()) == 3


def test_other_key_columns_make_no_event_twice(swept: Sweeping) -> None:
    known(swept, 3)
    edited(swept, 'key = ["OpportunityID"]', 'key = ["NoteID"]')
    done = swept.sweep()
    assert (done.code, "OpportunityID was used" in done.reason, done.plan.upserts) == (Code.NOT_READY, True, 0)
    assert len(swept.subjects()) == 3


# -- events of rows that are in the inquiry ----------------------------------------------------------------------------

LEFT_OUT = '[when]\nRoom = "room one"\n\n[event]'  # a typo: no row has it


@pytest.mark.parametrize(("mode", "stay"), [("report", 3), ("upsert", 3), ("full", 0)])
def test_what_when_leaves_out_loses_its_event_in_mode_full_alone(swept: Sweeping, mode: Mode, stay: int) -> None:
    known(swept, 3)
    edited(swept, "[event]", LEFT_OUT)
    done = swept.sweep(mode)
    assert (done.plan.withdrawn, done.plan.skipped.get("would-remove", 0), len(swept.subjects())) == (3 - stay, stay, stay)
    assert done.reason == ""


def test_a_mapping_that_leaves_all_rows_out_takes_few_events_away_and_none_in_the_nights_to_come(swept: Sweeping) -> None:
    known(swept, 12)
    edited(swept, "[event]", LEFT_OUT)
    for _ in range(3):
        done = swept.sweep()
        assert (done.plan.skipped["would-remove"], len(swept.subjects())) == (7, 7)
        assert "7 rows of the inquiry keep their event" in done.reason
        assert any("7 rows of the inquiry keep their event" in line for line in sweep_lines(done))
    swept.later()
    edited(swept, LEFT_OUT, "[event]")
    assert swept.sweep().plan.leaving == 0
    assert len(swept.subjects()) == 12


@pytest.mark.parametrize("mode", ["upsert", "full"])
def test_a_trial_that_is_set_up_later_does_not_empty_the_calendars(swept: Sweeping, mode: Mode) -> None:
    known(swept, 12)
    swept.graph.add_mailbox("test@example.com")
    swept.reconfigure(TEST_MAILBOX="test@example.com")
    moved = 5 if mode == "full" else 0
    assert swept.sweep(mode).plan.skipped["would-remove"] == 12 - moved
    assert (len(swept.subjects()), len(swept.subjects("test@example.com"))) == (12 - moved, moved)


# -- who is mailed -----------------------------------------------------------------------------------------------------

ATTENDED = '[event]\nattendees = ["{Room}"]'


def day(swept: Sweeping, hours: float) -> dict[str, Any]:
    """The times of a meeting that begins so many hours from now."""
    start = datetime.fromtimestamp(swept.now + hours * 3600, UTC)
    return {"MeetingStart": f"{start:%Y-%m-%dT%H}:10:00", "MeetingEnd": f"{start:%Y-%m-%dT%H}:20:00"}


def test_at_the_end_of_a_trial_a_sweep_invites_nobody_and_leaves_the_past_alone(swept: Sweeping) -> None:
    def backfilled(text: str) -> str:
        return text.replace("[event]", ATTENDED, 1)

    swept.edit("upsert", '"future"', backfilled)
    swept.graph.add_mailbox("test@example.com")
    swept.reconfigure(TEST_MAILBOX="test@example.com")
    swept.save("A", Room="guest@example.org")
    swept.save("B", Room="")
    swept.save("P", Room="", **day(swept, 24))
    swept.sweep("upsert")
    assert len(swept.subjects("test@example.com")) == 3
    swept.now += 3 * 86_400
    swept.later()
    swept.reconfigure(TEST_MAILBOX="")
    assert swept.sweep("upsert").plan.skipped == {"would-invite": 1, "past": 1}
    assert (sorted(swept.subjects("test@example.com")), swept.subjects()) == (
        ["Visit for A", "Visit for P"],
        ["Visit for B"],
    )


@pytest.mark.parametrize(("room", "hours", "tried"), [("g@example.org", 96, 0), ("", 12, 0), ("", 96, 1)])
def test_a_dead_letter_is_tried_again_by_a_sweep_as_backfill_allows(
    swept: Sweeping, room: str, hours: float, tried: int
) -> None:
    swept.edit("upsert", '"future"', lambda text: text.replace("[event]", ATTENDED, 1))
    swept.reconfigure()
    swept.graph.remove_mailbox("ann@example.com")
    swept.apply(swept.pushed("P", Room=room, **day(swept, hours)))
    swept.graph.add_mailbox("ann@example.com")
    swept.now += 2 * 86_400
    assert swept.sweep("upsert").plan.retried == tried
    assert len(swept.subjects()) == tried


def test_a_sweep_tries_so_many_dead_letters_again_and_the_next_one_those_that_are_left(
    swept: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept.graph.remove_mailbox("ann@example.com")
    for key in names(3):
        swept.apply(swept.pushed(key))
    monkeypatch.setattr(again, "_TRIED_AGAIN", 2)
    for left in (("K000",), ()):
        assert swept.sweep("upsert").plan.retried == 2
        found = swept.factory.storage().dead_letters.list(10)
        assert {letter.row_key for letter in found if not letter.resubmitted} == set(left)


# -- dates and times ---------------------------------------------------------------------------------------------------


def starts(swept: Sweeping) -> dict[str, str]:
    return {event["subject"]: event["start"]["dateTime"][:16] for event in swept.graph.events("ann@example.com")}


def test_an_evening_alone_on_its_page_is_no_date_without_a_time(swept: Sweeping) -> None:
    swept.save(*names(10))
    swept.save("LATE", MeetingStart="2036-12-01T19:00:00", MeetingEnd=None)
    swept.sweep()
    assert starts(swept)["Visit for LATE"] == "2036-12-01T19:00"


def test_dates_without_a_time_wait_for_a_push_that_tells_so(swept: Sweeping) -> None:
    kinds = COLUMNS | {"MeetingStart": "date", "MeetingEnd": "date"}
    swept.acumatica.expose(QUERY, swept.inquiry.rows.values, kinds, ("OpportunityID",))
    swept.save("A", MeetingStart="2036-12-01T00:00:00", MeetingEnd="2036-12-02T00:00:00")
    assert swept.sweep().plan.skipped == {"time-unknown": 1}
    swept.apply(swept.pushed("B", MeetingStart="2036-12-03T00:00:00", MeetingEnd="2036-12-04T00:00:00"))
    swept.sweep()
    swept.later()
    swept.sweep()
    assert starts(swept) == {"Visit for A": "2036-12-01T00:00", "Visit for B": "2036-12-03T00:00"}


def test_a_wrong_time_zone_moves_no_event(swept: Sweeping) -> None:
    edited(swept, "Eastern Standard Time", "Pacific Standard Time")
    for key in names(3):
        change = swept.pushed(key)
        swept.apply(replace(change, timestamp=change.timestamp - 6 * 3600 * 10_000_000))
    before = starts(swept)
    swept.save("NEW")
    done = swept.sweep()
    assert (done.code, "03:00 hours off" in done.reason, done.plan.upserts) == (Code.ZONE_DIFFERS, True, 0)
    assert starts(swept) == before


# -- what is not as it was said to be ----------------------------------------------------------------------------------


@pytest.mark.parametrize("present", [False, True])
def test_a_column_that_only_metadata_has_is_said_to_be_the_reason(
    swept: Sweeping, monkeypatch: pytest.MonkeyPatch, *, present: bool
) -> None:
    if present:
        known(swept, 3)
    swept.save("A")

    def without(body: bytes, inquiry: str) -> Rows:
        found = rows_of(body, inquiry)
        return Rows([{name: value for name, value in row.items() if name != "Room"} for row in found.rows], found.more)

    monkeypatch.setattr(inquiries, "rows_of", without)
    done = swept.sweep()
    assert (done.phase, done.code, "Room" in done.reason, bool(done.remedy)) == ("done", Code.COLUMN_MISSING, True, True)


def test_an_event_with_attendees_that_a_late_removal_took_away_is_brought_back_by_the_next_sweep(swept: Sweeping) -> None:
    """An equal row costs no write, so its link stays older than the sweep, and a removal that lies between wins."""
    swept.edit("full", '"future"', lambda text: text.replace("[event]", ATTENDED, 1))
    swept.reconfigure()
    change = swept.pushed("A", Room="guest@example.org")
    earlier = replace(change, timestamp=change.timestamp - 6 * 3600 * 10_000_000)
    swept.apply(earlier)
    done = swept.sweep()
    late = replace(earlier, timestamp=earlier.timestamp + 1, row=None)
    assert (done.plan.equal, late.timestamp < done.plan.sigma) == (1, True)
    swept.apply(late)
    assert swept.subjects() == []
    assert swept.sweep().plan.upserts == 1
    assert swept.subjects() == ["Visit for A"]


# -- while it is under way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "left", "stay"), [("report", "report", 25), ("off", "report", 25), ("upsert", "upsert", 26)]
)
@pytest.mark.parametrize("steps", [1, 4])
def test_a_mode_that_is_narrowed_holds_for_the_sweep_under_way(
    swept: Sweeping, mode: str, left: str, stay: int, steps: int
) -> None:
    known(swept, 25)
    swept.inquiry.rows.pop("K003")
    swept.save("NEW")
    found = swept.start()
    swept.acumatica.faults.add(Fault(method="GET", path=r"filter", status=503, times=1))
    for _ in range(steps):
        found, _ = step(found, swept.factory.services(), 0.0)
    assert found.confirmed == (DECIDED if steps == 4 else "")  # by then, NEW is sent
    swept.edit(mode)
    swept.reconfigure()
    while found.phase != "done":
        found, _ = step(found, swept.factory.services())
    swept.drain()
    assert (found.mode, found.plan.mode, found.plan.removals) == (left, left, 1)
    assert len(swept.subjects()) == (26 if steps == 4 else stay)


def test_a_clock_of_acumatica_that_is_ahead_of_ours_makes_no_snapshot_of_the_future(swept: Sweeping) -> None:
    swept.now -= 7200
    done = swept.sweep("report")
    assert done.plan.sigma <= datetime_to_ticks(datetime.fromtimestamp(swept.now, UTC) - timedelta(minutes=240))


def test_the_hours_of_trying_count_from_where_it_last_got_somewhere(swept: Sweeping) -> None:
    known(swept, 25)
    found, _ = step(swept.start(), swept.factory.services(), 0.0)
    swept.reconfigure()  # nothing holds the one session over the hours
    swept.now += 5 * 3600
    found, _ = step(found, swept.factory.services(), 0.0)
    assert (found.cursor, found.code) == (20, "")
    for phase in ("read", "done"):
        swept.now += 5 * 3600
        swept.acumatica.faults.add(Fault(method="GET", path=r"odata", status=503, times=1))
        found, _ = step(found, swept.factory.services(), 0.0)
        assert (found.phase, bool(found.code)) == (phase, True)
