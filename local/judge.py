"""The judge: given what Acumatica holds, is everything else in agreement? Every difference is named.

It looks at what people and services would see (calendars, records, sessions) and at the app's storage (links, queue,
dead letters), and knows nothing of how the app works.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueServiceClient

from handlers.clients.storage import POISON_QUEUE, QUEUE, Storage
from handlers.settings import StorageSettings, load_settings
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.notification import digest, folded
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
    return found + _session_differences(stored, graph, acumatica, budget)


def link_key(tenant: str, mapping: SyncMapping, row: Row) -> str:
    """The identity of a row under a mapping."""
    return digest([folded(tenant), mapping.name, mapping.key_of(row)])


def _row_differences(
    mapping: SyncMapping, row: Row, events: list[tuple[str, Event]], link: EventLink | None, acumatica: FakeAcumatica
) -> list[str]:
    who = f"row {', '.join(mapping.key_of(row))}"
    wanted = mapping.calendar_event(mapping.pick(row))
    if len(events) != 1:
        where = ", ".join(f"{mailbox} {event['subject']!r}" for mailbox, event in events)
        return [f"{who}: {len(events)} events instead of one{': ' + where if where else ''}"]
    mailbox, event = events[0]
    seen = {name: event[name] for name in wanted.body}
    for name in ("start", "end"):
        seen[name] = {"dateTime": event[name]["dateTime"][:19], "timeZone": event[name]["timeZone"]}
    if "location" in seen:
        seen["location"] = {"displayName": event["location"]["displayName"]}
    found = [f"{who}: {n} is {seen[n]!r} instead of {v!r}" for n, v in wanted.body.items() if seen[n] != v]
    if mailbox.lower() != wanted.mailbox:
        found.append(f"{who}: event in {mailbox} instead of {wanted.mailbox}")
    if link is None or [entry.id for entry in link.entries] != [event["id"]]:
        found.append(f"{who}: the link knows of other events: {link.entries if link else 'there is no link'}")
    elif link.last_error:
        found.append(f"{who}: the link still has an error: {link.last_error}")
    record = acumatica.record(mapping.write_back.entity, row["NoteID"]) if mapping.write_back else None
    fields = mapping.write_back.fields if mapping.write_back and record else ()
    written = {field: _field(record or {}, field) for field in fields}
    return found + [f"{who}: {f} holds {v!r} instead of the event's id" for f, v in written.items() if v != event["id"]]


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
        if graph.max_concurrency(mailbox) > 4
    ]
    return found


def _field(record: dict[str, Any], name: str) -> Any:
    if name.startswith("custom."):
        _, view, field = name.split(".")
        return record.get("custom", {}).get(view, {}).get(field, {}).get("value")
    value = record.get(name)
    return value.get("value") if isinstance(value, dict) else value
