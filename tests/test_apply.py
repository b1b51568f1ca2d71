"""What `apply` does with single messages: on real storage and the fakes, without a host."""

import base64
import json
import time
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from azure.core.exceptions import ResourceExistsError, ServiceRequestError
from azure.storage.queue import QueueClient

from handlers import upkeep
from handlers.apply import apply, bury_poison
from handlers.bury import bury
from handlers.clients.blobs import INLINE_BYTES
from handlers.clients.links import StateTooLarge
from handlers.clients.queue import QUEUE
from handlers.perform import perform
from handlers.sync.change import RowChange
from handlers.sync.effects import DeleteEvent, Retry
from handlers.sync.errors import Code, Later, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Entry, EventLink
from handlers.sync.slots import Open, Slot
from local.fakes import Fault
from local.fakes.calls import Call
from tests.bench import Bench

WANTED = CalendarEvent("", {"subject": "s"})

MISSING = "The inquiry's rows have no column MeetingEnd."


def away(*_: Any) -> Any:
    raise ServiceRequestError("nothing answers")


# -- dead letters -------------------------------------------------------------------------------------------------------


def test_an_older_success_does_not_clear_the_dead_letter_of_a_newer_change(bench: Bench) -> None:
    bench.apply(bench.change(1, "good"))
    bench.apply(bench.change(2, MeetingEnd="absent"))
    bench.apply(bench.change(1, "good"))
    assert [reason[:45] for reason in bench.letters()] == [MISSING]
    bench.apply(bench.change(3, "good again"))
    assert (bench.letters(), bench.subjects()) == ({}, ["good again"])


def test_a_dead_letter_that_was_overtaken_by_a_success_is_not_made(bench: Bench) -> None:
    """The newer change was carried out between the failure and its dead letter."""
    bench.apply(bench.change(2, "good"))
    for failure in (Permanent(Code.COLUMN_MISSING, "", ""), Permanent(Code.ROW_UNUSABLE, "", "")):
        bury(bench.change(1), failure, bench.factory.storage())
    assert bench.letters() == {}


def test_a_dead_letter_is_noted_before_it_is_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the app dies between the two, the next success knows of it."""
    storage, seen = bench.factory.storage(), []
    load = storage.links.load
    monkeypatch.setattr(storage.dead_letters, "put", lambda letter: seen.append(load(letter.key)[0]))
    bury(bench.change(1), Permanent(Code.ROW_UNUSABLE, "why", ""), storage)
    assert [(link.buried, link.last_error) for link in seen if link] == [(bench.first + 1, "why")]


def test_the_removed_half_of_an_update_does_not_clear_the_dead_letter_of_the_other(bench: Bench) -> None:
    bench.apply(bench.change(1, "good"))
    bench.apply(bench.change(2, MeetingEnd="absent"))
    bench.apply(bench.removal(2))
    assert [reason[:45] for reason in bench.letters()] == [MISSING]
    assert bench.subjects() == []


def test_the_newest_of_several_dead_changes_is_kept(bench: Bench) -> None:
    bench.apply(bench.change(3, "newest", MeetingEnd="absent"))
    bench.apply(bench.change(2, "older", MeetingEnd="absent"))
    (content,) = bench.letters().values()
    assert content["row"]["Subject"] == "newest"


def test_a_dead_letter_holds_the_state_that_failed_not_the_message_that_met_it(bench: Bench) -> None:
    bench.apply(bench.change(2, "newest", OwnerEmail=None))
    bench.apply(bench.change(1, "older"))
    (content,) = bench.letters().values()
    assert (content["row"]["Subject"], content["timestamp"]) == ("newest", bench.first + 2)


def test_what_came_through_the_poison_queue_is_cleared_by_a_later_success(bench: Bench) -> None:
    bury_poison(json.dumps(bench.change(1).encode()), bench.factory)
    assert len(bench.letters()) == 1
    bench.apply(bench.change(2))
    assert bench.letters() == {}


def test_a_change_older_than_the_memory_is_never_applied(bench: Bench) -> None:
    """Not even the second time, when there is a link with its error."""
    old = replace(bench.change(0), timestamp=bench.first - 40 * 86_400 * 10_000_000)
    for _ in range(2):
        bench.apply(old)
    assert (bench.subjects(), [reason[:32] for reason in bench.letters()]) == ([], ["The change is older than what is"])


def test_a_change_that_waited_is_applied_unless_its_row_was_forgotten_meanwhile(bench: Bench) -> None:
    """However long a paused app waits, nothing is lost by that; what the purge overlooks brings no removed row back."""
    day = 86_400
    waited = replace(bench.change(0), timestamp=bench.first - 40 * day * 10_000_000, first_sent=bench.now - 40 * day)
    bench.apply(waited)
    assert (bench.subjects(), bench.letters()) == (["s"], {})
    bench.apply(replace(waited, timestamp=waited.timestamp + 1, row=None))
    upkeep.purge(bench.factory.services())
    storage = bench.factory.storage()
    storage.pins.forget(bench.now)
    storage.links._table.remove_all("")
    bench.apply(replace(waited, notification="again"))
    assert (bench.subjects(), [reason[:32] for reason in bench.letters()]) == ([], ["The change is older than what is"])


def test_a_dead_letter_of_a_change_that_was_never_merged_can_be_run_again_however_late(bench: Bench) -> None:
    """Its link is there ever since: nothing of the row was forgotten meanwhile."""
    bury(bench.change(1), Permanent(Code.MAPPING_MISSING, "There is no mapping.", ""), bench.factory.storage())
    bench.now += 40 * 86_400
    bench.factory.storage().pins.forget(bench.now)
    bench.apply(replace(bench.change(1), first_sent=bench.now))
    assert (bench.subjects(), bench.letters()) == (["s"], {})


# -- Graph --------------------------------------------------------------------------------------------------------------


def test_a_passing_404_makes_no_second_event(bench: Bench) -> None:
    bench.apply(bench.change(1, "one"))
    body = {"error": {"code": "ErrorItemNotFound", "message": "not found"}}
    bench.graph.faults.add(Fault(method="PATCH", status=404, body=body, times=1))
    bench.apply(bench.change(2, "two"))
    assert (bench.subjects(), bench.sent()) == (["one"], 1)
    bench.apply(bench.change(2, "two"))
    assert bench.subjects() == ["two"]


def test_a_404_on_creation_is_tried_again(bench: Bench) -> None:
    body = {"error": {"code": "ErrorItemNotFound", "message": "not found"}}
    bench.graph.faults.add(Fault(method="POST", path="/events$", status=404, body=body, times=1))
    bench.apply(bench.change(1))
    assert (bench.subjects(), bench.sent()) == ([], 1)
    bench.apply(bench.change(1))
    assert bench.subjects() == ["s"]


def test_a_refused_deletion_is_not_taken_for_done(bench: Bench) -> None:
    bench.apply(bench.change(1))
    body = {"error": {"code": "ErrorCannotDeleteObject", "message": "Object cannot be deleted."}}
    bench.graph.faults.add(Fault(method="DELETE", status=403, body=body, times=1))
    gone = replace(bench.change(2), row=None)
    bench.apply(gone)
    assert (bench.subjects(), bench.sent()) == (["s"], 1)
    bench.apply(gone)
    assert bench.subjects() == []


def test_a_used_transaction_whose_event_is_not_found_yet_is_waited_for(bench: Bench) -> None:
    """Graph's look-up may lag behind: a new event too early would be one too many."""
    bench.graph.switches.tells_existing_id = False
    bench.graph.faults.add(Fault("reset_after", "POST", "/events$", times=1))
    bench.apply(bench.change(1, "one"))
    bench.now += bench.factory.services().settings.claim_seconds + 1
    bench.graph.faults.add(Fault(method="GET", path="filter", status=200, body={"value": []}, times=2))
    for _ in range(3):
        bench.apply(bench.change(2, "two"))
    assert bench.subjects() == ["two"]


def test_one_refused_token_is_replaced_by_one(bench: Bench) -> None:
    bench.apply(bench.change(1, "one"))
    bench.graph.identity.expire()
    bench.apply(bench.change(2, "two"))
    assert bench.subjects() == ["two"]
    assert sum("/msi/token" in call.path for call in bench.graph.calls) == 2


def test_no_request_of_several_outlives_the_claim(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nobody to tell of a cancellation, and Graph takes long to say so, the DELETE waits for the next try."""
    bench.apply(bench.change(1))
    graph = bench.factory.services().graph
    (event,) = bench.graph.events("ann@example.com")
    late = bench.now + graph._settings.longest_request_seconds - 1
    stamp = "0" * 64 + "-1"
    wanted = replace(WANTED, mailbox="ann@example.com")
    before = len(bench.graph.calls)
    for request in (
        lambda: graph.create(wanted, stamp, late),
        lambda: graph.update("ann@example.com", event["id"], wanted, None, late),
        lambda: graph.adoptable("ann@example.com", event["id"], "k", late),
        lambda: graph.details("ann@example.com", event["id"], late),
        lambda: graph.cancel("ann@example.com", event["id"], "", late),
        lambda: graph.delete("ann@example.com", event["id"], late),
        lambda: graph.find("ann@example.com", stamp, "", late),
    ):
        with pytest.raises(Later) as caught:
            request()
        assert caught.value.code == Code.NO_TIME_LEFT
    assert len(bench.graph.calls) == before

    def slow(*_: Any) -> bool:
        bench.now += 200
        return False

    monkeypatch.setattr(graph, "cancel", slow)
    perform_removal = DeleteEvent(Entry("ann@example.com", 1, event["id"], leaving=True), stamp, "Off.")
    services = bench.factory.services()
    result = perform(perform_removal, services.mappings["opportunity-meetings"], services, bench.now + 290)
    assert isinstance(result, Retry)
    assert bench.subjects() == ["s"]


# -- what holds back what -----------------------------------------------------------------------------------------------


def moved(bench: Bench) -> RowChange:
    """A change that moves the row from Ann to Bob, after the first one."""
    bench.apply(bench.change(1))
    return bench.change(2, OwnerEmail="bob@example.com")


def test_what_cannot_be_removed_yet_is_tried_again_whatever_else_needs_a_person(bench: Bench) -> None:
    """Ann's event would stay for good otherwise: a dead letter for the record ends the tries."""
    change = moved(bench)
    bench.graph.faults.add(Fault(method="DELETE", status=403, body={"error": {"code": "ErrorAccessDenied"}}, times=1))
    bench.acumatica.faults.add(Fault(method="PUT", status=422, body={"error": "refused"}))
    bench.apply(change)
    (link,) = bench.factory.storage().links.all()
    assert (bench.sent(), bench.letters(), bench.subjects()) == (1, {}, ["s"])
    assert "besides: Acumatica answered 422" in link.last_error
    bench.apply(change)
    assert (bench.subjects(), bench.subjects("bob@example.com")) == ([], ["s"])
    assert [reason[:22] for reason in bench.letters()] == ["Acumatica answered 422"]


def test_an_event_that_cannot_be_changed_keeps_none_from_leaving(bench: Bench) -> None:
    change = moved(bench)
    denied = {"error": {"code": "ErrorAccessDenied"}}
    bench.graph.faults.add(Fault(method="DELETE", status=403, body=denied, times=1))
    bench.apply(change)
    bench.graph.faults.add(Fault(method="PATCH", status=400, body={"error": {"code": "ErrorBad", "message": "no"}}))
    bench.apply(bench.change(3, "refused", OwnerEmail="bob@example.com"))
    assert (bench.subjects(), bench.subjects("bob@example.com")) == ([], ["s"])
    assert [reason[:18] for reason in bench.letters()] == ["Graph answered 400"]


def test_a_busy_mailbox_holds_back_only_what_hangs_on_it(bench: Bench) -> None:
    """Two events leave, one of them from a mailbox that Graph throttles: the other one goes."""
    bench.graph.faults.add(
        Fault(method="DELETE", status=403, body={"error": {"code": "ErrorAccessDenied"}}, times=1),
    )
    bench.apply(moved(bench))
    limiter = bench.factory.services().graph.limiter
    limiter.throttled("bob@example.com", 600.0)
    bench.apply(bench.removal(3))
    assert (bench.subjects(), bench.subjects("bob@example.com"), bench.sent()) == ([], ["s"], 2)
    bench.now += 700
    bench.apply(bench.removal(3))
    assert bench.subjects("bob@example.com") == []
    for mailbox in ("ann@example.com", "bob@example.com"):
        for _ in range(2):
            limiter.enter(mailbox)  # every place was given back


def test_where_nothing_can_be_done_nothing_is_claimed(bench: Bench) -> None:
    bench.factory.services().graph.limiter.throttled("ann@example.com", 600.0)
    bench.apply(bench.change(1))
    assert (list(bench.factory.storage().links.all()), bench.sent()) == ([], 1)


# -- requests without an answer -----------------------------------------------------------------------------------------


def test_a_row_does_not_wait_for_its_claim_where_nobody_has_answered(bench: Bench) -> None:
    """What late copies may change is remembered; the next try is soon, and makes no second event."""
    bench.graph.faults.add(Fault("reset_after", "POST", "/events$", times=2))
    bench.apply(bench.change(1, "one"))
    (link,) = bench.factory.storage().links.all()
    assert (link.claim, bench.sent()) == (None, 1)
    bench.apply(bench.change(2, "two"))
    assert bench.subjects() == ["two"]
    (link,) = bench.factory.storage().links.all()
    assert link.last_code == Code.LATE_REQUEST
    bench.now += bench.factory.services().settings.claim_seconds
    bench.apply(bench.change(2, "two"))
    (link,) = bench.factory.storage().links.all()
    assert (link.last_code, bench.subjects()) == ("", ["two"])


def test_a_late_copy_that_may_land_during_a_request_is_followed_by_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PATCH began before the late one was over, and was answered after that: nobody knows which landed last."""
    bench.apply(bench.change(1, "one"))
    storage, graph = bench.factory.storage(), bench.factory.services().graph
    (link,) = storage.links.all()
    _, etag = storage.links.load(link.key)
    late = [replace(entry, late_until=bench.now + 5, late_print="older") for entry in link.entries]
    assert storage.links.save(replace(link, entries=tuple(late)), etag)
    update = graph.update

    def slow(*arguments: Any) -> None:
        update(*arguments)
        bench.now += 10

    with monkeypatch.context() as patch:
        patch.setattr(graph, "update", slow)
        bench.apply(bench.change(2, "two"))
    patches = [call for call in bench.graph.calls if call.method == "PATCH"]
    assert len(patches) == 2


def test_a_write_back_without_an_answer_whose_repetition_never_went_out_stays_unknown(bench: Bench) -> None:
    """Its session rests meanwhile: that is no news of it, and the record may hold the id."""
    bench.reconfigure(REQUEST_TIMEOUT_SECONDS="1")
    bench.acumatica.faults.add(Fault("reset_after", "PUT", times=1))
    bench.apply(bench.change(1))
    (link,) = bench.factory.storage().links.all()
    assert (link.last_code, link.record_late_until > bench.now) == (Code.NOT_ANSWERED, True)
    assert (link.written_back, link.claim, bench.sent()) == (None, None, 1)


# -- bugs and storage ---------------------------------------------------------------------------------------------------


def test_a_bug_leaves_no_claim_so_that_the_host_can_count_its_tries(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = bench.factory.services().graph
    with monkeypatch.context() as patch:
        patch.setattr(graph, "create", lambda *_: 1 / 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                bench.apply(bench.change(1))
    assert bench.sent() == 0
    bench.apply(bench.change(1))
    assert bench.subjects() == ["s"]


def test_a_row_that_outgrows_its_link_while_it_is_worked_on_is_no_bug(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    links = bench.factory.storage().links
    save, saves = links.save, count()

    def full(link: EventLink, etag: str | None) -> str | None:
        if next(saves) == 1:  # the claim is saved, what was done is not
            raise StateTooLarge
        return save(link, etag)

    monkeypatch.setattr(links, "save", full)
    bench.apply(bench.change(1))
    (link,) = links.all()
    assert [reason[:36] for reason in bench.letters()] == ["The row's mapped columns are too lar"]
    assert link.claim
    assert not link.claim.backed


def test_without_tables_the_message_waits_in_the_queue(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = bench.factory.storage()
    with monkeypatch.context() as patch:
        patch.setattr(storage.links, "load", away)
        bench.apply(bench.change(1))
    assert bench.sent() == 1


@pytest.mark.parametrize("lost", ["get", "put"])
def test_without_blobs_a_large_row_waits_in_the_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, storage: str, lost: str
) -> None:
    """As the very message that it came with, whether its blob cannot be read or not be written."""
    blobs, queue = bench.factory.storage().queue._blobs, bench.factory.storage().queue
    queue.send(bench.change(1, Notes="x" * INLINE_BYTES))
    with QueueClient.from_connection_string(storage, QUEUE) as client:
        (sent,) = client.receive_messages()
        text = base64.b64decode(sent.content).decode()
        client.delete_message(sent)
    put_back: list[tuple[str, float]] = []
    monkeypatch.setattr(queue, "put_back", lambda *message: put_back.append(message))
    bench.graph.faults.add(Fault(method="POST", status=503))
    with monkeypatch.context() as patch:
        patch.setattr(blobs, lost, away)
        apply(text, bench.factory)
    assert put_back == [(text, 30.0)]


def test_without_tables_the_reason_of_a_dead_letter_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    unusable = json.dumps(bench.change(1, OwnerEmail=None).encode())
    with monkeypatch.context() as patch:
        patch.setattr(bench.factory.storage().dead_letters, "put", away)
        apply(unusable, bench.factory)
    assert (bench.sent(), bench.letters()) == (1, {})
    apply(unusable, bench.factory)
    (reason,) = bench.letters()
    assert "OwnerEmail" in reason


def test_without_tables_what_the_host_gave_up_on_is_tried_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the host would put it where no function looks."""
    with monkeypatch.context() as patch:
        patch.setattr(bench.factory.storage().dead_letters, "put", away)
        bury_poison(json.dumps(bench.change(1).encode()), bench.factory)
    assert (bench.sent(), bench.letters()) == (1, {})


def test_what_storage_refuses_is_counted_by_the_host(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ResourceExistsError("no")
    error.status_code = 409
    monkeypatch.setattr(bench.factory.storage().queue, "read", Mock(side_effect=error))
    with pytest.raises(ResourceExistsError):
        bench.apply(bench.change(1))
    assert bench.sent() == 0


# -- requests that are carried out late ---------------------------------------------------------------------------------

PAGE = "<html><title>Service unavailable</title></html>"


def sent_to_graph(bench: Bench, method: str) -> Call:
    return next(call for call in bench.graph.calls if call.method == method and "/events" in call.path)


def carry_out_late(bench: Bench, call: Call) -> None:
    headers = {"Authorization": call.headers["authorization"]}
    requests.request(call.method, bench.graph.url + call.path, json=call.body, headers=headers, timeout=10)


def let_pass(bench: Bench, change: RowChange) -> None:
    """Until nothing may come late any more."""
    for _ in range(4):
        bench.now += 400
        bench.apply(change)


@pytest.mark.parametrize("memory", ["remembered", "refused", "forgotten"])
def test_a_late_creation_of_what_a_person_has_deleted_leaves_no_second_event(bench: Bench, memory: Any) -> None:
    bench.graph.switches.transactions = memory
    bench.graph.faults.add(Fault("reset_before", "POST", "/events$", times=1))
    bench.apply(bench.change(1, "one"))
    (event,) = bench.graph.events("ann@example.com")
    bench.now += 60
    bench.graph.user_deletes("ann@example.com", event["id"])
    for _ in range(3):
        bench.apply(bench.change(2, "two"))
        bench.now += 6
    carry_out_late(bench, sent_to_graph(bench, "POST"))
    let_pass(bench, bench.change(2, "two"))
    assert bench.subjects() == ["two"]
    let_pass(bench, bench.removal(3))
    assert (bench.subjects(), bench.letters()) == ([], {})


@pytest.mark.parametrize("status", [500, 503, 504, 524])
def test_a_request_that_a_gateway_has_given_up_may_be_carried_out_late(bench: Bench, status: int) -> None:
    """A page in the service's place says nothing of what became of the request."""
    bench.apply(bench.change(1, "one"))
    bench.graph.faults.add(Fault("status", "PATCH", status=status, body=PAGE, times=2))
    bench.apply(bench.change(2, "two"))
    bench.now += 10
    bench.apply(bench.change(3, "three"))
    carry_out_late(bench, sent_to_graph(bench, "PATCH"))
    let_pass(bench, bench.change(3, "three"))
    assert (bench.subjects(), bench.letters()) == (["three"], {})


# -- sessions -----------------------------------------------------------------------------------------------------------


def test_a_request_refused_with_401_leaks_no_seat(bench: Bench) -> None:
    bench.acumatica.faults.add(Fault(method="PUT", status=401, times=2))
    bench.apply(bench.change(1))
    assert len(bench.acumatica.sessions) <= 1
    bench.apply(bench.change(1))
    bench.factory.close()
    assert bench.acumatica.sessions == []


def test_a_session_whose_slot_cannot_be_saved_is_signed_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = bench.factory.storage()
    save = storage.slots.save

    def failing(name: str, slot: Slot, etag: str | None) -> str | None:
        if isinstance(slot, Open):
            raise ServiceRequestError("away")
        return save(name, slot, etag)

    with monkeypatch.context() as patch:
        patch.setattr(storage.slots, "save", failing)
        bench.apply(bench.change(1))
    assert (bench.acumatica.sign_ins, bench.acumatica.sessions) == (1, [])


def test_a_blocked_seat_is_not_waited_for_and_calendars_go_on(bench: Bench) -> None:
    bench.acumatica.faults.add(Fault("reset_after", "POST", "token", times=1))
    bench.apply(bench.change(1))
    began = time.monotonic()
    for number in range(2, 6):
        bench.apply(bench.change(number, f"s{number}"))
    assert (time.monotonic() - began < 5, bench.subjects()) == (True, ["s5"])


@pytest.mark.parametrize("auth", ["oauth", "cookie"])
def test_wrong_credentials_are_told_from_an_outage(
    storage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch, auth: str
) -> None:
    monkeypatch.setenv("GRAPH_URL", bench.graph.url)
    other = Bench(storage, bench.graph, bench.acumatica, ACUMATICA_AUTH=auth, ACUMATICA_PASSWORD="wrong")
    try:
        other.apply(other.change(1))
        breaker, _ = other.factory.storage().slots.load_breaker()
        assert (breaker.failures, breaker.interval, breaker.refused) == (1, 300.0, True)
        assert "SM303010" in breaker.reason
        with pytest.raises(Later) as failed:
            other.factory.services().sessions.put(None, other.now + 1e6)  # type: ignore[arg-type]
        assert failed.value.code == Code.SIGN_IN_REFUSED
    finally:
        other.factory.close()
    assert bench.acumatica.failed_sign_ins == 1
