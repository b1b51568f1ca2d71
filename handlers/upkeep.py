"""Timers: Acumatica sessions that nobody uses, each minute; what may be forgotten and what is searched, daily."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from handlers.clients.search import indexed
from handlers.clients.storage import Storage
from handlers.services import Services
from handlers.sync.mapping import Mapping as SyncMapping

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


def index(storage: Storage, mappings: Mapping[str, SyncMapping]) -> None:
    """Make the list of all rows anew that people search in."""
    found = (indexed(link, mappings.get(link.mapping)) for link in storage.links.all())
    log.info("%d rows can be searched", storage.search.rebuild(found))
