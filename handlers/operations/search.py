"""Rows are found by what people know of them: any part of key, subject or mailbox; and what each mailbox has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from handlers import upkeep
from handlers.clients.search import SearchIndex
from handlers.clients.storage import Storage
from handlers.operations.activity import About, RowState, row, rows
from handlers.sync.change import link_key

ROWS = 30  # shown at a time
MAILBOXES = 200
_LONGEST = 200  # characters that are looked for
_SAMPLE = 2000  # rows whose keys say what keys look like
_EXAMPLES = 3


@dataclass(frozen=True)
class Search:
    """What was found: the first rows, and how many there are in all.

    `likely`: the text has the form of the keys that are known, so it may be one that was not taken in. `examples` are
    such keys.
    """

    rows: list[RowState]
    total: int
    likely: bool = False
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mailbox:
    """A mailbox by what its rows say; `changed` is in seconds since 1970."""

    address: str
    events: int = 0
    failed: int = 0
    waiting: int = 0
    changed: float = 0.0

    def with_row(self, state: str, changed: float) -> "Mailbox":
        """The same with one row more."""
        return replace(
            self,
            events=self.events + (state == "event"),
            failed=self.failed + (state == "failed"),
            waiting=self.waiting + (state == "waiting"),
            changed=max(self.changed, changed),
        )


def search(text: str, storage: Storage, about: About) -> Search:
    """Rows that hold all words of the text; a key as it is exactly comes first, however short ago it was taken in."""
    text = text.strip()[:_LONGEST]
    if not text:
        return Search([], 0)
    exact = [state for state in (row(key, storage, about) for key in _as_keys(text, about)) if state]
    keys = {state.key for state in exact}
    found, total = _index(storage, about).find(text, ROWS)
    states = [*exact, *rows([known.key for known in found if known.key not in keys], storage, about)][:ROWS]
    if states:
        return Search(states, max(total, len(states)))
    sample = [", ".join(known.row_key) for known in storage.search.sample(_SAMPLE)]
    return Search([], 0, _form(text) in set(map(_form, sample)), tuple(sample[-_EXAMPLES:]))


def mailboxes(storage: Storage, about: About) -> list[Mailbox]:
    """All that rows name, first those where something fails, then by address."""
    found: dict[str, Mailbox] = {}
    for address, state, changed in _index(storage, about).in_mailboxes():
        found[address] = (found.get(address) or Mailbox(address)).with_row(state, changed)
    return sorted(found.values(), key=lambda box: (not box.failed, not box.waiting, box.address))


def mailbox(address: str, storage: Storage, about: About) -> tuple[Mailbox, list[RowState]]:
    """A mailbox, and its rows: first those in trouble, then the newest change; at most 30."""
    box = Mailbox(address.strip().lower())
    found = _index(storage, about).in_mailbox(address)
    for known in found:
        box = box.with_row(known.state, known.changed)
    found.sort(key=lambda known: known.state not in {"failed", "waiting"})
    return box, rows([known.key for known in found[:ROWS]], storage, about)


def _index(storage: Storage, about: About) -> SearchIndex:
    if not storage.search.is_built():
        upkeep.index(storage, about.mappings)
    return storage.search


def _as_keys(text: str, about: About) -> Sequence[str]:
    """Link keys that the text would have, as it is and in capital letters: most keys of Acumatica are."""
    found = []
    for name, mapping in about.mappings.items():
        for written in (text, text.upper()):
            parts = [written] if len(mapping.key) == 1 else [part.strip() for part in written.split(",")]
            found.append(link_key(about.company, name, parts))
    return list(dict.fromkeys(found))


def _form(key: str) -> str:
    """What a key looks like: its digits by their number, its letters as such."""
    return re.sub(r"\d", "9", re.sub(r"[^\W\d_]+", "a", key.strip()))
