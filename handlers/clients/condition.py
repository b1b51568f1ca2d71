"""How the app is doing, as its storage tells: read once a minute for the health event, on whose facts alerts hang.

A fact is a state, not an event: it stays until the fault is over, so that an alert neither flaps nor says "resolved" too
early. Best effort, and never read by the sync.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.clients.activity_reading import newest_notification
from handlers.clients.storage import Storage

COUNTED = 1000
_KEEP_SECONDS, _FRESH_SECONDS = 3600.0, 86_400.0  # between two saves of when the last notification came, at most
_SATURDAY = 5


@dataclass(frozen=True)
class Condition:
    """All times in seconds since 1970. `put_off`: rows that wait for another try, by why; `oldest`: the first of these.

    `held`: holds of removals that wait for a person; `sweeps_off`: why mappings cannot be swept, by mapping.
    """

    waiting: int = 0
    waiting_since: float | None = None
    put_off: Counter[str] = field(default_factory=Counter)
    oldest: float | None = None
    dead_letters: int = 0
    held: int = 0
    sweeps_off: dict[str, str] = field(default_factory=dict)
    poison: int = 0
    sign_in_failures: int = 0
    notified: float | None = None

    def facts(self, now: float) -> dict[str, Any]:
        """What the health event says of it: docs/deploy.md, "Alerts and workbook", names each."""
        since = [moment for moment in (self.waiting_since, self.oldest) if moment is not None]
        known: dict[str, Any] = {
            "age": max(0.0, now - min(since)) if since else 0.0,
            "waiting": self.waiting,
            "put_off": dict(self.put_off),
            "dead_letters": self.dead_letters,
            "held": self.held,
            "sweeps_off": self.sweeps_off,
            "poison": self.poison,
            "sign_in_failures": self.sign_in_failures,
            "started": self.notified is not None,
        }
        if self.notified is not None:
            known["silent_hours"] = max(0.0, now - self.notified) / 3600
            known["silent_weekday_hours"] = weekday_hours(self.notified, now)
        return known


def look(storage: Storage, now: float) -> Condition:
    """Read all of it. Raises StorageError."""
    put_off = storage.put_off.all(now)
    waiting, since = storage.queue.waiting()
    return Condition(
        waiting=waiting,
        waiting_since=since.timestamp() if since else None,
        put_off=Counter(each.code for each in put_off),
        oldest=min((each.first_sent for each in put_off), default=None),
        dead_letters=storage.dead_letters.count(COUNTED),
        held=len(storage.held.open(COUNTED)),
        sweeps_off=storage.sweeps.ended_early(),
        poison=storage.poison_count(),
        sign_in_failures=storage.slots.load_breaker()[0].failures,
        notified=_notified(storage, now),
    )


def _notified(storage: Storage, now: float) -> float | None:
    """When the last notification was taken in; kept for longer than the records of runs are."""
    kept, saved = storage.put_off.notified()
    latest = max(newest_notification(storage) or 0.0, kept)
    if latest and (latest - kept >= _KEEP_SECONDS or now - saved >= _FRESH_SECONDS):
        storage.put_off.save_notified(latest, now)
    return latest or None


def weekday_hours(since: float, now: float) -> float:
    """Hours between two moments without Saturdays and Sundays (UTC)."""
    moment, end, seconds = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(now, UTC), 0.0
    while moment < end:
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        if moment.weekday() < _SATURDAY:
            seconds += (min(midnight, end) - moment).total_seconds()
        moment = midnight
    return seconds / 3600
