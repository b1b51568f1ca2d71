"""Remove every event that this app has made: after a trial, or before the app is removed.

It works row by row under the app's own rules, so it may be stopped and run again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import batched

from handlers.clients.tables import StorageError
from handlers.services import Services
from handlers.settle import settle
from handlers.sync.change import RowChange, datetime_to_ticks
from handlers.sync.errors import Later, Permanent
from handlers.sync.link import EventLink
from handlers.sync.scope import emptied

_AT_A_TIME = 3  # as many as one mailbox takes
_LONGEST = 3600.0  # seconds; the claim ends before


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
    emptying = replace(services, mappings={link.mapping: emptied(link.mapping)})
    try:
        # No message stands behind this claim: what changes meanwhile is not left to it.
        failure = settle(change, emptying, deadline=services.clock() + _LONGEST, backed=False).failure
    except (Permanent, Later, StorageError) as error:
        failed[link.key] = str(error)
        return
    match failure:
        case Later():
            failed[link.key] = f"{failure}; run this again"
        case Permanent():
            failed[link.key] = str(failure)
