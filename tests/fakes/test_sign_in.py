"""Signing in to Acumatica, and being refused."""

import http.client
from typing import Any

import pytest

from local.fakes import FakeAcumatica
from tests.fakes.conftest import (
    ENDPOINT,
    Client,
    ask,
    form,
    login,
    opportunity,
)


def test_a_cookie_session_begins_with_the_login_and_ends_with_the_logout(acumatica: FakeAcumatica, site: Client) -> None:
    assert site.get(f"{ENDPOINT}/Opportunity").status_code == 401
    assert login(acumatica, site).status_code == 204
    assert site.get(f"{ENDPOINT}/Opportunity").status_code == 200
    assert len(acumatica.sessions) == 1
    assert site.post("/entity/auth/logout", data=b"").status_code == 204
    assert site.get(f"{ENDPOINT}/Opportunity").status_code == 401
    assert site.post("/entity/auth/logout", data=b"").status_code == 401
    assert (acumatica.sessions, acumatica.sign_ins, acumatica.sign_outs) == ([], 1, 1)


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"password": "wrong"}, 500, "Invalid credentials"),
        ({"tenant": "Elsewhere"}, 500, "PXUndefinedCompanyException"),
        ({"tenant": ""}, 204, ""),
        ({"company": "Production"}, 204, ""),
    ],
)
def test_a_login_is_checked(acumatica: FakeAcumatica, site: Client, changes: dict[str, str], status: int, text: str) -> None:
    answer = login(acumatica, site, **changes)
    assert (answer.status_code, text in answer.text) == (status, True)
    assert acumatica.failed_sign_ins == ("password" in changes)
    if status == 500:
        assert {"message", "exceptionMessage", "exceptionType", "stackTrace"} == answer.json().keys()


def test_a_login_may_be_a_form_and_needs_a_name(acumatica: FakeAcumatica, site: Client) -> None:
    credentials = {"name": acumatica.username, "password": acumatica.password}
    assert site.post("/entity/auth/login", data=credentials).status_code == 204
    assert site.post("/entity/auth/login", json={}).status_code == 400
    assert site.get("/entity/auth/login").status_code == 405


def test_a_token_is_a_session(acumatica: FakeAcumatica, site: Client) -> None:
    answer = ask(acumatica, site)
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"], "refresh_token" in body) == ("Bearer", 3600, "api", False)
    assert len(acumatica.sessions) == 1
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert "ASP.NET_SessionId" in site.get(f"{ENDPOINT}/Case", headers=headers).cookies
    assert site.get(f"{ENDPOINT}/Case", headers={"Authorization": "Bearer unknown"}).status_code == 401
    assert site.post("/entity/auth/logout", headers=headers, data=b"").status_code == 204
    assert site.get(f"{ENDPOINT}/Case", headers=headers).status_code == 401
    assert acumatica.sessions == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "unknown"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"password": "wrong"}, "invalid_grant"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, "invalid_grant"),
    ],
)
def test_a_token_is_refused(acumatica: FakeAcumatica, site: Client, changes: dict[str, str], error: str) -> None:
    answer = ask(acumatica, site, **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert (acumatica.sessions, acumatica.sign_ins) == ([], 0)


def test_a_refresh_keeps_the_session_and_replaces_the_refresh_token(acumatica: FakeAcumatica, site: Client) -> None:
    first = ask(acumatica, site, scope="api offline_access").json()["refresh_token"]
    refresh = {"grant_type": "refresh_token"}
    second = ask(acumatica, site, **refresh, refresh_token=first).json()["refresh_token"]
    assert second != first
    assert ask(acumatica, site, **refresh, refresh_token=first).json() == {"error": "invalid_grant"}
    assert len(acumatica.sessions) == 1
    acumatica.refresh_tokens = False
    assert ask(acumatica, site, scope="api offline_access").json() == {"error": "invalid_scope"}


def test_a_logout_needs_a_length(acumatica: FakeAcumatica) -> None:
    connection = http.client.HTTPConnection(acumatica.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/entity/auth/logout")
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


REFUSALS = {"active": "Invalid credentials", "locked": "locked out", "disabled": "account is disabled"}


@pytest.mark.parametrize("language", ["en", "de", "fr", "ja"])
@pytest.mark.parametrize("user", sorted(REFUSALS))
def test_a_refused_sign_in_says_why_in_the_language_of_the_user(
    acumatica: FakeAcumatica, site: Client, user: Any, language: Any
) -> None:
    acumatica.switches.user, acumatica.switches.language = user, language
    answer = login(acumatica, site, **({"password": "wrong"} if user == "active" else {}))
    assert (answer.status_code, REFUSALS[user] in answer.json()["exceptionMessage"]) == (500, language == "en")
    if user != "active":
        told = ask(acumatica, site)
        assert (told.status_code, told.json()["error"]) == (400, "invalid_grant")
        assert (REFUSALS[user] in told.json()["error_description"]) == (language == "en")
        assert acumatica.failed_sign_ins == 2
    assert (acumatica.sessions, acumatica.sign_ins) == ([], 0)


def test_refused_sign_ins_in_a_row_lock_the_user(acumatica: FakeAcumatica, site: Client) -> None:
    acumatica.switches.lock_after = 3
    for _ in range(2):
        assert "Invalid credentials" in login(acumatica, site, password="wrong").text
    assert login(acumatica, site).status_code == 204  # the count begins again
    for _ in range(2):
        assert "Invalid credentials" in login(acumatica, site, password="wrong").text
    assert ask(acumatica, site, password="wrong").json()["error_description"] == "invalid_username_or_password"
    assert acumatica.switches.user == "locked"
    assert "locked out" in login(acumatica, site).text
    assert "locked out" in ask(acumatica, site).text
    acumatica.switches.user = "active"
    assert login(acumatica, site).status_code == 204
    assert acumatica.failed_sign_ins == 7


def test_a_site_need_not_lock_users(acumatica: FakeAcumatica, site: Client) -> None:
    acumatica.switches.lock_after = None
    for _ in range(9):
        login(acumatica, site, password="wrong")
    assert login(acumatica, site).status_code == 204


@pytest.mark.parametrize("root", ["", "/site"])
def test_a_site_that_is_locked_out_redirects_everything(acumatica: FakeAcumatica, signed_in: Client, root: str) -> None:
    note_id = opportunity(acumatica)
    with Client(acumatica.url + root) as client:
        client.headers.update(signed_in.headers)
        acumatica.switches.maintenance = True
        answers = [
            client.post("/identity/connect/token", data=form(acumatica), allow_redirects=False),
            client.post("/entity/auth/login", json={"name": "calendar-api", "password": "x"}, allow_redirects=False),
            client.post("/entity/auth/logout", data=b"", allow_redirects=False),
            client.get("/entity", allow_redirects=False),
            client.get(f"{ENDPOINT}/Opportunity", allow_redirects=False),
            client.put(f"{ENDPOINT}/Opportunity", json={"id": note_id, "Stage": {"value": "Won"}}, allow_redirects=False),
        ]
        for answer in answers:
            assert (answer.status_code, answer.headers["Location"]) == (302, f"{root}/Frames/Maintenance.aspx")
        assert client.get("/entity").text.startswith("<!DOCTYPE html>")
        acumatica.switches.maintenance = False
        assert client.get(f"{ENDPOINT}/Opportunity").json()[0]["Stage"] == {}
    assert (acumatica.failed_sign_ins, len(acumatica.sessions)) == (0, 1)
