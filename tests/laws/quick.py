"""What makes a long search quicker, and changes no story: the same functions, which remember what they said to the same.

`python -m tests.laws` installs it; the tests do without, and test_quick.py shows that stories end in the same way with it.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pytest

from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.odata import Inquiry
from handlers.sync.odata_answers import inquiries_of
from handlers.sync.scope import Scope
from handlers.sync.template import Row
from local.fakes.acumatica.inquiries import Inquiries
from tests.laws.ablation import everywhere

_NEVER = datetime.fromtimestamp(0, UTC)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen dataclass of many fields is copied as a whole; events and $metadata are made once of the same."""
    monkeypatch.setattr(dataclasses, "_replace", _replaced(vars(dataclasses)["_replace"]))
    everywhere(monkeypatch, calendar_event, _remembered_event(calendar_event))
    everywhere(monkeypatch, inquiries_of, _remembered_inquiries(inquiries_of))
    monkeypatch.setattr(Inquiries, "_metadata", _remembered_metadata(vars(Inquiries)["_metadata"]))


def _replaced(old: Callable[..., Any]) -> Callable[..., Any]:
    fields: dict[type, frozenset[str]] = {}  # none where an object may be more than its fields

    def replace(self: Any, /, **changes: Any) -> Any:
        kind = type(self)
        if kind not in fields:
            fields[kind] = _fields(kind)
        names = fields[kind]
        if not names or not names.issuperset(changes):
            return old(self, **changes)
        new = object.__new__(kind)
        known = vars(self)
        if len(known) > len(names):  # properties that were cached are not copied
            known = {name: value for name, value in known.items() if name in names}
        vars(new).update(known, **changes)
        return new

    return replace


def _fields(kind: type) -> frozenset[str]:
    found = dataclasses.fields(kind)
    more = hasattr(kind, "__post_init__") or hasattr(kind, "__slots__") or not all(field.init for field in found)
    return frozenset() if more else frozenset(field.name for field in found)


def _remembered_event(old: Callable[[Mapping, Row, Scope], CalendarEvent]) -> Callable[..., CalendarEvent]:
    known: dict[Any, CalendarEvent] = {}

    def event(mapping: Mapping, row: Row, scope: Scope) -> CalendarEvent:
        key = (id(mapping), tuple(row.items()), scope)
        if key not in known:
            known[key] = old(mapping, row, scope)
        return known[key]

    return event


def _remembered_metadata(old: Callable[[Inquiries, str], str]) -> Callable[[Inquiries, str], str]:
    known: dict[str, str] = {}  # every story has the same site

    def metadata(self: Inquiries, version: str) -> str:
        if version not in known:
            known[version] = old(self, version)
        return known[version]

    return metadata


def _remembered_inquiries(old: Callable[[bytes, datetime], dict[str, Inquiry]]) -> Callable[..., dict[str, Inquiry]]:
    parsed = lru_cache(maxsize=8)(lambda body: old(body, _NEVER))

    def inquiries(body: bytes, date: datetime) -> dict[str, Inquiry]:
        return {name: dataclasses.replace(inquiry, date=date) for name, inquiry in parsed(body).items()}

    return inquiries
