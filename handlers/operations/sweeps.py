"""Sweeps and what the brake holds, as people see them: how each mapping stands, sweep now, release, discard."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from handlers.again import Refused
from handlers.clients.held import Hold
from handlers.clients.storage import Storage
from handlers.clients.sweeps import Order, Sweep
from handlers.operations.activity import KEY
from handlers.services import Intake, Services
from handlers.sweep import Overtaken, step
from handlers.sweep_start import mode_of, start
from handlers.sync.mapping import Mapping

__all__ = ["Overtaken"]

HOLDS = 200  # shown


@dataclass(frozen=True)
class Standing:
    """A mapping, and its newest sweep."""

    mapping: Mapping
    sweep: Sweep | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        known: dict[str, Any] = {"mapping": self.mapping.name, "mode": self.mapping.sweep.mode}
        return known | ({"sweep": sweep_as_json(self.sweep)} if self.sweep else {})


def sweep_as_json(sweep: Sweep) -> dict[str, Any]:
    """A sweep with its plan, for programs."""
    told = {
        "id": sweep.id,
        "mapping": sweep.mapping,
        "mode": sweep.mode,
        "by": sweep.by,
        "started": _moment(sweep.started).isoformat(),
        "saved": _moment(sweep.saved).isoformat(),
        "phase": sweep.phase,
        "code": sweep.code or None,
        "reason": sweep.reason or None,
        "remedy": sweep.remedy or None,
    }
    return told | {"plan": sweep.plan.encode() | {"sigma": str(sweep.plan.sigma)}}  # ticks are no numbers of JavaScript


def hold_as_json(hold: Hold) -> dict[str, Any]:
    """A hold, for programs; without the rows."""
    names = ("id", "source", "mapping", "count", "reason", "state", "done")
    return {name: getattr(hold, name) for name in names} | {
        "sample": [", ".join(key) for key in hold.sample],
        "at": hold.at.isoformat(),
        "timestamp": str(hold.timestamp),
    }


def standings(intake: Intake) -> list[Standing]:
    """Each active mapping with its newest sweep."""
    known = {sweep.mapping: sweep for sweep in intake.storage.sweeps.all()}
    return [Standing(mapping, known.get(name)) for name, mapping in intake.mappings.items()]


def begin(name: str, intake: Intake, who: str, *, apply: bool, queue: bool = True) -> Sweep:
    """Begin a sweep; without `apply` it is a report. Raises Refused."""
    mapping = intake.mappings.get(name)
    if mapping is None:
        raise Refused(f"There is no active mapping {name!r}. Active: {', '.join(intake.mappings) or 'none'}.")
    if mapping.sweep.mode == "off":
        raise Refused(f'The mapping {name} says that it is not swept: mode = "off".')
    found, begun = start(name, mode_of(mapping, apply=apply) if apply else "report", who, intake, queue=queue)
    if not begun:
        raise Refused(f"A sweep of {name} is under way since {_moment(found.started):%Y-%m-%d %H:%M} UTC.")
    return found


def run(
    sweep: Sweep, services: Services, wait: Callable[[float], None], watch: Callable[[Sweep], None] = lambda _: None
) -> Sweep:
    """Carry a sweep out here and now. Whoever is stopped leaves the rest of it to the app. Raises Overtaken."""
    try:
        while sweep.phase != "done":
            sweep, delay = step(sweep, services, watch=watch)
            wait(delay)
    finally:
        if sweep.phase != "done":
            services.storage.sweeps.send(Order(sweep.mapping, sweep.id))
    return sweep


# -- what is held ------------------------------------------------------------------------------------------------------


def holds(storage: Storage) -> list[Hold]:
    """Removals that wait for somebody, the newest first."""
    return sorted(storage.held.open(HOLDS), key=lambda hold: hold.at, reverse=True)


def release(key: str, intake: Intake, who: str) -> Hold:
    """Let the removals of a hold be done; the queue brings them. Raises Refused."""
    hold = _open(key, intake)
    if hold.mapping not in intake.mappings:
        raise Refused(f"There is no active mapping {hold.mapping!r}: add {hold.mapping}.toml again, or discard it.")
    if hold.state == "held":
        first = "; ".join(", ".join(name) for name in hold.sample[:3])
        run = intake.activity.person("released", who, mapping=hold.mapping, changes=hold.count, first=first)
        released = intake.storage.held.releasing(hold, _now(intake), who, run)
        if released is None:
            raise Refused("It has changed meanwhile; look at it again.")
        hold = released
    intake.storage.sweeps.send(Order(hold=key))  # once more, should the message have got lost
    return hold


def discard(key: str, intake: Intake, who: str, why: str) -> Hold:
    """Forget the removals of a hold: the events stay. Raises Refused."""
    hold = _open(key, intake)
    if not why:
        raise Refused("Say why (--why): it is kept with the run that records it.")
    decided = intake.storage.held.decide(hold, "discarded", _now(intake), who, why)
    if decided is None:
        raise Refused("It has changed meanwhile; look at it again.")
    intake.activity.person("discarded", who, why=why, mapping=hold.mapping, problems=f"{hold.count} removals: {hold.reason}")
    return decided


def _open(key: str, intake: Intake) -> Hold:
    hold = intake.storage.held.get(key) if KEY.fullmatch(key) else None
    if hold is None or not hold.open:
        raise Refused("There is nothing held under this id (any more).")
    return hold


def _now(intake: Intake) -> datetime:
    return _moment(intake.clock())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
