"""Errors in Graph's own form: https://learn.microsoft.com/graph/errors."""

from typing import Any

from local.fakes.calls import Refused, Reply

_STALE = (
    "The send or update operation could not be performed because the change key passed in the request does not match the "
    "current change key for the item."
)
# What Graph says with a status, where nothing else is known of the cause; shapes as in the service's own answers.
ERRORS = {
    400: ("ErrorInvalidRequest", "Your request can't be completed."),
    401: ("InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
    403: ("ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    404: ("ErrorItemNotFound", "The specified object was not found in the store."),
    409: ("ErrorIrresolvableConflict", _STALE),
    412: ("ErrorIrresolvableConflict", _STALE),
    429: ("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
    500: ("ErrorInternalServerError", "An internal server error occurred. The operation failed."),
    503: ("serviceNotAvailable", "The service is unavailable."),
    504: ("UnknownError", ""),
}


def refused(status: int, code: str = "", message: str = "", **more: Any) -> Refused:
    """An error; without a code, the one that goes with the status."""
    if not code:
        code, message = ERRORS.get(status, ("UnknownError", ""))
    return Refused(Reply(status, {"error": {"code": code, "message": message, **more}}))
