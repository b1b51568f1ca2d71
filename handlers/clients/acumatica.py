"""Acumatica's contract-based REST API: sign-in, sign-out, and writing a record. Keeps no state; see sessions.py.

https://help.acumatica.com, "Integration Development Guide", chapter "Contract-Based REST API"
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import requests

from handlers.clients.web import Http, succeeded
from handlers.settings import Settings
from handlers.sync.answers import acumatica_error, met
from handlers.sync.errors import RUN_AGAIN, Code, Later, OutcomeUnknown, Permanent, RecordGone, SignedOut
from handlers.sync.odata_answers import clock_of, odata_error
from handlers.sync.read_back import not_written
from handlers.sync.record import RecordUpdate
from handlers.sync.slots import Credentials

log = logging.getLogger(__name__)

_SIGN_OUT_SECONDS = 10.0  # it can be repeated, and must not keep leases from being renewed
_RESTARTING = {500, 502, 503}  # in no form of Acumatica's: from a gateway with nothing behind it
_NOT_REFUSED = {Code.ACUMATICA_THROTTLED, Code.NOT_THE_SERVICE}


class Read(NamedTuple):
    """What was read by OData, and Acumatica's clock when it answered."""

    body: bytes
    date: datetime


class SignInRefused(Exception):
    """Acumatica answered the sign-in with an error, so that no session was made. `rejected`: the credentials are wrong."""

    def __init__(self, reason: str, *, rejected: bool) -> None:
        super().__init__(reason)
        self.rejected = rejected


class Acumatica:
    """One method per request. Safe for many threads, as long as each session is used by one at a time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._http = Http(settings.request_timeout_seconds)

    def sign_in(self) -> Credentials:
        """Open a session. Raises SignInRefused, Later (was not sent) or OutcomeUnknown (a session may have been opened)."""
        return self._sign_in_oauth() if self._settings.acumatica_auth == "oauth" else self._sign_in_cookie()

    def sign_out(self, credentials: Credentials) -> None:
        """Close a session; one that the server has ended itself is closed. Raises Later or OutcomeUnknown.

        An empty body with Content-Length: 0, since IIS answers 411 without the header.
        """
        answer = self._send("POST", "/entity/auth/logout", credentials, data=b"", timeout=_SIGN_OUT_SECONDS)
        if not succeeded(answer) and answer.status_code != requests.codes.unauthorized:
            raise Later(Code.ACUMATICA_UNAVAILABLE, f"Acumatica answered the sign-out with {answer.status_code}")

    def put(self, credentials: Credentials, update: RecordUpdate) -> None:
        """Write fields of an existing record. Raises RecordGone where there is none (none is made), SignedOut, or others.

        PUT inserts or updates; `If-Match: *` makes it update only (412 without a record). The answer is the record: a role
        without the right to write gets a success with the old values.
        """
        headers = {"If-Match": "*", "Accept": "application/json"}
        answer = self._send("PUT", f"/entity/{update.target}", credentials, json=update.body, headers=headers)
        if succeeded(answer):
            echo = _record(answer)
            wanted = str(update.body.get("id", "")).casefold()
            if echo is None or (wanted and str(echo.get("id")).casefold() != wanted):
                strange = met(answer.status_code, answer.headers, answer.content)
                raise OutcomeUnknown(
                    Code.NOT_THE_SERVICE, f"Acumatica's answer to a write-back is not the record: {strange}"
                )
            if names := not_written(update, echo):
                raise _not_written(names)
            return
        error = acumatica_error(answer.status_code, answer.headers, answer.content)
        if not isinstance(error, RecordGone | SignedOut):
            log.warning("Acumatica: PUT %s: answered %d, %s", update.path, answer.status_code, error.code)
        raise error

    def schema(self, credentials: Credentials, endpoint: str, entity: str) -> dict[str, Any]:
        """The fields of an entity: those of the contract, and under `custom` the others by view. Raises SyncError."""
        return self._get(credentials, f"{endpoint}/{entity}/$adHocSchema")

    def record(self, credentials: Credentials, endpoint: str, entity: str, record_id: str, custom: str) -> dict[str, Any]:
        """A record by its id, with one custom field (View.Field), or none. Raises SyncError."""
        return self._get(credentials, f"{endpoint}/{entity}/{record_id}" + (f"?$custom={custom}" if custom else ""))

    def read(self, credentials: Credentials, path: str, accept: str, what: str) -> Read:
        """Read by OData; `what` (an inquiry) is for people. Raises SyncError."""
        headers = {"Accept": accept, "OData-MaxVersion": "4.0", "MaxDataServiceVersion": "3.0"}
        answer = self._send("GET", path, credentials, headers=headers)
        if not succeeded(answer):
            raise odata_error(answer.status_code, answer.headers, answer.content, what)
        return Read(answer.content, clock_of(answer.headers))

    def _get(self, credentials: Credentials, path: str) -> dict[str, Any]:
        answer = self._send("GET", f"/entity/{path}", credentials, headers={"Accept": "application/json"})
        if not succeeded(answer):
            raise acumatica_error(answer.status_code, answer.headers, answer.content)
        if (record := _record(answer)) is None:
            strange = met(answer.status_code, answer.headers, answer.content)
            raise Later(Code.NOT_THE_SERVICE, f"Acumatica's answer is no record: {strange}", 30.0)
        return record

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def _send(self, method: str, path: str, credentials: Credentials, **options: Any) -> requests.Response:
        headers = dict(options.pop("headers", {}))
        if credentials.get("token"):
            headers["Authorization"] = f"Bearer {credentials['token']}"
        if credentials["cookies"]:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in credentials["cookies"].items())
        answer = self._http.request(method, self._settings.acumatica_url + path, headers=headers, **options)
        credentials["cookies"] |= answer.cookies.get_dict()
        return answer

    def _sign_in_oauth(self) -> Credentials:
        """Resource owner password credentials: Acumatica has no flow for an app alone. Scope `api`: a token is a session."""
        settings = self._settings
        form = {
            "grant_type": "password",
            "client_id": settings.acumatica_client_id,
            "client_secret": settings.acumatica_client_secret.get_secret_value(),
            "username": settings.acumatica_username,
            "password": settings.acumatica_password.get_secret_value(),
            "scope": "api",
        }
        answer = self._http.request("POST", f"{settings.acumatica_url}/identity/connect/token", data=form)
        self._check_sign_in(answer)
        token = _record(answer)
        if token is None or not isinstance(token.get("access_token"), str):
            raise _strange_sign_in(answer, "a token")
        lifetime = token.get("expires_in")
        expires = self._clock() + (lifetime if isinstance(lifetime, int | float) and lifetime > 0 else 3600)
        return {"token": token["access_token"], "cookies": answer.cookies.get_dict(), "expires": expires}

    def _sign_in_cookie(self) -> Credentials:
        settings = self._settings
        body = {
            "name": settings.acumatica_username,
            "password": settings.acumatica_password.get_secret_value(),
            "tenant": settings.acumatica_tenant,
        }
        answer = self._http.request("POST", f"{settings.acumatica_url}/entity/auth/login", json=body)
        self._check_sign_in(answer)
        cookies = answer.cookies.get_dict()
        if not cookies:
            raise _strange_sign_in(answer, "cookies")
        return {"cookies": cookies, "expires": None}

    @staticmethod
    def _check_sign_in(answer: requests.Response) -> None:
        """Raises what a sign-in that was no success means.

        Refused by the site in its own form, it counts against the user, whatever the words (they are localised): wrong
        credentials, a locked or disabled user, an unknown tenant or client. Sign-in by cookie answers 500 for these.
        """
        if succeeded(answer):
            return
        error = acumatica_error(answer.status_code, answer.headers, answer.content)
        # While the site restarts, a sign-in in doubt would block its session slot for an hour. Should the site have signed
        # us in all the same, the next try meets "API Login Limit" at worst.
        if isinstance(error, OutcomeUnknown) and answer.status_code not in _RESTARTING:
            raise error
        rejected = error.code not in _NOT_REFUSED and not isinstance(error, OutcomeUnknown)
        remedy = "; check the ACUMATICA_* settings, the Connected Application (SM303010) and the API user (SM201010)"
        raise SignInRefused(f"{error}{remedy if rejected else ''}", rejected=rejected)


def _strange_sign_in(answer: requests.Response, what: str) -> OutcomeUnknown:
    strange = met(answer.status_code, answer.headers, answer.content)
    return OutcomeUnknown(Code.NOT_THE_SERVICE, f"Acumatica's sign-in answered without {what}: {strange}")


def _record(answer: requests.Response) -> dict[str, Any] | None:
    """A record in an answer; None where something else has answered."""
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _not_written(names: list[str]) -> Permanent:
    reason = f"Acumatica answered the write-back with success, and kept the old value of {', '.join(names)}."
    remedy = (
        "Give the API user's role the right to edit the form and these fields (SM201020), and check that no rule of the "
        f"form changes them back; {RUN_AGAIN}"
    )
    return Permanent(Code.RECORD_NOT_WRITTEN, reason, remedy)
