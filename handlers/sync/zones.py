"""Time zones: Windows and IANA names, and what stands for them."""

import difflib

from tzlocal.windows_tz import tz_win, win_tz

# Graph takes a Windows name everywhere; of the IANA names only some (https://learn.microsoft.com/graph/api/resources/datetimetimezone).
_WINDOWS_NAMES = {name.casefold(): name for name in win_tz} | {"utc": "UTC"}


def windows_zone(zone: str) -> str:
    """The Windows name of a time zone. Raises ValueError with the nearest name."""
    if known := _WINDOWS_NAMES.get(zone.casefold()):
        return known
    if zone and zone in tz_win:  # (it has a name for nothing)
        return str(tz_win[zone])
    near = difflib.get_close_matches(zone, [*_WINDOWS_NAMES.values(), *tz_win], 1, 0.6)
    raise ValueError(f"{zone!r} is no Windows or IANA time zone{f'; did you mean {near[0]!r}?' if near else ''}")
