"""What Graph makes of a transactionId."""

from typing import Any
from urllib.parse import quote

import pytest

from local.fakes import FakeGraph, GraphSwitches
from tests.fakes.conftest import (
    MAILBOX,
    Client,
    code,
    event,
    new,
    other,
    path,
    token,
)


def test_the_same_creation_again_is_the_same_event(graph: FakeGraph, ann: Client) -> None:
    first = new(ann, transactionId="t")
    assert new(ann, transactionId="t") == first
    assert len(graph.events(MAILBOX)) == 1
    assert new(ann) != new(ann)


def test_a_used_transaction_id_with_other_content_is_refused(graph: FakeGraph, ann: Client) -> None:
    first = new(ann, transactionId="t")
    answer = ann.post("/events", json=event(subject="Other", transactionId="t"))
    assert code(answer) == (400, "ErrorDuplicateTransactionId")
    assert answer.json()["error"]["@event.existingEventId"] == first
    graph.switches.tells_existing_id = False
    answer = ann.post("/events", json=event(location={"displayName": "Room 1"}, transactionId="t"))
    assert "@event.existingEventId" not in answer.json()["error"]


@pytest.mark.parametrize(("repeats", "statuses"), [("current", (400, 201)), ("original", (201, 400))])
def test_what_a_repeated_creation_is_compared_with_can_be_chosen(repeats: Any, statuses: tuple[int, int]) -> None:
    with FakeGraph(switches=GraphSwitches(repeats=repeats)) as graph, Client(f"{graph.url}/v1.0/users/{MAILBOX}") as client:
        client.headers.update(token(graph))
        ann_id = new(client, transactionId="t")
        assert client.patch(path(ann_id), json={"subject": "Changed"}).status_code == 200
        again = client.post("/events", json=event(transactionId="t"))
        changed = client.post("/events", json=event(subject="Changed", transactionId="t"))
        assert (again.status_code, changed.status_code) == statuses


def test_a_transaction_id_belongs_to_a_mailbox_and_not_to_a_calendar(graph: FakeGraph, ann: Client) -> None:
    first = new(ann, transactionId="t")
    with other(graph) as bob:
        assert bob.post("/events", json=event(transactionId="t")).status_code == 201
    private = quote(graph.add_calendar(MAILBOX, "Private"), safe="")
    again = ann.post(f"/calendars/{private}/events", json=event(transactionId="t"))
    assert (again.status_code, again.json()["id"]) == (201, first)
    moved = graph.user_moves(MAILBOX, first)
    assert new(ann, transactionId="t") == moved


@pytest.mark.parametrize("by_a_person", [False, True])
@pytest.mark.parametrize(
    ("transactions", "identical", "changed"),
    [("remembered", 201, 400), ("refused", 400, 400), ("forgotten", 201, 201)],
)
def test_what_becomes_of_the_transaction_id_of_a_deleted_event_can_be_chosen(
    graph: FakeGraph, ann: Client, transactions: Any, identical: int, changed: int, *, by_a_person: bool
) -> None:
    graph.switches.transactions = transactions
    first = ann.post("/events", json=event(transactionId="t")).json()
    if by_a_person:
        graph.user_deletes(MAILBOX, first["id"])
    else:
        assert ann.delete(path(first["id"])).status_code == 204
    again = ann.post("/events", json=event(transactionId="t"))
    assert again.status_code == identical
    if transactions == "forgotten":
        assert [item["id"] for item in graph.events(MAILBOX)] == [again.json()["id"]]
        assert ann.delete(path(again.json()["id"])).status_code == 204
    elif transactions == "remembered":
        assert again.json()["iCalUId"] == first["iCalUId"]
        assert code(ann.get(path(again.json()["id"]))) == (404, "ErrorItemNotFound")
    answer = ann.post("/events", json=event(subject="Other", transactionId="t"))
    assert answer.status_code == changed
    if changed == 400:
        assert answer.json()["error"]["code"] == "ErrorDuplicateTransactionId"
        assert code(ann.get(path(answer.json()["error"]["@event.existingEventId"]))) == (404, "ErrorItemNotFound")
    assert len(graph.events(MAILBOX)) == (transactions == "forgotten")


def test_a_transaction_id_cannot_be_changed(ann: Client) -> None:
    answer = ann.patch(path(new(ann, transactionId="t")), json={"transactionId": "t"})
    assert code(answer) == (400, "ErrorInvalidRequest")
    assert "immutable" in answer.json()["error"]["message"]
