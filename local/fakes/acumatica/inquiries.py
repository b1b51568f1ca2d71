"""Generic Inquiries by OData, versions 4 and 3, with the traps of live sites as switches.

https://help.acumatica.com, topics "Generic Inquiry Access Through OData: General Information" and "… Data Retrieval";
traps and forms of values as seen on 2025 R2 (hallboys/acumatica-claude-kit, sasen84/sasenmcp4acumatica).
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from local.fakes.acumatica.odata_filter import NotUnderstood, Row, parse
from local.fakes.acumatica.sessions import Session
from local.fakes.acumatica.switches import AcumaticaSwitches
from local.fakes.calls import Call, Reply

_TYPES = {
    "string": "Edm.String",
    "guid": "Edm.Guid",
    "int": "Edm.Int32",
    "number": "Edm.Decimal",
    "bool": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "date": "Edm.DateTimeOffset",
}
_PAD = 15  # characters of a segmented key
_EMPTY = Reply(200, "", {"Content-Type": "application/json; charset=utf-8"})


@dataclass(frozen=True)
class Published:
    """An inquiry that is exposed: where its rows come from, and the kind of each column by its caption."""

    name: str
    rows: Callable[[], Iterable[Mapping[str, Any]]]
    columns: Mapping[str, str]
    keys: tuple[str, ...]
    parameters: tuple[str, ...]


class Inquiries:
    """The inquiries of a site. Rows are as a push has them: dates are local, without an offset."""

    switches: AcumaticaSwitches

    def __init__(self, seed: int) -> None:
        self._published: dict[str, Published] = {}
        self._order = random.Random(seed)

    # -- for tests and demos -------------------------------------------------------------------------------------------

    def expose(
        self,
        name: str,
        rows: Callable[[], Iterable[Mapping[str, Any]]],
        columns: Mapping[str, str],
        keys: tuple[str, ...] = (),
        parameters: tuple[str, ...] = (),
    ) -> None:
        """Select *Expose via OData* for an inquiry. `columns`: kind by caption (string, guid, int, number, bool, …)."""
        self._published[name] = Published(name, rows, columns, keys, parameters)

    def conceal(self, name: str) -> None:
        """Clear that check box."""
        del self._published[name]

    # -- for the API ---------------------------------------------------------------------------------------------------

    def odata(self, call: Call, session: Session, version: str, path: list[str]) -> Reply:
        """Carry out a request below the service's root."""
        if call.method != "GET":
            return Reply(405, {"message": f"The requested resource does not support http method '{call.method}'."})
        if self.switches.odata not in {version, "both"}:
            return Reply(404, {"message": f"No HTTP resource was found that matches the request URI '{call.path}'."})
        match path:
            case [] | [""]:
                return Reply(200, {"value": [{"name": name, "kind": "EntitySet", "url": name} for name in self._published]})
            case ["$metadata"]:
                return Reply(200, self._metadata(version), {"Content-Type": "application/xml; charset=utf-8"})
            case [name] if name in self._published:
                return self._rows(call, session, version, self._published[name])
        return _error(version, 404, f"Resource not found for the segment '{'/'.join(path)}'.")

    def _rows(self, call: Call, session: Session, version: str, inquiry: Published) -> Reply:
        if inquiry.name in session.forbidden:
            if self.switches.odata_denied == "403":
                return _error(version, 403, "You have insufficient rights to access the inquiry.")
            return _page(call, version, [], "", self.switches)
        query = call.query
        names = self._names(inquiry)
        kinds = {name: inquiry.columns[caption] for name, caption in names.items()}
        rows = [{name: row.get(caption) for name, caption in names.items()} for row in list(inquiry.rows())]
        if inquiry.parameters:
            rows = []
        try:
            asked = set[str]()
            if condition := query.get("$filter"):
                test, asked = parse(condition, kinds, version)
                rows = rows if self.switches.odata_filter == "ignored" else [row for row in rows if self._holds(test, row)]
            order = [part.split()[0] for part in query.get("$orderby", "").split(",") if part.strip()]
            if unknown := [name for name in order if name not in kinds]:
                return _error(version, 400, f"Could not find a property named '{unknown[0]}' on type '{inquiry.name}'.")
        except NotUnderstood as error:
            return _error(version, 400, str(error))
        if (asked | set(order)) & {self._name(caption) for caption in self.switches.odata_calculated}:
            return _EMPTY
        if order:
            rows.sort(key=lambda row: [str(row[name] or "").casefold() for name in order])
        else:
            self._order.shuffle(rows)
        skip, top = int(query.get("$skip", "0")), int(query.get("$top", len(rows)))
        begin = max(0, skip - (self.switches.odata_shift if skip else 0))
        rows = rows[0 if self.switches.odata_skip == "ignored" else begin :][:top]
        page, following = self.switches.odata_page, ""
        if page and len(rows) > page:
            rows, following = rows[:page], str(skip + page)
        shown = [
            {name: self._value(value, kinds[name], names[name] in inquiry.keys) for name, value in row.items()}
            for row in rows
        ]
        return _page(call, version, shown, following, self.switches)

    def _holds(self, test: Callable[[Row], bool], row: Row) -> bool:
        """A filter means what the database holds; of a drop-down, that is no label."""
        coded = {self._name(caption) for caption in self.switches.odata_labels}
        return test({name: f"#{value}" if name in coded else value for name, value in row.items()})

    def _value(self, value: Any, kind: str, key: bool) -> Any:  # noqa: FBT001
        """A value as OData has it."""
        if value is None:
            return None
        if kind == "string" and key and self.switches.odata_padded:
            return str(value).ljust(_PAD)
        if kind == "number" and self.switches.odata_numbers == "text":
            return f"{float(value):.6f}"
        if kind in {"datetime", "date"}:
            return self._moment(str(value), kind)
        return value

    def _moment(self, text: str, kind: str) -> str | None:
        try:
            local = datetime.fromisoformat(text)
        except ValueError:
            return None
        if kind == "date" and self.switches.odata_dates == "midnight_utc":
            return f"{local:%Y-%m-%d}T00:00:00Z"
        aware = local if local.tzinfo else local.replace(tzinfo=ZoneInfo(self.switches.site_time_zone))
        return f"{aware.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"

    # -- names ---------------------------------------------------------------------------------------------------------

    def _names(self, inquiry: Published) -> dict[str, str]:
        """Caption by property name; of two equal ones, the second gets a number or vanishes."""
        names: dict[str, str] = {}
        for caption in inquiry.columns:
            name = self._name(caption)
            if name in names and self.switches.odata_duplicates == "vanish":
                continue
            alike = [known for known in names if known.startswith(name)]
            count = sum(known == name or re.fullmatch(rf"{name}_\d+", known) is not None for known in alike)
            names[f"{name}_{count + 1}" if count else name] = caption
        return names

    @staticmethod
    def _name(caption: str) -> str:
        """Invalid characters are removed; before a leading digit comes a line."""
        name = re.sub(r"\W", "", caption)
        return f"_{name}" if name[:1].isdecimal() else name

    def _metadata(self, version: str) -> str:
        types, functions, members = [], [], []
        for inquiry in self._published.values():
            kind = f"{inquiry.name}Type"
            keys = "".join(f"<PropertyRef Name={quoteattr(self._name(key))} />" for key in inquiry.keys)
            columns = {name: inquiry.columns[caption] for name, caption in self._names(inquiry).items()}
            told = {name: _TYPES[kind].removesuffix("Offset" if version == "3" else "") for name, kind in columns.items()}
            properties = "".join(f"<Property Name={quoteattr(n)} Type={quoteattr(t)} />" for n, t in told.items())
            types.append(f"<EntityType Name={quoteattr(kind)}><Key>{keys}</Key>{properties}</EntityType>")
            members.append(f"<EntitySet Name={quoteattr(inquiry.name)} EntityType={quoteattr(f'PX.Data.{kind}')} />")
            if inquiry.parameters:
                wanted = "".join(f'<Parameter Name={quoteattr(p)} Type="Edm.String" />' for p in inquiry.parameters)
                functions.append(f"<Function Name={quoteattr(inquiry.name)}>{wanted}</Function>")
                name = f"{re.sub(r'\W', '', inquiry.name)}_WithParameters"
                members.append(f"<FunctionImport Name={quoteattr(name)} Function={quoteattr(f'PX.Data.{inquiry.name}')} />")
        return (
            f'<?xml version="1.0" encoding="utf-8"?>\n<edmx:Edmx Version="{version}.0" '
            'xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
            f'<Schema Namespace="PX.Data" xmlns="http://docs.oasis-open.org/odata/ns/edm">{"".join([*types, *functions])}'
            f'<EntityContainer Name="Default">{"".join(members)}</EntityContainer>'
            "</Schema></edmx:DataServices></edmx:Edmx>"
        )


def _page(call: Call, version: str, rows: list[Row], following: str, switches: AcumaticaSwitches) -> Reply:
    """Rows in the form of the version; where the server has cut the page, the address of the next one may be there."""
    link = ""
    if following and switches.odata_next == "link":
        query = "&".join(f"{name}={quote(value)}" for name, value in (call.query | {"$skip": following}).items())
        link = f"{call.origin}{call.path.partition('?')[0]}?{query}"
    if version == "4":
        return Reply(200, {"@odata.context": "$metadata", "value": rows} | ({"@odata.nextLink": link} if link else {}))
    if switches.odata3_form == "light":
        return Reply(200, {"odata.metadata": "$metadata", "value": rows} | ({"odata.nextLink": link} if link else {}))
    told = [{"__metadata": {"type": "PX.Data.Row"}} | {n: _old_date(v) for n, v in row.items()} for row in rows]
    return Reply(200, {"d": {"results": told} | ({"__next": link} if link else {})})


def _old_date(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        return f"/Date({int(datetime.fromisoformat(value).timestamp() * 1000)})/"
    return value


def _error(version: str, status: int, message: str) -> Reply:
    if version == "4":
        return Reply(status, {"error": {"code": "", "message": message}})
    return Reply(status, {"odata.error": {"code": "", "message": {"lang": "en-US", "value": message}}})
