"""The same suites for doubles, fakes, and real services: what the first two do must be what the last does.

A real tenant is used where these are set, and never otherwise (the skipped tests say so):

CONTRACT_GRAPH_TENANT_ID, CONTRACT_GRAPH_CLIENT_ID, CONTRACT_GRAPH_CLIENT_SECRET, CONTRACT_GRAPH_MAILBOX
    an app registration with Calendars.ReadWrite on one mailbox, in which events of 2031 are made and removed
CONTRACT_ACUMATICA_URL, _TENANT, _CLIENT_ID, _CLIENT_SECRET, _USERNAME, _PASSWORD, CONTRACT_ACUMATICA_RECORD
    a Connected Application, an API user, and the NoteID of an opportunity whose attribute CALEVT is written
CONTRACT_STORAGE
    connection string of an Azure Storage account that holds nothing else; its tables are left behind
"""

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pytest

from handlers.clients.acumatica import Acumatica
from handlers.clients.graph import Graph
from handlers.clients.sessions import Sessions
from handlers.clients.storage import Storage
from handlers.environment import load_settings
from handlers.settings import Settings, StorageSettings
from handlers.sync.event import CalendarEvent
from handlers.sync.record import RecordUpdate
from local.fakes import FakeAcumatica, FakeGraph
from tests.laws.simulation import Simulation
from tests.laws.world import note_id

GRAPH = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "MAILBOX")
ACUMATICA = ("URL", "TENANT", "CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD", "RECORD")
UNUSED = {
    "ACUMATICA_URL": "https://erp.example.com",
    "ACUMATICA_TENANT": "T",
    "ACUMATICA_AUTH": "cookie",
    "ACUMATICA_USERNAME": "u",
    "ACUMATICA_PASSWORD": "p",
}


class Calendar(Protocol):
    """What handlers.clients.graph.Graph offers."""

    def create(self, event: CalendarEvent, stamp: str) -> str: ...
    def update(self, mailbox: str, event_id: str, event: CalendarEvent, stamp: str | None = None) -> None: ...
    def delete(self, mailbox: str, event_id: str) -> None: ...
    def find(self, mailbox: str, stamp: str, calendar: str = "") -> list[str]: ...


@dataclass
class Outlook:
    """A calendar to try, and a mailbox that exists and one that does not."""

    graph: Calendar
    mailbox: str = "ann@example.com"
    nobody: str = "nobody@example.com"


@dataclass
class Erp:
    """Something that writes back, and the records it may write to; `missing` is none, where that can be tried."""

    sessions: Any
    record: str
    missing: str | None


class Alone:
    """A double of the simulation, each call of which has the world for itself."""

    def __init__(self, sim: Simulation, double: Any) -> None:
        self._sim, self._double = sim, double

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._double, name)
        return (lambda *args: self._sim.alone(lambda: found(*args))) if callable(found) else Alone(self._sim, found)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def real(service: str, names: tuple[str, ...]) -> dict[str, str]:
    """The settings of a real service by name. Skips the test, and says why, where they are not all there."""
    wanted = [f"CONTRACT_{service}_{name}" if name else f"CONTRACT_{service}" for name in names]
    if missing := [name for name in wanted if not os.environ.get(name)]:
        pytest.skip(f"NOT HELD AGAINST A REAL {service}: {', '.join(missing)} not set")
    return {name: os.environ[full] for name, full in zip(names, wanted, strict=True)}


@pytest.fixture(params=["double", "Azurite", "Azure"])
def store(request: pytest.FixtureRequest) -> Iterator[Storage]:
    match request.param:
        case "double":
            sim = Simulation()
            yield cast("Storage", Alone(sim, sim.store))
            return
        case "Azurite":
            connection = request.getfixturevalue("storage")
        case _:
            connection = real("STORAGE", ("",))[""]
    with closing(Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection}))) as opened:
        yield opened


@pytest.fixture(params=["double", "fake", "tenant"])
def outlook(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outlook]:
    match request.param:
        case "double":
            sim = Simulation()
            sim.gone.add("nobody@example.com")
            yield Outlook(Alone(sim, sim.outlook))
        case "fake":
            with FakeGraph() as fake:
                fake.add_mailbox("ann@example.com")
                fake.remove_mailbox("nobody@example.com")
                monkeypatch.setenv("IDENTITY_ENDPOINT", fake.identity_endpoint)
                monkeypatch.setenv("IDENTITY_HEADER", fake.identity_header)
                graph = Graph(load_settings(Settings, UNUSED | {"GRAPH_URL": fake.url}))
                yield Outlook(graph)
                graph.close()
        case _:
            tenant = real("GRAPH", GRAPH)
            mailbox = tenant.pop("MAILBOX")
            graph = Graph(load_settings(Settings, UNUSED | {f"GRAPH_{name}": value for name, value in tenant.items()}))
            yield Outlook(graph, mailbox, f"{uuid.uuid4().hex}@{mailbox.partition('@')[2]}")
            graph.close()


@pytest.fixture
def rich(outlook: Outlook) -> tuple[Graph, str]:
    """A calendar with all that mappings can ask for, which the double has not; and its mailbox."""
    if not isinstance(outlook.graph, Graph):
        pytest.skip("the double has no calendars, cancellations and adoptions: no law needs them")
    return outlook.graph, outlook.mailbox


@pytest.fixture(params=["double", "fake by cookie", "fake by token", "site"])
def erp(request: pytest.FixtureRequest) -> Iterator[Erp]:
    match request.param:
        case "double":
            sim = Simulation()
            yield Erp(Alone(sim, sim.services.sessions), note_id("A"), None)
            return
        case "site":
            site = real("ACUMATICA", ACUMATICA)
            record, missing = site.pop("RECORD"), str(uuid.uuid4())
            environ = {f"ACUMATICA_{name}": value for name, value in site.items()}
            fake = None
        case kind:
            fake = FakeAcumatica().start()
            record, missing = fake.put_record("Opportunity", {"OpportunityID": "A", "Subject": "Visit"}), str(uuid.uuid4())
            environ = {
                "ACUMATICA_URL": fake.url,
                "ACUMATICA_TENANT": fake.tenant,
                "ACUMATICA_AUTH": "cookie" if "cookie" in kind else "oauth",
                "ACUMATICA_CLIENT_ID": fake.client_id,
                "ACUMATICA_CLIENT_SECRET": fake.client_secret,
                "ACUMATICA_USERNAME": fake.username,
                "ACUMATICA_PASSWORD": fake.password,
            }
    settings = load_settings(Settings, environ)
    connection = request.getfixturevalue("storage")
    with closing(Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection}))) as slots:
        sessions = Sessions(Acumatica(settings), slots, settings)
        yield Erp(sessions, record, missing)
        sessions.close()
    if fake:
        assert fake.sessions == []
        fake.stop()


def write_back(record: str, value: str) -> RecordUpdate:
    """A PUT of an event's id."""
    attribute = {"AttributeCALEVT": {"type": "CustomStringField", "value": value}}
    return RecordUpdate("Default/24.200.001/Opportunity", {"id": record, "custom": {"Opportunity": attribute}})
