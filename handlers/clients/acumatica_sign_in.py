"""Signing in to Acumatica on a slot of the session budget, behind the circuit breaker that all instances share."""

import contextlib
import logging
from collections.abc import Callable

from handlers import telemetry
from handlers.clients.acumatica import Acumatica, SignInRefused
from handlers.clients.slots import Slots
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown
from handlers.sync.slots import Breaker, Free, Open, SigningIn


class AcumaticaSignIn:
    """Opens sessions. The slot is saved as signing in before the request, and with the session after it."""

    def __init__(self, acumatica: Acumatica, slots: Slots, settings: Settings, clock: Callable[[], float]) -> None:
        self._acumatica = acumatica
        self._slots = slots
        self._settings = settings
        self._clock = clock

    def open(self, name: str, etag: str | None) -> tuple[Open, str] | None:
        """Sign in on the slot that has `etag`; the session and its new ETag, or None where another worker was faster.

        Raises Later, which says when to try again. A slot whose sign-in was not answered stays blocked until the site has
        ended by itself what may have been opened.
        """
        breaker, breaker_etag = self._pass_breaker()
        # The site counts from when it has carried the request out, which may be as late as our time-out.
        blocked = self._clock() + self._settings.longest_request_seconds + self._settings.abandoned_seconds
        etag = self._slots.save(name, SigningIn(blocked), etag)
        if etag is None:
            return None
        try:
            credentials = self._acumatica.sign_in()
        except (SignInRefused, Later) as error:
            refused = isinstance(error, SignInRefused) and error.rejected
            try:
                raise self._open_breaker(breaker, breaker_etag, str(error), refused=refused) from None
            finally:  # not before the breaker is open: the next one would try at once
                self._slots.save(name, Free(), etag)
        except OutcomeUnknown as error:
            seat = f"its seat may be taken, so slot {name} stays blocked for {self._settings.abandoned_seconds / 60:.0f} min"
            raise self._open_breaker(breaker, breaker_etag, f"{error}; {seat}", refused=False) from None
        now = self._clock()
        slot = Open(now + self._settings.acumatica_lease_seconds, now, credentials)
        try:
            etag = self._slots.save(name, slot, etag)
        except BaseException:  # nobody else knows the session
            with contextlib.suppress(Later, OutcomeUnknown):
                self._acumatica.sign_out(credentials)
            raise
        if etag is None:  # paused for longer than the slot was blocked
            self._acumatica.sign_out(credentials)
            return None
        if not breaker.closed:
            self._slots.save_breaker(Breaker(), breaker_etag)
        telemetry.emit(telemetry.SIGNED_IN, slot=name)
        return slot, etag

    def _pass_breaker(self) -> tuple[Breaker, str | None]:
        """The circuit breaker, if a sign-in may be tried. Raises Later."""
        breaker, etag = self._slots.load_breaker()
        if breaker.closed:
            return breaker, etag
        now = self._clock()
        if (probing := breaker.probing(now)) and (new_etag := self._slots.save_breaker(probing, etag)):
            return probing, new_etag
        raise _sign_in_fails(breaker, max(breaker.until - now, 1.0))

    def _open_breaker(self, breaker: Breaker, etag: str | None, reason: str, *, refused: bool) -> Later:
        failed = breaker.failed(self._clock(), reason, refused=refused)
        self._slots.save_breaker(failed, etag)
        code = Code.SIGN_IN_REFUSED if refused else Code.SIGN_IN_FAILED  # the site\'s own words stay out of the log
        about = {"try": failed.failures, "delay": failed.interval}
        telemetry.emit(telemetry.SIGN_IN_FAILED, level=logging.ERROR, code=code, **about)
        return _sign_in_fails(failed, failed.interval)


def _sign_in_fails(breaker: Breaker, delay: float) -> Later:
    code = Code.SIGN_IN_REFUSED if breaker.refused else Code.SIGN_IN_FAILED
    return Later(code, f"Acumatica sign-in fails: {breaker.reason}", delay)
