"""What `apply` does with single messages: on real storage and the fakes, without a host."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError

from handlers.apply import bury_poison
from handlers.bury import bury
from handlers.sync.errors import Code, Later, Permanent
from handlers.sync.slots import Open, Slot
from local.fakes import Fault
from tests.bench import Bench

MISSING = "The inquiry's rows have no column MeetingEnd."


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
    assert (bench.subjects(), [reason[:34] for reason in bench.letters()]) == ([], ["The change is older than 30 days, "])


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


def test_without_tables_the_message_waits_in_the_queue(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = bench.factory.storage()
    with monkeypatch.context() as patch:

        def away(key: str) -> Any:
            raise ServiceRequestError(key)

        patch.setattr(storage.links, "load", away)
        bench.apply(bench.change(1))
    assert bench.sent() == 1


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
