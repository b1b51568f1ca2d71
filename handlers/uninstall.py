"""Remove every event that this app has made: after a trial, or before the app is removed.

    python -m handlers.uninstall                  shows what would be removed, and removes nothing
    python -m handlers.uninstall --remove         removes it

Set SYNC_PAUSED first: rows that change meanwhile get their event again. It works row by row under the app's own rules,
so it may be stopped and run again. What Acumatica's records say of event ids stays. A row that changes later gets a new
event, as long as the app runs. It uses the app's settings: from the environment, or from local.settings.json.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import batched

from handlers.clients.tables import StorageError
from handlers.runs import opened, parser
from handlers.services import Services
from handlers.settle import settle
from handlers.sync.change import RowChange, datetime_to_ticks
from handlers.sync.errors import Later, OutcomeUnknown, SyncError
from handlers.sync.link import EventLink
from handlers.sync.scope import emptied

_AT_A_TIME = 3  # as many as one mailbox takes


def links_with_events(services: Services) -> Iterator[EventLink]:
    """Every row that may have an event."""
    return (link for link in services.storage.links.all() if link.entries)


def remove(links: Sequence[EventLink], services: Services) -> dict[str, str]:
    """Remove the events of some rows; returns, by link key, why it failed where it did."""
    failed: dict[str, str] = {}
    services.storage.in_parallel([partial(_remove, link, services, failed) for link in links])
    return failed


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 where an event is left."""
    made = parser("python -m handlers.uninstall", __doc__)
    made.add_argument("--remove", action="store_true", help="remove the events (without it: a dry run)")
    made.add_argument("--mailbox", help="only events of this mailbox")
    made.add_argument("--json", action="store_true", help="print JSON")
    options = made.parse_args(arguments)
    with opened(options.settings) as factory:
        services = factory.services()
        wanted = options.mailbox.strip().lower() if options.mailbox else None
        found = [x for x in links_with_events(services) if wanted is None or wanted in {e.mailbox for e in x.entries}]
        mailboxes = Counter(entry.mailbox for link in found for entry in link.entries)
        failed: dict[str, str] = {}
        if options.remove:
            for some in batched(found, _AT_A_TIME, strict=False):
                failed |= remove(some, services)
                if not options.json:
                    print(".", end="", flush=True)  # noqa: T201
    done = len(found) - len(failed) if options.remove else 0
    if options.json:
        told = {"rows": len(found), "events_by_mailbox": dict(mailboxes), "removed": done, "failed": failed}
        print(json.dumps(told, ensure_ascii=False, indent=2))  # noqa: T201
    else:
        print(f"\n{len(found)} rows have events:")  # noqa: T201
        for mailbox, count in sorted(mailboxes.items()):
            print(f"  {mailbox}  {count}")  # noqa: T201
        for key, reason in failed.items():
            print(f"  left: {key[:16]} {reason}")  # noqa: T201
        end = f"The events of {done} rows are removed." if options.remove else "Dry run: nothing is removed; --remove does."
        print(end)  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
