"""The main job through the real host: notification in, calendar and record out, judged exactly."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from handlers import __version__
from local.fakes import Fault
from local.judge import look
from local.world import World


def events_of(world: World, key: str) -> list[tuple[str, str]]:
    """(mailbox, subject) of the events of a row."""
    link = world.link_key(key)
    found = [(m, e) for m in world.graph.mailboxes() for e in world.graph.events(m)]
    return [(mailbox, event["subject"]) for mailbox, event in found if event["stamp"].startswith(link)]


def test_a_new_row_becomes_an_event_and_its_id_is_written_back(world: World) -> None:
    answer = world.post(world.inquiry.save("NEW1", Subject="Site visit"))
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "rows": 1, "changes": 1, "without_key": 0})
    assert world.differences() == []
    assert events_of(world, "NEW1") == [("ann@example.com", "Site visit")]


def test_the_same_notification_again_is_a_duplicate(world: World) -> None:
    notification = world.inquiry.save("DUP1")
    assert world.post(notification).status_code == 202
    again = world.post(notification)
    assert (again.status_code, again.json()) == (200, {"status": "duplicate"})
    assert world.differences() == []


def test_the_same_notification_eight_times_at_once_makes_one_event(world: World) -> None:
    notification = world.inquiry.save("DUP2")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.post(notification).status_code, range(8)))
    assert set(answers) <= {200, 202}
    assert world.differences() == []


def test_an_update_changes_the_event_in_place(world: World) -> None:
    world.post(world.inquiry.save("UPD1"))
    world.settle()
    before = events_of(world, "UPD1")
    world.post(
        world.inquiry.save(
            "UPD1", Subject="Moved to Friday", MeetingStart="2026-12-04T09:30:00", MeetingEnd="2026-12-04T10:00:00"
        )
    )
    assert world.differences() == []
    assert (len(before), events_of(world, "UPD1")) == (1, [("ann@example.com", "Moved to Friday")])


def test_notifications_in_reverse_order_end_in_the_newest_state(world: World) -> None:
    history = [world.inquiry.save("REV1", Subject=f"version {n}") for n in range(5)]
    for notification in reversed(history):
        world.post(notification)
    assert world.differences() == []
    assert events_of(world, "REV1") == [("ann@example.com", "version 4")]


def test_x_y_x_with_the_middle_one_late_stays_x(world: World) -> None:
    first = world.inquiry.save("XYX1", Subject="X")
    middle = world.inquiry.save("XYX1", Subject="Y")
    last = world.inquiry.save("XYX1", Subject="X")
    world.post(first)
    world.post(last)
    world.settle()
    world.post(middle)
    assert world.differences() == []
    assert events_of(world, "XYX1") == [("ann@example.com", "X")]


def test_a_removal_that_arrives_before_its_insertion_leaves_nothing(world: World) -> None:
    insertion = world.inquiry.save("DBI1")
    world.post(world.inquiry.remove("DBI1"))
    world.settle()
    world.post(insertion)
    assert world.differences() == []
    assert events_of(world, "DBI1") == []


@pytest.mark.parametrize("removal_first", [True, False])
def test_the_halves_of_a_split_update_keep_the_event(world: World, *, removal_first: bool) -> None:
    key = f"SPLIT{removal_first:d}"
    world.post(world.inquiry.save(key))
    world.settle()
    whole = world.inquiry.save(key, Subject="After the split")
    halves = [{**whole, "Inserted": []}, {**whole, "Deleted": []}]
    creates = sum(call.method == "POST" and call.path.endswith("/events") for call in world.graph.calls)
    for half in halves if removal_first else reversed(halves):
        assert world.post(half).status_code == 202
    assert world.differences() == []
    assert events_of(world, key) == [("ann@example.com", "After the split")]
    assert sum(call.method == "POST" and call.path.endswith("/events") for call in world.graph.calls) == creates


def test_our_own_write_back_comes_back_as_a_notification_and_causes_no_call(world: World) -> None:
    world.post(world.inquiry.save("ECHO1"))
    world.rest()
    graph, acumatica = len(world.graph.calls), len(world.acumatica.calls)
    echo = world.inquiry.echo(world.inquiry.rows["ECHO1"]["NoteID"])
    assert echo
    assert world.post(echo).status_code == 202
    assert world.differences() == []
    assert (len(world.graph.calls), len(world.acumatica.calls)) == (graph, acumatica)


def test_a_new_owner_moves_the_event_to_another_mailbox(world: World) -> None:
    world.post(world.inquiry.save("MOVE1"))
    world.settle()
    world.post(world.inquiry.save("MOVE1", OwnerEmail="bob@example.com"))
    assert world.differences() == []
    assert [mailbox for mailbox, _ in events_of(world, "MOVE1")] == ["bob@example.com"]


def test_an_owner_whose_mailbox_is_gone_holds_nothing_up(world: World) -> None:
    world.graph.add_mailbox("leaver@example.com")
    world.post(world.inquiry.save("GONE1", OwnerEmail="leaver@example.com"))
    world.settle()
    world.graph.remove_mailbox("leaver@example.com")
    world.post(world.inquiry.save("GONE1", OwnerEmail="bob@example.com"))
    assert world.differences() == []


def test_a_removed_row_takes_its_event_away_and_may_come_back(world: World) -> None:
    world.post(world.inquiry.save("BACK1"))
    world.settle()
    world.post(world.inquiry.remove("BACK1"))
    assert world.differences() == []
    assert events_of(world, "BACK1") == []
    world.post(world.inquiry.save("BACK1"))
    assert world.differences() == []


def test_ten_rows_in_one_notification_cost_one_sign_in(world: World) -> None:
    rows = [world.inquiry.save(f"TEN{n}", OwnerEmail=f"user{n}@example.com")["Inserted"][0] for n in range(10)]
    world.rest()
    sign_ins = world.acumatica.sign_ins
    world.post(world.inquiry.notification(rows, []))
    assert world.differences() == []
    assert world.acumatica.sign_ins - sign_ins == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="POST", path=r"/events$", status=429, headers={"Retry-After": "1"}, times=2),
        Fault(method="POST", path=r"/events$", status=503, times=2),
        Fault(method="POST", path=r"/events$", kind="reset_before", times=1),
        Fault(method="POST", path=r"/events$", kind="reset_after", times=1),
        Fault(method="POST", path=r"/events$", kind="slow_after", seconds=1.5, times=1),
    ],
    ids=["429", "503", "reset before", "reset after", "no answer in time"],
)
def test_a_creation_that_fails_or_is_never_answered_makes_one_event(world: World, fault: Fault) -> None:
    world.graph.faults.add(fault)
    world.post(world.inquiry.save(f"POST{uuid.uuid4().hex[:6]}", OwnerEmail="fault@example.com"))
    assert world.differences() == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset_before", "PATCH", r"/events/", times=1),
        Fault("reset_after", "PATCH", r"/events/", times=1),
        Fault("reset_before", "DELETE", r"/events/", times=1),
        Fault("reset_after", "DELETE", r"/events/", times=1),
    ],
    ids=lambda fault: f"{fault.method} {fault.kind}",
)
def test_changes_and_removals_without_an_answer_are_carried_out_in_the_end(world: World, fault: Fault) -> None:
    key = f"{fault.method}{fault.kind}"
    world.post(world.inquiry.save(key))
    world.settle()
    world.graph.faults.add(fault)
    world.post(world.inquiry.save(key, Subject="changed") if fault.method == "PATCH" else world.inquiry.remove(key))
    assert world.differences() == []


def test_a_change_during_an_unanswered_request_wins(world: World) -> None:
    """The POST of the first state gets no answer; the second state arrives while the claim is held."""
    world.graph.faults.add(Fault(method="POST", path=r"/events$", kind="reset_after", times=1))
    world.post(world.inquiry.save("DURING1", Subject="first"))
    world.post(world.inquiry.save("DURING1", Subject="second"))
    assert world.differences() == []
    assert events_of(world, "DURING1") == [("ann@example.com", "second")]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset_before", "PUT", "/Opportunity", times=1),
        Fault("reset_after", "PUT", "/Opportunity", times=1),
        Fault("status", "PUT", "/Opportunity", times=1, status=500),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_write_back_that_fails_is_repeated(world: World, fault: Fault) -> None:
    world.acumatica.faults.add(fault)
    world.post(world.inquiry.save(f"PUT{fault.kind}"))
    assert world.differences() == []


def test_a_record_that_was_deleted_meanwhile_is_not_made_again(world: World) -> None:
    """Its row is a dead letter (another record's NoteID is an easy slip) until it leaves the inquiry too."""
    notification = world.inquiry.save("DEL1")
    note_id = world.inquiry.rows["DEL1"]["NoteID"]
    world.acumatica.delete_record("Opportunity", note_id)
    world.post(notification)
    world.settle()
    (reason,) = look(world.connection).dead_letters.values()
    assert "If-Match" in reason
    assert world.acumatica.record("Opportunity", note_id) is None
    world.inquiry.rows["DEL1"]["NoteID"] = note_id
    world.post(world.inquiry.remove("DEL1"))
    assert world.differences() == []


def test_what_a_person_does_in_outlook_is_put_right_at_the_next_change(world: World) -> None:
    for key, act in (("OUT1", world.graph.user_deletes), ("OUT2", world.graph.user_moves)):
        world.post(world.inquiry.save(key, OwnerEmail=f"{key}@example.com"))
        world.settle()
        act(f"{key.lower()}@example.com", world.graph.events(f"{key.lower()}@example.com")[0]["id"])
        world.post(world.inquiry.save(key, Subject="changed afterwards"))
    assert world.differences() == []


def test_a_moved_event_is_found_when_its_row_goes(world: World) -> None:
    world.post(world.inquiry.save("OUT3", OwnerEmail="out3@example.com"))
    world.settle()
    world.graph.user_moves("out3@example.com", world.graph.events("out3@example.com")[0]["id"])
    world.post(world.inquiry.remove("OUT3"))
    assert world.differences() == []
    assert world.graph.events("out3@example.com") == []


def test_rows_that_need_a_person_become_dead_letters_and_hold_up_no_others(world: World) -> None:
    good = world.inquiry.save("GOOD1")["Inserted"][0]
    bad = {
        "BAD1": {**good, "OpportunityID": "BAD1", "OwnerEmail": None},
        "BAD2": {**good, "OpportunityID": "BAD2", "MeetingStart": "soon"},
        "BAD3": {**good, "OpportunityID": "BAD3", "OwnerEmail": "nobody@elsewhere.example"},
        "BAD4": {name: value for name, value in good.items() if name != "MeetingEnd"} | {"OpportunityID": "BAD4"},
    }
    assert world.post(world.inquiry.notification([good, *bad.values()], [])).status_code == 202
    world.dead |= {world.link_key(key) for key in bad}
    assert world.differences() == []
    # Once the cause is removed, the dead letter goes.
    for key in ("BAD1", "BAD2"):
        world.post(world.inquiry.save(key))
        world.dead.discard(world.link_key(key))
    assert world.differences() == []


def test_several_problems_are_all_answered_at_once(world: World) -> None:
    body = {"Inserted": {}, "Deleted": [], "Query": "Nothing", "CompanyId": "Other", "Id": "1", "TimeStamp": "x"}
    answer = world.post(json.dumps(body).encode())
    assert answer.status_code == 400
    problems = answer.json()["problems"]
    assert [problem.split()[0] for problem in problems] == ["Inserted", "TimeStamp", "Query", "CompanyId"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"9" * 10_000, b"[" * 100_000])
def test_rubbish_is_refused_and_never_an_error_of_ours(world: World, body: bytes) -> None:
    assert world.post(body).status_code in {400, 413}  # the last one has more arrays than a notification may have rows


def test_health_says_ready(world: World) -> None:
    answer = requests.get(f"{world.host.url}/api/health", timeout=10)
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "version": __version__, "python": "3.13", "not_ready": []},
    )
