"""A pause, a trial in a test mailbox, and switching over, with the real host."""

import requests

from local.azurite import Azurite
from local.judge import messages
from tests.end_to_end.conftest import new_world


def test_from_the_pause_over_the_trial_to_the_real_mailbox(azurite: Azurite) -> None:
    settings = {"SYNC_PAUSED": "true", "TEST_MAILBOX": "test@example.com"}
    with new_world(azurite.new_account(), settings) as world:
        # Paused: taken in, and nothing else.
        assert world.post(world.inquiry.save("TRIAL1", Subject="first")).status_code == 202
        assert world.post(world.inquiry.save("TRIAL1", Subject="second")).status_code == 202
        health = requests.get(f"{world.host.url}/api/health", timeout=10)
        assert (health.status_code, health.json()["paused"], health.json()["trial"]) == (200, True, True)
        assert "apply" not in world.host.functions
        assert (messages(world.connection), world.graph.calls) == (2, [])
        # On trial: everything goes to one mailbox.
        world.configure(SYNC_PAUSED="")
        world.restart_host(kill=False)
        assert world.rest()
        assert [event["subject"] for event in world.graph.events("test@example.com")] == ["second"]
        assert world.graph.mailboxes() == ["test@example.com"]
        # Switched over: the row's next change moves its event.
        world.configure(TEST_MAILBOX="")
        world.restart_host(kill=False)
        assert requests.get(f"{world.host.url}/api/health", timeout=10).json().keys() == {
            "status",
            "version",
            "python",
            "not_ready",
        }
        world.post(world.inquiry.save("TRIAL1", Subject="third"))
        assert world.differences() == []
        assert world.graph.events("test@example.com") == []
