"""Event links: merging in any order, and what is remembered of events, claims and strays."""

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.sync.change import RowChange, canonical, digest
from handlers.sync.link import Claim, Column, Entry, EventLink, InOutlook, Record, Version, merge, new_link
from handlers.sync.link_state import STATE_VERSION, from_state, to_state
from handlers.sync.mapping_file import load_mapping
from handlers.sync.template import MissingColumns

LAWS = settings(derandomize=True, deadline=None, max_examples=200)
MAPPING = load_mapping(
    "m",
    """
query = "Q"
key = ["Key"]
mailbox = "{Owner}"
time_zone = "UTC"
attributes = ["Room", "Topic"]
[event]
subject = "{Topic}"
start = "{Start}"
end = "{Start}"
location = "{Room}"
""",
)


def upsert(timestamp: int, **columns: Any) -> RowChange:
    row = {"Key": "A ", "Owner": "a@x.com", "Start": "2026-01-01", "Room": None, "Topic": None} | columns
    return RowChange("P", "m", ("A",), timestamp, row, "n", 0.0)


def removal(timestamp: int) -> RowChange:
    return RowChange("P", "m", ("A",), timestamp, None, "n", 0.0)


def merged(*changes: RowChange, link: EventLink | None = None) -> EventLink:
    link = link or new_link(changes[0], 0.0)
    for change in changes:
        link = merge(link, change, MAPPING)
    return link


# -- history ------------------------------------------------------------------------------------------------------------


def history_of(link: EventLink) -> list[tuple[float, str, str, int]]:
    return [(past.at, past.effect, past.outcome, past.times) for past in link.history]


def test_the_last_changes_are_remembered() -> None:
    link = new_link(upsert(1), 0.0)
    for n in range(20):
        link = link.noted(float(n), upsert(n), "UpdateEvent", "done")
    assert history_of(link) == [(float(n), "UpdateEvent", "done", 1) for n in range(12, 20)]


def test_the_same_end_of_the_same_change_is_counted() -> None:
    link = new_link(upsert(1), 0.0)
    for n in range(30):
        link = link.noted(float(n), upsert(1), "", "Graph answered 503")
    link = link.noted(40.0, upsert(1), "CreateEvent", "done").noted(50.0, upsert(2), "CreateEvent", "done")
    assert history_of(link) == [
        (29.0, "", "Graph answered 503", 30),
        (40.0, "CreateEvent", "done", 1),
        (50.0, "CreateEvent", "done", 1),
    ]


def test_a_failure_and_its_dead_letter_are_one_entry() -> None:
    link = new_link(upsert(1), 0.0).noted(1.0, upsert(1), "CreateEvent", "No.").noted(2.0, upsert(1), "", "dead letter: No.")
    assert history_of(link) == [(2.0, "CreateEvent", "dead letter: No.", 1)]


def test_long_outcomes_are_cut() -> None:
    (past,) = new_link(upsert(1), 0.0).noted(1.0, upsert(1), "", "x" * 10_000).history
    assert len(past.outcome) == 300


def test_a_holder_takes_over_the_history_of_others() -> None:
    link = merged(upsert(1))
    newer = link.noted(1.0, upsert(2), "", "left to the worker that has the row")
    assert link.caught_up(newer).history == newer.history


# -- merge, by example --------------------------------------------------------------------------------------------------


def test_a_new_link_knows_its_key_and_nothing_else() -> None:
    """It is found again by every change of its row."""
    change = upsert(1)
    link = new_link(change, 0.0)
    assert link == EventLink("P", "m", ("A",))
    assert link.key == change.link_key
    assert (link.present, link.row, link.live, link.entries) == (False, {}, None, ())


def test_the_first_row() -> None:
    """Mapped columns with their TimeStamp, as they came; attributes without a value are not known."""
    link = merged(upsert(5, Topic="t", Unmapped=1))
    assert link.present
    assert link.row == {"Key": "A ", "Owner": "a@x.com", "Start": "2026-01-01", "Topic": "t", "Room": None}
    assert {column.timestamp for column in link.columns.values() if column.value} == {5}
    assert link.version is not None
    assert link.version[:2] == (5, True)


@pytest.mark.parametrize(
    ("changes", "owner", "topic"),
    [
        ([upsert(1, Owner="a"), upsert(2, Owner="b")], "b", None),
        ([upsert(1, Owner="a", Topic="t"), upsert(2, Owner=None)], None, "t"),
        ([upsert(1, Topic="t"), upsert(2, Topic="")], "a@x.com", ""),
        ([upsert(1, Topic="t"), upsert(2), upsert(3, Topic="u")], "a@x.com", "u"),
        ([upsert(1, Owner="x", Topic="x"), upsert(2, Owner="y"), upsert(3, Owner="x")], "x", "x"),
        ([upsert(2, Topic="t"), removal(1)], "a@x.com", "t"),
        ([upsert(1, Topic="t"), removal(2), upsert(3)], "a@x.com", "t"),
        ([upsert(1, Topic="t"), removal(2), upsert(3, Topic="u")], "a@x.com", "u"),
        ([upsert(1, Topic="t"), removal(2), upsert(2, Owner="b")], "b", "t"),
        ([removal(1), upsert(1, Topic="t")], "a@x.com", "t"),
        ([upsert(1, Topic=False), upsert(2)], "a@x.com", False),
        ([upsert(1, Topic=0), upsert(2)], "a@x.com", 0),
    ],
)
def test_what_stays_in_every_order(changes: list[RowChange], owner: Any, topic: Any) -> None:
    """The newest row decides; of attributes the newest that is not null; a split pair is an update."""
    for order in itertools.permutations(changes):
        link = merged(*order)
        assert link.present
        assert (link.row["Owner"], link.row.get("Topic")) == (owner, topic)


@pytest.mark.parametrize(
    ("changes", "attributes"),
    [
        ([removal(1)], {}),
        ([upsert(1), removal(2)], {}),
        ([upsert(1, Topic="t", Room="r"), removal(2)], {"Topic": "t", "Room": "r"}),
        ([upsert(1), removal(2), removal(2), removal(3)], {}),
        ([upsert(1), removal(1), removal(2), upsert(2), removal(3)], {}),
    ],
)
def test_rows_that_are_gone_in_every_order(changes: list[RowChange], attributes: dict[str, Any]) -> None:
    """A tombstone forgets all but the attributes, which Acumatica may not send again."""
    for order in itertools.permutations(changes):
        link = merged(*order)
        assert not link.present
        assert {name: value for name, value in link.row.items() if value is not None} == attributes


def test_late_news_of_an_attribute_count_alone() -> None:
    """An older row changes nothing but an attribute that was unknown, or known from before."""
    link = merged(upsert(3, Owner="c", Topic="t3"))
    later = merge(link, upsert(2, Owner="b", Topic="t2", Room="r2"), MAPPING)
    assert later.columns == link.columns | {"Room": Column(2, "r2")}
    assert later.version == link.version


def test_what_is_known_compares_equal() -> None:
    """So that a duplicate or the echo of our own write costs no save."""
    link = merged(upsert(1, Topic="t"), upsert(2))
    for change in [upsert(2), upsert(1, Topic="t"), upsert(1), removal(1)]:
        assert merge(link, change, MAPPING) == link


def test_an_echo_is_newer_and_says_nothing_else() -> None:
    """Its TimeStamp is remembered, or an older change could still win."""
    link = merged(upsert(1))
    echo = merge(link, upsert(2, EventId="AAMk"), MAPPING)
    assert echo != link
    assert echo.row == link.row


def test_a_row_without_mapped_columns_is_no_row() -> None:
    """The inquiry and the mapping do not fit each other."""
    change = replace(upsert(1), row={"Key": "A"})
    with pytest.raises(MissingColumns, match="no column Owner, Topic, Start, Room"):
        merge(new_link(change, 0.0), change, MAPPING)


def test_columns_are_found_by_their_folded_names() -> None:
    """And remembered under the mapping's names, whatever the spelling of the caption."""
    change = replace(upsert(1), row={"KEY": "A", "own er": "o", "start_": "s", "room": "r", "Topic": "t"})
    assert merged(change).row == {"Key": "A", "Owner": "o", "Start": "s", "Room": "r", "Topic": "t"}


def test_merging_keeps_everything_else() -> None:
    """Entries, claim, write-back and errors are not the row's."""
    link = replace(merged(upsert(1)), **vars_of_state())
    later = merge(link, removal(2), MAPPING)
    assert {name: getattr(later, name) for name in vars_of_state()} == vars_of_state()


def vars_of_state() -> dict[str, Any]:
    return {
        "entries": (Entry("a@x.com", 1, "id", "f"), Entry("b@x.com", 2, leaving=True)),
        "generation": 2,
        "written_back": "id",
        "claim": Claim("t", 5.5),
        "last_effect": "CreateEvent",
        "last_error": "why",
        "repairs": 1,
        "buried": 4,
        "buried_row": True,
        "in_outlook": InOutlook("moved", "2026-01-02T09:00:00", "2026-01-02T10:00:00", ""),
        "outlook_told": InOutlook("unchanged", "", "", "b@x.com accepted"),
    }


# -- merge, by law ------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from([None, "", "a", "b", "😀", 0, 1, False, 1.5])


@st.composite
def histories(draw: st.DrawFn) -> list[RowChange]:
    """Changes of one row: at most one upsert and one removal per TimeStamp, since a transaction has no more."""
    changes: list[RowChange] = []
    for timestamp in draw(st.lists(st.integers(1, 9), unique=True, max_size=5)):
        if draw(st.booleans()):
            columns = {name: draw(VALUES) for name in ("Owner", "Start", "Room", "Topic")}
            changes.append(upsert(timestamp, **columns))
        if not changes or changes[-1].timestamp != timestamp or draw(st.booleans()):
            changes.append(removal(timestamp))
    return changes


def told(changes: list[RowChange]) -> tuple[bool, dict[str, Any]]:
    """What a history comes to, told without merging: presence, and the newest value of each column."""
    ordered = sorted(changes, key=lambda change: (change.timestamp, change.row is not None))
    row: dict[str, Any] = {}
    if ordered and ordered[-1].row is not None:
        row = {name: ordered[-1].row[name] for name in ("Key", "Owner", "Start")}
    for change in ordered:
        for name in MAPPING.attributes:
            if change.row is not None:
                row[name] = row.get(name) if change.row[name] is None else change.row[name]
    return bool(ordered) and ordered[-1].row is not None, row


@LAWS
@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(history: list[RowChange], chance: Any) -> None:
    """Any permutation with any repetitions comes to the same link, which is what the history says."""
    start = EventLink("P", "m", ("A",))
    expected = merged(*history, link=start)
    shuffled = history + chance.choices(history, k=chance.randint(0, 4)) if history else []
    chance.shuffle(shuffled)
    assert merged(*shuffled, link=start) == expected
    assert (expected.present, expected.row) == told(history)


@LAWS
@given(histories())
def test_any_two_changes_can_be_swapped(history: list[RowChange]) -> None:
    """Whatever was merged before."""
    for at in range(len(history) - 1):
        before, one, two = history[:at], history[at], history[at + 1]
        link = merged(*before, link=EventLink("P", "m", ("A",)))
        assert merged(one, two, link=link) == merged(two, one, link=link)


@LAWS
@given(histories())
def test_merging_again_changes_nothing(history: list[RowChange]) -> None:
    """Each change, once it is in, is in."""
    link = merged(*history, link=EventLink("P", "m", ("A",)))
    for change in history:
        assert merge(link, change, MAPPING) == link


@LAWS
@given(histories(), st.data())
def test_a_save_between_any_two_changes_loses_nothing(history: list[RowChange], data: st.DataObject) -> None:
    """The state as JSON is as good as the link itself."""
    at = data.draw(st.integers(0, len(history)))
    link = merged(*history[:at], link=EventLink("P", "m", ("A",)))
    stored = from_state(json.loads(canonical(to_state(link))))
    assert stored == link
    assert merged(*history[at:], link=stored) == merged(*history, link=EventLink("P", "m", ("A",)))


# -- entries ------------------------------------------------------------------------------------------------------------

ONE = Entry("a@x.com", 1, "id1", "f1")
TWO = Entry("b@x.com", 2, None, leaving=True)
LINK = EventLink("P", "m", ("A",), entries=(ONE, TWO), generation=2)


def test_the_live_event_is_the_one_that_does_not_leave() -> None:
    """There may be none."""
    assert LINK.live == ONE
    assert replace(LINK, entries=(TWO, ONE)).live == ONE
    assert replace(LINK, entries=(TWO,)).live is None


def test_entries_are_replaced_and_forgotten_by_generation() -> None:
    """Others stay, in their places."""
    assert LINK.with_entry(replace(ONE, id="x")).entries == (replace(ONE, id="x"), TWO)
    assert LINK.with_entry(Entry("c", 3)).entries == (ONE, TWO)
    assert LINK.without_entry(replace(ONE, id="x")).entries == (TWO,)
    assert LINK.without_entry(Entry("c", 3)) == LINK


def test_new_entries_take_the_next_generation() -> None:
    """Also after the newest one was forgotten: a generation is never used twice."""
    link = LINK.without_entry(TWO).with_new_entry("c@x.com")
    assert (link.generation, link.entries) == (3, (ONE, Entry("c@x.com", 3)))
    assert link.live == ONE


def test_a_dead_letter_is_outlived_by_a_state_that_is_as_new() -> None:
    """A removal of the same TimeStamp is the other half of one update: it does not say what became of the row."""

    def outlived(timestamp: int, *, present: bool, row: bool) -> bool:
        return replace(LINK, version=Version(timestamp, present, ""), buried=5, buried_row=row).outlived

    assert outlived(5, present=True, row=True)
    assert outlived(6, present=False, row=True)
    assert outlived(5, present=False, row=False)
    assert not outlived(5, present=False, row=True)
    assert not outlived(4, present=True, row=False)
    assert not replace(LINK, version=Version(6, present=True, row_hash="")).outlived


def test_of_two_dead_letters_a_holder_remembers_the_newest() -> None:
    mine, theirs = replace(LINK, buried=5, buried_row=True), replace(LINK, buried=5)
    assert mine.caught_up(theirs).buried_row
    assert theirs.caught_up(mine).buried_row
    newer = mine.caught_up(replace(theirs, buried=6))
    assert (newer.buried, newer.buried_row) == (6, False)


def test_stamps_hold_key_and_generation() -> None:
    """Plain lower-case letters, digits and a dash: look-ups compare without regard to case."""
    assert LINK.stamp(7) == digest(["P", "m", ["A"]]) + "-7"
    assert LINK.stamp(7) == LINK.stamp(7).lower()


# -- unconfirmed, and strays of a lost claim ----------------------------------------------------------------------------


def test_unconfirmed_means_that_nothing_is_trusted() -> None:
    """No fingerprint, no write-back, no claim; what may have been posted is unsure; ids stay."""
    link = replace(LINK, written_back="id1", claim=Claim("t", 1.0), last_error="e", repairs=4)
    assert link.unconfirmed() == replace(
        LINK,
        entries=(Entry("a@x.com", 1, "id1", None), Entry("b@x.com", 2, None, None, leaving=True, unsure=True)),
        last_error="e",
        repairs=4,
    )
    assert link.unconfirmed().unconfirmed() == link.unconfirmed()


NOTHING = EventLink("P", "m", ("A",))


def test_a_worker_that_lost_its_claim_adds_its_events_as_leaving() -> None:
    """The holder's claim stays, nothing is trusted, and the count tells the holder."""
    mine = replace(LINK, entries=(replace(ONE, id="other"), Entry("c@x.com", 3, "id3", "f3")))
    link = replace(LINK, claim=Claim("theirs", 9.0), written_back="id1").with_strays(mine)
    assert link == replace(
        LINK,
        entries=(
            Entry("a@x.com", 1, "id1", None),
            Entry("b@x.com", 2, None, None, leaving=True, unsure=True),
            Entry("c@x.com", 3, "id3", None, leaving=True),
        ),
        generation=3,
        claim=Claim("theirs", 9.0),
        repairs=1,
    )


def test_strays_never_let_a_generation_be_used_twice() -> None:
    """A new entry after it has a stamp of its own; with the leaving one's it would be deleted as well."""
    link = LINK.with_strays(replace(LINK, entries=(Entry("c@x.com", 3),))).with_new_entry("d@x.com")
    assert [entry.generation for entry in link.entries] == [1, 2, 3, 4]


def test_strays_without_news_are_counted_nevertheless() -> None:
    """The other worker may have changed what an event holds."""
    assert LINK.with_strays(NOTHING).repairs == 1
    assert EventLink("P", "m", ("A",)).with_strays(NOTHING) == EventLink("P", "m", ("A",), repairs=1)


def test_a_holder_takes_over_what_came_in_meanwhile() -> None:
    """Row content of others; its own events, write-back and claim."""
    saved = replace(merged(upsert(1)), entries=(Entry("a@x.com", 1),), generation=1, claim=Claim("mine", 9.0))
    mine = replace(saved, entries=(ONE,), written_back="id1")
    newer = merge(saved, upsert(2, Owner="b"), MAPPING)
    assert mine.caught_up(newer) == replace(mine, version=newer.version, columns=newer.columns)


def test_a_holder_takes_over_stray_events_and_trusts_nothing_of_its_own() -> None:
    """What it has removed itself is leaving once more: the event may have come after its removal."""
    saved = replace(LINK, claim=Claim("mine", 9.0))
    mine = replace(saved.without_entry(TWO), written_back="id1")
    newer = saved.with_strays(replace(LINK, entries=(Entry("c@x.com", 3, "id3"),)))
    assert mine.caught_up(newer) == replace(
        saved,
        entries=(
            Entry("a@x.com", 1, "id1", None),
            Entry("b@x.com", 2, None, None, leaving=True, unsure=True),
            Entry("c@x.com", 3, "id3", None, leaving=True),
        ),
        generation=3,
        repairs=1,
    )


def test_an_event_that_was_replaced_meanwhile_leaves_after_strays() -> None:
    """It was the live one when the strays were saved; the holder's new one stays the only live one."""
    saved = replace(LINK, claim=Claim("mine", 9.0))
    mine = saved.without_entry(ONE).with_new_entry("a@x.com")
    link = mine.caught_up(saved.with_strays(NOTHING))
    assert [(entry.generation, entry.leaving) for entry in link.entries] == [(2, True), (3, False), (1, True)]
    assert link.claim == Claim("mine", 9.0)


def test_catching_up_never_lists_a_generation_twice() -> None:
    """Both workers had taken the same next one, neither had saved it, so neither has posted it."""
    saved = replace(LINK, claim=Claim("mine", 9.0))
    mine = saved.without_entry(TWO).with_new_entry("a@x.com")
    newer = saved.with_strays(replace(LINK, entries=(Entry("c@x.com", 3),)))
    link = mine.caught_up(newer)
    assert sorted((entry.generation, entry.leaving) for entry in link.entries) == [(1, False), (2, True), (3, False)]
    assert link.with_new_entry("d").generation == 4


def test_the_newest_version_is_told_as_it_was_sent() -> None:
    """An attribute that came earlier was null in it: run again as of it, it must not outdo one that came between."""
    link = merged(upsert(1, Room="r1"), upsert(3, Room=None))
    again = merged(replace(upsert(3), row=link.newest), upsert(2, Room="r2"), link=link)
    assert (link.row["Room"], link.newest["Room"], again.row["Room"]) == ("r1", None, "r2")


def test_a_late_write_back_of_a_worker_that_lost_its_claim_is_remembered() -> None:
    """By whoever has the row by then, and by the holder when it catches up."""
    mine = replace(LINK, record_late_until=900.0, record_late=Record("id0", ""))
    saved = replace(LINK, claim=Claim("theirs", 9.0))
    for link in (saved.with_strays(mine), saved.caught_up(saved.with_strays(mine))):
        assert (link.record_late_until, link.record_late) == (900.0, Record("id0", ""))
    both = replace(saved, record_late_until=950.0, record_late=Record("id1", "")).with_strays(mine)
    assert (both.record_late_until, both.record_late) == (950.0, None)


def test_a_claim_whose_message_was_buried_meanwhile_is_not_backed_any_more() -> None:
    """Else what came in after that would be left to it, and lost if its worker dies."""
    saved = replace(LINK, claim=Claim("mine", 9.0))
    assert saved.caught_up(replace(saved, claim=Claim("mine", 9.0, backed=False))).claim == Claim("mine", 9.0, backed=False)
    assert saved.caught_up(saved).claim == saved.claim


# -- state --------------------------------------------------------------------------------------------------------------


def test_states_round_trip_through_json() -> None:
    """Every field, exactly: TimeStamps above 2^53, fractions of seconds, any Unicode, nested values."""
    link = EventLink(
        company="P",
        mapping="m/\\#?😀",
        row_key=("A", "", "Ä\x00"),
        version=Version(639055764123456781, present=True, row_hash="h"),
        columns={"a b": Column(639055764123456783, {"x": [1, 1.5, None, True]}), "😀": Column(1, None)},
        **vars_of_state(),
    )
    stored = from_state(json.loads(canonical(to_state(link))))
    assert stored == link
    assert stored.key == link.key
    assert isinstance(stored.version, Version)
    assert isinstance(stored.columns["😀"], Column)


def test_an_empty_state_round_trips() -> None:
    """None stays None."""
    link = EventLink("P", "m", ("A",))
    assert from_state(json.loads(canonical(to_state(link)))) == link


def test_states_of_a_newer_version_are_refused() -> None:
    """Rather than read wrongly."""
    state = to_state(LINK)
    assert state["v"] == STATE_VERSION
    with pytest.raises(ValueError, match="newer version"):
        from_state(state | {"v": STATE_VERSION + 1})
