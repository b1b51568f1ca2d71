"""Removals that were held, and that somebody has released, go to the queue, after their rows are looked up once more.

Of a notification they go without a look-up where the inquiry cannot be read: Acumatica itself has said that they are gone.
Work of at most two minutes; a message brings the rest. What was sent before a kill is sent again: it is the same removal.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import batched

from handlers.clients.held import Hold, HoldState
from handlers.services import Services
from handlers.snapshot import SHOW_IT, exposed, looked_up, same_identity
from handlers.sync.change import RowChange, link_key
from handlers.sync.errors import Code, Later, Permanent, SyncError
from handlers.sync.mapping import Mapping
from handlers.sync.template import MissingColumns

log = logging.getLogger(__name__)

_STEP_SECONDS = 120.0
_LONGEST_DELAY = 300.0
_SENT = 1000  # at a time

type RowKey = tuple[str, ...]


def release(key: str, services: Services) -> float | None:
    """Send what is being released; after how many seconds to go on, or None when it is done."""
    held = services.storage.held
    hold = held.get(key)
    if hold is None or hold.state != "releasing":
        return None
    keys = held.keys(hold)
    if keys is None:
        _end(hold, services, "discarded", "what it held is not stored any more")
        return None
    until = services.clock() + _STEP_SECONDS
    left = keys[hold.done :]
    try:
        for some, gone in _removable(hold, left, services):
            _send(hold.removals(gone, services.clock()), services)
            sent = hold.sent + len(gone)
            saved = held.progress(hold, hold.done + len(some), sent)
            if saved is None:  # decided on meanwhile, or another worker goes on with it
                _tell_if_discarded(hold, sent, services)
                return None
            hold = saved
            if services.clock() >= until and hold.done < len(keys):
                return 0.0
    except Permanent as failure:
        log.warning("held removals of %s are held again: %s", hold.mapping, failure.code)
        _end(hold, services, "held", f"{failure.reason} {failure.remedy}")
        return None
    except MissingColumns as failure:
        _end(hold, services, "held", f"{failure} {SHOW_IT}")
        return None
    except SyncError as failure:
        wanted = failure.delay if isinstance(failure, Later) else 0.0
        return min(max(wanted, 30.0), _LONGEST_DELAY)
    _end(hold, services, "released", hold.why)
    return None


def _tell_if_discarded(hold: Hold, sent: int, services: Services) -> None:
    found = services.storage.held.get(hold.id)
    if found and found.state == "discarded":
        services.activity.sent(hold.run, sent)


def _removable(hold: Hold, keys: list[RowKey], services: Services) -> Iterator[tuple[Sequence[object], list[RowKey]]]:
    """Some rows at a time, and which of them may be removed: those that are still not to be found.

    Rows that are there again may have links that are older than the hold: a sweep does not write where nothing differs.
    """
    mapping, done = services.mappings.get(hold.mapping), 0
    if mapping is None:
        remedy = f"Add {hold.mapping}.toml again, and release it then."
        raise Permanent(Code.MAPPING_MISSING, f"There is no active mapping {hold.mapping!r}.", remedy)
    same_identity(mapping, services, pin=False)
    try:
        for some, gone in _looked_up(hold, keys, mapping, services):
            done += len(some)
            yield some, gone
    except Permanent as failure:
        if hold.source == "sweep":
            raise
        log.info("held removals of %s go without a look-up: %s", hold.mapping, failure.code)
    for some in batched(keys[done:], _SENT, strict=False):
        yield some, list(some)


def _looked_up(
    hold: Hold, keys: list[RowKey], mapping: Mapping, services: Services
) -> Iterator[tuple[Sequence[object], list[RowKey]]]:
    links = services.storage.links.of_mapping(mapping.name)
    missing = [(link_key(hold.company, hold.mapping, key), key) for key in keys]
    yield from looked_up(missing, links, exposed(mapping, services.inquiries), mapping, services)


def _send(changes: list[RowChange], services: Services) -> None:
    storage = services.storage
    storage.in_parallel([partial(storage.queue.send, change) for change in changes])


def _end(hold: Hold, services: Services, state: HoldState, why: str) -> None:
    at = datetime.fromtimestamp(services.clock(), UTC)
    services.activity.sent(hold.run, hold.sent)
    services.storage.held.decide(hold, state, at, hold.by, why)
