"""What receivers are sent, over HTTP, held against the documents of its forms by code that is not ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from handlers.clients.receivers import receivers
from handlers.clients.relay import Relays
from handlers.environment import load_settings
from handlers.settings import Settings
from handlers.sync.mapping_file import load_mapping
from handlers.sync.relay_message import Message
from local.contracts import cloud_event, event_problems
from local.fakes import FakeReceivers
from local.fakes.calls import Call
from local.fakes.receivers import SECRET
from tests.contracts.conftest import UNUSED

DATA: dict[str, Any] = {
    "company": "big & co",
    "mapping": "m",
    "key": ["Ä 1", "50 %/\U0001f600"],
    "sequence": 7,
    "before": {"Subject": "old"},
    "after": {"Subject": "Besuch „Süd“ \u2028", "Amount": 1.5, "Open": True, "Room": None},
}
MESSAGE = Message(
    "0123abcd-7", 7, "row.updated", "2026-03-02T14:05:11.123456Z", "big & co", "m", ("Ä 1", "50 %/\U0001f600"),
    DATA["before"], DATA["after"],
)  # fmt: skip


@dataclass
class Hook:
    """A receiver, and what it was sent in one form."""

    fakes: FakeReceivers

    def sent(self, form: str) -> Call:
        text = f'query = "Q"\nkey = ["Key"]\ntime_zone = "UTC"\n[relay]\nurl = "RELAY_HOOK"\nformat = "{form}"\n'
        mapping = load_mapping("m", text)
        relays = Relays(receivers({"m": mapping}, self.fakes.settings), load_settings(Settings, UNUSED))
        assert mapping.relay
        relays.deliver(MESSAGE, mapping.relay, 10**12)
        relays.close()
        return self.fakes.calls[-1]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with FakeReceivers() as fakes:
        yield Hook(fakes)


@pytest.mark.parametrize("form", ["standard", "cloudevents", "cloudevents-binary"])
def test_a_message_is_signed_by_standard_webhooks(hook: Hook, form: str) -> None:
    call = hook.sent(form)
    assert Webhook(SECRET).verify(call.raw, dict(call.headers)) == call.body
    assert (call.method, call.headers["webhook-id"], call.status) == ("POST", MESSAGE.id, 204)
    own = {"host", "accept-encoding", "accept", "connection", "content-length", "content-type", "user-agent"}
    signed = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert {name for name in call.headers if not name.startswith("ce-")} - own == signed


def test_the_payload_of_standard_webhooks(hook: Hook) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure."""
    call = hook.sent("standard")
    assert call.headers["content-type"] == "application/json"
    assert call.body == {"type": MESSAGE.type, "timestamp": MESSAGE.time, "data": DATA}


def test_both_ways_carry_the_same_event(hook: Hook) -> None:
    def event(form: str) -> dict[str, Any]:
        call = hook.sent(form)
        found = cloud_event({"headers": call.headers, "body": call.body})
        assert found
        return found

    structured = event("cloudevents")
    assert structured == {
        "specversion": "1.0",
        "id": MESSAGE.id,
        "source": "/acumatica/big%20%26%20co/m",
        "type": "row.updated",
        "subject": "%C3%84%201/50%20%25%2F%F0%9F%98%80",
        "time": "2026-03-02T14:05:11.123456Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "data": DATA,
    }
    assert structured == event("cloudevents-binary")
    assert list(event_problems({}, structured)) == []
    assert list(event_problems({"required": ["other"]}, structured | {"no_name": 1})) == [
        "no_name is no name of an attribute",
        ": 'other' is a required property",
    ]


def test_what_is_no_cloud_event_is_held_against_nothing(hook: Hook) -> None:
    call = hook.sent("standard")
    assert cloud_event({"headers": call.headers, "body": call.body}) is None
