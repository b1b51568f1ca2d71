"""OData: how the rows of a Generic Inquiry are asked for. What comes back is read by odata_answers.py.

Version 4 stands at <site>/t/<tenant>/api/odata/gi (from 2024 R2 on), version 3 at <site>/OData/<tenant>.
https://help.acumatica.com, topics "Generic Inquiry Access Through OData" and "Generic Inquiries and OData"
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from handlers.sync.errors import Code, Permanent
from handlers.sync.template import Row, as_text, folded

type Version = Literal["3", "4"]
type Key = Mapping[str, Any]  # value by column

_FILTER_MAX = 1500  # characters as they are sent; IIS takes 2,048 of a query unless told otherwise
_INTEGERS = {"Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64"}
_FRACTIONS = {"Edm.Decimal", "Edm.Double", "Edm.Single"}
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DATES = {"Edm.Date", "Edm.DateTime", "Edm.DateTimeOffset"}


@dataclass(frozen=True)
class Inquiry:
    """An inquiry that is exposed. `date` is Acumatica's clock when it said so: before any row of it was read."""

    name: str
    columns: Mapping[str, str]  # type by name, such as Edm.String
    keys: tuple[str, ...]  # of its tables
    parameters: bool  # it needs some; without them it shows no rows, and says nothing
    date: datetime = field(compare=False)

    def column(self, name: str) -> str:
        """What OData calls a column of a mapping. Raises Permanent."""
        if name in self.columns:
            return name
        for known in self.columns:
            if folded(known) == folded(name):
                return known
        there = ", ".join(sorted(self.columns)[:50]) or "none"
        raise Permanent(
            Code.COLUMN_MISSING,
            f"By OData, the inquiry {self.name} has no column {name}. Columns that it has: {there}.",
            "Correct the mapping, or the column's caption on the form Generic Inquiry (SM208000).",
        )

    def doubles(self, name: str) -> list[str]:
        """Further columns with the caption of this one, which OData tells apart by a number: X, X_2."""
        return [known for known in self.columns if re.fullmatch(rf"{re.escape(self.column(name))}_\d+", known)]


@dataclass(frozen=True)
class LookUp:
    """A filter for some keys, by their numbers, and for the witness: the key of a row that has to be found."""

    path: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Service:
    """Where a tenant's inquiries are, in one of the versions. Paths begin behind the site's own."""

    version: Version
    tenant: str

    @property
    def root(self) -> str:
        """The path that all others begin with."""
        name = quote(self.tenant, safe="")
        return f"/t/{name}/api/odata/gi" if self.version == "4" else f"/OData/{name}"

    @property
    def metadata(self) -> str:
        """Where it says which inquiries there are."""
        return f"{self.root}/$metadata"

    def page(self, inquiry: Inquiry, order_by: Sequence[str], skip: int, top: int) -> str:
        """A page of rows. Without an order, Acumatica shows them in any. Raises Permanent."""
        order = ",".join(inquiry.column(name) for name in order_by)
        return self._path(inquiry, {"$orderby": order, "$top": str(top), "$skip": str(skip)})

    def look_ups(self, inquiry: Inquiry, keys: Sequence[Key], witness: Key, top: int) -> Iterator[LookUp]:
        """Requests for the rows of some keys, as few as fit into addresses. Raises Permanent."""
        first = self._condition(inquiry, witness)
        parts, numbers = [first], list[int]()
        for number, key in enumerate(keys):
            part = self._condition(inquiry, key)
            if numbers and len(quote(" or ".join([*parts, part]))) > _FILTER_MAX:
                yield self._look_up(inquiry, parts, numbers, top)
                parts, numbers = [first], []
            parts.append(part)
            numbers.append(number)
        if numbers:
            yield self._look_up(inquiry, parts, numbers, top)

    def _look_up(self, inquiry: Inquiry, parts: list[str], numbers: list[int], top: int) -> LookUp:
        return LookUp(self._path(inquiry, {"$filter": " or ".join(parts), "$top": str(top)}), tuple(numbers))

    def _path(self, inquiry: Inquiry, query: Mapping[str, str]) -> str:
        told = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.root}/{quote(inquiry.name, safe='')}?{told}"

    def _condition(self, inquiry: Inquiry, key: Key) -> str:
        parts = [f"{name} eq {told}" for name, _, told in _filtered(self.version, inquiry, key)]
        if not parts:
            raise Permanent(
                Code.INQUIRY_REFUSED,
                f"The inquiry {inquiry.name} cannot be asked for a row by {', '.join(key)}.",
                "Use a key of the mapping that has a column of text, numbers or ids.",
            )
        return f"({' and '.join(parts)})"


def asked_for(version: Version, inquiry: Inquiry, row: Row, key: Key) -> bool:
    """Whether a row, as it was shown, satisfies the filter for a key."""
    filtered = _filtered(version, inquiry, key)
    return all(_same(inquiry.columns[name], row.get(name), value) for name, value, _ in filtered)


def fits(inquiry: Inquiry, row: Row, key: Key) -> bool:
    """Whether a row may be the one of a key: case does not count, and what cannot be compared is taken for equal."""
    named = {inquiry.column(name): value for name, value in key.items()}
    return all(_same(inquiry.columns[name], row.get(name), value) for name, value in named.items())


def literal(version: Version, kind: str, value: Any) -> str | None:
    """A value in a filter; None where it cannot be written as this type, or nobody knows how the site would read it."""
    text = as_text(value)
    if kind == "Edm.String":
        return "'" + text.replace("'", "''") + "'"
    if kind in _INTEGERS and re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        return text + ("L" if (version, kind) == ("3", "Edm.Int64") else "")
    if kind in _FRACTIONS and re.fullmatch(r"-?\d{1,19}(\.\d{1,19})?", text, re.ASCII):
        return text + ("M" if (version, kind) == ("3", "Edm.Decimal") else "")
    if kind == "Edm.Guid" and _GUID.fullmatch(text):
        return f"guid'{text}'" if version == "3" else text
    if kind == "Edm.Boolean" and text.lower() in {"true", "false"}:
        return text.lower()
    return None


def _filtered(version: Version, inquiry: Inquiry, key: Key) -> Iterator[tuple[str, Any, str]]:
    """The columns of a key that can be filtered by, with their values as they are and as they are written."""
    for name, value in key.items():
        column = inquiry.column(name)
        if (told := literal(version, inquiry.columns[column], value)) is not None:
            yield column, value, told


def _same(kind: str, shown: Any, value: Any) -> bool:
    mine, theirs = as_text(value), as_text(shown)
    if mine.casefold() == theirs.casefold():
        return True
    with suppress(ValueError):
        if kind in _INTEGERS | _FRACTIONS:
            return float(mine) == float(theirs)
        if kind in _DATES:
            return _moment(mine) == _moment(theirs)
    return kind not in {"Edm.String", "Edm.Guid", "Edm.Boolean"} | _INTEGERS | _FRACTIONS


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(microsecond=0, tzinfo=None)
