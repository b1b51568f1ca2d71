"""HTTP by requests, with the outcomes that matter told apart: answered, never sent, and not known."""

import ssl
import threading
import weakref
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, override

import requests
import urllib3

from handlers.settings import CONNECT_SECONDS
from handlers.sync.errors import Later, OutcomeUnknown


class _Session(requests.Session):
    """A session whose requests all have time-outs, also those of libraries that set none."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        # Cookies belong to an Acumatica session, not to a connection: whoever needs them sends them.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.auth = lambda request: request  # without one, a .netrc on the machine would replace the Authorization header
        self._timeouts = (min(CONNECT_SECONDS, timeout), timeout)

    @override
    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or self._timeouts
        return super().request(*args, **kwargs)


class Http:
    """Requests without automatic retries or redirects; one session per thread, since requests promises no more."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._local = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()  # a thread's goes with it

    @property
    def session(self) -> requests.Session:
        """The session of the calling thread."""
        if not hasattr(self._local, "session"):
            self._local.session = self.new_session()
        session: requests.Session = self._local.session
        return session

    def new_session(self) -> requests.Session:
        """A session for a library that wants one of its own."""
        session = _Session(self.timeout)
        self._sessions.add(session)
        return session

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one request. Raises Later if it was certainly not sent, OutcomeUnknown if nobody can tell."""
        return self.reach(lambda: self.session.request(method, url, allow_redirects=False, **options))

    @staticmethod
    def json(answer: requests.Response) -> Any:
        """The JSON of a successful answer. Raises OutcomeUnknown where it is none: something else has answered."""
        try:
            return answer.json()
        except (ValueError, RecursionError):
            raise OutcomeUnknown(f"the answer {answer.status_code} is not JSON") from None

    @staticmethod
    def reach[T](call: Callable[[], T]) -> T:
        """Run something that uses the network, and class its failure. Messages never hold the URL or headers."""
        try:
            return call()
        except (requests.ConnectTimeout, requests.exceptions.ProxyError) as error:
            raise Later(f"no connection ({type(error).__name__})") from None
        except requests.ConnectionError as error:
            if reason := _never_connected(error):
                raise Later(f"no connection ({reason})") from None
            raise OutcomeUnknown("the connection broke before the answer") from None
        except (requests.Timeout, requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise OutcomeUnknown("no answer in time") from None

    def close(self) -> None:
        """End all connections."""
        for session in list(self._sessions):
            session.close()


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
