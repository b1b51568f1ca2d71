"""A mailbox is tried out: an event is made and removed again, whatever happens in between is told."""

import pytest

from handlers.operations.trying import SUBJECT, try_mailbox
from local.fakes import Fault
from tests.bench import Bench


def tried(bench: Bench, mailbox: str = "ann@example.com") -> dict[str, str]:
    return {check.what: check.verdict for check in try_mailbox(mailbox, bench.factory.services())}


def test_an_event_is_made_and_removed(bench: Bench) -> None:
    assert tried(bench, " Ann@Example.com ") == {"Event made": "ok", "Event removed": "ok"}
    posted = [call for call in bench.graph.calls if call.method == "POST" and call.path.endswith("/events")]
    assert (len(posted), bench.subjects()) == (1, [])


@pytest.mark.parametrize("executed", [True, False])
def test_a_request_without_an_answer_is_repeated_and_leaves_nothing(bench: Bench, executed: bool) -> None:
    for method in ("POST", "DELETE"):
        fault = Fault("reset_after" if executed else "reset_before", method=method, path="/events", times=1)
        bench.graph.faults.add(fault)
    assert tried(bench)["Event made"] == "ok"
    assert bench.subjects() == []


def test_what_graph_refuses_is_told_with_its_remedy(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    (check,) = try_mailbox("ann@example.com", bench.factory.services())
    assert (check.verdict, "does not exist" in check.seen, "licence" in check.remedy) == ("fails", True, True)


def test_an_event_that_cannot_be_removed_is_told_with_its_name(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="DELETE", status=503, times=9))
    *_, check = try_mailbox("ann@example.com", bench.factory.services())
    assert (check.what, check.verdict, SUBJECT in check.remedy) == ("Event removed", "fails", True)
    assert bench.subjects() == [SUBJECT]


def test_a_mailbox_that_is_busy_is_tried_later(bench: Bench) -> None:
    limiter = bench.factory.services().graph.limiter
    for _ in range(4):
        limiter.enter("ann@example.com")
    assert tried(bench) == {"Event made": "fails"}
    limiter.leave("ann@example.com")
    assert tried(bench)["Event made"] == "ok"


def test_in_a_trial_no_other_mailbox_gets_an_event(bench: Bench) -> None:
    bench.reconfigure(TEST_MAILBOX="bob@example.com")
    assert tried(bench) == {"Test event": "fails"}
    assert tried(bench, "bob@example.com")["Event removed"] == "ok"
    assert bench.subjects() == []
