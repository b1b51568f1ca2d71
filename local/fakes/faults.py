"""Faults that a test or a demo injects: which requests they hit, how often, and what then happens."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol, get_args

from local.fakes.answers import ANSWERS

type Kind = Literal["status", "status_after", "reset_before", "reset_after", "slow", "slow_after"]


@dataclass(frozen=True)
class Fault:
    """One kind of trouble. It hits requests that fit all of `method`, `path`, `mailbox` and `entity`.

    status        answer with `answer`, or with `status`, `headers` and `body` (the service's own shape where none is given);
                  not carried out
    status_after  the same, but carried out before that
    reset_before  close the connection; not carried out
    reset_after   carry out, then close the connection without an answer
    slow          wait `seconds`, then as usual
    slow_after    carry out, wait `seconds`, then answer

    `answer` names one of answers.py; where status, headers or body are given as well, they take the place of its own.
    """

    kind: Kind = "status"
    method: str = ""  # nothing means any
    path: str = ""  # a regular expression, searched for in path and query as they were sent
    mailbox: str = ""
    entity: str = ""
    times: int | None = None  # how often; None means always
    probability: float = 1.0
    status: int = 0  # none: that of the answer, else 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0
    answer: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not exist: a fault that never happens lets its test pass."""
        if self.kind not in get_args(Kind.__value__):
            raise ValueError(f"There is no kind of fault {self.kind!r}, but {', '.join(get_args(Kind.__value__))}.")
        if self.answer and (self.answer not in ANSWERS or not self.kind.startswith("status")):
            raise ValueError(f"There is no answer {self.answer!r} of a {self.kind}, but {', '.join(ANSWERS)}.")

    def fits(self, request: "Request") -> bool:
        """Whether a request is one of those that this fault is for."""
        return (
            self.method.upper() in {"", request.method}
            and self.mailbox.lower() in {"", request.mailbox}
            and self.entity in {"", request.entity}
            and re.search(self.path, request.path) is not None
        )


class Request(Protocol):
    """What a fault looks at."""

    method: str
    path: str
    mailbox: str
    entity: str


class Faults:
    """The faults of one service. Safe for many threads; the seed decides which requests a probability hits."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._active: list[tuple[Fault, int | None]] = []
        self.drawn: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Put faults behind those that are there already; the first that fits a request is taken."""
        with self._lock:
            self._active += [(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._active.clear()

    def active(self) -> list[Fault]:
        """The faults that are not used up."""
        with self._lock:
            return [fault for fault, _ in self._active]

    def draw(self, request: Request) -> Fault | None:
        """The fault that hits this request."""
        with self._lock:
            for place, (fault, left) in enumerate(self._active):
                if not fault.fits(request) or self._random.random() >= fault.probability:
                    continue
                if left == 1:
                    del self._active[place]
                elif left is not None:
                    self._active[place] = (fault, left - 1)
                self.drawn.append(fault)
                return fault
        return None
