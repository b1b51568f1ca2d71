"""What the app says of itself: one line an event, `name {"fact": …}`, which people read and alerts count.

The Functions host takes over a log line's text and level, no fields of its own: so the facts are JSON in the text. The
queries in infra/queries read them, and infra/modules/alerts.bicep makes alerts of these. The code of a failure comes here
from outcome.py, bury.py and clients/acumatica_sign_in.py; clients/condition.py counts it for `health`.

Never in an event: row contents, mailboxes, secrets.
"""

import json
import logging
from typing import Any

from handlers import __version__

log = logging.getLogger(__name__)

# Intake. `notification` is the Id that Acumatica gave; it stands in the events of the rows too.
ACCEPTED = "accepted"  # notification, query, rows, changes, without_key, seconds
DUPLICATE = "duplicate"  # notification, query
REJECTED = "rejected"  # status, problems
REFUSED = "refused"  # code, part: of the app, that is not ready; error: of storage
# The brake and sweeps.
HELD = "held"  # mapping, rows, and notification or sweep
SWEPT = (
    "swept"  # mapping, sweep, mode, code, and the plan's numbers: read, equal, upserts, too_young, removals, held, retried
)
# Rows. `row` is the beginning of the link's key, a hash; `age` the seconds since the notification was first received.
SETTLED = "settled"  # notification, query, mapping, row, effects, seconds, age
DEFERRED = "deferred"  # notification, mapping, row, code, try, delay, age
DEAD_LETTER = "dead-letter"  # notification, mapping, row, code, tries
# A look at one mailbox for what people did there: events that were looked for, moved, deleted, and marked of these.
CALENDAR_SWEPT = "calendar-swept"  # looked, moved, deleted, marked, seconds
# Acumatica's sessions.
SIGNED_IN = "signed-in"  # slot
SIGNED_OUT = "signed-out"  # slot
SIGN_IN_FAILED = "sign-in-failed"  # code, try, delay
# Each minute. status, not_ready, missing, paused, trial; and of handlers.clients.condition: age (seconds since the oldest
# change was received that waits), waiting (messages), put_off (rows by code), dead_letters, held (removals, by the brake),
# sweeps_off (codes by mapping), poison, sign_in_failures, started (a notification was ever taken in), silent_hours,
# silent_weekday_hours (since the last one)
HEALTH = "health"

_TEXT_MAX = 500


def emit(event: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """Say that something has happened. Facts that are None are left out, long texts cut."""
    if not log.isEnabledFor(level):
        return
    known = {name: _short(value) for name, value in facts.items() if value is not None}
    log.log(level, "%s %s", event, json.dumps(known | {"version": __version__}, ensure_ascii=False))


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return value[:_TEXT_MAX] if isinstance(value, str) else value
