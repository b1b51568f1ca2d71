"""Answers of Graph and Acumatica: what each means, after how long to try again, and in which words."""

import json
import time
from typing import Any

import pytest

from handlers.sync.answers import acumatica_error, graph_code, graph_error, retry_after
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

NO_HEADERS: dict[str, str] = {}


def graph_body(code: str, message: str = "", **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}}).encode()


def graph(status: int, body: bytes = b"", headers: dict[str, str] = NO_HEADERS) -> SyncError:
    return graph_error(status, headers, body, mailbox="a@x.com")


def acumatica(status: int, body: Any = b"", headers: dict[str, str] = NO_HEADERS) -> SyncError:
    return acumatica_error(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def delay(error: SyncError) -> float:
    """How long a Later waits; -1 for others, which have no say in it."""
    return error.delay if isinstance(error, Later) else -1.0


# -- Graph --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind", "seconds"),
    [
        # https://learn.microsoft.com/graph/errors; the code decides before the status does
        (401, "InvalidAuthenticationToken", Later, 5),
        (403, "ErrorAccessDenied", Later, 300),
        (403, "Authorization_RequestDenied", Later, 300),
        (403, "ErrorAccountSuspend", Later, 300),
        (403, "ErrorCannotDeleteObject", Later, 300),
        (404, "ErrorItemNotFound", EventGone, -1),
        (404, "MailboxNotEnabledForRESTAPI", MailboxGone, -1),
        (404, "MailboxNotSupportedForRESTAPI", MailboxGone, -1),
        (404, "ErrorInvalidUser", MailboxGone, -1),
        (404, "Request_ResourceNotFound", MailboxGone, -1),
        (404, "ErrorNonExistentMailbox", MailboxGone, -1),
        (404, "SomethingNew", Later, 0),
        (404, "", Later, 0),
        (400, "ErrorDuplicateTransactionId", DuplicateTransaction, -1),
        (409, "ErrorDuplicateTransactionId", DuplicateTransaction, -1),
        (400, "ErrorInvalidRequest", Permanent, -1),
        (400, "ErrorPropertyValidationFailure", Permanent, -1),
        (400, "TimeZoneNotSupportedException", Permanent, -1),
        (400, "", Later, 30),
        (405, "", Later, 30),
        (400, "ErrorInternalServerTransientError", Later, 0),
        (400, "ErrorMailboxMoveInProgress", Later, 0),
        (404, "ErrorInvalidMailboxItemId", EventGone, -1),
        (413, "RequestEntityTooLarge", Permanent, -1),
        (409, "ErrorIrresolvableConflict", Later, 0),
        (412, "ErrorIrresolvableConflict", Later, 0),
        (400, "ErrorIrresolvableConflict", Later, 0),
        (409, "ConcurrentItemSave", Later, 0),
        (503, "ConcurrentItemSave", Later, 0),
        (409, "", Later, 0),
        (412, "", Later, 0),
        (423, "", Later, 0),
        (408, "", OutcomeUnknown, -1),
        (429, "TooManyRequests", Later, 0),
        (429, "ApplicationThrottled", Later, 0),
        (429, "", Later, 0),
        (500, "InternalServerError", Later, 0),
        (501, "", OutcomeUnknown, -1),
        (503, "ServiceUnavailable", Later, 0),
        (507, "ErrorQuotaExceeded", Later, 900),
        (400, "ErrorQuotaExceeded", Later, 900),
        (507, "", OutcomeUnknown, -1),
        (509, "", OutcomeUnknown, -1),
        (502, "", OutcomeUnknown, -1),
        (504, "UnknownError", OutcomeUnknown, -1),
        (504, "", OutcomeUnknown, -1),
    ],
)
def test_graph(status: int, code: str, kind: type[SyncError], seconds: float) -> None:
    """Exactly this class, and this delay."""
    error = graph(status, graph_body(code, "Some words."))
    assert type(error) is kind
    assert delay(error) == seconds


@pytest.mark.parametrize(
    ("status", "code", "header", "seconds"),
    [
        (429, "ApplicationThrottled", "1", 1.0),
        (429, "TooManyRequests", "2.128", 2.128),
        (429, "TooManyRequests", "Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        (503, "ServiceUnavailable", "120", 120.0),
        (500, "InternalServerError", "7", 7.0),
        (503, "ConcurrentItemSave", "3", 3.0),
        (403, "ErrorAccessDenied", "1", 300.0),
    ],
)
def test_graph_says_how_long(status: int, code: str, header: str, seconds: float) -> None:
    """Retry-After is honoured where the service is what has to recover."""
    assert delay(graph(status, graph_body(code), {"Retry-After": header})) == seconds


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Bad Gateway</body></html>",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"error": null}',
        b'{"error": "x"}',
        b'{"error": {"code": 5, "message": []}}',
        b'{"error": ' * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"error": {"code": ' + b"1" * 5000 + b"}}",
    ],
)
def test_bodies_that_graph_would_not_send(body: bytes) -> None:
    """Proxies and gateways answer too: what they say never counts against a row, and is told from what Graph says."""
    kinds = [type(graph(status, body)) for status in (400, 401, 404, 429, 500, 502, 503, 504)]
    assert kinds == [Later, Later, Later, Later, *[OutcomeUnknown] * 4]
    assert graph(503, body).code == Code.NOT_THE_SERVICE
    assert graph_code(body) == ""


def test_a_used_up_transaction_names_its_event() -> None:
    """Where Graph tells."""
    told = graph(400, graph_body("ErrorDuplicateTransactionId", **{"@event.existingEventId": "AAMk="}))
    untold = graph(400, graph_body("ErrorDuplicateTransactionId"))
    assert isinstance(told, DuplicateTransaction)
    assert isinstance(untold, DuplicateTransaction)
    assert (told.event_id, untold.event_id) == ("AAMk=", None)


def test_a_mailbox_that_is_gone_is_named() -> None:
    """With what to look at."""
    error = graph(404, graph_body("ErrorInvalidUser", "The requested user 'a@x.com' is invalid."))
    assert isinstance(error, MailboxGone)
    assert error.reason == "Mailbox a@x.com does not exist, or has no Exchange Online licence (ErrorInvalidUser)."
    assert error.remedy == (
        "Check the column that the mapping's mailbox is made of, and the licence of its owner. An e-mail address may "
        "differ from the user principal name: use that, or the object id; "
        "then resubmit the dead letter, or save the record in Acumatica again."
    )


def test_graphs_words_are_kept() -> None:
    """Status, code and message, with a full stop at the end where a person reads it."""
    error = graph(400, graph_body("TimeZoneNotSupportedException", "A valid TimeZone value must be specified"))
    assert str(error) == "Graph answered 400 TimeZoneNotSupportedException: A valid TimeZone value must be specified."
    assert isinstance(graph(403, graph_body("ErrorAccessDenied", "Denied")), Later)
    assert str(graph(403, graph_body("ErrorAccessDenied", "Denied"))) == (
        "Graph answered 403 ErrorAccessDenied: Denied; is the app allowed to write to mailbox a@x.com?"
    )


def test_graph_code() -> None:
    """Safe to log."""
    assert graph_code(graph_body("ErrorItemNotFound", "secret")) == "ErrorItemNotFound"


# -- Acumatica ----------------------------------------------------------------------------------------------------------

ENTITY = {
    "id": "6b0f6a52-5d0e-4f1e-9c2a-0a1b2c3d4e5f",
    "rowNumber": 1,
    "error": "Updating 'Opportunity' record raised at least one error. Please review the errors.",
    "Subject": {"value": "ABC"},
    "Owner": {"value": "EP0001", "error": "Owner 'EP0001' cannot be found in the system."},
    "Details": [
        {"id": "1", "Project": {"value": "X"}},
        {"id": "2", "Project": {"value": "ABC", "error": "Project 'ABC' cannot be found in the system."}},
    ],
    "custom": {"Opportunity": {"AttributeCALEVT": {"type": "CustomStringField", "value": "x", "error": "Too long."}}},
}
NOT_FOUND = {
    "message": "An error has occurred.",
    "exceptionMessage": "No entity satisfies the condition.",
    "exceptionType": "PX.Api.ContractBased.NoEntitySatisfiesTheConditionException",
    "stackTrace": "at PX.Api …",
}
LIMIT = {"message": "An error has occurred.", "exceptionMessage": "API Login Limit", "exceptionType": "PX.Data.PXException"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "seconds"),
    [
        # https://help.acumatica.com, Integration Development Guide, "Update of a Record"
        (400, {"message": "The request is invalid."}, Permanent, -1),
        (401, b"", SignedOut, -1),
        (401, {"message": "Not signed in"}, SignedOut, -1),
        (401, LIMIT, Later, 10),
        (403, {"message": "Insufficient rights"}, Permanent, -1),
        (404, b"", Later, 0),
        (404, {"message": "No HTTP resource was found"}, Permanent, -1),
        (302, b"", Later, 30),
        (409, {"message": "A long operation is running"}, Later, 0),
        (412, b"", Later, 0),
        (412, {"message": "Precondition failed"}, RecordGone, -1),
        (422, ENTITY, Permanent, -1),
        (422, {"error": "Another process has updated the 'Opportunity' record."}, Later, 0),
        (422, {"Details": [{"error": "ANOTHER PROCESS HAS ADDED the record"}]}, Later, 0),
        (422, {"error": "Another process has deleted the record."}, Later, 0),
        (429, b"", Later, 10),
        (429, {"message": "You have exceeded the limit imposed by the license."}, Later, 10),
        (500, {"message": "An error has occurred.", "exceptionMessage": "Deadlock"}, Later, 0),
        (500, NOT_FOUND, RecordGone, -1),
        (500, {"message": "x", "innerException": NOT_FOUND}, RecordGone, -1),
        (500, LIMIT, Later, 10),
        (503, LIMIT, Later, 10),
        (500, b"Runtime Error: API Login Limit", Later, 10),
        (400, {"error": "invalid_grant", "error_description": "API Login Limit"}, Later, 10),
        (500, b"", OutcomeUnknown, -1),
        (502, b"", OutcomeUnknown, -1),
        (503, b"<html>Service Unavailable</html>", OutcomeUnknown, -1),
        (504, b"", OutcomeUnknown, -1),
    ],
)
def test_acumatica(status: int, body: Any, kind: type[SyncError], seconds: float) -> None:
    """Exactly this class, and this delay."""
    error = acumatica(status, body)
    assert type(error) is kind
    assert delay(error) == seconds


@pytest.mark.parametrize(
    ("status", "body", "header", "seconds"),
    [
        (429, b"", "30", 30.0),
        (429, b"", "0.5", 0.5),
        (429, b"", "0", 10.0),
        (429, b"", "Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        (500, LIMIT, "7", 7.0),
        (503, b"", "45", 45.0),
        (409, b"", "3", 3.0),
    ],
)
def test_acumatica_says_how_long(status: int, body: Any, header: str, seconds: float) -> None:
    """It documents no Retry-After, but what stands before it may send one."""
    assert delay(acumatica(status, body, {"retry-after": header})) == seconds


def test_a_refused_record_is_read_to_the_leaves() -> None:
    """The top message alone says nothing; each error says which field it is about."""
    assert str(acumatica(422, ENTITY)) == (
        "Acumatica answered 422: Updating 'Opportunity' record raised at least one error. Please review the errors.; "
        "Owner: Owner 'EP0001' cannot be found in the system.; "
        "Project: Project 'ABC' cannot be found in the system.; "
        "AttributeCALEVT: Too long."
    )


def test_errors_of_the_server_are_read() -> None:
    """Message and exception, not the stack trace."""
    error = acumatica(
        500,
        {"message": "An error has occurred.", "exceptionMessage": "Deadlock", "exceptionType": "T", "stackTrace": "at X"},
    )
    assert str(error) == "Acumatica answered 500: An error has occurred.; Deadlock"


def test_repetitions_are_said_once_and_endless_lists_are_cut() -> None:
    """Ten messages of 500 characters at most."""
    assert str(acumatica(422, [{"error": "x"}] * 1000)) == "Acumatica answered 422: x."
    endless = str(acumatica(422, [{"error": f"{n}" * 1000} for n in range(1000)]))
    assert len(endless) < 10 * 520


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (500, {}, b"  \r\n", "an empty answer (500)"),
        (400, {}, b"<html>" + b"x" * 5000, "a web page (400)"),
        (
            404,
            {},
            b"<html><head><TITLE> 404 - File or directory not found. </TITLE>",
            "a web page (404), '404 - File or directory not found.'",
        ),
        (500, {}, b"\xff\x00caf\xc3\xa9", "an answer (500) that is not in its form"),
        (500, {}, b"[" * 10_000 + b"]" * 10_000, "an answer (500) that is not in its form"),
        (403, {}, b"null", "an answer (403) that is not in its form"),
        (
            302,
            {"Location": "/site/Frames/Maintenance.aspx?x=secret"},
            b"",
            "the site is locked for maintenance (a redirect to /site/Frames/Maintenance.aspx)",
        ),
        (
            302,
            {"location": "https://login.example.com/a?code=secret"},
            b"",
            "a redirect (302) to https://login.example.com/a",
        ),
    ],
)
def test_answers_that_are_not_acumaticas_own(status: int, headers: dict[str, str], body: bytes, words: str) -> None:
    """Never count against a row; a person reads what was met."""
    error = acumatica(status, body, headers)
    assert (type(error), error.code) == (OutcomeUnknown if status >= 500 else Later, Code.NOT_THE_SERVICE)
    assert str(error) == f"Acumatica was not reached: {words}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 900 + b'{"error": "deep"}' + b"]" * 900, "deep"),
        (b'{"error": {"error": {"error": "deep"}}}', "error: deep"),
    ],
)
def test_errors_are_found_however_deep(body: bytes, words: str) -> None:
    assert str(acumatica(500, body)) == f"Acumatica answered 500: {words}"


def test_an_event_behind_another_server_is_not_this_mailboxs() -> None:
    """A real move of the mailbox has the same code, and passes; so does that of a request that names no event."""
    away = graph_body("ErrorMailboxMoveInProgress", "Cross Server access is not allowed for mailbox x")
    moving = graph_body("ErrorMailboxMoveInProgress", "Mailbox move in progress")
    assert isinstance(graph_error(503, {}, away, names_event=True), EventGone)
    assert isinstance(graph_error(503, {}, away), Later)
    assert isinstance(graph_error(503, {}, moving, names_event=True), Later)


def test_large_bodies_are_read_in_time() -> None:
    """200,000 detail rows and the error in the last one, in less than two seconds of CPU time."""
    body = b'{"Details": [' + b"{}," * 200_000 + b'{"A": {"error": "here"}}]}'
    began = time.thread_time()
    assert str(acumatica(422, body)) == "Acumatica answered 422: A: here."
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Give the API user access to the form behind the entity of the mapping's write_back."),
        (404, "Check ACUMATICA_URL and the endpoint and entity of the mapping's write_back."),
        (
            422,
            f"Check the fields of the mapping's write_back and the record; {RUN_AGAIN}",
        ),
    ],
)
def test_remedies(status: int, words: str) -> None:
    """What a person can do about it."""
    error = acumatica(status, {"message": "m"})
    assert isinstance(error, Permanent)
    assert error.remedy == words


# -- both ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0.0),
        ("0", 0.0),
        ("5", 5.0),
        (" 5 ", 5.0),
        ("2.128", 2.128),
        ("-3", 0.0),
        ("1e9", 3600.0),
        ("inf", 3600.0),
        ("-inf", 0.0),
        ("9" * 400, 3600.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60.0),
        ("soon", 0.0),
        ("Wed, 99 Oct 2026", 0.0),
        ("Mon, 1 Jan 99999999999999999999 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    """Seconds, fractions and dates; nonsense is none, and nothing takes longer than an hour."""
    assert retry_after({"RETRY-after": value}) == seconds


def test_retry_after_is_always_a_number() -> None:
    """A delay that is none could not be sent to the queue."""
    assert 0 <= retry_after({"Retry-After": "nan"}) <= 3600


def test_no_retry_after() -> None:
    """Other headers do not count."""
    assert retry_after({"Retry": "5", "x-ms-retry-after-ms": "5"}) == 0.0


@pytest.mark.parametrize("classify", [graph_error, acumatica_error])
def test_reasons_hold_no_headers(classify: Any) -> None:
    """Tokens, cookies and whatever else came in them."""
    headers = {"Set-Cookie": "session=SECRET", "Authorization": "Bearer SECRET", "Location": "https://x/?code=SECRET"}
    for status in (302, 400, 401, 403, 404, 409, 412, 422, 429, 500, 502, 503, 504):
        error = classify(status, headers, b"{}")
        assert "SECRET" not in repr((str(error), vars(error)))


@pytest.mark.parametrize("classify", [graph_error, acumatica_error])
def test_reasons_can_be_stored(classify: Any) -> None:
    """Half a surrogate pair, which JSON can hold, is none of them."""
    body = rb'{"error": {"code": "C\ud800", "message": "m\udc00"}, "message": "\ud83d"}'
    for status in (400, 429, 500, 504):
        error = classify(status, {}, body)
        assert str(error).encode("utf-8").count(b"?") >= 1


def test_our_own_limits_are_not_counted() -> None:
    """Their delays do not grow, as nothing has failed."""
    assert Later(Code.ROW_CLAIMED, "r").counted
    assert not Later(Code.ROW_CLAIMED, "r", 1.0, counted=False).counted
    assert (Later(Code.ROW_CLAIMED, "r").delay, str(Later(Code.ROW_CLAIMED, "r")), Later(Code.ROW_CLAIMED, "r").reason) == (
        0.0,
        "r",
        "r",
    )
