"""Receivers of relays: one that checks signatures, a flow of Power Automate, and a catch hook of Zapier.

Each keeps the rows as docs/relay.md tells a receiver to: by id, and by sequence.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, override

from pydantic import Field
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from handlers.sync.mapping import Mapping
from local.fakes.calls import Call, Reply
from local.fakes.graph.identity import Identity
from local.fakes.server import Server
from local.fakes.switches import Switches

SECRET = "whsec_c2VjcmV0IG9mIHRoZSBmYWtlIHJlY2VpdmVycw=="  # noqa: S105
AUDIENCE = "https://service.flow.microsoft.com/"


class ReceiverSwitches(Switches):
    """In which ways receivers may behave."""

    answer: bool = True
    """Whether the flow has a Response action, with the id of what it made; without one, Power Automate says 202, no body.

    https://learn.microsoft.com/azure/connectors/connectors-native-reqres
    """

    tenant: str = ""
    """Whose tokens the flow takes: a tenant's id; empty: those of the tenant that it is in."""

    caller: str = ""
    """Object id of the only one who may start the flow (*Specific users in my tenant*); empty: whoever is in the tenant."""

    off: bool = False
    """Whether the Zap is turned off for good: 410, by which a hook says that it wants no more."""

    per_second: int = Field(default=30, ge=0)
    """How many requests a catch hook takes in a second, before it says 429.

    https://help.zapier.com/hc/en-us/articles/8496181445261
    """


@dataclass
class Receiver:
    """What a receiver knows: messages by id, and each row with the greatest sequence that it has seen of it.

    `answers`: the ids that it has last answered with, by row; `last`: the newest message that came.
    """

    seen: list[str] = field(default_factory=list)
    rows: dict[tuple[str, ...], Any] = field(default_factory=dict)
    sequences: dict[tuple[str, ...], int] = field(default_factory=dict)
    answers: dict[tuple[str, ...], str] = field(default_factory=dict)
    last: Any = None

    def take(self, message_id: str, body: Any, answer: str = "") -> None:
        """Take a message in; `answer` is the id that its sender is told."""
        again, data = message_id in self.seen, body["data"]
        self.seen.append(message_id)
        self.last = body
        key = tuple(data["key"])
        self.answers[key] = answer
        if again or data["sequence"] <= self.sequences.get(key, 0):
            return
        self.sequences[key] = data["sequence"]
        self.rows[key] = data["after"]

    @property
    def present(self) -> dict[tuple[str, ...], Any]:
        """The rows that are there."""
        return {key: row for key, row in self.rows.items() if row is not None}


class FakeReceivers(Server):
    """`/signed`, `/flow` and `/hooks/catch/1/abc/`. `identity`: what gives out the tokens that the flow takes."""

    service = "receivers"
    switches: ReceiverSwitches

    def __init__(self, identity: Identity | None = None, port: int = 0, latency: float = 0.0, seed: int = 0) -> None:
        super().__init__(port, latency, seed)
        self.switches = ReceiverSwitches()
        self._identity = identity
        self.signed, self.flow, self.hook = Receiver(), Receiver(), Receiver()
        self._recent: deque[float] = deque()

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that mappings of local/ and of the tests name: where each receiver is, and its secret."""
        found = {"RELAY_HOOK": f"{self.url}/signed", "RELAY_HOOK_SECRET": SECRET}
        return found | {"RELAY_FLOW": f"{self.url}/flow", "RELAY_ZAP": f"{self.url}/hooks/catch/1/abc/"}

    def of(self, mapping: Mapping) -> Receiver:
        """The receiver that a mapping with a relay names."""
        known = {"RELAY_HOOK": self.signed, "RELAY_FLOW": self.flow, "RELAY_ZAP": self.hook}
        return known[mapping.relay.url if mapping.relay else ""]

    @override
    def locate(self, call: Call) -> None:
        call.entity = call.segments[0]

    @override
    def answer(self, call: Call) -> Reply:
        if call.method != "POST":
            return Reply(405)
        match call.segments:
            case ["signed"]:
                return self._signed(call)
            case ["flow"]:
                return self._flow(call)
            case ["hooks", "catch", *_]:
                return self._hook(call)
            case ["moved"]:
                return Reply(301, headers={"Location": f"{self.url}/signed?sig=secret"})
        return Reply(404)

    @override
    def error(self, status: int) -> Reply:
        return Reply(status, {"error": "as asked for"})

    @override
    def state(self) -> dict[str, Any]:
        """What the receivers hold, by name."""
        all_ = {"signed": self.signed, "flow": self.flow, "hook": self.hook}
        return {
            name: {"messages": len(one.seen), "rows": {", ".join(key): row for key, row in one.present.items()}}
            for name, one in all_.items()
        }

    def _signed(self, call: Call) -> Reply:
        try:
            Webhook(SECRET).verify(call.raw, dict(call.headers))
        except WebhookVerificationError as error:
            return Reply(401, {"error": str(error)})
        self.signed.take(call.headers["webhook-id"], _message(call))
        return Reply(204)

    def _flow(self, call: Call) -> Reply:
        if problem := self._mismatch(call.headers.get("authorization", "")):
            return Reply(401, {"error": {"code": "MisMatchingOAuthClaims", "message": problem}})
        message = _message(call)
        made = f"made-{message['data']['key'][0]}" if self.switches.answer else ""
        self.flow.take(call.headers["webhook-id"], message, made)
        return Reply(200, {"id": made}) if made else Reply(202)

    def _mismatch(self, authorization: str) -> str:
        """Which claim is missing or wrong: https://learn.microsoft.com/power-automate/oauth-authentication."""
        claims = self._identity.claims(authorization) if self._identity else {}
        tenant = self.switches.tenant or (self._identity.tenant_id if self._identity else "")
        wanted = {"aud": AUDIENCE, "iss": f"https://sts.windows.net/{tenant}/", "tid": tenant}
        wanted |= {"oid": self.switches.caller} if self.switches.caller else {}
        return next((f"{name} does not match." for name, value in wanted.items() if claims.get(name) != value), "")

    def _hook(self, call: Call) -> Reply:
        if self.switches.off:
            return Reply(410)
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 1:
            self._recent.popleft()
        if len(self._recent) >= self.switches.per_second:
            return Reply(429, {"status": "error"}, {"Retry-After": "2"})
        self._recent.append(now)
        made = f"zap-{len(self.hook.seen) + 1}"
        self.hook.take(call.headers["webhook-id"], _message(call), made)
        return Reply(200, {"status": "success", "id": made, "attempt": made, "request_id": made})


def _message(call: Call) -> Any:
    """A message with type and data; a binary CloudEvent has its type in a header, and only the data in the body."""
    return {"type": call.headers["ce-type"], "data": call.body} if "ce-type" in call.headers else call.body
