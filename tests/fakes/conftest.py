"""Fakes for one test each; what they are sent here is wrong on purpose, so it is not recorded for the contract check."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.fakes import FakeAcumatica, FakeGraph

ZONE = "Eastern Standard Time"
STAMP = "String {6f2c1d0e-52f4-4b0b-9d6c-3a5a4e0c7b21} Name AcumaticaRow"


class Client(requests.Session):
    """Requests below one address, with time-outs and nothing from the environment."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False
        self.base = url

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, f"{self.base}{url!s}", *args, **{"timeout": 10, **kwargs})


def token(graph: FakeGraph, resource: str = "https://graph.microsoft.com") -> dict[str, str]:
    query = {"api-version": "2019-08-01", "resource": resource}
    answer = requests.get(
        graph.identity_endpoint, params=query, headers={"X-IDENTITY-HEADER": graph.identity_header}, timeout=10
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def at(time: str, zone: str = ZONE) -> dict[str, str]:
    return {"dateTime": time, "timeZone": zone}


def event(**properties: Any) -> dict[str, Any]:
    return {"subject": "Visit", "start": at("2026-01-20T12:00:00"), "end": at("2026-01-20T13:00:00"), **properties}


def stamped(value: str, name: str = STAMP, **properties: Any) -> dict[str, Any]:
    return event(singleValueExtendedProperties=[{"id": name, "value": value}], **properties)


@pytest.fixture(autouse=True)
def _no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKES_RECORD", raising=False)


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    with FakeGraph() as running:
        yield running


@pytest.fixture
def ann(graph: FakeGraph) -> Iterator[Client]:
    """A client of one mailbox."""
    with Client(f"{graph.url}/v1.0/users/ann%40example.com") as client:
        client.headers.update(token(graph))
        yield client


@pytest.fixture
def acumatica() -> Iterator[FakeAcumatica]:
    with FakeAcumatica() as running:
        yield running


@pytest.fixture
def site(acumatica: FakeAcumatica) -> Iterator[Client]:
    """A client that is not signed in."""
    with Client(f"{acumatica.url}/site") as client:
        yield client
