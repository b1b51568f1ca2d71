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

from dataclasses import dataclass, replace
from typing import Any

from handlers.sync.change import digest, ticks_to_datetime
from handlers.sync.formats import shower
from handlers.sync.link import Delivery, EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_relay import INSERTED, REMOVED, UPDATED, RelayTemplate
from handlers.sync.relay_message import Message
from handlers.sync.template import Row, Template
from handlers.sync.times import zone_of
from handlers.sync.values import translated


@dataclass(frozen=True)
class RelayState:
    """The newest state of a row as its receiver is told it; None where the row is gone, or `when` does not hold."""

    data: Row | None
    notes: tuple[str, ...] = ()


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
