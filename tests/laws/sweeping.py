"""Sweeps in the simulation: the real code of handlers.sweep and all below it, on an inquiry that OData shows.

Each request is a step, and so is each use of storage. Acumatica's answers are made by the fake that the other tests use.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from handlers.clients.acumatica import Read
from handlers.sync.change import SNAPSHOT, RowChange, datetime_to_ticks
from handlers.sync.odata_answers import odata_error
from local.fakes.acumatica.inquiries import Inquiries
from local.fakes.acumatica.sessions import Session
from local.fakes.acumatica.switches import AcumaticaSwitches
from local.fakes.calls import Call, Reply
from tests.laws.world import MARGIN, REMOVALS_MAX, shown

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation

_COLUMNS = dict.fromkeys(("Key", "Owner", "Subject", "Room", "Note", "Stage"), "string") | {"NoteID": "guid"}
_TICKS = 10_000_000


@dataclass(eq=False)
class Sweeping:
    """The schedule begins a sweep."""

    failures: int = 0


class Site:
    """What Acumatica shows of its one inquiry by OData, for handlers.clients.sessions.Sessions."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._session = Session("s", "token", 0.0)
        self._inquiries = Inquiries(0)
        self._inquiries.switches = AcumaticaSwitches()
        self._inquiries.expose("Q", self._rows, _COLUMNS, ("Key",))

    def _rows(self) -> list[dict[str, Any]]:
        return [shown(row, state) for row, state in self._sim.rows.items()] if self._fault() != "emptied" else []

    def read(self, path: str, words: str) -> Read:
        """One request."""
        call = "date" if path.endswith("$metadata") else "look-up" if "%20eq%20" in path else "page"
        step = self._sim.scheduler.step
        return step(call, f"reads {words}", lambda: self._answer(call, path), remote=True, show=lambda _: "")

    def _answer(self, call: str, path: str) -> Read:
        date = datetime.fromtimestamp(self._sim.now, UTC)
        if call != "date" and self._fault() == "broken":
            return Read(b"", date)
        asked = Call("GET", path, {}, None)
        reply = self._inquiries.odata(asked, self._session, "4", asked.segments[5:])
        if reply.status != 200:
            raise odata_error(reply.status, {}, _bytes(reply), "Q")
        return Read(_bytes(reply), date)

    def _fault(self) -> str:
        since = self._sim.now - self._sim.scheduler.began
        return next((f.kind for f in self._sim.story.faults if f.at <= since < f.at + f.lasts), "")


class Witness:
    """Knows what no sweep may do."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self.since: dict[str, float] = {}  # when a row came into the inquiry
        self.idle = False  # all is in order, so that a sweep has nothing to do

    def see(self, change: RowChange) -> None:
        """A change is sent to the queue."""
        if change.origin != SNAPSHOT:
            return
        row = change.key[0]
        if self.idle:
            self._sim.bugs.append(f"a sweep sends row {row}, although all is in order")
        if change.row is None and row in self._sim.rows and self._seconds(self.since[row]) <= change.timestamp:
            self._removed(row)

    def _seconds(self, moment: float) -> int:
        """The σ of a sweep that began then."""
        return datetime_to_ticks(datetime.fromtimestamp(moment, UTC)) - int(MARGIN * _TICKS)

    def _removed(self, row: str) -> None:
        """No row is removed that was in the inquiry all the time; but of one that is emptied meanwhile, some may be."""
        sweep, began = self._sim.store.sweeps.newest(), self._sim.scheduler.began
        emptied = any(
            f.kind == "emptied" and sweep and f.at + f.lasts + began > sweep.started for f in self._sim.story.faults
        )
        if not (emptied and sweep and sweep.plan.read and sweep.plan.removals <= REMOVALS_MAX):
            self._sim.bugs.append(f"a sweep removes row {row}, which is in the inquiry")


def _bytes(reply: Reply) -> bytes:
    return (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
