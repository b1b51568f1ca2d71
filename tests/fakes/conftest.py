"""Fakes for one test each; what they are sent here is wrong on purpose, so it is not recorded for the contract check."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from local.fakes import FakeAcumatica, FakeGraph

ZONE = "Eastern Standard Time"
STAMP = "String {6f2c1d0e-52f4-4b0b-9d6c-3a5a4e0c7b21} Name AcumaticaRow"
MAILBOX = "ann@example.com"
MEETING = {"attendees": [{"emailAddress": {"address": "bob@example.com"}, "type": "required"}]}
ENDPOINT = "/entity/Default/24.200.001"
UPDATE_ONLY = {"If-Match": "*"}


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


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def new(client: Client, **properties: Any) -> str:
    answer = client.post("/events", json=event(**properties))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def path(event_id: str) -> str:
    return f"/events/{quote(event_id, safe='')}"


def below(answer: Any) -> str:
    """What comes after a page, as a path below the mailbox."""
    return str(answer["@odata.nextLink"]).partition("ann%40example.com")[2]


def lookup(client: Client, value: str, name: str = STAMP, more: str = "&$select=id", where: str = "") -> requests.Response:
    condition = f"singleValueExtendedProperties/Any(ep: ep/id eq '{name}' and ep/value eq '{value}')"
    return client.get(f"{where}/events?$filter={quote(condition, safe='')}{more}")


def found(client: Client, value: str, name: str = STAMP, where: str = "") -> list[str]:
    return [item["id"] for item in lookup(client, value, name, where=where).json()["value"]]


def other(graph: FakeGraph, mailbox: str = "bob@example.com") -> Client:
    client = Client(f"{graph.url}/v1.0/users/{quote(mailbox)}")
    client.headers.update(token(graph))
    return client


def form(acumatica: FakeAcumatica, **changes: str) -> dict[str, str]:
    right = {"grant_type": "password", "client_id": acumatica.client_id, "client_secret": acumatica.client_secret}
    return {**right, "username": acumatica.username, "password": acumatica.password, "scope": "api", **changes}


def ask(acumatica: FakeAcumatica, site: Client, **changes: str) -> requests.Response:
    return site.post("/identity/connect/token", data=form(acumatica, **changes))


def login(acumatica: FakeAcumatica, site: Client, **changes: str) -> requests.Response:
    right = {"name": acumatica.username, "password": acumatica.password, "tenant": acumatica.tenant}
    return site.post("/entity/auth/login", json={**right, **changes})


def sign_in(acumatica: FakeAcumatica, site: Client) -> Client:
    """Anew, with the rights that the API user has now."""
    if "Authorization" in site.headers:
        site.post("/entity/auth/logout", data=b"")
    site.headers["Authorization"] = f"Bearer {ask(acumatica, site).json()['access_token']}"
    return site


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def custom(value: Any, name: str = "AttributeCALEVT", view: str = "Opportunity", kind: str = "CustomStringField") -> Any:
    return {"custom": {view: {name: {"type": kind, "value": value}}}}


def opportunity(acumatica: FakeAcumatica, key: str = "OP000123") -> str:
    return acumatica.put_record("Opportunity", {"OpportunityID": key, "Subject": "Site visit"})


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


@pytest.fixture
def signed_in(acumatica: FakeAcumatica, site: Client) -> Client:
    return sign_in(acumatica, site)
