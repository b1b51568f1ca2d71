"""Messages to receivers over HTTP: signed, with a token, refused, throttled, gone; and the settings behind them."""

import random
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from handlers.clients.receivers import receivers
from handlers.clients.relay import Relays
from handlers.environment import SettingsProblems
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.relay_message import Message
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, Fault, app_settings
from local.fakes.receivers import SECRET

RELAY_MD = Path(__file__).resolve().parents[2] / "docs" / "relay.md"
NEVER = 10**12
OTHER = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIGEgcmVjZWl2ZXIu"


def mapping(**relay: str) -> Mapping:
    table = "".join(f'{name} = "{value}"\n' for name, value in {"url": "RELAY_A", **relay}.items())
    return load_mapping("m", f'query = "Q"\nkey = ["Key"]\ntime_zone = "UTC"\n[relay]\n{table}')


def message(sequence: int = 1, after: Any = None) -> Message:
    after = after or {"Key": "A"}
    return Message(f"id-{sequence}", sequence, "row.updated", "2026-01-01T00:00:00Z", "p", "m", ("A",), None, after)


class Sender:
    """Sends messages of one mapping to an address of the fakes."""

    def __init__(self, settings: Settings, address: str, secret: str = SECRET, **relay: str) -> None:
        self.mapping = mapping(**relay)
        found = receivers({"m": self.mapping}, {"RELAY_A": address, "RELAY_A_SECRET": secret})
        self.relays = Relays(found, settings)

    def send(self, message: Message, deadline: float = NEVER) -> str:
        assert self.mapping.relay
        return self.relays.deliver(message, self.mapping.relay, deadline)


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    with FakeGraph() as graph:
        yield graph


@pytest.fixture
def fakes(graph: FakeGraph) -> Iterator[FakeReceivers]:
    with FakeReceivers(graph.identity) as fakes:
        yield fakes


@pytest.fixture
def settings(graph: FakeGraph, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in graph.identity_settings.items():
        monkeypatch.setenv(name, value)
    return Settings(**(app_settings(graph, FakeAcumatica()) | graph.identity_settings))


def test_a_receiver_verifies_the_signature(settings: Settings, fakes: FakeReceivers) -> None:
    sender = Sender(settings, f"{fakes.url}/signed")
    assert sender.send(message()) == ""
    assert fakes.signed.present == {("A",): {"Key": "A"}}


def test_while_a_secret_is_replaced_either_one_verifies(settings: Settings, fakes: FakeReceivers) -> None:
    Sender(settings, f"{fakes.url}/signed", f"{OTHER} {SECRET}").send(message())
    assert fakes.signed.seen == ["id-1"]


def test_a_wrong_secret_is_a_dead_letter(settings: Settings, fakes: FakeReceivers) -> None:
    with pytest.raises(Permanent) as told:
        Sender(settings, f"{fakes.url}/signed", OTHER).send(message())
    assert (told.value.code, "secret" in told.value.remedy) == (Code.RELAY_REFUSED, True)


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents-binary"])
def test_a_cloud_event_is_signed_too(settings: Settings, fakes: FakeReceivers, form: str) -> None:
    Sender(settings, f"{fakes.url}/signed", format=form).send(message())
    assert fakes.signed.present == {("A",): {"Key": "A"}}


def test_a_flow_gets_a_token_for_its_audience(settings: Settings, fakes: FakeReceivers) -> None:
    assert Sender(settings, f"{fakes.url}/flow?sig=secret", auth="entra").send(message()) == "made-A"
    assert fakes.flow.seen == ["id-1"]
    assert "webhook-signature" not in fakes.calls[-1].headers


@pytest.mark.parametrize("audience", ["api://other", "https://service.flow.microsoft.com"])
def test_a_token_for_somebody_else_is_refused(settings: Settings, fakes: FakeReceivers, audience: str) -> None:
    """The slash at the end of Power Automate's audience is part of it."""
    with pytest.raises(Permanent) as told:
        Sender(settings, f"{fakes.url}/flow", auth="entra", audience=audience).send(message())
    assert (told.value.code, "auth (and audience)" in told.value.remedy) == (Code.RELAY_REFUSED, True)


def test_a_flow_of_another_tenant_refuses_the_token(settings: Settings, fakes: FakeReceivers) -> None:
    fakes.switches.tenant = "another"
    with pytest.raises(Permanent) as told:
        Sender(settings, f"{fakes.url}/flow", auth="entra").send(message())
    assert told.value.code == Code.RELAY_REFUSED


def test_a_flow_may_take_the_apps_identity_alone(settings: Settings, fakes: FakeReceivers, graph: FakeGraph) -> None:
    fakes.switches.caller = graph.identity.object_id
    assert Sender(settings, f"{fakes.url}/flow", auth="entra").send(message()) == "made-A"
    fakes.switches.caller = "somebody-else"
    with pytest.raises(Permanent):
        Sender(settings, f"{fakes.url}/flow", auth="entra").send(message(2))


def test_a_client_secret_gets_a_token_for_the_same_audience(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scope: https://learn.microsoft.com/entra/identity-platform/scopes-oidc#trailing-slash-and-default."""
    with FakeGraph(tls=True) as graph, FakeReceivers(graph.identity) as fakes:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", graph.ca_file)
        registration = {
            "GRAPH_AUTHORITY": graph.authority_url,
            "GRAPH_TENANT_ID": graph.identity.tenant_id,
            "GRAPH_CLIENT_ID": graph.identity.client_id,
            "GRAPH_CLIENT_SECRET": graph.identity.client_secret,
        }
        settings = Settings(**(app_settings(graph, FakeAcumatica()) | registration))
        assert Sender(settings, f"{fakes.url}/flow", auth="entra").send(message()) == "made-A"


def test_a_token_that_is_refused_is_replaced_once(settings: Settings, fakes: FakeReceivers, graph: FakeGraph) -> None:
    """Rights that were given since are not in it."""
    sender = Sender(settings, f"{fakes.url}/flow", auth="entra")
    sender.send(message(1))
    graph.identity.expire()
    sender.send(message(2))
    assert (fakes.flow.seen, [call.status for call in fakes.calls]) == (["id-1", "id-2"], [200, 401, 200])


def test_a_flow_without_an_answer_is_fine(settings: Settings, fakes: FakeReceivers) -> None:
    fakes.switches.answer = False
    assert Sender(settings, f"{fakes.url}/flow", auth="entra").send(message()) == ""


def test_without_a_token_nothing_is_sent(settings: Settings, fakes: FakeReceivers, graph: FakeGraph) -> None:
    graph.identity.header = "another"
    with pytest.raises(Later) as told:
        Sender(settings, f"{fakes.url}/flow", auth="entra").send(message())
    assert (told.value.code, fakes.calls) == (Code.RELAY_TOKEN, [])


def test_a_hook_that_throttles_is_left_alone_for_as_long_as_it_says(settings: Settings, fakes: FakeReceivers) -> None:
    fakes.switches.per_second = 0
    sender = Sender(settings, f"{fakes.url}/hooks/catch/1/abc/", auth="none")
    with pytest.raises(Later) as told:
        sender.send(message())
    assert (told.value.code, told.value.delay) == (Code.RELAY_THROTTLED, 2.0)
    with pytest.raises(Later) as told:
        sender.relays.limiter.enter(sender.relays.receiver("m").name)
    assert (told.value.code, told.value.counted) == (Code.RELAY_BUSY, False)


def test_a_hook_that_is_gone_is_asked_once(settings: Settings, fakes: FakeReceivers) -> None:
    fakes.switches.off = True
    sender = Sender(settings, f"{fakes.url}/hooks/catch/1/abc/", auth="none")
    for number in range(2):
        with pytest.raises(Permanent) as told:
            sender.send(message(number))
        assert (told.value.code, "410" in told.value.reason) == (Code.RELAY_GONE, True)
    assert len(fakes.calls) == 1


def test_a_redirect_is_not_followed_and_its_address_not_told(settings: Settings, fakes: FakeReceivers) -> None:
    with pytest.raises(Permanent) as told:
        Sender(settings, f"{fakes.url}/moved").send(message())
    assert (len(fakes.calls), "sig" in told.value.reason) == (1, False)


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault(method="POST", kind="status", status=503), Later, Code.RELAY_UNAVAILABLE),
        (Fault(method="POST", kind="reset_before"), OutcomeUnknown, Code.NOT_ANSWERED),
    ],
)
def test_what_is_tried_again(
    settings: Settings, fakes: FakeReceivers, fault: Fault, error: type[Exception], code: Code
) -> None:
    fakes.faults.add(fault)
    with pytest.raises(error) as told:
        Sender(settings, f"{fakes.url}/signed").send(message())
    assert getattr(told.value, "code", None) == code


def test_no_message_starts_that_might_end_too_late(settings: Settings, fakes: FakeReceivers) -> None:
    with pytest.raises(Later) as told:
        Sender(settings, f"{fakes.url}/signed").send(message(), deadline=0.0)
    assert (told.value.code, fakes.calls) == (Code.NO_TIME_LEFT, [])


def test_duplicates_and_disorder_end_in_the_newest_state(settings: Settings, fakes: FakeReceivers) -> None:
    """What docs/relay.md asks of a receiver is enough."""
    sender = Sender(settings, f"{fakes.url}/signed")
    for sequence in (1, 3, 2, 3, 1):
        sender.send(message(sequence, {"n": sequence}))
    assert fakes.signed.present == {("A",): {"n": 3}}


class Database(dict[tuple[str, ...], tuple[int, Any]]):
    """What the code in docs/relay.md asks of a receiver's database."""

    transaction = nullcontext

    def sequence(self, key: tuple[str, ...]) -> int:
        return self[key][0] if key in self else 0

    def store(self, key: tuple[str, ...], sequence: int, after: Any) -> None:
        self[key] = sequence, after


def test_the_receiver_of_the_docs_ends_in_the_newest_state(settings: Settings, fakes: FakeReceivers) -> None:
    """Its code as it stands there, with what was sent, in any order and more than once."""
    sender = Sender(settings, f"{fakes.url}/signed")
    for sequence in range(1, 5):
        sender.send(message(sequence, {"n": sequence}))
        sender.send(replace(message(10 + sequence), key=("B",), after={"n": sequence} if sequence < 4 else None))
    (code,) = re.findall(r"^```python\n(.*?)^```", RELAY_MD.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    receiver: dict[str, Any] = {"SECRET": SECRET, "database": Database()}
    exec(code, receiver)  # noqa: S102
    calls = fakes.calls * 2
    random.Random(1).shuffle(calls)
    assert {receiver["receive"](call.raw, dict(call.headers)) for call in calls} == {204}
    assert receiver["database"] == {("p", "m", "A"): (4, {"n": 4}), ("p", "m", "B"): (14, None)}
    with pytest.raises(WebhookVerificationError):
        receiver["receive"](calls[0].raw.replace(b"1", b"2"), dict(calls[0].headers))


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"RELAY_A_SECRET": SECRET}, "RELAY_A: missing (address of the relay of m.toml)"),
        ({"RELAY_A": "https://a.example.com"}, "RELAY_A_SECRET: missing (secret of the relay of m.toml)"),
        (
            {"RELAY_A": "http://a.example.com/x", "RELAY_A_SECRET": SECRET},
            "RELAY_A: has to be one address that begins with https://",
        ),
        ({"RELAY_A": "https://u:p@a.example.com", "RELAY_A_SECRET": SECRET}, "RELAY_A: has to be one address"),
        ({"RELAY_A": "https://a b", "RELAY_A_SECRET": SECRET}, "RELAY_A: has to be one address"),
        (
            {"RELAY_A": "@Microsoft.KeyVault(x)", "RELAY_A_SECRET": SECRET},
            "RELAY_A: its Key Vault reference",
        ),
        ({"RELAY_A": "https://a.example.com", "RELAY_A_SECRET": "pass-word"}, "RELAY_A_SECRET: has to be whsec_"),
        ({"RELAY_A": "https://a.example.com", "RELAY_A_SECRET": "whsec_c2hvcnQ="}, "RELAY_A_SECRET: has to be whsec_"),
    ],
)
def test_settings_that_cannot_be_used(environ: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsProblems) as told:
        receivers({"m": mapping()}, environ)
    assert (len(told.value.problems), told.value.problems[0].startswith(problem)) == (1, True), told.value.problems
    assert not any(value in told.value.problems[0] for value in environ.values())


def test_a_trial_sends_to_an_address_of_its_own() -> None:
    environ = {"RELAY_A": "https://a.example.com", "RELAY_A_TEST": "https://b.example.com", "RELAY_A_SECRET": SECRET}
    environ |= {"TEST_MAILBOX": "me@example.com"}
    assert receivers({"m": mapping()}, environ)["m"].url == "https://b.example.com"
    with pytest.raises(SettingsProblems, match="RELAY_A_TEST: missing"):
        receivers({"m": mapping()}, environ | {"RELAY_A_TEST": ""})


def test_addresses_and_secrets_are_in_no_text_of_a_receiver() -> None:
    found = receivers({"m": mapping()}, {"RELAY_A": "https://a.example.com", "RELAY_A_SECRET": SECRET})
    assert str(found) == "{'m': Receiver(RELAY_A)}"
