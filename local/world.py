"""Everything on one machine: the app in its host, storage, and fakes of Graph, Acumatica and receivers of relays."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from handlers.clients.sweeps import Sweep
from handlers.services import load_mappings
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.mapping_file import MappingProblems
from local import judge
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, app_settings
from local.host import HostProcess, start
from local.inquiry import QUERY, Inquiry

ROOT = Path(__file__).resolve().parent.parent
MAPPINGS = ROOT / "ready-made"
MAPPING = "opportunity-meetings"


class World:
    """`connection` is the storage to use; `settings` are added to the app's; transactions are `age` old when they are sent.

    Leaving the context stops everything.
    """

    def __init__(
        self,
        connection: str,
        settings: Mapping[str, str] | None = None,
        *,
        graph: Mapping[str, Any] | None = None,
        acumatica: Mapping[str, Any] | None = None,
        echo: bool = False,
        fetch_visibility: float | None = None,
        age: timedelta = timedelta(),
    ) -> None:
        self.connection = connection
        self._settings = dict(settings or {})
        self._fetch_visibility = fetch_visibility
        self._age = age
        self.graph = FakeGraph(**(graph or {}))
        self.acumatica = FakeAcumatica(echo=self._echo if echo else None, **(acumatica or {}))
        self.receivers = FakeReceivers(self.graph.identity)
        self.inquiry: Inquiry
        self.host: HostProcess
        self.workers = 1
        self.dead: set[str] = set()
        self.echoes = 0
        self.lock = threading.Lock()  # of the inquiry, for tests that change it in several threads
        self.mappings: dict[str, SyncMapping] = {}

    def __enter__(self) -> Self:
        self.graph.start()
        self.acumatica.start()
        self.receivers.start()
        self.mappings = load_mappings(MAPPINGS) | self._relays()
        self.inquiry = Inquiry(self.acumatica, age=self._age)
        self.start_host()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.host.__exit__(kind, value, trace)
        self.graph.stop()
        self.acumatica.stop()
        self.receivers.stop()

    def _relays(self) -> dict[str, SyncMapping]:
        """The active mappings that have one; none where they cannot be read, which the app is to say."""
        try:
            active = load_mappings(Path(self.settings["MAPPINGS_DIR"]))
        except MappingProblems:
            return {}
        return {name: mapping for name, mapping in active.items() if mapping.relay}

    @property
    def settings(self) -> dict[str, str]:
        """All app settings."""
        return {
            "AzureWebJobsStorage": self.connection,
            **self.graph.identity_settings,
            **app_settings(self.graph, self.acumatica),
            **self.receivers.settings,
            **self._settings,
        }

    def configure(self, **settings: str) -> None:
        """Change app settings; they count from the next start."""
        self._settings |= settings

    def start_host(self) -> None:
        """Start the app (again)."""
        self.host = start(env=self.settings, fetch_visibility=self._fetch_visibility)

    def restart_host(self, *, kill: bool) -> None:
        """End the app, hard or as a deployment does, and start it again."""
        if kill:
            self.host.kill()
        else:
            self.host.stop()
        self.host.__exit__(None, None, None)
        self.start_host()

    def post(self, notification: Mapping[str, Any] | bytes) -> requests.Response:
        """Send a notification as Acumatica does."""
        body = notification if isinstance(notification, bytes) else json.dumps(notification).encode()
        headers = {"x-functions-key": self.host.key, "Content-Type": "application/json"}
        return requests.post(f"{self.host.url}/api/notifications", data=body, headers=headers, timeout=60)

    def deliver(self, notification: Mapping[str, Any], timeout: float = 60.0) -> None:
        """Send a notification until it is answered with 2xx."""

        def taken_in() -> bool:
            try:
                return self.post(notification).ok
            except requests.RequestException:
                return False

        if not self.wait(taken_in, timeout):
            raise TimeoutError("the notification was never taken in")

    def sweep(self, timeout: float = 60.0) -> bool:
        """Run the upkeep timer until no session is left of what was killed; False if that takes too long."""

        def swept() -> bool:
            self.host.fire("upkeep_sessions")
            return not self.acumatica.sessions and all(slot == "free" for slot in judge.look(self.connection).slots)

        return self.wait(swept, timeout)

    def night(self, timeout: float = 60.0) -> Sweep | None:
        """Fire the timer of sweeps, and wait for the end of what it begins; None if that takes too long."""
        before, found = judge.newest_sweep(self.connection, MAPPING), None

        def swept() -> bool:
            nonlocal found
            found = judge.newest_sweep(self.connection, MAPPING)
            return bool(found and found.phase == "done" and (before is None or found.id != before.id))

        self.host.fire("sweep_start")
        return found if self.wait(swept, timeout) else None

    def settle(self, timeout: float = 60.0) -> bool:
        """Wait until nothing waits in the queues; False if that takes too long."""
        return self.wait(lambda: not judge.messages(self.connection), timeout)

    def rest(self, timeout: float = 60.0) -> bool:
        """Wait until all is done: echoes delivered, queues empty, sessions signed out; False if that takes too long."""

        def resting() -> bool:
            echoed = all(echo.done() for echo in self.acumatica.echoes)
            return echoed and not self.acumatica.sessions and not judge.messages(self.connection)

        return self.wait(resting, timeout)

    @staticmethod
    def wait(condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for something; False if it does not happen in time."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def differences(self, *, timeout: float = 60.0, budget: int = 1, resting: bool = False) -> list[str]:
        """Wait until all is done, and let the judge look at the result; `resting` sessions are not waited for."""
        if not resting:
            self.rest(timeout)
        relays = {name: self.receivers.of(mapping) for name, mapping in self.mappings.items() if mapping.relay}
        return judge.judge(
            dict.fromkeys((MAPPING, *relays), self.inquiry.rows.values()),
            self.mappings,
            self.graph,
            self.acumatica,
            self.connection,
            receivers=relays,
            dead=self.dead,
            budget=budget,
            workers=self.workers,
            resting=resting,
        )

    def link_key(self, key: str, owner: str = "") -> str:
        """The key of a row's event link."""
        return judge.link_key("Production", self.mappings[MAPPING], {"OpportunityID": key, "OwnerEmail": owner})

    def _echo(self, entity: str, record_id: str, before: Any, after: Any) -> None:  # noqa: ARG002
        with self.lock:
            notification = self.inquiry.echo(record_id)
        if notification:
            self.deliver(notification)
            self.echoes += 1


__all__ = ["MAPPING", "QUERY", "ROOT", "World"]
