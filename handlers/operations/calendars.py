"""What people did in Outlook, looked for by hand: in one mailbox or in all. See handlers/calendar_sweep.py."""

from collections.abc import Iterator
from dataclasses import dataclass

from handlers.calendar_sweep import Look, Looked, looks, sweep_mailbox
from handlers.services import Services
from handlers.sync.errors import Later, Permanent


@dataclass(frozen=True)
class NotLooked:
    """A look that could not be taken: `reason` says why, and whether to come again."""

    look: Look
    reason: str


def sweep(services: Services, mailbox: str = "", *, dry_run: bool = False) -> Iterator[Looked | NotLooked]:
    """Look at one mailbox, or at all with events to come; yields after each look. With `dry_run`, nothing is marked.

    Raises StorageError.
    """
    for look in looks(services, mailbox):
        try:
            yield sweep_mailbox(look, services, dry_run=dry_run)
        except Later as failure:
            yield NotLooked(look, f"{failure.reason}; run this again in {max(failure.delay, 1.0):.0f} seconds")
        except Permanent as failure:
            yield NotLooked(look, failure.reason)
