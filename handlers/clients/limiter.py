"""Our own concurrency limit for each mailbox and receiver: who does not get in learns when to come again."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from handlers.sync.errors import Code, Later

_CONCURRENT = 3  # of the 4 requests at a time that Outlook takes per app and mailbox; one is left for another worker
_CAREFUL_SECONDS = 60.0
_PACE_SECONDS = 0.5  # that one row takes, about


@dataclass
class _Box:
    inside: int = 0
    places: int = _CONCURRENT
    shut_until: float = 0.0
    next_turn: float = 0.0  # when the last of those who did not get in may come again


class Limiter:
    """At most 3 rows at a time per name and worker; fewer for a while, and none at first, where it is throttled.

    A name is a mailbox, or that of a receiver. `code` and `reason`: what is said to who does not get in.
    """

    def __init__(self, code: Code, reason: str, clock: Callable[[], float] = time.time) -> None:
        self._code = code
        self._reason = reason
        self._clock = clock
        self._lock = threading.Lock()
        self._boxes: dict[str, _Box] = defaultdict(_Box)

    def enter(self, name: str) -> None:
        """Take a place. Raises Later with an estimate of the wait, first come first served."""
        with self._lock:
            now, box = self._clock(), self._boxes[name]
            if now >= box.shut_until + _CAREFUL_SECONDS:
                box.places = _CONCURRENT
            if box.inside < box.places and now >= box.shut_until:
                box.inside += 1
                return
            box.next_turn = max(now, box.shut_until, box.next_turn) + _PACE_SECONDS / box.places
            delay = box.next_turn - now
        raise Later(self._code, self._reason, _PACE_SECONDS + delay, counted=False)

    def leave(self, name: str) -> None:
        """Give the place back."""
        with self._lock:
            box = self._boxes[name]
            box.inside -= 1
            if not box.inside:
                box.next_turn = 0.0
                if box.places == _CONCURRENT:
                    del self._boxes[name]

    def throttled(self, name: str, seconds: float) -> None:
        """The answer was 429: nobody enters for that long, and one fewer at a time for a minute after it.

        Where several instances write to one place, none knows of the others but by this answer. Requests that are
        throttled together lower the limit once.
        """
        with self._lock:
            box = self._boxes[name]
            now = self._clock()
            if now >= box.shut_until:
                box.places = max(box.places - 1, 1)
            box.shut_until = max(box.shut_until, now + max(seconds, 1.0))


def mailbox_limiter(clock: Callable[[], float] = time.time) -> Limiter:
    """A limiter of mailboxes. https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits."""
    return Limiter(Code.MAILBOX_BUSY, "other rows of this mailbox are being written", clock)
