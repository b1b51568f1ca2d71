"""What the options of a mapping do to calendars and records: `apply` on real storage and the fakes, without a host."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.clients.requests_to_graph import STAMP
from handlers.sync.errors import Code
from local.fakes import Fault
from local.fakes.graph import FakeGraph
from local.sample import changed
from tests.bench import Bench

type Mapped = Callable[..., Bench]


@pytest.fixture
def mapped(bench: Bench, tmp_path: Path) -> Mapped:
    """The bench, with more in its mapping."""

    def more(top: str = "", event: str = "", fields: str = "", tables: str = "") -> Bench:
        text = changed(("[event]", f"{top}\n[event]"), ("[write_back]", f"{event}\n[write_back]"))
        (tmp_path / "opportunity-meetings.toml").write_text(f"{text}{fields}\n{tables}", "utf-8")
        bench.reconfigure(MAPPINGS_DIR=str(tmp_path))
        return bench

    return more


def calls(graph: FakeGraph) -> list[str]:
    """Method and last path segments of the calls of Graph, ids left out."""
    found = [call for call in graph.calls if "/v1.0/" in call.path]
    return [f"{call.method} {'/'.join(s for s in call.segments[3:] if len(s) < 100)}" for call in found]


def written(bench: Bench, field: str = "AttributeCALEVT") -> Any:
    record = bench.acumatica.record("Opportunity", bench.note_id) or {}
    return record.get("custom", {}).get("Opportunity", {}).get(field, {}).get("value")


def test_only_matching_rows_are_in_the_calendar(mapped: Mapped) -> None:
    """One that stops matching is removed, one that matches again is made again."""
    bench = mapped(tables='[when]\nStatus = ["Open", "New"]')
    bench.apply(bench.change(1, "draft", Status="Draft"))
    assert (bench.subjects(), bench.letters()) == ([], {})
    bench.apply(bench.change(2, "open", Status="open"))
    assert bench.subjects() == ["open"]
    bench.apply(bench.change(3, "lost", Status="Lost"))
    assert bench.subjects() == []
    bench.apply(bench.change(4, "open again", Status="New"))
    assert bench.subjects() == ["open again"]
    assert written(bench) == bench.graph.events("ann@example.com")[0]["id"]


def test_ignored_changes_leave_the_event_as_people_made_it(mapped: Mapped) -> None:
    bench = mapped(tables='[on]\nupdate = "ignore"')
    bench.apply(bench.change(1, "first"))
    bench.apply(bench.change(2, "second", OwnerEmail="bob@example.com"))
    assert (bench.subjects(), bench.subjects("bob@example.com")) == (["first"], [])
    bench.apply(bench.removal(3))
    assert bench.subjects() == []


def test_kept_events_survive_the_row_and_are_found_by_its_return(mapped: Mapped) -> None:
    bench = mapped(tables='[on]\ndelete = "keep"')
    bench.apply(bench.change(1, "first"))
    bench.apply(bench.removal(2))
    assert bench.subjects() == ["first"]
    bench.apply(bench.change(3, "back", OwnerEmail="bob@example.com"))
    assert (bench.subjects(), bench.subjects("bob@example.com")) == ([], ["back"])


def test_whoever_owns_a_mailbox_that_is_named_by_object_id_is_not_invited(mapped: Mapped) -> None:
    """Asked for once; the address is not in the row's mailbox column."""
    bench, ann = mapped(event='attendees = ["{Guests}"]'), "5d0c3b0e-0000-4000-8000-00000000a001"
    bench.graph.add_mailbox(ann, owner="Ann@example.com")
    for number, subject in enumerate(("first", "second"), 1):
        bench.apply(bench.change(number, subject, OwnerEmail=ann, Guests="ann@example.com; gus@example.com"))
        (event,) = bench.graph.events(ann)
        assert [person["emailAddress"]["address"] for person in event["attendees"]] == ["gus@example.com"]
    assert [call for call in calls(bench.graph) if "calendar" in call] == ["GET calendar"]
    assert (bench.letters(), event["subject"]) == ({}, "second")


def test_a_cancelled_meeting_tells_its_attendees(mapped: Mapped) -> None:
    bench = mapped(event='attendees = ["{Guests}"]', tables='[on]\ndelete = "cancel"\ncomment = "Off."')
    bench.apply(bench.change(1, Guests="gus@example.com"))
    bench.apply(bench.removal(2))
    assert [(mail.kind, mail.to) for mail in bench.graph.invitations] == [
        ("request", ("gus@example.com",)),
        ("cancellation", ("gus@example.com",)),
    ]
    assert (calls(bench.graph)[-1], bench.graph.calls[-1].body) == ("POST events/cancel", {"comment": "Off."})
    assert bench.subjects() == []


def test_a_cancelled_appointment_is_deleted(mapped: Mapped) -> None:
    """Without attendees there is nobody to tell, and Graph refuses to cancel."""
    bench = mapped(tables='[on]\ndelete = "cancel"')
    bench.apply(bench.change(1))
    bench.apply(bench.removal(2))
    assert (bench.subjects(), calls(bench.graph)[-2:]) == ([], ["POST events/cancel", "DELETE events"])


def test_fields_are_emptied_when_the_row_is_removed(mapped: Mapped) -> None:
    bench = mapped(tables="[on]\nclear = true")
    bench.apply(bench.change(1))
    assert written(bench)
    bench.apply(bench.removal(2))
    assert (written(bench), bench.subjects()) == ("", [])
    bench.apply(bench.change(3))
    assert written(bench) == bench.graph.events("ann@example.com")[0]["id"]


def test_a_field_that_was_never_written_is_not_emptied(mapped: Mapped) -> None:
    """It may hold what somebody else has put there."""
    bench = mapped(tables="[on]\nclear = true")
    bench.acumatica.change_record("Opportunity", bench.note_id, {"custom.Opportunity.AttributeCALEVT": "another's"})
    bench.apply(bench.change(1, OwnerEmail="nobody@elsewhere.example"))
    assert len(bench.letters()) == 1
    bench.apply(bench.removal(2))
    assert written(bench) == "another's"


def test_a_removal_right_after_a_write_back_without_an_answer_empties_the_field(mapped: Mapped) -> None:
    """The record is known before it is written to."""
    bench = mapped(tables="[on]\nclear = true")
    bench.acumatica.faults.add(Fault("reset_after", method="PUT", times=1))
    bench.apply(bench.change(1))
    assert written(bench)
    bench.now += 400
    bench.apply(bench.removal(2))
    assert (written(bench), bench.subjects()) == ("", [])


# -- calendars ----------------------------------------------------------------------------------------------------------


def test_a_calendar_by_name(mapped: Mapped) -> None:
    """Looked up once; a move between calendars makes the new event before it removes the old one."""
    bench = mapped('calendar = "{Team}"')
    for name in ("Service", "Sales"):
        bench.graph.add_calendar("ann@example.com", name)
    bench.apply(bench.change(1, Team="service"))
    bench.apply(bench.change(2, "moved", Team="Sales"))
    bench.apply(bench.change(3, "changed", Team="Sales"))
    assert [(e["subject"], e["calendar"]) for e in bench.graph.events("ann@example.com")] == [("changed", "Sales")]
    assert calls(bench.graph) == [
        "GET calendars",
        "POST calendars/events",
        "GET calendars",
        "POST calendars/events",
        "DELETE events",
        "PATCH events",
    ]


def test_a_calendar_by_id(mapped: Mapped) -> None:
    bench = mapped('calendar = "{Team}"')
    bench.apply(bench.change(1, Team=bench.graph.add_calendar("ann@example.com", "Service")))
    assert [event["calendar"] for event in bench.graph.events("ann@example.com")] == ["Service"]


def test_a_calendar_that_does_not_exist_is_a_dead_letter_until_it_does(mapped: Mapped) -> None:
    bench = mapped('calendar = "Service"')
    bench.apply(bench.change(1))
    (reason,) = bench.letters()
    assert reason == "The mailbox has no calendar of the mapping's name: 'Service' in ann@example.com."
    bench.graph.add_calendar("ann@example.com", "Service")
    bench.apply(bench.change(2))
    assert (bench.letters(), bench.subjects()) == ({}, ["s"])


def test_an_event_whose_creation_was_never_answered_is_found_in_its_calendar(mapped: Mapped) -> None:
    bench = mapped('calendar = "Service"')
    bench.graph.add_calendar("ann@example.com", "Service")
    bench.graph.faults.add(Fault("reset_after", method="POST", times=1))
    bench.apply(bench.change(1))
    bench.now += 400
    bench.apply(bench.removal(2))
    assert bench.subjects() == []


# -- adoption -----------------------------------------------------------------------------------------------------------


def test_an_event_of_a_flow_is_taken_over(mapped: Mapped) -> None:
    """Fetched once, stamped and updated; from then on it is ours."""
    bench = mapped('adopt = "{OldID}"')
    old = bench.graph.add_event("ann@example.com", "made by a flow")
    bench.apply(bench.change(1, "ours", OldID=old))
    (event,) = bench.graph.events("ann@example.com")
    assert (event["id"], event["subject"]) == (old, "ours")
    assert event["stamp"].startswith(f"{bench.change(1).link_key}-")
    assert (calls(bench.graph), written(bench)) == (["GET events", "PATCH events"], old)
    bench.apply(bench.change(2, "changed", OldID=old))
    assert calls(bench.graph)[2:] == ["PATCH events"]
    bench.apply(bench.removal(3))
    assert bench.subjects() == []


@pytest.mark.parametrize("why", ["gone", "another row's", "another mailbox's", "no id", "a meeting of someone else"])
def test_what_cannot_be_taken_over_is_made_anew(mapped: Mapped, why: str) -> None:
    bench = mapped('adopt = "{OldID}"')
    graph = bench.graph
    mailbox = "bob@example.com" if why == "another mailbox's" else "ann@example.com"
    old = graph.add_event(mailbox, "made by a flow", organizer=why != "a meeting of someone else")
    if why == "gone":
        graph.user_deletes("ann@example.com", old)
    if why == "another row's":
        graph.stamp("ann@example.com", old, STAMP, "f" * 64 + "-1")
    old = "OP1" if why == "no id" else old
    for _ in range(3 if why == "gone" else 1):  # a 404 may pass
        bench.apply(bench.change(1, "ours", OldID=old))
    ours = [event for event in graph.events("ann@example.com") if event["subject"] == "ours"]
    assert [event["stamp"].partition("-")[0] for event in ours] == [bench.change(1).link_key]
    assert ours[0]["id"] != old
    assert bench.letters() == {}


def test_an_adoption_without_an_answer_is_repeated_whatever_the_row_says_then(mapped: Mapped) -> None:
    """Else the event of the flow would be left over."""
    bench = mapped('adopt = "{OldID}"')
    old = bench.graph.add_event("ann@example.com", "made by a flow")
    bench.graph.faults.add(Fault("reset_after", method="PATCH", times=1))
    bench.apply(bench.change(1, "ours", OldID=old))
    bench.now += 400
    bench.apply(bench.change(2, "newer", OldID=""))
    assert [(event["id"], event["subject"]) for event in bench.graph.events("ann@example.com")] == [(old, "newer")]


def test_a_removal_after_an_adoption_without_an_answer_removes_the_event(mapped: Mapped) -> None:
    bench = mapped('adopt = "{OldID}"')
    bench.graph.faults.add(Fault("reset_after", method="PATCH", times=1))
    bench.apply(bench.change(1, "ours", OldID=bench.graph.add_event("ann@example.com", "made by a flow")))
    bench.now += 400
    bench.apply(bench.removal(2))
    assert bench.subjects() == []


# -- write-back ---------------------------------------------------------------------------------------------------------

REPORT = '"custom.Opportunity.UsrError" = "{reason}"'


def test_more_than_the_id_is_written_back(mapped: Mapped) -> None:
    """For one more request of Graph."""
    bench = mapped(fields='"custom.Opportunity.UsrLink" = "{webLink}"\n"custom.Opportunity.UsrUid" = "{iCalUId}"')
    for name in ("UsrLink", "UsrUid"):
        bench.acumatica.declare("Opportunity", "Opportunity", name)
    bench.apply(bench.change(1))
    (event,) = bench.graph.events("ann@example.com")
    assert (written(bench), written(bench, "UsrLink"), written(bench, "UsrUid")) == (
        event["id"],
        event["webLink"],
        event["iCalUId"],
    )
    assert calls(bench.graph) == ["POST events", "GET events"]


def test_a_look_that_is_not_answered_is_no_write_back_in_doubt(mapped: Mapped) -> None:
    """Nothing was written: the row is not kept waiting until a late PUT is over."""
    bench = mapped(fields='"custom.Opportunity.UsrLink" = "{webLink}"')
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrLink")
    bench.graph.faults.add(Fault("reset_after", path="webLink"))
    bench.apply(bench.change(1))
    link, _ = bench.factory.storage().links.load(bench.change(1).link_key)
    assert link
    assert (link.last_code, link.record_late_until, bench.sent()) == (Code.NOT_ANSWERED, 0.0, 1)
    bench.graph.faults.clear()
    bench.apply(bench.change(1))
    (event,) = bench.graph.events("ann@example.com")
    assert (written(bench), written(bench, "UsrLink"), bench.sent()) == (event["id"], event["webLink"], 1)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_teams_meeting(mapped: Mapped, *, allowed: bool) -> None:
    """Its address is written back, and the way into it stays in its body, whatever changes."""
    online = 'isOnlineMeeting = true\nbody = "{Subject}"'
    bench = mapped(event=online, fields='"custom.Opportunity.UsrJoin" = "{joinUrl}"')
    bench.graph.switches.turn({"online_meetings": allowed})
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrJoin")
    bench.apply(bench.change(1, "one"))
    (event,) = bench.graph.events("ann@example.com")
    join = event["onlineMeeting"]["joinUrl"] if allowed else ""
    assert (event["isOnlineMeeting"], written(bench, "UsrJoin")) == (allowed, join)
    bench.apply(bench.change(2, "two"))
    (changed_one,) = bench.graph.events("ann@example.com")
    assert (changed_one["id"], changed_one["subject"]) == (event["id"], "two")
    assert ("Join:" in changed_one["body"]["content"]) == allowed
    assert bench.letters() == {}


def test_an_event_becomes_a_teams_meeting_later(mapped: Mapped) -> None:
    bench = mapped(event='isOnlineMeeting = "{Online}"\nbody = "as ever"')
    for number, online in enumerate((False, True, False), 1):
        bench.apply(bench.change(number, f"s{number}", Online=online))
    (event,) = bench.graph.events("ann@example.com")
    assert (event["isOnlineMeeting"], event["subject"]) == (True, "s3")
    assert "Join:" in event["body"]["content"]


def test_what_is_over_stays_when_its_row_leaves(mapped: Mapped) -> None:
    """By a removal or by [when]; what is ahead goes."""
    bench = mapped(tables='[on]\npast = "keep"\n[when]\nStatus = { not = "Done" }')
    old = {"MeetingStart": "2020-01-01T09:00:00", "MeetingEnd": "2020-01-01T10:00:00"}
    bench.apply(bench.change(1, "past", Status="Open", **old))
    bench.apply(bench.change(2, "past", Status="Done", **old))
    bench.apply(bench.removal(3))
    bench.apply(bench.removal(4))
    assert bench.subjects() == ["past"]
    ahead = {"MeetingStart": "2030-01-01T09:00:00", "MeetingEnd": "2030-01-01T10:00:00"}
    bench.apply(bench.change(5, "ahead", Status="Open", **ahead))
    assert bench.subjects() == ["ahead"], "the same event"
    bench.apply(bench.removal(6))
    assert bench.subjects() == []


def test_the_end_of_an_event_from_before_it_was_stored(mapped: Mapped) -> None:
    """As version 0.1.0 left it: the row's last state tells."""
    bench = mapped(tables='[on]\npast = "keep"')
    bench.apply(bench.change(1, "past", MeetingStart="2020-01-01T09:00:00", MeetingEnd="2020-01-01T10:00:00"))
    links = bench.factory.storage().links
    (link,) = links.all()
    _, etag = links.load(link.key)
    assert link.live
    links.save(link.with_entry(replace(link.live, over=0.0)), etag)
    bench.apply(bench.removal(2))
    assert bench.subjects() == ["past"]


def test_a_row_changes_its_shape_and_keeps_its_event(mapped: Mapped) -> None:
    """No removal, no second invitation; what only the other shape names goes back to what Outlook has by itself."""
    shape = '[[shape]]\nwhen.Status = "Planned"\nevent.subject = "Planned: {Subject}"\nevent.showAs = "tentative"'
    bench = mapped(tables=shape)
    seen = []
    for number, status in enumerate(("Planned", "Fixed", "Planned"), 1):
        bench.apply(bench.change(number, "visit", Status=status))
        (event,) = bench.graph.events("ann@example.com")
        seen.append((event["id"], event["subject"], event["showAs"]))
    first = seen[0][0]
    assert seen == [
        (first, "Planned: visit", "tentative"),
        (first, "visit", "busy"),
        (first, "Planned: visit", "tentative"),
    ]


@pytest.mark.parametrize("cause", ["the row", "Outlook"])
def test_the_reason_of_a_failure_is_written_back_and_taken_back(mapped: Mapped, cause: str) -> None:
    """The dead letter is there as well; the id that stands in the record stays."""
    bench = mapped(fields=REPORT)
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrError")
    bench.apply(bench.change(1))
    wrong = {"MeetingEnd": "2020-01-01T00:00:00"} if cause == "the row" else {"OwnerEmail": "nobody@elsewhere.example"}
    for number in (2, 3):
        bench.apply(bench.change(number, **wrong))
    (reason,) = bench.letters()
    assert written(bench, "UsrError") == reason
    assert written(bench)
    puts = sum(call.method == "PUT" for call in bench.acumatica.calls)
    assert puts == 2
    bench.apply(bench.change(4))
    assert (bench.letters(), written(bench, "UsrError")) == ({}, "")


def test_a_failure_is_a_dead_letter_although_its_record_cannot_be_told(mapped: Mapped) -> None:
    bench = mapped(fields=REPORT)  # a field that does not exist
    bench.apply(bench.change(1, OwnerEmail=None))
    assert [reason[:46] for reason in bench.letters()] == ["The mapping's mailbox, made of OwnerEmail, is "]


def test_a_report_without_an_answer_is_taken_back_once_it_cannot_come_any_more(mapped: Mapped) -> None:
    """Else it could come after the success that takes it back; the calendar does not wait for that."""
    bench = mapped(fields=REPORT)
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrError")
    bench.acumatica.faults.add(Fault("reset_after", method="PUT", times=1))
    bench.apply(bench.change(1, OwnerEmail=None))
    assert len(bench.letters()) == 1
    bench.apply(bench.change(2))
    assert (bench.subjects(), bench.sent()) == (["s"], 1)
    bench.now += 1000
    bench.apply(bench.change(2))
    assert (bench.letters(), written(bench, "UsrError"), bench.subjects()) == ({}, "", ["s"])


def test_what_could_not_be_shown_is_noted_on_the_link(mapped: Mapped) -> None:
    bench = mapped()
    bench.apply(bench.change(1, "x" * 300))
    (link,) = bench.factory.storage().links.all()
    assert link.notes == ("The subject is longer than 255 characters and was cut.",)
    assert json.loads(json.dumps(link.notes))
    bench.apply(bench.change(2, "short"))
    (link,) = bench.factory.storage().links.all()
    assert link.notes == ()


# -- look-ups, in both readings of what Graph lists ---------------------------------------------------------------------


@pytest.mark.parametrize("listing", ["default_calendar", "mailbox"])
@pytest.mark.parametrize("then", ["changes", "goes"])
def test_an_event_that_a_person_moved_is_found_in_any_calendar(bench: Bench, listing: Any, then: str) -> None:
    bench.graph.switches.listing = listing
    bench.graph.switches.largest_page = 1
    bench.graph.add_calendar("ann@example.com", "Sailing")
    bench.apply(bench.change(1, "one"))
    bench.graph.user_moves("ann@example.com", bench.graph.events("ann@example.com")[0]["id"])
    bench.apply(bench.change(2, "two") if then == "changes" else bench.removal(2))
    assert bench.subjects() == (["two"] if then == "changes" else [])
    assert bench.letters() == {}


def test_of_two_calendars_with_one_name_the_one_that_is_there_is_used(mapped: Mapped) -> None:
    bench = mapped(top='calendar = "Service"')
    bench.graph.add_calendar("ann@example.com", "Service", broken=True)
    bench.graph.add_calendar("ann@example.com", "Service")
    bench.apply(bench.change(1))
    assert [event["calendar"] for event in bench.graph.events("ann@example.com")] == ["Service"]


def test_a_calendar_by_its_id_is_used_although_graph_does_not_list_it(mapped: Mapped) -> None:
    bench = mapped(top='calendar = "{Calendar}"')
    there = bench.graph.add_calendar("ann@example.com", "Hidden", listed=False)
    bench.apply(bench.change(1, Calendar=there))
    assert ([event["calendar"] for event in bench.graph.events("ann@example.com")], bench.letters()) == (["Hidden"], {})


@pytest.mark.parametrize("transactions", ["remembered", "refused", "forgotten"])
def test_a_row_that_was_forgotten_and_comes_back_gets_an_event(bench: Bench, transactions: Any) -> None:
    """After the purge, or with a new storage account: no transactionId of the link that was forgotten is used again."""
    bench.graph.switches.transactions = transactions
    bench.apply(bench.change(1, "one"))
    bench.apply(bench.removal(2))
    storage = bench.factory.storage()
    table = storage.links._table
    for entity, etag in table.query():
        assert table.delete(entity["PartitionKey"], entity["RowKey"], etag)
    bench.now += 40 * 86_400
    bench.apply(replace(bench.change(3, "one"), first_sent=bench.now, timestamp=bench.first + 40 * 86_400 * 10_000_000))
    assert bench.subjects() == ["one"]


# -- adoption -----------------------------------------------------------------------------------------------------------


def test_of_two_rows_with_one_id_one_takes_the_event_over(mapped: Mapped) -> None:
    """A copied record, or two mappings of one inquiry."""
    bench = mapped('adopt = "{OldID}"')
    old = bench.graph.add_event("ann@example.com", "made by a flow")
    first = bench.change(1, "first", OldID=old)
    second = replace(bench.change(1, "second", OldID=old, OpportunityID="OP2"), key=("OP2",))
    for change in (first, second, first, second):
        bench.apply(change)
    found = {event["subject"]: event["id"] for event in bench.graph.events("ann@example.com")}
    assert (set(found), found["first"]) == ({"first", "second"}, old)


# -- what leaves, and what cannot be reached ----------------------------------------------------------------------------


def test_a_mailbox_that_is_out_of_reach_holds_back_nothing_but_its_own_event(bench: Bench) -> None:
    """The new owner's event is made, its id is in the record; the old one is tried again until someone acts."""
    bench.apply(bench.change(1, "one"))
    bench.graph.deny("ann@example.com")
    bench.apply(bench.change(2, "two", OwnerEmail="bob@example.com"))
    (event,) = bench.graph.events("bob@example.com")
    assert (written(bench), bench.sent(), bench.letters()) == (event["id"], 1, {})
    bench.graph.deny("ann@example.com", denied=False)
    bench.apply(bench.change(2, "two", OwnerEmail="bob@example.com"))
    assert (bench.graph.events("ann@example.com"), bench.letters()) == ([], {})


def test_what_was_refused_was_never_made_and_needs_no_removal(bench: Bench) -> None:
    bench.graph.deny("ann@example.com")
    bench.apply(bench.change(1, "one"))
    bench.apply(bench.change(2, "two", OwnerEmail="bob@example.com"))
    (link,) = bench.factory.storage().links.all()
    assert ([entry.mailbox for entry in link.entries], link.last_error) == (["bob@example.com"], "")


def test_an_event_that_was_deleted_before_its_record_was_told_is_made_again(mapped: Mapped) -> None:
    bench = mapped(fields='"custom.Opportunity.UsrLink" = "{webLink}"')
    bench.acumatica.declare("Opportunity", "Opportunity", "UsrLink")
    bench.acumatica.faults.add(Fault(method="PUT", status=503, times=1))
    bench.apply(bench.change(1))
    bench.graph.user_deletes("ann@example.com", bench.graph.events("ann@example.com")[0]["id"])
    for _ in range(2):  # it is looked for twice
        bench.apply(bench.change(1))
    (event,) = bench.graph.events("ann@example.com")
    assert (written(bench), written(bench, "UsrLink")) == (event["id"], event["webLink"])


# -- answers that are not the service's own -----------------------------------------------------------------------------

STRANGE = ["redirect", "html", "gateway", "empty", "null", "list", "text", "other_shape"]


@pytest.mark.parametrize("answer", STRANGE)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_is_not_graphs_own_answer_never_counts_against_a_row(bench: Bench, answer: str, method: str) -> None:
    steps = {"POST": [bench.change(1, "one")], "PATCH": [bench.change(1, "one"), bench.change(2, "two")]}
    steps["DELETE"] = [bench.change(1, "one"), bench.removal(2)]
    *before, last = steps[method]
    for change in before:
        bench.apply(change)
    bench.graph.faults.add(Fault(method=method, answer=answer, times=2))
    bench.apply(last)
    assert (bench.letters(), bench.sent()) == ({}, 1)
    bench.graph.faults.clear()
    bench.now += 400
    bench.apply(last)
    assert bench.subjects() == ([] if last.row is None else [last.row["Subject"]])


@pytest.mark.parametrize("answer", STRANGE)
def test_what_is_not_acumaticas_own_answer_never_counts_against_a_row(bench: Bench, answer: str) -> None:
    """The calendar is right at once; the record follows."""
    bench.acumatica.faults.add(Fault(method="PUT", answer=answer, times=2))
    bench.apply(bench.change(1, "one"))
    assert (bench.subjects(), bench.letters(), bench.sent()) == (["one"], {}, 1)
    bench.acumatica.faults.clear()
    bench.now += 1000
    bench.apply(bench.change(1, "one"))
    assert written(bench) == bench.graph.events("ann@example.com")[0]["id"]


def test_a_site_under_maintenance_makes_no_dead_letter_and_locks_nobody_out(bench: Bench) -> None:
    bench.acumatica.switches.maintenance = True
    for number in range(1, 6):
        bench.apply(bench.change(number, f"s{number}"))
        bench.now += 400
    assert (bench.subjects(), bench.letters()) == (["s5"], {})
    assert bench.acumatica.failed_sign_ins == 0
    bench.acumatica.switches.maintenance = False
    bench.apply(bench.change(6, "s6"))
    assert written(bench) == bench.graph.events("ann@example.com")[0]["id"]


@pytest.mark.parametrize("language", ["en", "de", "fr", "ja"])
@pytest.mark.parametrize("user", ["locked", "disabled"])
@pytest.mark.parametrize("auth", ["oauth", "cookie"])
def test_a_refused_sign_in_is_told_whatever_its_words(bench: Bench, language: Any, user: Any, auth: str) -> None:
    bench.acumatica.switches.language, bench.acumatica.switches.user = language, user
    bench.reconfigure(ACUMATICA_AUTH=auth)
    bench.apply(bench.change(1))
    breaker, _ = bench.factory.storage().slots.load_breaker()
    assert (breaker.refused, breaker.interval) == (True, 300.0)


def test_a_role_that_may_only_read_needs_a_person(bench: Bench) -> None:
    """Acumatica answers 200, with the old value."""
    bench.acumatica.switches.read_only = {"Opportunity"}
    bench.apply(bench.change(1))
    (letter,) = bench.factory.storage().dead_letters.list(10)
    assert letter.code == "record-not-written"
    assert "role" in letter.remedy


@pytest.mark.parametrize("missing", ["precondition", "no_entity"])
def test_a_record_that_is_not_there_needs_a_person_while_its_row_is_in_the_inquiry(bench: Bench, missing: Any) -> None:
    """The NoteID of another table of the inquiry is an easy slip."""
    bench.acumatica.switches.missing = missing
    bench.acumatica.switches.hidden = {bench.note_id}
    bench.apply(bench.change(1))
    (letter,) = bench.factory.storage().dead_letters.list(10)
    assert (letter.code, "NoteID" in letter.remedy) == ("record-gone", True)
    bench.acumatica.switches.hidden = set()
    bench.apply(bench.change(2))
    assert bench.letters() == {}


def test_an_unanswered_write_back_holds_no_calendar_back(bench: Bench) -> None:
    bench.acumatica.faults.add(Fault("reset_after", method="PUT", times=1))
    bench.apply(bench.change(1, "one"))
    bench.apply(bench.change(2, "two"))
    assert bench.subjects() == ["two"]
