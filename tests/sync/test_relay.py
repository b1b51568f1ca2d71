"""What a receiver is told: when, in which form, and under which id."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sync.after import after
from handlers.sync.change import RowChange
from handlers.sync.effects import ClearRecord, Deliver, Done, Effect, Retry, WriteBack
from handlers.sync.errors import Code, Later, Permanent
from handlers.sync.link import EventLink, Record, merge, new_link
from handlers.sync.link_state import from_state, to_state
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.plan import intend, plan, settled, wanted
from handlers.sync.record import record_update
from handlers.sync.relay_answers import answer_id, relay_error
from handlers.sync.relay_message import body, headers
from handlers.sync.scope import Scope
from handlers.sync.sweep_plan import Equal, Skipped, Upsert, Verdict, judge
from local.fakes.receivers import Receiver

TEXT = """
query = "Q"
key = ["Key"]
time_zone = "UTC"
[when]
Stage = { not = "Lost" }
[relay]
url = "RELAY_CRM"
[relay.fields]
id = "{Key}"
amount = "{Amount}"
line = "{Key}: {Amount:0.00}"
"""
FIELDS = load_mapping("m", TEXT)
WHOLE = load_mapping("m", TEXT.partition("[relay.fields]")[0])
TICKS = 639_000_000_000_000_000
NOW = 1000.0


def change(number: int, amount: float | None, **columns: Any) -> RowChange:
    """The row as of a transaction; without an amount it is gone."""
    row = None if amount is None else {"Key": "A", "Amount": amount, "Stage": "New", **columns}
    return RowChange("p", "m", ("A",), TICKS + number, row, "n", 0.0)


def begun(link: EventLink, change: RowChange, mapping: Mapping = FIELDS) -> EventLink:
    """The link as it is saved before anything is sent."""
    link = merge(link, change, mapping)
    return intend(link, wanted(link, mapping, Scope()), mapping, NOW)


def deliveries(link: EventLink, mapping: Mapping = FIELDS) -> list[Deliver]:
    return [e for e in plan(link, wanted(link, mapping, Scope()), mapping, NOW) if isinstance(e, Deliver)]


def told(link: EventLink, mapping: Mapping = FIELDS) -> EventLink:
    """The link after its message has arrived."""
    (effect,) = deliveries(link, mapping)
    return after(link, effect, Done(), NOW).link


def new() -> EventLink:
    return new_link(change(1, 1), NOW)


def shown(effect: Deliver) -> tuple[str, Any, Any]:
    message = effect.message
    return message.type, message.before and message.before["amount"], message.after and message.after["amount"]


def test_the_life_of_a_row_is_three_messages() -> None:
    link, seen = new(), []
    for step in (change(1, 1), change(2, 2), change(3, None)):
        link = begun(link, step)
        seen += deliveries(link)
        link = told(link)
        assert settled(link, wanted(link, FIELDS, Scope()), FIELDS, NOW)
    assert [shown(effect) for effect in seen] == [
        ("row.inserted", None, 1),
        ("row.updated", 1, 2),
        ("row.removed", 2, None),
    ]
    assert len({effect.message.id for effect in seen}) == 3
    assert sorted(seen, key=lambda effect: effect.message.sequence) == seen


def test_a_repetition_is_the_same_message_to_the_byte() -> None:
    """After a failure, a crash (the saved link is all there is) and the same change once more."""
    link = begun(new(), change(1, 1))
    (first,) = deliveries(link)
    failed = after(link, first, Retry(Later(Code.NOT_ANSWERED, "no answer")), NOW).link
    again = begun(replace(from_state(to_state(failed)), claim=None).unconfirmed(), change(1, 1))
    (second,) = deliveries(again)
    assert FIELDS.relay
    assert (second, body(second.message, FIELDS.relay)) == (first, body(first.message, FIELDS.relay))


def test_what_may_not_have_arrived_is_followed_by_the_newest_state_alone() -> None:
    link = begun(new(), change(1, 1))
    (lost,) = deliveries(link)
    link = begun(link, change(3, 3))
    link = begun(link, change(2, 2))
    (effect,) = deliveries(link)
    assert shown(effect) == ("row.inserted", None, 3)
    assert effect.message.sequence > lost.message.sequence


def test_a_change_of_nothing_that_is_told_leaves_a_message_in_doubt_as_it_is() -> None:
    link = begun(new(), change(1, 1))
    assert deliveries(begun(link, change(2, 1, Stage="Won"))) == deliveries(link)


def test_a_row_that_goes_back_while_a_message_is_in_doubt_is_told_again() -> None:
    """The receiver may hold the state between."""
    link = told(begun(new(), change(1, 1)))
    link = begun(begun(link, change(2, 2)), change(3, 1))
    assert [shown(effect) for effect in deliveries(link)] == [("row.updated", 1, 1)]


def test_the_removal_of_a_row_that_may_have_arrived_is_told() -> None:
    link = begun(begun(new(), change(1, 1)), change(2, None))
    assert [shown(effect) for effect in deliveries(link)] == [("row.removed", None, None)]


def test_a_row_that_never_was_told_of_leaves_in_silence() -> None:
    link = begun(new(), change(1, None))
    assert (deliveries(link), settled(link, wanted(link, FIELDS, Scope()), FIELDS, NOW)) == ([], True)


def test_when_decides_like_a_removal() -> None:
    link = told(begun(new(), change(1, 1)))
    link = begun(link, change(2, 2, Stage="Lost"))
    assert [shown(effect) for effect in deliveries(link)] == [("row.removed", 1, None)]


def test_a_change_of_nothing_that_is_told_sends_nothing() -> None:
    link = told(begun(new(), change(1, 1)))
    assert deliveries(begun(link, change(2, 1, Stage="Won"))) == []


def test_types_that_are_left_out_count_as_told() -> None:
    mapping = load_mapping("m", TEXT.replace('url = "RELAY_CRM"', 'url = "RELAY_CRM"\ntypes = ["row.removed"]'))
    link = begun(begun(new(), change(1, 1), mapping), change(2, 2), mapping)
    assert deliveries(link, mapping) == []
    link = begun(link, change(3, None), mapping)
    assert [shown(effect) for effect in deliveries(link, mapping)] == [("row.removed", 2, None)]


def test_fields_keep_the_type_of_a_column_alone() -> None:
    (effect,) = deliveries(begun(new(), change(1, 2.5)))
    assert effect.message.after == {"id": "A", "amount": 2.5, "line": "A: 2.50"}


def test_padded_values_are_trimmed() -> None:
    for mapping in (FIELDS, WHOLE):
        (effect,) = deliveries(begun(new(), change(1, 2, Key="A  "), mapping), mapping)
        assert "A" in (effect.message.after or {}).values()


def test_without_fields_the_whole_row_is_told() -> None:
    (effect,) = deliveries(begun(new(), change(1, 2, Further={"a": None}), WHOLE), WHOLE)
    assert effect.message.after == {"Key": "A", "Amount": 2, "Stage": "New", "Further": {"a": None}}


def test_the_body_of_standard_webhooks() -> None:
    (effect,) = deliveries(begun(new(), change(1, 2)))
    assert FIELDS.relay
    data = {
        "company": "p",
        "mapping": "m",
        "key": ["A"],
        "sequence": 1001,
        "before": None,
        "after": {"id": "A", "amount": 2, "line": "A: 2.00"},
    }
    assert json.loads(body(effect.message, FIELDS.relay)) == {
        "type": "row.inserted",
        "timestamp": "2025-11-29T08:00:00Z",
        "data": data,
    }
    assert headers(effect.message, FIELDS.relay) == {
        "Content-Type": "application/json",
        "webhook-id": effect.message.id,
    }


def test_the_body_of_a_cloud_event() -> None:
    mapping = load_mapping("m", TEXT.replace('url = "RELAY_CRM"', 'url = "RELAY_CRM"\nformat = "cloudevents"'))
    (effect,) = deliveries(begun(new(), change(1, 2), mapping), mapping)
    assert mapping.relay
    event = json.loads(body(effect.message, mapping.relay))
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": effect.message.id,
        "source": "/acumatica/p/m",
        "type": "row.inserted",
        "subject": "A",
        "time": "2025-11-29T08:00:00Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000001001",
    }
    assert (data["before"], data["after"]["amount"]) == (None, 2)
    assert headers(effect.message, mapping.relay)["Content-Type"] == "application/cloudevents+json; charset=utf-8"


def test_a_binary_cloud_event_has_its_attributes_in_headers() -> None:
    """Percent-encoded, as the binding has it: what is encoded already is encoded once more."""
    text = TEXT.replace('url = "RELAY_CRM"', 'url = "RELAY_CRM"\nformat = "cloudevents-binary"')
    mapping = load_mapping("m", text)
    (effect,) = deliveries(begun(new(), change(1, 2), mapping), mapping)
    assert mapping.relay
    message = replace(effect.message, key=("Ä 1", "b/c"))
    assert headers(message, mapping.relay) == {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": message.id,
        "ce-source": "/acumatica/p/m",
        "ce-type": "row.inserted",
        "ce-subject": "%25C3%2584%25201/b%252Fc",
        "ce-time": "2025-11-29T08:00:00Z",
        "ce-sequence": "00000000000000001001",
        "webhook-id": message.id,
    }
    assert json.loads(body(message, mapping.relay))["after"]["amount"] == 2


@pytest.mark.parametrize(
    ("status", "answer_headers", "code", "delay"),
    [
        (429, {"Retry-After": "7"}, Code.RELAY_THROTTLED, 7.0),
        (500, {}, Code.RELAY_UNAVAILABLE, 0.0),
        (503, {"retry-after": "60"}, Code.RELAY_UNAVAILABLE, 60.0),
        (408, {}, Code.RELAY_UNAVAILABLE, 0.0),
    ],
)
def test_answers_that_mean_later(status: int, answer_headers: dict[str, str], code: Code, delay: float) -> None:
    error = relay_error(status, answer_headers, b"", "RELAY_CRM")
    assert isinstance(error, Later)
    assert (error.code, error.delay) == (code, delay)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (410, Code.RELAY_GONE, "new address"),
        (301, Code.RELAY_REFUSED, "where it leads"),
        (401, Code.RELAY_REFUSED, "auth"),
        (404, Code.RELAY_REFUSED, "RELAY_CRM"),
    ],
)
def test_answers_that_want_a_person(status: int, code: Code, remedy: str) -> None:
    error = relay_error(status, {"Location": "https://secret.example.com/?sig=1"}, b"", "RELAY_CRM")
    assert isinstance(error, Permanent)
    assert (error.code, remedy in error.remedy, "secret.example" in f"{error.reason}{error.remedy}") == (code, True, False)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"id": "x1"}', "x1"),
        (b'{"id": 7}', "7"),
        (b'{"id": true}', ""),
        (b'{"id": "a\\ud800"}', "a?"),
        (b"[]", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_the_id_in_an_answer(content: bytes, found: str) -> None:
    assert answer_id(content) == found


def test_ids_are_of_plain_letters() -> None:
    """They go into a header, and in front of a dot in what is signed."""
    (effect,) = deliveries(begun(new(), change(1, 2)))
    assert effect.message.id.replace("-", "").isalnum()


AMOUNTS = st.lists(st.sampled_from([None, 1, 2]), min_size=5, max_size=5)
STEPS = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["done", "no answer", "away"])), max_size=12)


@given(AMOUNTS, STEPS)
def test_a_receiver_that_keeps_the_rules_ends_with_the_newest_state(
    amounts: list[float | None], steps: list[tuple[int, str]]
) -> None:
    """Changes come in any order and more than once, messages and answers get lost, late copies of all come at the end."""
    assert FIELDS.relay
    changes = {number: change(number, amount) for number, amount in enumerate(amounts, 1)}
    link, receiver, sent = new(), Receiver(), dict[str, bytes]()
    for number, outcome in [*steps, *((number, "done") for number in changes)]:
        link = begun(link, changes[number])
        for effect in deliveries(link):
            text = body(effect.message, FIELDS.relay)
            assert sent.setdefault(effect.message.id, text) == text
            if outcome != "away":
                receiver.take(effect.message.id, json.loads(text))
            if outcome == "done":
                link = after(link, effect, Done(), NOW).link
    for late, text in enumerate(sent.values()):  # under other ids, so that the sequence alone decides
        receiver.take(f"late-{late}", json.loads(text))
    told = receiver.rows.get(("A",))
    assert (told and told["amount"]) == amounts[-1]
    assert settled(link, wanted(link, FIELDS, Scope()), FIELDS, NOW)


# -- the record --------------------------------------------------------------------------------------------------------

NOTE = "6b0f6a52-5d0e-4f1e-9c2a-0a1b2c3d4e5f"
WRITING = load_mapping(
    "m",
    TEXT
    + """
[write_back]
endpoint = "Default/24.200.001"
entity = "Opportunity"
id = "{NoteID}"
[write_back.fields]
"Attributes.FLOW" = "{answer.id}"
"Attributes.WHY" = "{reason}"
""",
)


def planned(link: EventLink) -> list[Effect]:
    return plan(link, wanted(link, WRITING, Scope()), WRITING, NOW)


def answered(answer: str) -> EventLink:
    """The link of a row whose message was answered."""
    link = begun(new(), change(1, 1, NoteID=NOTE), WRITING)
    return after(link, planned(link)[0], Done(answer), NOW).link


def test_the_id_in_the_answer_goes_into_the_record_once() -> None:
    link = answered("made-1")
    assert planned(link) == [WriteBack(NOTE, Record("made-1", ""), None)]
    effect = WriteBack(NOTE, Record("made-1", ""), None)
    written = record_update(WRITING, NOTE, effect.results).body["Attributes"]
    assert [field["Value"]["value"] for field in written] == ["made-1", ""]
    assert planned(after(link, effect, Done(), NOW).link) == []


def test_without_an_id_in_the_answer_nothing_is_written() -> None:
    assert planned(answered("")) == []


def test_an_answer_without_an_id_leaves_the_known_one() -> None:
    link = begun(answered("made-1"), change(2, 2, NoteID=NOTE), WRITING)
    assert after(link, planned(link)[0], Done(""), NOW).link.delivery.answer == "made-1"


def test_a_failure_that_was_told_the_record_is_taken_back() -> None:
    link = replace(answered(""), reported="The receiver was away.")
    assert planned(link) == [ClearRecord(NOTE, everything=False)]


# -- sweeps ------------------------------------------------------------------------------------------------------------

ALL = load_mapping("m", TEXT + '[backfill]\nrows = "all"\n')


def judged(link: EventLink | None, amount: float, mapping: Mapping = FIELDS) -> Verdict:
    row = {"Key": "A", "Amount": amount, "Stage": "New"}
    return judge(link, row, mapping, Scope(), sigma=TICKS + 10, now=NOW, times={})


def test_a_sweep_tells_of_rows_that_never_came_where_it_is_asked_to() -> None:
    assert judged(None, 1) == Skipped("not-asked-for")
    assert isinstance(judged(None, 1, ALL), Upsert)


def test_a_sweep_tells_of_what_differs_and_leaves_what_is_told() -> None:
    link = told(begun(new(), change(1, 1)))
    assert judged(link, 1) == Equal()
    assert isinstance(judged(link, 2), Upsert)
