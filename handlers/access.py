"""Who may see the runs page: a session that RUNS_KEY has opened. Nothing else opens it, no key of Acumatica's either.

A session is a signed cookie, so that every instance knows it; the signature's key is made from RUNS_KEY, so that a new
key ends all sessions. Tries are counted in table Runs, over all instances: for each address, and (with more room) for
all together. An address that has signed in before is not held up by what others do.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handlers.clients.storage import Storage
from handlers.clients.tables import Contended, Entity

COOKIE = "runs-session"
_IDLE_SECONDS = 3600.0
_LONGEST_SECONDS = 12 * 3600.0
_RENEW_SECONDS = 300.0
_FREE_TRIES = 5  # in a row, before an address has to wait
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
_ALL_TRIES, _ALL_SECONDS = 60, 60.0
_FORGET_SECONDS = 3600.0
_KNOWN_SECONDS = 30 * 86_400.0
_PARTITION = "access"


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
    nonce: str


class Access:
    """Sessions and their tokens. `key` is RUNS_KEY."""

    def __init__(self, key: str, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._storage = storage
        self._clock = clock

    def sign_in(self, given: str, address: str) -> Session | None:
        """A session, or none for a wrong key. Raises NotNow. The try is counted before the key is looked at."""
        row = hashlib.sha256(address.encode()).hexdigest()[:32]
        known = self._take_turn(row, self._own_wait)
        if known.get("Good", 0.0) < self._clock() - _KNOWN_SECONDS:
            self._take_turn("all", self._common_wait)
        if not hmac.compare_digest(_digest(given), _digest(self._key)):
            return None
        now = self._clock()
        entity = {"PartitionKey": _PARTITION, "RowKey": row, "Tries": 0, "Last": now, "Until": 0.0, "Good": now}
        self._storage.activity_table.upsert(entity)
        return Session(now, now + _IDLE_SECONDS, secrets.token_urlsafe(16))

    def cookie(self, session: Session) -> str:
        """The value of the cookie."""
        text = f"{session.began:.0f}.{session.expires:.0f}.{session.nonce}"
        return f"{text}.{self._sign('session', text)}"

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie; none if it is forged or has expired."""
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", text).encode(), signature.encode("utf-8", "replace")):
            return None
        began, expires, nonce = text.split(".")
        session = Session(float(began), float(expires), nonce)
        now = self._clock()
        return session if session.expires > now and session.began + _LONGEST_SECONDS > now else None

    def renewed(self, session: Session) -> Session | None:
        """The session with a later end, once in a while; none if that is not worth a new cookie."""
        expires = self._clock() + _IDLE_SECONDS
        return Session(session.began, expires, session.nonce) if expires > session.expires + _RENEW_SECONDS else None

    def token(self, session: Session) -> str:
        """What a form of this session carries, so that no other site can post it."""
        return self._sign("form", session.nonce)

    def allows(self, session: Session, token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(self.token(session).encode(), token.encode("utf-8", "replace"))

    def _sign(self, purpose: str, text: str) -> str:
        key = hmac.digest(self._key.encode(), f"runs page, {purpose}".encode(), "sha256")
        return hmac.new(key, text.encode("utf-8", "replace"), "sha256").hexdigest()

    def _take_turn(self, row: str, wait: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Count a try, if it is time for one; returns what was known before. Raises NotNow."""
        known: Entity = {}

        def counted(stored: Entity | None) -> Entity:
            known.clear()
            known.update(stored or {})
            if (until := float(known.get("Until", 0.0))) > self._clock():
                raise NotNow(until - self._clock())
            return {"Good": known.get("Good", 0.0), **wait(known)}

        try:
            self._storage.activity_table.change(_PARTITION, row, counted)
        except Contended:  # others try at the same time
            raise NotNow(1.0) from None
        return known

    def _own_wait(self, known: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._clock()
        fresh = now - float(known.get("Last", 0.0)) > _FORGET_SECONDS
        tries = 1 if fresh else int(known.get("Tries", 0)) + 1
        over = tries - _FREE_TRIES
        wait = min(_FIRST_WAIT * 2.0 ** min(over, 20), _LONGEST_WAIT) if over >= 0 else 0.0
        return {"Tries": tries, "Last": now, "Until": now + wait}

    def _common_wait(self, known: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._clock()
        began = float(known.get("Last", 0.0))
        if now - began > _ALL_SECONDS:
            return {"Tries": 1, "Last": now, "Until": 0.0}
        tries = int(known.get("Tries", 0)) + 1
        return {"Tries": tries, "Last": began, "Until": began + _ALL_SECONDS if tries >= _ALL_TRIES else 0.0}


def _digest(text: str) -> bytes:
    """Of equal length whatever is given, so that comparing tells nothing."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
