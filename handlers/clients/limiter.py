"""Our own concurrency limit for each mailbox: who does not get in waits a moment, or learns when to come again."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from handlers.sync.errors import Code, Later

_CONCURRENT = 4  # requests at a time that Outlook takes per app and mailbox; where others make some too, 429 lowers it
_PATIENCE = 2.0  # seconds that a row waits at most for its turn, instead of another round through the queue
_WAITING = 6  # rows that may wait at a time: half of those that an instance takes (host.json), the others go on
_CAREFUL_SECONDS = 60.0
_PACE_SECONDS = 0.5  # that one row takes, about


@dataclass
class _Mailbox:
    changed: threading.Condition  # of the limiter's lock; waited for by those in line
    line: deque[object] = field(default_factory=deque)
    inside: int = 0
    places: int = _CONCURRENT
    shut_until: float = 0.0
    next_turn: float = 0.0  # when the last of those who did not get in may come again


class MailboxLimiter:
    """At most 4 rows at a time per mailbox and worker; fewer for a while, and none at first, where Graph throttles it.

    https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
    """

    def __init__(self, clock: Callable[[], float] = time.time, patience: float = _PATIENCE) -> None:
        self.patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._mailboxes: dict[str, _Mailbox] = defaultdict(lambda: _Mailbox(threading.Condition(self._lock)))
        self._waiting = 0

    def enter(self, mailbox: str, *, wait: bool = False) -> None:
        """Take a place in a mailbox; `wait` for it where that does not take long.

        Raises Later with an estimate of the wait, first come first served.
        """
        with self._lock:
            box = self._mailboxes[mailbox]
            if (box.line or not self._room(box)) and not (wait and self._waited(box)):
                box.next_turn = max(self._clock(), box.shut_until, box.next_turn) + _PACE_SECONDS / box.places
                delay = _PACE_SECONDS + box.next_turn - self._clock()
                raise Later(Code.MAILBOX_BUSY, "other rows of this mailbox are being written", delay, counted=False)
            box.inside += 1

    def _room(self, box: _Mailbox) -> bool:
        now = self._clock()
        if now >= box.shut_until + _CAREFUL_SECONDS:
            box.places = _CONCURRENT
        return box.inside < box.places and now >= box.shut_until

    def _waited(self, box: _Mailbox) -> bool:
        """Stand in line; False if that would take too long, or does: also where the clock is set back, or stands still."""
        shut = box.shut_until - self._clock()
        estimate = max(shut, 0.0) + (len(box.line) + 1) * _PACE_SECONDS / box.places
        if estimate > self.patience or self._waiting >= _WAITING:
            return False
        place, ends = object(), time.monotonic() + self.patience
        box.line.append(place)
        self._waiting += 1
        try:
            while box.line[0] is not place or not self._room(box):
                left, shut = ends - time.monotonic(), box.shut_until - self._clock()
                if left <= 0:
                    return False
                box.changed.wait(min(left, shut) if shut > 0 else left)
            return True
        finally:
            box.line.remove(place)
            self._waiting -= 1
            box.changed.notify_all()  # there may be room for the next one, too

    def leave(self, mailbox: str) -> None:
        """Give the place back."""
        with self._lock:
            box = self._mailboxes[mailbox]
            box.inside -= 1
            box.changed.notify_all()
            if not (box.inside or box.line):
                box.next_turn = 0.0
                if box.places == _CONCURRENT:
                    del self._mailboxes[mailbox]

    def throttled(self, mailbox: str, seconds: float) -> None:
        """Graph has answered 429: nobody enters for that long, and one fewer at a time for a minute after it.

        Where several instances write to one mailbox, none knows of the others but by this answer. Requests that are
        throttled together lower the limit once.
        """
        with self._lock:
            box = self._mailboxes[mailbox]
            now = self._clock()
            if now >= box.shut_until:
                box.places = max(box.places - 1, 1)
            box.shut_until = max(box.shut_until, now + max(seconds, 1.0))
