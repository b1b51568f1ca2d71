"""A message to a receiver, and its forms: Standard Webhooks, and CloudEvents, structured or binary.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md, with its extension `sequence`
"""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from handlers.sync.change import canonical
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.template import Row

_JSON = "application/json"
_STRUCTURED = "application/cloudevents+json; charset=utf-8"
# In headers, all but these are percent-encoded: printable ASCII without the blank, the quote and the per cent sign.
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


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


def body(message: Message, relay: RelayTemplate) -> bytes:
    """The message as it is sent, the same each time."""
    match relay.format:
        case "standard":
            content: MappingOf[str, Any] = {"type": message.type, "timestamp": message.time, "data": _data(message)}
        case "cloudevents":
            content = {**_attributes(message), "datacontenttype": _JSON, "data": _data(message)}
        case "cloudevents-binary":
            content = _data(message)
    return canonical(content).encode()


def headers(message: Message, relay: RelayTemplate) -> dict[str, str]:
    """What goes with the body, whoever sends it; signature and token are the sender's."""
    match relay.format:
        case "standard":
            own = {"Content-Type": _JSON}
        case "cloudevents":
            own = {"Content-Type": _STRUCTURED}
        case "cloudevents-binary":
            attributes = {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in _attributes(message).items()}
            own = {"Content-Type": _JSON, **attributes}
    return {**own, "webhook-id": message.id}


def _data(message: Message) -> dict[str, Any]:
    return {
        "company": message.company,
        "mapping": message.mapping,
        "key": list(message.key),
        "sequence": message.sequence,
        "before": message.before,
        "after": message.after,
    }


def _attributes(message: Message) -> dict[str, str]:
    """The context attributes of a CloudEvent, but for that of its data."""
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": f"/acumatica/{quote(message.company, safe='')}/{quote(message.mapping, safe='')}",
        "type": message.type,
        "subject": "/".join(quote(part, safe="") for part in message.key),
        "time": message.time,
        "sequence": f"{message.sequence:020}",
    }
