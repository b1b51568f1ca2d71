"""Connections of requests that end by a deadline, and that the network between does not forget.

The time-outs of requests hold for each address of a host, and for each piece of an answer: several addresses that are
silent, or a server that answers a byte at a time, keep a request going for far longer. Here all waits of a request, from
the first address to the last byte, share one deadline. What is left without one is the look-up of the name, before
anything is sent.
"""

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any, override

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

_CONNECTIONS = 64  # kept to one host: as many as threads may use at a time
_PIECE = 16_384  # bytes sent at a time: as many as a record of TLS holds
# Azure's load balancers forget a connection after 4 idle minutes, and tell nobody: the next request on it gets no answer.
# https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset
_OPTIONS = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]
_thread = threading.local()


@contextlib.contextmanager
def ended_by(deadline: float) -> Iterator[None]:
    """Let all that this thread waits for on a connection end by a moment of time.monotonic(), with a TimeoutError."""
    _thread.deadline = deadline
    try:
        yield
    finally:
        del _thread.deadline


def _left() -> float | None:
    """Seconds until the deadline; none where there is no deadline. Raises TimeoutError after it."""
    deadline: float | None = getattr(_thread, "deadline", None)
    if deadline is None:
        return None
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError("the time for this request is over")
    return left


class _Reader(io.RawIOBase):
    """What a server sends, read until the deadline at the latest."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw = raw
        self._connection = connection

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        if left := _left():
            self._connection.settimeout(min(left, self._connection.gettimeout() or left))
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, connection: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(connection, *arguments, **options)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), connection))


class _Timed(HTTPConnection):
    """A connection whose addresses share one time-out, and which keeps to the deadline."""

    response_class = _Answer

    @override
    def _new_conn(self) -> socket.socket:
        end = time.monotonic() + min(self.timeout or 60.0, _left() or 60.0)
        try:
            addresses = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, 0, socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        problem: OSError = TimeoutError()
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            share = (end - time.monotonic()) / (len(addresses) - number)  # a silent one leaves time for the next
            if share <= 0:
                break
            made = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    made.setsockopt(*option)
                made.settimeout(share)
                made.connect(address)
                made.settimeout(max(end - time.monotonic(), 0.01))  # what is left is for TLS
            except OSError as error:
                made.close()
                problem = error
            else:
                return made
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, "no address has answered in time") from problem
        raise NewConnectionError(self, f"no address could be reached: {problem}") from problem

    @override
    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.timeout)

    @override
    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        pieces = [data]
        if isinstance(data, bytes):
            pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
        for piece in pieces:
            if left := _left():
                self.sock.settimeout(left)
            super().send(piece)


class _TimedTls(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTls


class _Adapter(HTTPAdapter):
    @override
    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, socket_options=_OPTIONS, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    @override
    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.connection_pool_kw["socket_options"] = _OPTIONS
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


class _Session(requests.Session):
    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None is followed, so none is looked at either: one that is malformed would raise."""


def session() -> requests.Session:
    """A session of requests for any number of threads: it keeps connections and no other state.

    It takes nothing from the environment: a .netrc would replace the Authorization header, and to look for proxies costs
    as much CPU as a request. Cookies belong to an Acumatica session; whoever needs them sends them.
    """
    made = _Session()
    made.trust_env = False
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        made.mount(scheme, _Adapter(pool_maxsize=_CONNECTIONS))
    return made
