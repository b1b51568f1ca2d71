"""HTTP by requests, with the outcomes that matter told apart: answered, never sent, and not known."""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, override

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from handlers.settings import CONNECT_SECONDS
from handlers.sync.errors import Code, Later, OutcomeUnknown

_CONNECTIONS = 64  # kept to one host: as many as threads may use at a time
_HEADERS = {str(name): str(value) for name, value in requests.utils.default_headers().items()}
# Azure's load balancers forget a connection after 4 idle minutes, and tell nobody: the next request on it gets no answer.
# https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-reset
_KEEP_ALIVE = [
    *urllib3.connection.HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class _Adapter(HTTPAdapter):
    @override
    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, socket_options=_KEEP_ALIVE, **options)


class Session(requests.Session):
    """Connections, for any number of threads, and no other state: requests promises no more than one thread for the rest.

    A request goes straight to its connection. What requests does before, for each one, costs as much CPU as sending it: it
    looks for proxies, a .netrc, cookies and redirects. Here, proxies and CA bundle are looked up once for each host; the
    others nobody wants: cookies belong to an Acumatica session, and whoever needs them sends them.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._timeouts = (min(CONNECT_SECONDS, timeout), timeout)
        self._ways: dict[str, Mapping[str, Any]] = {}
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(pool_maxsize=_CONNECTIONS))

    @override
    def request(  # type: ignore[override]  # of libraries, too: what they give beside this is empty
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        json: Any = None,
        timeout: Any = None,
        verify: Any = None,
        stream: bool = False,
        **_: Any,
    ) -> requests.Response:
        """Send one request, always with a time-out, and follow no redirect; `url` is encoded already."""
        request = requests.PreparedRequest()
        request.method, request.url = method, url
        if params:
            request.prepare_url(url, params)
        request.headers = CaseInsensitiveDict({**_HEADERS, **(headers or {})})
        request.prepare_body(data, None, json)
        way = self._way(url)
        if isinstance(verify, str):
            way = {**way, "verify": verify}
        answer = self.get_adapter(url).send(request, timeout=timeout or self._timeouts, **way)
        if not stream:
            answer.content  # noqa: B018  (read now, when a failure still has to do with the request)
        return answer

    def _way(self, url: str) -> Mapping[str, Any]:
        """How a host is reached: by which proxy, and with which certificates, as the environment has it."""
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._ways:
            self._ways[origin] = self.merge_environment_settings(origin, {}, None, None, None)
        return self._ways[origin]


class Http:
    """Requests without automatic retries or redirects."""

    def __init__(self, timeout: float) -> None:
        self.session = Session(timeout)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one request. Raises Later if it was certainly not sent, OutcomeUnknown if nobody can tell."""
        return self.reach(lambda: self.session.request(method, url, **options))

    @staticmethod
    def json(answer: requests.Response) -> Any:
        """The JSON of a successful answer. Raises OutcomeUnknown where it is none: something else has answered."""
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise OutcomeUnknown(Code.NOT_THE_SERVICE, f"the answer {answer.status_code} is not JSON") from None

    @staticmethod
    def reach[T](call: Callable[[], T]) -> T:
        """Run something that uses the network, and class its failure. Messages never hold the URL or headers."""
        try:
            return call()
        except (requests.ConnectTimeout, requests.exceptions.ProxyError) as error:
            raise Later(Code.NOT_REACHED, f"no connection ({type(error).__name__})") from None
        except requests.ConnectionError as error:
            if reason := _never_connected(error):
                raise Later(Code.NOT_REACHED, f"no connection ({reason})") from None
            raise OutcomeUnknown(Code.NOT_ANSWERED, "the connection broke before the answer") from None
        except (requests.Timeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise OutcomeUnknown(Code.NOT_ANSWERED, "no answer in time") from None

    def close(self) -> None:
        """End all connections."""
        self.session.close()


def succeeded(answer: requests.Response) -> bool:
    """2xx; requests' own `ok` takes redirects for success too, and none is followed here."""
    return 200 <= answer.status_code < 300


def _never_connected(error: requests.ConnectionError) -> str:
    """Why there was no connection at all; empty where there may have been one."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "refused, or the name is unknown"
    # A certificate is checked before anything is sent; other TLS errors may come later.
    cause = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) and reason.args else reason
    return "the certificate is not trusted" if isinstance(cause, ssl.SSLCertVerificationError) else ""
