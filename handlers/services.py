"""What the functions work with, built from the app settings and the mapping files; nothing is built at import."""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.clients.activity import Recorder
from handlers.clients.storage import Storage
from handlers.environment import SettingsProblems, load_settings
from handlers.settings import IntakeSettings, PageSettings, Settings, StorageSettings
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.mapping_file import MappingProblems
from handlers.sync.mapping_file import load_mappings as read_mappings
from handlers.sync.mapping_words import misnamed
from handlers.sync.notification import name_form
from handlers.sync.scope import Scope

if TYPE_CHECKING:
    from handlers.clients.graph import Graph
    from handlers.clients.inquiries import Inquiries
    from handlers.clients.relay import Relays
    from handlers.clients.sessions import Sessions

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent


class NotReady(Exception):
    """A part of the app (settings, mappings, storage) cannot be used; `problems` says why, without values."""

    def __init__(self, part: str, problems: list[str]) -> None:
        super().__init__(f"{part}: {'; '.join(problems)}")
        self.part = part
        self.problems = problems

    @property
    def missing(self) -> list[str]:
        """Names of the settings that have no value yet, or a reference to a secret that has none."""
        found = [problem.split(":")[0] for problem in self.problems if re.search(r": (missing|its Key Vault)", problem)]
        return sorted(set(found)) if self.part == "settings" else []


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What taking notifications in needs, whatever else is missing."""

    settings: IntakeSettings
    mappings: dict[str, SyncMapping]
    storage: Storage
    clock: Callable[[], float] = time.time
    activity: Recorder = field(default_factory=Recorder)
    pinned: set[str] = field(default_factory=set)  # what was compared with its pin: mappings, and "" for the tenant

    @property
    def company(self) -> str:
        """The tenant's name as part of each event's identity."""
        return name_form(self.settings.company)

    def check_pins(self, names: list[str], *, pin: bool) -> None:
        """Compare the tenant's name, and mappings' key columns, with those used before; `pin` them at their first use.

        Raises NotReady where they differ.
        """
        problems = [*self._tenant_problem(pin=pin)]
        for name in names:
            if name in self.pinned:
                continue
            key = self.mappings[name].key
            known = self.storage.pins.key_columns(name, key, pin=pin)
            if known == key:
                self.pinned.add(name)
            elif known is not None:
                problems.append(
                    f"{name}.toml: key: {', '.join(known)} was used under this name, and events are tied to it; "
                    f"give the mapping another name to use {', '.join(key)}"
                )
        if problems:
            raise NotReady("mappings", problems)

    def _tenant_problem(self, *, pin: bool) -> list[str]:
        if "" in self.pinned:
            return []
        known = self.storage.pins.company(self.company, pin=pin)
        if known == self.company:
            self.pinned.add("")
        if known in {None, self.company}:
            return []
        problem = (
            f"ACUMATICA_TENANT: the app was first used for {known!r}, and events are tied to that name. If the tenant was "
            f"renamed, set ACUMATICA_TENANT_FORMERLY to {known!r}; another tenant needs an app (and storage) of its own"
        )
        return [problem]


@dataclass(frozen=True, kw_only=True)
class Services(Intake):
    """Everything with I/O or a clock, so that the same code runs on other clocks and in-memory services."""

    settings: Settings
    graph: "Graph"
    sessions: "Sessions"
    relays: "Relays"

    @property
    def scope(self) -> Scope:
        """Where the mappings are active."""
        return Scope(self.settings.acumatica_url, self.settings.test_mailbox)

    @cached_property
    def inquiries(self) -> "Inquiries":
        """The inquiries of Acumatica, read in the budget of sessions."""
        from handlers.clients.inquiries import Inquiries  # noqa: PLC0415

        return Inquiries(self.sessions, self.settings, self.clock)


class Factory:
    """Builds the services once per process; as long as something is wrong, every call says what."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._environ = environ
        self._clock = clock
        self._lock = threading.Lock()
        self._storage: Storage | None = None
        self._activity = Recorder()
        self._intake: Intake | None = None
        self._services: Services | None = None
        self._said: list[str] = []

    def storage(self) -> Storage:
        """Storage alone, which works without all other settings. Raises NotReady."""
        with self._lock:
            if self._storage is None:
                try:
                    self._storage = Storage(load_settings(StorageSettings, self._environ), self._clock)
                    self._activity = Recorder(self._storage, self._clock)
                except SettingsProblems as error:
                    raise self._not_ready("settings", error.problems) from None
                except ValueError:  # the SDK cannot read it, and says so with the value
                    raise self._not_ready("settings", ["AzureWebJobsStorage: is no connection string"]) from None
            return self._storage

    def activity(self) -> Recorder:
        """What remembers runs; it needs storage alone. Raises NotReady."""
        self.storage()
        return self._activity

    def intake(self) -> Intake:
        """What taking notifications in needs. Raises NotReady."""
        storage = self.storage()
        with self._lock:
            if self._intake is None:
                self._intake = self._build_intake(storage)
            return self._intake

    def services(self) -> Services:
        """Everything. Raises NotReady."""
        intake = self.intake()
        with self._lock:
            if self._services is None:
                self._services = self._build(intake)
            return self._services

    def page_problems(self) -> list[str]:
        """What is wrong with the settings of the runs page, which is off then; nothing else hangs on them."""
        try:
            load_settings(PageSettings, self._environ)
        except SettingsProblems as error:
            return error.problems
        return []

    def close(self) -> None:
        """Sign out of Acumatica and end all connections."""
        if self._services:
            self._services.sessions.close()
            self._services.graph.close()
            self._services.relays.close()
        self._activity.close()
        if self._storage:
            self._storage.close()

    def _build_intake(self, storage: Storage) -> Intake:
        try:
            settings = load_settings(IntakeSettings, self._environ)
        except SettingsProblems as error:
            raise self._not_ready("settings", error.problems) from None
        try:
            mappings = load_mappings(ROOT / settings.mappings_dir)
        except MappingProblems as error:
            raise self._not_ready("mappings", error.problems) from None
        if not mappings:
            log.warning("mappings: there is no .toml file in MAPPINGS_DIR; every notification will be refused")
        for problem in misnamed_files(ROOT / settings.mappings_dir):
            log.warning("mappings: %s", problem)
        return Intake(settings=settings, mappings=mappings, storage=storage, clock=self._clock, activity=self._activity)

    def _build(self, intake: Intake) -> Services:
        # Not before the first row: Azure waits for the import of function_app.py on every start of an instance.
        from handlers.clients.acumatica import Acumatica  # noqa: PLC0415
        from handlers.clients.graph import Graph  # noqa: PLC0415
        from handlers.clients.receivers import Receiver, receivers  # noqa: PLC0415
        from handlers.clients.relay import Relays  # noqa: PLC0415
        from handlers.clients.sessions import Sessions  # noqa: PLC0415

        problems: list[str] = []
        settings: Settings | None = None
        found: dict[str, Receiver] = {}
        try:
            settings = load_settings(Settings, self._environ)
        except SettingsProblems as error:
            problems += error.problems
        try:
            found = receivers(intake.mappings, self._environ)
        except SettingsProblems as error:
            problems += error.problems
        if problems or settings is None:
            raise self._not_ready("settings", problems)
        return Services(
            settings=settings,
            mappings=intake.mappings,
            storage=intake.storage,
            clock=self._clock,
            activity=self._activity,
            pinned=intake.pinned,
            graph=Graph(settings, self._clock),
            relays=Relays(found, settings, self._clock),
            sessions=Sessions(Acumatica(settings, self._clock), intake.storage, settings, self._clock),
        )

    def _not_ready(self, part: str, problems: list[str]) -> NotReady:
        if problems != self._said:  # once, however often the app is asked
            for problem in problems:
                log.error("%s: %s", part, problem)
            self._said = problems
        return NotReady(part, problems)


def load_mappings(folder: Path) -> dict[str, SyncMapping]:
    """All mappings of a folder by name; a folder that is not there has none. Raises MappingProblems with those of all."""
    files: list[tuple[str, bytes]] = []
    problems = []
    for file in sorted(folder.glob("*.toml")):
        try:
            files.append((file.stem, file.read_bytes()))
        except OSError as error:
            problems.append(f"{file.name}: cannot be read ({type(error).__name__})")
    try:
        mappings = read_mappings(files)
    except MappingProblems as error:
        raise MappingProblems([*error.problems, *problems]) from None
    if problems:
        raise MappingProblems(problems)
    return mappings


def misnamed_files(folder: Path) -> list[str]:
    """What is said of files that look like mappings, and are none because of their names."""
    return misnamed([file.name for file in folder.iterdir() if file.is_file()]) if folder.is_dir() else []
