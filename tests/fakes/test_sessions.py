"""The sessions of Acumatica, one request at a time, and their limit."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from local.fakes import FakeAcumatica, Fault
from tests.fakes.conftest import (
    ENDPOINT,
    Client,
    ask,
    eventually,
    login,
)


def test_all_seats_taken_refuse_further_sign_ins(acumatica: FakeAcumatica, site: Client) -> None:
    tokens = [ask(acumatica, site).json()["access_token"] for _ in range(2)]
    for refused in (ask(acumatica, site), login(acumatica, site)):
        assert (refused.status_code, "API Login Limit" in refused.text) == (429, True)
    assert site.post("/entity/auth/logout", headers={"Authorization": f"Bearer {tokens[0]}"}, data=b"").status_code == 204
    assert ask(acumatica, site).status_code == 200
    assert (acumatica.max_sessions_seen, acumatica.sign_ins, acumatica.sign_outs) == (2, 3, 1)


def test_abandoned_sessions_end_after_their_own_time(site: Client, acumatica: FakeAcumatica) -> None:
    acumatica.session_timeout = acumatica.token_seconds = 0.3
    assert login(acumatica, site).status_code == 204
    headers = {"Authorization": f"Bearer {ask(acumatica, site).json()['access_token']}"}
    assert [session.kind for session in acumatica.sessions] == ["cookie", "token"]
    while len(acumatica.sessions) == 2:  # use keeps the one with cookies open, and not the one of the token
        assert site.get(f"{ENDPOINT}/Case").status_code == 200
    assert [session.kind for session in acumatica.sessions] == ["cookie"]
    assert site.get(f"{ENDPOINT}/Case", headers=headers).status_code == 401
    eventually(lambda: not acumatica.sessions)


def test_a_restart_of_the_site_ends_all_sessions(acumatica: FakeAcumatica, signed_in: Client) -> None:
    acumatica.end_sessions()
    assert signed_in.get(f"{ENDPOINT}/Case").status_code == 401


def test_a_session_serves_one_request_at_a_time(acumatica: FakeAcumatica, signed_in: Client) -> None:
    acumatica.latency = 0.3
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: signed_in.get(f"{ENDPOINT}/Case").status_code, range(2))) == [200, 200]
    first, second = acumatica.calls[-2:]
    assert [call.path for call in acumatica.overlaps] == [second.path]
    assert first.finished
    assert second.finished
    assert abs(second.finished - first.finished) >= 0.29


@pytest.mark.parametrize(("abandoned_calls", "overlaps"), [("count", 1), ("ignore", 0)])
@pytest.mark.parametrize("kind", ["slow", "slow_after"])
def test_whether_a_request_that_its_client_gave_up_still_uses_the_session_can_be_chosen(
    acumatica: FakeAcumatica, signed_in: Client, kind: Any, abandoned_calls: Any, overlaps: int
) -> None:
    acumatica.switches.abandoned_calls = abandoned_calls
    acumatica.faults.add(Fault(kind, seconds=0.3, times=1))
    with pytest.raises(requests.ReadTimeout):
        signed_in.get(f"{ENDPOINT}/Case", timeout=0.05)
    assert signed_in.get(f"{ENDPOINT}/Case").status_code == 200
    assert len(acumatica.overlaps) == overlaps
    first, second = acumatica.calls[-2:]
    assert first.finished
    assert second.finished
    assert first.finished < second.finished
    assert signed_in.get(f"{ENDPOINT}/Case").status_code == 200  # nothing is left of the first
    assert len(acumatica.overlaps) == overlaps


def test_requests_per_minute_can_be_limited(site: Client, acumatica: FakeAcumatica) -> None:
    acumatica.requests_per_minute = 2
    statuses = [site.get("/entity").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
