"""Timer triggers: NCRONTAB schedules in UTC.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer
"""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product

from local.host.config import ConfigError, resolve
from local.host.invocations import Invocations
from local.host.worker import Data, Function

_NAMES = {name: n for n, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))} | {
    name: n
    for n, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)
}


class Schedule:
    """An NCRONTAB expression: second (may be left out), minute, hour, day, month, day of the week.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """

    def __init__(self, expression: str) -> None:
        """Read an expression; raise ValueError when it is none."""
        fields = expression.split()
        if len(fields) not in {5, 6}:
            raise ValueError(f"{expression!r} has {len(fields)} fields; a schedule has five or six.")
        try:
            second, minute, hour, day, month, weekday = ["0", *fields][-6:]
            self._times = list(product(_values(hour, 0, 23), _values(minute, 0, 59), _values(second, 0, 59)))
            self._days, self._months = _values(day, 1, 31), _values(month, 1, 12)
            self._weekdays = {value % 7 for value in _values(weekday, 0, 7)}
        except ValueError as error:
            raise ValueError(f"{expression!r} is no schedule: {error}") from error

    def after(self, moment: datetime) -> datetime:
        """Return the first occurrence after a moment."""
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight + timedelta(days=n) for n in range(366 * 8)):
            if day.day in self._days and day.month in self._months and day.isoweekday() % 7 in self._weekdays:
                for hour, minute, second in self._times:
                    occurrence = day.replace(hour=hour, minute=minute, second=second)
                    if occurrence > moment:
                        return occurrence
        raise ValueError("The schedule never occurs.")


def _values(field: str, lowest: int, highest: int) -> list[int]:
    """Return the values that a field like `*`, `5`, `1-5`, `*/10`, `mon-fri` or `1,15` stands for."""
    values: set[int] = set()
    for part in field.lower().split(","):
        match = re.fullmatch(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if not match:
            raise ValueError(f"{part!r}")
        first, last, step = match.groups()
        start = lowest if first is None else _value(first)
        end = _value(last) if last else highest if first is None or step else start
        if not lowest <= start <= end <= highest or step == "0":
            raise ValueError(f"{part!r} is not within {lowest}-{highest}")
        values.update(range(start, end + 1, int(step or 1)))
    return sorted(values)


def _value(text: str) -> int:
    return int(text) if text.isdigit() else _NAMES.get(text[:3], -1)


class Timer:
    """Runs one function whenever its schedule says so, never twice at once."""

    def __init__(self, function: Function, settings: Mapping[str, str], invocations: Invocations) -> None:
        self._function = function
        self._invocations = invocations
        self._last: datetime | None = None
        text = resolve(function.trigger["schedule"], settings)
        try:
            self._schedule = Schedule(text)
            self._schedule.after(_now())
        except ValueError as error:
            raise ConfigError(f"The timer of {function.name}: {error}") from error

    async def run(self) -> None:
        """Fire until cancelled. A run that has begun is finished all the same."""
        if self._function.trigger.get("runOnStartup"):
            await self._fire()
        while True:
            pause = self._schedule.after(_now()) - _now()
            await asyncio.sleep(max(0.0, pause.total_seconds()))
            await self._fire()

    async def _fire(self) -> None:
        await asyncio.shield(self._invocations.begin(self.fire()))

    async def fire(self, _text: str = "") -> None:
        """Run the function now."""
        status = {
            "Last": (self._last or datetime.min.replace(tzinfo=UTC)).isoformat(),
            "Next": self._schedule.after(_now()).isoformat(),
            "LastUpdated": (self._last or datetime.min.replace(tzinfo=UTC)).isoformat(),
        }
        self._last = _now()
        info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
        await self._invocations.run(self._function, Data("json", json.dumps(info)))


def _now() -> datetime:
    return datetime.now(UTC)
