"""Which zone the site's dates are in: a push has them in the site's own time, and OData the same moments in UTC."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.snapshot_values import known_zone, pushed
from handlers.sync.template import Row, as_text
from handlers.sync.zones import deviation, offset

_ROWS = 3  # that have to agree: a single one may have changed by hours
_NOTHING = timedelta()


class Measured(NamedTuple):
    """The site's offset on a day, and how far it is from that of the mapping's zone."""

    day: str
    offset: timedelta
    deviation: timedelta


def measured(mapping: Mapping, row: Row, link: EventLink | None) -> Iterator[Measured]:
    """Of each date and time of a row (of picked columns) that a push has brought."""
    zone = known_zone(mapping, link.row) if link and link.present else None
    if not link or not zone:
        return
    for name in link.columns:
        told = pushed(link, name)
        if (found := offset(told, as_text(row.get(name)))) is not None:
            yield Measured(told[:10], found, deviation(zone, told, found))


def off(mapping: Mapping, rows: Iterable[tuple[Row, EventLink | None]]) -> str:
    """How far the site's clock is from the mapping's zone, as in `03:00`; empty where it is right, or few rows tell."""
    each = [found for row, link in rows if (found := {one.deviation for one in measured(mapping, row, link)})]
    agreed = set[timedelta]().union(*each)
    return clock(agreed.pop()) if len(each) >= _ROWS and len(agreed) == 1 and _NOTHING not in agreed else ""


def clock(span: timedelta) -> str:
    """Hours and minutes, without a sign."""
    hours, minutes = divmod(abs(span) // timedelta(minutes=1), 60)
    return f"{hours:02}:{minutes:02}"
