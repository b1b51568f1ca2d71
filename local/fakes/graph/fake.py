"""Microsoft Graph's calendars, for an app with the application permission Calendars.ReadWrite; and its tokens."""

import contextlib
import math
import socket
import ssl
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, override

from local.fakes.calls import Call, Refused, Reply
from local.fakes.graph.api import Api
from local.fakes.graph.errors import refused
from local.fakes.graph.identity import Identity
from local.fakes.graph.outlook import Mailbox, Outlook
from local.fakes.graph.switches import GraphSwitches
from local.fakes.server import Server

_RESOURCE = "https://graph.microsoft.com"
# https://learn.microsoft.com/graph/throttling-limits#limits-per-mailbox: per app and mailbox
_CONCURRENT = 4


class FakeGraph(Outlook, Server):
    """`mailboxes`: the addresses that exist; None means everyone at example.com, each from its first use on.

    `request_limit`: requests and seconds, per mailbox; Outlook's own are 10,000 in 600 s.
    """

    service = "graph"
    switches: GraphSwitches

    def __init__(
        self,
        port: int = 0,
        latency: float = 0.0,
        seed: int = 0,
        mailboxes: Iterable[str] | None = None,
        *,
        tls: bool = False,
        request_limit: tuple[int, float] | None = None,
        switches: GraphSwitches | None = None,
    ) -> None:
        Server.__init__(self, port, latency, seed)
        Outlook.__init__(self, seed, mailboxes)
        self.switches = switches or GraphSwitches()
        self.identity = Identity(seed)
        self.retry_after = "1"
        self.request_limit = request_limit
        self._api = Api(self, self.switches)
        self._tls = tls
        self._tls_port = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def identity_header(self) -> str:
        """IDENTITY_HEADER: whoever knows it gets tokens of the managed identity."""
        return self.identity.header

    @property
    def identity_endpoint(self) -> str:
        """IDENTITY_ENDPOINT of App Service: https://learn.microsoft.com/azure/app-service/overview-managed-identity."""
        return f"{self.url}/msi/token"

    @property
    def identity_settings(self) -> dict[str, str]:
        """What App Service puts into the environment, from where msal reads it."""
        return {"IDENTITY_ENDPOINT": self.identity_endpoint, "IDENTITY_HEADER": self.identity_header}

    @property
    def authority_url(self) -> str:
        """Address of Entra ID; needs `tls=True`, since msal refuses anything but https."""
        if not self._tls_port:
            raise RuntimeError("FakeGraph(tls=True) has to be started first")
        return f"https://127.0.0.1:{self._tls_port}"

    @property
    def ca_file(self) -> str:
        """The certificate to trust, as REQUESTS_CA_BUNDLE wants it."""
        if not self._folder:
            raise RuntimeError("FakeGraph(tls=True) has to be started first")
        return str(Path(self._folder.name) / "ca.pem")

    # -- the server's side ---------------------------------------------------------------------------------------------

    @override
    def sockets(self) -> list[tuple[socket.socket, Any]]:
        sockets = super().sockets()
        if self._tls:
            import trustme  # noqa: PLC0415  (slow; few need it)

            authority = trustme.CA()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self._folder = tempfile.TemporaryDirectory(prefix="fake-graph-")
            authority.cert_pem.write_to_path(self.ca_file)
            secure = self.reserve(self._tls_port)
            self._tls_port = secure.getsockname()[1]
            sockets.append((secure, context))
        return sockets

    @override
    def stop(self) -> None:
        super().stop()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    @override
    def locate(self, call: Call) -> None:
        if call.segments[:2] == ["v1.0", "users"] and len(call.segments) > 2:
            call.mailbox = call.segments[2].lower()

    @override
    def decorate(self, call: Call, reply: Reply) -> Reply:
        """https://learn.microsoft.com/graph/best-practices-concept#reliability-and-support."""
        if call.segments[0] != "v1.0" or isinstance(reply.body, str):  # text is of something that stands before Graph
            return reply
        request_id = str(uuid.uuid4())
        client_id = call.headers.get("client-request-id", request_id)
        headers = {"request-id": request_id, "client-request-id": client_id, **reply.headers}
        body = reply.body
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            inner = {"date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", "request-id": request_id}
            body = {"error": {**body["error"], "innerError": {**inner, "client-request-id": client_id}}}
        if body is not None:
            headers.setdefault("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
        return Reply(reply.status, body, headers)

    @override
    def error(self, status: int) -> Reply:
        headers = {"Retry-After": self.retry_after} if status == 429 else {}
        return replace(refused(status).reply, headers=headers)

    @override
    def control(self, call: Call) -> Reply:
        """Makes and moves mailboxes and calendars.

        POST /_fake/mailboxes {"mailbox", "server"?, "moving"?} makes a mailbox, brings one back, or moves one.
        POST /_fake/calendars {"mailbox", "name", "listed"?, "broken"?} makes a calendar.
        """
        if (call.method, call.segments) == ("POST", ["_fake", "mailboxes"]):
            match call.body:
                case {"mailbox": str(mailbox), "moving": True}:
                    self.start_move(mailbox)
                case {"mailbox": str(mailbox), "moving": False, "server": str(server)}:
                    self.end_move(mailbox, server)
                case {"mailbox": str(mailbox), "server": str(server)}:
                    self.add_mailbox(mailbox, server)
                case {"mailbox": str(mailbox)}:
                    self.add_mailbox(mailbox)
                case _:
                    return Reply(400, {"error": "wanted: mailbox; server, moving or none"})
            return Reply(200, {"mailbox": mailbox.lower()})
        if (call.method, call.segments) == ("POST", ["_fake", "calendars"]):
            match call.body:
                case {"mailbox": str(mailbox), "name": str(name), **more} if more.keys() <= {"listed", "broken"}:
                    listed, broken = more.get("listed", True) is True, more.get("broken", False) is True
                    return Reply(200, {"id": self.add_calendar(mailbox, name, listed=listed, broken=broken)})
            return Reply(400, {"error": "wanted: mailbox, name; listed, broken or none"})
        return super().control(call)

    @override
    def state(self) -> dict[str, Any]:
        return {
            "mailboxes": {address: self.events(address) for address in self.mailboxes()},
            "invitations": [asdict(invitation) for invitation in self.invitations],
        }

    @override
    @contextlib.asynccontextmanager
    async def turn(self, call: Call) -> AsyncGenerator[None]:
        """https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits, per app and mailbox."""
        if not call.mailbox:
            yield
            return
        with self.lock:
            box = self.known(call.mailbox) or Mailbox(call.mailbox)
            busy = len(box.under_way) >= _CONCURRENT
            box.under_way.append(call)
            box.most = max(box.most, sum(not other.abandoned for other in box.under_way))
        try:
            if busy:
                # Retry-After is no time-table here: what counts is that requests under way end.
                raise self._throttled("MailboxConcurrency", self.retry_after)
            self._check_rate(box)
            yield
        finally:
            with self.lock:
                box.under_way.remove(call)

    def _check_rate(self, box: Mailbox) -> None:
        if self.request_limit is None:
            return
        most, seconds = self.request_limit
        now = time.monotonic()
        while box.recent and box.recent[0] <= now - seconds:
            box.recent.popleft()
        if len(box.recent) >= most:
            raise self._throttled("RequestRate", str(math.ceil(box.recent[0] + seconds - now)))
        box.recent.append(now)

    @staticmethod
    def _throttled(limit: str, retry_after: str) -> Refused:
        error = {"code": "ApplicationThrottled", "message": f"Application is over its {limit} limit."}
        return Refused(Reply(429, {"error": error}, {"Retry-After": retry_after}))

    @override
    def answer(self, call: Call) -> Reply:
        match call.segments:
            case ["msi", "token"]:
                return self.identity.managed(call)
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                return self.identity.discovery(tenant, self.authority_url if self._tls_port else self.url)
            case [tenant, "oauth2", "v2.0", "token"]:
                return self.identity.client_credentials(call, tenant)
            case ["v1.0", "users", _, *rest]:
                if problem := self.identity.problem(call.headers.get("authorization", ""), _RESOURCE):
                    raise refused(401, "InvalidAuthenticationToken", problem)
                return self._api.route(call, self._mailbox(call.mailbox), rest)
        raise refused(400, "BadRequest", f"Resource not found for the segment '{call.segments[-1]}'.")

    def _mailbox(self, address: str) -> Mailbox:
        box = self.known(address)
        if box is None:
            raise refused(404, "ErrorInvalidUser", f"The requested user '{address}' is invalid.")
        if box.gone:
            message = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise refused(404, "MailboxNotEnabledForRESTAPI", message)
        if box.denied:
            raise refused(403)
        if box.moving:
            raise refused(503, "ErrorMailboxMoveInProgress", f"The mailbox {box.address} is being moved; try again later.")
        return box
