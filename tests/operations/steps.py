"""What the tests of operations do again and again, without a host."""

import json
from contextlib import suppress
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers.apply import apply
from handlers.clients.queue import QUEUE
from handlers.operations.dead_letters import find, resubmit
from handlers.receive import receive
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
    done = resubmit([letter.facts.key for letter in find(bench.factory.storage())], bench.factory.services(), WHO)
    return done.count, done.problems


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
