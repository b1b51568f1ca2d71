"""Ready-made answers for faults: what a service says now and then, and what comes from something that stands before it."""

from collections.abc import Mapping

from local.fakes.calls import Reply

_HTML = {"Content-Type": "text/html; charset=utf-8"}
_JSON = {"Content-Type": "application/json; charset=utf-8"}


def page(title: str) -> str:
    """HTML as gateways, sign-in pages and maintenance pages are made of."""
    return f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"


def _graph(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}})


_OF_SOMETHING_ELSE: Mapping[str, Reply] = {
    "redirect": Reply(302, page("Object moved"), _HTML | {"Location": "https://login.example.com/signin"}),
    "html": Reply(200, page("Sign in to continue"), _HTML),
    "gateway": Reply(502, page("502 Bad Gateway"), _HTML),
    # Graph's own, and transient: https://github.com/twentyhq/twenty/issues/18726
    "empty": Reply(400, ""),
    "nothing": Reply(200, ""),
    "cut_off": Reply(200, '{"id": "AAMkA', _JSON),
    "null": Reply(200, "null", _JSON),
    "list": Reply(200, [], _JSON),
    "text": Reply(200, '"OK"', _JSON),
    "other_shape": Reply(200, {"status": "ok", "value": "none", "id": 5}, _JSON),
    "other_error": Reply(400, {"error": "Bad Request"}, _JSON),
}

_OF_GRAPH: Mapping[str, Reply] = {
    # Seen with the event made all the same (https://github.com/microsoftgraph/msgraph-sdk-php/issues/280), and on removals
    # (issue 465 of php-ews).
    "invalid_recipients": _graph(400, "ErrorInvalidRecipients", "At least one recipient isn't valid."),
    # Seen with the event made: https://github.com/betagouv/rdv-service-public/pull/3376
    "suspended": _graph(403, "ErrorAccountSuspend", "The account is suspended. Verify the account."),
    # Seen with the event made: https://github.com/microsoftgraph/msgraph-sdk-ruby/issues/38
    "save_conflict": _graph(503, "ConcurrentItemSave", "Conflicts occurred during saving data to store. Please retry."),
    # Codes that say "later" in a 400
    "transient": _graph(400, "ErrorInternalServerTransientError", "A transient error occurred. Please try again later."),
    "moving": _graph(400, "ErrorMailboxMoveInProgress", "The mailbox is being moved. Please try again later."),
    # For an address, where the object id works
    "stale_info": _graph(503, "MailboxInfoStale", "The information about the mailbox is stale."),
    # Seen of a DELETE although the event is there: https://github.com/microsoftgraph/msgraph-sample-phpapp/issues/63
    "not_found": _graph(404, "ErrorItemNotFound", "The specified object was not found in the store."),
}

_OF_ACUMATICA: Mapping[str, Reply] = {
    # An endpoint whose metadata is broken in the tenant
    "error_page": Reply(302, page("Object moved"), _HTML | {"Location": "/ui/error"}),
}

ANSWERS: Mapping[str, Reply] = {**_OF_SOMETHING_ELSE, **_OF_GRAPH, **_OF_ACUMATICA}
