"""Whose calendar an event stands in, and who is invited to it."""

import re
from typing import Any

from handlers.sync.mapping import Mapping
from handlers.sync.mapping_values import ATTENDEE_TYPES
from handlers.sync.template import Row
from handlers.sync.values import choice, unusable

_MAILBOX = re.compile(
    r"[^@\s/\\?%<>\x00-\x1f]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_ADDRESS = re.compile(r"[^@\s<>\x00-\x1f]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+")
_ATTENDEES_MAX = 500  # https://learn.microsoft.com/graph/api/resources/event


def mailbox_of(mapping: Mapping, row: Row) -> str:
    """The address or object id of the mailbox, in lower case. Raises Permanent where there is none."""
    mailbox = mapping.mailbox.render(row).lower()
    if not _MAILBOX.fullmatch(mailbox):
        empty = "is empty" if not mailbox else "is no e-mail address"
        remedy = "Give the row an owner with an e-mail address, or leave such rows out with [when] or in the inquiry."
        raise unusable("mailbox", mapping.mailbox, row, empty, remedy)
    return mailbox


def attendees(mapping: Mapping, row: Row, mailbox: str, notes: list[str]) -> list[dict[str, Any]]:
    """Each address once, without the mailbox's own: that is the organizer."""
    found: dict[str, dict[str, Any]] = {}
    unusable = 0
    for attendee in mapping.event.attendees:
        kind = choice("event.attendees.type", attendee.type, row, ATTENDEE_TYPES, "required")
        addresses = [address for address in re.split(r"[;,\s]+", attendee.address.render(row)) if address]
        usable = [address for address in addresses if _ADDRESS.fullmatch(address)]
        unusable += len(addresses) - len(usable)
        name = attendee.name.render(row) if attendee.name and len(usable) == 1 else ""
        for address in usable:
            person = {"address": address} | ({"name": name} if name else {})
            found.setdefault(address.casefold(), {"emailAddress": person, "type": kind})
    found.pop(mailbox.casefold(), None)
    if unusable:
        notes.append(f"{unusable} of the attendees have no usable e-mail address and are left out.")
    if len(found) > _ATTENDEES_MAX:
        notes.append(f"Of {len(found)} attendees only the first {_ATTENDEES_MAX} are invited; Outlook takes no more.")
    return list(found.values())[:_ATTENDEES_MAX]
