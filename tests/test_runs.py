"""Looking at rows, running dead letters again, discarding them; on real storage and the fakes, without a host."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy
from handlers.clients.runs import newest

from handlers import runs
from handlers.apply import apply
from handlers.clients.activity_reading import newest
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.queue import QUEUE
from handlers.receive import receive
from handlers.runs import Refused, discard, letters, main, resubmit, rows_of, search
from handlers.sync.change import RowChange, canonical
from local.fakes import Fault
from tests.bench import Bench

WHO = "Erin (test)"


def work(bench: Bench) -> int:
    """Apply what can be seen in the queue; returns how many messages."""
    count = 0
    with (
        QueueClient.from_connection_string(bench.connection, QUEUE, message_decode_policy=TextBase64DecodePolicy()) as queue,
        suppress(ResourceNotFoundError),
    ):
        for message in queue.receive_messages(visibility_timeout=300):
            apply(message.content, bench.factory)
            queue.delete_message(message)
            count += 1
    return count


def again(bench: Bench) -> tuple[int, list[str]]:
    return resubmit([letter.id for letter in letters(bench.factory.storage())], bench.factory.services(), WHO)


def post(bench: Bench, *rows: dict[str, Any], number: int = 1, **envelope: Any) -> Any:
    body = {
        "Inserted": list(rows),
        "Deleted": [],
        "Query": "Calendar - Opportunity Meetings",
        "CompanyId": "Production",
        "Id": f"n{number}",
        "TimeStamp": bench.first + number,
        **envelope,
    }
    return receive(json.dumps(body).encode(), bench.factory)


def a_row(bench: Bench, **columns: Any) -> dict[str, Any]:
    return dict(bench.change(0, **columns).row or {})


# -- resubmitting -------------------------------------------------------------------------------------------------------


def test_a_mailbox_that_was_missing(bench: Bench) -> None:
    """Dead letter with the reason → mailbox there → resubmitted → event there, letter gone, all of it in the history."""
    bench.graph.remove_mailbox("ann@example.com")
    post(bench, a_row(bench))
    assert work(bench) == 1
    storage = bench.factory.storage()
    (letter,) = letters(storage)
    assert "ann@example.com does not exist" in letter.letter.reason
    assert "resubmit the dead letter" in letter.letter.remedy
    assert (letter.row_key, letter.resubmitted) == ("OP1", None)
    bench.graph.add_mailbox("ann@example.com")
    bench.now += 60
    assert again(bench) == (1, [])
    (letter,) = letters(storage)
    assert letter.resubmitted is not None
    assert letter.letter.resubmitted_by == WHO
    assert work(bench) == 1
    assert (letters(storage), bench.subjects()) == ([], ["s"])
    bench.factory.services().activity.flush()
    first, second = newest(storage)
    assert (first.state, first.by, first.progress, second.progress) == ("resubmitted", WHO, "done", "failed")
    for run in (first, second):
        states, total = rows_of(run, storage)
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
        shown = runs.row(change.link_key, bench.factory.storage())
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
    (letter,) = letters(bench.factory.storage())
    assert (letter.letter.times, letter.resubmitted) == (2, None)


def test_an_older_change_never_overrides_a_newer_one(bench: Bench) -> None:
    """Resubmitted while the newer one is on its way, or after it was dealt with."""
    bench.apply(bench.change(1, "older", MeetingEnd="absent"))
    letter = runs.letter(letters(bench.factory.storage())[0].id, bench.factory.storage())
    assert letter
    assert letter.change
    whole = replace(letter.change, row={**(letter.change.row or {}), "MeetingEnd": "2026-12-01T10:00:00"})
    stored = DeadLetter(letter.id, mapping=whole.mapping, timestamp=whole.timestamp, content=canonical(whole.encode()))
    bench.factory.storage().dead_letters.put(stored)
    assert again(bench)[0] == 1
    bench.apply(bench.change(2, "newer"))
    assert work(bench) == 1
    assert (bench.subjects(), letters(bench.factory.storage())) == (["newer"], [])


def test_rows_are_mapped_anew(bench: Bench) -> None:
    """A row whose key column was missing gets an identity once the mapping finds it; its letter goes, since it has none."""
    post(bench, {name.replace("OpportunityID", "Deal"): value for name, value in a_row(bench).items()})
    storage, services = bench.factory.storage(), bench.factory.services()
    (letter,) = letters(storage)
    assert again(bench) == (0, [f"{letter.id[:16]}: {letter.letter.reason}"])
    mapping = services.mappings["opportunity-meetings"]
    fixed = mapping.model_copy(update={"key": ["Deal"]})
    fixed.__dict__.pop("columns", None)
    services.mappings["opportunity-meetings"] = fixed
    assert again(bench) == (1, [])
    assert letters(storage) == []
    work(bench)
    assert (bench.subjects(), letters(storage)) == (["s"], [])


def test_which_of_several_rows_with_one_key_is_meant_is_not_guessed(bench: Bench) -> None:
    post(bench, a_row(bench), a_row(bench, subject="another"))
    work(bench)
    assert again(bench) == (1, [])
    work(bench)
    assert (bench.subjects(), len(letters(bench.factory.storage()))) == ([], 1)


def test_a_removal_is_run_again(bench: Bench) -> None:
    bench.apply(bench.change(1))
    error = {"error": {"code": "ErrorAccessDenied", "message": "no"}}
    bench.graph.faults.add(Fault(method="DELETE", status=400, body=error, times=1))
    bench.apply(replace(bench.change(2), row=None))
    assert len(letters(bench.factory.storage())) == 1
    again(bench)
    work(bench)
    assert (bench.subjects(), letters(bench.factory.storage())) == ([], [])


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
    (letter,) = letters(storage)
    discard(letter.id, bench.factory.services(), WHO, "tested")
    assert letters(storage) == []
    link, _ = storage.links.load(letter.id)
    assert link
    assert (link.buried, link.last_error, link.history[-1].outcome) == (0, "", f"dead letter discarded by {WHO}: tested")
    (run,) = newest(storage, which="people")
    assert (run.progress, run.by, run.why, run.link) == ("discarded", WHO, "tested", letter.id)
    assert "MeetingEnd" in run.problems
    with pytest.raises(Refused, match="no such dead letter"):
        discard(letter.id, bench.factory.services(), WHO, "again")
    bench.apply(bench.change(2))
    assert bench.subjects() == ["s"]


def test_a_letter_that_changed_meanwhile_is_not_discarded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.apply(bench.change(1, MeetingEnd="absent"))
    (letter,) = letters(bench.factory.storage())
    person = bench.factory.services().activity.person
    with monkeypatch.context() as patch:

        def meanwhile(*arguments: Any, **options: Any) -> str:
            bench.apply(bench.change(2, "newest", MeetingEnd="absent"))
            return person(*arguments, **options)

        patch.setattr(bench.factory.services().activity, "person", meanwhile)
        with pytest.raises(Refused, match="failed anew"):
            discard(letter.id, bench.factory.services(), WHO, "")
    assert len(letters(bench.factory.storage())) == 1


# -- finding ------------------------------------------------------------------------------------------------------------


def test_rows_are_found_by_their_exact_key_and_by_mailbox(bench: Bench) -> None:
    bench.apply(bench.change(1))
    services = bench.factory.services()

    def found(text: str) -> list[tuple[str, ...]]:
        return [row.row_key for row in search(text, services.storage, services.mappings, "Production")]

    assert found("OP1") == found(" OP1 ") == found("Ann@Example.com") == [("OP1",)]
    assert found("op1") == found("OP") == found("") == found("bob@example.com") == found("' or 1 eq 1 or '@") == []


def test_what_became_of_each_row_is_told_from_its_link(bench: Bench) -> None:
    """Also where the worker that took it in was killed, and wrote no run."""
    bench.graph.remove_mailbox("bob@example.com")
    rows = [a_row(bench), a_row(bench, OwnerEmail="bob@example.com"), a_row(bench)]
    post(bench, *({**row, "OpportunityID": key} for row, key in zip(rows, ("A", "B", "C"), strict=True)))
    with QueueClient.from_connection_string(
        bench.connection, QUEUE, message_decode_policy=TextBase64DecodePolicy()
    ) as queue:
        for message in queue.receive_messages(visibility_timeout=300):
            if json.loads(message.content)["key"] != ["C"]:
                apply(message.content, bench.factory)
    recorder = bench.factory.services().activity
    recorder._unwritten = {key: {} for key in recorder._unwritten}
    recorder.flush()
    (run,) = newest(bench.factory.storage())
    states, total = rows_of(run, bench.factory.storage())
    assert ([(row.row_key[0], row.state) for row in states], total) == (
        [("A", "in order"), ("B", "failed"), ("C", "waiting")],
        3,
    )


def test_a_refused_notification_is_a_run_with_its_reason(bench: Bench) -> None:
    assert post(bench, Query="Other").status == 400
    (run,) = newest(bench.factory.storage())
    assert (run.progress, run.status, "'Other' has no mapping" in run.problems) == ("rejected", 400, True)


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
    assert (letters(bench.factory.storage()), bench.sent()) == ([], 1)


def test_trying_for_too_long_is_a_dead_letter(bench: Bench) -> None:
    bench.graph.faults.add(Fault(method="POST", path="/events$", status=503, times=1))
    bench.apply(replace(bench.change(1), tried_for=48 * 3600.0, tried_at=bench.now - 60))
    (letter,) = letters(bench.factory.storage())
    assert letter.letter.reason.startswith("Tried for 48 hours")


# -- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command with settings from a file; returns the exit status and what it printed."""
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": dict(bench.factory._environ)}), encoding="utf-8")
    for name in bench.factory._environ:
        monkeypatch.delenv(name, raising=False)

    def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        status = main(["--settings", str(file), *arguments])
        return status, capsys.readouterr().out

    return run


def test_the_command_line_does_what_the_page_does(bench: Bench, command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    post(bench, a_row(bench))
    work(bench)
    bench.factory.services().activity.flush()
    status, printed = command(capsys, "--json", "list", "--which", "failed")
    (listed,) = json.loads(printed)
    assert (status, listed["state"], listed["failed"]) == (0, "failed", 1)
    assert "OP1 (opportunity-meetings): failed" in command(capsys, "show", listed["id"])[1]
    assert "ann@example.com does not exist" in command(capsys, "show", "OP1")[1]
    assert json.loads(command(capsys, "--json", "show", "ann@example.com")[1])[0]["state"] == "failed"
    (letter,) = json.loads(command(capsys, "--json", "letters")[1])
    bench.graph.add_mailbox("ann@example.com")
    assert "1 resubmitted" in command(capsys, "resubmit", letter["id"][:8])[1]
    work(bench)
    assert bench.subjects() == ["s"]
    assert "There are no dead letters." in command(capsys, "letters")[1]
    assert command(capsys, "resubmit", "--all")[0] == 1
    bench.apply(bench.change(5, MeetingEnd="absent"))
    (letter,) = json.loads(command(capsys, "--json", "letters")[1])
    assert "discarded" in command(capsys, "discard", letter["id"], "--why", "test")[1]
    assert "discarded" in command(capsys, "list", "--which", "people")[1]
    with pytest.raises(SystemExit, match="no run, row or mailbox"):
        command(capsys, "show", "nobody")


def test_the_command_line_says_what_is_wrong_with_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("AzureWebJobsStorage", "ACUMATICA", "GRAPH")):
            monkeypatch.delenv(name)
    with pytest.raises(SystemExit, match="AzureWebJobsStorage"):
        main(["list"])
    with pytest.raises(SystemExit, match="cannot be read as settings"):
        main(["--settings", "nowhere.json", "list"])
