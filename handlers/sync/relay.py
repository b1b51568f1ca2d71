"""What a receiver is told of a row: messages with the state before and after, one for each change, under ids that stay.

A message is intended (numbered, and saved with the link) before it is sent, and stays the row's message until it is
confirmed or the row changes again. So each repetition, also after a crash, has the same id and the same body, and of two
messages of a row the one with the greater number tells the newer state.

| the newest state     | what the receiver has confirmed, or may have got | what follows                                    |
|----------------------|--------------------------------------------------|-------------------------------------------------|
| a row                | nothing                                          | row.inserted                                    |
| a row                | an equal one, and no message is under way        | nothing                                         |
| a row                | another one, or a message is under way           | row.updated (inserted, if none was confirmed)   |
| none (removed, when) | nothing                                          | nothing                                         |
| none                 | a row, or a message is under way                 | row.removed                                     |
| any                  | the mapping's `types` leave it out               | it counts as told                               |
"""

import json
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from handlers.sync.answers import met, retry_after
from handlers.sync.change import canonical, digest, ticks_to_datetime
from handlers.sync.errors import RUN_AGAIN, Code, Later, Permanent, SyncError
from handlers.sync.formats import shower
from handlers.sync.link import Delivery, EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_relay import INSERTED, REMOVED, UPDATED, RelayTemplate
from handlers.sync.template import Row, Template
from handlers.sync.times import zone_of
from handlers.sync.values import translated

_GONE, _TOO_MANY_REQUESTS = 410, 429
_PASSES = {408, 409, 423, 425}  # of the 4xx: nobody has to do anything about them
_ID_MAX = 1000  # characters
_CONTENT_TYPES = {"standard": "application/json", "cloudevents": "application/cloudevents+json; charset=utf-8"}


@dataclass(frozen=True)
class RelayState:
    """The newest state of a row as its receiver is told it; None where the row is gone, or `when` does not hold."""

    data: Row | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """What is told of one change. `time` is that of the transaction, in UTC; `sequence` grows with each message of a row."""

    id: str
    sequence: int
    type: str
    time: str
    company: str
    mapping: str
    key: tuple[str, ...]
    before: Row | None
    after: Row | None


def wanted_state(link: EventLink, mapping: Mapping) -> RelayState:
    """What the receiver should know of a row. Raises Permanent where the row cannot be rendered."""
    if not mapping.relay or not link.present or not mapping.matches(link.row):
        return RelayState(None)
    return told_of(mapping, mapping.relay, link.row)


def told_of(mapping: Mapping, relay: RelayTemplate, row: Row) -> RelayState:
    """What a receiver is told of a row (of picked columns) that is there."""
    row = translated(mapping, row)
    if mapping.whole:
        return RelayState({name: _trimmed(value) for name, value in row.items()})
    notes: list[str] = []
    show = shower(mapping.locale, lambda: zone_of(mapping, row), notes)

    def value(template: Template) -> Any:
        column = None if template.formatted else template.column
        return _trimmed(row.get(column)) if column else template.render(row, show=show)

    return RelayState({name: value(template) for name, template in relay.fields.items()}, tuple(notes))


def _trimmed(value: Any) -> Any:
    """A value without the blanks that Acumatica pads segmented keys with."""
    return value.strip() if isinstance(value, str) else value


def intend_message(link: EventLink, wanted: RelayState, relay: RelayTemplate) -> EventLink:
    """The link as it must be saved before a message is sent: what is to be told has its number."""
    link = replace(link, notes=wanted.notes)
    told = link.delivery
    if not told.pending and wanted.data == told.confirmed:
        return link
    intent, timestamp = digest(wanted.data), link.version.timestamp if link.version else 0
    if told.pending and told.intent == intent:
        return link
    if _type(told, wanted) not in relay.types:
        return replace(link, delivery=Delivery(wanted.data, answer=told.answer))
    pending = replace(told, pending=True, intent=intent, timestamp=timestamp)
    return replace(link, generation=link.generation + 1, delivery=pending)


def _type(told: Delivery, wanted: RelayState) -> str:
    if wanted.data is None:
        return REMOVED
    return INSERTED if told.confirmed is None else UPDATED


def message(link: EventLink, wanted: RelayState) -> Message:
    """The message of a link that `intend_message` has prepared."""
    return Message(
        id=link.stamp(link.generation),
        sequence=link.generation,
        type=_type(link.delivery, wanted),
        time=ticks_to_datetime(link.delivery.timestamp).isoformat().replace("+00:00", "Z"),
        company=link.company,
        mapping=link.mapping,
        key=link.row_key,
        before=link.delivery.confirmed,
        after=wanted.data,
    )


def body(message: Message, relay: RelayTemplate) -> bytes:
    """The message as it is sent, the same each time.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md and
    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md, with its extension `sequence`.
    """
    data = {
        "company": message.company,
        "mapping": message.mapping,
        "key": list(message.key),
        "sequence": message.sequence,
        "before": message.before,
        "after": message.after,
    }
    if relay.format == "standard":
        return canonical({"type": message.type, "timestamp": message.time, "data": data}).encode()
    event = {
        "specversion": "1.0",
        "id": message.id,
        "source": f"/acumatica/{quote(message.company, safe='')}/{quote(message.mapping, safe='')}",
        "type": message.type,
        "subject": "/".join(quote(part, safe="") for part in message.key),
        "time": message.time,
        "datacontenttype": "application/json",
        "sequence": f"{message.sequence:020}",
        "data": data,
    }
    return canonical(event).encode()


def headers(message: Message, relay: RelayTemplate) -> dict[str, str]:
    """What goes with the body, whoever sends it; signature and token are the sender's."""
    return {"Content-Type": _CONTENT_TYPES[relay.format], "webhook-id": message.id}


def relay_error(status: int, answer_headers: MappingOf[str, str], content: bytes, address: str) -> SyncError:
    """Class an answer of a receiver that is no success. `address`: the app setting that names it, never its value."""
    said = f"The receiver ({address}) has answered {status}"
    if status == _TOO_MANY_REQUESTS:
        return Later(Code.RELAY_THROTTLED, said, retry_after(answer_headers))
    if status >= 500 or status in _PASSES:
        return Later(Code.RELAY_UNAVAILABLE, said, retry_after(answer_headers))
    if status == _GONE:
        return gone(address)
    if 300 <= status < 400:
        reason = f"The receiver ({address}) has answered with {met(status, {}, content)}; redirects are not followed."
        return Permanent(Code.RELAY_REFUSED, reason, f"Put the address where it leads into {address}; {RUN_AGAIN}")
    if status in {401, 403}:
        remedy = f"Check auth (and audience) of the mapping's relay, its secret, and who may call the receiver; {RUN_AGAIN}"
        return Permanent(Code.RELAY_REFUSED, f"{said}: it does not let us in.", remedy)
    remedy = f"See the receiver's own log for why, check the address in {address}; {RUN_AGAIN}"
    return Permanent(Code.RELAY_REFUSED, f"{said}.", remedy)


def gone(address: str) -> Permanent:
    """What is said of every message to a receiver that has answered 410: it wants no more of them."""
    return Permanent(
        Code.RELAY_GONE,
        f"The receiver ({address}) has answered 410 Gone: it wants no messages any more, and is sent none.",
        f"Put the receiver's new address into {address} (the app starts anew with it), or remove the mapping; then resubmit "
        "the dead letters.",
    )


def answer_id(content: bytes) -> str:
    """The `id` in a receiver's JSON answer, for the write-back; empty where it has none."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    found = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(found, str | int) or isinstance(found, bool):
        return ""
    return str(found)[:_ID_MAX].encode("utf-8", "replace").decode()  # half a surrogate pair cannot be stored
