"""OData: what comes back. Rows, the list of inquiries, or why there is neither; the traps are those of live sites."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from handlers.sync.answers import acumatica_error, met
from handlers.sync.change import load_json
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent, SyncError
from handlers.sync.odata import Inquiry
from handlers.sync.template import Row, folded

_STRANGE_DELAY = 30.0
_WITH_PARAMETERS = "_WithParameters"
_NAMESPACES = 20  # dots before the name of a type
_TAG = re.compile(r"<(/?)(?:\w+:)?(EntityType|Property|PropertyRef|EntitySet|FunctionImport)\b([^<>]*)>")
_ATTRIBUTE = re.compile(r"""\b(Name|Type|EntityType)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_OLD_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WITHOUT_PARAMETERS = "Make a copy of the inquiry without parameters on the form Generic Inquiry (SM208000)."
EXPOSE = (
    "On the form Generic Inquiry (SM208000), give it a screen ID and select Expose via OData; on Access Rights by Screen "
    "(SM201020), give the API user's role View Only on it."
)


@dataclass(frozen=True)
class Rows:
    """Rows of an answer; `more`: the server has cut the page, and says that more follow."""

    rows: list[Row]
    more: bool


def rows_of(body: bytes, inquiry: str) -> Rows:
    """The rows of a successful answer, in either version's form. Raises Permanent where it is no list of them.

    A filter or an order over a calculated column is answered with 200 and nothing at all: that is not "no rows".
    """
    try:
        data = load_json(body.decode("utf-8", "replace"))
    except ValueError:
        data = None
    inner = data["d"] if isinstance(data, dict) and "d" in data else data  # the verbose form of version 3
    holder = inner if isinstance(inner, dict) else {}
    found = inner if isinstance(inner, list) and inner is not data else holder.get("value", holder.get("results"))
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        more = any(holder.get(name) for name in ("@odata.nextLink", "odata.nextLink", "__next"))
        return Rows([_plain(row) for row in found], more)
    strange = met(200, {}, body)
    if body.lstrip()[:1] == b"<":
        raise Later(Code.NOT_THE_SERVICE, f"Acumatica was not reached: {strange}", _STRANGE_DELAY)
    raise Permanent(
        Code.INQUIRY_ANSWER_EMPTY,
        f"Acumatica answered for the inquiry {inquiry} with success and no list of rows: {strange}.",
        "Key columns must be stored ones: no formula of the inquiry can be sorted or filtered by (SM208000).",
    )


def inquiries_of(body: bytes, date: datetime) -> dict[str, Inquiry]:
    """The exposed inquiries by name, from $metadata. Raises Later where it is none.

    Read tag by tag: nothing of the document is expanded, and what it may hold else is left alone.
    """
    text = _without_comments(body.decode("utf-8-sig", "replace"))
    if "EntityContainer" not in text:
        strange = met(200, {}, body)
        raise Later(Code.NOT_THE_SERVICE, f"Acumatica's OData did not say what it has: {strange}", _STRANGE_DELAY)
    columns: dict[str, dict[str, str]] = {}
    keys: dict[str, list[str]] = {}
    sets: dict[str, str] = {}
    with_parameters, within = set[str](), ""
    for close, tag, rest in _TAG.findall(text):
        told = {name: html.unescape(one or other) for name, one, other in _ATTRIBUTE.findall(rest)}
        name = told.get("Name", "")
        match tag:
            case "EntityType":
                within = "" if close or rest.endswith("/") else name
                columns.setdefault(name, {})
            case "Property" if within:
                columns[within][name] = told.get("Type", "")
            case "PropertyRef" if within:
                keys.setdefault(within, []).append(name)
            case "EntitySet" if name:
                sets[name] = told.get("EntityType", "")
            case "FunctionImport" if name.endswith(_WITH_PARAMETERS):
                with_parameters.add(folded(name.removesuffix(_WITH_PARAMETERS)))
    found = {}
    for name, kind in sets.items():
        entity = _without_namespace(kind, columns)
        parameters = folded(name) in with_parameters
        found[name] = Inquiry(name, columns.get(entity, {}), tuple(keys.get(entity, ())), parameters, date)
    return found


def find(exposed: Mapping[str, Inquiry], name: str) -> Inquiry:
    """The inquiry of a mapping that can be read as it is. Raises Permanent."""
    found = exposed.get(name) or next((known for known in exposed.values() if folded(known.name) == folded(name)), None)
    if found is None:
        raise Permanent(Code.INQUIRY_NOT_EXPOSED, f"Acumatica exposes no inquiry {name!r} by OData.", EXPOSE)
    if "/" in found.name:
        reason = f"The inquiry {name!r} has a / in its name, and OData cannot be asked for it."
        raise Permanent(Code.INQUIRY_NOT_EXPOSED, reason, "Rename it on the form Generic Inquiry (SM208000).")
    if found.parameters:
        reason = f"The inquiry {name!r} has parameters: read without them, it shows no rows."
        raise Permanent(Code.INQUIRY_NEEDS_PARAMETERS, reason, WITHOUT_PARAMETERS)
    return found


def clock_of(headers: Mapping[str, str]) -> datetime:
    """Acumatica's clock: the date of an answer. Raises Later where there is none."""
    value = next((v for k, v in headers.items() if k.lower() == "date"), "")
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Later(Code.NOT_THE_SERVICE, "Acumatica's answer has no date", _STRANGE_DELAY) from None


def odata_error(status: int, headers: Mapping[str, str], body: bytes, inquiry: str) -> SyncError:
    """Class an answer of Acumatica's OData that is no success. Nothing was changed, so all may be asked again."""
    error = acumatica_error(status, headers, body)
    if status == 404:
        remedy = f"{EXPOSE} Sites before 2024 R2 need ACUMATICA_ODATA = 3."
        return Permanent(Code.INQUIRY_NOT_EXPOSED, f"Acumatica has no {inquiry} by OData (404).", remedy)
    if status == 403:
        return Permanent(Code.INQUIRY_DENIED, f"The API user may not see {inquiry} (403).", EXPOSE)
    if isinstance(error, OutcomeUnknown):
        return Later(error.code, error.reason)
    if status == 400:
        said = _message(body) or error.reason
        remedy = "Compare the mapping's key with the columns that `python -m handlers doctor` shows."
        return Permanent(Code.INQUIRY_REFUSED, f"Acumatica did not understand what {inquiry} was asked: {said}", remedy)
    return error


def _message(body: bytes) -> str:
    """What version 3 says is wrong: {"odata.error": {"message": {"value": …}}}."""
    try:
        node: Any = load_json(body.decode("utf-8", "replace"))
    except ValueError:
        return ""
    for name in ("odata.error", "message", "value"):
        node = node.get(name) if isinstance(node, dict) else None
    return node[:500] if isinstance(node, str) else ""


def _plain(row: Row) -> Row:
    """A row without what OData says about it."""
    return {
        name: _dated(value)
        for name, value in row.items()
        if "@" not in name and name != "__metadata" and not name.startswith("odata.")
    }


def _dated(value: Any) -> Any:
    """The oldest form of a date in JSON, milliseconds since 1970 in UTC, as ISO 8601; all else as it is."""
    match = _OLD_DATE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return value
    try:
        return f"{(_EPOCH + timedelta(milliseconds=int(match[1]))).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    except OverflowError:
        return value


def _without_namespace(kind: str, types: Mapping[str, Any]) -> str:
    """The type that a qualified name means; dots may stand in both parts."""
    for _ in range(_NAMESPACES):
        if kind in types:
            break
        kind = kind.partition(".")[2]
    return kind


def _without_comments(text: str) -> str:
    first, *others = text.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in others)
