"""Timers: Acumatica sessions that nobody uses any more, each minute; what may be forgotten, each day."""

import logging
from datetime import UTC, datetime, timedelta

from handlers.services import Services

log = logging.getLogger(__name__)

_CALM = timedelta(hours=1)


def sign_out_idle_sessions(services: Services) -> None:
    """Sign out sessions that a dead or idle instance left open."""
    if count := services.sessions.upkeep():
        log.info("signed %d Acumatica sessions out", count)


def purge(services: Services) -> None:
    """Forget received notifications and removed rows after RETENTION_DAYS.

    Rows only while nothing waits for long: a message that is older than what is forgotten could bring its row back.
    """
    now, days = datetime.fromtimestamp(services.clock(), UTC), services.settings.retention_days
    since = services.storage.queue.waiting_since()
    calm = not services.settings.sync_paused and (since is None or now - since < _CALM)
    removed = services.storage.purge(now - timedelta(days=days), links=calm)
    log.info("purged %s", ", ".join(f"{count} of {table}" for table, count in removed.items()))
