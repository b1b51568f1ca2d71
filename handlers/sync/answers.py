"""What an answer of Microsoft Graph or Acumatica means that is no success: pure functions of (status, headers, body)."""

import json
import re
from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from handlers.sync.errors import (
    RUN_AGAIN,
    Code,
    DuplicateTransaction,
    EventGone,
    Later,
    MailboxGone,
    OutcomeUnknown,
    Permanent,
    RecordGone,
    SignedOut,
    SyncError,
)

# How long to wait for what only an administrator, or time, can put right.
ACCESS_DELAY = 300.0
FULL_MAILBOX_DELAY = 900.0

_NO_MAILBOX = {
    "MailboxNotEnabledForRESTAPI",
    "MailboxNotSupportedForRESTAPI",
    "ErrorInvalidUser",
    "ErrorNonExistentMailbox",
    "Request_ResourceNotFound",
    "ResourceNotFound",
}
_NO_EVENT = "ErrorItemNotFound"
# An id belongs to one mailbox; in another one there is no such event.
_FOREIGN_EVENT = "ErrorInvalidMailboxItemId"
_OTHER_SERVER = re.compile("cross server access", re.IGNORECASE)
_THROTTLED = {"TooManyRequests", "ApplicationThrottled"}
_TRANSIENT = {
    "ErrorIrresolvableConflict",
    "ConcurrentItemSave",
    "ErrorInternalServerError",
    "ErrorInternalServerTransientError",
    "ErrorMailboxMoveInProgress",
    "ErrorMailboxStoreUnavailable",
    "ErrorServerBusy",
    "ErrorTimeoutExpired",
    "MailboxInfoStale",
    "ServiceUnavailable",
}
# The account is suspended, and yet what was asked for may have been done.
_SUSPENDED = "ErrorAccountSuspend"
_TRANSIENT_MESSAGE = re.compile(r"another process has (added|updated|deleted)", re.IGNORECASE)
_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS, _BAD_GATEWAY, _GATEWAY_TIMEOUT = 408, 429, 502, 504
_LATER = {404, 408, 409, 412, 423, 425}
_STRANGE_DELAY = 30.0  # until a gateway, or a site under maintenance, is asked again


def graph_error(
    status: int, headers: Mapping[str, str], body: bytes, *, mailbox: str = "", names_event: bool = False
) -> SyncError:
    """Class an answer of Microsoft Graph that is no success. `error.code` decides before the status does.

    `names_event`: the request named an event by its id. Only what Graph says in its own form counts against a row.
    https://learn.microsoft.com/graph/errors and https://learn.microsoft.com/graph/throttling
    """
    error = _member(_json(body), "error")
    code, message = _text(error, "code"), _text(error, "message")
    said = f"Graph answered {status} {code or '(no code)'}{': ' + message if message else ''}".rstrip(".")
    if code == "ErrorDuplicateTransactionId":
        return DuplicateTransaction(_text(error, "@event.existingEventId") or None)
    if code == _NO_EVENT:
        return EventGone(said)
    if code == _FOREIGN_EVENT or (names_event and _OTHER_SERVER.search(message)):
        return EventGone(said, foreign=True)
    if code in _NO_MAILBOX:
        return MailboxGone(
            Code.MAILBOX_MISSING,
            f"Mailbox {mailbox} does not exist, or has no Exchange Online licence ({code}).",
            "Check the column that the mapping's mailbox is made of, and the licence of its owner. An e-mail address may "
            f"differ from the user principal name: use that, or the object id; {RUN_AGAIN}",
        )
    if code == "ErrorQuotaExceeded":
        return Later(Code.MAILBOX_FULL, "the mailbox is full", FULL_MAILBOX_DELAY)
    if status == _TOO_MANY_REQUESTS or code in _THROTTLED:
        return Later(Code.GRAPH_THROTTLED, said, retry_after(headers))
    if status in {_BAD_GATEWAY, _GATEWAY_TIMEOUT}:
        return OutcomeUnknown(Code.NOT_ANSWERED, said)  # a gateway gave up waiting: the mailbox server may not have
    if code in _TRANSIENT or (status >= 500 and code):
        return Later(Code.GRAPH_UNAVAILABLE, said, retry_after(headers))
    if not code:
        return _not_the_service("Graph", status, headers, body)
    if status in {401, 403} and code != _SUSPENDED:
        delay = ACCESS_DELAY if status == 403 else 5.0
        return Later(Code.MAILBOX_DENIED, f"{said}; is the app allowed to write to mailbox {mailbox}?", delay)
    if code == _SUSPENDED or status in _LATER:
        return Later(Code.GRAPH_UNAVAILABLE, said, retry_after(headers) or (ACCESS_DELAY if code == _SUSPENDED else 0.0))
    remedy = f"Correct the mapping, or the row in Acumatica that leads to this; {RUN_AGAIN}"
    return Permanent(Code.GRAPH_REFUSED, f"{said}.", remedy)


def graph_code(body: bytes) -> str:
    """Graph's `error.code`, which is safe to log; empty where there is none."""
    return _text(_member(_json(body), "error"), "code")


def acumatica_error(status: int, headers: Mapping[str, str], body: bytes) -> SyncError:
    """Class an answer of Acumatica's contract-based REST API that is no success.

    Status codes: https://help.acumatica.com, "Update of a Record" of the Integration Development Guide. A refused record
    comes back as the entity itself, with `error` members anywhere in the tree; the top one alone says nothing.
    """
    tree = _json(body)
    messages = _acumatica_messages(tree)
    said = "; ".join(messages) or "no message"
    answer = f"Acumatica answered {status}: {said}".rstrip(".")
    if b"API Login Limit" in body or status == _TOO_MANY_REQUESTS:
        return Later(Code.ACUMATICA_THROTTLED, answer, retry_after(headers) or 10.0)
    if status == 401:
        return SignedOut(answer)
    if status in {_BAD_GATEWAY, _GATEWAY_TIMEOUT}:
        return OutcomeUnknown(Code.NOT_ANSWERED, answer)
    if not messages:
        return _not_the_service("Acumatica", status, headers, body)
    if b"NoEntitySatisfiesTheCondition" in body or status == 412:
        return RecordGone(answer)
    if status == 403:
        remedy = "Give the API user access to the form behind the entity of the mapping's write_back."
        return Permanent(Code.RECORD_DENIED, f"{answer}.", remedy)
    if status >= 500 or status in {408, 409, 423, 425} or _TRANSIENT_MESSAGE.search(said):
        return Later(Code.ACUMATICA_UNAVAILABLE, answer, retry_after(headers))
    if status == 404:
        remedy = "Check ACUMATICA_URL and the endpoint and entity of the mapping's write_back."
        return Permanent(Code.ACUMATICA_REFUSED, f"{answer}.", remedy)
    remedy = f"Check the fields of the mapping's write_back and the record; {RUN_AGAIN}"
    return Permanent(Code.ACUMATICA_REFUSED, f"{answer}.", remedy)


def _not_the_service(service: str, status: int, headers: Mapping[str, str], body: bytes) -> Later | OutcomeUnknown:
    """Something between has answered, or the service in a way that it does not have: not the row's fault.

    A gateway that could not get an answer may have handed the request on, and the service carry it out yet; unless it asks
    to come again, as it does where it takes no requests.
    """
    reason, delay = f"{service} was not reached: {met(status, headers, body)}", retry_after(headers)
    if (status >= 500 or status == _REQUEST_TIMEOUT) and not delay:
        return OutcomeUnknown(Code.NOT_THE_SERVICE, reason)
    return Later(Code.NOT_THE_SERVICE, reason, delay or (0.0 if status in _LATER else _STRANGE_DELAY))


def met(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """What an answer is that is not the service's own, in words that a person can act on."""
    location = next((v for k, v in headers.items() if k.lower() == "location"), "")
    path = _storable(re.split(r"[?#]", location)[0])[-100:]
    if "maintenance" in path.lower():
        return f"the site is locked for maintenance (a redirect to {path})"
    if location:
        return f"a redirect ({status}) to {path}"
    if not body.strip():
        return f"an empty answer ({status})"
    if title := re.search(rb"<title[^>]*>\s*([^<]{1,100})", body[:10_000], re.IGNORECASE):
        return f"a web page ({status}), {_storable(title[1].decode('utf-8', 'replace')).strip()!r}"
    if body.lstrip()[:1] == b"<":
        return f"a web page ({status})"
    return f"an answer ({status}) that is not in its form"


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
