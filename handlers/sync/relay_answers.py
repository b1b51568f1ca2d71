"""What a receiver's answers mean: a message that has arrived, one to send again, or something that needs a person."""

import json
from collections.abc import Mapping as MappingOf

from handlers.sync.answers import met, retry_after
from handlers.sync.errors import RUN_AGAIN, Code, Later, Permanent, SyncError

_GONE, _TOO_MANY_REQUESTS = 410, 429
_PASSES = {408, 409, 423, 425}  # of the 4xx: nobody has to do anything about them
_ID_MAX = 1000  # characters


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
