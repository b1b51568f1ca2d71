"""The slots of the session budget: a slot *is* an Acumatica session, over all instances. Pure.

    Free ──sign in──▶ SigningIn ──answered──▶ Open (credentials, lease) ──sign out──▶ Free

A lease is renewed while its worker lives; whoever finds it expired adopts the open session, credentials and all. A
`SigningIn` left behind by a dead worker may stand for a session that nobody knows: the slot is blocked until the server
has ended that by itself. One request at a time per session: where one was given up without an answer, the session rests
until that request can no longer be running.

Sign-ins that fail open a circuit breaker, which all instances share: then one try per interval goes through.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

type Credentials = dict[str, Any]
"""What a session is known by: {"cookies": {name: value}, "token": str or absent, "expires": seconds since 1970}."""

VERSION = 1
# Between two tries of a sign-in that fails: at first, at most. Longer where the credentials are wrong, so that the API
# user is not locked out.
_FAILED_SECONDS, _REFUSED_SECONDS = (5.0, 300.0), (300.0, 3600.0)
_REASON_MAX = 1000


@dataclass(frozen=True)
class Free:
    """No session, as far as is known."""


@dataclass(frozen=True)
class SigningIn:
    """A session may be about to open; the slot is blocked `until` then (all times in seconds since 1970)."""

    until: float


@dataclass(frozen=True)
class Open:
    """A session, leased to one worker `until` then (0: given back), last `used` then."""

    until: float
    used: float
    credentials: Credentials = field(repr=False)
    rests_until: float = 0.0  # a request that nobody waits for any more may be running in it

    def idle(self, now: float, linger: float) -> bool:
        """Whether nobody has used it for `linger` seconds: it is signed out."""
        return self.used + linger <= now

    def available(self, now: float) -> bool:
        """Whether it may be adopted: nobody leases it, and nothing runs in it."""
        return max(self.until, self.rests_until) <= now


type Slot = Free | SigningIn | Open


@dataclass(frozen=True)
class Adopt:
    """Take over the open session of this slot."""

    name: str
    slot: Open


@dataclass(frozen=True)
class SignIn:
    """Open a session on this slot."""

    name: str


@dataclass(frozen=True)
class Wait:
    """All slots are taken; none comes free before `until`."""

    until: float


def choose(slots: Mapping[str, Slot], now: float) -> Adopt | SignIn | Wait:
    """What somebody who wants a session does: an open one is adopted before another is opened."""
    for name, slot in slots.items():
        if isinstance(slot, Open) and slot.available(now):
            return Adopt(name, slot)
    for name, slot in slots.items():
        if isinstance(slot, Free) or (isinstance(slot, SigningIn) and slot.until <= now):
            return SignIn(name)
    return Wait(min(map(_blocked_until, slots.values()), default=now))


def _blocked_until(slot: Slot) -> float:
    """Nobody can give it back before then; a lease can be given back at any time."""
    match slot:
        case SigningIn():
            return slot.until
        case Open():
            return slot.rests_until
        case Free():
            return 0.0


def neglected(slot: Slot, now: float, linger: float) -> bool:
    """Whether nobody looks after a slot any more: a sign-in that has expired, a session that is idle and not leased."""
    match slot:
        case SigningIn():
            return slot.until <= now
        case Open():
            return slot.available(now) and slot.idle(now, linger)
        case Free():
            return False


@dataclass(frozen=True)
class Breaker:
    """The circuit breaker of sign-ins, over all instances. It is closed as long as no sign-in has failed."""

    failures: int = 0
    until: float = 0.0  # no try before then
    interval: float = 0.0
    reason: str = ""
    refused: bool = False  # the credentials were

    @property
    def closed(self) -> bool:
        """Whether sign-ins go through."""
        return self.failures == 0

    def probing(self, now: float) -> "Breaker | None":
        """The breaker while one try goes through, to be saved before it; None if it is not time for one."""
        return replace(self, until=now + self.interval) if self.until <= now else None

    def failed(self, now: float, reason: str, *, refused: bool) -> "Breaker":
        """The breaker after one more failure: the pause until the next try doubles each time."""
        first, most = _REFUSED_SECONDS if refused else _FAILED_SECONDS
        interval = min(first * 2 ** min(self.failures, 20), most)
        return Breaker(self.failures + 1, now + interval, interval, reason[:_REASON_MAX], refused)


def slot_to_state(slot: Slot) -> dict[str, Any]:
    """As JSON, with a version of its own."""
    match slot:
        case Free():
            return {"v": VERSION, "state": "free"}
        case SigningIn():
            return {"v": VERSION, "state": "signing-in", "until": slot.until}
        case Open():
            return {
                "v": VERSION,
                "state": "open",
                "until": slot.until,
                "used": slot.used,
                "rests_until": slot.rests_until,
                "credentials": slot.credentials,
            }


def slot_from_state(state: dict[str, Any]) -> Slot:
    """The reverse of `slot_to_state`."""
    _check_version(state)
    match state["state"]:
        case "open":
            return Open(state["until"], state["used"], state["credentials"], state.get("rests_until", 0.0))
        case "signing-in":
            return SigningIn(state["until"])
        case _:
            return Free()


def breaker_to_state(breaker: Breaker) -> dict[str, Any]:
    """As JSON, with a version of its own."""
    return {
        "v": VERSION,
        "failures": breaker.failures,
        "until": breaker.until,
        "interval": breaker.interval,
        "reason": breaker.reason,
        "refused": breaker.refused,
    }


def breaker_from_state(state: dict[str, Any]) -> Breaker:
    """The reverse of `breaker_to_state`."""
    _check_version(state)
    return Breaker(state["failures"], state["until"], state["interval"], state["reason"], state["refused"])


def _check_version(state: dict[str, Any]) -> None:
    if state["v"] != VERSION:
        raise ValueError(f"a session slot of version {state['v']} was stored by another version of this app")
