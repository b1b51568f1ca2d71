"""HTTP in: a push notification is remembered, broken into row changes, and answered once all of them are in the queue."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from handlers import telemetry
from handlers.bury import bury_row
from handlers.clients.activity import first_keys, run_key
from handlers.clients.held import Hold, hold_id
from handlers.clients.notifications import ReceivedNotification, kept_keys
from handlers.clients.tables import StorageError
from handlers.services import Factory, Intake, NotReady
from handlers.sync.change import RowChange
from handlers.sync.errors import Code
from handlers.sync.notification import (
    NotificationProblems,
    PushNotification,
    TooManyRows,
    name_form,
    parse_notification,
    row_changes,
)
from handlers.sync.sweep_plan import brake

log = logging.getLogger(__name__)

_RETRY_AFTER = {"Retry-After": "60"}
_MIB = 2**20


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with a JSON body."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def receive(body: bytes, factory: Factory) -> Answer:
    """Answer a push notification: 202 once everything is stored, 200 for a duplicate; Acumatica sends again on others.

    400 and 413 are recorded with their reason; 503 means that nothing was wrong with the notification.
    """
    try:
        intake = factory.intake()
        if len(body) > intake.settings.max_notification_mib * _MIB:
            limit = intake.settings.max_notification_mib
            reason = f"The body has {len(body) / _MIB:.1f} MiB; MAX_NOTIFICATION_MIB is {limit}."
            return _reject(413, body, [reason], intake)
        try:
            notification = parse_notification(
                body,
                company=intake.settings.acumatica_tenant,
                queries=dict.fromkeys(mapping.query for mapping in intake.mappings.values()),
                now=datetime.fromtimestamp(intake.clock(), UTC),
                max_rows=intake.settings.max_notification_rows,
            )
        except TooManyRows as error:
            return _reject(413, body, error.problems, intake)
        except NotificationProblems as error:
            return _reject(400, body, error.problems, intake)
        return _take_in(replace(notification, company_id=intake.company), intake)
    except NotReady as error:
        telemetry.emit(telemetry.REFUSED, level=logging.ERROR, code=Code.NOT_READY, part=error.part)
        return Answer(503, {"status": "not ready", "part": error.part, "problems": error.problems}, _RETRY_AFTER)
    except StorageError as error:
        about = {"part": "storage", "error": type(error).__name__}
        telemetry.emit(telemetry.REFUSED, level=logging.ERROR, code=Code.STORAGE_AWAY, **about)
        problem = "Storage cannot be used at the moment; nothing of the notification counts as taken in."
        return Answer(503, {"status": "not ready", "part": "storage", "problems": [problem]}, _RETRY_AFTER)


def _take_in(notification: PushNotification, intake: Intake) -> Answer:
    """Remember the notification as receiving, send all of its changes, mark it as queued: a crash repeats and loses none."""
    storage, now = intake.storage, intake.clock()
    mappings = [m for m in intake.mappings.values() if name_form(m.query) == name_form(notification.query)]
    intake.check_pins([mapping.name for mapping in mappings], pin=True)
    key = notification.dedup_key
    run = run_key(now, key)
    changes, unidentified = row_changes(notification, mappings, now)
    changes, braked = _braked([replace(change, run=run) for change in changes], intake.settings.removals_max)
    received = ReceivedNotification(
        key=key,
        query=notification.query,
        notification=notification.id,
        received=datetime.fromtimestamp(now, UTC),
        timestamp=notification.timestamp,
        rows=len(notification.inserted) + len(notification.deleted),
        changes=len(changes),
        without_key=sum(row.times for row in unidentified),
        run=run,
        keys=kept_keys(changes),
    )
    if storage.notifications.begin(received) == "queued":
        telemetry.emit(telemetry.DUPLICATE, notification=notification.id, query=mappings[0].query)
        intake.activity.duplicate(key)
        return Answer(200, {"status": "duplicate"})
    intake.activity.began(received, first_keys(changes))
    for removals, why in braked:
        _hold(removals, why, key, intake)
    grace = intake.settings.delete_grace_seconds
    storage.in_parallel([partial(storage.queue.send, c, grace if c.row is None else 0.0) for c in changes])
    storage.in_parallel([partial(bury_row, row, notification, storage) for row in unidentified])
    try:
        storage.notifications.mark_queued(key)
    except StorageError:  # everything is stored: an error now would only bring the notification again
        log.warning("notification %s could not be marked as queued; a repetition will be taken in again", key[:16])
    intake.activity.queued(run, unidentified=received.without_key)
    counts = {"rows": received.rows, "changes": received.changes, "without_key": received.without_key}
    if braked:
        counts["held"] = sum(len(removals) for removals, _ in braked)
    about: dict[str, Any] = {"notification": notification.id, "query": mappings[0].query, "seconds": intake.clock() - now}
    telemetry.emit(telemetry.ACCEPTED, **about, **counts)
    return Answer(202, {"status": "accepted", **counts})


def _braked(changes: list[RowChange], at_most: int) -> tuple[list[RowChange], list[tuple[list[RowChange], str]]]:
    """The changes to be sent; and the removals of each mapping for which they are too many at once, with the reason."""
    removals: dict[str, list[RowChange]] = {}
    for change in changes:
        if change.row is None:
            removals.setdefault(change.mapping, []).append(change)
    reasons = {name: why for name, some in removals.items() if (why := brake(len(some), 0, at_most=at_most))}
    sent = [change for change in changes if change.row is not None or change.mapping not in reasons]
    return sent, [(removals[name], why) for name, why in reasons.items()]


def _hold(removals: list[RowChange], why: str, key: str, intake: Intake) -> None:
    """Hold removals; a repetition of the notification holds nothing twice, and nothing that was decided on."""
    first = removals[0]
    hold = Hold(
        hold_id("notification", key, first.mapping),
        source="notification",
        origin=key,
        company=first.company,
        mapping=first.mapping,
        timestamp=first.timestamp,
        notification=first.notification,
        reason=why,
        at=datetime.fromtimestamp(intake.clock(), UTC),
    )
    if intake.storage.held.hold(hold, [change.key for change in removals]):
        telemetry.emit(
            telemetry.HELD, level=logging.ERROR, notification=first.notification, mapping=first.mapping, rows=len(removals)
        )


def _reject(status: int, body: bytes, problems: list[str], intake: Intake) -> Answer:
    telemetry.emit(telemetry.REJECTED, level=logging.WARNING, status=status, problems=len(problems))
    intake.activity.rejected(intake.clock(), status, problems, body)
    return Answer(status, {"status": "rejected", "problems": problems})
