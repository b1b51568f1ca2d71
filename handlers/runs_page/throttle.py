"""Tries to give a key, counted over all instances and slowed down.

Each address has five free tries in a row; then it waits, at most for five minutes. While very many wrong keys come in
from anywhere, an address that is not known waits from its first wrong key on. So a right key is let in whatever others
do, unless it comes from an address that has to wait.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from handlers.clients.sign_ins import SignIns, Tries

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


class Throttle:
    """The tries of everybody."""

    def __init__(self, sign_ins: SignIns, clock: Callable[[], float]) -> None:
        self._sign_ins = sign_ins
        self._clock = clock

    def try_key(self, given: str, key: str, address: str) -> bool:
        """Whether the right key was given. Raises NotNow. The try is counted before the key is looked at."""
        self._take_turn(address)
        # Digests are of equal length, so that comparing them tells nothing of the key's.
        if hmac.compare_digest(_digest(given), _digest(key)):
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
