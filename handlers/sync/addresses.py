"""E-mail addresses as people type them into a field: one or several, with names, quotes, `mailto:` and semicolons.

email.utils reads one person. Several it separates by commas alone, while Outlook writes semicolons, and commas in names.
"""

import re
from email.utils import parseaddr
from typing import NamedTuple

from handlers.sync.text import one_line

_LONGEST = 400  # characters of one person; the longest address has 320
_FIELD_MAX = 100_000
_LOCAL_MAX = 64
_PIECE = re.compile(r'(?:"[^"]*"|<[^<>]*>|[^;,\r\n])+|[;,\r\n]')
_IN_BRACKETS = re.compile(r"([^<>\"]*)<([^<>]*)>")
_SCHEME = re.compile(r"(?:mailto|smtp):", re.IGNORECASE)
# What Exchange takes: no quotes, no dot at an end or beside another; hyphens inside of a domain's parts only.
# https://learn.microsoft.com/exchange/troubleshoot/user-and-shared-mailboxes/invalid-character-in-email-address
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=[0-9-]*[A-Za-z]){_LABEL}")
_DOMAIN_MAX = 253


class Address(NamedTuple):
    """One person; `address` is empty where there is no usable one."""

    name: str
    address: str


def read_addresses(text: str) -> list[Address]:
    """Everyone that a field names, in order, with and without a usable address."""
    return [_read(person) for person in _people(text)] if len(text) <= _FIELD_MAX else [Address("", "")]


def _people(text: str) -> list[str]:
    """The field, divided into people. A comma separates them, unless it stands in a name: `Lee, Ann <ann@example.com>`."""
    found, person = list[str](), ""
    for piece in _pieces(text):
        if piece == "," and "@" not in person:
            person += piece
        elif piece in {";", ",", "\r", "\n"}:
            found += _words(person)
            person = ""
        else:
            person += piece
    return found + _words(person)


def _pieces(text: str) -> list[str]:
    text = text.strip()
    return _PIECE.findall(text if text.count('"') % 2 == 0 else text.replace('"', ""))


def _words(person: str) -> list[str]:
    """One person; or several, where blanks alone separate bare addresses, or commas come before any address."""
    person = person.strip(" \t,")
    if "<" in person or '"' in person or "(" in person:
        return [person]
    if "," in person and "@" in person:
        return [word for part in person.split(",") for word in _words(part)]
    words = person.split()
    return words if all("@" in word for word in words) else [person]


def _read(person: str) -> Address:
    if len(person) > _LONGEST or person.count("(") > 1:  # nested comments are none of a person's, and take much time
        return Address("", "")
    match = _IN_BRACKETS.fullmatch(person)
    name, address = (match[1], match[2]) if match else parseaddr(person) if re.search(r'["(<]', person) else ("", person)
    address = address.strip()
    if scheme := _SCHEME.match(address):
        address = address[scheme.end() :].partition("?")[0]
    if len(address) > 2 and address[0] == address[-1] == "'":
        address = address[1:-1]
    return Address(one_line(name).strip("'\""), _usable(address))


def _usable(address: str) -> str:
    """The address with its domain as it travels; empty where Exchange would refuse it."""
    local, _, domain = address.rpartition("@")
    if not _LOCAL.fullmatch(local) or len(local) > _LOCAL_MAX:
        return ""
    if not domain.isascii():
        import idna  # noqa: PLC0415  (for the few that need it)

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, ValueError):
            return ""
    return f"{local}@{domain}" if _DOMAIN.fullmatch(domain) and len(domain) <= _DOMAIN_MAX else ""
