"""Our own limits: who does not get in learns when its turn may come, so that each message bounces about once."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from handlers.sync.errors import Later

_CONCURRENT = 3  # of the 4 requests at a time that Outlook takes per app and mailbox; one is left for another worker


class Line:
    """People waiting for one thing; turns are `pace` seconds apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_turn = 0.0

    def place(self, now: float, pace: float) -> float:
        """Join the line; returns the seconds until the own turn."""
        with self._lock:
            self._last_turn = max(now, self._last_turn) + pace
            return self._last_turn - now


class Gate:
    """At most 3 rows at a time per mailbox and worker.

    https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: dict[str, int] = defaultdict(int)
        self._lines: dict[str, Line] = defaultdict(Line)
        self._pace = 0.5  # seconds that one row takes, as of late

    def enter(self, mailboxes: set[str]) -> None:
        """Take a place in each mailbox, or in none. Raises Later with a delay by the place in line."""
        with self._lock:
            full = [mailbox for mailbox in mailboxes if self._inside[mailbox] >= _CONCURRENT]
            if not full:
                for mailbox in mailboxes:
                    self._inside[mailbox] += 1
                return
            now = self._clock()
            delay = max(self._lines[mailbox].place(now, self._pace / _CONCURRENT) for mailbox in full)
        raise Later("other rows of this mailbox are being written", self._pace + delay, counted=False)

    def leave(self, mailboxes: set[str], seconds: float) -> None:
        """Give the places back after that many seconds inside."""
        with self._lock:
            self._pace = min(max(0.9 * self._pace + 0.1 * seconds, 0.05), 10.0)
            for mailbox in mailboxes:
                self._inside[mailbox] -= 1
                if not self._inside[mailbox]:
                    del self._inside[mailbox]
                    self._lines.pop(mailbox, None)
