"""Time zones: Windows and IANA names, which of them Graph can be told, and whether a site's dates are in one."""

import difflib
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import tz_win, win_tz

# IANA names that CLDR's table of Windows zones leaves out. What has no Windows zone of its own is told in UTC.
# https://github.com/unicode-org/cldr/blob/main/common/supplemental/windowsZones.xml
_FURTHER = {
    "GMT": "UTC",
    "CST6CDT": "Central Standard Time",
    "EST5EDT": "Eastern Standard Time",
    "MST7MDT": "Mountain Standard Time",
    "PST8PDT": "Pacific Standard Time",
    "US/East-Indiana": "US Eastern Standard Time",
    "Europe/Uzhgorod": "FLE Standard Time",
    "Europe/Zaporozhye": "FLE Standard Time",
    "Antarctica/Troll": "UTC",
}
_IANA = {name: str(windows) for name, windows in tz_win.items() if name} | _FURTHER
_WINDOWS = {name.casefold(): name for name in win_tz} | {"utc": "UTC"}
_CLOCKS = {**win_tz, "UTC": "Etc/UTC"}
_STEP = timedelta(minutes=15)  # all offsets in force are multiples of it
_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)


class Zone(NamedTuple):
    """A time zone, and the Windows zone that stands for it in Graph, whose clock may be another at times."""

    clock: ZoneInfo
    windows: str
    windows_clock: ZoneInfo

    def is_told_by(self, moment: datetime) -> bool:
        """Whether a moment's time on the wall, with the Windows zone's name, means that moment and no other."""
        there = moment.astimezone(self.windows_clock)
        return there.replace(tzinfo=None) == moment.replace(tzinfo=None) and not there.fold


def find_zone(name: str) -> Zone:
    """The time zone of a Windows or IANA name. Raises ValueError with the nearest name.

    Graph takes a Windows name everywhere; of the IANA names only some.
    https://learn.microsoft.com/graph/api/resources/datetimetimezone
    """
    if windows := _WINDOWS.get(name.casefold()):
        clock = ZoneInfo(_CLOCKS[windows])
        return Zone(clock, windows, clock)
    if windows := _IANA.get(name):
        return Zone(ZoneInfo(name), windows, ZoneInfo(_CLOCKS[windows]))
    near = difflib.get_close_matches(name, [*_WINDOWS.values(), *_IANA], 1, 0.6)
    raise ValueError(f"{name!r} is no Windows or IANA time zone{f'; did you mean {near[0]!r}?' if near else ''}")


def offset(push: str, odata: str) -> timedelta | None:
    """How far a site's clock is ahead of UTC: of one moment, as a push has it (local) and as OData has it (UTC, `Z`).

    None where the two do not tell: no dates and times, midnights (perhaps dates alone, which OData does not shift), or
    moments that are not the same.
    """
    with suppress(ValueError):
        local, utc = datetime.fromisoformat(push), datetime.fromisoformat(odata)
        if local.tzinfo is None and utc.tzinfo is UTC and not local.time() == utc.time() == time.min:
            ahead = local.replace(microsecond=0) - utc.replace(microsecond=0, tzinfo=None)
            return ahead if _WEST <= ahead <= _EAST and not ahead % _STEP else None
    return None


def deviation(zone: Zone, push: str, measured: timedelta) -> timedelta:
    """How far a measured offset is from the zone's own on that date; zero where it is either of an hour that comes twice."""
    local = datetime.fromisoformat(push)
    first, second = (local.replace(tzinfo=zone.clock, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return timedelta() if measured == second else measured - first
