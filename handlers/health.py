"""GET /api/health: whether the app can do its work, and which part cannot. No details: anyone may ask."""

import logging
import platform
import threading
from typing import Any

from handlers import __version__, telemetry
from handlers.clients.condition import Condition, look
from handlers.clients.tables import StorageError
from handlers.services import Factory, NotReady

log = logging.getLogger(__name__)

_FRESH_SECONDS = 5.0
_PYTHON = ".".join(platform.python_version_tuple()[:2])  # the deployment compares it with what was asked for


class Health:
    """Looks at storage at most every few seconds, however often it is asked."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._not_ready: list[str] = []
        self._modes: dict[str, Any] = {}

    def answer(self, now: float) -> tuple[int, dict[str, Any]]:
        """Status code and JSON body; `now` in seconds from any start."""
        with self._lock:
            if now - self._looked >= _FRESH_SECONDS:
                self._not_ready = self._look()
                self._looked = now
            status = "not ready" if self._not_ready else "ready"
            body = {"status": status, "version": __version__, "python": _PYTHON, "not_ready": self._not_ready} | self._modes
            return (503 if self._not_ready else 200), body

    def tell(self, now: float) -> None:
        """Say the same in the log, each minute, with the state that alerts hang on."""
        _, body = self.answer(now)
        level = logging.WARNING if body["not_ready"] else logging.INFO
        about = {name: body[name] for name in ("status", "not_ready", "missing", "paused", "trial") if name in body}
        telemetry.emit(telemetry.HEALTH, level=level, **about, **self._condition())

    def _condition(self) -> dict[str, Any]:
        try:
            storage = self._factory.storage()
            now = storage.now()
            return look(storage, now).facts(now)
        except (NotReady, StorageError):
            return Condition().facts(0.0)  # said by `not_ready`

    def _look(self) -> list[str]:
        """What is not ready. Intake needs less than the rest: it may be ready while rows wait for what is missing."""
        self._modes = {}
        try:
            intake = self._factory.intake()
            intake.storage.check()
            intake.check_pins(list(intake.mappings), pin=False)
            self._modes = {"intake": "ready"}
            off = intake.storage.sweeps.ended_early()
            settings = self._factory.services().settings
        except NotReady as error:
            # Names of settings are no secret, and whoever sets the app up needs them.
            self._modes |= {"missing": error.missing} if error.missing else {}
            return [error.part]
        except StorageError as error:
            log.warning("storage cannot be used: %s", type(error).__name__)
            return ["storage"]
        sweeps = [f"{name} cannot be swept: {code}" for name, code in sorted(off.items()) if name in intake.mappings]
        modes = {"paused": settings.sync_paused, "trial": bool(settings.test_mailbox)}
        warnings = [*([] if intake.mappings else ["no mapping is active"]), *self._factory.page_problems(), *sweeps]
        self._modes = {name: on for name, on in (modes | {"warnings": warnings}).items() if on}
        return []
