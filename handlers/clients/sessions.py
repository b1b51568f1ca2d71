"""A worker's share of the budget of Acumatica sessions: a pool that carries out what handlers.sync.slots decides."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from handlers import telemetry
from handlers.clients.acumatica import Acumatica, Read
from handlers.clients.acumatica_sign_in import AcumaticaSignIn
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown, SignedOut
from handlers.sync.record import RecordUpdate
from handlers.sync.slots import Adopt, Credentials, Free, Open, SignIn, SigningIn, Wait, choose, neglected

log = logging.getLogger(__name__)

_WAIT_SECONDS = 5.0
_HAND_OVER_SECONDS = 30.0  # of use; then the other instances get a chance
_POLL_SECONDS = 0.5
_BUSY_SECONDS = (1.0, 3.0)  # until the next try where all sessions are in use
_BLOCKED_MAX = 60.0


@dataclass
class _Held:
    """A session that this worker has leased."""

    name: str
    slot: Open
    etag: str
    taken: float
    busy: bool = True
    saving: threading.Lock = field(default_factory=threading.Lock)  # its slot has one writer at a time

    def usable(self, now: float) -> bool:
        """Whether a request may be made in it: one at a time, and while it is leased."""
        return not self.busy and self.slot.until > now


class Sessions:
    """Sessions of one worker, out of the common budget. Safe for many threads."""

    def __init__(
        self, acumatica: Acumatica, storage: Storage, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._acumatica = acumatica
        self._slots = storage.slots
        self._sign_in = AcumaticaSignIn(acumatica, storage.slots, settings, clock)
        self._settings = settings
        self._clock = clock
        self._held: list[_Held] = []
        self._opening = False  # one thread looks for a slot, for all who wait
        self._next_look = 0.0  # when it may
        self._changed = threading.Condition()  # waited for by those who want a session
        self._ending = threading.Condition()  # waited for by the keeper
        self._keeper: threading.Thread | None = None
        self._closing = False

    def put(self, update: RecordUpdate, deadline: float) -> None:
        """Write a record. Raises SyncError; RecordGone is one of them."""
        self._use(lambda credentials: self._acumatica.put(credentials, update), deadline)

    def read(self, path: str, accept: str, what: str, deadline: float) -> Read:
        """Read by OData. Raises SyncError."""
        return self._use(lambda credentials: self._acumatica.read(credentials, path, accept, what), deadline)

    def schema(self, endpoint: str, entity: str, deadline: float) -> dict[str, Any]:
        """The fields of an entity. Raises SyncError."""
        return self._use(lambda credentials: self._acumatica.schema(credentials, endpoint, entity), deadline)

    def record(self, endpoint: str, entity: str, record_id: str, custom: str, deadline: float) -> dict[str, Any]:
        """A record by its id, with one custom field (View.Field), or none. Raises SyncError."""
        return self._use(lambda c: self._acumatica.record(c, endpoint, entity, record_id, custom), deadline)

    def _use[T](self, work: Callable[[Credentials], T], deadline: float) -> T:
        """Make one request in a session of the budget; it does not start if it might end after `deadline`.

        Raises SyncError. A session that the server has ended meanwhile is replaced, once. What was not answered may be
        carried out until `deadline`, by the rule of claims; the session is not used before.
        """
        for last in (False, True):
            held = self._acquire(deadline)
            try:
                self._check(deadline)
                result = work(held.slot.credentials)
            except SignedOut as error:
                self._sign_out(held)  # should it be something else that refuses, the seat must not stay taken
                if last:
                    raise Later(Code.SESSION_ENDED, f"{error}; a new session was refused too", 30.0) from None
            except OutcomeUnknown:
                self._hand_over(held, rests_until=deadline)
                raise
            except BaseException:
                self._release(held)
                raise
            else:
                self._release(held)
                return result
        raise AssertionError("never reached")

    def upkeep(self) -> int:
        """Sign out what nobody uses or owns any more, on any instance; returns how many."""
        count = 0
        for name, (slot, etag) in self._slots.all().items():
            if not neglected(slot, self._clock(), self._settings.acumatica_linger_seconds):
                continue
            if isinstance(slot, SigningIn):
                self._slots.save(name, Free(), etag)
            elif isinstance(slot, Open) and (held := self._adopt(name, slot, etag)):
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
            self._changed.wait_for(lambda: not any(held.busy for held in self._held), _WAIT_SECONDS)
            idle = [held for held in self._held if not held.busy]
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
        give_up, waited = self._clock() + _WAIT_SECONDS, 0.0  # waited in vain: the clock may be set back meanwhile
        while True:
            with self._changed:
                if self._closing:
                    raise Later(Code.SHUTTING_DOWN, "this worker is shutting down", counted=False)
                now = self._clock()
                for held in self._held:
                    if held.usable(now):
                        held.busy = True
                        return held
                room = len(self._held) < self._settings.acumatica_max_sessions
                look = room and not self._opening and now >= self._next_look
                if look:
                    self._opening = True
                elif now >= give_up or waited >= 4 * _WAIT_SECONDS:
                    delay = random.uniform(*_BUSY_SECONDS)  # noqa: S311
                    raise Later(Code.SESSIONS_BUSY, "all Acumatica sessions of the budget are in use", delay, counted=False)
                else:
                    pause = min(_POLL_SECONDS, give_up - now)
                    waited += 0.0 if self._changed.wait(pause) else pause
            if look and (opened := self._open(deadline)):
                return opened

    def _open(self, deadline: float) -> _Held | None:
        """Adopt an open session that nobody leases, or sign in on a free slot; None if all slots are taken."""
        held = None
        try:
            self._check(deadline)
            held = self._take_slot()
            if not held:
                self._next_look = self._clock() + _POLL_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
        finally:
            with self._changed:
                self._opening = False
                if held:
                    self._held.append(held)
                    self._start_keeper()
                self._changed.notify_all()
        return held

    def _release(self, held: _Held) -> None:
        with self._changed:
            now = self._clock()
            held.slot = replace(held.slot, used=now)
            tired = now - held.taken >= _HAND_OVER_SECONDS
            if not (tired or self._near_expiry(held)):
                held.busy = False
                self._changed.notify()  # one session, one who gets it
                return
        if self._near_expiry(held):
            self._sign_out(held)
        else:
            self._hand_over(held)

    def _near_expiry(self, held: _Held) -> bool:
        expires = held.slot.credentials.get("expires")
        return bool(expires and expires - self._clock() < self._settings.request_timeout_seconds)

    def _hand_over(self, held: _Held, rests_until: float = 0.0) -> None:
        """Give the session to whoever comes next, and to others before this worker; to nobody while it rests."""
        used = held.slot.used
        if rests_until:
            used = self._clock()
        else:
            self._next_look = self._clock() + 2 * _POLL_SECONDS
        self._give_back(held, replace(held.slot, until=0.0, used=used, rests_until=rests_until))

    def _give_back(self, held: _Held, slot: Open | Free) -> None:
        try:
            with held.saving:
                self._slots.save(held.name, slot, held.etag)
        finally:
            self._forget(held)

    def _forget(self, held: _Held) -> None:
        with self._changed:
            if held in self._held:
                self._held.remove(held)
            self._changed.notify_all()

    def _sign_out(self, held: _Held) -> None:
        try:
            self._acumatica.sign_out(held.slot.credentials)
        except (Later, OutcomeUnknown) as error:
            now = self._clock()
            abandoned = held.slot.used + self._settings.abandoned_seconds <= now
            log.warning("Acumatica sign-out failed, %s: %s", "given up" if abandoned else "to be tried again", error)
            if abandoned:
                self._give_back(held, Free())
            else:
                unknown = isinstance(error, OutcomeUnknown)
                rests_until = now + self._settings.longest_request_seconds if unknown else 0.0
                self._give_back(held, replace(held.slot, until=0.0, rests_until=rests_until))
        else:
            telemetry.emit(telemetry.SIGNED_OUT, slot=held.name)
            self._give_back(held, Free())

    # -- slots -------------------------------------------------------------------------------------------------------

    def _take_slot(self) -> _Held | None:
        stored = self._slots.all()
        names = map(str, range(self._settings.acumatica_max_sessions))
        slots = {name: stored.get(name, (Free(), None)) for name in names}
        while slots:
            now = self._clock()
            held = None
            match choose({name: slot for name, (slot, _) in slots.items()}, now):
                case Adopt(name, slot):
                    held = self._adopt(name, slot, slots.pop(name)[1])
                case SignIn(name):
                    opened = self._sign_in.open(name, slots.pop(name)[1])
                    held = _Held(name, *opened, taken=self._clock()) if opened else None
                case Wait(until):
                    if until > now + _WAIT_SECONDS:  # waiting here is no use
                        reason = "a request to Acumatica was not answered, and its session may still be busy with it"
                        raise Later(Code.SESSIONS_BUSY, reason, min(until - now, _BLOCKED_MAX), counted=False)
                    return None
            if held:
                return held
        return None  # others were faster, with all of them

    def _adopt(self, name: str, slot: Open, etag: str | None) -> _Held | None:
        now = self._clock()
        leased = replace(slot, until=now + self._settings.acumatica_lease_seconds)
        new_etag = self._slots.save(name, leased, etag)
        return _Held(name, leased, new_etag, now) if new_etag else None

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
                if self._closing or not self._held:
                    self._keeper = None
                    return
            self.look_after()

    def look_after(self) -> None:
        """Renew leases in use, sign out what has been idle."""
        lease, linger = self._settings.acumatica_lease_seconds, self._settings.acumatica_linger_seconds
        with self._changed:
            now = self._clock()
            idle = [held for held in self._held if not held.busy and held.slot.idle(now, linger)]
            for held in idle:
                held.busy = True
            due = [held for held in self._held if held not in idle and held.slot.until - now < lease * 2 / 3]
        for work, some in ((self._renew, due), (self._sign_out, idle)):
            for held in some:
                try:
                    work(held)
                except StorageError as error:  # leases run out, and the upkeep of some instance signs out
                    log.warning("looking after an Acumatica session: storage is away: %s", type(error).__name__)
                except Exception:
                    log.exception("looking after an Acumatica session failed")

    def _renew(self, held: _Held) -> None:
        with held.saving:
            renewed = replace(held.slot, until=self._clock() + self._settings.acumatica_lease_seconds)
            if etag := self._slots.save(held.name, renewed, held.etag):
                with self._changed:  # it may have been used meanwhile
                    held.etag, held.slot = etag, replace(held.slot, until=renewed.until)
                return
        self._forget(held)  # someone has adopted it, or it was given back just now
