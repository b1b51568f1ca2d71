"""Who may see the runs page: a session that RUNS_KEY has opened. Nothing else opens it, no key of Acumatica's either.

A session is a signed cookie, so that every instance knows it, and a row in storage, so that signing out ends it wherever
its cookie is. The signature's key is made from RUNS_KEY: a new key ends all sessions.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace

from itsdangerous import BadSignature, URLSafeSerializer

from handlers.clients.storage import Storage
from handlers.runs_page.throttle import Throttle

_IDLE_SECONDS = 3600.0
_LONGEST_SECONDS = 12 * 3600.0
_RENEW_SECONDS = 300.0


@dataclass(frozen=True)
class Session:
    """Whoever has signed in; all times in seconds since 1970."""

    began: float
    expires: float
    id: str


class Access:
    """Sessions and their tokens. `key` is RUNS_KEY."""

    def __init__(self, key: str, storage: Storage) -> None:
        self._key = key
        self._sign_ins = storage.sign_ins
        self._throttle = Throttle(self._sign_ins, storage.now)
        self._clock = storage.now

    def opens(self, given: str, address: str) -> bool:
        """Whether this is the key. Raises NotNow."""
        return self._throttle.try_key(given, self._key, address)

    def sign_in(self, given: str, address: str) -> Session | None:
        """A new session, or none for a wrong key. Raises NotNow."""
        if not self.opens(given, address):
            return None
        session = Session(self._clock(), self._clock() + _IDLE_SECONDS, secrets.token_urlsafe(16))
        self._sign_ins.open(session.id)
        return session

    def sign_out(self, session: Session) -> None:
        """End a session, in every browser that has its cookie."""
        self._sign_ins.close(session.id)

    def cookie(self, session: Session) -> str:
        """The value of the cookie."""
        return str(self._signer("session").dumps([session.began, session.expires, session.id]))

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie; none if it is forged, has expired, or was signed out of."""
        try:
            began, expires, session_id = self._signer("session").loads(cookie)
        except BadSignature:
            return None
        now = self._clock()
        if expires <= now or began + _LONGEST_SECONDS <= now or not self._sign_ins.is_open(session_id):
            return None
        return Session(began, expires, session_id)

    def renewed(self, session: Session) -> Session | None:
        """The session with a later end, once in a while; none if that is not worth a new cookie."""
        expires = self._clock() + _IDLE_SECONDS
        return replace(session, expires=expires) if expires > session.expires + _RENEW_SECONDS else None

    def token(self, session: Session) -> str:
        """What a form of this session carries, so that no other site can post it."""
        return str(self._signer("form").dumps(session.id))

    def allows(self, session: Session, token: str) -> bool:
        """Whether a form was made for this session."""
        try:
            return bool(self._signer("form").loads(token) == session.id)
        except BadSignature:
            return False

    def _signer(self, purpose: str) -> URLSafeSerializer:
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        return URLSafeSerializer(self._key, salt=f"runs page, {purpose}", signer_kwargs=options)
