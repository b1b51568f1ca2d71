"""Dead letters are made: what needs a person is kept whole, and told of once."""

import logging
from dataclasses import replace
from hashlib import sha256

from handlers import telemetry
from handlers.clients.activity import readable
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.storage import Storage
from handlers.clients.sweeps import Look
from handlers.sync.change import PUSH, RowChange, canonical, digest
from handlers.sync.errors import RUN_AGAIN, Code, Permanent
from handlers.sync.link import BURIED, EventLink, new_link
from handlers.sync.notification import PushNotification, Unidentified

CORRECT_IT = f"Correct the cause, {RUN_AGAIN}"
_TRIES = 10
_REASON = 2000  # characters of one that a link has room for in any case
_OF_A_CHANGE = {Code.KEY_REPEATED, Code.COLUMN_MISSING}  # what was never merged


def bury(change: RowChange, failure: Permanent, storage: Storage) -> None:
    """Make a dead letter of a change, noted on the link first, so that any later success clears it.

    Where the link knows a newer state of the row, it is that one which failed: its columns are kept.
    """
    written = False
    for _ in range(_TRIES):
        stored, etag = storage.links.load(change.link_key)
        link = stored or new_link(change, storage.now())
        if _overtaken(link, change, failure, written=written):
            if written and link.version:
                storage.dead_letters.clear(change.link_key, link.version.timestamp)
            return
        if link.version and link.version[:2] > _rank(change):
            newest = link.newest if link.present else None
            change = replace(change, timestamp=link.version.timestamp, row=newest, origin=PUSH)  # its nulls are no news
        held = link.buried, link.buried_row
        buried, row = max(held, _rank(change))
        # No message stands behind a claim any more whose message is a dead letter by now.
        claim = replace(link.claim, backed=False) if link.claim else None
        marked = replace(link, last_error=failure.reason[:_REASON], last_code=failure.code, claim=claim)
        marked = replace(marked, buried=buried, buried_row=row)
        if marked != stored:
            marked = marked.noted(storage.now(), change, "", f"{BURIED}{failure.reason}")
            etag = storage.links.save(marked, etag)
        if etag and held > _rank(change):
            return
        if etag:
            _put(change.link_key, canonical(change.encode()), failure, storage, change)
            written = True
            if storage.links.save(marked, etag):  # so that a success meanwhile shows, and one under way sees the letter
                return
    raise RuntimeError("the link of a dead letter could not be marked")


def _rank(change: RowChange) -> tuple[int, bool]:
    return change.timestamp, change.row is not None


def _overtaken(link: EventLink, change: RowChange, failure: Permanent, *, written: bool) -> bool:
    """Whether a newer state of the row is in order, or the failure is one of an older change and not of the row's state.

    Once the letter is written, the same state in order counts as well: it came in order meanwhile.
    """
    in_order = not (link.last_error or link.claim or link.buried)
    if not link.version or link.version[:2] < _rank(change):
        return False
    if link.version[:2] == _rank(change):
        return written and in_order
    return in_order or failure.code in _OF_A_CHANGE


def bury_unreadable(message: str, reason: str, storage: Storage) -> None:
    """Make a dead letter of a message that holds no row change."""
    failure = Permanent(Code.MESSAGE_UNREADABLE, reason, CORRECT_IT)
    _put(sha256(message.encode()).hexdigest(), message, failure, storage)


def bury_look(look: Look, reason: str, storage: Storage) -> None:
    """Make a dead letter of a look at a mailbox: one for each mailbox, however many looks failed."""
    remedy = f"Correct the cause, look again (python -m handlers sweep --calendars {look.mailbox}), and discard this."
    key = digest(["look", look.mailbox.lower()])
    _put(key, canonical(look.encode()), Permanent(Code.APP_FAILED, reason, remedy), storage)


def bury_row(row: Unidentified, notification: PushNotification, storage: Storage) -> None:
    """Make a dead letter of a row that cannot be tied to an event, since it has no key."""
    content = {"mapping": row.mapping, "timestamp": notification.timestamp, "row": row.row}
    letter = DeadLetter(
        key=digest(content),
        code=Code.KEY_MISSING,
        reason=row.reason,
        remedy=f"Correct the mapping's key or the inquiry's columns, {RUN_AGAIN}",
        mapping=row.mapping,
        notification=notification.id,
        content=canonical(content),
    )
    storage.dead_letters.put(letter)
    _tell_of(letter)


def _put(key: str, content: str, failure: Permanent, storage: Storage, change: RowChange | None = None) -> None:
    letter = DeadLetter(
        key=key,
        code=failure.code,
        reason=failure.reason,
        remedy=failure.remedy,
        content=content,
        mapping=change.mapping if change else "",
        row_key=readable(", ".join(change.key), 1000) if change else "",
        notification=change.notification if change else "",
        timestamp=change.timestamp if change else 0,
        tries=change.tries if change else 0,
    )
    storage.dead_letters.put(letter)
    _tell_of(letter)


def _tell_of(letter: DeadLetter) -> None:
    telemetry.emit(
        telemetry.DEAD_LETTER,
        level=logging.ERROR,
        notification=letter.notification or None,
        mapping=letter.mapping or None,
        row=letter.key[:16],
        code=letter.code,
        tries=letter.tries,
    )
