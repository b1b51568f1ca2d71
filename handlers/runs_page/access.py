"""Who may see the runs page: a session that RUNS_KEY has opened. Nothing else opens it, no key of Acumatica's either.

A session is a signed cookie, so that every instance knows it, and a row in storage, so that signing out ends it wherever
its cookie is. The signature's key is made from RUNS_KEY: a new key ends all sessions.

Tries are counted over all instances. Each address has five free ones in a row; then it waits, at most for five minutes.
While very many wrong keys come in from anywhere, an address that is not known waits from its first wrong key on. A right
key is let in whatever others do, unless it comes from an address that has to wait.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from itsdangerous import BadSignature, URLSafeSerializer

from handlers.clients.sign_ins import SignIns, Tries
from handlers.clients.storage import Storage

COOKIE = "runs-session"
_IDLE_SECONDS = 3600.0
_LONGEST_SECONDS = 12 * 3600.0
_RENEW_SECONDS = 300.0
_FREE_TRIES = 5  # in a row, before an address has to wait
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
_MANY, _MANY_SECONDS = 60, 60.0  # wrong keys in this time, from anywhere, are an attack
_ATTACK_SECONDS = 600.0  # since the last time that there were so many
_FORGET_SECONDS = 3600.0
_KNOWN_SECONDS = 30 * 86_400.0
_EVERYBODY = "all"


class NotNow(Exception):
    """Too many tries; `seconds` until the next one is looked at."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s")
        self.seconds = max(seconds, 1.0)


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
        self._sign_ins = SignIns(storage)
        self._clock = storage.now

    # -- sessions ------------------------------------------------------------------------------------------------------

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

    # -- tries ---------------------------------------------------------------------------------------------------------

    def opens(self, given: str, address: str) -> bool:
        """Whether this is the key. Raises NotNow. The try is counted before the key is looked at."""
        self._take_turn(address)
        # Digests are of equal length, so that comparing them tells nothing of the key's.
        if hmac.compare_digest(_digest(given), _digest(self._key)):
            self._sign_ins.forgive(address, self._clock())
            return True
        self._count_wrong()
        return False

    def _take_turn(self, address: str) -> None:
        now = self._clock()
        for _ in range(3):
            known, etag = self._sign_ins.tries(address)
            if known.until > now:
                raise NotNow(known.until - now)
            count = known.count + 1 if now - known.since <= _FORGET_SECONDS else 1
            free = _FREE_TRIES
            if known.signed_in < now - _KNOWN_SECONDS and self._sign_ins.tries(_EVERYBODY)[0].until > now:
                free = 1
            wait = min(_FIRST_WAIT * 2.0 ** min(count - free, 20), _LONGEST_WAIT) if count >= free else 0.0
            if self._sign_ins.save(address, replace(known, count=count, since=now, until=now + wait), etag):
                return
        raise NotNow(1.0)  # others at this address try at the same time

    def _count_wrong(self) -> None:
        """Count a wrong key for everybody; where others do so at the same moment, one less or more does not matter."""
        now = self._clock()
        known, etag = self._sign_ins.tries(_EVERYBODY)
        new = replace(known, count=known.count + 1) if now - known.since <= _MANY_SECONDS else Tries(1, now, known.until)
        if new.count >= _MANY:
            new = replace(new, until=now + _ATTACK_SECONDS)
        self._sign_ins.save(_EVERYBODY, new, etag)


def client_address(forwarded: str) -> str:
    """Who asks, as App Service's front end saw it: it adds address and port at the end of X-Forwarded-For.

    Of IPv6, the network of 64 bits: whoever has one address has all of it.
    """
    seen = forwarded.rpartition(",")[2].strip()
    host = seen[1:].partition("]")[0] if seen.startswith("[") else seen.partition(":")[0] if seen.count(":") == 1 else seen
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(ip_network((address, 64), strict=False)) if address.version == 6 else host


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
