"""Mailboxes that are not there, that are elsewhere, or that are asked too much; and whose ids are whose."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import requests

from local.fakes import FakeGraph, Fault
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


def test_mailboxes_may_be_unknown_gone_or_out_of_scope(graph: FakeGraph, ann: Client) -> None:
    headers = {"Authorization": str(ann.headers["Authorization"])}
    stranger = requests.get(f"{graph.url}/v1.0/users/x@elsewhere.example/events", headers=headers, timeout=10)
    assert code(stranger) == (404, "ErrorInvalidUser")
    new(ann)
    graph.remove_mailbox("Ann@example.com")
    assert code(ann.get("/events")) == (404, "MailboxNotEnabledForRESTAPI")
    assert (graph.mailboxes(), graph.events(MAILBOX)) == ([], [])
    graph.add_mailbox(MAILBOX)
    assert len(graph.events(MAILBOX)) == 1
    graph.deny(MAILBOX)
    assert code(ann.get("/events")) == (403, "ErrorAccessDenied")
    graph.deny(MAILBOX, denied=False)
    assert ann.get("/events").status_code == 200


def every_way(client: Client, event_id: str) -> list[requests.Response]:
    where = path(event_id)
    return [
        client.get(where),
        client.patch(where, json={"subject": "x"}),
        client.delete(where),
        client.post(f"{where}/cancel", json={}),
        client.get(where, headers={"Prefer": 'IdType="ImmutableId"'}),
    ]


@pytest.mark.parametrize(
    ("foreign_ids", "server", "refusal"),
    [
        ("named", "1", (404, "ErrorInvalidMailboxItemId")),
        ("named", "2", (503, "ErrorMailboxMoveInProgress")),
        ("unknown", "1", (404, "ErrorItemNotFound")),
        ("unknown", "2", (404, "ErrorItemNotFound")),
    ],
)
def test_ids_are_bound_to_their_mailbox(
    graph: FakeGraph, ann: Client, foreign_ids: Any, server: str, refusal: tuple[int, str]
) -> None:
    graph.switches.foreign_ids = foreign_ids
    graph.add_mailbox("bob@example.com", server)
    with other(graph) as bob:
        foreign = new(bob)
        immutable = bob.get(path(foreign), headers={"Prefer": 'IdType="ImmutableId"'}).json()["id"]
        answers = every_way(ann, foreign) + every_way(ann, immutable)
        assert [code(answer) for answer in answers] == [refusal] * 10
        assert {"Cross Server access is not allowed" in answer.text for answer in answers} == {refusal[0] == 503}
        calendar = quote(graph.calendars("bob@example.com")["Calendar"], safe="")
        assert code(ann.get(f"/calendars/{calendar}/events")) == refusal
        assert bob.get(path(foreign)).json()["subject"] == "Visit"
    assert code(ann.get(path("AAMk"))) == (404, "ErrorItemNotFound")


def test_a_mailbox_that_is_being_moved_answers_later(graph: FakeGraph, ann: Client) -> None:
    event_id = new(ann)
    graph.start_move(MAILBOX)
    for answer in (*every_way(ann, event_id), ann.get("/calendars"), ann.post("/events", json=event())):
        assert code(answer) == (503, "ErrorMailboxMoveInProgress")
        assert "Cross Server" not in answer.text
    graph.end_move(MAILBOX, "2")
    assert ann.get(path(event_id)).status_code == 200


def test_a_list_of_mailboxes_is_all_there_are() -> None:
    with FakeGraph(mailboxes=["Bob@Example.com"]) as graph, Client(f"{graph.url}/v1.0/users/") as client:
        client.headers.update(token(graph))
        assert client.get("bob@example.com/events").status_code == 200
        assert client.get("ann@example.com/events").status_code == 404


def test_a_fifth_request_at_a_time_is_throttled(graph: FakeGraph, ann: Client) -> None:
    graph.latency = 0.3
    graph.retry_after = "0.5"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ann.get("/events"), range(6)))
        other = requests.get(f"{graph.url}/v1.0/users/bob@example.com/events", headers=token(graph), timeout=10)
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 2
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert code(refused) == (429, "ApplicationThrottled")
    assert "MailboxConcurrency" in refused.text
    assert refused.headers["Retry-After"] == "0.5"
    assert graph.max_concurrency(MAILBOX) >= 5
    assert other.status_code == 200
    assert (graph.max_concurrency("bob@example.com"), graph.max_concurrency("none@example.com")) == (1, 0)


def test_a_request_that_its_client_gave_up_does_not_count_as_concurrent(graph: FakeGraph, ann: Client) -> None:
    graph.faults.add(Fault(kind="slow", seconds=1, times=2))
    for _ in range(2):
        with pytest.raises(requests.ReadTimeout):
            ann.get("/events", timeout=0.05)
    assert graph.max_concurrency(MAILBOX) == 1


def test_a_limit_of_requests_can_be_set() -> None:
    with FakeGraph(request_limit=(2, 60)) as graph, Client(f"{graph.url}/v1.0/users/{MAILBOX}") as client:
        client.headers.update(token(graph))
        answers = [client.get("/events") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "RequestRate" in answers[2].text
    assert 55 < int(answers[2].headers["Retry-After"]) <= 60
