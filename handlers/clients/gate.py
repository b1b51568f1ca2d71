"""Our own limits: who does not get in learns when its turn may come, so that each message bounces about once."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from handlers.sync.errors import Code, Later

_CAREFUL_SECONDS = 60.0
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


@dataclass
class _Mailbox:
    inside: int = 0
    places: int = _CONCURRENT
    shut_until: float = 0.0
    line: Line = field(default_factory=Line)


class Gate:
    """At most 3 rows at a time per mailbox and worker; fewer for a while, and none at first, where Graph throttles it.

    https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mailboxes: dict[str, _Mailbox] = defaultdict(_Mailbox)
        self._pace = 0.5  # seconds that one row takes, as of late

    def enter(self, mailboxes: set[str]) -> None:
        """Take a place in each mailbox, or in none. Raises Later with a delay by the place in line."""
        with self._lock:
            now = self._clock()
            boxes = [self._mailboxes[mailbox] for mailbox in mailboxes]
            for box in boxes:
                if now >= box.shut_until + _CAREFUL_SECONDS:
                    box.places = _CONCURRENT
            full = [box for box in boxes if box.inside >= box.places or now < box.shut_until]
            if not full:
                for box in boxes:
                    box.inside += 1
                return
            delay = max(max(box.shut_until - now, 0.0) + box.line.place(now, self._pace / box.places) for box in full)
        raise Later(Code.MAILBOX_BUSY, "other rows of this mailbox are being written", self._pace + delay, counted=False)

    def leave(self, mailboxes: set[str], seconds: float) -> None:
        """Give the places back after that many seconds inside."""
        with self._lock:
            self._pace = min(max(0.9 * self._pace + 0.1 * seconds, 0.05), 10.0)
            for mailbox in mailboxes:
                box = self._mailboxes[mailbox]
                box.inside -= 1
                if not box.inside:
                    box.line = Line()
                    if box.places == _CONCURRENT:
                        del self._mailboxes[mailbox]

    def throttled(self, mailbox: str, seconds: float) -> None:
        """Graph has answered 429: nobody enters for that long, and one fewer at a time for a minute after it.

        Where several instances write to one mailbox, none knows of the others but by this answer.
        """
        with self._lock:
            box = self._mailboxes[mailbox]
            now = self._clock()
            if now >= box.shut_until:  # those that were under way together are told off once
                box.places = max(box.places - 1, 1)
            box.shut_until = max(box.shut_until, now + max(seconds, 1.0))
