"""HTTP in: a push notification is remembered, broken into row changes, and answered once all of them are in the queue."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from azure.core.exceptions import AzureError

from handlers import telemetry
from handlers.clients.runs import first_keys, kept_keys, run_key
from handlers.clients.storage import Storage
from handlers.services import Factory, NotReady, Services
from handlers.sync.errors import RUN_AGAIN, Code
from handlers.sync.notification import (
    NotificationProblems,
    PushNotification,
    Unidentified,
    digest,
    folded,
    parse_notification,
    row_changes,
)

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
        services = factory.services()
        if len(body) > services.settings.max_notification_mib * _MIB:
            limit = services.settings.max_notification_mib
            return _reject(
                413, body, [f"The body has {len(body) / _MIB:.1f} MiB; MAX_NOTIFICATION_MIB is {limit}."], services
            )
        try:
            notification = parse_notification(
                body,
                company=services.settings.acumatica_tenant,
                queries=dict.fromkeys(mapping.query for mapping in services.mappings.values()),
                now=datetime.fromtimestamp(services.clock(), UTC),
            )
        except NotificationProblems as error:
            return _reject(400, body, error.problems, services)
        return _take_in(notification, services)
    except NotReady as error:
        telemetry.emit(telemetry.REFUSED, level=logging.ERROR, part=error.part)
        return Answer(503, {"status": "not ready", "part": error.part, "problems": error.problems}, _RETRY_AFTER)
    except AzureError as error:
        telemetry.emit(telemetry.REFUSED, level=logging.ERROR, part="storage", reason=type(error).__name__)
        problem = "Storage cannot be used at the moment; nothing of the notification counts as taken in."
        return Answer(503, {"status": "not ready", "part": "storage", "problems": [problem]}, _RETRY_AFTER)


def _take_in(notification: PushNotification, services: Services) -> Answer:
    storage = services.storage
    mappings = [m for m in services.mappings.values() if folded(m.query) == folded(notification.query)]
    services.check_pins([mapping.name for mapping in mappings], pin=True)
    rows = len(notification.inserted) + len(notification.deleted)
    now = services.clock()
    key = notification.dedup_key
    run = run_key(now, key)
    changes, unidentified = row_changes(notification, mappings, now)
    changes = [replace(change, run=run) for change in changes]
    facts = {
        "Query": notification.query[:1000],
        "NotificationId": notification.id[:1000],
        "Received": datetime.fromtimestamp(now, UTC),
        "TransactionTimeStamp": str(notification.timestamp),
        "Rows": rows,
    }
    if storage.begin_notification(key, facts | kept_keys(changes, run)) == "queued":
        telemetry.emit(telemetry.DUPLICATE, notification=notification.id, query=notification.query)
        services.runs.duplicate(key)
        return Answer(200, {"status": "duplicate"})
    services.runs.began(
        run, facts | {"Changes": len(changes), "WithoutKey": len(unidentified), "First": first_keys(changes)}
    )
    grace = services.settings.delete_grace_seconds
    storage.in_parallel([partial(storage.send, change, grace if change.row is None else 0.0) for change in changes])
    storage.in_parallel([partial(_bury, row, notification, storage) for row in unidentified])
    try:
        storage.notification_queued(key)
    except AzureError:  # everything is stored: an error now would only bring the notification again
        log.warning("notification %s could not be marked as queued; a repetition will be taken in again", key[:16])
    services.runs.queued(run, unidentified=len(unidentified))
    telemetry.emit(
        telemetry.ACCEPTED,
        notification=notification.id,
        query=notification.query,
        rows=rows,
        changes=len(changes),
        without_key=len(unidentified),
        seconds=services.clock() - now,
    )
    return Answer(202, {"status": "accepted", "rows": rows, "changes": len(changes), "without_key": len(unidentified)})


def _bury(row: Unidentified, notification: PushNotification, storage: Storage) -> None:
    content = {"mapping": row.mapping, "timestamp": notification.timestamp, "row": row.row}
    remedy = f"Correct the mapping's key or the inquiry's columns, {RUN_AGAIN}"
    about = {"Mapping": row.mapping, "NotificationId": notification.id[:1000], "Tries": 0}
    storage.put_dead_letter(digest(content), content, row.reason, remedy, about)
    telemetry.emit(
        telemetry.DEAD_LETTER,
        level=logging.ERROR,
        notification=notification.id,
        mapping=row.mapping,
        row=digest(content)[:16],
        code=Code.KEY_MISSING,
        reason=telemetry.loggable(row.reason),
    )


def _reject(status: int, body: bytes, problems: list[str], services: Services) -> Answer:
    telemetry.emit(telemetry.REJECTED, level=logging.WARNING, status=status, problems=len(problems), first=problems[0])
    services.runs.rejected(services.clock(), status, problems, len(body))
    return Answer(status, {"status": "rejected", "problems": problems})
