"""The app's handlers on real storage and the fakes, without a host: for tests that apply changes by hand."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from handlers.apply import apply
from handlers.clients.queue import QUEUE
from handlers.services import Factory, NotReady
from handlers.sync.change import RowChange, datetime_to_ticks
from local.fakes import FakeAcumatica, FakeGraph, app_settings

QUERY = "Calendar - Opportunity Meetings"
_LEASE_SECONDS = 30.0


class Bench:
    """The app's services, and one record of Acumatica whose row changes are applied by hand."""

    def __init__(self, storage: str, graph: FakeGraph, acumatica: FakeAcumatica, **settings: str) -> None:
        self.graph, self.acumatica = graph, acumatica
        self.now = self._applied = time.time()
        self.connection = storage
        environ = {
            "AzureWebJobsStorage": storage,
            **app_settings(graph, acumatica),
            **settings,
        }
        self._environ = environ
        self.factory = Factory(environ, lambda: self.now)
        self.note_id = acumatica.put_record("Opportunity", {"OpportunityID": "OP1", "Subject": "s"})
        self.first = datetime_to_ticks(datetime.now(UTC))

    def change(self, number: int, subject: str = "s", **columns: Any) -> RowChange:
        """The row as of transaction `number`; a column that is "absent" is left out."""
        row = {
            "OpportunityID": "OP1",
            "Subject": subject,
            "OwnerEmail": "ann@example.com",
            "MeetingStart": "2036-12-01T09:00:00",
            "MeetingEnd": "2036-12-01T10:00:00",
            "Room": "1",
            "NoteID": self.note_id,
            **columns,
        }
        row = {name: value for name, value in row.items() if value != "absent"}
        return RowChange("production", "opportunity-meetings", ("OP1",), self.first + number, row, "n", self.now)

    def removal(self, number: int) -> RowChange:
        """The row has left the inquiry in transaction `number`."""
        return replace(self.change(number), row=None)

    def reconfigure(self, **settings: str) -> None:
        """Go on with other settings, as after a restart."""
        self.factory.close()
        self.factory = Factory(self._environ | settings, lambda: self.now)

    def apply(self, change: RowChange) -> None:
        """As the host does it, with what the queue has got out of it thrown away.

        Where the clock has jumped, the keeper of sessions has done its work meanwhile: nobody has to wait for it.
        """
        if self.now - self._applied > _LEASE_SECONDS:
            with suppress(NotReady):
                self.factory.services().sessions.look_after()
        self._applied = self.now
        apply(json.dumps(change.encode()), self.factory)

    def sent(self) -> int:
        """How many messages were sent again."""
        with QueueClient.from_connection_string(self.connection, QUEUE) as queue, suppress(ResourceNotFoundError):
            return queue.get_queue_properties().approximate_message_count or 0
        return 0

    def subjects(self, mailbox: str = "ann@example.com") -> list[str]:
        return [event["subject"] for event in self.graph.events(mailbox)]

    def letters(self) -> dict[str, Any]:
        """Reason and content of dead letters, by reason."""
        store = self.factory.storage().dead_letters
        return {
            letter.reason: json.loads(whole.content)
            for letter in store.list(1000)
            if (whole := store.get(letter.key)) and whole.content
        }
