"""Storage that is reached with the app's identity, as in Azure: no key, a token for https://storage.azure.com."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
import pytest
import trustme

from local.azurite import Azurite
from local.host import start
from tests.host.conftest import HOST_JSON, Queue, until, write_app

APP = """
@app.queue_trigger("message", "work", "AzureWebJobsStorage")
def work(message: func.QueueMessage) -> None:
    logging.info("read %s", message.get_body().decode())
"""


class IdentityEndpoint(BaseHTTPRequestHandler):
    """Gives tokens to the managed identity `the-client`.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """

    def do_GET(self) -> None:
        """Answer with a token."""
        known = self.headers.get("X-IDENTITY-HEADER") == "secret" and "client_id=the-client" in self.path
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/tenant/",
            "nbf": now,
            "exp": now + 3600,
        }
        token = jwt.encode({"iat": now, **claims}, "k" * 32, algorithm="HS256")
        answer = {"access_token": token, "expires_on": str(now + 3600), "resource": claims["aud"], "token_type": "Bearer"}
        body = json.dumps(answer).encode()
        self.send_response(200 if known else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def identity_endpoint() -> Iterator[str]:
    """Serve tokens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), IdentityEndpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()


def test_a_managed_identity_opens_the_queue(tmp_path: Path, identity_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With __queueServiceUri, __credential and __clientId the host starts no Azurite and needs no key."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))  # for the test itself
    with Azurite(certificate=(certificate, key)) as azurite:
        settings = {
            "AzureWebJobsStorage__queueServiceUri": azurite.endpoint("queue"),
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": "the-client",
            "IDENTITY_ENDPOINT": identity_endpoint,
            "IDENTITY_HEADER": "secret",
            "SSL_CERT_FILE": str(ca),
        }
        with start(app=write_app(tmp_path / "app", APP, HOST_JSON), env=settings) as host:
            assert host.storage == azurite.endpoint("queue")
            work = Queue(azurite.connection_string(), "work")
            work.create()
            work.send("hello")
            until(lambda: "read hello" in host.log)
            assert "cannot be reached" not in host.log
