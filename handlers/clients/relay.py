"""Receivers of relays: a message is sent by POST, signed or with a token, and 2xx alone says that it has arrived."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from handlers.clients.entra import Tokens
from handlers.clients.limiter import Limiter
from handlers.clients.receivers import Receiver
from handlers.clients.web import Http, succeeded
from handlers.settings import CONNECT_SECONDS, Settings
from handlers.sync.errors import Code, Later
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.relay import Message, answer_id, body, gone, headers, relay_error

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 15.0
_LONGEST_SECONDS = _ANSWER_SECONDS + 2 * CONNECT_SECONDS  # a token and a connection before it


class Relays:
    """Sends messages. A receiver that has answered 410 is sent none until the app starts anew, as with another address."""

    def __init__(
        self, receivers: Mapping[str, Receiver], settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._receivers = receivers  # by mapping
        self._settings = settings
        self._clock = clock
        self._http = Http(_ANSWER_SECONDS)
        self._tokens: dict[str, Tokens] = {}  # by audience
        self._lock = threading.Lock()
        self._gone: set[str] = set()  # addresses
        self.limiter = Limiter(Code.RELAY_BUSY, "other rows are being told to this receiver", clock)

    def name(self, mapping: str) -> str:
        """What the limiter calls the receiver of a mapping."""
        return self._receivers[mapping].name

    def deliver(self, message: Message, relay: RelayTemplate, deadline: float) -> str:
        """Send a message; returns the id in the receiver's answer, if there is one.

        No request starts that might end after `deadline` (seconds since 1970). Raises Later, Permanent, OutcomeUnknown.
        """
        receiver = self._receivers[message.mapping]
        if receiver.url in self._gone:
            raise gone(receiver.name)
        if self._clock() + _LONGEST_SECONDS > deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left for one more request", counted=False)
        content = body(message, relay)
        sent = headers(message, relay) | self._signed(message, content, receiver)
        if relay.auth == "entra":
            sent["Authorization"] = f"Bearer {self._token_for(relay.audience).get()}"
        answer = self._http.request("POST", receiver.url, headers=sent, data=content)
        if succeeded(answer):
            return answer_id(answer.content)
        log.warning("relay: %s has answered %d to message %s", receiver.name, answer.status_code, message.id)
        error = relay_error(answer.status_code, answer.headers, answer.content, receiver.name)
        if error.code == Code.RELAY_GONE:
            self._gone.add(receiver.url)
        if isinstance(error, Later) and error.code == Code.RELAY_THROTTLED:
            self.limiter.throttled(receiver.name, error.delay)
        raise error

    def close(self) -> None:
        """End the connections."""
        for tokens in self._tokens.values():
            tokens.close()
        self._http.close()

    def _signed(self, message: Message, content: bytes, receiver: Receiver) -> dict[str, str]:
        """The headers of Standard Webhooks: the time is that of this attempt, since receivers refuse what is old."""
        moment = datetime.fromtimestamp(int(self._clock()), UTC)
        signatures = [Webhook(secret).sign(message.id, moment, content.decode()) for secret in receiver.secrets]
        return {
            "webhook-timestamp": str(int(moment.timestamp())),
            **({"webhook-signature": " ".join(signatures)} if signatures else {}),
        }

    def _token_for(self, audience: str) -> Tokens:
        with self._lock:
            if audience not in self._tokens:
                patience = min(CONNECT_SECONDS, self._settings.request_timeout_seconds)
                self._tokens[audience] = Tokens(self._settings, patience, audience, "the receiver", Code.RELAY_TOKEN)
            return self._tokens[audience]
