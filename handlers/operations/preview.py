"""What would happen, without doing it: `python -m handlers preview NOTIFICATION.json [--mappings DIR] [--json]`.

Reads a push notification as Acumatica sends it and shows, for each row and mapping, the effects and
the exact requests. It takes the same way as the app, from notification to plan, so it cannot say anything else. It needs no
settings and no network; what is stored about a row is not looked at: a row that is in `Deleted` as well counts as known.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from handlers.clients import requests_to_graph as to_graph
from handlers.clients.requests_to_graph import GraphRequest
from handlers.services import Services, load_mappings, misnamed_files
from handlers.sync.after import after
from handlers.sync.change import RowChange, load_json, ticks_to_datetime
from handlers.sync.effects import (
    Adoptable,
    AdoptEvent,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Deliver,
    Done,
    Effect,
    EventEffect,
    FindEvent,
    Found,
    RecordEffect,
    ReportFailure,
    ReportOutlook,
    Result,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import MappingProblems
from handlers.sync.meeting import particulars, when
from handlers.sync.notification import PushNotification, parse_notification, row_changes
from handlers.sync.plan import Wanted, intend, plan
from handlers.sync.plan import wanted as asked_for
from handlers.sync.record import RecordUpdate, record_update
from handlers.sync.relay import RelayState
from handlers.sync.relay_message import body, headers
from handlers.sync.scope import Scope
from handlers.sync.template import MissingColumns, Row

_SITE = "https://ACUMATICA_URL"  # where the setting is not there to be read
_ANSWER = "<id in the receiver's answer>"
_EVENT, _NEW_EVENT = "<id of the event>", "<id of the new event>"
_DETAILS = {name: f"<{name} of the event>" for name in ("webLink", "iCalUId", "joinUrl")}


@dataclass(frozen=True)
class Step:
    """One effect, and the request that it makes."""

    effect: str
    mailbox: str
    request: str
    body: dict[str, Any] | None


@dataclass(frozen=True)
class PreviewedRow:
    """What becomes of one row under one mapping."""

    mapping: str
    key: tuple[str, ...]
    wanted: Wanted = None
    steps: list[Step] = field(default_factory=list)
    problem: str = ""
    remedy: str = ""


def preview(notification: PushNotification, mappings: dict[str, Mapping], scope: Scope) -> list[PreviewedRow]:
    """What each row of a notification leads to."""
    changes, unidentified = row_changes(notification, mappings.values(), 0.0)
    found = [_row(change, mappings[change.mapping], notification, scope) for change in changes]
    return found + [
        PreviewedRow(u.mapping, (), problem=u.reason, remedy="Correct the mapping's key, or the inquiry.")
        for u in unidentified
    ]


def _row(change: RowChange, mapping: Mapping, notification: PushNotification, scope: Scope) -> PreviewedRow:
    shown = PreviewedRow(mapping.name, change.key)
    if change.problem:
        return replace(shown, problem=change.problem, remedy="Name all key columns in the mapping's key.")
    try:
        link = merge(_known(change, mapping, notification, scope), change, mapping)
        wanted = asked_for(link, mapping, scope)
        now = _sent(change)
        steps = [_step(effect, mapping, scope) for effect, _ in _carried_out(link, wanted, mapping, _NEW_EVENT, now)]
    except (Permanent, MissingColumns) as error:
        remedy = error.remedy if isinstance(error, Permanent) else "Bring the inquiry and the mapping together."
        return replace(shown, problem=str(error), remedy=remedy)
    return replace(shown, wanted=wanted, steps=steps)


def _known(change: RowChange, mapping: Mapping, notification: PushNotification, scope: Scope) -> EventLink:
    """The link as an earlier notification would have left it, for a row that is in `Deleted`."""
    link = new_link(change, 0.0)
    for row in notification.deleted:
        try:
            if mapping.key_of(row) != change.key:
                continue
            link = merge(link, replace(change, row=row, timestamp=change.timestamp - 1), mapping)
            wanted = asked_for(link, mapping, scope)
        except (Permanent, MissingColumns):
            continue  # it never had an event
        after_each = [then for _, then in _carried_out(link, wanted, mapping, _EVENT, _sent(change))]
        link = after_each[-1] if after_each else link
    return link


def _sent(change: RowChange) -> float:
    """What counts as now: what is over by then is over."""
    return ticks_to_datetime(change.timestamp).timestamp()


def _carried_out(
    link: EventLink, wanted: Wanted, mapping: Mapping, made: str, now: float
) -> Iterator[tuple[Effect, EventLink]]:
    """Effect after effect as all of them succeed, with the link after each; `made` is the id of an event that is made."""
    link = intend(link, wanted, mapping, now)
    while effects := plan(link, wanted, mapping, now):
        link, _ = after(link, effects[0], _success(effects[0], made), now)
        yield effects[0], link


def _success(effect: Effect, made: str) -> Result:
    match effect:
        case AdoptEvent():
            return Adoptable(ours=True)
        case FindEvent():
            return Found((_EVENT,))
        case CreateEvent():
            return Done(made)
        case Deliver():
            return Done(_ANSWER)
    return Done()


def _step(effect: Effect, mapping: Mapping, scope: Scope) -> Step:
    name = type(effect).__name__
    if isinstance(effect, RecordEffect):
        update = _update(effect, mapping)
        return Step(name, "", f"PUT {scope.site}/entity/{update.target} (If-Match: *)", update.body)
    if isinstance(effect, Deliver):
        return _delivery(effect, mapping)
    request = _request(effect)
    url = request.url.partition("?")[0]
    for word in re.findall(r"%3C.*?%3E", url):  # what only Graph knows stays readable
        url = url.replace(word, unquote(word))
    return Step(name, request.mailbox, f"{request.method} {url}", request.body)


def _delivery(effect: Deliver, mapping: Mapping) -> Step:
    """The message as it is sent, but for what the sender adds to it: signature, or token."""
    if not mapping.relay:
        raise TypeError("only a mapping with a relay delivers")
    told = headers(effect.message, mapping.relay)
    request = f"POST <{mapping.relay.url}> ({', '.join(f'{name}: {value}' for name, value in told.items())})"
    return Step(type(effect).__name__, "", request, json.loads(body(effect.message, mapping.relay)))


def _request(effect: EventEffect) -> GraphRequest:
    """The request that the client sends, with words in place of ids that only Graph knows."""
    mailbox, event_id = effect.entry.mailbox, effect.entry.id or _EVENT
    match effect:
        case CreateEvent(event=event, stamp=stamp):
            return to_graph.create_event(event, stamp, f"<id of {event.calendar}>" if event.calendar else None)
        case AdoptEvent(entry=entry):
            return to_graph.get_ownership(mailbox, entry.adopt or "")
        case UpdateEvent(event=event, stamp=stamp, entry=entry):
            return to_graph.update_event(mailbox, event_id, event, stamp if entry.adopt else None)
        case FindEvent(stamp=stamp):
            return to_graph.find_events(mailbox, stamp)
        case DeleteEvent(comment=None):
            return to_graph.delete_event(mailbox, event_id)
        case DeleteEvent(comment=comment):
            return to_graph.cancel_event(mailbox, event_id, comment or "")


def _update(effect: RecordEffect, mapping: Mapping) -> RecordUpdate:
    match effect:
        case WriteBack(results=results):
            return record_update(mapping, effect.record, _DETAILS | results)
        case ReportFailure() | ReportOutlook() | ClearRecord():
            return record_update(mapping, effect.record, effect.results)


def shown(row: PreviewedRow) -> dict[str, str]:
    """What a person would see of a row's event, and what happens, by name."""
    if row.problem:
        return {"Dead letter": row.problem, "Remedy": row.remedy}
    if isinstance(row.wanted, RelayState):
        told = "is told of this row" if row.wanted.data is not None else "has no such row (removed, or [when] does not hold)"
        return {"Receiver": told} | ({"Note": " ".join(row.wanted.notes)} if row.wanted.notes else {})
    if not row.wanted:
        return {"Calendar": "not in it (removed, or [when] does not hold)"}
    event = row.wanted
    calendar = f", calendar {event.calendar}" if event.calendar else ""
    seen = {
        "Mailbox": f"{event.mailbox}{calendar}",
        "Subject": event.body["subject"],
        "Time": when(event.body) + _start_in_utc(event.body),
    }
    return seen | particulars(event.body) | ({"Note": " ".join(event.notes)} if event.notes else {})


def _start_in_utc(body: dict[str, Any]) -> str:
    """So that a wrong time zone is seen; nothing where it says no more."""
    start, zone = body["start"]["dateTime"], body["start"]["timeZone"]
    if body["isAllDay"] or zone == "UTC":
        return ""
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(win_tz.get(zone, "UTC"))).astimezone(UTC)
    return f", which begins at {moment:%H:%M} UTC"


def as_json(rows: list[PreviewedRow]) -> list[Row]:
    """For programs."""
    return [
        {
            "mapping": row.mapping,
            "key": list(row.key),
            "problem": row.problem or None,
            "remedy": row.remedy or None,
            "mailbox": row.wanted.mailbox if isinstance(row.wanted, CalendarEvent) else None,
            "calendar": (row.wanted.calendar or None) if isinstance(row.wanted, CalendarEvent) else None,
            "notes": list(row.wanted.notes) if row.wanted else [],
            "shown": shown(row),
            "steps": [{"effect": s.effect, "request": s.request, "body": s.body} for s in row.steps],
        }
        for row in rows
    ]


def in_app(body: bytes, services: Services) -> list[PreviewedRow]:
    """Preview a request body as the app itself would take it in now. Raises NotificationProblems."""
    queries = dict.fromkeys(mapping.query for mapping in services.mappings.values())
    company, now = services.settings.acumatica_tenant, datetime.fromtimestamp(services.clock(), UTC)
    notification = parse_notification(body, company=company, queries=queries, now=now)
    return preview(replace(notification, company_id=services.company), services.mappings, services.scope)


def read(body: bytes, folder: Path, site: str = "") -> list[PreviewedRow]:
    """Preview a request body under the mappings of a folder. Raises MappingProblems or NotificationProblems."""
    mappings = load_mappings(folder)
    if not mappings:
        none = f"{folder}: there is no mapping (.toml) in this folder; --mappings names another one"
        raise MappingProblems([none, *misnamed_files(folder)])
    queries = dict.fromkeys(mapping.query for mapping in mappings.values())
    notification = parse_notification(body, company=_company(body), queries=queries, now=datetime.now(UTC))
    return preview(notification, mappings, Scope(site or _SITE))


def _company(body: bytes) -> str:
    """The notification's own tenant: which one the app is for does not matter here."""
    try:
        data = load_json(body.decode(json.detect_encoding(body)))
    except ValueError:
        return ""
    return str(data.get("CompanyId", "")) if isinstance(data, dict) else ""
