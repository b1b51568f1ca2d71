"""Push notifications: what is taken, what is refused in which words, and which row changes come out."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.change import (
    MESSAGE_VERSION,
    NotARowChange,
    Row,
    RowChange,
    canonical,
    datetime_to_ticks,
    digest,
    ticks_to_datetime,
)
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.notification import NotificationProblems, PushNotification, TooManyRows, parse_notification, row_changes

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NOW = datetime(2026, 2, 10, tzinfo=UTC)
QUERY = "Calendar - Opportunity Meetings"
TICKS = 639055764123456780
WHOLE: dict[str, Any] = {
    "Inserted": [],
    "Deleted": [],
    "Query": QUERY,
    "CompanyId": "Production",
    "Id": "5f0c7a3e-8f57-4d0e-9d0a-3f7f0b8e21c4",
    "TimeStamp": TICKS,
    "AdditionalInfo": {},
}
MAPPING = """
query = "{query}"
key = ["{key}"]
mailbox = "{{OwnerEmail}}"
time_zone = "UTC"
[event]
subject = "{{Subject}}"
start = "{{MeetingStart}}"
end = "{{MeetingEnd}}"
"""


def a_mapping(name: str = "meetings", query: str = QUERY, key: str = "OpportunityID") -> Mapping:
    return load_mapping(name, MAPPING.format(query=query, key=key))


def fixture(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def parsed(body: bytes | dict[str, Any], *queries: str) -> PushNotification:
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    return parse_notification(data, company="Production", queries=queries or [QUERY], now=NOW)


def problems(body: bytes | dict[str, Any]) -> list[str]:
    with pytest.raises(NotificationProblems) as caught:
        parsed(body)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


def raw(member: str, value: bytes) -> bytes:
    """The whole notification with the JSON text of one member replaced."""
    return json.dumps(WHOLE | {member: "@@"}).encode().replace(b'"@@"', value)


# -- what is taken ------------------------------------------------------------------------------------------------------


def test_all_fields() -> None:
    """Rows, query, tenant, transaction and time arrive as they were sent."""
    notification = parsed(fixture("changed"))
    assert [row["MeetingStart"] for row in notification.inserted] == ["2026-02-04T14:00:00"]
    assert [row["MeetingStart"] for row in notification.deleted] == ["2026-02-03T09:30:00"]
    assert notification.query == "Calendar - Opportunity Meetings"
    assert notification.company_id == "production"
    assert notification.id == "0a6b2f3c-3e0a-4a57-8a2e-0d2c5a1f7b10"
    assert notification.timestamp == 639056628123456781


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.json")), ids=lambda file: file.stem)
def test_every_fixture_is_a_notification(file: Path) -> None:
    """The realistic notifications parse, and hold what their file holds."""
    data = json.loads(file.read_bytes())
    notification = parsed(file.read_bytes(), data["Query"])
    assert list(notification.inserted) == data["Inserted"]
    assert list(notification.deleted) == data["Deleted"]
    assert notification.timestamp == data["TimeStamp"] > 2**53


@pytest.mark.parametrize("ticks", [2**53 + 1, 639055764123456781, 639055764123456789])
def test_timestamps_are_exact_to_the_tick(ticks: int) -> None:
    """No float comes near them: neighbours above 2^53 stay apart."""
    assert float(ticks) == float(ticks - 1) or float(ticks) == float(ticks + 1)
    assert parsed(WHOLE | {"TimeStamp": ticks}).timestamp == ticks


@pytest.mark.parametrize("info", [None, {}, {"a": 1}, [], [1], "x", 5, True])
def test_additional_info_is_ignored(info: Any) -> None:
    """Whatever a customization puts there, and whether it is there or not."""
    without = {name: value for name, value in WHOLE.items() if name != "AdditionalInfo"}
    assert parsed(WHOLE | {"AdditionalInfo": info}) == parsed(without)


ROWS = [{"OpportunityID": "A"}]


@pytest.mark.parametrize(
    ("lists", "inserted", "deleted"),
    [
        ({"Inserted": ROWS, "Deleted": None}, 1, 0),
        ({"Inserted": None, "Deleted": ROWS}, 0, 1),
        ({"Inserted": ROWS}, 1, 0),
        ({"Deleted": ROWS}, 0, 1),
        ({"Inserted": None}, 0, 0),
        ({"Inserted": None, "Deleted": None}, 0, 0),
    ],
)
def test_a_list_that_is_missing_or_null_is_empty(lists: dict[str, Any], inserted: int, deleted: int) -> None:
    whole = {name: value for name, value in WHOLE.items() if name not in {"Inserted", "Deleted"}}
    notification = parsed(whole | lists)
    assert (len(notification.inserted), len(notification.deleted)) == (inserted, deleted)


def test_what_has_neither_list_is_no_notification() -> None:
    whole = {name: value for name, value in WHOLE.items() if name not in {"Inserted", "Deleted"}}
    assert problems(whole) == [f"{name} is missing; it has to be an array of rows." for name in ("Inserted", "Deleted")]


def test_unknown_members_are_ignored() -> None:
    """A later Acumatica may add some."""
    assert parsed(WHOLE | {"Version": 3, "Attempt": {"No": 1}}) == parsed(WHOLE)


def test_query_and_tenant_are_compared_without_case_and_outer_blanks() -> None:
    """The tenant is part of every event's identity, so no spelling of the setting may change it."""
    notification = parsed(WHOLE | {"Query": " calendar - OPPORTUNITY meetings ", "CompanyId": " PRODUCTION"})
    assert notification.company_id == "production"
    assert notification.query == " calendar - OPPORTUNITY meetings "


@pytest.mark.parametrize("query", ["a/b\\c#d?e", "会議 – 🗓️", "Stock Items: Last Modified Date", "'; drop", "%2F"])
def test_titles_may_hold_anything(query: str) -> None:
    """Slashes, # and ?, and any Unicode."""
    assert parsed(WHOLE | {"Query": query}, query).query == query


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_json(encoding: str) -> None:
    """UTF-8 with a byte-order mark, UTF-16 and UTF-32 are read."""
    text = json.dumps(WHOLE | {"Inserted": [{"Subject": "Übergabe 🗓️"}]}, ensure_ascii=False)
    assert parsed(text.encode(encoding)).inserted == ({"Subject": "Übergabe 🗓️"},)


def test_of_duplicate_members_the_last_counts() -> None:
    """As JSON parsers do."""
    assert parsed(b'{"Id": "first", ' + json.dumps(WHOLE).encode()[1:]).id == WHOLE["Id"]


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (rb'"\ud800"', "\ufffd"),
        (rb'"a\uDFFFb"', "a\ufffdb"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00"', "😀"),
    ],
)
def test_half_surrogate_pairs_are_replaced(text: bytes, subject: str) -> None:
    """What UTF-8 cannot hold could not be stored; whole pairs stay."""
    (row,) = parsed(raw("Inserted", b'[{"Subject": ' + text + b"}]")).inserted
    assert row == {"Subject": subject}
    assert digest(row)


def test_half_surrogate_pairs_in_names_and_depths() -> None:
    """Column names and nested values too."""
    body = raw("Inserted", rb'[{"A\ud800": [{"\udc00": "\udbff"}]}]')
    assert parsed(body).inserted == ({"A\ufffd": [{"\ufffd": "\ufffd"}]},)


# -- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The body is empty."),
        (b" \r\n", "The body is empty."),
        (b"hello", "The body is not JSON: Expecting value"),
        (b"\xef\xbb\xbf", "The body is not JSON: Expecting value"),
        (b'{"Id": "\xff"}', "The body is not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"\xff\xfe{", "The body is not JSON: 'utf-16"),
        (b'{"Id": "\xed\xa0\x80"}', "The body is not JSON: 'utf-8' codec"),
        (raw("AdditionalInfo", b'{"a": NaN}'), "The body is not JSON: NaN is no JSON value"),
        (raw("AdditionalInfo", b'{"a": Infinity}'), "The body is not JSON: Infinity is no JSON value"),
        (raw("AdditionalInfo", b'{"a": -Infinity}'), "The body is not JSON: -Infinity is no JSON value"),
        (raw("AdditionalInfo", b'{"a": 1e999}'), "The body is not JSON: the number 1e999 is too large"),
        (raw("AdditionalInfo", b'{"a": -1e999}'), "The body is not JSON: the number -1e999 is too large"),
        (raw("TimeStamp", b"1" * 5000), "The body is not JSON: Exceeds the limit"),
        (raw("AdditionalInfo", b'{"a": ' + b"1" * 5000 + b"}"), "The body is not JSON: Exceeds the limit"),
        (
            raw("AdditionalInfo", b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
            "The body is not JSON: it is nested",
        ),
        (b"[" * 10_000, "The body is not JSON: it is nested"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "The body is not JSON: it is nested"),
        (b"null", "The body is null; a push notification is an object."),
        (b"[]", "The body is an array; a push notification is an object."),
        (b"7", "The body is a number; a push notification is an object."),
        (b"true", "The body is true or false; a push notification is an object."),
        (b'"a"', "The body is a string; a push notification is an object."),
    ],
)
def test_bodies_that_are_no_json_object(body: bytes, words: str) -> None:
    """One problem, in plain words, and nothing worse than NotificationProblems."""
    (problem,) = problems(body)
    assert problem.startswith(words)
    assert len(problem) < 300


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("Inserted", {}, "Inserted is an object; it has to be an array of rows."),
        ("Deleted", "x", "Deleted is a string; it has to be an array of rows."),
        ("Inserted", [{}, 1], "Inserted holds something that is not an object; every row has to be one."),
        ("Deleted", [None], "Deleted holds something that is not an object; every row has to be one."),
        ("Query", 5, "Query is a number; it has to be the title of a Generic Inquiry or the name of a built-in definition."),
        ("CompanyId", 2, "CompanyId is a number; it has to be the name of the tenant."),
        ("Id", None, "Id is null; it has to be the id of the transaction."),
        ("Id", "", "Id is empty."),
        ("Id", " \t", "Id is empty."),
        ("TimeStamp", True, "TimeStamp is true or false; it has to be an integer of .NET ticks."),
        ("TimeStamp", 6.39e17, "TimeStamp is a number; it has to be an integer of .NET ticks."),
        ("TimeStamp", str(TICKS), "TimeStamp is a string; it has to be an integer of .NET ticks."),
        ("TimeStamp", 0, "TimeStamp is outside of what .NET ticks can be."),
        ("TimeStamp", -TICKS, "TimeStamp is outside of what .NET ticks can be."),
        ("TimeStamp", 3_155_378_976_000_000_000, "TimeStamp is outside of what .NET ticks can be."),
        ("TimeStamp", 10**4000, "TimeStamp is outside of what .NET ticks can be."),
        ("CompanyId", "Test", "CompanyId 'Test' is another tenant than ACUMATICA_TENANT ('Production')."),
        ("Query", "Other", f"Query 'Other' has no mapping. Mapped: '{QUERY}'."),
    ],
)
def test_wrong_fields(field: str, value: Any, problem: str) -> None:
    """Each is named, with what it is and what it has to be."""
    assert problems(WHOLE | {field: value}) == [problem]


@pytest.mark.parametrize("field", ["Query", "CompanyId", "Id", "TimeStamp"])
def test_missing_fields(field: str) -> None:
    """Each is named; names are compared exactly."""
    body = {name: value for name, value in WHOLE.items() if name != field} | {field.lower(): WHOLE[field]}
    (problem,) = problems(body)
    assert problem.startswith(f"{field} is missing; it has to be ")


def test_every_problem_at_once() -> None:
    """Wrong types do not hide wrong values of other fields."""
    body = {"Inserted": [1], "Deleted": 2, "Query": "Other", "CompanyId": "Test", "TimeStamp": -1, "AdditionalInfo": 3}
    assert [problem.split()[0] for problem in problems(body)] == [
        "Deleted",
        "Id",
        "Inserted",
        "Query",
        "CompanyId",
        "TimeStamp",
    ]


@pytest.mark.parametrize(("ahead", "taken"), [(timedelta(days=1), True), (timedelta(days=1, seconds=1), False)])
def test_a_timestamp_may_be_a_day_ahead(ahead: timedelta, taken: bool) -> None:
    """A clock that is off is tolerated; one that is years off would block the row for years."""
    body = WHOLE | {"TimeStamp": datetime_to_ticks(NOW + ahead)}
    if taken:
        assert ticks_to_datetime(parsed(body).timestamp) == NOW + ahead
    else:
        assert problems(body) == ["TimeStamp is 2026-02-11 00:00 UTC, more than a day ahead of now."]


def test_no_mapping_at_all_is_said() -> None:
    """The list of mapped queries is never just empty."""
    with pytest.raises(NotificationProblems, match=r"has no mapping\. Mapped: none"):
        parse_notification(json.dumps(WHOLE).encode(), company="Production", queries=[], now=NOW)


@pytest.mark.parametrize(("levels", "taken"), [(31, True), (32, False)])
def test_rows_are_flat(levels: int, taken: bool) -> None:
    """The row itself is the first of 32 levels; what is nested beyond reason must not reach code that recurses."""
    body = raw("Deleted", b'[{"a":' + b"[" * levels + b"]" * levels + b"}]")
    if taken:
        assert parsed(body).dedup_key
    else:
        assert problems(body) == ["Deleted holds a row that is nested more than 32 levels deep."]


# -- dedup key ----------------------------------------------------------------------------------------------------------


def test_the_same_request_has_the_same_key() -> None:
    """Member order, blanks, encoding and additional information make no difference."""
    data = json.loads(fixture("changed"))
    shuffled = dict(reversed(data.items())) | {"AdditionalInfo": {"Attempt": "2"}}
    shuffled["Inserted"] = [dict(reversed(row.items())) for row in data["Inserted"]]
    again = json.dumps(shuffled, indent=7).encode("utf-16")
    assert parsed(again).dedup_key == parsed(fixture("changed")).dedup_key


@pytest.mark.parametrize(
    "other",
    [
        {"id": "other"},
        {"query": "other"},
        {"company_id": "other"},
        {"inserted": ({"OpportunityID": "2"},)},
        {"deleted": ({"OpportunityID": "1"},)},
        {"inserted": (), "deleted": ({"OpportunityID": "1"},)},
    ],
    ids="+".join,
)
def test_the_key_depends_on(other: dict[str, Any]) -> None:
    """Id, query, tenant, and what was inserted and deleted."""
    one = PushNotification(({"OpportunityID": "1"},), (), QUERY, "Production", "id", TICKS)
    assert replace(one, **other).dedup_key != one.dedup_key


def test_the_halves_of_a_split_update_are_two_requests() -> None:
    """They share Id, query and TimeStamp."""
    deleted, inserted = parsed(fixture("split_deleted_half")), parsed(fixture("split_inserted_half"))
    assert (deleted.id, deleted.query, deleted.timestamp) == (inserted.id, inserted.query, inserted.timestamp)
    assert deleted.dedup_key != inserted.dedup_key


def test_dedup_keys_are_lower_case_hex() -> None:
    """Table keys hold no slashes, no # and no ?, whatever the title and the rows hold."""
    data = json.loads(fixture("unicode"))
    key = parsed(fixture("unicode"), data["Query"]).dedup_key
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")


# -- row changes --------------------------------------------------------------------------------------------------------


def changes_of(name: str, *mappings: Mapping) -> list[RowChange]:
    data = json.loads(fixture(name))
    changes, unidentified = row_changes(parsed(fixture(name), data["Query"]), mappings or [a_mapping()], 1770000000.5)
    assert unidentified == []
    return changes


def test_a_new_row() -> None:
    """The whole row under its trimmed key, with where it came from and when it was first sent."""
    (change,) = changes_of("new_event")
    assert change == RowChange(
        company="production",
        mapping="meetings",
        key=("OP000123",),
        timestamp=TICKS,
        row=json.loads(fixture("new_event"))["Inserted"][0],
        notification="5f0c7a3e-8f57-4d0e-9d0a-3f7f0b8e21c4",
        first_sent=1770000000.5,
        new=True,
    )


def test_inserted_and_deleted_with_one_key_are_one_update() -> None:
    """The new content wins; that one of the keys is padded makes no difference."""
    (change,) = changes_of("changed")
    assert (change.key, change.new) == (("OP000123",), False)
    assert change.row is not None
    assert change.row["MeetingStart"] == "2026-02-04T14:00:00"


def test_a_lone_deleted_row_has_left_the_inquiry() -> None:
    """No row, and the key that its event is found by."""
    (change,) = changes_of("removed")
    assert (change.key, change.row, change.problem, change.new) == (("OP000123",), None, "", False)
    assert change.link_key == changes_of("new_event")[0].link_key


def test_several_rows_fan_out() -> None:
    """An update, an insertion and a removal in one transaction."""
    found = [(change.key, change.row and change.row["Subject"]) for change in changes_of("several_rows")]
    assert found == [(("OP000123",), "Site visit"), (("OP000124",), "Factory tour"), (("OP000125",), None)]


def test_a_key_that_repeats_inside_inserted_is_a_problem() -> None:
    """Once, with the names of the key columns; other rows are not affected."""
    repeated, fine = changes_of("repeated_key")
    assert repeated.problem == "The key columns (OpportunityID) are the same in several rows of one notification."
    assert (repeated.key, fine.key, fine.problem) == (("OP000123",), ("OP000124",), "")


def test_a_key_that_repeats_inside_deleted_is_one_removal() -> None:
    """Old rows say nothing but that they are gone."""
    rows = ({"OpportunityID": "A"}, {"OpportunityID": "A "})
    changes, _ = row_changes(PushNotification((), rows, QUERY, "P", "i", TICKS), [a_mapping()], 0.0)
    assert [(change.key, change.row, change.problem) for change in changes] == [(("A",), None, "")]


def test_rows_without_key_columns_are_kept_apart() -> None:
    """The reason names the column that is missing, or empty, and those that did arrive."""
    changes, unidentified = row_changes(parsed(fixture("without_key_columns")), [a_mapping()], 0.0)
    assert changes == []
    assert [(row.mapping, row.reason) for row in unidentified] == [
        (
            "meetings",
            "The inquiry's rows have no column OpportunityID. Columns that arrived: OwnerEmail, Subject.",
        ),
        ("meetings", "The key column OpportunityID is empty in this row."),
    ]
    assert unidentified[0].row == {"Subject": "Site visit", "OwnerEmail": "jane.doe@example.com"}


@pytest.mark.parametrize(("length", "taken"), [(10_000, 1), (10_001, 0)])
def test_a_key_that_no_link_has_room_for_is_none(length: int, taken: int) -> None:
    rows: tuple[Row, ...] = ({"OpportunityID": "k" * length},)
    changes, unidentified = row_changes(PushNotification(rows, (), QUERY, "P", "i", TICKS), [a_mapping()], 0.0)
    assert len(changes) == taken
    assert [row.reason for row in unidentified] == ["The key (OpportunityID) has more than 10000 characters."] * (1 - taken)


def test_the_same_row_without_a_key_is_one_that_came_several_times() -> None:
    """Not thousands of dead letters; another row, and another mapping, has its own."""
    rows: tuple[Row, ...] = ({}, {"Subject": "a"}, {}, {"Subject": "a"}, {})
    notification = PushNotification(rows, ({},), QUERY, "P", "i", TICKS)
    _, unidentified = row_changes(notification, [a_mapping("one"), a_mapping("two")], 0.0)
    assert [(row.mapping, row.row, row.times) for row in unidentified] == [
        ("one", {}, 4),
        ("one", {"Subject": "a"}, 2),
        ("two", {}, 4),
        ("two", {"Subject": "a"}, 2),
    ]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({"Inserted": [{}] * 3, "Deleted": [{}] * 2}, None),
        ({"Inserted": [{}] * 4, "Deleted": [{}] * 2}, "The notification has 6 rows; MAX_NOTIFICATION_ROWS is 5."),
        ({"Inserted": [1] * 6}, "The notification has 6 rows; MAX_NOTIFICATION_ROWS is 5."),
        ({"Inserted": [{"a": "{[" * 2000}]}, None),
        ({"Inserted": [{"a": '"\\{[' * 2000}]}, None),
        ({"Inserted": [{}] * 1100}, "The body has more than 1010 objects and arrays; MAX_NOTIFICATION_ROWS is 5."),
        ({"Inserted": [{"a": [[]] * 1100}]}, "The body has more than 1010 objects and arrays; MAX_NOTIFICATION_ROWS is 5."),
        ({"AdditionalInfo": [[]] * 1100}, "The body has more than 1010 objects and arrays; MAX_NOTIFICATION_ROWS is 5."),
    ],
)
def test_rows_are_counted_before_they_take_memory(rows: dict[str, Any], problem: str | None) -> None:
    """And what else would take as much; braces in text are none."""
    body = json.dumps(WHOLE | rows).encode()
    if problem is None:
        assert parse_notification(body, company="Production", queries=[QUERY], now=NOW, max_rows=5)
        return
    with pytest.raises(TooManyRows) as caught:
        parse_notification(body, company="Production", queries=[QUERY], now=NOW, max_rows=5)
    assert caught.value.problems == [problem]


def test_every_mapping_of_the_query_gets_its_change() -> None:
    """And no mapping of another query; their links are apart."""
    mappings = [a_mapping("one"), a_mapping("two", QUERY.upper()), a_mapping("three", "Other")]
    one, two = changes_of("new_event", *mappings)
    assert (one.mapping, two.mapping) == ("one", "two")
    assert one.link_key != two.link_key
    assert replace(one, mapping="two") == two


def test_keys_of_several_columns_and_types() -> None:
    """In the order of the mapping; numbers and flags as JSON writes them."""
    mapping = load_mapping("m", MAPPING.format(query=QUERY, key='Type", "Number", "Flag'))
    row = {"Flag": True, "Number": 7, "type": "SO "}
    (change,), _ = row_changes(PushNotification((row,), (), QUERY, "P", "i", TICKS), [mapping], 0.0)
    assert change.key == ("SO", "7", "true")


@pytest.mark.parametrize("key", ["Ärger/\\#?%😀", "a'b", "a\x00b", "A" * 5000])
def test_link_keys_are_lower_case_hex(key: str) -> None:
    """Whatever the row's key holds: table keys and the look-up of stamps want plain letters."""
    link_key = RowChange("P", "m", (key,), 1, None, "n", 0.0).link_key
    assert len(link_key) == 64
    assert set(link_key) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "other",
    [{"company": "Q"}, {"mapping": "n"}, {"key": ("a", "c")}, {"key": ("ab",)}, {"key": ("a,b",)}, {"key": ("A", "b")}],
)
def test_link_keys_tell_rows_apart(other: dict[str, Any]) -> None:
    """By tenant, mapping and every key value; nothing is glued together."""
    one = RowChange("P", "m", ("a", "b"), 1, None, "n", 0.0)
    assert replace(one, **other).link_key != one.link_key


def test_link_keys_do_not_change_between_versions() -> None:
    """A pinned value: a new scheme would create every event again."""
    change = RowChange("Production", "opportunity-meetings", ("OP000123",), 1, None, "n", 0.0)
    assert change.link_key == "0e0e179f53bc8c863b1db7776c78e5bff42b1191dda6bf3b4aaa42a6d3c388dc"


# -- messages -----------------------------------------------------------------------------------------------------------

CHANGE = RowChange("P", "m", ("a", "😀"), TICKS, {"x": [1.5, None]}, "n", 1770000000.123, 3, "why")


@pytest.mark.parametrize("change", [CHANGE, replace(CHANGE, row=None)])
def test_messages_round_trip(change: RowChange) -> None:
    """Through JSON, exactly."""
    assert RowChange.decode(json.loads(canonical(change.encode()))) == change


def test_a_second_try_is_counted() -> None:
    """Nothing else changes."""
    assert CHANGE.again() == replace(CHANGE, tries=4)


def test_no_member_is_named_like_metadata_of_the_trigger() -> None:
    """The host mixes members of a JSON message with these."""
    metadata = {"id", "dequeuecount", "popreceipt", "expirationtime", "insertiontime", "nextvisibletime", "queuetrigger"}
    assert {name.lower() for name in CHANGE.encode()} & metadata == set()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "not a row change of version"),
        ([], "not a row change of version"),
        ({}, "not a row change of version"),
        (CHANGE.encode() | {"v": MESSAGE_VERSION + 1}, "not a row change of version"),
        (CHANGE.encode() | {"key": "a"}, "message's key is missing"),
        (CHANGE.encode() | {"key": ["a", 1]}, "message's key is missing"),
        (CHANGE.encode() | {"key": ["a", "k" * 10_000]}, "message's key is longer than any"),
        (CHANGE.encode() | {"mapping": "m" * 1001}, "message's mapping is longer than any"),
        (CHANGE.encode() | {"mapping": "m" * 40_000, "company": "c" * 40_000}, "message's company, mapping is longer"),
        (CHANGE.encode() | {"timestamp": "1", "row": []}, "message's timestamp, row is missing"),
        ({k: v for k, v in CHANGE.encode().items() if k != "tries"}, "message's tries is missing"),
    ],
)
def test_foreign_messages(data: Any, words: str) -> None:
    """Say what is wrong with them."""
    with pytest.raises(NotARowChange, match=words):
        RowChange.decode(data)


def test_messages_may_hold_more() -> None:
    """So that members can be added without a new version."""
    assert RowChange.decode(CHANGE.encode() | {"more": 1}) == CHANGE


# -- ticks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticks", "moment"),
    [
        (638465233453014192, datetime(2024, 3, 20, 9, 22, 25, 301419, tzinfo=UTC)),
        (636295833829493672, datetime(2017, 5, 5, 12, 16, 22, 949367, tzinfo=UTC)),
        (621355968000000000, datetime(1970, 1, 1, tzinfo=UTC)),
        (0, datetime(1, 1, 1, tzinfo=UTC)),
        (3155378975999999999, datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_ticks(ticks: int, moment: datetime) -> None:
    """100 ns since year 1 in UTC, as in Acumatica's own samples; back to the microsecond."""
    assert ticks_to_datetime(ticks) == moment
    assert datetime_to_ticks(moment) == ticks // 10 * 10


@pytest.mark.parametrize(
    ("wrapped", "where"),
    [
        ({"headers": {"Host": "x"}, "body": WHOLE}, "body"),
        ({"outputs": {"headers": {}, "body": WHOLE}}, "outputs.body"),
        ({"body": {"body": {"body": WHOLE}}}, "body.body.body"),
    ],
)
def test_a_notification_inside_of_something_else(wrapped: dict[str, Any], where: str) -> None:
    """As a flow's run history shows it: one problem that says where the notification is, instead of six."""
    assert problems(json.dumps(wrapped).encode()) == [
        f"The notification is inside of {where!r}: send (or save) that part alone."
    ]


@pytest.mark.parametrize("data", [{"body": {}}, {"body": {"body": {"body": {"body": WHOLE}}}}, {"body": [WHOLE]}])
def test_what_holds_no_notification_near_by_lacks_its_members(data: dict[str, Any]) -> None:
    assert problems(json.dumps(data).encode())[0].startswith("Inserted is missing")
