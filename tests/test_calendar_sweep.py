"""What people do in Outlook: a look marks the link, and the ordinary way does the rest; on real storage and the fakes."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers import calendar_sweep, console
from handlers.apply import apply
from handlers.calendar_sweep import Looked, looks, sweep_mailbox
from handlers.clients.queue import QUEUE
from handlers.clients.sweeps import Look
from handlers.operations import calendars
from handlers.services import Services
from handlers.sync.change import RowChange
from handlers.sync.errors import Code, Later
from handlers.sync.template import Template
from local.fakes import Fault
from local.sample import changed
from tests.bench import Bench

ANN = "ann@example.com"
ZONE = ZoneInfo("America/New_York")
FIELDS = """
"custom.Opportunity.UsrStatus" = "{outlook_status}"
"custom.Opportunity.UsrTimes" = "{outlook_start} to {outlook_end}"
"""
REPORT = '[on]\nmoved = "report"\ndeleted = "report"'
RESTORE = '[on]\nmoved = "restore"\ndeleted = "restore"'

type Swept = Callable[..., Bench]


@pytest.fixture
def swept(bench: Bench, tmp_path: Path) -> Swept:
    """The bench with an [on], more fields, and perhaps more of its event; all in a mailbox with a meeting in three days."""

    def more(on: str, fields: str = FIELDS, event: str = "") -> Bench:
        text = changed(("[write_back]", f"{event}\n[write_back]"))
        (tmp_path / "opportunity-meetings.toml").write_text(f"{text}{fields}\n{on}", "utf-8")
        for name in ("UsrStatus", "UsrTimes", "UsrPeople"):
            bench.acumatica.declare("Opportunity", "Opportunity", name)
        bench.reconfigure(MAPPINGS_DIR=str(tmp_path), ACUMATICA_MAX_SESSIONS="4")
        return bench

    return more


def local(bench: Bench, days: float, hours: float = 0.0) -> str:
    """A moment some days from the bench's now, at noon and some hours, as Acumatica sends it."""
    day = datetime.fromtimestamp(bench.now, ZONE).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    return (day + timedelta(days=days, hours=hours)).isoformat()


def row(bench: Bench, number: int = 1, days: float = 3, **columns: Any) -> RowChange:
    return bench.change(number, MeetingStart=local(bench, days), MeetingEnd=local(bench, days, 1), **columns)


def zoned(moment: str) -> dict[str, str]:
    return {"dateTime": moment, "timeZone": "Eastern Standard Time"}


def move(bench: Bench, days: float, hours: float = 0.0, event_id: str = "") -> None:
    """A person drags the event to another time."""
    event_id = event_id or the_event(bench)["id"]
    bench.graph.user_reschedules(ANN, event_id, zoned(local(bench, days, hours)), zoned(local(bench, days, hours + 1)))


def the_event(bench: Bench) -> dict[str, Any]:
    (event,) = bench.graph.events(ANN)
    return event


def starts(bench: Bench) -> list[str]:
    return sorted(event["start"]["dateTime"][:19] for event in bench.graph.events(ANN))


def look(bench: Bench) -> Looked:
    """Look at the one mailbox."""
    services = bench.factory.services()
    found = [sweep_mailbox(one, services) for one in looks(services)]
    return found[0] if found else Looked(ANN)


def deliver(bench: Bench, *changes: RowChange) -> int:
    """Take all messages from the queue, and changes, as the host does, until none is left; returns how many were there."""
    count, storage = 0, bench.factory.storage()
    waiting = [(change, 0.0) for change in changes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage.queue, "send", lambda change, delay=0.0: waiting.append((change, delay)))
        for _ in range(storage.queue.count()):
            apply(received(bench), bench.factory)
            count += 1
        while waiting:
            change, delay = waiting.pop(0)
            bench.now += delay
            apply(json.dumps(change.encode()), bench.factory)
    return count


def received(bench: Bench) -> str:
    policy = TextBase64DecodePolicy()
    with QueueClient.from_connection_string(bench.connection, QUEUE, message_decode_policy=policy) as queue:
        message = queue.receive_message()
        assert message
        queue.delete_message(message)
        return str(message.content)


def written(bench: Bench, field: str = "UsrStatus") -> Any:
    record = bench.acumatica.record("Opportunity", bench.note_id) or {}
    return record.get("custom", {}).get("Opportunity", {}).get(field, {}).get("value")


def asked(bench: Bench, since: int = 0) -> list[str]:
    """What was asked of Graph: method, and the last part of the path."""
    found = [call for call in bench.graph.calls[since:] if "/v1.0/" in call.path]
    return [f"{call.method} {'id' if len(call.segments[-1]) > 50 else call.segments[-1]}" for call in found]


def acumatica_puts(bench: Bench) -> int:
    return sum(call.method == "PUT" for call in bench.acumatica.calls)


def test_an_event_as_it_was_written_costs_one_request_and_no_write(swept: Swept) -> None:
    bench = swept(REPORT)
    bench.apply(row(bench))
    puts = acumatica_puts(bench)
    before = len(bench.graph.calls)
    assert look(bench) == Looked(ANN, looked=1)
    assert asked(bench, before) == ["GET calendarView"]
    assert (deliver(bench), acumatica_puts(bench), written(bench)) == (0, puts, None)


def test_what_no_mapping_wants_to_know_is_not_looked_at(swept: Swept) -> None:
    bench = swept("", "")
    bench.apply(row(bench))
    assert looks(bench.factory.services()) == []


def test_a_moved_event_is_reported_and_left(swept: Swept) -> None:
    """Once, and then again when it is back; the push that follows the write-back costs nothing."""
    bench = swept(REPORT)
    bench.apply(row(bench))
    move(bench, 4, 2)
    assert look(bench).count("moved") == 1
    assert deliver(bench) == 1
    assert (written(bench), written(bench, "UsrTimes")) == ("moved", f"{local(bench, 4, 2)} to {local(bench, 4, 3)}")
    assert starts(bench) == [local(bench, 4, 2)]
    puts, before = acumatica_puts(bench), len(bench.graph.calls)
    bench.apply(row(bench, 2))  # the echo
    assert look(bench).marked == 0
    assert asked(bench, before) == ["GET calendarView"]
    assert (deliver(bench), acumatica_puts(bench)) == (0, puts)
    move(bench, 3)
    look(bench)
    deliver(bench)
    assert (written(bench), acumatica_puts(bench)) == ("unchanged", puts + 1)


def test_a_moved_event_is_restored(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    move(bench, 4)
    assert look(bench).marked == 1
    assert deliver(bench) == 1
    assert starts(bench) == [local(bench, 3)]
    assert look(bench) == Looked(ANN, looked=1)


def test_an_event_that_was_moved_out_of_the_window_is_moved_and_not_deleted(swept: Swept) -> None:
    for number, days in enumerate((500, -60)):
        bench = swept(REPORT)
        bench.apply(row(bench, number + 1))
        move(bench, days)
        before = len(bench.graph.calls)
        look(bench)
        assert asked(bench, before) == ["GET calendarView", "GET id"]
        deliver(bench)
        assert written(bench) == "moved"


def test_a_deleted_event_is_reported_and_not_looked_up_again(swept: Swept) -> None:
    bench = swept(REPORT)
    bench.apply(row(bench))
    bench.graph.user_deletes(ANN, the_event(bench)["id"])
    assert look(bench).count("deleted") == 1
    deliver(bench)
    assert (written(bench), written(bench, "UsrTimes"), bench.subjects()) == ("deleted", "to", [])
    before = len(bench.graph.calls)
    assert look(bench).marked == 0
    assert asked(bench, before) == ["GET calendarView"]


def test_a_deleted_event_is_made_again(swept: Swept) -> None:
    """Under another id, which its record is told."""
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    old = the_event(bench)["id"]
    bench.graph.user_deletes(ANN, old)
    look(bench)
    deliver(bench)
    assert the_event(bench)["id"] != old
    assert written(bench, "AttributeCALEVT") == the_event(bench)["id"]
    assert look(bench) == Looked(ANN, looked=1)


def test_one_may_be_restored_and_the_other_left(swept: Swept) -> None:
    bench = swept('[on]\nmoved = "restore"', "")
    bench.apply(row(bench))
    bench.graph.user_deletes(ANN, the_event(bench)["id"])
    assert look(bench).marked == 0
    assert (deliver(bench), bench.subjects()) == (0, [])


@pytest.mark.parametrize(("on", "fields"), [(REPORT, FIELDS), (RESTORE, "")])
def test_a_copy_is_nobodys(swept: Swept, on: str, fields: str) -> None:
    """It has the stamp, under an id of its own: it stays where it is, whatever becomes of the event beside it."""
    bench = swept(on, fields)
    bench.apply(row(bench))
    original = the_event(bench)["id"]
    copy = bench.graph.user_copies(ANN, original)
    move(bench, 5, event_id=copy)
    assert look(bench) == Looked(ANN, looked=1)
    move(bench, 4, event_id=original)
    look(bench)
    deliver(bench)
    assert local(bench, 5) in starts(bench)
    assert starts(bench)[0] == local(bench, 4 if on == REPORT else 3)


@pytest.mark.parametrize(("on", "fields"), [(REPORT, FIELDS), (RESTORE, "")])
def test_two_events_that_were_exchanged_are_told_apart(swept: Swept, on: str, fields: str) -> None:
    bench = swept(on, fields)
    other = bench.acumatica.put_record("Opportunity", {"OpportunityID": "OP2", "Subject": "s"})
    bench.apply(row(bench, 1, 3, subject="first"))
    bench.apply(replace(row(bench, 1, 5, subject="second", OpportunityID="OP2", NoteID=other), key=("OP2",)))
    ids = {event["subject"]: event["id"] for event in bench.graph.events(ANN)}
    move(bench, 5, event_id=ids["first"])
    move(bench, 3, event_id=ids["second"])
    assert look(bench).count("moved") == 2
    assert deliver(bench) == 2
    days = {event["subject"]: event["start"]["dateTime"][:19] for event in bench.graph.events(ANN)}
    kept = {"first": local(bench, 3), "second": local(bench, 5)}
    assert days == (kept if on == RESTORE else {"first": kept["second"], "second": kept["first"]})


@pytest.mark.parametrize("moved", [False, True])
def test_an_event_in_another_calendar_of_the_mailbox_is_there(swept: Swept, moved: bool) -> None:
    """A move between calendars changes the id; nothing is made again, and no content is written for that alone."""
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    elsewhere = bench.graph.user_moves(ANN, the_event(bench)["id"])
    if moved:
        move(bench, 4)
    assert look(bench).marked == int(moved)
    deliver(bench)
    event = the_event(bench)
    assert (event["id"], event["calendar"], event["start"]["dateTime"][:19]) == (elsewhere, "Private", local(bench, 3))
    assert written(bench, "AttributeCALEVT") == elsewhere if moved else True


def test_an_event_of_a_calendar_of_its_own_is_looked_for_there(swept: Swept) -> None:
    bench = swept(REPORT)
    folder = bench.graph.add_calendar(ANN, "Meetings")
    services = bench.factory.services()
    named = services.mappings["opportunity-meetings"].model_copy(update={"calendar": Template.parse("Meetings")})
    services.mappings["opportunity-meetings"] = named
    bench.apply(row(bench))
    move(bench, 4)
    (one,) = looks(services)
    assert sweep_mailbox(one, services).count("moved") == 1
    assert any(folder in call.segments and call.segments[-1] == "calendarView" for call in bench.graph.calls)


def test_a_view_that_lags_is_news_of_nobody(swept: Swept) -> None:
    """What looks moved or deleted is confirmed by the event itself, before anything is marked."""
    bench = swept(RESTORE, "")
    bench.graph.hold_view(ANN)
    bench.apply(row(bench))  # the view does not have it yet
    assert look(bench).marked == 0
    bench.graph.hold_view(ANN)
    bench.apply(row(bench, 2, 6))  # the view has it at its old time
    assert look(bench).marked == 0
    assert (deliver(bench), starts(bench)) == (0, [local(bench, 6)])


def test_events_that_are_over_are_left_alone(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench, 1, -2))
    assert looks(bench.factory.services()) == []
    bench.apply(row(bench, 2, 399))
    assert len(looks(bench.factory.services())) == 1
    bench.apply(row(bench, 3, 402))
    assert looks(bench.factory.services()) == []


def test_who_comes_is_reported(swept: Swept) -> None:
    bench = swept(REPORT, '"custom.Opportunity.UsrPeople" = "{responses}"', 'attendees = ["{Guests}"]')
    bench.apply(row(bench, Guests="gus@example.com; liz@example.com"))
    assert look(bench).marked == 0
    bench.graph.attendee_answers(ANN, the_event(bench)["id"], "liz@example.com", "declined")
    look(bench)
    deliver(bench)
    assert written(bench, "UsrPeople") == "liz@example.com declined"
    mails = len(bench.graph.invitations)
    bench.graph.attendee_answers(ANN, the_event(bench)["id"], "gus@example.com", "tentativelyAccepted")
    look(bench)
    deliver(bench)
    assert written(bench, "UsrPeople") == "gus@example.com tentative; liz@example.com declined"
    assert len(bench.graph.invitations) == mails


def test_text_and_place_are_the_peoples(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    event = the_event(bench)
    bench.graph._box(ANN).items[event["id"]].event |= {"subject": "mine", "location": {"displayName": "My place"}}
    assert look(bench) == Looked(ANN, looked=1)


def test_a_report_that_the_record_refuses_is_a_dead_letter_once(swept: Swept) -> None:
    bench = swept(REPORT, '"custom.Opportunity.UsrNobody" = "{outlook_status}"')
    bench.apply(row(bench))
    move(bench, 4)
    bench.acumatica.faults.add(Fault(status=422, method="PUT", times=100))
    assert look(bench).marked == 1
    deliver(bench)
    assert len(bench.letters()) == 1
    assert look(bench) == Looked(ANN), "a person has to act first"
    assert deliver(bench) == 0


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_report_without_an_answer_is_written_once_more_when_no_copy_of_it_can_come_any_more(
    swept: Swept, times: int
) -> None:
    bench = swept(REPORT)
    bench.apply(row(bench))
    move(bench, 4)
    bench.acumatica.faults.add(Fault(kind="reset_after", method="PUT", times=times))
    before = bench.now
    look(bench)
    deliver(bench)
    assert (written(bench), bench.letters()) == ("moved", {})
    assert bench.now - before >= bench.factory.services().settings.acumatica_late_seconds
    (link,) = bench.factory.storage().links.all()
    assert (link.outlook_told, link.written_back, link.record_endangered) == (link.in_outlook, the_event(bench)["id"], False)
    assert (look(bench).marked, deliver(bench)) == (0, 0)


def test_a_lost_message_is_sent_again_by_the_next_look(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process dies between the mark and the message."""
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    move(bench, 4)
    queue = bench.factory.storage().queue
    with monkeypatch.context() as patch:
        patch.setattr(queue, "send", lambda *_: None)
        assert look(bench).marked == 1
    assert (deliver(bench), starts(bench)) == (0, [local(bench, 4)])
    look(bench)
    assert deliver(bench) == 1
    assert starts(bench) == [local(bench, 3)]


class Died(BaseException):
    """The process ends."""


@contextmanager
def dying(services: Services, at: int) -> Iterator[list[str]]:
    """Let the process end before or after one of the steps of a look; yields the steps that were begun."""
    begun: list[str] = []
    links, queue, graph = services.storage.links, services.storage.queue, services.graph

    def step(store: Any, name: str) -> None:
        real = getattr(store, name)

        def mortal(*args: Any, **more: Any) -> Any:
            begun.append(name)
            if at == 2 * len(begun) - 2:
                raise Died
            answer = real(*args, **more)
            if at == 2 * len(begun) - 1:
                raise Died
            return answer

        patch.setattr(store, name, mortal)

    with pytest.MonkeyPatch.context() as patch:
        for store, names in ((links, ("load", "save")), (queue, ("send",)), (graph, ("view", "look", "find"))):
            for name in names:
                step(store, name)
        with suppress(Died):
            yield begun


@pytest.mark.parametrize("on", [REPORT, RESTORE])
@pytest.mark.parametrize("deleted", [False, True])
def test_a_look_that_ends_at_any_step_is_made_up_for_by_the_next(swept: Swept, on: str, deleted: bool) -> None:
    bench = swept(on, FIELDS if on == REPORT else "")
    services = bench.factory.services()
    for at in range(30):
        days = 3 + at % 2
        deliver(bench, row(bench, 2 * at + 1, days))
        if deleted:
            bench.graph.user_deletes(ANN, the_event(bench)["id"])
        else:
            move(bench, 8 + at % 2)
        with dying(services, at) as begun:
            look(bench)
        look(bench)
        deliver(bench)
        if on == REPORT:
            assert (written(bench), at) == ("deleted" if deleted else "moved", at)
        else:
            assert (starts(bench), at) == ([local(bench, days)], at)
        assert (look(bench).marked, deliver(bench), bench.letters()) == (0, 0, {})
        if at >= 2 * len(begun):
            assert {"load", "save", "send", "view", "look"} <= set(begun)
            return
        if on == REPORT:  # all is as written again, and known to be
            deliver(bench, row(bench, 2 * at + 2, days, Room=str(at)))
            look(bench)
            deliver(bench)
    pytest.fail("the look has more steps than were tried")


def test_a_row_that_somebody_changes_meanwhile_is_left_to_the_next_look(swept: Swept) -> None:
    """What was seen may be older than what was written since."""
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    move(bench, 4)
    services = bench.factory.services()
    (one,) = looks(services)
    loaded = services.storage.links.load

    def then_changed(key: str) -> Any:
        found = loaded(key)
        services.storage.links.load = loaded  # type: ignore[method-assign]
        bench.apply(row(bench, 2, 6))
        return found

    services.storage.links.load = then_changed  # type: ignore[method-assign]
    assert sweep_mailbox(one, services).marked == 0
    assert (deliver(bench), starts(bench)) == (0, [local(bench, 6)])


def test_the_command_says_what_people_did_and_marks_it(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = swept(REPORT)
    bench.apply(row(bench))
    move(bench, 4, 2)

    def command(*arguments: str) -> tuple[int, str]:
        file, environ = tmp_path / "settings.json", bench.factory._environ
        file.write_text(json.dumps({"Values": dict(environ)}), "utf-8")
        status = console.main(["sweep", *arguments, "--settings", str(file)])
        return status, capsys.readouterr().out

    told = f"OP1 (opportunity-meetings): moved to {local(bench, 4, 2)} – {local(bench, 4, 3)}"
    status, said = command("--calendars", "--dry-run")
    assert (
        status,
        told in said,
        f"{ANN}: 1 events looked at, 1 moved, 0 deleted; 1 rows would go to the queue" in said,
    ) == (0, True, True)
    assert command("--calendars", "bob@example.com")[1] == "No event to look for.\n"
    assert deliver(bench) == 0
    [looked] = json.loads(command("--calendars", ANN, "--json")[1])
    assert (looked["found"][0]["status"], looked["marked"], deliver(bench), written(bench)) == ("moved", 1, 1, "moved")
    bench.graph.faults.add(Fault(path=r"calendarView", status=503, times=100))
    status, said = command("--calendars")
    assert (status, "not looked at" in said) == (1, True)
    with pytest.raises(SystemExit):
        command("opportunity-meetings", "--calendars", ANN)


def test_a_dry_run_changes_nothing(swept: Swept) -> None:
    bench = swept(REPORT)
    bench.apply(row(bench))
    move(bench, 4)
    services = bench.factory.services()
    (found,) = calendars.sweep(services, dry_run=True)
    assert isinstance(found, Looked)
    assert (found.looked, found.marked, [finding.seen.status for _, finding in found.found]) == (1, 1, ["moved"])
    assert (deliver(bench), looks(services)[0].keys) == (0, looks(services, ANN)[0].keys)
    assert looks(services, "bob@example.com") == []
    (found,) = calendars.sweep(services, ANN)
    assert (deliver(bench), written(bench)) == (1, "moved")


@pytest.mark.parametrize(("status", "again"), [(429, 7.0), (503, 1.0)])
def test_a_mailbox_that_cannot_be_looked_at_now_is_looked_at_later(swept: Swept, status: int, again: float) -> None:
    """Retry-After is obeyed, by everybody who wants into the mailbox."""
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    services = bench.factory.services()
    (one,) = looks(services)
    bench.graph.retry_after = "7"
    bench.graph.faults.add(Fault(status=status, times=1, path="calendarView"))
    assert calendar_sweep.run(one, services) == again
    if status == 429:
        with pytest.raises(Later):
            services.graph.limiter.enter(ANN)
        bench.now += 7
    assert calendar_sweep.run(one, services) is None


def test_a_mailbox_with_rows_under_way_is_looked_at_later(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    services = bench.factory.services()
    (one,) = looks(services)
    for _ in range(4):
        services.graph.limiter.enter(ANN)
    with pytest.raises(Later) as caught:
        sweep_mailbox(one, services)
    assert caught.value.code == Code.MAILBOX_BUSY


def test_a_mailbox_that_is_gone_loses_no_event(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    services = bench.factory.services()
    (one,) = looks(services)
    bench.graph.remove_mailbox(ANN)
    assert calendar_sweep.run(one, services) is None
    (failed,) = calendars.sweep(services)
    assert isinstance(failed, calendars.NotLooked)
    bench.graph.add_mailbox(ANN)
    assert (deliver(bench), len(bench.subjects())) == (0, 1)


def test_no_request_starts_after_the_deadline(swept: Swept) -> None:
    bench = swept(RESTORE, "")
    bench.apply(row(bench))
    services = bench.factory.services()
    (one,) = looks(services)
    with pytest.raises(Later) as caught:
        sweep_mailbox(one, services, deadline=bench.now + 1)
    assert caught.value.code == Code.NO_TIME_LEFT


def test_many_events_are_looked_for_in_short_windows(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is for some that follow each other in time, page by page."""
    bench = swept(REPORT)
    monkeypatch.setattr(calendar_sweep, "_KEYS", 2)
    for number in range(5):
        change = row(bench, 1, 10 * number + 1, OpportunityID=f"OP{number}")
        bench.apply(replace(change, key=(f"OP{number}",)))
    services = bench.factory.services()
    found = looks(services)
    assert [len(one.keys) for one in found] == [2, 2, 1]
    assert [Look.decode(one.encode()) for one in found] == found
    bench.graph.switches.largest_page = 1
    assert [sweep_mailbox(one, services) for one in found] == [Looked(ANN, looked=n) for n in (2, 2, 1)]
    views = [call for call in bench.graph.calls if call.segments[-1] == "calendarView"]
    assert len(views) == 5
    windows = [(call.query["startDateTime"], call.query["endDateTime"]) for call in views]
    today = datetime.fromtimestamp(bench.now, UTC).replace(hour=0, minute=0, second=0)
    assert min(windows)[0] >= f"{today - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    spans = [datetime.fromisoformat(end) - datetime.fromisoformat(start) for start, end in windows]
    assert max(spans) < timedelta(days=30)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_people_do_is_put_right_by_one_look_and_the_next_finds_nothing(swept: Swept, seed: int) -> None:
    """With both restored: three rows, each with one event of its own id at its time; copies stay as they are."""
    story = random.Random(seed)
    bench = swept(RESTORE, "")
    rows = {f"OP{number}": number + 2 for number in range(3)}
    for key, days in rows.items():
        bench.apply(replace(row(bench, 1, days, subject=key, OpportunityID=key), key=(key,)))
    mine = {event["subject"]: event["id"] for event in bench.graph.events(ANN)}
    copies: dict[str, str] = {}
    for _ in range(story.randrange(1, 7)):
        key = story.choice(list(mine))
        match story.choice(["move", "copy", "delete", "file"]):
            case "move":
                move(bench, story.randrange(1, 10), event_id=mine[key])
            case "copy":
                copy = bench.graph.user_copies(ANN, mine[key])
                move(bench, 20, event_id=copy)
                copies[copy] = key
            case "delete" if key not in copies.values():  # a copy whose original is gone counts as the event, moved
                bench.graph.user_deletes(ANN, mine.pop(key))
            case "file" if key not in copies.values():
                mine[key] = bench.graph.user_moves(ANN, mine[key])
        if not mine:
            break
    look(bench)
    deliver(bench)
    found = {event["id"]: event for event in bench.graph.events(ANN)}
    assert copies.keys() <= found.keys()
    there = sorted((event["subject"], event["start"]["dateTime"][:19]) for i, event in found.items() if i not in copies)
    assert there == sorted((key, local(bench, days)) for key, days in rows.items())
    assert (look(bench).marked, deliver(bench)) == (0, 0)
