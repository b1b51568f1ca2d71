"""What is held, and sweeps: when a sweep closes a hold, and which of a hold's rows go once somebody has released it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers import snapshot
from handlers.again import Refused
from handlers.clients.held import Hold, hold_id
from handlers.clients.sweeps import Sweep
from handlers.operations import activity, sweeps
from handlers.sweep import step
from handlers.sync.change import RowChange, datetime_to_ticks
from handlers.sync.errors import Code
from local.fakes import Fault
from local.inquiry import QUERY
from tests.sweeping import MAPPING, Sweeping, known, names, sweeping

NAMES = names(12)
FIRST = [(name,) for name in NAMES[:3]]


@pytest.fixture
def swept(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    """Twelve rows that are in the calendar, since an hour."""
    with sweeping(storage, tmp_path, monkeypatch, REMOVALS_MAX="5") as bench:
        known(bench, 12)
        yield bench


def held(swept: Sweeping, timestamp: int = 1) -> str:
    """The removals of a notification are held, of the first three rows; the hold's id."""
    key = hold_id("notification", "n", MAPPING)
    hold = Hold(key, source="notification", origin="n", company="production", mapping=MAPPING, timestamp=timestamp)
    assert swept.factory.storage().held.hold(hold, FIRST)
    return key


def state(swept: Sweeping, key: str) -> str:
    hold = swept.factory.storage().held.get(key)
    return hold.state if hold else "unknown"


def release(swept: Sweeping, key: str) -> None:
    sweeps.release(key, swept.factory.intake(), "ann")
    swept.drain()


def now_in_ticks(swept: Sweeping) -> int:
    return datetime_to_ticks(datetime.fromtimestamp(swept.now, UTC))


# -- when a sweep closes it --------------------------------------------------------------------------------------------


def test_a_hold_that_is_younger_than_the_read_stays(swept: Sweeping) -> None:
    """All rows were read; then a notification removed some of them."""

    def removed_meanwhile(sweep: Sweep) -> None:
        if sweep.phase == "confirm" and swept.inquiry.rows:
            held(swept, now_in_ticks(swept))
            swept.inquiry.rows.clear()

    step(swept.start("upsert"), swept.factory.services(), watch=removed_meanwhile)
    assert state(swept, hold_id("notification", "n", MAPPING)) == "held"


@pytest.mark.parametrize(("gone", "expected"), [(True, "held"), (False, "overtaken")])
def test_a_hold_whose_rows_are_not_stored_any_more_stays_while_any_row_is_missing(
    swept: Sweeping, expected: str, *, gone: bool
) -> None:
    storage, key = swept.factory.storage(), held(swept)
    hold = storage.held.get(key)
    assert hold
    storage.held._blobs._connect().delete_blob(hold.blob)
    if gone:
        swept.inquiry.rows.pop(NAMES[0])
    swept.sweep("upsert")
    assert state(swept, key) == expected


def test_a_hold_is_overtaken_by_removals_that_are_sent_and_not_by_those_that_are_not(swept: Sweeping) -> None:
    key = held(swept)
    for name in NAMES[:3]:
        swept.inquiry.rows.pop(name)
    swept.acumatica.switches.odata_filter = "ignored"
    assert swept.sweep().code == Code.INQUIRY_FILTER_IGNORED
    assert (state(swept, key), len(swept.subjects())) == ("held", 12)
    swept.acumatica.switches.odata_filter = "applied"
    swept.sweep()
    assert (state(swept, key), len(swept.subjects())) == ("overtaken", 9)


# -- once it is released -----------------------------------------------------------------------------------------------


def test_released_removals_of_a_notification_spare_rows_that_are_there_again(swept: Sweeping) -> None:
    """A sweep that saw them since wrote nothing, since they were equal: their links are older than the removals."""
    key = held(swept, now_in_ticks(swept))
    swept.inquiry.rows.pop(NAMES[0])
    release(swept, key)
    assert (state(swept, key), sorted(swept.subjects())) == ("released", [f"Visit for {name}" for name in NAMES[1:]])


def test_released_removals_of_a_notification_go_where_the_inquiry_cannot_be_read(swept: Sweeping) -> None:
    key = held(swept, now_in_ticks(swept))
    swept.acumatica.conceal(QUERY)
    release(swept, key)
    assert (state(swept, key), len(swept.subjects())) == ("released", 9)


def test_a_look_up_that_fails_for_good_halfway_lets_the_rest_of_a_notification_go(
    swept: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_LOOKED_UP", 1)
    key = held(swept, now_in_ticks(swept))
    swept.inquiry.rows.pop(NAMES[0])
    swept.acumatica.faults.add(Fault(method="GET", path=rf"filter.*{NAMES[1]}", status=400, times=9))
    release(swept, key)
    assert (state(swept, key), len(swept.subjects())) == ("released", 9)


def test_what_is_discarded_while_its_removals_are_sent_stops_there(swept: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_LOOKED_UP", 1)
    key = held(swept, now_in_ticks(swept))
    for name in NAMES[:3]:
        swept.inquiry.rows.pop(name)
    queue, intake = swept.factory.storage().queue, swept.factory.intake()
    send = queue.send

    def discarded_after_the_first(change: RowChange, delay: float = 0.0) -> None:
        send(change, delay)
        if state(swept, key) == "releasing":
            sweeps.discard(key, intake, "ben", "a mistake")

    monkeypatch.setattr(queue, "send", discarded_after_the_first)
    release(swept, key)
    assert (state(swept, key), len(swept.subjects())) == ("discarded", 11)
    swept.factory.services().activity.flush()
    [run] = [run for run in activity.newest(swept.factory.storage()) if run.state == "released"]
    assert run.progress == "done"


def test_where_its_mapping_is_not_active_nothing_is_released(swept: Sweeping) -> None:
    key, mapping = held(swept, now_in_ticks(swept)), swept.folder / f"{MAPPING}.toml"
    sweeps.release(key, swept.factory.intake(), "ann")
    mapping.unlink()  # before the queue brings it
    swept.reconfigure()
    swept.drain()
    [hold] = sweeps.holds(swept.factory.storage())
    assert (hold.state, hold.why[:26], swept.letters()) == ("held", "There is no active mapping", {})
    with pytest.raises(Refused, match="no active mapping"):
        sweeps.release(key, swept.factory.intake(), "ann")
    assert state(swept, key) == "held"


def test_a_sweep_that_has_to_hold_what_another_has_waits_until_that_is_released(swept: Sweeping) -> None:
    for name in NAMES[:7]:
        swept.inquiry.rows.pop(name)
    assert swept.sweep().plan.held == 7
    [hold] = sweeps.holds(swept.factory.storage())
    sweeps.release(hold.id, swept.factory.intake(), "ann")
    waits, delay = step(swept.start(), swept.factory.services())
    assert (waits.phase, waits.code, waits.plan.held) == ("confirm", Code.RELEASE_UNDER_WAY, 0)
    assert delay >= 30
    swept.drain()
    done, _ = step(waits, swept.factory.services())
    assert (done.phase, done.code, done.plan.held, done.plan.removals) == ("done", "", 0, 0)
    assert len(swept.subjects()) == 5
