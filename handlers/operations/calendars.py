"""What people did in Outlook, looked for by hand: in one mailbox or in all. See handlers/calendar_sweep.py."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from handlers.calendar_sweep import Looked, looks, send_looks, sweep_mailbox
from handlers.clients.sweeps import Look
from handlers.services import Intake, Services
from handlers.sync.errors import Later, Permanent
from handlers.sync.outlook_view import is_looked_at

_TOLD = ("status", "start", "end")


@dataclass(frozen=True)
class NotLooked:
    """A look that could not be taken: `reason` says why, and whether to come again."""

    look: Look
    reason: str


def begin(services: Services, mailbox: str = "") -> int:
    """Let the app look, by its queue; returns how many looks there are."""
    return send_looks(services, mailbox)


def is_wanted(intake: Intake) -> bool:
    """Whether any mapping wants to know what people do in Outlook."""
    return any(map(is_looked_at, intake.mappings.values()))


def look_as_json(each: Looked | NotLooked) -> dict[str, Any]:
    """A look, for programs."""
    if isinstance(each, NotLooked):
        return {"mailbox": each.look.mailbox, "reason": each.reason}
    found = [
        {"mapping": link.mapping, "row": ", ".join(link.row_key)} | {n: getattr(finding.seen, n) for n in _TOLD}
        for link, finding in each.found
    ]
    return {"mailbox": each.mailbox, "looked": each.looked, "found": found, "marked": each.marked}


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
