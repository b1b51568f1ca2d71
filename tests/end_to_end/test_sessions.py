"""Acumatica's seats: never more than the budget, none left open, and no user locked out."""

import requests

from local.azurite import Azurite
from tests.end_to_end.conftest import new_world


def test_a_seat_that_someone_else_has_is_waited_for_and_calendars_are_written_meanwhile(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), acumatica={"session_limit": 1}) as world:
        form = {
            "grant_type": "password",
            "client_id": world.acumatica.client_id,
            "client_secret": world.acumatica.client_secret,
            "username": world.acumatica.username,
            "password": world.acumatica.password,
            "scope": "api",
        }
        token = requests.post(f"{world.acumatica.url}/identity/connect/token", data=form, timeout=10).json()["access_token"]
        for n in range(5):
            world.post(world.inquiry.save(f"SEAT{n}", OwnerEmail=f"user{n}@example.com"))
        assert world.wait(lambda: sum(len(world.graph.events(m)) for m in world.graph.mailboxes()) == 5, 15)

        def refused() -> int:
            return sum(call.status == 429 for call in world.acumatica.calls)

        assert world.wait(lambda: refused() > 0, 10)
        headers = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
        assert requests.post(f"{world.acumatica.url}/entity/auth/logout", headers=headers, timeout=10).status_code == 204
        assert refused() <= 2
        assert world.differences() == []


def test_wrong_credentials_are_tried_once_per_interval_over_all_rows(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"ACUMATICA_PASSWORD": "wrong"}) as world:
        for n in range(12):
            world.post(world.inquiry.save(f"WRONG{n}", OwnerEmail=f"user{n}@example.com"))
        assert world.wait(lambda: sum(len(world.graph.events(m)) for m in world.graph.mailboxes()) == 12, 20)
        assert world.wait(lambda: world.host.log.count("deferred") >= 12, 10)
        assert world.acumatica.failed_sign_ins == 1
        assert "wrong" not in world.host.log.replace("WRONG", "")
        assert len(world.acumatica.sessions) == 0


def test_sign_in_by_cookie_works_as_well(azurite: Azurite) -> None:
    settings = {"ACUMATICA_AUTH": "cookie", "ACUMATICA_CLIENT_ID": "", "ACUMATICA_CLIENT_SECRET": ""}
    with new_world(azurite.new_account(), settings) as world:
        for n in range(3):
            world.post(world.inquiry.save(f"COOKIE{n}"))
        assert world.differences() == []
        assert world.acumatica.sign_ins == world.acumatica.sign_outs >= 1


def test_a_session_that_the_site_has_ended_is_replaced(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"ACUMATICA_LINGER_SECONDS": "3"}) as world:
        world.post(world.inquiry.save("END1"))
        world.settle()
        world.acumatica.end_sessions()
        world.post(world.inquiry.save("END2"))
        assert world.differences() == []


def test_several_sessions_are_used_at_a_time_where_the_budget_allows(azurite: Azurite) -> None:
    limits = {"session_limit": 3, "latency": 0.3}
    with new_world(azurite.new_account(), {"ACUMATICA_MAX_SESSIONS": "3"}, acumatica=limits) as world:
        rows = [world.inquiry.save(f"PAR{n}", OwnerEmail=f"user{n}@example.com")["Inserted"][0] for n in range(12)]
        world.post(world.inquiry.notification(rows, []))
        assert world.differences(budget=3) == []
        assert world.acumatica.max_sessions_seen > 1
