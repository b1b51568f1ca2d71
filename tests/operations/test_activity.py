"""Looking at runs and rows; on real storage and the fakes, without a host."""

import json

from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers.apply import apply
from handlers.clients.queue import QUEUE
from handlers.operations import activity
from tests.bench import Bench
from tests.operations.steps import a_row, post

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


def test_a_refused_notification_is_a_run_with_its_reason(bench: Bench) -> None:
    assert post(bench, Query="Other").status == 400
    (run,) = activity.newest(bench.factory.storage())
    assert (run.progress, run.status, "'Other' has no mapping" in run.problems) == ("rejected", 400, True)
