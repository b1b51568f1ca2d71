"""The judge: given what Acumatica holds, is everything else in agreement? Every difference is named.

It looks at what people and services would see (calendars, records, sessions) and at the app's storage (links, queue,
dead letters), and knows nothing of how the app works.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from handlers.clients.storage import POISON_QUEUE, QUEUE, Storage
from handlers.settings import StorageSettings, load_settings
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.notification import digest
from local.fakes import FakeAcumatica, FakeGraph

type Row = dict[str, Any]


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
        links = {link.key: link for link in storage.links()}
        dead = {entity["RowKey"]: entity["Reason"] for entity in storage.dead_letters()}
        slots = [state["state"] for name, (state, _) in storage.slots().items() if name != "sign-in"]
    finally:
        storage.close()
    return Stored(links, dead, messages(connection), slots)


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
) -> list[str]:
    """All differences, in words; none is the verdict wanted.

    `rows` are the inquiry's rows by mapping; `dead` are the link keys that should be dead letters (and are not looked at
    otherwise); `budget` is the number of sessions that the app may have.
    """
    stored = look(connection)
    expected_dead = set(dead)
    found: list[str] = []
    wanted: dict[str, tuple[SyncMapping, Row]] = {}
    for name, some in rows.items():
        for row in some:
            wanted[link_key(tenant, mappings[name], row)] = (mappings[name], row)
    events: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for mailbox in graph.mailboxes():
        for event in graph.events(mailbox):
            key = str(event.get("stamp") or "no stamp").rsplit("-", 1)[0]
            events.setdefault(key, []).append((mailbox, event))
    for key, (mapping, row) in wanted.items():
        if key not in expected_dead:
            found += _row_differences(key, mapping, row, events.get(key, []), stored, acumatica)
    for key, extra in events.items():
        if key not in wanted and key not in expected_dead:
            found += [f"{mailbox}: event {event['subject']!r} belongs to no live row" for mailbox, event in extra]
    for key, link in stored.links.items():
        if link.claim:
            found.append(f"link {key}: still claimed")
        if key not in wanted and key not in expected_dead and (link.present or link.entries):
            found.append(f"link {key} ({link.row_key}): not a tombstone although its row is gone")
    found += [f"dead letter {k}: {r}" for k, r in stored.dead_letters.items() if k not in expected_dead]
    found += [f"no dead letter for {k}" for k in expected_dead if k not in stored.dead_letters]
    if stored.messages:
        found.append(f"{stored.messages} messages are still in the queues")
    found += _session_differences(stored, graph, acumatica, budget)
    return found


def link_key(tenant: str, mapping: SyncMapping, row: Row) -> str:
    """The identity of a row under a mapping."""
    return digest([tenant, mapping.name, mapping.key_of(row)])


def _row_differences(
    key: str,
    mapping: SyncMapping,
    row: Row,
    events: list[tuple[str, dict[str, Any]]],
    stored: Stored,
    acumatica: FakeAcumatica,
) -> list[str]:
    who = f"row {', '.join(mapping.key_of(row))}"
    event_wanted = mapping.calendar_event(mapping.pick(row))
    if len(events) != 1:
        where = ", ".join(f"{mailbox} {event['subject']!r}" for mailbox, event in events)
        return [f"{who}: {len(events)} events instead of one{': ' + where if where else ''}"]
    mailbox, event = events[0]
    found = []
    if mailbox.lower() != event_wanted.mailbox:
        found.append(f"{who}: event in {mailbox} instead of {event_wanted.mailbox}")
    for name, value in event_wanted.body.items():
        seen = event["location"]["displayName"] if name == "location" else event[name]
        value = value["displayName"] if name == "location" else value  # noqa: PLW2901
        if name in {"start", "end"}:
            seen = {"dateTime": seen["dateTime"][:19], "timeZone": seen["timeZone"]}
        if seen != value:
            found.append(f"{who}: {name} is {seen!r} instead of {value!r}")
    link = stored.links.get(key)
    if link is None:
        found.append(f"{who}: no link")
    elif [entry.id for entry in link.entries] != [event["id"]]:
        found.append(f"{who}: the link knows of other events: {link.entries}")
    elif link.last_error:
        found.append(f"{who}: the link still has an error: {link.last_error}")
    if mapping.write_back:
        record = acumatica.record(mapping.write_back.entity, row["NoteID"])
        for field in mapping.write_back.fields:
            written = _field(record, field) if record else event["id"]
            if written != event["id"]:
                found.append(f"{who}: {field} holds {written!r} instead of the event's id")
    return found


def _session_differences(stored: Stored, graph: FakeGraph, acumatica: FakeAcumatica, budget: int) -> list[str]:
    found = []
    if sessions := list(acumatica.sessions):
        found.append(f"{len(sessions)} Acumatica sessions are still open")
    found += [f"a session slot is {state}" for state in stored.slots if state != "free"]
    if acumatica.max_sessions_seen > budget:
        found.append(f"{acumatica.max_sessions_seen} sessions were open at a time; the budget is {budget}")
    if acumatica.overlaps:
        found.append(f"{len(acumatica.overlaps)} times two requests used one session at a time")
    found += [
        f"{mailbox}: {graph.max_concurrency(mailbox)} requests at a time"
        for mailbox in graph.mailboxes()
        if graph.max_concurrency(mailbox) > 4  # noqa: PLR2004  (Outlook's limit)
    ]
    return found


def _field(record: dict[str, Any], name: str) -> Any:
    if name.startswith("custom."):
        _, view, field = name.split(".")
        return record.get("custom", {}).get(view, {}).get(field, {}).get("value")
    value = record.get(name)
    return value.get("value") if isinstance(value, dict) else value
