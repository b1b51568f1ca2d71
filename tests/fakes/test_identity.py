"""Who gets tokens for Graph, by a managed identity or from Entra ID."""

from typing import Any

import msal
import pytest
import requests

from local.fakes import FakeGraph
from tests.fakes.conftest import (
    Client,
    code,
    token,
)


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("api-version=2019-08-01&resource=https://graph.microsoft.com&client_id=mine", None, 200),
        ("api-version=2019-08-01&resource=https://graph.microsoft.com&client_id=other", None, 400),
        ("api-version=2017-09-01&resource=https://graph.microsoft.com", None, 400),
        ("api-version=2019-08-01", None, 400),
        ("api-version=2019-08-01&resource=https://graph.microsoft.com", "wrong", 401),
    ],
)
def test_the_managed_identity_endpoint_checks_what_it_is_asked(
    graph: FakeGraph, query: str, header: str | None, status: int
) -> None:
    graph.identity.user_assigned = {"mine"}
    headers = {"X-IDENTITY-HEADER": header or graph.identity_header}
    answer = requests.get(f"{graph.identity_endpoint}?{query}", headers=headers, timeout=10)
    assert answer.status_code == status
    assert ("access_token" if status == 200 else "message") in answer.json()


@pytest.mark.parametrize("authorization", ["", "Basic x", "Bearer unknown", "Bearer "])
def test_a_request_without_a_token_that_was_given_out_is_unauthorized(ann: Client, authorization: str) -> None:
    assert code(ann.get("/events", headers={"Authorization": authorization})) == (401, "InvalidAuthenticationToken")


def test_a_token_that_has_expired_or_is_for_something_else_is_unauthorized(graph: FakeGraph, ann: Client) -> None:
    other = token(graph, "https://vault.azure.net")
    assert "audience" in ann.get("/events", headers=other).json()["error"]["message"]
    assert ann.get("/events").status_code == 200
    graph.identity.expire()
    assert "expired" in ann.get("/events").json()["error"]["message"]


def test_msal_gets_a_token_with_a_client_secret() -> None:
    with FakeGraph(tls=True) as graph, requests.Session() as session:
        session.trust_env, session.verify = False, graph.ca_file
        identity = graph.identity

        def ask(secret: str, client_id: str = identity.client_id, resource: str = "https://graph.microsoft.com") -> Any:
            app = msal.ConfidentialClientApplication(
                client_id,
                client_credential=secret,
                authority=f"{graph.authority_url}/{identity.tenant_id}",
                instance_discovery=False,
                http_client=session,
            )
            return app.acquire_token_for_client(scopes=[resource])

        right = ask(identity.client_secret, resource="https://graph.microsoft.com/.default")
        with Client(graph.url) as client:
            answer = client.get(
                "/v1.0/users/a%40example.com/events", headers={"Authorization": f"Bearer {right['access_token']}"}
            )
        assert answer.status_code == 200
        wrong = ask("wrong")
        assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
        assert wrong["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
        assert ask("x", client_id="unknown")["error_codes"] == [700016]
        assert ask(identity.client_secret)["error_codes"] == [1002012]


def test_entra_refuses_unknown_tenants_and_grants() -> None:
    with FakeGraph() as graph, Client(graph.url) as client:
        assert client.get("/elsewhere/v2.0/.well-known/openid-configuration").json()["error"] == "invalid_tenant"
        endpoint = f"/{graph.identity.tenant_id}/oauth2/v2.0/token"
        form = {"client_id": graph.identity.client_id, "scope": "x/.default"}
        assert client.post(endpoint, data=form).json()["error_codes"] == [900144]
        assert client.post(endpoint, data={**form, "grant_type": "password"}).json()["error"] == "unsupported_grant_type"
