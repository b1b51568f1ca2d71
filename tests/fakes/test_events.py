"""Which events Graph takes, how it shows and changes them, and who gets mail."""

from typing import Any

import pytest

from local.fakes import FakeGraph
from tests.fakes.conftest import (
    MAILBOX,
    MEETING,
    STAMP,
    Client,
    at,
    code,
    event,
    found,
    new,
    path,
    stamped,
)


def test_a_creation_answers_with_the_event_in_the_zone_that_was_sent(graph: FakeGraph, ann: Client) -> None:
    answer = ann.post("/events", json=stamped("k-1", transactionId="t"), headers={"client-request-id": "c1"})
    body = answer.json()
    assert (answer.status_code, answer.headers["client-request-id"]) == (201, "c1")
    assert answer.headers["request-id"]
    assert body["start"] == at("2026-01-20T12:00:00.0000000")
    assert body["@odata.etag"] == f'W/"{body["changeKey"]}"'
    assert body["organizer"]["emailAddress"]["address"] == MAILBOX
    assert {"iCalUId", "webLink", "createdDateTime", "bodyPreview", "transactionId", "showAs"} <= body.keys()
    assert "singleValueExtendedProperties" not in body
    assert len(body["id"]) == 152
    assert set("=-_") <= set(body["id"])
    assert [(e["id"], e["stamp"], e["transactionId"]) for e in graph.events(MAILBOX)] == [(body["id"], "k-1", "t")]


def test_reading_converts_to_utc_or_to_the_preferred_zone(ann: Client) -> None:
    where = path(new(ann, body={"contentType": "text", "content": "Bring a plan"}))
    assert ann.get(where).json()["start"] == at("2026-01-20T17:00:00.0000000", "UTC")
    paris = ann.get(where, headers={"Prefer": 'outlook.timezone="Europe/Paris", outlook.body-content-type="text"'}).json()
    assert paris["end"] == at("2026-01-20T19:00:00.0000000", "Europe/Paris")
    assert paris["body"] == {"contentType": "text", "content": "Bring a plan"}
    assert ann.get(where).json()["body"]["contentType"] == "html"
    wrong = ann.get(where, headers={"Prefer": 'outlook.timezone="Mars"'})
    assert code(wrong) == (400, "TimeZoneNotSupportedException")


DAY = {"isAllDay": True, "start": at("2026-01-20T00:00:00"), "end": at("2026-01-21T00:00:00")}


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"start": None}, "ErrorPropertyValidationFailure"),
        ({"end": {"dateTime": "2026-01-20T13:00:00"}}, "TimeZoneNotSupportedException"),
        ({"end": at("2026-01-20T11:00:00")}, "ErrorPropertyValidationFailure"),
        ({"start": at("2026-01-20T12:00:00Z")}, "ErrorPropertyValidationFailure"),
        ({"start": at("2026-01-20T12:00:00+01:00")}, "ErrorPropertyValidationFailure"),
        ({"start": at("2026-02-30T12:00:00")}, "ErrorPropertyValidationFailure"),
        ({"start": at("2026-01-20")}, "ErrorPropertyValidationFailure"),
        ({"start": at("2026-01-20T12:00:00", "Europe/Madrid")}, "TimeZoneNotSupportedException"),
        ({"start": at("2026-01-20T12:00:00", "Greenwich Mean Time")}, "TimeZoneNotSupportedException"),
        ({"subject": "x" * 256}, "ErrorPropertyValidationFailure"),
        ({"subject": 5}, "RequestBodyRead"),
        ({"Subject": "x"}, "RequestBodyRead"),
        ({"location": {"name": "x"}}, "RequestBodyRead"),
        ({"location": "x"}, "RequestBodyRead"),
        ({"showAs": "away"}, "RequestBodyRead"),
        ({"isReminderOn": "yes"}, "RequestBodyRead"),
        ({"reminderMinutesBeforeStart": True}, "RequestBodyRead"),
        ({"categories": "red"}, "RequestBodyRead"),
        ({"iCalUId": "x"}, "ErrorPropertyValidationFailure"),
        (
            {"attendees": [{"emailAddress": {"address": f"{n}@example.com"}} for n in range(501)]},
            "ErrorPropertyValidationFailure",
        ),
        ({"singleValueExtendedProperties": [{"id": "AcumaticaRow", "value": "x"}]}, "ErrorInvalidProperty"),
        ({**DAY, "start": at("2026-01-20T12:00:00")}, "ErrorInvalidRequest"),
        ({**DAY, "end": at("2026-01-21T00:00:00", "UTC")}, "ErrorInvalidRequest"),
        ({**DAY, "end": at("2026-01-20T00:00:00")}, "ErrorPropertyValidationFailure"),
    ],
)
def test_an_event_that_outlook_would_not_take_is_refused(
    graph: FakeGraph, ann: Client, properties: dict[str, Any], error: str
) -> None:
    assert code(ann.post("/events", json=event(**properties))) == (400, error)
    assert graph.events(MAILBOX) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}"])
def test_a_body_that_is_no_event_is_refused(ann: Client, body: bytes) -> None:
    assert code(ann.post("/events", data=body, headers={"Content-Type": "application/json"})) == (400, "BadRequest")


@pytest.mark.parametrize(
    "properties",
    [
        {"start": at("2026-01-20T12:00:00.1234567", "America/New_York")},
        {"subject": None, "body": None, "location": None, "attendees": None},
        {"subject": "x" * 255, "end": at("2026-01-20T12:00:00")},
        {"start": at("2026-01-20T12:00:00", "UTC"), "end": at("2026-01-20T14:00:00", "W. Europe Standard Time")},
        {**DAY, "start": at("2026-03-08T00:00:00"), "end": at("2026-03-09T00:00:00")},  # a day of 23 hours
    ],
)
def test_an_event_within_the_limits_is_taken(ann: Client, properties: dict[str, Any]) -> None:
    assert new(ann, **properties)


def test_an_all_day_event_is_at_midnight_in_every_zone(ann: Client) -> None:
    where = path(new(ann, **DAY))
    seen = ann.get(where, headers={"Prefer": 'outlook.timezone="Asia/Tokyo"'}).json()
    assert (seen["start"], seen["end"]) == (
        at("2026-01-20T00:00:00.0000000", "Asia/Tokyo"),
        at("2026-01-21T00:00:00.0000000", "Asia/Tokyo"),
    )


def test_a_patch_changes_what_it_names_and_the_etag(ann: Client) -> None:
    before = ann.post("/events", json=stamped("k-1", showAs="free", location={"displayName": "Room 1"})).json()
    answer = ann.patch(path(before["id"]), json={"subject": "Later", "location": {"displayName": "Room 2"}})
    after = answer.json()
    assert (answer.status_code, after["id"], after["subject"], after["showAs"]) == (200, before["id"], "Later", "free")
    assert [place["displayName"] for place in after["locations"]] == ["Room 2"]
    assert after["changeKey"] != before["changeKey"]
    assert found(ann, "k-1") == [before["id"]]
    ann.patch(path(before["id"]), json={"singleValueExtendedProperties": [{"id": STAMP, "value": "k-2"}]})
    assert (found(ann, "k-1"), found(ann, "k-2")) == ([], [before["id"]])


def test_if_match_has_to_name_the_current_etag(ann: Client) -> None:
    created = ann.post("/events", json=event()).json()
    where, etag = path(created["id"]), created["@odata.etag"]
    assert ann.patch(where, json={"subject": "x"}, headers={"If-Match": etag}).status_code == 200
    assert code(ann.patch(where, json={"subject": "y"}, headers={"If-Match": etag})) == (412, "ErrorIrresolvableConflict")
    assert code(ann.delete(where, headers={"If-Match": etag})) == (412, "ErrorIrresolvableConflict")
    assert ann.delete(where, headers={"If-Match": "*"}).status_code == 204


def test_a_patch_is_checked_together_with_what_stays(ann: Client) -> None:
    day, visit = new(ann, **DAY), new(ann)
    assert code(ann.patch(path(day), json={"start": at("2026-01-20T09:00:00")})) == (400, "ErrorInvalidRequest")
    timed = {"isAllDay": False, "start": at("2026-01-20T09:00:00"), "end": at("2026-01-20T10:00:00")}
    assert ann.patch(path(day), json=timed).status_code == 200
    assert code(ann.patch(path(visit), json={"end": at("2026-01-19T10:00:00")})) == (400, "ErrorPropertyValidationFailure")
    assert code(ann.patch(path(visit), json={})) == (400, "BadRequest")


def test_what_was_deleted_is_not_found(graph: FakeGraph, ann: Client) -> None:
    where = path(new(ann))
    assert ann.delete(where).status_code == 204
    gone = [ann.get(where), ann.patch(where, json={"subject": "x"}), ann.delete(where)]
    assert [code(answer) for answer in gone] == [(404, "ErrorItemNotFound")] * 3
    assert graph.events(MAILBOX) == []


def test_ids_are_case_sensitive(ann: Client) -> None:
    event_id = new(ann)
    assert ann.get(path(event_id)).status_code == 200
    assert ann.get(path(event_id.swapcase())).status_code == 404


def test_a_deletion_by_a_person_hides_the_event(graph: FakeGraph, ann: Client) -> None:
    old = ann.post("/events", json=stamped("k-1")).json()["id"]
    graph.user_deletes(MAILBOX, old)
    assert (ann.get(path(old)).status_code, found(ann, "k-1"), graph.events(MAILBOX)) == (404, [], [])


def test_immutable_ids_stay_valid_in_deleted_items(graph: FakeGraph, ann: Client) -> None:
    default = new(ann)
    ann.headers["Prefer"] = 'IdType="ImmutableId"'
    where = path(ann.get(path(default)).json()["id"])
    assert where != path(default)
    graph.user_moves(MAILBOX, default)
    assert ann.get(where).status_code == 200
    assert ann.delete(where).status_code == 204
    assert ann.patch(where, json={"subject": "unseen"}).status_code == 200
    assert code(ann.delete(where)) == (403, "ErrorCannotDeleteObject")


def test_unknown_paths_and_methods_are_refused(ann: Client) -> None:
    assert code(ann.get("/contacts")) == (400, "BadRequest")
    assert ann.put("/events", json={}).status_code == 405


def test_attendees_get_mail(graph: FakeGraph, ann: Client) -> None:
    new(ann)
    assert graph.invitations == []
    event_id = new(ann, **MEETING)
    ann.patch(path(event_id), json={"subject": "Later"})
    ann.patch(path(event_id), json={"attendees": [{"emailAddress": {"address": "cy@example.com"}}]})
    ann.delete(path(event_id))
    assert [(mail.kind, mail.to) for mail in graph.invitations] == [
        ("request", ("bob@example.com",)),
        ("update", ("bob@example.com",)),
        ("cancellation", ("bob@example.com",)),
        ("request", ("cy@example.com",)),
        ("cancellation", ("cy@example.com",)),
    ]


def test_only_a_meeting_can_be_cancelled(graph: FakeGraph, ann: Client) -> None:
    meeting = new(ann, **MEETING)
    assert ann.post(f"{path(meeting)}/cancel", json={"comment": "Sorry"}).status_code == 202
    assert ann.get(path(meeting)).status_code == 404
    assert code(ann.post(f"{path(new(ann))}/cancel", json={})) == (400, "ErrorInvalidRequest")
    assert [mail.kind for mail in graph.invitations] == ["request", "cancellation"]


@pytest.mark.parametrize("allowed", [True, False])
def test_online_meetings(graph: FakeGraph, ann: Client, *, allowed: bool) -> None:
    """An event stays one, and a new body takes the way into it away; or nothing comes of it at all."""
    graph.switches.turn({"online_meetings": allowed})
    where = path(new(ann, isOnlineMeeting=True, onlineMeetingProvider="teamsForBusiness"))
    made = ann.get(where).json()
    assert (made["isOnlineMeeting"], bool(made["onlineMeeting"]), "Join:" in made["body"]["content"]) == (allowed,) * 3
    ann.patch(where, json={"subject": "other", "isOnlineMeeting": False})
    kept = ann.get(where).json()
    assert (kept["isOnlineMeeting"], "Join:" in kept["body"]["content"]) == (allowed, allowed)
    ann.patch(where, json={"body": {"contentType": "text", "content": "new"}})
    lost = ann.get(where).json()
    assert (lost["isOnlineMeeting"], "Join:" in lost["body"]["content"]) == (allowed, False)
