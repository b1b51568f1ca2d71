"""Each rule of the fake of Microsoft Graph, through HTTP."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msal
import pytest
import requests
from pydantic import ValidationError

from local.fakes import AcumaticaSwitches, FakeGraph, Fault, GraphSwitches
from local.fakes.answers import ANSWERS
from local.fakes.switches import Switches
from tests.fakes.conftest import STAMP, Client, at, event, stamped, token

MAILBOX = "ann@example.com"
MEETING = {"attendees": [{"emailAddress": {"address": "bob@example.com"}, "type": "required"}]}


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def new(client: Client, **properties: Any) -> str:
    answer = client.post("/events", json=event(**properties))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def path(event_id: str) -> str:
    return f"/events/{quote(event_id, safe='')}"


def below(answer: Any) -> str:
    """What comes after a page, as a path below the mailbox."""
    return str(answer["@odata.nextLink"]).partition("ann%40example.com")[2]


def lookup(client: Client, value: str, name: str = STAMP, more: str = "&$select=id", where: str = "") -> requests.Response:
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{name}' and ep/value eq '{value}')"
    return client.get(f"{where}/events?$filter={quote(condition, safe='')}{more}")


def found(client: Client, value: str, name: str = STAMP, where: str = "") -> list[str]:
    return [item["id"] for item in lookup(client, value, name, where=where).json()["value"]]


def other(graph: FakeGraph, mailbox: str = "bob@example.com") -> Client:
    client = Client(f"{graph.url}/v1.0/users/{quote(mailbox)}")
    client.headers.update(token(graph))
    return client


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("api-version=2019-08-01&resource=https://graph.microsoft.com&client_id=mine", None, 200),
        ("api-version=2019-08-01&resource=https://graph.microsoft.com&client_id=other", None, 400),
        ("api-version=2017-09-01&resource=https://graph.microsoft.com", None, 400),
        ("api-version=2019-08-01", None, 400),
        ("api-version=2019-08-01&resource=https://graph.microsoft.com", "wrong", 401),
    ],
)
def test_the_managed_identity_endpoint_checks_what_it_is_asked(
    graph: FakeGraph, query: str, header: str | None, status: int
) -> None:
    graph.identity.user_assigned = {"mine"}
    headers = {"X-IDENTITY-HEADER": header or graph.identity_header}
    answer = requests.get(f"{graph.identity_endpoint}?{query}", headers=headers, timeout=10)
    assert answer.status_code == status
    assert ("access_token" if status == 200 else "message") in answer.json()


@pytest.mark.parametrize("authorization", ["", "Basic x", "Bearer unknown", "Bearer "])
def test_a_request_without_a_token_that_was_given_out_is_unauthorized(ann: Client, authorization: str) -> None:
    assert code(ann.get("/events", headers={"Authorization": authorization})) == (401, "InvalidAuthenticationToken")


def test_a_token_that_has_expired_or_is_for_something_else_is_unauthorized(graph: FakeGraph, ann: Client) -> None:
    other = token(graph, "https://vault.azure.net")
    assert "audience" in ann.get("/events", headers=other).json()["error"]["message"]
    assert ann.get("/events").status_code == 200
    graph.identity.expire()
    assert "expired" in ann.get("/events").json()["error"]["message"]


def test_msal_gets_a_token_with_a_client_secret() -> None:
    with FakeGraph(tls=True) as graph, requests.Session() as session:
        session.trust_env, session.verify = False, graph.ca_file
        identity = graph.identity

        def ask(secret: str, client_id: str = identity.client_id, resource: str = "https://graph.microsoft.com") -> Any:
            app = msal.ConfidentialClientApplication(
                client_id,
                client_credential=secret,
                authority=f"{graph.authority_url}/{identity.tenant_id}",
                instance_discovery=False,
                http_client=session,
            )
            return app.acquire_token_for_client(scopes=[resource])

        right = ask(identity.client_secret, resource="https://graph.microsoft.com/.default")
        with Client(graph.url) as client:
            answer = client.get(
                "/v1.0/users/a%40example.com/events", headers={"Authorization": f"Bearer {right['access_token']}"}
            )
        assert answer.status_code == 200
        wrong = ask("wrong")
        assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
        assert wrong["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
        assert ask("x", client_id="unknown")["error_codes"] == [700016]
        assert ask(identity.client_secret)["error_codes"] == [1002012]


def test_entra_refuses_unknown_tenants_and_grants() -> None:
    with FakeGraph() as graph, Client(graph.url) as client:
        assert client.get("/elsewhere/v2.0/.well-known/openid-configuration").json()["error"] == "invalid_tenant"
        endpoint = f"/{graph.identity.tenant_id}/oauth2/v2.0/token"
        form = {"client_id": graph.identity.client_id, "scope": "x/.default"}
        assert client.post(endpoint, data=form).json()["error_codes"] == [900144]
        assert client.post(endpoint, data={**form, "grant_type": "password"}).json()["error"] == "unsupported_grant_type"


# -- creation ----------------------------------------------------------------------------------------------------------


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


# -- transactionId -----------------------------------------------------------------------------------------------------


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


# -- look-up -----------------------------------------------------------------------------------------------------------


def test_a_look_up_ignores_the_case_of_the_value_but_not_of_the_name(ann: Client) -> None:
    created = ann.post("/events", json=stamped("AbC-1")).json()["id"]
    assert found(ann, "aBc-1") == [created]
    assert found(ann, "abc-2") == []
    assert found(ann, "abc-1", STAMP.replace("AcumaticaRow", "acumaticarow")) == []
    assert found(ann, "abc-1", STAMP.replace("6f2c", "6F2C")) == [created]


def test_a_plus_in_a_query_is_no_blank(ann: Client) -> None:
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq 'x')"
    assert code(ann.get("/events", params={"$filter": condition})) == (400, "BadRequest")
    assert code(ann.get("/events?$filter=subject%20eq%20'x'")) == (400, "BadRequest")
    assert code(ann.get("/events?$where=1")) == (400, "BadRequest")


def test_select_and_expand_decide_what_is_told(ann: Client) -> None:
    ann.post("/events", json=stamped("k-1"))
    item = lookup(ann, "k-1", more="&$select=subject").json()["value"][0]
    assert item.keys() == {"@odata.etag", "id", "subject"}
    assert code(ann.get("/events?$select=nothing")) == (400, "BadRequest")
    expand = quote(f"singleValueExtendedProperties($filter=id eq '{STAMP}')", safe="")
    assert ann.get(f"{path(item['id'])}?$expand={expand}").json()["singleValueExtendedProperties"] == [
        {"id": STAMP, "value": "k-1"}
    ]
    assert code(ann.get("/events?$expand=attachments")) == (400, "BadRequest")


def test_a_list_has_pages(ann: Client) -> None:
    ids = [new(ann, subject=str(n)) for n in range(12)]
    first = ann.get("/events?$count=true").json()
    assert ([item["id"] for item in first["value"]], first["@odata.count"]) == (ids[:10], 12)
    second = ann.get(first["@odata.nextLink"].removeprefix(ann.base)).json()
    assert [item["id"] for item in second["value"]] == ids[10:]
    assert "@odata.nextLink" not in second
    assert len(ann.get("/events?$top=3&$skip=10").json()["value"]) == 2
    assert len(ann.get("/events", headers={"Prefer": "odata.maxpagesize=4"}).json()["value"]) == 4
    assert code(ann.get("/events?$top=some")) == (400, "BadRequest")


# -- change and removal ------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("listing", "elsewhere"), [("default_calendar", 0), ("mailbox", 1)])
def test_what_a_mailbox_lists_can_be_chosen(graph: FakeGraph, ann: Client, listing: Any, elsewhere: int) -> None:
    graph.switches.listing = listing
    here, there = new(ann), ann.post("/events", json=stamped("k-1")).json()["id"]
    moved = graph.user_moves(MAILBOX, there)
    window = "/calendarView?startDateTime=2026-01-20T00:00:00&endDateTime=2026-01-21T00:00:00"
    for where in ("/events", window):
        assert [item["id"] for item in ann.get(where).json()["value"]] == [here, moved][: 1 + elsewhere]
    assert found(ann, "k-1") == [moved] * elsewhere
    private = f"/calendars/{quote(graph.calendars(MAILBOX)['Private'], safe='')}"
    for where in ("/events", window):
        assert [item["id"] for item in ann.get(private + where).json()["value"]] == [moved]
    assert found(ann, "k-1", where=private) == [moved]
    assert [item["id"] for item in ann.get("/calendar/events").json()["value"]] == [here]


def test_a_move_by_a_person_changes_the_id_which_is_good_in_the_whole_mailbox(graph: FakeGraph, ann: Client) -> None:
    old = ann.post("/events", json=stamped("k-1")).json()["id"]
    moved = graph.user_moves(MAILBOX, old)
    private = f"/calendars/{quote(graph.calendars(MAILBOX)['Private'], safe='')}"
    gone = [ann.get(path(old)), ann.patch(path(old), json={"subject": "x"}), ann.delete(path(old))]
    gone += [ann.get(f"{private}{path(old)}"), ann.get(f"/calendar{path(moved)}")]
    assert [code(answer) for answer in gone] == [(404, "ErrorItemNotFound")] * 5
    for where in (path(moved), private + path(moved)):
        assert ann.get(where).json()["id"] == moved
        assert ann.patch(where, json={"subject": "Later"}).status_code == 200
    assert [(event["id"], event["stamp"], event["calendar"]) for event in graph.events(MAILBOX)] == [
        (moved, "k-1", "Private")
    ]
    assert ann.delete(path(moved)).status_code == 204
    assert graph.events(MAILBOX) == []


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


def test_calendars_are_separate_and_have_to_exist(graph: FakeGraph, ann: Client) -> None:
    default = quote(graph.calendars(MAILBOX)["Calendar"], safe="")
    created = ann.post(f"/calendars/{default}/events", json=event()).json()["id"]
    assert ann.get(f"/calendars/{default}{path(created)}").status_code == 200
    assert ann.patch(f"/calendar{path(created)}", json={"subject": "x"}).status_code == 200
    assert code(ann.post("/calendars/none/events", json=event())) == (404, "ErrorItemNotFound")


def test_lists_are_paged_as_the_service_likes(graph: FakeGraph, ann: Client) -> None:
    names = ["Calendar", *(f"Team {n}" for n in range(11))]
    for name in names[1:]:
        graph.add_calendar(MAILBOX, name)
    first = ann.get("/calendars?$select=id,name").json()
    assert [known["name"] for known in first["value"]] == names[:10]
    assert [known["name"] for known in ann.get(below(first)).json()["value"]] == names[10:]
    assert "@odata.nextLink" not in ann.get("/calendars?$top=100").json()
    graph.switches.largest_page = 1
    for number in range(3):
        new(ann, subject=f"{number}")
    for where, name, wanted in (("/calendars?$top=100", "name", names), ("/events?$top=9", "subject", ["0", "1", "2"])):
        answer, seen = ann.get(where).json(), []
        while "@odata.nextLink" in answer:
            seen += [item[name] for item in answer["value"]]
            answer = ann.get(below(answer)).json()
        assert [*seen, *(item[name] for item in answer["value"])] == wanted


def test_a_calendar_may_be_missing_from_the_list(graph: FakeGraph, ann: Client) -> None:
    hidden = graph.add_calendar(MAILBOX, "Hidden", listed=False)
    assert [known["name"] for known in ann.get("/calendars").json()["value"]] == ["Calendar"]
    where = f"/calendars/{quote(hidden, safe='')}/events"
    created = ann.post(where, json=event()).json()["id"]
    assert [item["id"] for item in ann.get(where).json()["value"]] == [created]
    assert graph.calendars(MAILBOX)["Hidden"] == hidden


def test_of_two_calendars_of_one_name_one_may_be_broken(graph: FakeGraph, ann: Client) -> None:
    with Client(f"{graph.url}/_fake") as control:
        sent = {"mailbox": MAILBOX, "name": "Team", "broken": True}
        broken = control.post("/calendars", json=sent).json()["id"]
        assert control.post("/calendars", json={"name": "Team"}).status_code == 400
    sound = graph.add_calendar(MAILBOX, "Team")
    assert [(known["id"], known["name"]) for known in ann.get("/calendars").json()["value"][1:]] == [
        (broken, "Team"), (sound, "Team")
    ]  # fmt: skip
    where = "/calendars/{}/events"
    assert code(ann.post(where.format(quote(broken, safe="")), json=event())) == (404, "ErrorItemNotFound")
    assert code(ann.get(where.format(quote(broken, safe="")))) == (404, "ErrorItemNotFound")
    assert ann.post(where.format(quote(sound, safe="")), json=event()).status_code == 201
    assert graph.calendars(MAILBOX)["Team"] == sound


def test_a_calendar_view_is_what_overlaps_the_window(ann: Client) -> None:
    event_id = new(ann)
    window = "/calendarView?startDateTime={}&endDateTime={}"
    hit = ann.get(window.format("2026-01-20T17:30:00", "2026-01-20T17:45:00Z")).json()["value"]
    assert [item["id"] for item in hit] == [event_id]
    assert ann.get(window.format("2026-01-20T18:00:00", "2026-01-21T00:00:00")).json()["value"] == []
    assert code(ann.get(window.format("2020-01-01T00:00:00", "2026-01-01T00:00:00"))) == (400, "ErrorInvalidRequest")
    assert code(ann.get("/calendarView")) == (400, "ErrorInvalidParameter")


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


# -- mailboxes and throttling ------------------------------------------------------------------------------------------


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


def test_the_control_api_moves_mailboxes(graph: FakeGraph, ann: Client) -> None:
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/mailboxes", json={"mailbox": MAILBOX, "moving": True}).json() == {"mailbox": MAILBOX}
        assert ann.get("/events").status_code == 503
        assert control.post("/mailboxes", json={"mailbox": MAILBOX, "moving": False, "server": "2"}).status_code == 200
        assert control.post("/mailboxes", json={"mailbox": "bob@example.com", "server": "3"}).status_code == 200
        assert control.post("/mailboxes", json={"mailbox": 5}).status_code == 400
    assert ann.get("/events").status_code == 200
    assert graph.mailboxes() == [MAILBOX, "bob@example.com"]


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


# -- faults ------------------------------------------------------------------------------------------------------------


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


# -- looking in from outside -------------------------------------------------------------------------------------------


def test_calls_tell_what_was_sent(graph: FakeGraph, ann: Client) -> None:
    new(ann, subject="Seen")
    call = graph.calls[-1]
    assert (call.method, call.path, call.status) == ("POST", "/v1.0/users/ann%40example.com/events", 201)
    assert (call.mailbox, call.body["subject"], call.headers["content-type"]) == (MAILBOX, "Seen", "application/json")
    assert call.finished is not None
    assert call.started <= call.finished


def test_the_control_api_shows_events_and_takes_faults(graph: FakeGraph, ann: Client) -> None:
    new(ann)
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/faults", json={"kind": "status", "status": 500, "path": "/events"}).status_code == 204
        state = control.get("/state").json()
        assert (state["calls"], len(state["mailboxes"][MAILBOX]), state["faults"][0]["status"]) == (2, 1, 500)
        assert ann.get("/events").status_code == 500
        assert control.delete("/faults").status_code == 204
        assert control.post("/faults", json={"colour": "red"}).status_code == 400
        assert control.get("/nothing").status_code == 404
    assert ann.get("/events").status_code == 200


def test_the_control_api_shows_and_turns_switches(graph: FakeGraph) -> None:
    with Client(f"{graph.url}/_fake") as control:
        assert control.post("/switches", data='{"repeats": "original", "tells_existing_id": false}').status_code == 204
        assert (graph.switches.repeats, graph.switches.tells_existing_id) == ("original", False)
        shown = control.get("/switches").json()
        assert (shown["repeats"]["value"], "transactionId" in shown["repeats"]["meaning"]) == ("original", True)
        for wrong in ('{"repeats": "current", "colour": "red"}', '{"repeats": "red"}', "[]", "{"):
            assert control.post("/switches", data=wrong).status_code == 400
        assert graph.switches.repeats == "original"


@pytest.mark.parametrize("switches", [GraphSwitches(), AcumaticaSwitches()], ids=lambda switches: type(switches).__name__)
def test_every_switch_is_explained_and_refuses_nonsense(switches: Switches) -> None:
    assert [name for name, switch in switches.told().items() if not switch["meaning"]] == []
    for name in switches.told():
        with pytest.raises(ValidationError):
            setattr(switches, name, "nonsense")
    with pytest.raises(ValueError, match="colour"):
        switches.colour = "red"  # type: ignore[attr-defined]


def test_requests_are_recorded_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "requests.jsonl"
    monkeypatch.setenv("FAKES_RECORD", str(record))
    with FakeGraph() as graph, Client(f"{graph.url}/v1.0/users/{MAILBOX}") as client:
        client.headers.update(token(graph))
        new(client)
        secret = str(client.headers["Authorization"])
        requests.post(f"{graph.url}/t/oauth2/v2.0/token", data={"client_secret": "hush"}, timeout=10)
    text = record.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["method"], line["path"].rpartition("/")[2], line["status"]) for line in lines] == [
        ("GET", "token", 200), ("POST", "events", 201), ("POST", "token", 400)
    ]  # fmt: skip
    assert lines[0]["query"].startswith("api-version=")
    assert lines[1]["body"] == event()
    assert not any(word in text for word in (secret, "hush", graph.identity_header))
