"""What one case of the bench has shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

PERCENTS = (50, 95, 99, 100)


class Latency(NamedTuple):
    """Seconds that the fakes take for each request."""

    graph: float
    acumatica: float


QUICK = Latency(0.020, 0.030)  # so that the app and storage bind
SLOW_GRAPH = Latency(0.300, 0.030)  # so that mailboxes bind
LIFE = Latency(0.300, 0.400)


def percentile(values: Sequence[float], percent: int) -> float:
    """What so many percent of the values are within; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0.0


@dataclass
class Result:
    """What one case has shown; times in seconds unless the name says milliseconds."""

    case: str
    hosts: int
    rows: int
    notifications: int
    latency: Latency = QUICK
    seconds: float = 0.0  # from the first notification until no message is left
    answers_ms: list[float] = field(default_factory=list)
    calendar: list[float] = field(default_factory=list)  # from the answered notification to the event, for each row
    floor: list[float] = field(default_factory=list)  # the same if nothing but Graph and Acumatica took time
    graph_calls: int = 0
    acumatica_calls: int = 0  # sign-ins and sign-outs included
    sign_ins: int = 0
    faults: int = 0  # requests that the fakes did not answer as usual
    operations: dict[str, int] = field(default_factory=dict)
    host_mib: float = 0.0  # of the largest host, at its peak
    host_cpu: float = 0.0  # of all hosts
    azurite_cpu: float = 0.0
    bench_cpu: float = 0.0  # of the fakes and of the load
    other_cpu: float = 0.0  # of everything else on the machine: what disturbs the measurement
    deferred: int = 0
    sessions_open: int = 0
    share: float = 0.0  # of the mailbox that has the most rows
    bounds: dict[str, float] = field(default_factory=dict)  # rows per second
    differences: list[str] = field(default_factory=list)
    unfinished: str = ""  # how far it came, if the time was over before

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def bound(self) -> float:
        """The least of the bounds."""
        return min(self.bounds.values(), default=0.0)

    def each(self, total: float) -> float:
        """So much for each row."""
        return total / (self.rows or 1)

    def per_row(self, operation: str) -> float:
        """Operations of one kind for each row."""
        return self.each(self.operations.get(operation, 0))

    def answered(self, percent: int) -> float:
        """Milliseconds within which so many percent of the notifications were answered."""
        return percentile(self.answers_ms, percent)

    def as_json(self) -> dict[str, Any]:
        """All of it, with what is told of it."""
        told = asdict(self) | {"latency": self.latency._asdict(), "rate": self.rate, "bound": self.bound}
        told |= {f"answer_p{percent}_ms": self.answered(percent) for percent in PERCENTS}
        for name, times in (("calendar", self.calendar), ("floor", self.floor)):
            told |= {f"{name}_p{percent}": percentile(times, percent) for percent in PERCENTS}
        return told
