"""Acumatica's transactions in the simulation, what the inquiry shows of them, and their notifications."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from handlers.sync.change import datetime_to_ticks
from tests.laws.story import Change
from tests.laws.world import BEGINNING, State, change_of, inserted, note_id, shown

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation


@dataclass(eq=False)
class Request:
    """A notification under way to the app; Acumatica sends it again until it is answered with 2xx."""

    body: bytes
    words: str
    failures: int = 0


class Transactions:
    """One at a time for each row."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._ticks = datetime_to_ticks(BEGINNING)
        self._busy: dict[str, float] = {}  # rows that a transaction has, and until when

    def begin(self, change: Change, words: str) -> None:
        """A transaction begins in Acumatica: one at a time for each row."""
        if change.row in self._busy:
            self._sim.scheduler.at(self._busy[change.row], partial(self.begin, change, words))
            return
        self._ticks = max(self._ticks + 1, datetime_to_ticks(datetime.fromtimestamp(self._sim.now, UTC)))
        if change.lasts:
            self._busy[change.row] = self._sim.now + change.lasts
            self._sim.scheduler.at(self._sim.now + change.lasts, partial(self._commit, change, words, self._ticks))
        else:
            self._commit(change, words, self._ticks)

    def _commit(self, change: Change, words: str, ticks: int) -> None:
        """Its end: the inquiry shows what it did, and its notifications are on their way."""
        row, state, old = change.row, change.state, self._sim.rows.get(change.row)
        self._busy.pop(row, None)
        if state is None and old is None:
            return
        new = inserted(row, state, self._sim.sound.get(row), change.bad) if state else []
        deleted = [shown(row, old)] if old else []
        if state:
            self._sim.rows[row] = state
            self._sim.witness.since.setdefault(row, self._sim.now)
        else:
            del self._sim.rows[row], self._sim.witness.since[row]
        what = f"{words}, row {row} {f'is {state}' if state else 'leaves the inquiry'}"
        what += f" ({change.bad})" if change.bad else ""
        what += "" if change.deliveries else " (lost)"
        self._sim.scheduler.log.append(f"{self._sim.now - self._sim.scheduler.began:6.0f} s  Acumatica: {what}")
        halved = bool(change.halves and new and deleted)
        body = {"Query": "Q", "CompanyId": "t", "Id": words, "TimeStamp": ticks}
        self._remember(change, new, ticks, halved=halved)
        if halved:
            self._deliver(body | {"Inserted": new, "Deleted": []}, change.deliveries, f"{words}, Inserted")
            self._deliver(body | {"Inserted": [], "Deleted": deleted}, change.halves, f"{words}, Deleted")
        else:
            self._deliver(body | {"Inserted": new, "Deleted": deleted}, change.deliveries, words)

    def _remember(self, change: Change, inserted: list[Any], ticks: int, *, halved: bool) -> None:
        """What the app can know of the row by this change."""
        row = change.row
        if change.bad:
            self._sim.bad.add(row)
            self._sim.sound.setdefault(row, None)
            if not halved:
                return
        else:
            self._sim.bad.discard(row)
        self._sim.sound[row] = None if change.bad else change.state
        sent = None if change.bad or not inserted else inserted[0]
        self._sim.newest[row] = replace(change_of(row, ticks, None), row=sent)

    def _deliver(self, notification: dict[str, Any], delays: tuple[int, ...], words: str) -> None:
        text = json.dumps(notification).encode()
        for number, delay in enumerate(delays):
            request = Request(text, f"{words}{' again' if number else ''}")
            self._sim.scheduler.at(self._sim.now + delay, partial(self._sim.requests.append, request))

    def echo(self, record: str) -> None:
        """A write-back has changed a record: its row is notified of, if it is in the inquiry."""
        row = next((row for row in self._sim.rows if note_id(row) == record), None)
        if row and self._sim.story.echo is not None:
            state = self._sim.rows[row]
            self._sim.scheduler.at(self._sim.now + 1, lambda: self._echo(row, state))

    def _echo(self, row: str, state: State) -> None:
        if self._sim.rows.get(row) == state:
            self.begin(Change(0, row, state, (self._sim.story.echo or 0,)), f"echo {self._sim.next()}")
