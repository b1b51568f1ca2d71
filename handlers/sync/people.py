"""Whose calendar an event stands in, and who is invited to it."""

import re
from typing import Any

from handlers.sync.addresses import read_addresses
from handlers.sync.formats import Show
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_values import ATTENDEE_TYPES
from handlers.sync.template import Row
from handlers.sync.text import one_line
from handlers.sync.values import choice, unusable

_OBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_IN_PATHS = frozenset("/\\?%")
_ATTENDEES_MAX = 500  # https://learn.microsoft.com/graph/api/resources/event


def mailbox_of(mapping: Mapping, row: Row) -> str:
    """The address or object id of the mailbox, in lower case. Raises Permanent where there is not exactly one."""
    text = mapping.mailbox.render(row)
    if _OBJECT_ID.fullmatch(text.lower()):
        return text.lower()
    people = read_addresses(text)
    if len(people) == 1 and people[0].address and not _NOT_IN_PATHS & set(people[0].address):
        return people[0].address.lower()
    wrong = "holds several e-mail addresses" if sum(bool(p.address) for p in people) > 1 else "is no e-mail address"
    remedy = "Give the row an owner with an e-mail address, or leave such rows out with [when] or in the inquiry."
    raise unusable("mailbox", mapping.mailbox, row, wrong if text else "is empty", remedy)


def attendees(mapping: Mapping, row: Row, mailbox: str, show: Show, notes: list[str]) -> list[dict[str, Any]]:
    """Each address once, without the mailbox's own: that is the organizer."""
    found: dict[str, dict[str, Any]] = {}
    unusable_ones = 0
    for attendee in mapping.event.attendees:
        kind = choice("event.attendees.type", attendee.type, row, ATTENDEE_TYPES, "required")
        people = read_addresses(attendee.address.render(row))
        usable = [person for person in people if person.address]
        unusable_ones += len(people) - len(usable)
        own_name = one_line(attendee.name.render(row, show=show)) if attendee.name and len(usable) == 1 else ""
        for person in usable:
            name = own_name or person.name
            address = {"address": person.address} | ({"name": name} if name else {})
            found.setdefault(person.address.casefold(), {"emailAddress": address, "type": kind})
    found.pop(mailbox.casefold(), None)
    if unusable_ones:
        notes.append(f"{unusable_ones} of the attendees have no usable e-mail address and are left out.")
    if len(found) > _ATTENDEES_MAX:
        notes.append(f"Of {len(found)} attendees only the first {_ATTENDEES_MAX} are invited; Outlook takes no more.")
    return list(found.values())[:_ATTENDEES_MAX]
