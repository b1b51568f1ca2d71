"""The query options that this fake knows: https://learn.microsoft.com/graph/query-parameters."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from local.fakes.calls import Call
from local.fakes.graph import events
from local.fakes.graph.errors import refused
from local.fakes.graph.outlook import Item

_PAGE = 10
_OPTIONS = {"$filter", "$select", "$top", "$skip", "$orderby", "$count", "$expand", "startDateTime", "endDateTime"}
_EQUALS = r"\s+eq\s+'((?:[^']|'')*)'"
_BY_PROPERTY = re.compile(
    rf"singleValueExtendedProperties/any\(\s*(\w+)\s*:\s*\1/id{_EQUALS}\s+and\s+\1/value{_EQUALS}\s*\)", re.IGNORECASE
)
_EXPAND = re.compile(rf"singleValueExtendedProperties\(\$filter=id{_EQUALS}\)", re.IGNORECASE)


def options(call: Call) -> dict[str, str]:
    """https://learn.microsoft.com/graph/query-parameters#encoding-query-parameters: a blank is %20, and + is a plus."""
    if "+" in call.path.partition("?")[2]:
        raise refused(400, "BadRequest", "Invalid filter clause: Syntax error: character '+' is not valid; use '%20'.")
    query = call.query
    if unknown := [name for name in query if name not in _OPTIONS]:
        raise refused(400, "BadRequest", f"The query parameter '{unknown[0]}' is not supported.")
    return query


def prefers_immutable(call: Call) -> bool:
    """https://learn.microsoft.com/graph/outlook-immutable-id."""
    return re.search(r'IdType\s*=\s*"?ImmutableId', call.headers.get("prefer", ""), re.IGNORECASE) is not None


def filtered(items: Iterable[Item], condition: str) -> list[Item]:
    """The items with an extended property of a value; https://learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get."""
    match = _BY_PROPERTY.fullmatch(condition.strip())
    if not match:
        raise refused(400, "BadRequest", f"Invalid filter clause: '{condition}' is not known to this fake.")
    name, value = events.property_id(_plain(match[2])), _plain(match[3]).lower()
    return [item for item in items if (item.extended(name) or "").lower() == value]


def expanded(condition: str) -> str:
    """The id of the extended property that $expand asks for."""
    match = _EXPAND.fullmatch(condition)
    if not match:
        raise refused(400, "BadRequest", f"$expand: '{condition}' is not known to this fake.")
    return _plain(match[1])


def selected(select: str) -> set[str]:
    """The properties that $select names."""
    names = [name.strip() for name in select.split(",")]
    if unknown := [name for name in names if name not in events.PROPERTIES]:
        message = f"Could not find a property named '{unknown[0]}' on type 'microsoft.graph.event'."
        raise refused(400, "BadRequest", message)
    return {*names}


def in_window(items: Iterable[Item], query: dict[str, str]) -> Iterator[Item]:
    """https://learn.microsoft.com/graph/api/user-list-calendarview: what overlaps the window, of 1825 days at most."""
    try:
        window = [datetime.fromisoformat(query[name]) for name in ("startDateTime", "endDateTime")]
    except (KeyError, ValueError):
        message = "This request requires a time window: StartDateTime and EndDateTime."
        raise refused(400, "ErrorInvalidParameter", message) from None
    start, end = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in window)
    if end - start > timedelta(days=1825):
        raise refused(400, "ErrorInvalidRequest", "The requested time window is over the limit of 1825 days.")
    for item in items:
        if events.instant(item.event["start"]) < end and events.instant(item.event["end"]) > start:
            yield item


def page[T](call: Call, items: list[T], most: int | None) -> tuple[list[T], str | None]:
    """What the request asks for of a list, and the address of what comes behind it: https://learn.microsoft.com/graph/paging."""
    query = call.query
    preference = re.search(r"odata\.maxpagesize\s*=\s*(\d+)", call.headers.get("prefer", ""))
    skip, top = _number(query, "$skip", 0), _number(query, "$top", int(preference[1]) if preference else _PAGE)
    top = min(top, most or top)
    if skip + top >= len(items):
        return items[skip:], None
    others = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if name != "$skip")
    link = f"{call.origin}{call.path.partition('?')[0]}?{others}{'&' * bool(others)}$skip={skip + top}"
    return items[skip : skip + top], link


def _plain(text: str) -> str:
    return text.replace("''", "'")


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, str(default))
    if not value.isdecimal():
        raise refused(400, "BadRequest", f"Invalid value '{value}' for {name} query option found.")
    return int(value)
