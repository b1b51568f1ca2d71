"""What a worker leaves behind that dies right after a request, having planned anew for a change that came meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.fakes import Fault
from tests.bench import Bench
from tests.test_mapped import Mapped, mapped, written

__all__ = ["mapped"]
REASON = '\n"custom.Opportunity.UsrError" = "{reason}"\n'


class Death(BaseException):
    """Nothing of the app catches it."""


def die_after(client: Any, name: str, nth: int, meanwhile: Callable[[], None] | None = None) -> None:
    """`meanwhile` happens just before the first call of a method; the nth is carried out, and the worker dies."""
    method, calls = getattr(client, name), []

    def call(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 1 and meanwhile:
            meanwhile()
        result = method(*args, **options)
        if len(calls) == nth:
            setattr(client, name, method)
            raise Death
        return result

    setattr(client, name, call)


def removed(bench: Bench, number: int) -> None:
    """The row has left; all that is in the queue comes, until nothing may come late any more."""
    for _ in range(4):
        bench.now += 2000
        bench.apply(bench.removal(number))


def test_an_event_that_was_refused_and_made_after_all_leaves(bench: Bench) -> None:
    body = {"error": {"code": "ErrorPropertyValidationFailure", "message": "x"}}
    bench.graph.faults.add(Fault("status", "POST", "/events", times=1, status=400, body=body))
    die_after(bench.factory.services().graph, "create", 2, lambda: bench.apply(bench.change(2, "two")))
    with pytest.raises(Death):
        bench.apply(bench.change(1, "one"))
    assert bench.subjects() == ["two"]
    removed(bench, 3)
    assert bench.subjects() == []


def test_an_event_that_was_moved_to_a_later_day_is_not_past(mapped: Mapped) -> None:
    bench = mapped(tables='[on]\npast = "keep"\n')
    day = (datetime.now(UTC) - timedelta(days=2)).date()
    past = {"MeetingStart": f"{day}T09:00:00", "MeetingEnd": f"{day}T10:00:00"}
    bench.apply(bench.change(1, "one", **past))
    die_after(bench.factory.services().graph, "update", 2, lambda: bench.apply(bench.change(3, "three")))
    with pytest.raises(Death):
        bench.apply(bench.change(2, "two", **past))
    removed(bench, 4)
    assert bench.subjects() == []


def test_a_record_that_was_made_again_is_emptied(mapped: Mapped) -> None:
    bench = mapped(tables="[on]\nclear = true\n")
    second = bench.acumatica.put_record("Opportunity", {"OpportunityID": "OP1b", "Subject": "s"})
    bench.apply(bench.change(1, "one"))
    services = bench.factory.services()
    die_after(services.graph, "update", 9, lambda: bench.apply(bench.change(3, "three", NoteID=second)))
    die_after(services.sessions, "put", 1)
    with pytest.raises(Death):
        bench.apply(bench.change(2, "two"))
    bench.note_id = second
    assert written(bench)
    removed(bench, 4)
    assert not written(bench)


@pytest.mark.parametrize("clear", ["true", "false"])
def test_a_reason_is_taken_back_from_a_record_that_never_had_an_event(mapped: Mapped, clear: str) -> None:
    bench = mapped(fields=REASON, tables=f"[on]\nclear = {clear}\n")
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrError")
    die_after(bench.factory.services().sessions, "put", 1)
    with pytest.raises(Death):
        bench.apply(bench.change(1, "one", OwnerEmail=""))
    assert written(bench, "UsrError")
    removed(bench, 2)
    assert not written(bench, "UsrError")


def test_a_teams_meeting_is_known_before_it_is_asked_for(mapped: Mapped) -> None:
    bench = mapped(event='isOnlineMeeting = "{Online}"\nbody = "{Subject}"\n')
    bench.apply(bench.change(1, "one", Online=False))
    graph = bench.factory.services().graph
    die_after(graph, "update", 2, lambda: bench.apply(bench.change(3, "three", Online=True)))
    with pytest.raises(Death):
        bench.apply(bench.change(2, "two", Online=False))
    bench.now += 400
    bench.apply(bench.change(4, "four", Online=False))
    (event,) = bench.graph.events("ann@example.com")
    assert (event["subject"], "Join" in event["body"]["content"]) == ("four", True)


def test_a_teams_meeting_that_is_made_again_is_one(mapped: Mapped) -> None:
    bench = mapped(event='isOnlineMeeting = "{Online}"\nbody = "{Subject}"\n')
    bench.apply(bench.change(1, "one", Online=True))
    (event,) = bench.graph.events("ann@example.com")
    bench.graph.user_deletes("ann@example.com", event["id"])
    for _ in range(2):
        bench.apply(bench.change(2, "two", Online=True))
        bench.now += 10
    bench.apply(bench.change(3, "three", Online=False))
    (event,) = bench.graph.events("ann@example.com")
    assert (event["subject"], "Join" in event["body"]["content"]) == ("three", True)
