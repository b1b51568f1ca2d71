"""The judge: given what Acumatica holds, is everything else in agreement? Every difference is named.

It looks at what people and services would see (calendars, records, sessions) and at the app's storage (links, queue,
dead letters), and knows nothing of how the app works.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from handlers.clients.queue import POISON_QUEUE, QUEUE
from handlers.clients.storage import Storage
from handlers.clients.sweeps import Sweep
from handlers.environment import load_settings
from handlers.settings import StorageSettings
from handlers.sync.change import link_key as change_key
from handlers.sync.event import calendar_event
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.notification import name_form
from handlers.sync.scope import Scope
from handlers.sync.slots import slot_to_state
from handlers.sync.template import Template
from local.fakes import FakeAcumatica, FakeGraph

type Row = dict[str, Any]
type Event = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """What the app's storage holds."""

    links: dict[str, EventLink]
    dead_letters: dict[str, str]  # reason by link key
    messages: int
    slots: list[str]  # states of the session slots


def look(connection: str) -> Stored:
    """Read the app's storage."""
    storage = Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection}))
    try:
        links = {link.key: link for link in storage.links.all()}
        dead = {letter.key: letter.reason for letter in storage.dead_letters.list(10_000)}
        slots = [slot_to_state(slot)["state"] for slot, _ in storage.slots.all().values()]
    finally:
        storage.close()
    return Stored(links, dead, messages(connection), slots)


def newest_sweep(connection: str, mapping: str) -> Sweep | None:
    """The sweep of a mapping that began last."""
    storage = Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection}))
    try:
        return storage.sweeps.get(mapping)
    finally:
        storage.close()


def messages(connection: str) -> int:
    """How many messages wait in the app's queues, those under way and those with a delay included."""
    count = 0
    with QueueServiceClient.from_connection_string(connection) as service:
        for name in (QUEUE, POISON_QUEUE):
            try:
                with service.get_queue_client(name) as queue:
                    count += queue.get_queue_properties().approximate_message_count or 0
            except ResourceNotFoundError:
                continue
    return count


def wait_until_quiet(connection: str, timeout: float) -> bool:
    """Wait until the queues are empty; False if they are not in time."""
    deadline = time.monotonic() + timeout
    while messages(connection):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def judge(
    rows: Mapping[str, Iterable[Row]],
    mappings: Mapping[str, SyncMapping],
    graph: FakeGraph,
    acumatica: FakeAcumatica,
    connection: str,
    *,
    tenant: str = "Production",
    dead: Iterable[str] = (),
    budget: int = 1,
    workers: int = 1,
    resting: bool = False,
) -> list[str]:
    """All differences, in words; none is the verdict wanted.

    `rows` are the inquiry's rows by mapping; `dead` are the link keys that should be dead letters (and are not looked at
    otherwise); `budget` is the number of sessions that the app may have; each of the `workers` keeps to
    Graph's limit of a mailbox, and learns of the others by 429; `resting`: some may be open yet, since a session
    rests for minutes after a request that nobody answered.
    """
    stored, let_alone = look(connection), set(dead)
    wanted = {link_key(tenant, mappings[n], row): (mappings[n], row) for n, some in rows.items() for row in some}
    events: dict[str, list[tuple[str, Event]]] = defaultdict(list)
    for mailbox in graph.mailboxes():
        for event in graph.events(mailbox):
            events[str(event.get("stamp") or "no stamp").rsplit("-", 1)[0]].append((mailbox, event))
    found: list[str] = []
    for key, (mapping, row) in wanted.items():
        if key not in let_alone:
            found += _row_differences(mapping, row, events[key], stored.links.get(key), acumatica)
    for key in events.keys() - wanted.keys() - let_alone:
        found += [f"{mailbox}: event {event['subject']!r} belongs to no live row" for mailbox, event in events[key]]
    found += [f"link {key}: still claimed" for key, link in stored.links.items() if link.claim]
    for key in stored.links.keys() - wanted.keys() - let_alone:
        if stored.links[key].present or stored.links[key].entries:
            found.append(f"link {key} ({stored.links[key].row_key}): not a tombstone although its row is gone")
    found += [f"dead letter {k}: {r}" for k, r in stored.dead_letters.items() if k not in let_alone]
    found += [f"no dead letter for {k}" for k in let_alone - stored.dead_letters.keys()]
    if stored.messages:
        found.append(f"{stored.messages} messages are still in the queues")
    if not resting:
        found += [f"{len(acumatica.sessions)} Acumatica sessions are still open"] if acumatica.sessions else []
        found += [f"a session slot is {state}" for state in stored.slots if state != "free"]
    return found + _limit_differences(graph, acumatica, budget, workers)


def link_key(tenant: str, mapping: SyncMapping, row: Row) -> str:
    """The identity of a row under a mapping."""
    return change_key(name_form(tenant), mapping.name, mapping.key_of(row))


def _row_differences(
    mapping: SyncMapping, row: Row, events: list[tuple[str, Event]], link: EventLink | None, acumatica: FakeAcumatica
) -> list[str]:
    who = f"row {', '.join(mapping.key_of(row))}"
    wanted = calendar_event(mapping, mapping.pick(row), Scope(acumatica.url))
    if len(events) != 1:
        where = ", ".join(f"{mailbox} {event['subject']!r}" for mailbox, event in events)
        return [f"{who}: {len(events)} events instead of one{': ' + where if where else ''}"]
    mailbox, event = events[0]
    shown = seen(event, wanted.body)
    found = [f"{who}: {n} is {shown[n]!r} instead of {v!r}" for n, v in wanted.body.items() if shown[n] != v]
    if mailbox.lower() != wanted.mailbox:
        found.append(f"{who}: event in {mailbox} instead of {wanted.mailbox}")
    if link is None or [entry.id for entry in link.entries] != [event["id"]]:
        found.append(f"{who}: the link knows of other events: {link.entries if link else 'there is no link'}")
    elif link.last_error:
        found.append(f"{who}: the link still has an error: {link.last_error}")
    record = acumatica.record(mapping.write_back.entity, row["NoteID"]) if mapping.write_back else None
    fields = mapping.write_back.fields if mapping.write_back and record else {}
    told = {"event_id": event["id"], "webLink": event["webLink"], "iCalUId": event["iCalUId"], "reason": ""}
    for name, field in fields.items():
        value = field.value.render(told) if isinstance(field.value, Template) else field.value
        if (written := _field(record or {}, name)) != value:
            found.append(f"{who}: {name} holds {written!r} instead of {value!r}")
    return found


def seen(event: Event, wanted: Event) -> Event:
    """What an event holds of the properties that are wanted, without what Graph adds to them."""
    return {name: _seen(name, event[name], value) for name, value in wanted.items()}


def _seen(name: str, value: Any, wanted: Any) -> Any:
    match name:
        case "start" | "end":
            return {"dateTime": value["dateTime"][:19], "timeZone": value["timeZone"]}
        case "location":
            return {"displayName": value["displayName"]}
        case "attendees":
            return [{"emailAddress": person["emailAddress"], "type": person["type"]} for person in value]
        case "body" if wanted["contentType"] == "text":  # comes back as HTML
            text = re.sub(r"^<html>.*?<body>|</body></html>$", "", value["content"], flags=re.DOTALL)
            return {"contentType": "text", "content": text}
        case _:
            return value


def _limit_differences(graph: FakeGraph, acumatica: FakeAcumatica, budget: int, workers: int) -> list[str]:
    found = []
    if acumatica.max_sessions_seen > budget:
        found.append(f"{acumatica.max_sessions_seen} sessions were open at a time; the budget is {budget}")
    if acumatica.overlaps:
        found.append(f"{len(acumatica.overlaps)} times two requests used one session at a time")
    found += [
        f"{mailbox}: {graph.max_concurrency(mailbox)} requests at a time"
        for mailbox in graph.mailboxes()
        if graph.max_concurrency(mailbox) > 4 * workers
    ]
    return found


def _field(record: dict[str, Any], name: str) -> Any:
    match name.split("."):
        case ["custom", view, field]:
            return record.get("custom", {}).get(view, {}).get(field, {}).get("value")
        case ["Attributes", attribute]:
            rows = [row for row in record.get("Attributes", []) if _value(row, "AttributeID", "Attribute") == attribute]
            return _value(rows[0], "Value") if len(rows) == 1 else None
    return _value(record, name)


def _value(fields: dict[str, Any], *names: str) -> Any:
    """The value of the first field that is there."""
    value = next((fields[name] for name in names if name in fields), None)
    return value.get("value") if isinstance(value, dict) else value
