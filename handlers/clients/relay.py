"""Receivers of relays: a message is sent by POST, signed or with a token, and 2xx alone says that it has arrived."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import requests
from standardwebhooks.webhooks import Webhook

from handlers.clients.entra import Tokens
from handlers.clients.limiter import Limiter
from handlers.clients.receivers import Receiver
from handlers.clients.web import Http, succeeded
from handlers.settings import CONNECT_SECONDS, Settings
from handlers.sync.errors import Code, Later
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.relay_answers import answer_id, gone, relay_error
from handlers.sync.relay_message import Message, body, headers

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 15.0  # less where REQUEST_TIMEOUT_SECONDS is
_AT_A_TIME = 3  # messages to one receiver, of the 12 rows that an instance takes (host.json)


class Relays:
    """Sends messages. A receiver that has answered 410 is sent none until the app starts anew, as with another address."""

    def __init__(
        self, receivers: Mapping[str, Receiver], settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._receivers = receivers  # by mapping
        self._settings = settings
        self._clock = clock
        seconds = min(_ANSWER_SECONDS, settings.request_timeout_seconds)
        self._http = Http(seconds)
        self._patience = min(CONNECT_SECONDS, seconds)
        self._longest = 2 * self._patience + seconds  # a token and a connection before the answer
        self._tokens: dict[str, Tokens] = {}  # by audience
        self._lock = threading.Lock()
        self._gone: set[str] = set()  # addresses
        self.limiter = Limiter(Code.RELAY_BUSY, "other rows are being told to this receiver", _AT_A_TIME, clock)

    def receiver(self, mapping: str) -> Receiver:
        """The receiver of a mapping; by its name the limiter knows it."""
        return self._receivers[mapping]

    def stopped(self, receiver: Receiver) -> bool:
        """Whether it has answered 410, so that nothing is sent to it."""
        return receiver.url in self._gone

    def check_token(self, audience: str) -> None:
        """Get a token. Raises Later."""
        self._tokens_for(audience).get()

    def deliver(self, message: Message, relay: RelayTemplate, deadline: float) -> str:
        """Send a message; returns the id in the receiver's answer, if there is one.

        No request starts that might end after `deadline` (seconds since 1970). Raises Later, Permanent, OutcomeUnknown.
        """
        receiver = self._receivers[message.mapping]
        if self.stopped(receiver):
            raise gone(receiver.name)
        if self._clock() + self._longest > deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left for one more request", counted=False)
        answer = self._sent(message, relay, receiver)
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

    def _sent(self, message: Message, relay: RelayTemplate, receiver: Receiver) -> requests.Response:
        """The receiver's answer; where it refuses a token, to another one, since rights may be newer than the token."""
        content, plain = body(message, relay), headers(message, relay)
        if relay.auth != "entra":
            return self._post(receiver, plain | self._signed(message, content, receiver), content)
        tokens, began = self._tokens_for(relay.audience), self._clock()
        token = tokens.get()
        if self._clock() - began > self._patience:
            raise Later(Code.RELAY_TOKEN, "the token for the receiver took too long")
        answer = self._post(receiver, plain | {"Authorization": f"Bearer {token}"}, content)
        if answer.status_code != requests.codes.unauthorized:
            return answer
        other = tokens.get(refused=token)
        return answer if other == token else self._post(receiver, plain | {"Authorization": f"Bearer {other}"}, content)

    def _post(self, receiver: Receiver, sent: dict[str, str], content: bytes) -> requests.Response:
        return self._http.request("POST", receiver.url, headers=sent, data=content)

    def _signed(self, message: Message, content: bytes, receiver: Receiver) -> dict[str, str]:
        """The headers of Standard Webhooks: the time is that of this attempt, since receivers refuse what is old."""
        seconds, text = int(self._clock()), content.decode()
        moment = datetime.fromtimestamp(seconds, UTC)
        signatures = [Webhook(secret).sign(message.id, moment, text) for secret in receiver.secrets]
        signed = {"webhook-signature": " ".join(signatures)} if signatures else {}
        return {"webhook-timestamp": str(seconds), **signed}

    def _tokens_for(self, audience: str) -> Tokens:
        with self._lock:
            if audience not in self._tokens:
                tokens = Tokens(self._settings, self._patience, audience, "the receiver", Code.RELAY_TOKEN)
                self._tokens[audience] = tokens
            return self._tokens[audience]
