"""What a sweep asks besides rows: are they the known ones, can the inquiry be read, are single rows really absent."""

from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Any

from handlers.clients.inquiries import Inquiries
from handlers.clients.links import ListedLinks
from handlers.services import NotReady, Services
from handlers.sync.errors import Code, Permanent
from handlers.sync.mapping import Mapping
from handlers.sync.odata import Inquiry
from handlers.sync.snapshot_values import as_pushed, known_zone
from handlers.sync.template import Row

SHOW_IT = "Put the column into the inquiry's Results Grid (SM208000)."  # that mappings read, and rows lack
_LOOKED_UP = 20  # keys between two saves

type Missing = tuple[str, tuple[str, ...]]  # the key of a link, and that of its row


def same_identity(mapping: Mapping, services: Services, *, pin: bool) -> None:
    """Tenant and key columns are those that the mapping's events are tied to; `pin` them at their first use.

    With others every row would be a new one. Raises Permanent where they differ; pushes are refused then, too.
    """
    try:
        services.check_pins([mapping.name], pin=pin)
    except NotReady as error:
        raise Permanent(Code.NOT_READY, f"{'; '.join(error.problems)}.", "Correct that, and sweep again.") from None


def exposed(mapping: Mapping, inquiries: Inquiries) -> Inquiry:
    """The mapping's inquiry, with all columns that the mapping reads. Raises SyncError; Permanent: it cannot be swept."""
    found = inquiries.find(mapping.sweep.inquiry or mapping.query)
    for column in mapping.columns:
        found.column(column)
    return found


def looked_up(
    missing: Sequence[Missing], links: ListedLinks, inquiry: Inquiry, mapping: Mapping, services: Services
) -> Iterator[tuple[Sequence[Missing], list[tuple[str, ...]]]]:
    """Look rows up by their keys, some at a time: these, and the row keys of those that are absent. Raises SyncError."""

    def shown(row: Row) -> Row:
        return as_pushed(row, known_zone(mapping, mapping.pick(row)))

    witness = _witness(inquiry, mapping, services) if missing else None
    for some in batched(missing, _LOOKED_UP, strict=False):
        wanted = [dict(zip(mapping.key, _values(links, *each, mapping), strict=True)) for each in some]
        # Where the inquiry shows no row at all, it has just said that each is absent.
        absent = services.inquiries.absent(inquiry, wanted, witness, shown) if witness else set(range(len(some)))
        yield some, [row_key for number, (_, row_key) in enumerate(some) if number in absent]


def _witness(inquiry: Inquiry, mapping: Mapping, services: Services) -> Row | None:
    """The key of a row that is there, as OData shows it: none of an inquiry that shows no rows."""
    page = next(services.inquiries.pages(inquiry, mapping.key))
    return {column: page.rows[0].get(inquiry.column(column)) for column in mapping.key} if page.rows else None


def _values(links: ListedLinks, key: str, row_key: tuple[str, ...], mapping: Mapping) -> list[Any]:
    """A row's key values: numbers as numbers, text without the blanks that Acumatica pads it with."""
    link = links.get(key)
    row = link.row if link else {}
    told = [(row.get(column), text) for column, text in zip(mapping.key, row_key, strict=True)]
    return [text if value is None or isinstance(value, str) else value for value, text in told]
