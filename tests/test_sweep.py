"""Sweeps on real storage, with the fakes: what a lost notification, an existing row and an emptied inquiry lead to."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from werkzeug.test import Client

from handlers import console
from handlers.again import Refused
from handlers.clients.condition import look
from handlers.clients.held import Hold
from handlers.clients.links import Links, ListedLinks
from handlers.clients.sweeps import Order, Sweep
from handlers.health import Health
from handlers.operations import activity, checks, sweeps
from handlers.runs_page.page import Page
from handlers.runs_page.visit import BASE, Request
from handlers.sweep import step
from handlers.sweep_start import after_failures, on_schedule, start
from handlers.sync.change import datetime_to_ticks, ticks_to_datetime
from handlers.sync.errors import Code
from handlers.terminal import sweep_lines
from local.fakes import Fault
from local.inquiry import COLUMNS, QUERY
from tests.sweeping import MAPPING, Sweeping, known, names, sweeping

HOUR = 3600.0
FAILED = "Failed Notifications"

type Command = Callable[..., tuple[int, str]]


@pytest.fixture
def swept(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    settings = {"SWEEP_PAGE_ROWS": "10", "REMOVALS_MAX": "5", "FAILED_NOTIFICATIONS_INQUIRY": FAILED}
    with sweeping(storage, tmp_path, monkeypatch, **settings) as bench:
        yield bench


@pytest.fixture
def command(swept: Sweeping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with settings from a file; returns the exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        environ = swept.factory._environ
        file = tmp_path / "local.settings.json"
        file.write_text(json.dumps({"Values": dict(environ) | {"ACUMATICA_LINGER_SECONDS": "0"}}), encoding="utf-8")
        for name in environ:
            monkeypatch.delenv(name, raising=False)
        swept.factory.services().sessions.close()  # the one session of the budget
        swept.reconfigure()
        status = console.main([*arguments, "--settings", str(file)])
        return status, capsys.readouterr().out

    return run


def progress(swept: Sweeping, state: str) -> set[str]:
    """How the runs of a kind stand."""
    swept.factory.services().activity.flush()
    return {run.progress for run in activity.newest(swept.factory.storage()) if run.state == state}


# -- what it sets right ------------------------------------------------------------------------------------------------


def test_rows_that_no_notification_told_of_get_their_events(swept: Sweeping) -> None:
    swept.save("A", "B", "C")
    done = swept.sweep()
    assert (done.code, done.plan.read, done.plan.upserts, done.plan.complete) == ("", 3, 3, True)
    assert sorted(swept.subjects()) == ["Visit for A", "Visit for B", "Visit for C"]


def test_a_change_and_a_removal_whose_notifications_were_lost_are_made_up_for(swept: Sweeping) -> None:
    known(swept, 4)
    swept.save("K000", Subject="Another day")
    swept.inquiry.rows.pop("K001")
    done = swept.sweep()
    assert (done.plan.upserts, done.plan.removals, done.plan.equal) == (1, 1, 2)
    assert sorted(swept.subjects()) == ["Another day", "Visit for K002", "Visit for K003"]


def test_rows_that_are_equal_cost_neither_a_write_nor_a_call(swept: Sweeping) -> None:
    known(swept, 25)
    calls, before = len(swept.graph.calls), swept.entities("EventLinks")
    done = swept.sweep()
    assert (done.plan.read, done.plan.equal, done.plan.upserts) == (25, 25, 0)
    assert len(swept.graph.calls) == calls
    assert swept.entities("EventLinks") == before
    assert swept.entities("Sweeps", but="sweeps") == []


def test_a_report_says_what_it_would_do_and_does_nothing(swept: Sweeping) -> None:
    known(swept, 3)
    swept.save("NEW", "K000", Subject="Changed")
    swept.inquiry.rows.pop("K001")
    done = swept.sweep("report")
    assert (done.plan.upserts, done.plan.removals) == (2, 1)
    assert done.plan.samples == {"upserts": ["K000", "NEW"], "removals": ["K001"]}
    assert sorted(swept.subjects()) == ["Visit for K000", "Visit for K001", "Visit for K002"]


def test_mode_upsert_removes_nothing(swept: Sweeping) -> None:
    known(swept, 3)
    swept.save("NEW")
    swept.inquiry.rows.pop("K001")
    done = swept.sweep("upsert")
    assert (done.plan.upserts, done.plan.removals) == (1, 1)
    assert len(swept.subjects()) == 4
    assert progress(swept, "swept") == {"done"}


def test_an_edited_mapping_reaches_the_rows_that_do_not_change(swept: Sweeping) -> None:
    known(swept, 2)
    swept.edit(change=lambda text: text.replace('subject = "{Subject}"', 'subject = "{Subject} ({Room})"'))
    swept.reconfigure()
    assert swept.sweep().plan.upserts == 2
    assert sorted(swept.subjects()) == ["Visit for K000 (Room 1)", "Visit for K001 (Room 1)"]


def test_what_is_younger_than_the_snapshot_is_left_to_the_next_one(swept: Sweeping) -> None:
    swept.save("A")
    swept.apply(swept.pushed("A", Subject="from the notification"))
    swept.save("A", Subject="of a notification that is still on its way")
    done = swept.sweep()
    assert (done.plan.too_young, done.plan.upserts) == (1, 0)
    assert swept.subjects() == ["from the notification"]


def test_what_was_too_young_is_looked_at_again_after_the_margin_once(swept: Sweeping) -> None:
    swept.apply(swept.pushed("A"))
    swept.inquiry.rows.pop("A")  # the notification of that was lost
    assert swept.sweep().plan.too_young == 1
    assert swept.delayed() == 1
    swept.factory.storage().sweeps.send(Order(MAPPING))  # as that one is, when it can be seen
    swept.drain()
    [again] = swept.factory.storage().sweeps.all()
    assert (again.mode, again.phase, again.plan.too_young) == ("full", "done", 1)
    assert swept.delayed() == 0


def test_a_dead_letter_whose_cause_has_passed_is_tried_again_and_goes(swept: Sweeping) -> None:
    swept.save("A", OwnerEmail="new@example.com")
    swept.graph.remove_mailbox("new@example.com")
    swept.sweep()
    [letter] = swept.factory.storage().dead_letters.list(10)
    assert letter.code == Code.MAILBOX_MISSING
    swept.later()
    swept.graph.add_mailbox("new@example.com")
    assert swept.sweep("report").plan.retried == 0
    assert swept.sweep().plan.retried == 1
    assert swept.subjects("new@example.com") == ["Visit for A"]
    assert swept.factory.storage().dead_letters.list(10) == []


# -- when it must not remove -------------------------------------------------------------------------------------------


def test_an_inquiry_that_was_emptied_takes_no_event_with_it(swept: Sweeping) -> None:
    known(swept, 3)
    rows = dict(swept.inquiry.rows)
    swept.inquiry.rows.clear()
    done = swept.sweep()
    assert (done.plan.held, done.plan.removals, len(swept.subjects())) == (3, 0, 3)
    [hold] = sweeps.holds(swept.factory.storage())
    assert (hold.source, hold.count, hold.mapping) == ("sweep", 3, MAPPING)
    assert swept.sweep("report").plan.removals == 3  # it would still remove them
    assert [found.id for found in sweeps.holds(swept.factory.storage())] == [hold.id]
    swept.inquiry.rows |= rows
    swept.sweep("report")
    assert sweeps.holds(swept.factory.storage()) == []
    closed = swept.factory.storage().held.get(hold.id)
    assert closed
    assert (closed.state, closed.by) == ("overtaken", "a later sweep")
    assert look(swept.factory.storage(), swept.now).held == 0


@pytest.mark.parametrize("back", [True, False])
def test_what_a_notification_would_remove_is_overtaken_by_a_sweep_that_saw_its_rows_or_removes_them(
    swept: Sweeping, back: bool
) -> None:
    known(swept, 12)
    storage, gone = swept.factory.storage(), [(key,) for key in names(3)]
    hold = Hold("h", source="notification", origin="n", company="production", mapping=MAPPING, timestamp=1)
    storage.held.hold(hold, gone)
    other = Hold("o", source="notification", origin="n", company="production", mapping="other", timestamp=1)
    storage.held.hold(other, gone)
    rows = [swept.inquiry.rows.pop(key) for (key,) in gone]
    swept.acumatica.conceal(QUERY)
    swept.sweep()
    assert len(sweeps.holds(storage)) == 2  # what was not read whole says nothing
    swept.acumatica.expose(QUERY, swept.inquiry.rows.values, COLUMNS, ("OpportunityID",))
    swept.sweep("upsert")
    assert len(sweeps.holds(storage)) == 2
    if back:
        swept.inquiry.rows |= {row["OpportunityID"].strip(): row for row in rows}
    swept.sweep()
    assert [found.id for found in sweeps.holds(storage)] == ["o"]
    assert len(swept.subjects()) == (12 if back else 9)


def test_more_removals_than_the_brake_allows_are_held_once_and_released_by_somebody(swept: Sweeping) -> None:
    known(swept, 12)
    for key in names(12)[:7]:
        swept.inquiry.rows.pop(key)
    for _ in range(2):
        assert swept.sweep().plan.held == 7
    [hold] = sweeps.holds(swept.factory.storage())
    assert len(swept.subjects()) == 12
    swept.save(names(12)[0])  # it has come back, and no notification tells of it
    sweeps.release(hold.id, swept.factory.intake(), "ann")
    swept.drain()
    assert sorted(swept.subjects()) == sorted(f"Visit for {key}" for key in [names(12)[0], *names(12)[7:]])
    assert sweeps.holds(swept.factory.storage()) == []
    assert progress(swept, "released") == {"done"}
    with pytest.raises(Refused):
        sweeps.release(hold.id, swept.factory.intake(), "ann")


def test_an_emptied_inquiry_is_taken_at_its_word_by_whoever_releases_that(swept: Sweeping) -> None:
    known(swept, 3)
    swept.inquiry.rows.clear()
    swept.sweep()
    [hold] = sweeps.holds(swept.factory.storage())
    sweeps.release(hold.id, swept.factory.intake(), "ann")
    swept.drain()
    assert swept.subjects() == []


def test_what_is_discarded_stays_in_the_calendar(swept: Sweeping) -> None:
    known(swept, 3)
    swept.inquiry.rows.clear()
    swept.sweep()
    [hold] = sweeps.holds(swept.factory.storage())
    sweeps.discard(hold.id, swept.factory.intake(), "ann", "it was a mistake")
    swept.drain()
    assert len(swept.subjects()) == 3
    assert sweeps.holds(swept.factory.storage()) == []


@pytest.mark.parametrize(
    ("switch", "value", "code"),
    [
        ("odata_skip", "ignored", Code.INQUIRY_PAGES_REPEAT),
        ("odata_filter", "ignored", Code.INQUIRY_FILTER_IGNORED),
        ("odata_calculated", {"OpportunityID"}, Code.INQUIRY_ANSWER_EMPTY),
    ],
)
def test_a_trap_of_odata_ends_the_sweep_before_anything_is_removed(
    swept: Sweeping, switch: str, value: object, code: Code
) -> None:
    known(swept, 25)
    swept.inquiry.rows.pop("K003")
    setattr(swept.acumatica.switches, switch, value)
    done = swept.sweep()
    assert (done.code, len(swept.subjects())) == (code, 25)
    assert swept.factory.storage().sweeps.ended_early() == {MAPPING: code}


def test_rows_that_a_torn_read_has_missed_are_found_by_the_look_up(swept: Sweeping) -> None:
    """Two rows have left from before the second page, so that two others slipped past it."""
    known(swept, 25)
    swept.acumatica.switches.odata_shift = -2
    done = swept.sweep()
    assert (done.code, done.plan.read, done.plan.removals) == ("", 23, 0)
    assert len(swept.subjects()) == 25


def test_an_inquiry_that_is_not_exposed_is_said_to_be_the_reason(swept: Sweeping) -> None:
    swept.acumatica.conceal(QUERY)
    done = swept.sweep()
    assert (done.code, done.plan.complete, done.plan.incomplete) == (
        Code.INQUIRY_NOT_EXPOSED,
        False,
        Code.INQUIRY_NOT_EXPOSED,
    )


def test_a_column_that_odata_does_not_show_is_said_to_be_the_reason(swept: Sweeping) -> None:
    known(swept, 2)
    rows = swept.inquiry.rows.values
    swept.acumatica.expose(QUERY, rows, {n: k for n, k in COLUMNS.items() if n != "Room"}, ("OpportunityID",))
    done = swept.sweep()
    assert (done.code, len(swept.subjects())) == (Code.COLUMN_MISSING, 2)


def test_notifications_that_are_ahead_of_acumaticas_clock_forbid_to_remove(swept: Sweeping) -> None:
    known(swept, 3)
    ahead = datetime_to_ticks(ticks_to_datetime(swept.pushed("A").timestamp)) + 10 * 3600 * 10_000_000
    swept.apply(swept.pushed("AHEAD", timestamp=ahead))
    swept.inquiry.rows.pop("K001")
    done = swept.sweep()
    assert done.code == Code.CLOCKS_DIFFER
    assert "Visit for K001" in swept.subjects()
    assert progress(swept, "swept") == {"done"}  # nothing that was never sent is waited for
    assert "        1  to be removed (K001)" in sweep_lines(done)


def test_a_look_up_that_has_to_be_tried_again_decides_nothing_twice(swept: Sweeping) -> None:
    known(swept, 25)
    swept.inquiry.rows.pop("K003")
    swept.apply(swept.pushed("YOUNG"))
    swept.inquiry.rows.pop("YOUNG")
    swept.acumatica.faults.add(Fault(method="GET", path=r"filter", status=503, times=1))
    done = swept.sweep()
    assert (done.plan.too_young, done.plan.removals, done.plan.samples["removals"]) == (1, 1, ["K003"])
    assert len(swept.subjects()) == 25


# -- going on ----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process has died."""


@pytest.mark.parametrize("saves", range(1, 8))
def test_a_sweep_that_was_killed_at_a_save_ends_like_one_that_was_not(swept: Sweeping, saves: int) -> None:
    known(swept, 25)
    swept.save("K007", "K024", Subject="changed")
    swept.save("NEW")
    swept.inquiry.rows.pop("K011")
    left = [saves]

    def kill(_: Sweep) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    with suppress(Killed):
        step(swept.start(), swept.factory.services(), watch=kill)
    found = swept.factory.storage().sweeps.get(MAPPING)
    assert found
    swept.factory.storage().sweeps.send(Order(MAPPING, found.id))
    swept.drain()
    done = swept.factory.storage().sweeps.get(MAPPING)
    assert done
    plan = done.plan
    assert (done.phase, plan.read, plan.upserts, plan.removals, plan.equal) == ("done", 25, 3, 1, 22)
    assert len(swept.subjects()) == 25
    assert swept.subjects().count("changed") == 2


def test_the_brake_is_asked_again_when_rows_have_come_since_it_agreed(swept: Sweeping) -> None:
    """The inquiry is emptied, the app knew of no row when that was judged, and a late notification comes after a kill."""

    def kill(sweep: Sweep) -> None:
        if sweep.confirmed:
            raise Killed

    late = swept.pushed("A", timestamp=datetime_to_ticks(ticks_to_datetime(swept.pushed("A").timestamp) - timedelta(days=1)))
    swept.inquiry.rows.clear()
    with suppress(Killed):
        step(swept.start(), swept.factory.services(), watch=kill)
    swept.apply(late)
    found = swept.factory.storage().sweeps.get(MAPPING)
    assert found
    done, _ = step(found, swept.factory.services())
    swept.drain()
    assert (done.phase, done.plan.removals, done.plan.held) == ("done", 0, 1)
    assert len(swept.subjects()) == 1


def test_a_sweep_that_is_killed_at_its_end_still_has_what_was_too_young_looked_at_again(swept: Sweeping) -> None:
    swept.apply(swept.pushed("A"))
    swept.inquiry.rows.pop("A")  # the notification of that was lost

    def kill(sweep: Sweep) -> None:
        if sweep.phase == "done":
            raise Killed

    with suppress(Killed):
        step(swept.start(), swept.factory.services(), watch=kill)
    assert swept.delayed() == 1


def test_a_sweep_that_was_begun_and_not_sent_is_sent_by_whoever_begins_it_again(swept: Sweeping) -> None:
    swept.save("A")
    begun = swept.start()
    assert swept.delayed() == 0
    again, new = start(MAPPING, "full", "another", swept.factory.intake())
    assert (again.id, new) == (begun.id, False)
    swept.drain()
    found = swept.factory.storage().sweeps.get(MAPPING)
    assert found
    assert (found.id, found.phase) == (begun.id, "done")


def test_steps_of_no_length_read_one_page_each(swept: Sweeping) -> None:
    known(swept, 25)
    swept.inquiry.rows.pop("K011")
    found, steps = swept.start(), 0
    while found.phase != "done":
        found, _ = step(found, swept.factory.services(), 0.0)
        steps += 1
    swept.drain()
    assert (steps, found.plan.read, found.plan.removals) == (4, 24, 1)
    assert len(swept.subjects()) == 24


def test_a_step_whose_links_took_long_to_list_reads_more_than_one_page(
    swept: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(swept, 25)
    of_mapping = Links.of_mapping

    def slow(links: Links, mapping: str) -> ListedLinks:
        swept.now += 10
        return of_mapping(links, mapping)

    monkeypatch.setattr(Links, "of_mapping", slow)
    found, _ = step(swept.start(), swept.factory.services(), 8.0)
    assert (found.phase, found.plan.read, found.reason) == ("done", 25, "")


def test_of_two_workers_on_one_sweep_the_later_one_stops(swept: Sweeping) -> None:
    swept.save(*names(3))
    found = swept.start()
    done, _ = step(found, swept.factory.services())
    assert done.phase == "done"
    with pytest.raises(sweeps.Overtaken):
        step(found, swept.factory.services())


def test_acumatica_that_is_away_is_waited_for(swept: Sweeping) -> None:
    swept.save("A")
    swept.acumatica.faults.add(Fault(method="GET", path=r"odata", status=503, times=2))
    found, delay = step(swept.start(), swept.factory.services())
    assert (found.phase, found.code, found.tries) == ("read", Code.ACUMATICA_UNAVAILABLE, 1)
    assert delay >= 10
    while found.phase != "done":
        found, _ = step(found, swept.factory.services())
    assert (found.code, found.plan.upserts) == ("", 1)


def test_a_sweep_that_is_under_way_is_not_begun_twice_and_one_that_was_abandoned_is(swept: Sweeping) -> None:
    first = swept.start()
    assert swept.start().id == first.id
    with pytest.raises(Refused, match="under way"):
        sweeps.begin(MAPPING, swept.factory.intake(), "ann", apply=True)
    swept.now += HOUR
    assert swept.start().id != first.id


# -- when it begins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "begun"), [("full", "full"), ("upsert", "upsert"), ("report", "report"), ("off", None)])
def test_the_schedule_begins_what_each_mapping_wants(swept: Sweeping, mode: str, begun: str | None) -> None:
    swept.edit(mode)
    swept.reconfigure()
    on_schedule(swept.factory)
    found = swept.factory.storage().sweeps.get(MAPPING)
    assert (found.mode if found else None) == begun
    swept.drain()
    found = swept.factory.storage().sweeps.get(MAPPING)
    assert (found.phase if found else None) == ("done" if begun else None)


@pytest.mark.parametrize(
    ("mode", "apply", "begun"), [("full", True, "full"), ("report", True, "upsert"), ("full", False, "report")]
)
def test_by_hand_a_sweep_does_what_was_asked_for(swept: Sweeping, mode: str, begun: str, *, apply: bool) -> None:
    swept.edit(mode)
    swept.reconfigure()
    assert sweeps.begin(MAPPING, swept.factory.intake(), "ann", apply=apply).mode == begun


def test_a_mapping_that_is_off_or_unknown_cannot_be_swept_by_hand(swept: Sweeping) -> None:
    with pytest.raises(Refused, match="no active mapping"):
        sweeps.begin("other", swept.factory.intake(), "ann", apply=True)
    swept.edit("off")
    swept.reconfigure()
    with pytest.raises(Refused, match="not swept"):
        sweeps.begin(MAPPING, swept.factory.intake(), "ann", apply=True)


def test_a_new_row_in_the_inquiry_of_failed_notifications_begins_a_sweep_of_its_query(swept: Sweeping) -> None:
    failed: list[dict[str, str]] = []
    swept.acumatica.expose(FAILED, lambda: failed, {"QueryName": "string", "Error": "string"})
    sent = swept.factory.storage().sweeps

    def begun() -> bool:
        before = sent.get(MAPPING)
        after_failures(swept.factory)
        swept.drain()
        after = sent.get(MAPPING)
        return (after and after.id) != (before and before.id)

    assert not begun()
    failed.append({"QueryName": "Another inquiry", "Error": "e"})
    assert begun()  # it names none that is mapped, so it may be of any
    failed.append({"QueryName": f"{QUERY} ", "Error": "e"})
    assert begun()
    assert not begun()
    failed.append({"QueryName": QUERY, "Error": "another"})
    under_way = swept.start()
    after_failures(swept.factory)
    assert [found.id for found in sent.all()] == [under_way.id]
    step(under_way, swept.factory.services())
    assert begun()  # the sweep that was under way may have read past it


def test_an_inquiry_of_failed_notifications_that_cannot_be_read_begins_nothing(swept: Sweeping) -> None:
    after_failures(swept.factory)
    assert swept.factory.storage().sweeps.get(MAPPING) is None


def test_rows_with_one_key_are_left_out_and_their_events_stay(swept: Sweeping) -> None:
    known(swept, 3)
    rows = swept.inquiry.rows
    swept.acumatica.expose(QUERY, lambda: [*rows.values(), rows["K001"] | {"Subject": "twice"}], COLUMNS, ("OpportunityID",))
    done = swept.sweep()
    assert done.plan.skipped == {"key-repeated": 2}
    assert "Visit for K001" in swept.subjects()


def test_tables_of_a_sweep_hold_no_more_than_its_newest_state(swept: Sweeping, storage: str) -> None:
    known(swept, 25)
    with TableServiceClient.from_connection_string(storage) as tables:
        assert len(list(tables.get_table_client("Sweeps").list_entities())) == 1


# -- what people see ---------------------------------------------------------------------------------------------------


def test_the_command_reports_and_then_sweeps(swept: Sweeping, command: Command) -> None:
    known(swept, 2)
    swept.save("NEW")
    swept.inquiry.rows.pop("K000")
    status, said = command("sweep", MAPPING, "--dry-run")
    assert status == 0
    assert re.search(r"a report: nothing was done\n +2 +read\n +1 +equal\n +1 +to be added or changed \(NEW\)", said)
    status, said = command("sweep", MAPPING, "--json")
    swept.drain()
    plan = json.loads(said)["plan"]
    assert (status, plan["upserts"], plan["removals"]) == (0, 1, 1)
    assert sorted(swept.subjects()) == ["Visit for K001", "Visit for NEW"]
    with pytest.raises(SystemExit, match="no active mapping 'other'"):
        command("sweep", "other")


def test_the_command_says_what_is_held_and_releases_it(swept: Sweeping, command: Command) -> None:
    known(swept, 2)
    swept.inquiry.rows.clear()
    status, said = command("sweep", MAPPING)
    assert (status, "removals held: The inquiry shows no row at all." in said) == (1, True)
    [hold] = json.loads(command("held", "--json")[1])
    assert (hold["count"], hold["sample"]) == (2, ["K000", "K001"])
    assert "2 removals of opportunity-meetings, held since" in command("held")[1]
    assert "Released" in command("held", "--release", hold["id"][:8])[1]
    swept.drain()
    assert swept.subjects() == []
    assert "Nothing is held." in command("held")[1]
    assert "done" in command("runs", "list", "--which", "people")[1]


def test_a_sweep_that_is_stopped_is_left_to_the_app(swept: Sweeping) -> None:
    swept.save(*names(25))

    def stop(_: Sweep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweeps.run(swept.start(), swept.factory.services(), lambda _: None, stop)
    swept.drain()
    assert len(swept.subjects()) == 25


def test_doctor_and_health_say_which_mapping_cannot_be_swept(swept: Sweeping) -> None:
    swept.acumatica.conceal(QUERY)
    swept.sweep()
    storage = swept.factory.storage()
    assert look(storage, swept.now).facts(swept.now)["sweeps_off"] == {MAPPING: Code.INQUIRY_NOT_EXPOSED}
    _, body = Health(swept.factory).answer(0.0)
    assert body["warnings"][0] == f"{MAPPING} cannot be swept: {Code.INQUIRY_NOT_EXPOSED}"
    [check] = [check for check in checks.quick(swept.factory) if check.what == f"Sweeps of {MAPPING}"]
    assert (check.verdict, "exposes no inquiry" in check.seen, bool(check.remedy)) == ("note", True, True)


def test_the_page_shows_plans_and_what_is_held_and_acts_on_it(swept: Sweeping) -> None:
    known(swept, 3)
    swept.inquiry.rows.clear()
    swept.sweep()
    page = Opened(swept)
    shown = page.get("sweeps")
    assert "3 removals held" in shown
    assert "The inquiry shows no row at all." in shown
    assert "Removals held" in page.get("")
    [hold] = sweeps.holds(swept.factory.storage())
    assert "Discarded" in page.post("discard-held", key=hold.id, why="a mistake")
    assert "There is nothing held" in page.post("release", key=hold.id)
    swept.save("BACK", *names(3))
    page.post("sweep", mapping=MAPPING)
    swept.drain()
    assert "A report: nothing was done." in page.get("sweeps")
    assert "BACK" in page.get("sweeps")
    page.post("sweep", mapping=MAPPING, apply="1")
    assert "under way" in page.post("sweep", mapping=MAPPING, apply="1")
    swept.drain()
    assert "Visit for BACK" in swept.subjects()
    assert "There is no active mapping" in page.post("sweep", mapping="other")


def test_the_page_looks_at_the_calendars_where_a_mapping_wants_that(swept: Sweeping) -> None:
    swept.edit(change=lambda text: text.replace('moved = "report"', 'moved = "ignore"').replace('deleted = "report"', ""))
    swept.reconfigure()
    assert "Look now" not in Opened(swept).get("sweeps")
    swept.edit()
    swept.reconfigure()
    known(swept, 2)
    page = Opened(swept)
    assert "Look now" in page.get("sweeps")
    assert "1 look goes to the queue" in page.post("look")


class Opened:
    """The runs page, signed in to."""

    def __init__(self, swept: Sweeping) -> None:
        environ = {**swept.factory._environ, "RUNS_KEY": "a-key-of-the-runs-page"}
        page = Page(swept.factory, environ)
        self._client = Client(lambda environ, start: page.answer(Request(environ))(environ, start))
        self.post("sign-in", key="a-key-of-the-runs-page")

    def get(self, path: str) -> str:
        return self._client.get(f"{BASE}/{path}".rstrip("/"), base_url="https://app.example.com").text

    def post(self, path: str, **form: str) -> str:
        token = re.search(r'name="token" value="([\w.-]+)"', self.get(""))
        data = form | {"token": token[1] if token else ""}
        return self._client.post(f"{BASE}/{path}", base_url="https://app.example.com", data=data).text
