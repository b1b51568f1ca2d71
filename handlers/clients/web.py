"""HTTP by requests, with the outcomes that matter told apart: answered, never sent, and not known.

What an answer means (codes, Retry-After) stands in handlers/sync/answers.py.
"""

import os
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from handlers.clients.connections import ended_by, session
from handlers.settings import CONNECT_SECONDS
from handlers.sync.errors import Code, Later, OutcomeUnknown

_LARGEST_ANSWER = 64 * 2**20  # bytes
_PIECE = 65_536


def trusted() -> str | bool:
    """Where the certificates are that are trusted, as the environment has it; True = those that come with requests."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


def proxies_for(url: str) -> dict[str, str]:
    """The proxy of a host, as the environment has it, in the form that requests wants."""
    proxy, address = select_proxy(url, get_environ_proxies(url)), urlsplit(url)
    return {f"{address.scheme}://{address.hostname}": proxy} if proxy else {}


class Http:
    """Requests without automatic retries, redirects or cookies. Safe for many threads.

    `timeout`: seconds until the answer has to be there, the last byte of it included; as many as 10 more to connect.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._session = session()
        self._trusted = trusted()
        self._proxies = lru_cache(maxsize=100)(proxies_for)  # by scheme and host; looked up once

    def request(self, method: str, url: str, *, timeout: float | None = None, **options: Any) -> requests.Response:
        """Send one request. Raises Later if it was certainly not sent, OutcomeUnknown if nobody can tell."""
        return self.reach(lambda: self._send(method, url, timeout or self._timeout, options))

    def get(self, url: str, **options: Any) -> requests.Response:
        """GET, as libraries ask for it."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        """POST, as libraries ask for it."""
        return self.request("POST", url, **options)

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
        self._session.close()

    def _send(self, method: str, url: str, seconds: float, options: dict[str, Any]) -> requests.Response:
        connect = min(CONNECT_SECONDS, seconds)
        with ended_by(time.monotonic() + connect + seconds):
            answer = self._session.request(
                method,
                url,
                timeout=(connect, seconds),
                proxies=self._proxies("/".join(url.split("/", 3)[:3])),
                verify=self._trusted,
                allow_redirects=False,
                stream=True,
                **options,
            )
            with answer:
                answer._content = _content(answer)  # noqa: SLF001  (as requests itself does, but bounded)
        return answer


def succeeded(answer: requests.Response) -> bool:
    """2xx; requests' own `ok` takes redirects for success too, and none is followed here."""
    return 200 <= answer.status_code < 300


def _content(answer: requests.Response) -> bytes:
    content = bytearray()
    for piece in answer.iter_content(_PIECE):
        content += piece
        if len(content) > _LARGEST_ANSWER:
            raise OutcomeUnknown(Code.NOT_THE_SERVICE, f"the answer {answer.status_code} is too large")
    return bytes(content)


def _never_connected(error: requests.ConnectionError) -> str:
    """Why there was no connection at all; empty where there may have been one."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return "refused, or the name is unknown"
    # A certificate is checked before anything is sent; other TLS errors may come later.
    cause = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) and reason.args else reason
    return "the certificate is not trusted" if isinstance(cause, ssl.SSLCertVerificationError) else ""
