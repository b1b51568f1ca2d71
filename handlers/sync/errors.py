"""Everything that can go wrong with a row, classed by what to do next.

SyncError
├── Permanent             a person has to act: becomes a dead letter with its remedy
│   └── MailboxGone       the mailbox does not exist, or has no licence (done, where something was to be removed)
├── Later                 not now: the message is sent again after a delay
├── OutcomeUnknown        no answer: the request may be carried out at any time, so the claim is left to expire
├── EventGone             Graph has no event with this id (removed or moved by a person, or never made)
├── DuplicateTransaction  Graph made an event of other content from this transactionId earlier
├── RecordGone            Acumatica has no such record any more
└── SignedOut             Acumatica does not know the session (any more)

`graph_error` and `acumatica_error` are pure functions of an answer's (status, headers, body). Everything else that is
raised is a bug: the Functions host tries the message again, and moves it to the poison queue in the end.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

# How long to wait for what only an administrator, or time, can mend.
ACCESS_DELAY = 300.0
FULL_MAILBOX_DELAY = 900.0
RUN_AGAIN = "then resubmit the dead letter, or save the record in Acumatica again."


class SyncError(Exception):
    """Base of all failures that are understood; `str()` is a sentence without secrets; it may name a value."""


class Permanent(SyncError):
    """Trying again cannot help until someone acts on `remedy`."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class MailboxGone(Permanent):
    """No such mailbox, or one that Exchange Online does not serve."""


class Later(SyncError):
    """Try again, in `delay` seconds at the earliest. `counted` is false for our own gates: their delay does not grow."""

    def __init__(self, reason: str, delay: float = 0.0, *, counted: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay = delay
        self.counted = counted


class OutcomeUnknown(SyncError):
    """The request went out and no answer came back."""


class EventGone(SyncError):
    """The event is not in the mailbox under this id."""


class DuplicateTransaction(SyncError):
    """The transactionId is used up; `event_id` is the event that it made, where Graph tells."""

    def __init__(self, event_id: str | None) -> None:
        super().__init__("the transactionId has made an event of other content")
        self.event_id = event_id


class RecordGone(SyncError):
    """The record is not in Acumatica (any more)."""


class SignedOut(SyncError):
    """The session has ended on the server's side."""


_NO_MAILBOX = {
    "MailboxNotEnabledForRESTAPI",
    "MailboxNotSupportedForRESTAPI",
    "ErrorInvalidUser",
    "ErrorNonExistentMailbox",
    "Request_ResourceNotFound",
    "ResourceNotFound",
}
_NO_EVENT = {"ErrorItemNotFound"}
_TRANSIENT = {"ErrorIrresolvableConflict", "ConcurrentItemSave", "TooManyRequests", "ApplicationThrottled"}
_TRANSIENT_MESSAGE = re.compile(r"another process has (added|updated|deleted)", re.IGNORECASE)
_TOO_MANY_REQUESTS, _BAD_GATEWAY, _GATEWAY_TIMEOUT = 429, 502, 504


def graph_error(status: int, headers: Mapping[str, str], body: bytes, *, mailbox: str = "") -> SyncError:
    """Class an answer of Microsoft Graph that is no success. `error.code` decides before the status does.

    https://learn.microsoft.com/graph/errors and https://learn.microsoft.com/graph/throttling
    """
    error = _member(_json(body), "error")
    code, message = _text(error, "code"), _text(error, "message")
    said = f"Graph answered {status} {code or '(no code)'}{': ' + message if message else ''}".rstrip(".")
    if code == "ErrorDuplicateTransactionId":
        return DuplicateTransaction(_text(error, "@event.existingEventId") or None)
    if code in _NO_EVENT:
        return EventGone(said)
    if code in _NO_MAILBOX:
        return MailboxGone(
            f"Mailbox {mailbox} does not exist, or has no Exchange Online licence ({code}).",
            f"Check the column that the mapping's mailbox is made of, and the licence of its owner; {RUN_AGAIN}",
        )
    if code == "ErrorQuotaExceeded":
        return Later("the mailbox is full", FULL_MAILBOX_DELAY)
    if code in _TRANSIENT or status == _TOO_MANY_REQUESTS:
        return Later(said, retry_after(headers))
    if status in {401, 403}:
        return Later(f"{said}; is the app allowed to write to mailbox {mailbox}?", ACCESS_DELAY if status == 403 else 5.0)
    if status in {_BAD_GATEWAY, _GATEWAY_TIMEOUT}:
        return OutcomeUnknown(said)  # a gateway gave up waiting: the mailbox server may not have
    if status >= 500 or status in {404, 408, 409, 412, 423, 425}:
        return Later(said, retry_after(headers))
    return Permanent(
        f"{said}.",
        f"Correct the mapping, or the row in Acumatica that leads to this; {RUN_AGAIN}",
    )


def graph_code(body: bytes) -> str:
    """Graph's `error.code`, which is safe to log; empty where there is none."""
    return _text(_member(_json(body), "error"), "code")


def acumatica_error(status: int, headers: Mapping[str, str], body: bytes) -> SyncError:
    """Class an answer of Acumatica's contract-based REST API that is no success.

    Status codes: https://help.acumatica.com, "Update of a Record" of the Integration Development Guide. A refused record
    comes back as the entity itself, with `error` members anywhere in the tree; the top one alone says nothing.
    """
    tree = _json(body)
    said = "; ".join(_acumatica_messages(tree)) or body[:300].decode("utf-8", "replace").strip() or "no message"
    answer = f"Acumatica answered {status}: {said}".rstrip(".")
    if b"API Login Limit" in body or status == _TOO_MANY_REQUESTS:
        return Later(answer, retry_after(headers) or 10.0)
    if status == 401:
        return SignedOut(answer)
    if b"NoEntitySatisfiesTheCondition" in body or status == 412:
        return RecordGone(answer)
    if status == 403:
        return Permanent(f"{answer}.", "Give the API user access to the form behind the entity of the mapping's write_back.")
    if status in {_BAD_GATEWAY, _GATEWAY_TIMEOUT}:
        return OutcomeUnknown(answer)
    if status >= 500 or status in {408, 409, 423, 425} or _TRANSIENT_MESSAGE.search(said):
        return Later(answer, retry_after(headers))
    if status == 404 or 300 <= status < 400:
        return Permanent(f"{answer}.", "Check ACUMATICA_URL and the endpoint and entity of the mapping's write_back.")
    return Permanent(f"{answer}.", f"Check the fields of the mapping's write_back and the record; {RUN_AGAIN}")


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After, which Graph may give as a fraction and HTTP allows as a date (then a minute); 0 without."""
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    try:
        return max(0.0, min(3600.0, float(value))) if value else 0.0
    except ValueError:
        pass
    try:
        parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return 60.0


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _member(tree: Any, name: str) -> Any:
    return tree.get(name) if isinstance(tree, dict) else None


def _text(tree: Any, name: str) -> str:
    value = _member(tree, name)
    return _storable(value) if isinstance(value, str) else ""


def _storable(text: str) -> str:
    """The beginning of a text; half a surrogate pair, which JSON can escape, has no place in a link or a dead letter."""
    return text[:500].encode("utf-8", "replace").decode()


def _acumatica_messages(tree: Any) -> list[str]:
    """All `error` members of a refused record, or the message and the exceptions of an HttpError, without repetition."""
    found: dict[str, None] = {}
    names = ("error", "message", "messageDetail", "exceptionMessage", "error_description")
    queue = deque([("", tree)])
    while queue and len(found) < 10:
        path, node = queue.popleft()
        if isinstance(node, list):
            queue += [(path, item) for item in node]
        elif isinstance(node, dict):
            for name in names:
                if text := _text(node, name):
                    found[f"{path}: {text}" if path else text] = None
            if "NoEntitySatisfiesTheCondition" in _text(node, "exceptionType"):
                found["NoEntitySatisfiesTheCondition"] = None
            queue += [(_storable(k) if k != "value" else path, v) for k, v in node.items() if isinstance(v, dict | list)]
    return list(found)
