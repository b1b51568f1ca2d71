"""The budget of Acumatica sessions: a slot in table AcumaticaSessions *is* a session, over all instances.

    free ──sign in──▶ signing-in ──answered──▶ open (credentials, lease) ──sign out──▶ free

A lease is renewed while its worker lives; whoever finds it expired adopts the open session, credentials and all.
`signing-in` left behind by a dead worker may stand for a session that nobody knows: the slot is blocked until the server
has ended that by itself. One request at a time per session.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from handlers import telemetry
from handlers.clients.acumatica import Acumatica, Credentials, SignInRefused
from handlers.clients.storage import Storage
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown, SignedOut
from handlers.sync.record import RecordUpdate

log = logging.getLogger(__name__)

_WAIT_SECONDS = 5.0
_HAND_OVER_SECONDS = 30.0  # of use; then the other instances get a chance
_POLL_SECONDS = 0.5
_GATE = "sign-in"
_GATE_SECONDS = (5.0, 300.0)  # between two tries of a sign-in that fails: at first, at most
_REJECTED_SECONDS = (300.0, 3600.0)  # the same where the credentials are wrong, so that the API user is not locked out

_UNUSED: tuple[dict[str, Any], str | None] = ({"state": "free"}, None)


@dataclass
class _Held:
    """A session that this worker has leased."""

    slot: str
    etag: str
    credentials: Credentials
    lease_until: float
    taken: float
    used: float
    busy: bool = True
    saving: threading.Lock = field(default_factory=threading.Lock)  # its slot has one writer at a time


@dataclass
class _Pool:
    held: list[_Held] = field(default_factory=list)
    opening: int = 0
    handed_over: float = 0.0
    look_again: float = 0.0  # when to ask storage again, after all slots were taken


class Sessions:
    """Sessions of one worker, out of the common budget. Safe for many threads."""

    def __init__(
        self, acumatica: Acumatica, storage: Storage, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._acumatica = acumatica
        self._storage = storage
        self._settings = settings
        self._clock = clock
        self._pool = _Pool()
        self._changed = threading.Condition()  # waited for by those who want a session
        self._ending = threading.Condition()  # waited for by the keeper
        self._keeper: threading.Thread | None = None
        self._closing = False

    def put(self, update: RecordUpdate, deadline: float) -> None:
        """Write a record. Raises SyncError; RecordGone is one of them."""
        self.use(lambda credentials: self._acumatica.put(credentials, update), deadline)

    def use[T](self, work: Callable[[Credentials], T], deadline: float) -> T:
        """Make one request in a session of the budget; it does not start if it might end after `deadline`.

        Raises SyncError. A session that the server has ended meanwhile is replaced, once.
        """
        for last in (False, True):
            held = self._acquire(deadline)
            try:
                self._check(deadline)
                result = work(held.credentials)
            except SignedOut as error:
                self._sign_out(held)  # should it be something else that refuses, the seat must not stay taken
                if last:
                    raise Later(Code.SESSION_ENDED, f"{error}; a new session was refused too", 30.0) from None
            except BaseException:
                self._release(held)
                raise
            else:
                self._release(held)
                return result
        raise AssertionError("never reached")

    def upkeep(self) -> int:
        """Sign out what nobody uses or owns any more, on any instance; returns how many."""
        now, count = self._clock(), 0
        for name, (state, etag) in self._storage.slots.all().items():
            if name == _GATE or state.get("until", 0) > now:
                continue
            if state["state"] == "signing-in":
                self._storage.slots.save(name, {"state": "free"}, etag)
            elif state["state"] == "open" and state["used"] + self._settings.acumatica_linger_seconds <= now:
                held = self._adopt(name, state, etag)
                if held:
                    self._sign_out(held)
                    count += 1
        return count

    def close(self) -> None:
        """Sign out everything that this worker holds; waits a few seconds for requests under way."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            with self._ending:
                self._ending.notify_all()
            self._changed.wait_for(lambda: not any(held.busy for held in self._pool.held), _WAIT_SECONDS)
            idle = [held for held in self._pool.held if not held.busy]
            for held in idle:
                held.busy = True
        for held in idle:
            try:
                self._sign_out(held)
            except Exception:  # storage is away: the upkeep of some instance signs out
                log.exception("signing out at the end failed")
        if keeper := self._keeper:
            keeper.join(_WAIT_SECONDS)
        self._acumatica.close()

    # -- taking and giving back --------------------------------------------------------------------------------------

    def _check(self, deadline: float) -> None:
        if self._clock() + self._settings.longest_request_seconds > deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left for a request to Acumatica", counted=False)

    def _acquire(self, deadline: float) -> _Held:
        give_up = self._clock() + _WAIT_SECONDS
        while True:
            with self._changed:
                if self._closing:
                    raise Later(Code.SHUTTING_DOWN, "this worker is shutting down", counted=False)
                now = self._clock()
                for held in self._pool.held:
                    if not held.busy and held.lease_until > now:
                        held.busy = True
                        return held
                room = len(self._pool.held) + self._pool.opening < self._settings.acumatica_max_sessions
                wanted = room and now >= max(self._pool.look_again, self._pool.handed_over + 2 * _POLL_SECONDS)
                if wanted:
                    self._pool.opening += 1
                    if self._pool.look_again:  # slots were taken: one looks, for all who wait here
                        self._pool.look_again = now + _POLL_SECONDS
                elif now >= give_up:
                    raise self._no_session()
                else:
                    self._changed.wait(min(_POLL_SECONDS, give_up - now))
            if wanted:
                opened = self._open(deadline)
                pause = _POLL_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
                with self._changed:
                    self._pool.look_again = 0.0 if opened else max(self._pool.look_again, self._clock() + pause)
                if opened:
                    return opened

    def _no_session(self) -> Later:
        delay = random.uniform(1.0, 2.0)  # noqa: S311
        return Later(Code.SESSIONS_BUSY, "all Acumatica sessions of the budget are in use", delay, counted=False)

    def _release(self, held: _Held) -> None:
        with self._changed:
            now = self._clock()
            held.used = now
            tired = now - held.taken >= _HAND_OVER_SECONDS
            if not (tired or self._near_expiry(held)):
                held.busy = False
                self._changed.notify()  # one session, one who gets it
                return
        if self._near_expiry(held):
            self._sign_out(held)
        else:
            self._drop(held, "open")

    def _near_expiry(self, held: _Held) -> bool:
        expires = held.credentials.get("expires")
        return bool(expires and expires - self._clock() < self._settings.request_timeout_seconds)

    def _drop(self, held: _Held, state: str) -> None:
        """Give the slot back: `open` hands the session over to whoever comes next, `free` says that it has ended."""
        content: dict[str, Any] = {"state": state}
        if state == "open":
            content |= {"until": 0, "used": held.used, "credentials": held.credentials}
        try:
            with held.saving:
                self._storage.slots.save(held.slot, content, held.etag)
        finally:
            with self._changed:
                if held in self._pool.held:
                    self._pool.held.remove(held)
                if state == "open":
                    self._pool.handed_over = self._clock()
                self._changed.notify_all()

    def _sign_out(self, held: _Held) -> None:
        try:
            self._acumatica.sign_out(held.credentials)
        except (Later, OutcomeUnknown) as error:
            abandoned = held.used + self._settings.abandoned_seconds <= self._clock()
            log.warning("Acumatica sign-out failed, %s: %s", "given up" if abandoned else "to be tried again", error)
            self._drop(held, "free" if abandoned else "open")
        else:
            telemetry.emit(telemetry.SIGNED_OUT, slot=held.slot)
            self._drop(held, "free")

    # -- slots -------------------------------------------------------------------------------------------------------

    def _open(self, deadline: float) -> _Held | None:
        """Adopt an open session that nobody leases, or sign in on a free slot; None if all slots are taken."""
        try:
            self._check(deadline)
            held = self._take_slot()
        finally:
            with self._changed:
                self._pool.opening -= 1
                self._changed.notify_all()
        if held:
            with self._changed:
                self._pool.held.append(held)
                self._start_keeper()
        return held

    def _take_slot(self) -> _Held | None:
        slots = self._storage.slots.all()
        now = self._clock()
        names = [str(i) for i in range(self._settings.acumatica_max_sessions)]
        for name in names:
            state, etag = slots.get(name, _UNUSED)
            if state["state"] == "open" and state["until"] <= now and (held := self._adopt(name, state, etag)):
                return held
        for name in names:
            state, etag = slots.get(name, _UNUSED)
            idle = state["state"] == "free" or (state["state"] == "signing-in" and state["until"] <= now)
            if idle and (held := self._sign_in(name, etag)):
                return held
        self._give_up_early([slots.get(name, _UNUSED)[0] for name in names], now)
        return None

    @staticmethod
    def _give_up_early(states: list[dict[str, Any]], now: float) -> None:
        """Where all slots are blocked by sign-ins without an answer, waiting for a few seconds is no use. Raises Later."""
        if all(state["state"] == "signing-in" and state["until"] > now + _WAIT_SECONDS for state in states):
            seconds = min(state["until"] for state in states) - now
            raise Later(
                Code.SIGN_IN_FAILED, "a sign-in to Acumatica was not answered, and its seat may be taken", min(seconds, 60.0)
            )

    def _adopt(self, name: str, state: dict[str, Any], etag: str | None) -> _Held | None:
        now = self._clock()
        until = now + self._settings.acumatica_lease_seconds
        new_etag = self._storage.slots.save(name, state | {"until": until}, etag)
        return _Held(name, new_etag, state["credentials"], until, now, state["used"]) if new_etag else None

    def _sign_in(self, name: str, etag: str | None) -> _Held | None:
        gate, gate_etag = self._pass_gate()
        # The site counts from when it has carried the request out, which may be as late as our time-out.
        blocked = self._clock() + self._settings.longest_request_seconds + self._settings.abandoned_seconds
        signing_in = {"state": "signing-in", "until": blocked}
        etag = self._storage.slots.save(name, signing_in, etag)
        if etag is None:
            return None
        try:
            credentials = self._acumatica.sign_in()
        except (SignInRefused, Later) as error:
            rejected = isinstance(error, SignInRefused) and error.rejected
            try:
                raise self._shut_gate(gate, gate_etag, str(error), rejected=rejected) from None
            finally:  # not before the gate is shut: the next one would try at once
                self._storage.slots.save(name, {"state": "free"}, etag)
        except OutcomeUnknown as error:
            seat = f"its seat may be taken, so slot {name} stays blocked for {self._settings.abandoned_seconds / 60:.0f} min"
            raise self._shut_gate(gate, gate_etag, f"{error}; {seat}", rejected=False) from None
        now = self._clock()
        until = now + self._settings.acumatica_lease_seconds
        opened = {"state": "open", "until": until, "used": now, "credentials": credentials}
        try:
            etag = self._storage.slots.save(name, opened, etag)
        except BaseException:  # nobody else knows the session
            with contextlib.suppress(Later, OutcomeUnknown):
                self._acumatica.sign_out(credentials)
            raise
        if etag is None:  # paused for longer than the slot was blocked
            self._acumatica.sign_out(credentials)
            return None
        if gate.get("failures"):
            self._storage.slots.save(_GATE, {"failures": 0, "until": 0}, gate_etag)
        telemetry.emit(telemetry.SIGNED_IN, slot=name)
        return _Held(name, etag, credentials, until, now, now)

    def _pass_gate(self) -> tuple[dict[str, Any], str | None]:
        """While sign-in fails, one try per interval and over all instances goes through. Raises Later for the others."""
        gate, etag = self._storage.slots.load(_GATE)
        if not gate.get("failures"):
            return gate, etag
        now = self._clock()
        if gate["until"] <= now:
            probing = gate | {"until": now + gate["interval"]}
            if etag := self._storage.slots.save(_GATE, probing, etag):
                return probing, etag
        raise Later(Code.SIGN_IN_FAILED, f"Acumatica sign-in fails: {gate['reason']}", max(gate["until"] - now, 1.0))

    def _shut_gate(self, gate: dict[str, Any], etag: str | None, reason: str, *, rejected: bool) -> Later:
        first, most = _REJECTED_SECONDS if rejected else _GATE_SECONDS
        failures = gate.get("failures", 0) + 1
        interval = min(first * 2 ** min(failures - 1, 20), most)
        until = self._clock() + interval
        state = {"failures": failures, "until": until, "interval": interval, "reason": reason[:1000]}
        self._storage.slots.save(_GATE, state, etag)
        about = {"try": failures, "delay": interval, "reason": reason}
        telemetry.emit(telemetry.SIGN_IN_FAILED, level=logging.ERROR, **about)
        return Later(Code.SIGN_IN_FAILED, f"Acumatica sign-in fails: {reason}", interval)

    # -- keeping -----------------------------------------------------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="acumatica-sessions", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Look after the sessions now and then; ends when there is nothing left to look after."""
        lease, linger = self._settings.acumatica_lease_seconds, self._settings.acumatica_linger_seconds
        while True:
            with self._ending:
                self._ending.wait_for(lambda: self._closing, min(lease / 4, max(linger / 2, 0.1)))
            with self._changed:
                if self._closing or not self._pool.held:
                    self._keeper = None
                    return
            self.look_after()

    def look_after(self) -> None:
        """Renew leases in use, sign out what has been idle."""
        lease, linger = self._settings.acumatica_lease_seconds, self._settings.acumatica_linger_seconds
        with self._changed:
            now = self._clock()
            idle = [held for held in self._pool.held if not held.busy and now - held.used >= linger]
            for held in idle:
                held.busy = True
            due = [held for held in self._pool.held if held not in idle and held.lease_until - now < lease * 2 / 3]
        for work, some in ((self._renew, due), (self._sign_out, idle)):
            for held in some:
                try:
                    work(held)
                except Exception:  # storage is away: leases run out, and the upkeep of some instance signs out
                    log.exception("looking after an Acumatica session failed")

    def _renew(self, held: _Held) -> None:
        until = self._clock() + self._settings.acumatica_lease_seconds
        state = {
            "state": "open",
            "until": until,
            "used": held.used,
            "credentials": held.credentials,
        }
        with held.saving:
            if etag := self._storage.slots.save(held.slot, state, held.etag):
                held.etag, held.lease_until = etag, until
                return
        with self._changed:  # someone has adopted it, or it was given back just now
            if held in self._pool.held:
                self._pool.held.remove(held)
            self._changed.notify_all()
