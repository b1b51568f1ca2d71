"""HTTP: what was certainly not sent is told apart from what nobody knows; no retries, redirects or cookies."""

import gzip
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, override

import pytest
import requests
import trustme
from requests.adapters import HTTPAdapter

from handlers.clients import web
from handlers.clients.storage import Storage
from handlers.clients.web import Http
from handlers.environment import load_settings
from handlers.settings import StorageSettings
from handlers.sync.errors import Later, OutcomeUnknown

type Behaviour = Callable[[socket.socket], object]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Server:
    """Takes one connection after the other; `requests` holds the first bytes of each, `behave` answers them."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._tls = tls
        self._stopping = False
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self._stopping:
                    return
                connection.settimeout(5)
                if self._tls:
                    with suppress(OSError), self._tls.wrap_socket(connection, server_side=True) as secured:
                        self._serve(secured)
                else:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        self.requests.append(connection.recv(65536))
        self._behave(connection)

    def close(self) -> None:
        self._stopping = True
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join(5)
        self._socket.close()


@pytest.fixture
def http() -> Iterator[Http]:
    with closing(Http(1.0)) as http:
        yield http


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """The server's side of TLS for 127.0.0.1, and the file with the authority that vouches for it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    known = tmp_path / "known.pem"
    authority.cert_pem.write_to_path(str(known))
    return context, str(known)


def answering(*answers: bytes) -> Behaviour:
    """One answer per connection, which is closed then; the last one again and again."""
    left = [_closing(answer) for answer in answers]

    def behave(connection: socket.socket) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave


def _closing(answer: bytes) -> bytes:
    """The answer, saying that its connection is closed: a client may be faster than the end of it."""
    status, end, rest = answer.partition(b"\r\n")
    return status + b"\r\nConnection: close" + end + rest if end and status.startswith(b"HTTP/1.1 ") else answer


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(connection: socket.socket) -> None:
    connection.recv(1)  # until the client gives up


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# -- outcomes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 404, 429, 500, 503])
def test_every_answer_is_one(http: Http, status: int) -> None:
    """Whatever its status: others decide what it means."""
    with closing(Server(answering(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status))) as server:
        assert http.request("POST", server.url, json={"a": 1}).status_code == status
        assert len(server.requests) == 1


def test_refused(http: Http) -> None:
    """Certainly not sent."""
    with pytest.raises(Later, match=r"^no connection \(refused, or the name is unknown\)$"):
        http.request("POST", f"http://127.0.0.1:{free_port()}/secret-path")


def test_unknown_names(http: Http) -> None:
    """Certainly not sent; `.invalid` is reserved for names that do not exist."""
    with pytest.raises(Later, match=r"^no connection \(refused, or the name is unknown\)$"):
        http.request("GET", "http://erp.invalid/")


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (reset, "the connection broke before the answer"),
        (answering(b""), "the connection broke before the answer"),
        (answering(b"HTTP/1.1 20"), "the connection broke before the answer"),
        (answering(b"garbage\r\n\r\n"), "the connection broke before the answer"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "no answer in time"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), "no answer in time"),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz"),
            "no answer in time",
        ),
    ],
    ids=["reset", "closed", "half a head", "garbage", "half a body", "bad chunks", "bad gzip"],
)
def test_broken_answers(http: Http, behave: Behaviour, words: str) -> None:
    """The request went out, once, so nobody knows what became of it; nothing is retried."""
    with closing(Server(behave)) as server:
        with pytest.raises(OutcomeUnknown, match=f"^{words}$"):
            http.request("POST", server.url, json={"a": 1})
        assert len(server.requests) == 1


def test_no_answer_in_time() -> None:
    """Of the head, after the time-out of the client."""
    with closing(Http(0.2)) as http, closing(Server(silent)) as server:
        with pytest.raises(OutcomeUnknown, match=r"^no answer in time$"):
            http.request("PUT", server.url)
        assert len(server.requests) == 1


def test_requests_of_libraries_have_the_time_out_too() -> None:
    """They set none; requests would wait for ever."""
    with closing(Http(0.2)) as http, closing(Server(silent)) as server, pytest.raises(OutcomeUnknown):
        http.get(server.url)


def test_certificates_are_checked(tls: tuple[ssl.SSLContext, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an authority that is not known, or for another name: certainly not sent."""
    (context, known), other = tls, str(tmp_path / "other.pem")
    trustme.CA().cert_pem.write_to_path(other)
    with closing(Server(answering(OK), context)) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", known)
        with closing(Http(1.0)) as http:
            assert http.request("GET", server.url).status_code == 200
            with pytest.raises(Later, match=r"^no connection \(the certificate is not trusted\)$"):
                http.request("GET", server.url.replace("127.0.0.1", "localhost"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", other)
        with closing(Http(1.0)) as http, pytest.raises(Later, match=r"^no connection \(the certificate is not trusted\)$"):
            http.request("GET", f"{server.url}/secret")
        assert len(server.requests) == 1


def test_an_answer_that_breaks_off_under_tls(tls: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a good-bye, and with a reset: the request went out, so nobody knows."""
    context, known = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", known)

    def vanish(connection: socket.socket) -> None:
        with socket.socket(fileno=connection.detach()) as bare:
            if len(server.requests) > 1:
                reset(bare)

    with closing(Http(1.0)) as http, closing(Server(vanish, context)) as server:
        for _ in range(2):
            with pytest.raises(OutcomeUnknown, match=r"^the connection broke before the answer$"):
                http.request("POST", server.url)
        assert len(server.requests) == 2


def test_a_server_that_speaks_no_tls(http: Http) -> None:
    """Its answer looks like one that may come after a request, so nobody can tell."""
    with (
        closing(Server(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as server,
        pytest.raises(OutcomeUnknown, match=r"^the connection broke before the answer$"),
    ):
        http.request("POST", server.url.replace("http:", "https:"), data=b"secret")


def test_bugs_stay_bugs(http: Http) -> None:
    """Only failures of the network are classed."""
    with pytest.raises(ZeroDivisionError):
        http.reach(lambda: 1 / 0)
    with pytest.raises(requests.exceptions.InvalidURL):
        http.request("GET", "http://no address")


# -- the end of a request -----------------------------------------------------------------------------------------------


def dripping(beginning: bytes) -> Behaviour:
    """Something, and then a byte now and then, for as long as anybody listens."""

    def behave(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(beginning)
            while True:
                connection.sendall(b"x")
                select.select([connection], [], [], 0.05)

    return behave


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nA: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n",
    ],
    ids=["nothing", "head", "body", "body without end", "chunk", "redirect"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_request_ends_in_time_however_slowly_it_is_answered(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, str], secure: bool, beginning: bytes
) -> None:
    """Each byte comes within the time-out, the last one long after it."""
    context, known = tls
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", known)
    with closing(Http(0.3)) as http, closing(Server(dripping(beginning), context if secure else None)) as server:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            http.request("GET", server.url)
        assert time.monotonic() - began < 2
        assert len(server.requests) == 1


def test_a_server_that_takes_nothing_in(http: Http) -> None:
    """What is sent counts as well."""
    stopped = threading.Event()
    with closing(Server(lambda _: stopped.wait(10))) as server:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            http.request("PUT", server.url, data=b"x" * 30_000_000)
        assert time.monotonic() - began < 5
        stopped.set()


def test_all_addresses_of_a_host_share_one_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones leave time for the last; where all are silent, nothing was sent."""
    silent_ones = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))] * 4
    connect = socket.socket.connect
    tried = []

    def connecting(self: socket.socket, address: Any) -> None:
        tried.append(address)
        if address[0] == "192.0.2.1":
            time.sleep(self.gettimeout() or 0)
            raise TimeoutError
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    with closing(Http(0.5)) as http, closing(Server(answering(OK))) as server:
        port = int(server.url.rpartition(":")[2])
        found = [*silent_ones, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        began = time.monotonic()
        assert http.request("GET", "http://erp.example.com").status_code == 200
        found = silent_ones
        with pytest.raises(Later, match=r"^no connection \(ConnectTimeout\)$"):
            http.request("GET", "http://erp.example.com")
        assert time.monotonic() - began < 2
        monkeypatch.undo()
    assert len(tried) == 9


def test_a_large_answer_is_not_read_to_its_end(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that becomes large when it is unpacked."""
    monkeypatch.setattr(web, "_LARGEST_ANSWER", 100_000)
    packed = gzip.compress(b"x" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    small = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with closing(Server(answering(small, head + packed))) as server:
        assert len(http.request("GET", server.url).content) == 100_000
        with pytest.raises(OutcomeUnknown, match=r"^the answer 200 is too large$"):
            http.request("GET", server.url)


# -- JSON ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"\xff\xfe", b'{"a":', b"[" * 100_000])
def test_answers_that_are_not_json(http: Http, body: bytes) -> None:
    """A success that nobody can read: something else has answered."""
    head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        closing(Server(answering(head + body))) as server,
        pytest.raises(OutcomeUnknown, match=r"^the answer 201 is not JSON$"),
    ):
        http.json(http.request("POST", server.url))


def test_answers_that_are_json(http: Http) -> None:
    """UTF-8 without being told so."""
    body = '{"id": "Ä😀"}'.encode()
    with closing(Server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body))) as server:
        assert http.json(http.request("GET", server.url)) == {"id": "Ä😀"}


# -- what requests does by itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", [b"/elsewhere", b"http://[malformed", b"\xff", b""])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(http: Http, status: int, location: bytes) -> None:
    """Following one would carry a token elsewhere, or turn a PUT into a GET; a malformed one is an answer as well."""
    answer = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location)
    with closing(Server(answering(answer, OK))) as server:
        assert http.request("PUT", server.url).status_code == status
        assert len(server.requests) == 1


def test_cookies_are_not_kept(http: Http) -> None:
    """They belong to an Acumatica session; whoever needs them reads them, and sends them."""
    answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: ASP.NET_SessionId=x; path=/\r\n\r\n")
    with closing(Server(answering(answer))) as server:
        first = http.request("GET", server.url)
        assert first.headers["Set-Cookie"] == "ASP.NET_SessionId=x; path=/"
        http.request("GET", server.url)
        http.request("GET", server.url, headers={"Cookie": "own=1"})
        assert [b"Cookie:" in request for request in server.requests] == [False, False, True]
        assert b"Cookie: own=1\r\n" in server.requests[2]
    assert len(http._session.cookies) == 0


def test_one_session_serves_all_threads(http: Http) -> None:
    """Each answer goes to whoever asked; connections are kept and used again."""
    connections = []

    class Echo(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        @override
        def setup(self) -> None:
            super().setup()
            connections.append(self.client_address)

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        @override
        def log_message(self, *_: object) -> None:
            pass

    class Echoes(ThreadingHTTPServer):
        request_queue_size = 64  # with 5, a busy machine drops connections that come at once

    with Echoes(("127.0.0.1", 0), Echo) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)  # else a failure below never ends
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        with ThreadPoolExecutor(8) as threads:
            asked = [f"/{number}" for number in range(400)]
            assert list(threads.map(lambda path: http.request("GET", url + path).text, asked)) == asked
        http.close()
        server.shutdown()
        serving.join(5)
    assert len(connections) <= 8


def test_idle_connections_stay_known_to_the_network(http: Http) -> None:
    """Azure's load balancers drop them in silence after 4 minutes; a request on one would be of unknown outcome."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK.replace(b"Connection: close\r\n", b""))
        connection.recv(1)  # until the client ends it

    with closing(Server(answer)) as server:
        http.request("GET", server.url)
        adapter = http._session.get_adapter(server.url)
        assert isinstance(adapter, HTTPAdapter)
        (key,) = adapter.poolmanager.pools.keys()
        kept = adapter.poolmanager.pools[key].pool.get_nowait()
        assert kept.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert kept.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert kept.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < 4 * 60
        kept.close()


def test_the_environment_says_how_a_host_is_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its proxy, unless the host is excepted; a .netrc would replace the Authorization header, and is left alone."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login secret password secret\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    with closing(Server(answering(OK))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with closing(Http(1.0)) as http:
            http.request("GET", "http://erp.invalid/entity", headers={"Authorization": "Bearer own"})
            assert proxy.requests[0].startswith(b"GET http://erp.invalid/entity HTTP/1.1\r\n")
            assert b"Authorization: Bearer own\r\n" in proxy.requests[0]
            http.request("GET", f"{proxy.url}/direct")
            assert proxy.requests[1].startswith(b"GET /direct HTTP/1.1\r\n")
            assert b"Authorization" not in proxy.requests[1]
            monkeypatch.delenv("http_proxy")  # looked up once
            http.request("GET", "http://erp.invalid/again")
            assert proxy.requests[2].startswith(b"GET http://erp.invalid/again HTTP/1.1\r\n")


def test_storage_is_reached_by_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:8080")
    monkeypatch.setenv("no_proxy", "account.queue.core.windows.net")
    key = "bm9uZQ=="
    connection = f"DefaultEndpointsProtocol=https;AccountName=account;AccountKey={key};EndpointSuffix=core.windows.net"
    with closing(Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": connection}))) as storage:
        assert storage._session.proxies == {"https://account.table.core.windows.net": "http://proxy.example:8080"}


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_bundles_of_the_environment_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, str], name: str
) -> None:
    """As on machines behind a proxy that looks into TLS."""
    context, known = tls
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, known)
    with closing(Http(1.0)) as http, closing(Server(answering(OK), context)) as server:
        assert http.request("GET", server.url).status_code == 200


def test_what_libraries_send(http: Http) -> None:
    """Parameters, forms and JSON, each with the header that belongs to it."""
    with closing(Server(answering(OK))) as server:
        http.get(server.url, params={"resource": "a b"}, headers={"Metadata": "true"})
        http.post(server.url, data={"grant": "ä"})
        http.post(server.url, json={"a": 1})
        http.request("PUT", server.url)
    get, form, body, empty = server.requests
    assert get.startswith(b"GET /?resource=a+b HTTP/1.1\r\n")
    assert b"Metadata: true\r\n" in get
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in form
    assert b"Content-Type: application/json\r\n" in body
    assert b"Content-Length: 8\r\n" in body
    assert b"Content-Length: 0\r\n" in empty
