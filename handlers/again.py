"""A dead letter becomes row changes again: its row is mapped anew, as of its own transaction."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from handlers.clients.dead_letters import DeadLetter
from handlers.services import Intake, Services
from handlers.sync.backfill import why_none
from handlers.sync.change import NotARowChange, RowChange, load_json
from handlers.sync.errors import Code
from handlers.sync.link import merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.notification import PushNotification, row_changes
from handlers.sync.template import MissingColumns

log = logging.getLogger(__name__)

_LETTERS = 10_000  # looked at
_TRIED_AGAIN = 500  # by one sweep
_NEVER = datetime.min.replace(tzinfo=UTC)
# Causes that pass without the row's changing: somebody makes the mailbox, or grants the access.
PASSING = {
    Code.MAILBOX_MISSING,
    Code.CALENDAR_MISSING,
    Code.RECORD_DENIED,
    Code.RECORD_NOT_WRITTEN,
    Code.MAPPING_MISSING,
    Code.GAVE_UP,
}


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


def change_in(letter: DeadLetter) -> RowChange | None:
    """The row change that a dead letter holds; none where it holds no row, or its content is gone or was not read."""
    try:
        return RowChange.decode(load_json(letter.content or ""))
    except (NotARowChange, ValueError):
        return None


def again(letter: DeadLetter, change: RowChange | None, intake: Intake, now: float) -> list[RowChange]:
    """The changes that a dead letter makes when its row is mapped anew; `change` is its `change_in`. Raises Refused."""
    content = _content(letter)
    if letter.content is None:
        raise Refused("what it held is not stored any more. Save the record in Acumatica again, or discard it.")
    if change is None and not {"mapping", "timestamp", "row"} <= content.keys():
        raise Refused("it holds no row, so it cannot be run again; discard it.")
    name = change.mapping if change else str(content["mapping"])
    mapping = intake.mappings.get(name)
    if not mapping:
        raise Refused(f"there is no active mapping {name!r}.")
    if change and change.row is None:  # the row has left the inquiry
        return [replace(change, tries=0, first_sent=now, tried_for=0.0, tried_at=0.0)]
    whole = change.row if change else content["row"]
    notification = PushNotification(
        inserted=(whole or {},),
        deleted=(),
        query=mapping.query,
        company_id=change.company if change else intake.company,
        id=change.notification if change else letter.notification,
        timestamp=change.timestamp if change else int(content["timestamp"]),
    )
    changes, unidentified = row_changes(notification, [mapping], now)
    if unidentified:
        raise Refused(unidentified[0].reason)
    if change:
        changes = [replace(new, origin=change.origin) for new in changes]
    # Which of several rows with one key is meant cannot be told from one of them.
    return [replace(new, problem=change.problem) if change and new.key == change.key else new for new in changes]


def retry_passing(mapping: Mapping, run: str, services: Services) -> int:
    """Send dead letters of a mapping to the queue again whose cause may have passed; how many.

    Rows that would get an event late are those of a backfill. A letter stays until its row is in order. Those that were not
    tried for the longest come first, and only so many at once: whatever interrupts this, it comes to an end.
    """
    storage, now, count = services.storage, services.clock(), 0
    letters = [
        facts for facts in storage.dead_letters.list(_LETTERS) if facts.mapping == mapping.name and facts.code in PASSING
    ]
    letters.sort(key=lambda facts: (facts.resubmitted or _NEVER, -facts.timestamp))
    for facts in letters[:_TRIED_AGAIN]:
        try:
            letter = storage.dead_letters.get(facts.key)
            changes = again(letter, change_in(letter), services, now) if letter else []
        except Refused as error:
            log.info("dead letter %s is not tried again: %s", facts.key[:16], error)
            continue
        if [change.link_key for change in changes] == [facts.key] and _may_come(changes[0], mapping, services, now):
            storage.queue.send(replace(changes[0], run=run))
            storage.dead_letters.mark_resubmitted(facts.key, datetime.fromtimestamp(now, UTC), "a sweep")
            count += 1
    return count


def _may_come(change: RowChange, mapping: Mapping, services: Services, now: float) -> bool:
    """Whether a sweep may do what a change asks for: make an event late."""
    if change.row is None:
        return True
    link, _ = services.storage.links.load(change.link_key)
    try:
        merged = merge(link or new_link(change, now), change, mapping)
    except MissingColumns:
        return False
    return why_none(merged, merged.row, mapping, services.scope, now) is None


def _content(letter: DeadLetter) -> dict[str, Any]:
    try:
        content = load_json(letter.content or "")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
