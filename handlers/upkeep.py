"""Timers: Acumatica sessions that nobody uses any more, each minute; what may be forgotten, each day."""

import logging
from datetime import UTC, datetime, timedelta

from handlers.services import Services

log = logging.getLogger(__name__)


def sign_out_idle_sessions(services: Services) -> None:
    """Sign out sessions that a dead or idle instance left open."""
    if count := services.sessions.upkeep():
        log.info("signed %d Acumatica sessions out", count)


def purge(services: Services) -> None:
    """Forget removed rows and received notifications after RETENTION_DAYS."""
    before = datetime.fromtimestamp(services.clock(), UTC) - timedelta(days=services.settings.retention_days)
    removed = services.storage.purge(before)
    log.info("purged %s", ", ".join(f"{count} of {table}" for table, count in removed.items()))
