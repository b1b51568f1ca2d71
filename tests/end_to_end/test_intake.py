"""What intake takes, refuses and keeps; what the app says when it cannot work."""

import base64
import json
from pathlib import Path

import pytest
import requests
from azure.storage.queue import QueueClient

from handlers.clients.queue import QUEUE
from local.azurite import Azurite
from local.host import start
from local.judge import look
from local.world import MAPPINGS, World
from tests.end_to_end.conftest import new_world


def test_a_thousand_rows_in_one_notification_are_taken_in_before_any_is_worked_on(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"AzureWebJobs.apply.Disabled": "true"}) as world:
        row = world.inquiry.save("MANY")["Inserted"][0]
        rows = [{**row, "OpportunityID": f"MANY{n}"} for n in range(1000)]
        answer = world.post(world.inquiry.notification(rows, []))
        assert (answer.status_code, answer.json()["changes"]) == (202, 1000)
        with QueueClient.from_connection_string(world.connection, QUEUE) as queue:
            assert queue.get_queue_properties().approximate_message_count == 1000


def test_a_row_too_large_for_a_queue_message_passes(world: World) -> None:
    notification = world.inquiry.save("LARGE1")
    notification["Inserted"][0]["Notes"] = "ä" * 200_000
    assert world.post(notification).status_code == 202
    assert world.differences() == []


def test_titles_and_keys_may_hold_any_unicode(azurite: Azurite, tmp_path: Path) -> None:
    query = "Besprechungen / 商談 \\ #1 ? 🗓"
    text = (MAPPINGS / "opportunity-meetings.toml").read_text(encoding="utf-8")
    literal = json.dumps(query, ensure_ascii=False)
    (tmp_path / "opportunity-meetings.toml").write_text(text.replace('"Calendar - Opportunity Meetings"', literal), "utf-8")
    with new_world(azurite.new_account(), {"MAPPINGS_DIR": str(tmp_path)}) as world:
        for key in ("A/B\\C#D?E", "キー", "🗝 key  ", "O'Brien & <Co>"):
            notification = world.inquiry.save(key)
            assert world.post({**notification, "Query": query}).status_code == 202
        assert world.differences() == []


def test_rows_without_key_and_repeated_keys_are_kept_with_their_reason(azurite: Azurite) -> None:
    with new_world(azurite.new_account()) as world:
        row = world.inquiry.save("KEY1")["Inserted"][0]
        nameless = {name: value for name, value in row.items() if name != "OpportunityID"}
        answer = world.post(world.inquiry.notification([row, {**row, "Subject": "another"}, nameless], []))
        assert answer.status_code == 202
        world.rest()
        reasons = sorted(look(world.connection).dead_letters.values())
        arrived = "Columns that arrived: MeetingEnd, MeetingStart, NoteID, OwnerEmail, Room, Subject."
        assert reasons == [
            f"The inquiry's rows have no column OpportunityID. {arrived}",
            "The key columns (OpportunityID) are the same in several rows of one notification.",
        ]
        # A later, unambiguous state of the row puts it in order.
        world.post(world.inquiry.save("KEY1", Subject="the only one"))
        world.rest()
        assert len(look(world.connection).dead_letters) == 1
        assert [event["subject"] for event in world.graph.events("ann@example.com")] == ["the only one"]


def test_what_a_stranger_puts_into_the_queue_becomes_a_dead_letter(azurite: Azurite) -> None:
    with new_world(azurite.new_account()) as world:
        with QueueClient.from_connection_string(world.connection, QUEUE) as queue:
            queue.create_queue()
            for message in (b"{}", b"not json", b'{"blob": "missing"}', b"[1]", b"\xff"):
                queue.send_message(base64.b64encode(message).decode())
        world.rest()
        assert world.wait(lambda: len(look(world.connection).dead_letters) == 5, 20)


def test_too_large_a_notification_is_refused_with_413(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"MAX_NOTIFICATION_MIB": "1"}) as world:
        notification = world.inquiry.save("BIG1")
        notification["AdditionalInfo"]["Padding"] = "x" * 2**20
        assert world.post(notification).status_code == 413


def test_invalid_settings_leave_the_app_up_and_say_what_is_wrong(azurite: Azurite) -> None:
    env = {"AzureWebJobsStorage": azurite.new_account(), "ACUMATICA_CLIENT_SECRET": "@Microsoft.KeyVault(SecretUri=x)"}
    with start(env=env) as host:
        health = requests.get(f"{host.url}/api/health", timeout=10)
        assert (health.status_code, health.json()["not_ready"]) == (503, ["settings"])
        answer = requests.post(
            f"{host.url}/api/notifications", data=b"{}", headers={"x-functions-key": host.key}, timeout=10
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        assert [problem.split(":")[0] for problem in answer.json()["problems"]] == ["ACUMATICA_TENANT"]


def test_what_intake_does_not_need_does_not_stop_it(azurite: Azurite) -> None:
    """A missing password, say: rows wait in the queue for it, and health says what is missing."""
    with new_world(azurite.new_account(), {"ACUMATICA_PASSWORD": "", "RUNS_KEY": "short"}) as world:
        assert world.post(world.inquiry.save("WAIT1")).status_code == 202
        health = requests.get(f"{world.host.url}/api/health", timeout=10).json()
        assert health["not_ready"] == ["settings"]


def test_invalid_mappings_are_all_reported(azurite: Azurite, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("query = ", encoding="utf-8")
    (tmp_path / "two.toml").write_text('query = "Q"\nkee = ["K"]\n', encoding="utf-8")
    with new_world(azurite.new_account(), {"MAPPINGS_DIR": str(tmp_path)}) as world:
        answer = world.post(world.inquiry.save("MAP1"))
        assert (answer.status_code, answer.json()["part"]) == (503, "mappings")
        assert {problem.split(":")[0] for problem in answer.json()["problems"]} == {"one.toml", "two.toml"}
        assert any("kee: unknown key; did you mean key?" in problem for problem in answer.json()["problems"])


def test_other_key_columns_under_a_used_name_are_refused(azurite: Azurite, tmp_path: Path) -> None:
    account = azurite.new_account()
    with new_world(account) as world:
        world.post(world.inquiry.save("PIN1"))
        assert world.differences() == []
    text = (MAPPINGS / "opportunity-meetings.toml").read_text(encoding="utf-8")
    changed = tmp_path / "opportunity-meetings.toml"
    changed.write_text(text.replace('key = ["OpportunityID"]', 'key = ["NoteID"]'), encoding="utf-8")
    with new_world(account, {"MAPPINGS_DIR": str(tmp_path)}) as world:
        assert requests.get(f"{world.host.url}/api/health", timeout=10).json()["not_ready"] == ["mappings"]
        answer = world.post(world.inquiry.save("PIN2"))
        assert answer.status_code == 503
        assert "give the mapping another name" in answer.json()["problems"][0]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_right_key_nothing_is_taken_in(world: World, key: str) -> None:
    headers = {"x-functions-key": key} if key else {}
    answer = requests.post(f"{world.host.url}/api/notifications", data=b"{}", headers=headers, timeout=10)
    assert answer.status_code == 401


def test_a_client_secret_is_exchanged_for_a_token_once_for_many_rows(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), graph={"tls": True}) as world:
        world.host.__exit__(None, None, None)
        world.configure(
            GRAPH_AUTHORITY=world.graph.authority_url,
            GRAPH_TENANT_ID=world.graph.identity.tenant_id,
            GRAPH_CLIENT_ID=world.graph.identity.client_id,
            GRAPH_CLIENT_SECRET=world.graph.identity.client_secret,
            REQUESTS_CA_BUNDLE=str(world.graph.ca_file),
        )
        world.start_host()
        rows = [world.inquiry.save(f"TOKEN{n}", OwnerEmail=f"user{n}@example.com")["Inserted"][0] for n in range(10)]
        world.post(world.inquiry.notification(rows, []))
        assert world.differences() == []
        assert sum(call.path.split("?")[0].endswith("/oauth2/v2.0/token") for call in world.graph.calls) == 1
