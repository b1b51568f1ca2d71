"""Looking events up, and the calendars of a mailbox."""

from typing import Any
from urllib.parse import quote

import pytest

from local.fakes import FakeGraph
from tests.fakes.conftest import (
    MAILBOX,
    STAMP,
    Client,
    below,
    code,
    event,
    found,
    lookup,
    new,
    path,
    stamped,
)


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


# -- what people do ----------------------------------------------------------------------------------------------------

WINDOW = "/calendarView?startDateTime=2026-01-20T00:00:00Z&endDateTime=2026-01-21T00:00:00Z"


def test_people_move_events_in_time_and_views_follow(graph: FakeGraph, ann: Client) -> None:
    event_id = new(ann)
    before = ann.get(path(event_id)).json()
    moments = [{"dateTime": f"2026-01-22T{hour}:00:00", "timeZone": "UTC"} for hour in ("09", "10")]
    graph.user_reschedules(MAILBOX, event_id, moments[0], moments[1])
    assert ann.get(WINDOW).json()["value"] == []
    after = ann.get(path(event_id)).json()
    assert (after["start"]["dateTime"][:16], after["id"]) == ("2026-01-22T09:00", event_id)
    assert after["changeKey"] != before["changeKey"]


def test_a_copy_has_the_stamp_and_an_id_of_its_own(graph: FakeGraph, ann: Client) -> None:
    original = ann.post("/events", json=stamped("k-1")).json()["id"]
    copied = graph.user_copies(MAILBOX, original)
    assert found(ann, "k-1") == [original, copied]
    assert len({ann.get(path(one)).json()["iCalUId"] for one in (original, copied)}) == 2


def test_a_view_may_lag_behind_while_the_event_itself_does_not(graph: FakeGraph, ann: Client) -> None:
    """A move and a deletion show later, and so does a new event."""
    first = new(ann)
    graph.hold_view(MAILBOX)
    second = new(ann)
    graph.user_deletes(MAILBOX, first)
    assert [item["id"] for item in ann.get(WINDOW).json()["value"]] == [first]
    assert (code(ann.get(path(first))), ann.get(path(second)).status_code) == ((404, "ErrorItemNotFound"), 200)
    graph.hold_view(MAILBOX, held=False)
    assert [item["id"] for item in ann.get(WINDOW).json()["value"]] == [second]


def test_attendees_answer(graph: FakeGraph, ann: Client) -> None:
    guests = [{"emailAddress": {"address": f"{name}@example.com"}, "type": "required"} for name in ("Gus", "liz")]
    event_id = ann.post("/events", json=event(attendees=guests)).json()["id"]
    graph.attendee_answers(MAILBOX, event_id, "gus@example.com", "accepted")
    answers = [person.get("status", {}).get("response") for person in ann.get(path(event_id)).json()["attendees"]]
    assert answers == ["accepted", None]
