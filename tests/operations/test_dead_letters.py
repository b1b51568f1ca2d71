"""Running dead letters again, and discarding them; on real storage and the fakes, without a host."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from handlers.again import Refused, change_in
from handlers.again import again as changes_again
from handlers.apply import apply
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.storage import DEAD_LETTER_BLOBS
from handlers.operations import activity
from handlers.operations.dead_letters import chosen, discard, find, get
from handlers.services import Factory
from handlers.sync.change import PUSH, SNAPSHOT, RowChange, canonical
from handlers.sync.errors import Code
from local.fakes import Fault
from tests.bench import Bench
from tests.operations.steps import WHO, a_row, again, post, work

# -- resubmitting -------------------------------------------------------------------------------------------------------


def test_the_nulls_of_a_newer_push_in_a_snapshots_dead_letter_are_no_news(bench: Bench) -> None:
    """Else its attributes would be emptied."""
    bench.apply(bench.change(1, "one", Room="A"))
    denied = {"error": {"code": "ErrorAccessDenied", "message": "no"}}
    bench.graph.faults.add(Fault("status", "PATCH", status=403, body=denied))
    snapshot = replace(bench.change(2, "two", Room="B"), origin=SNAPSHOT)
    bench.apply(snapshot)
    bench.apply(bench.change(3, "three", Room=None))
    bench.apply(replace(snapshot, tried_for=49 * 3600.0, tried_at=bench.now))
    bench.graph.faults.clear()
    store = bench.factory.storage().dead_letters
    (listed,) = store.list(10)
    letter = store.get(listed.key)
    assert letter
    for change in changes_again(letter, change_in(letter), bench.factory.intake(), bench.now):
        bench.apply(change)
    (event,) = bench.graph.events("ann@example.com")
    assert (event["subject"], event["location"]["displayName"]) == ("three", "B")


@pytest.mark.parametrize("origin", [PUSH, SNAPSHOT])
def test_what_came_with_a_snapshot_still_does(bench: Bench, origin: str) -> None:
    """Its nulls are values, and its past events get no reminder."""
    change = replace(bench.change(1), origin=origin)
    letter = DeadLetter(change.link_key, code=Code.MAILBOX_MISSING, content=canonical(change.encode()))
    (new,) = changes_again(letter, change, bench.factory.intake(), bench.now)
    assert new.origin == origin


def test_a_mailbox_that_was_missing(bench: Bench) -> None:
    """Dead letter with the reason → mailbox there → resubmitted → event there, letter gone, all of it in the history."""
    bench.graph.remove_mailbox("ann@example.com")
    post(bench, a_row(bench))
    assert work(bench) == 1
    storage = bench.factory.storage()
    (letter,) = find(storage)
    assert "ann@example.com does not exist" in letter.facts.reason
    assert "resubmit the dead letter" in letter.facts.remedy
    assert (letter.row_key, letter.resubmitted) == ("OP1", None)
    bench.graph.add_mailbox("ann@example.com")
    bench.now += 60
    assert again(bench) == (1, [])
    (letter,) = find(storage)
    assert letter.resubmitted is not None
    assert letter.facts.resubmitted_by == WHO
    assert work(bench) == 1
    assert (find(storage), bench.subjects()) == ([], ["s"])
    bench.factory.services().activity.flush()
    first, second = activity.newest(storage)
    assert (first.state, first.by, first.progress, second.progress) == ("resubmitted", WHO, "done", "mended")
    for run in (first, second):
        states, total = activity.rows_of(run, storage)
        assert ([(row.state, row.mailbox) for row in states], total) == ([("in order", "ann@example.com")], 1)
    history = states[0].link.history if states[0].link else ()
    assert [(past.effect, past.outcome[:11]) for past in history] == [
        ("", "dead letter"),
        ("CreateEvent, WriteBack", "done"),
    ]


def test_a_row_that_the_mapping_leaves_out_says_so_and_what_could_not_be_shown_is_noted(
    bench: Bench, tmp_path: Path
) -> None:
    """A row in the inquiry without an event would look like a fault otherwise."""
    text = Path("ready-made/opportunity-meetings.toml").read_text("utf-8") + '\n[when]\nStatus = "Open"\n'
    (tmp_path / "opportunity-meetings.toml").write_text(text, "utf-8")
    bench.reconfigure(MAPPINGS_DIR=str(tmp_path))
    for status, state in (("Lost", "left out"), ("Open", "in order")):
        change = bench.change(1 if status == "Lost" else 2, "x" * 300, Status=status)
        bench.apply(change)
        shown = activity.row(change.link_key, bench.factory.storage())
        assert shown
        assert shown.state == state
    assert (shown.as_json() if shown else {}).get("notes") == ["The subject is longer than 255 characters and was cut."]


def test_one_that_fails_again_says_so(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    bench.now += 60
    again(bench)
    bench.now += 60
    work(bench)
    (letter,) = find(bench.factory.storage())
    assert (letter.facts.times, letter.resubmitted) == (2, None)


def test_an_older_change_never_overrides_a_newer_one(bench: Bench) -> None:
    """Resubmitted while the newer one is on its way, or after it was dealt with."""
    bench.apply(bench.change(1, "older", MeetingEnd="absent"))
    letter = get(find(bench.factory.storage())[0].facts.key, bench.factory.storage())
    assert letter
    assert letter.change
    whole = replace(letter.change, row={**(letter.change.row or {}), "MeetingEnd": "2036-12-01T10:00:00"})
    stored = DeadLetter(
        letter.facts.key, mapping=whole.mapping, timestamp=whole.timestamp, content=canonical(whole.encode())
    )
    bench.factory.storage().dead_letters.put(stored)
    assert again(bench)[0] == 1
    bench.apply(bench.change(2, "newer"))
    assert work(bench) == 1
    assert (bench.subjects(), find(bench.factory.storage())) == (["newer"], [])


def test_rows_are_mapped_anew(bench: Bench) -> None:
    """A row whose key column was missing gets an identity once the mapping finds it; its letter goes, since it has none."""
    post(bench, {name.replace("OpportunityID", "Deal"): value for name, value in a_row(bench).items()})
    storage, services = bench.factory.storage(), bench.factory.services()
    (letter,) = find(storage)
    assert again(bench) == (0, [f"{letter.facts.key[:16]}: {letter.facts.reason}"])
    mapping = services.mappings["opportunity-meetings"]
    fixed = mapping.model_copy(update={"key": ["Deal"], "link": None})
    fixed.__dict__.pop("columns", None)
    services.mappings["opportunity-meetings"] = fixed
    assert again(bench) == (1, [])
    assert find(storage) == []
    work(bench)
    assert (bench.subjects(), find(storage)) == (["s"], [])


def test_which_of_several_rows_with_one_key_is_meant_is_not_guessed(bench: Bench) -> None:
    post(bench, a_row(bench), a_row(bench, subject="another"))
    work(bench)
    assert again(bench) == (1, [])
    work(bench)
    assert (bench.subjects(), len(find(bench.factory.storage()))) == ([], 1)


def test_a_removal_is_run_again(bench: Bench) -> None:
    bench.apply(bench.change(1))
    error = {"error": {"code": "ErrorAccessDenied", "message": "no"}}
    bench.graph.faults.add(Fault(method="DELETE", status=400, body=error, times=1))
    bench.apply(replace(bench.change(2), row=None))
    assert len(find(bench.factory.storage())) == 1
    again(bench)
    work(bench)
    assert (bench.subjects(), find(bench.factory.storage())) == ([], [])


def test_what_is_no_row_cannot_be_run_again(bench: Bench) -> None:
    apply("not json", bench.factory)
    count, problems = again(bench)
    assert (count, "holds no row" in problems[0]) == (0, True)


def test_a_row_of_no_active_mapping_waits_for_it(bench: Bench) -> None:
    bench.apply(replace(bench.change(1), mapping="old"))
    assert "no active mapping 'old'" in again(bench)[1][0]


def test_a_letter_too_large_for_a_message_is_run_again(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1, Notes="ä" * 100_000))
    bench.graph.add_mailbox("ann@example.com")
    assert again(bench) == (1, [])
    work(bench)
    assert bench.subjects() == ["s"]


# -- discarding ---------------------------------------------------------------------------------------------------------


def test_discarding_is_recorded_and_final(bench: Bench) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))
    storage = bench.factory.storage()
    (letter,) = find(storage)
    discard(letter.facts.key, bench.factory.services(), WHO, "tested")
    assert find(storage) == []
    link, _ = storage.links.load(letter.facts.key)
    assert link
    assert (link.buried, link.last_error, link.history[-1].outcome) == (0, "", f"dead letter discarded by {WHO}: tested")
    (run,) = activity.newest(storage, which="people")
    assert (run.progress, run.by, run.why, run.link) == ("discarded", WHO, "tested", letter.facts.key)
    assert "MeetingEnd" in run.problems
    with pytest.raises(Refused, match="no such dead letter"):
        discard(letter.facts.key, bench.factory.services(), WHO, "again")
    bench.apply(bench.change(2))
    assert bench.subjects() == ["s"]


def test_a_letter_that_changed_meanwhile_is_not_discarded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))
    (letter,) = find(bench.factory.storage())
    person = bench.factory.services().activity.person
    with monkeypatch.context() as patch:

        def meanwhile(*arguments: Any, **options: Any) -> str:
            bench.apply(bench.change(2, "newest", MeetingEnd="absent"))
            return person(*arguments, **options)

        patch.setattr(bench.factory.services().activity, "person", meanwhile)
        with pytest.raises(Refused, match="failed anew"):
            discard(letter.facts.key, bench.factory.services(), WHO, "")
    assert len(find(bench.factory.storage())) == 1


# -- time ---------------------------------------------------------------------------------------------------------------


def test_a_pause_does_not_use_up_the_hours_of_trying(bench: Bench) -> None:
    """Days in a paused queue, before the first try or between two, count as two hours at most; trying counts in full."""
    change = RowChange("t", "m", ("A",), 1, {}, "n", 0.0)
    assert change.tried(5 * 86_400.0).tried_for == 0
    tried = change.tried(100.0).tried(160.0)
    assert tried.tried_for == 60
    assert tried.tried(160.0 + 5 * 86_400).tried_for == 60 + 7200
    bench.graph.faults.add(Fault(method="POST", path="/events$", status=503, times=1))
    old = replace(bench.change(1), first_sent=bench.now - 20 * 86_400)
    bench.apply(old)
    assert (find(bench.factory.storage()), bench.sent()) == ([], 1)


def test_trying_for_too_long_is_a_dead_letter(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", path="/events$", status=503, times=1))
    bench.apply(replace(bench.change(1), tried_for=48 * 3600.0, tried_at=bench.now - 60))
    (letter,) = find(bench.factory.storage())
    assert letter.facts.reason.startswith("Tried for 48 hours")


# -- what is whole ------------------------------------------------------------------------------------------------------


def test_a_resubmission_is_one_run_which_ends(bench: Bench) -> None:
    """However often the clock is looked at meanwhile."""
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    bench.graph.add_mailbox("ann@example.com")
    moments = count(bench.now + 60, 0.01)
    bench.factory.close()
    bench.factory = Factory(bench.factory._environ, lambda: next(moments))
    assert again(bench) == (1, [])
    work(bench)
    bench.factory.services().activity.flush()
    (run,) = activity.newest(bench.factory.storage(), which="people")
    runs = activity.newest(bench.factory.storage())
    assert [(each.state, each.progress) for each in runs] == [("resubmitted", "done")]
    assert activity.rows_of(run, bench.factory.storage())[1] == 1


def test_a_resubmission_that_is_under_way_is_not_made_twice(bench: Bench) -> None:
    """As where the button was pressed twice."""
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    bench.now += 60
    assert again(bench) == (1, [])
    bench.now += 59
    assert again(bench) == (0, ["OP1: it was resubmitted a moment ago, and is on its way."])
    assert (bench.sent(), len(activity.newest(bench.factory.storage(), which="people"))) == (1, 1)
    bench.now += 2  # it may have got lost
    assert again(bench) == (1, [])


def test_which_letters_are_meant(bench: Bench) -> None:
    """All, those of a code or a reason, those whose ids begin so; where nothing was said, none."""
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    apply("not json", bench.factory)
    storage = bench.factory.storage()
    ann, other = sorted(find(storage), key=lambda letter: letter.facts.code)
    both = {ann.facts.key, other.facts.key}
    assert set(chosen(storage, every=True)) == both
    assert chosen(storage, code=ann.facts.code, every=True) == [ann.facts.key]
    assert chosen(storage, reason=other.facts.reason) == [other.facts.key]
    assert chosen(storage, code=ann.facts.code, reason=other.facts.reason) == []
    assert chosen(storage, beginnings=[ann.facts.key[:8]]) == [ann.facts.key]
    assert set(chosen(storage, beginnings=[ann.facts.key[:8], other.facts.key])) == both
    assert chosen(storage) == []


def test_what_was_not_resubmitted_with_others_is_told_by_their_run(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    apply("not json", bench.factory)
    assert again(bench)[0] == 1
    (run,) = activity.newest(bench.factory.storage(), which="people")
    assert "holds no row" in run.problems


def test_a_letter_whose_content_has_expired_is_shown_and_discarded_and_stops_no_other(bench: Bench) -> None:
    """The content of a large one is a blob, which a lifecycle rule removes."""
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    large = replace(bench.change(1, Notes="ä" * 100_000), key=("OP2",))
    bench.apply(large)
    with ContainerClient.from_connection_string(bench.connection, DEAD_LETTER_BLOBS) as blobs:
        for blob in list(blobs.list_blobs()):
            blobs.delete_blob(blob.name)
    storage = bench.factory.storage()
    letter = get(large.link_key, storage)
    assert letter
    assert (letter.facts.content, letter.change, letter.row_key) == (None, None, "OP2")
    assert "does not exist" in letter.facts.reason
    bench.graph.add_mailbox("ann@example.com")
    sent, problems = again(bench)
    assert (sent, problems) == (
        1,
        ["OP2: what it held is not stored any more. Save the record in Acumatica again, or discard it."],
    )
    discard(large.link_key, bench.factory.services(), WHO, "too old")
    assert get(large.link_key, storage) is None
    link, _ = storage.links.load(large.link_key)
    assert link
    assert (link.buried, link.history[-1].outcome) == (0, f"dead letter discarded by {WHO}: too old")


def test_letters_are_found_by_their_code(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    apply("not json", bench.factory)
    storage = bench.factory.storage()
    assert {letter.facts.code for letter in find(storage)} == {Code.MAILBOX_MISSING, Code.MESSAGE_UNREADABLE}
    assert [letter.row_key for letter in find(storage, Code.MAILBOX_MISSING)] == ["OP1"]
    assert find(storage)[0].as_json()["code"] in {"mailbox-missing", "message-unreadable"}
    assert find(storage, "nothing") == []
