"""Sign-in and sign-out, and the seats of the licence that sessions take.

https://help.acumatica.com, "Integration Development Guide", chapters "Contract-Based REST API" and "OAuth 2.0 and OIDC"
"""

import asyncio
import contextlib
import math
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal

from local.fakes.acumatica.records import bad_request, http_error
from local.fakes.acumatica.switches import AcumaticaSwitches
from local.fakes.calls import Call, Reply

_COOKIE = "ASP.NET_SessionId"
_SCOPES = {"api", "offline_access", "openid", "profile", "email", "phone"}
_LOGIN_LIMIT = "API Login Limit"
NOT_SIGNED_IN = "You are not logged in."

# What a refused sign-in says, by the reason and the language of the user.
_REFUSALS = {
    "active": {
        "en": "Invalid credentials. Please try again.",
        "de": "Ungültige Anmeldedaten. Bitte versuchen Sie es erneut.",
        "fr": "Informations d'identification incorrectes. Veuillez réessayer.",
        "ja": "資格情報が無効です。もう一度お試しください。",
    },
    "locked": {
        "en": "Your account has been locked out. Please contact the system administrator.",
        "de": "Ihr Konto wurde gesperrt. Bitte wenden Sie sich an den Systemadministrator.",
        "fr": "Votre compte a été verrouillé. Veuillez contacter l'administrateur système.",
        "ja": "アカウントはロックされています。システム管理者に連絡してください。",
    },
    "disabled": {
        "en": "The account is disabled. Please contact the system administrator.",
        "de": "Das Konto ist deaktiviert. Bitte wenden Sie sich an den Systemadministrator.",
        "fr": "Le compte est désactivé. Veuillez contacter l'administrateur système.",
        "ja": "アカウントは無効になっています。システム管理者に連絡してください。",
    },
}

type Kind = Literal["cookie", "token", "offline"]


@dataclass
class Session:
    """A seat of the licence. One of cookies ends `session_timeout` after its last use, one of a token with the token.

    What the user may do is settled when it begins.
    """

    id: str
    kind: Kind
    used: float
    expires: float = math.inf
    refresh_token: str = ""
    forbidden: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False, compare=False)
    under_way: list[Call] = field(default_factory=list, repr=False, compare=False)

    @property
    def cookie(self) -> dict[str, str]:
        """The header that tells a client by which cookie the session is known."""
        return {"Set-Cookie": f"{_COOKIE}={self.id}; path=/; HttpOnly"}


class Sessions:
    """`session_limit` is the licence's number of API users; seats that nobody signs out stay taken until they end."""

    lock: threading.RLock
    switches: AcumaticaSwitches

    def __init__(self, seed: int, tenant: str, limit: int, timeout: float, token_seconds: float) -> None:
        self.tenant = tenant
        self.client_id = f"{str(uuid.UUID(int=seed + 11)).upper()}@{tenant}"
        self.client_secret, self.username, self.password = "acumatica-secret", "calendar-api", "acumatica-password"
        self.session_limit = limit
        self.session_timeout = timeout
        self.token_seconds = token_seconds
        self.refresh_tokens = True  # False: the Connected Application forbids them
        self.sign_ins = self.sign_outs = self.failed_sign_ins = 0
        self.max_sessions_seen = 0
        self._refused_in_a_row = 0
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, tuple[Session, float]] = {}

    # -- for tests and demos -------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[Session]:
        """The open sessions, abandoned ones included."""
        with self.lock:
            self._end_expired()
            return list(self._sessions.values())

    def end_sessions(self) -> None:
        """The site restarts: all sessions are gone."""
        with self.lock:
            self._sessions.clear()
            self._tokens.clear()

    # -- for the API ---------------------------------------------------------------------------------------------------

    def session(self, call: Call) -> Session | None:
        """The session of a request: of its token, else of its cookies."""
        self._end_expired()
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            session, expires = self._tokens.get(token, (None, 0.0))
            return session if session and session.id in self._sessions and expires > time.monotonic() else None
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(call.headers.get("cookie", "")).get(_COOKIE)
            return self._sessions.get(cookie.value) if cookie else None
        return None

    def login(self, call: Call) -> Reply:
        """Topic Sign In to the Service: 204 and cookies; other tenants are unknown, none means the default one."""
        body = call.body if isinstance(call.body, dict) else call.form
        if not {"name", "password"} <= body.keys():
            raise bad_request("credentials", "name and password are required.")
        tenant = body.get("tenant", body.get("company"))
        if tenant and tenant != self.tenant:
            raise http_error(500, f"The tenant {tenant} is not defined.", "PX.Data.PXUndefinedCompanyException")
        if refusal := self._refusal(body["name"], body["password"]):
            raise http_error(500, refusal)
        return Reply(204, None, self._open("cookie").cookie)

    def logout(self, call: Call) -> Reply:
        """Topic Sign Out from the Service: IIS wants to know the length of the (empty) body."""
        if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
            return Reply(411, "<h2>Length Required</h2><hr><p>HTTP Error 411.</p>")
        session = self.session(call)
        if session is None:
            raise http_error(401, NOT_SIGNED_IN)
        del self._sessions[session.id]
        self.sign_outs += 1
        return Reply(204)

    def token(self, call: Call) -> Reply:
        """Topics Resource Owner Password Credentials Flow, and Refreshing of an Access Token."""
        form = call.form
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return Reply(400, {"error": "invalid_client"})
        match form.get("grant_type"):
            case "password":
                return self._password_grant(form)
            case "refresh_token":
                return self._refresh(form.get("refresh_token", ""))
        return Reply(400, {"error": "unsupported_grant_type"})

    def _password_grant(self, form: Mapping[str, str]) -> Reply:
        """Scope `api`: a token is a session, and ends with it. With `offline_access`, the session outlives its tokens."""
        scopes = set(form.get("scope", "").split())
        offline = "offline_access" in scopes
        if "api" not in scopes or scopes - _SCOPES or (offline and not self.refresh_tokens):
            return Reply(400, {"error": "invalid_scope"})
        if refusal := self._refusal(form.get("username"), form.get("password")):
            description = "invalid_username_or_password" if refusal in _REFUSALS["active"].values() else refusal
            return Reply(400, {"error": "invalid_grant", "error_description": description})
        if offline:
            return self._issue(self._open("offline"), "api offline_access")
        return self._issue(self._open("token", time.monotonic() + self.token_seconds), "api")

    def _refusal(self, name: Any, password: Any) -> str:
        """Why the user is not let in; empty where all is well. Too many refusals in a row lock the user."""
        if (name, password) == (self.username, self.password) and self.switches.user == "active":
            self._refused_in_a_row = 0
            return ""
        reason = _REFUSALS[self.switches.user][self.switches.language]
        self.failed_sign_ins += 1
        self._refused_in_a_row += 1
        if self._refused_in_a_row == self.switches.lock_after and self.switches.user == "active":
            self.switches.user = "locked"
        return reason

    def _refresh(self, refresh_token: str) -> Reply:
        """A refresh keeps the session, and its token is good for one time."""
        self._end_expired()
        for session in self._sessions.values():
            if refresh_token and session.refresh_token == refresh_token:
                return self._issue(session, "api offline_access")
        return Reply(400, {"error": "invalid_grant"})

    def _issue(self, session: Session, scope: str) -> Reply:
        token = uuid.uuid4().hex
        self._tokens[token] = (session, time.monotonic() + self.token_seconds)
        seconds = max(int(self.token_seconds), 1)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": scope}
        if session.kind == "offline":
            session.refresh_token = uuid.uuid4().hex
            body["refresh_token"] = session.refresh_token
        return Reply(200, body)

    def _open(self, kind: Kind, expires: float = math.inf) -> Session:
        """Topic Limitation of API Connections: with all seats taken, a further sign-in is refused."""
        self._end_expired()
        if len(self._sessions) >= self.session_limit:
            raise http_error(429, _LOGIN_LIMIT)
        session = Session(uuid.uuid4().hex, kind, time.monotonic(), expires)
        session.forbidden, session.read_only = frozenset(self.switches.forbidden), frozenset(self.switches.read_only)
        self._sessions[session.id] = session
        self.sign_ins += 1
        self.max_sessions_seen = max(self.max_sessions_seen, len(self._sessions))
        return session

    def _end_expired(self) -> None:
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.expires <= now or (session.kind == "cookie" and session.used + self.session_timeout <= now):
                del self._sessions[session.id]
