"""Remove every event that this app has made: after a trial, or before the app is removed.

It works row by row under the app's own rules, so it may be stopped and run again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import batched

from handlers.apply import settle
from handlers.clients.tables import StorageError
from handlers.services import Services
from handlers.sync.errors import Later, OutcomeUnknown, SyncError
from handlers.sync.link import EventLink
from handlers.sync.notification import RowChange, datetime_to_ticks
from handlers.sync.trial import emptied

_AT_A_TIME = 3  # as many as one mailbox takes


def find(services: Services, mailbox: str = "") -> list[EventLink]:
    """Every row that may have an event (in this mailbox, where one is named)."""
    wanted = mailbox.strip().lower()
    return [
        link
        for link in services.storage.links.all()
        if link.entries and (not wanted or wanted in {entry.mailbox for entry in link.entries})
    ]


def remove(links: Sequence[EventLink], services: Services) -> Iterator[dict[str, str]]:
    """Remove the events of some rows, a few at a time; yields for these, by link key, why it failed where it did."""
    for some in batched(links, _AT_A_TIME, strict=False):
        failed: dict[str, str] = {}
        services.storage.in_parallel([partial(_remove, link, services, failed) for link in some])
        yield failed


def _remove(link: EventLink, services: Services, failed: dict[str, str]) -> None:
    # A removal that is no news: the row stays as it is known, and only its events go.
    timestamp = link.version.timestamp if link.version else datetime_to_ticks(datetime.now(UTC))
    change = RowChange(link.company, link.mapping, link.row_key, timestamp, None, "uninstall", services.clock())
    try:
        settle(change, replace(services, mappings={link.mapping: emptied(link.mapping)}))
    except OutcomeUnknown as error:
        failed[link.key] = f"{error}; run this again in {services.settings.claim_seconds / 60:.0f} minutes"
    except Later as error:
        failed[link.key] = f"{error}; run this again"
    except (SyncError, StorageError) as error:
        failed[link.key] = str(error)
