"""Whether the inquiry of each mapping can be read by OData, as sweeps do, and has its dates in the mapping's zone."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from handlers.operations.check import Check, Verdict
from handlers.services import Services
from handlers.sync.change import link_key
from handlers.sync.errors import Code, Permanent, SyncError
from handlers.sync.mapping import Mapping
from handlers.sync.odata import Inquiry
from handlers.sync.odata_answers import find
from handlers.sync.site_zone import Measured, clock, measured
from handlers.sync.template import MissingColumns, Row

_LINKS_LOOKED_AT = 20
_NOTHING = timedelta()


def inquiries(services: Services) -> Iterator[Check]:
    """One check for each mapping's inquiry, and one for its time zone where rows can be read."""
    if not services.mappings:
        return
    try:
        exposed = services.inquiries.exposed()
    except SyncError as error:
        yield _unread("Inquiries", error)
        return
    for mapping in services.mappings.values():
        what = f"Inquiry of {mapping.name}"
        try:
            inquiry = find(exposed, mapping.sweep.inquiry or mapping.query)
            rows = _first_rows(services, mapping, inquiry)
        except SyncError as error:
            yield _unread(what, error)
            continue
        doubled = [name for column in mapping.columns for name in inquiry.doubles(column)]
        if doubled:
            seen = f"has columns that differ by a number alone: {', '.join(doubled)}"
            yield Check(what, "note", seen, "Give the columns captions of their own (SM208000).")
        else:
            yield Check(what, "ok", f"can be read by OData ({len(rows)} rows on its first page)")
        yield _zone(services, mapping, rows)


def _unread(what: str, error: SyncError) -> Check:
    """Without OData, no sweep reads the inquiry; pushes need none."""
    verdict: Verdict = "note" if error.code == Code.INQUIRY_NOT_EXPOSED else "fails"
    remedy = error.remedy if isinstance(error, Permanent) else "Check the ACUMATICA_* settings, and try again."
    return Check(what, verdict, f"no sweep can read it: {error}", remedy)


def _first_rows(services: Services, mapping: Mapping, inquiry: Inquiry) -> list[Row]:
    """The first page, if the inquiry has all columns of the mapping. Raises SyncError."""
    for column in mapping.columns:
        inquiry.column(column)
    return next(services.inquiries.pages(inquiry, mapping.key)).rows


def _zone(services: Services, mapping: Mapping, rows: list[Row]) -> Check:
    """Pushes have local times and OData has UTC, so a row that came both ways tells the site's offset on its date."""
    what = f"Zone of {mapping.name}"
    found = [each for row in rows[:_LINKS_LOOKED_AT] for each in _measured(services, mapping, row)]
    if not found:
        return Check(what, "note", "not measured: no row with a date and time has come both by push and by OData")
    told = ", ".join(dict.fromkeys(f"{_utc(one.offset)} on {one.day}" for one in found))
    counts = Counter(one.deviation for one in found)
    wrong, times = counts.most_common(1)[0]
    if counts[_NOTHING] == times:
        return Check(what, "ok", f"the site's dates have {told}, as time_zone says")
    seen = f"the site's dates have {told}; the mapping's time_zone is {_hours(wrong)} off"
    if times < 2:
        return Check(what, "note", seen, "This is one row, which may have changed meanwhile: look again.")
    return Check(what, "fails", seen, "Correct the mapping's time_zone: events are at the wrong hour.")


def _measured(services: Services, mapping: Mapping, row: Row) -> list[Measured]:
    try:
        shown, key = mapping.pick(row), mapping.key_of(row)
    except MissingColumns:
        return []
    link, _ = services.storage.links.load(link_key(services.company, mapping.name, key))
    return list(measured(mapping, shown, link))


def _utc(ahead: timedelta) -> str:
    return f"UTC{'−' if ahead < _NOTHING else '+'}{clock(ahead)}"


def _hours(span: timedelta) -> str:
    return f"{clock(span)} h"
