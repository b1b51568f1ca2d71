"""Queue row-changes: one message per row change; a row that is too large for a message is in a blob."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from handlers.clients.blobs import INLINE_BYTES, Blobs
from handlers.sync.change import NotARowChange, RowChange, canonical, load_json

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

QUEUE = "row-changes"
POISON_QUEUE = "row-changes-poison"
_BLOB_NAME = re.compile(r"[0-9a-f]{64}")
_DELAY_MAX = 7 * 86_400 - 1  # seconds that a queue message may stay invisible


class Queue:
    """The queue; `connect` gives the SDK's client. Every method may raise StorageError."""

    def __init__(self, connect: "Callable[[], QueueClient]", blobs: Blobs) -> None:
        self._connect = connect
        self._blobs = blobs

    def send(self, change: RowChange, delay: float = 0.0) -> None:
        """Put one change into the queue, to be seen after `delay` seconds. It never expires."""
        text = canonical(change.encode())
        if len(text.encode()) > INLINE_BYTES:
            text = canonical({"blob": self._blobs.put(text)})
        self.put_back(text, delay)

    def put_back(self, text: str, delay: float) -> None:
        """Put a message into the queue once more, as it was received: that needs neither tables nor blobs."""
        seconds = min(max(math.ceil(delay), 0), _DELAY_MAX)
        self._connect().send_message(text, visibility_timeout=seconds, time_to_live=-1)

    def read(self, text: str) -> RowChange:
        """The change that a message holds. Raises NotARowChange."""
        try:
            data = load_json(text)
            if isinstance(data, dict) and _BLOB_NAME.fullmatch(str(data.get("blob"))):
                whole = self._blobs.get(data["blob"])
                if whole is None:
                    raise NotARowChange("the blob that the message names does not exist (any more)")
                data = load_json(whole)
        except ValueError as error:
            raise NotARowChange(f"the message is not JSON: {error}") from None
        return RowChange.decode(data)

    def waiting(self) -> tuple[int, datetime | None]:
        """About how many messages are in the queue, and since when the first of those that can be seen is there."""
        count = self.count()
        return count, self.waiting_since() if count else None

    def waiting_since(self) -> datetime | None:
        """When the first of the next messages that can be seen was put into the queue; None if there is none."""
        seen = self._connect().peek_messages(max_messages=32)
        return min((message.inserted_on for message in seen if message.inserted_on), default=None)

    def count(self) -> int:
        """About how many messages are in the queue."""
        return self._connect().get_queue_properties().approximate_message_count or 0
