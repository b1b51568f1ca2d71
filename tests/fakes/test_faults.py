"""Faults and outages on demand."""

import socket
from dataclasses import replace
from typing import Any

import pytest
import requests

from local.fakes import FakeGraph, Fault
from local.fakes.answers import ANSWERS
from tests.fakes.conftest import (
    MAILBOX,
    Client,
    code,
    event,
    lookup,
    new,
    path,
    token,
)


@pytest.mark.parametrize(("kind", "carried_out"), [("reset_before", 0), ("reset_after", 1)])
def test_a_connection_breaks_before_or_after_the_request_is_carried_out(
    graph: FakeGraph, ann: Client, kind: Any, carried_out: int
) -> None:
    graph.faults.add(Fault(kind, method="POST", path="/events$", times=1))
    with pytest.raises(requests.ConnectionError):
        ann.post("/events", json=event())
    assert len(graph.events(MAILBOX)) == carried_out
    assert [call.status for call in graph.calls if call.method == "POST"] == [0]
    new(ann)


@pytest.mark.parametrize(("kind", "carried_out"), [("slow", 0), ("slow_after", 1)])
def test_an_answer_is_late_before_or_after_the_request_is_carried_out(
    graph: FakeGraph, ann: Client, kind: Any, carried_out: int
) -> None:
    graph.faults.add(Fault(kind, method="POST", seconds=30, times=1))
    with pytest.raises(requests.ReadTimeout):
        ann.post("/events", json=event(), timeout=0.1)
    assert len(graph.events(MAILBOX)) == carried_out


def test_a_status_is_answered_in_the_services_shape_or_as_given(graph: FakeGraph, ann: Client) -> None:
    graph.faults.add(
        Fault(status=429, times=1), Fault(status=503, headers={"Retry-After": "7"}, body={"error": {"code": "own"}}, times=1)
    )
    throttled, unavailable = ann.get("/events"), ann.get("/events")
    assert (code(throttled), throttled.headers["Retry-After"]) == ((429, "ApplicationThrottled"), "1")
    assert (code(unavailable), unavailable.headers["Retry-After"]) == ((503, "own"), "7")
    assert (ann.get("/events").status_code, len(graph.faults.drawn)) == (200, 2)


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (Fault("status_after", answer="invalid_recipients"), (400, "ErrorInvalidRecipients")),
        (Fault("status_after", answer="suspended"), (403, "ErrorAccountSuspend")),
        (Fault("status_after", answer="save_conflict"), (503, "ConcurrentItemSave")),
        (Fault("status_after", status=503), (503, "serviceNotAvailable")),
        (Fault("status_after", status=504), (504, "UnknownError")),
    ],
    ids=lambda value: f"{value.answer or value.status}" if isinstance(value, Fault) else "",
)
def test_an_error_may_be_answered_after_the_request_was_carried_out(
    graph: FakeGraph, ann: Client, fault: Fault, refusal: tuple[int, str]
) -> None:
    graph.faults.add(replace(fault, method="POST", times=1))
    assert code(ann.post("/events", json=event(transactionId="t"))) == refusal
    assert [made["transactionId"] for made in graph.events(MAILBOX)] == ["t"]
    assert new(ann, transactionId="t") == graph.events(MAILBOX)[0]["id"]


@pytest.mark.parametrize("answer", sorted(ANSWERS))
@pytest.mark.parametrize(("kind", "left"), [("status", 1), ("status_after", 0)])
def test_every_ready_made_answer_can_stand_in_place_of_any_other(
    graph: FakeGraph, ann: Client, answer: str, kind: Any, left: int
) -> None:
    where = path(new(ann))
    graph.faults.add(Fault(kind, method="DELETE", answer=answer, times=1))
    given, wanted = ann.delete(where, allow_redirects=False), ANSWERS[answer]
    assert (given.status_code, len(graph.events(MAILBOX))) == (wanted.status, left)
    if isinstance(wanted.body, str):
        assert (given.text, given.headers.get("Location")) == (wanted.body, wanted.headers.get("Location"))
        assert "request-id" not in given.headers
    elif "error" in wanted.body and wanted.headers == {}:
        assert given.json()["error"].items() >= wanted.body["error"].items()
        assert given.json()["error"]["innerError"]["request-id"] == given.headers["request-id"]
    else:
        assert given.json() == wanted.body


def test_a_ready_made_answer_can_have_another_status(graph: FakeGraph, ann: Client) -> None:
    graph.faults.add(Fault(answer="html", status=503, headers={"Retry-After": "7"}, times=1), Fault(answer="empty", times=1))
    page, empty = ann.get("/events"), ann.get("/events")
    assert (page.status_code, page.headers["Retry-After"], page.headers["Content-Type"]) == (
        503, "7", "text/html; charset=utf-8"
    )  # fmt: skip
    assert (empty.status_code, empty.content) == (400, b"")


def test_a_fault_that_would_never_happen_is_refused(graph: FakeGraph) -> None:
    for wrong in ({"kind": "explode"}, {"answer": "maybe"}, {"kind": "slow", "answer": "html"}):
        with pytest.raises(ValueError, match="There is no"):
            Fault(**wrong)  # type: ignore[arg-type]
        with Client(f"{graph.url}/_fake") as control:
            assert control.post("/faults", json=wrong).status_code == 400


def test_a_fault_hits_what_it_names(graph: FakeGraph, ann: Client) -> None:
    graph.faults.add(Fault(method="PATCH"), Fault(mailbox="Bob@example.com"), Fault(path="filter"), Fault(entity="Case"))
    assert ann.get("/events").status_code == 200
    assert lookup(ann, "x").status_code == 503
    bob = requests.get(f"{graph.url}/v1.0/users/bob@example.com/events", headers=token(graph), timeout=10)
    assert bob.status_code == 503
    graph.faults.clear()
    assert lookup(ann, "x").status_code == 200


def test_a_seed_decides_which_requests_a_probability_hits() -> None:
    def statuses(seed: int) -> list[int]:
        with FakeGraph(seed=seed) as graph, Client(f"{graph.url}/v1.0/users/{MAILBOX}") as client:
            client.headers.update(token(graph))
            graph.faults.add(Fault(probability=0.5))
            return [client.get("/events").status_code for _ in range(20)]

    assert statuses(1) == statuses(1) != statuses(2)
    assert set(statuses(1)) == {200, 503}


def test_an_outage_refuses_connections_and_ends_on_the_same_port(graph: FakeGraph, ann: Client) -> None:
    new(ann)
    graph.down = True
    with pytest.raises(requests.ConnectionError), requests.Session() as fresh:
        fresh.get(graph.identity_endpoint, timeout=10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(graph.url.rpartition(":")[2])))
    assert graph.down
    graph.down = False
    assert len(ann.get("/events").json()["value"]) == 1
