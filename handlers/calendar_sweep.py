"""The calendar sweep: looks, mailbox by mailbox, for what people did to events in Outlook.

It only looks, marks links, and sends a message for each: the ordinary way writes, to Outlook (restore) or the record
(report). What a look means stands in sync/outlook_view.py. It may be stopped and repeated at any point: a mark that is
saved is the same the next time, and where its message got lost, the next look sends it again.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import batched
from typing import Any

from handlers import telemetry
from handlers.clients.sweeps import Look, Order
from handlers.services import Services
from handlers.settings import FUNCTION_SECONDS
from handlers.settle import save_link
from handlers.sync.errors import EventGone, Later, MailboxGone, OutcomeUnknown, Permanent
from handlers.sync.link import EventLink, seen_in_outlook
from handlers.sync.mapping import Mapping
from handlers.sync.outlook_view import (
    Expected,
    Finding,
    Item,
    expected,
    first_look,
    is_looked_at,
    is_owed,
    item,
    marked,
    message,
    needs_a_message,
    second_look,
    window,
)

log = logging.getLogger(__name__)

_KEYS = 500  # of one look: its message fits a queue, and its work an invocation


@dataclass
class Looked:
    """What a look has found: events that are not as they were written, and how many links were marked for it."""

    mailbox: str
    looked: int = 0
    found: list[tuple[EventLink, Finding]] = field(default_factory=list)
    marked: int = 0

    def count(self, status: str) -> int:
        """How many events are moved, or deleted."""
        return sum(finding.seen.status == status for _, finding in self.found)


def looks(services: Services, mailbox: str = "") -> list[Look]:
    """What there is to look for (in this mailbox, where one is named). Reads all links, unless nobody wants to know."""
    only, now = mailbox.strip().lower(), services.clock()
    if not any(map(is_looked_at, services.mappings.values())):
        return []
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for link in services.storage.links.all():
        mapping, entry = services.mappings.get(link.mapping), link.live
        if not (mapping and entry) or (only and entry.mailbox.lower() != only):
            continue
        if event := expected(link, mapping, services.scope, now):
            found[entry.mailbox].append((event.times.start.timestamp(), link.key))
        elif is_owed(link, mapping, services.scope, now):
            found[entry.mailbox].append((0.0, link.key))
    return [
        Look(name, tuple(key for _, key in some))
        for name, keys in sorted(found.items())
        for some in batched(sorted(keys), _KEYS, strict=False)
    ]


def send_looks(services: Services, mailbox: str = "") -> int:
    """Have the app take all looks (at this mailbox), by its queue; returns how many they are."""
    found, storage = looks(services, mailbox), services.storage
    storage.in_parallel([partial(storage.sweeps.send, Order(look=look)) for look in found])
    return len(found)


def run(look: Look, services: Services) -> float | None:
    """Take one look, as a message of a queue wants it: seconds until it is to be taken again, or None if it is done with."""
    began = services.clock()
    try:
        looked = sweep_mailbox(look, services, deadline=began + FUNCTION_SECONDS)
    except Later as failure:
        log.info("calendar sweep: later: %s", failure.code)
        return max(failure.delay, 1.0)
    except Permanent as failure:  # the rows' own changes tell a person of it
        log.warning("calendar sweep: %s", failure.code)
        return None
    telemetry.emit(
        telemetry.CALENDAR_SWEPT,
        looked=looked.looked,
        moved=looked.count("moved"),
        deleted=looked.count("deleted"),
        marked=looked.marked,
        seconds=services.clock() - began,
    )
    return None


def sweep_mailbox(look: Look, services: Services, *, deadline: float = math.inf, dry_run: bool = False) -> Looked:
    """Look at a mailbox. No request starts that might end after `deadline` (seconds since 1970).

    With `dry_run`, nothing is marked and no message is sent. Raises Later, Permanent where there is no such mailbox, and
    StorageError.
    """
    work = _Work(look.mailbox, services, deadline, dry_run=dry_run)
    for some in work.load(look.keys).values():
        with _place(look.mailbox, services):
            work.look_at(some)
    return work.looked


@contextmanager
def _place(mailbox: str, services: Services) -> Iterator[None]:
    """A place in the mailbox, like that of a row. Raises Later, of a request without an answer too: it only looks."""
    services.graph.limiter.enter(mailbox)
    try:
        yield
    except OutcomeUnknown as failure:
        raise Later(failure.code, failure.reason) from None
    finally:
        services.graph.limiter.leave(mailbox)


@dataclass(frozen=True)
class _Event:
    """An event that is looked for, with what its link is saved under."""

    expected: Expected
    etag: str | None
    mapping: Mapping


class _Work:
    """One look."""

    def __init__(self, mailbox: str, services: Services, deadline: float, *, dry_run: bool) -> None:
        self.mailbox, self.services, self.deadline, self.dry_run = mailbox, services, deadline, dry_run
        self.looked = Looked(mailbox)

    def load(self, keys: tuple[str, ...]) -> dict[str, list[_Event]]:
        """The events to look for, by the calendar that they are in; what is owed from an earlier look is sent at once."""
        stored: dict[str, tuple[EventLink | None, str | None]] = {}
        links, mappings, now = self.services.storage.links, self.services.mappings, self.services.clock()

        def load(key: str) -> None:
            stored[key] = links.load(key)

        self.services.storage.in_parallel([partial(load, key) for key in keys])
        found: dict[str, list[_Event]] = defaultdict(list)
        for link, etag in (stored[key] for key in keys):
            mapping = mappings.get(link.mapping) if link else None
            if not (link and mapping):
                continue
            event = expected(link, mapping, self.services.scope, now)
            if event and event.entry.mailbox == self.mailbox:
                found[event.entry.calendar.strip().casefold()].append(_Event(event, etag, mapping))
            elif not event and not self.dry_run and is_owed(link, mapping, self.services.scope, now):
                self.services.storage.queue.send(message(link, now))
        return found

    def look_at(self, events: list[_Event]) -> None:
        """Look for the events of one calendar, and mark what is news."""
        shown, stamps = self._view([event.expected for event in events])
        for event in events:
            self.looked.looked += 1
            one = event.expected
            finding = first_look(one, shown.get(one.entry.id or ""), stamps, event.mapping) or self._confirmed(one)
            if not finding:
                continue
            if finding.seen.status != "unchanged":
                self.looked.found.append((one.link, finding))
            self._mark(event, finding)

    def _view(self, events: list[Expected]) -> tuple[dict[str, Item], set[str]]:
        """What the calendar shows of these events: by id, and the stamps of theirs that it shows at all."""
        ids, stamps = {event.entry.id for event in events}, {event.stamp for event in events}
        calendar, responses = events[0].entry.calendar, any(event.responses for event in events)
        span = window(events, self.services.clock())
        view = self.services.graph.view(self.mailbox, calendar, span, responses=responses, deadline=self.deadline)
        found = [known for known in map(item, view) if known and (known.id in ids or known.stamp in stamps)]
        return {known.id: known for known in found}, {known.stamp for known in found}

    def _confirmed(self, event: Expected) -> Finding | None:
        """What the mailbox says of the one event; None where that is nothing to go by."""
        graph, entry = self.services.graph, event.entry
        about: dict[str, Any] = {"responses": event.responses, "deadline": self.deadline}
        try:
            found, elsewhere = graph.look(entry.mailbox, entry.id or "", **about), False
        except EventGone:
            stamp = event.link.stamp(entry.generation)
            ids = graph.find(entry.mailbox, stamp, entry.calendar, self.deadline)
            if not ids:
                return second_look(event, None, elsewhere=False)
            try:
                found, elsewhere = graph.look(entry.mailbox, ids[0], **about), True
            except EventGone:  # Graph contradicts itself, or it goes this moment
                return None
        except MailboxGone:
            raise
        except Permanent:
            return None
        known = item(found)
        return second_look(event, known, elsewhere=elsewhere) if known else None

    def _mark(self, event: _Event, finding: Finding) -> None:
        """Save what was found, unless others have saved the link meanwhile, and let the ordinary rules look at it."""
        link, now = event.expected.link, self.services.clock()
        new = marked(event.expected, finding, event.mapping)
        if new == link:
            return
        change = message(link, now)
        noted = new.noted(now, change, "", seen_in_outlook(finding.seen.status))
        if not (self.dry_run or save_link(noted, event.etag, self.services)):
            return
        self.looked.marked += 1
        if not self.dry_run and needs_a_message(new, event.mapping, self.services.scope, now):
            self.services.storage.queue.send(change)
