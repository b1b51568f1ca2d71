"""What is possible at most: what Graph, Acumatica and the host's settings allow, and what Azurite alone carries."""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping

from handlers.clients.links import LINKS
from local.bench.result import QUICK, Latency, Result
from local.host.config import HostJson
from local.measure import azurite_alone
from local.world import ROOT

SESSIONS = 4
_PER_MAILBOX = 4  # https://learn.microsoft.com/graph/throttling-limits#limits-per-mailbox


def at_a_time(settings: Mapping[str, str]) -> tuple[int, float]:
    """How many rows one host takes at a time: at most, and on average, since it fetches a batch below a threshold."""
    queues = HostJson.read(ROOT / "host.json", settings).queues
    return queues.batch_size + queues.threshold, queues.threshold + queues.batch_size / 2


def in_the_calendar(arrivals: Iterable[float], latency: Latency, lanes: int, sessions: int = SESSIONS) -> list[float]:
    """When each row, first come first served, would be in the calendar if only Graph and Acumatica took time.

    `lanes` rows are taken at a time; each makes its event, and then needs a session for its write-back.
    """
    free, seats = [0.0] * lanes, [0.0] * sessions
    moments = []
    for arrival in sorted(arrivals):
        made = max(arrival, heapq.heappop(free)) + latency.graph
        written = max(made, heapq.heappop(seats)) + latency.acumatica
        heapq.heappush(free, written)
        heapq.heappush(seats, written)
        moments.append(made)
    return moments


class Bounds:
    """Bounds in rows per second; Azurite alone is tried right after the case, as long as there is time."""

    def __init__(self, until: float, settings: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._until = until
        _, self._lanes = at_a_time(settings)
        self._tell = tell
        self._alone: dict[tuple[int, int], float] = {}

    def set(self, result: Result) -> None:
        """Put them beside what was reached."""
        graph, acumatica = result.latency
        if result.acumatica_calls:
            result.bounds["sessions"] = SESSIONS / acumatica
        if result.graph_calls:
            result.bounds["rows at a time"] = result.hosts * self._lanes / (graph + acumatica * bool(result.acumatica_calls))
            result.bounds["mailboxes"] = _PER_MAILBOX / graph / result.share
        if "offered" in result.bounds or result.latency != QUICK:
            return
        saves = round(sum(result.per_row(f"{LINKS} {kind}") for kind in ("insert", "replace")))
        kind = (saves, round(result.rows / result.notifications))
        if result.hosts == 1 and kind not in self._alone and self._until - time.monotonic() > result.seconds:
            self._tell(f"Azurite alone, as for: {result.case}")
            self._alone[kind] = azurite_alone(rows=result.rows, each=kind[1], saves=saves)
        if kind in self._alone:
            result.bounds["Azurite alone"] = self._alone[kind]
