"""Storage for tests: opened on Azurite, and behind a proxy that loses answers."""

import base64
import http.client
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from handlers.clients.storage import Storage
from handlers.environment import load_settings
from handlers.settings import StorageSettings
from handlers.sync.change import RowChange
from handlers.sync.link import Column, EventLink, Version

CHANGE = RowChange("P", "m", ("A",), 639055764123456781, {"Subject": "Ä😀"}, "n", 1770000000.25)
LINK = EventLink("P", "m", ("A",), version=Version(1, present=True, row_hash="h"), columns={"a": Column(1, "x")})
TOMBSTONE = replace(LINK, version=Version(2, present=False, row_hash=""), columns={})
SOON = timedelta(minutes=5)
UNICODE = "a/b\\c#d?e%f 'g' \"h\" Ä会議😀\u0000\u0001\n"


def open_storage(connection_string: str, clock: Callable[[], float] = time.time) -> Storage:
    return Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection_string}), clock)


def entities(tables: TableServiceClient, name: str) -> list[dict[str, Any]]:
    return [dict(entity) for entity in tables.get_table_client(name).list_entities()]


def received(queue: QueueClient) -> list[Any]:
    """All messages that can be seen, as the host would get them."""
    return list(queue.receive_messages(max_messages=32, visibility_timeout=60))


def text_of(message: Any) -> str:
    return base64.b64decode(message.content).decode()


class Proxy:
    """Stands before the tables. `faults` maps the n-th changing request to "lost" (no answer) or "cut" (not carried out)."""

    def __init__(self, connection_string: str) -> None:
        parts = dict(part.split("=", 1) for part in connection_string.split(";"))
        target = urlsplit(parts["TableEndpoint"])
        proxy = self
        self.faults: dict[int, str] = {}
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.seen: list[str] = []
        self._connections: list[socket.socket] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                proxy._connections.append(self.connection)

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = None
                if self.command != "GET" and not self.path.split("?")[0].endswith("/Tables"):
                    proxy.seen.append(self.command)
                    fault = proxy.faults.pop(len(proxy.seen), None)
                    proxy.before(self.command, self.path)
                if fault == "cut":
                    self.close_connection = True
                    return
                with closing(http.client.HTTPConnection(str(target.hostname), target.port or 80, timeout=10)) as onward:
                    onward.request(self.command, self.path, body, dict(self.headers))
                    answer = onward.getresponse()
                    content = answer.read()
                if fault == "lost":
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = False  # server_close joins them

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        address = f"http://127.0.0.1:{self._server.server_port}{target.path}"
        self.connection_string = connection_string.replace(parts["TableEndpoint"], address)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:  # kept alive by the client
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
