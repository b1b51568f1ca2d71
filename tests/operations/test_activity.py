"""Looking at runs and rows; on real storage and the fakes, without a host."""

import json

import pytest
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers.apply import apply
from handlers.clients.queue import QUEUE
from handlers.operations import activity, dead_letters, words
from handlers.sync.link import LEFT, seen_in_outlook
from tests.bench import Bench
from tests.operations.steps import a_row, post, work


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
    (run,) = activity.newest(bench.factory.storage())
    states, total = activity.rows_of(run, bench.factory.storage())
    assert ([(row.row_key[0], row.state) for row in states], total) == (
        [("A", "in order"), ("B", "failed"), ("C", "waiting")],
        3,
    )


def progress(bench: Bench) -> list[str]:
    bench.factory.services().activity.flush()
    return [run.progress for run in activity.newest(bench.factory.storage(), which="failed")]


def test_a_failure_that_was_mended_since_says_so(bench: Bench) -> None:
    """The run that failed, by a resubmission or by a newer change; not as long as another row of it fails."""
    bench.graph.remove_mailbox("ann@example.com")
    rows = [a_row(bench), a_row(bench, MeetingEnd="2026-12-01T08:00:00")]
    post(bench, *({**row, "OpportunityID": key} for row, key in zip(rows, ("A", "B"), strict=True)))
    work(bench)
    assert progress(bench) == ["failed"]
    bench.graph.add_mailbox("ann@example.com")
    bench.now += 60
    post(bench, {**rows[0], "OpportunityID": "A"}, number=2)
    work(bench)
    assert progress(bench) == ["failed"]
    post(bench, {**rows[0], "OpportunityID": "B"}, number=3)
    work(bench)
    assert progress(bench) == ["mended"]
    (run,) = activity.newest(bench.factory.storage(), which="failed")
    one = activity.run(run.id, bench.factory.storage())
    assert (one and one.progress, run.as_json()["state"]) == ("mended", "mended")


def test_a_failure_of_a_row_without_a_key_is_mended_when_its_letter_goes(bench: Bench) -> None:
    post(bench, {"Subject": "x"})
    assert progress(bench) == ["failed"]
    (letter,) = dead_letters.find(bench.factory.storage())
    dead_letters.discard(letter.facts.key, bench.factory.services(), "me", "tested")
    assert progress(bench) == ["mended"]


def test_what_happened_to_a_row_is_told_in_words_and_each_failure_once(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))

    def told() -> list[tuple[str, str, bool]]:
        row = activity.row(bench.change(1).link_key, bench.factory.storage())
        assert row
        return [(step.done, step.outcome[:35], step.mended) for step in words.steps(row)]

    assert told() == [("", "It needs a person; the reason stand", False)]
    bench.graph.add_mailbox("ann@example.com")
    bench.apply(bench.change(2))
    mended = ("", "It failed: Mailbox ann@example.com ", True)
    assert told() == [("Event made, id written to Acumatica", "", False), mended]
    bench.apply(bench.change(3))
    assert told()[0] == ("", "Nothing to do", False)
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(4, "new"))
    (letter,) = dead_letters.find(bench.factory.storage())
    dead_letters.discard(letter.facts.key, bench.factory.services(), "me", "")
    assert told()[0] == ("", "Dead letter discarded by me", False)
    assert told()[-1] == mended


@pytest.mark.parametrize("news", [LEFT, *map(seen_in_outlook, ("unchanged", "moved", "deleted"))])
def test_news_of_a_row_is_neither_a_failure_nor_mends_one(bench: Bench, news: str) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    storage = bench.factory.storage()
    link, etag = storage.links.load(bench.change(1).link_key)
    assert link
    assert storage.links.save(link.noted(bench.now, bench.change(2), "", news), etag)
    row = activity.row(link.key, storage)
    assert row
    told = [(step.outcome, step.mended) for step in words.steps(row)]
    assert told == [(news[:1].upper() + news[1:], False), ("It needs a person; the reason stands above", False)]


def test_a_refused_notification_is_a_run_with_its_reason(bench: Bench) -> None:
    assert post(bench, Query="Other").status == 400
    (run,) = activity.newest(bench.factory.storage())
    assert (run.progress, run.status, "'Other' has no mapping" in run.problems) == ("rejected", 400, True)
