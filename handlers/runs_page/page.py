"""A request on its way to a view: who may see the page, the tokens of its forms, and a page for all that goes wrong.

The function is anonymous for the Functions host, since a key in an address is a secret in an address; what decides is
access.py. Without RUNS_KEY there is no page.
"""

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from handlers.clients.tables import StorageError
from handlers.environment import SettingsProblems, load_settings
from handlers.runs_page.access import Access, Session
from handlers.runs_page.render import SECURITY, data, html, see_other
from handlers.runs_page.routes import ROUTES
from handlers.runs_page.throttle import NotNow
from handlers.runs_page.visit import BASE, Request, Visit
from handlers.services import Factory, NotReady
from handlers.settings import PageSettings

log = logging.getLogger(__name__)

COOKIE = "runs-session"


class Page:
    """The runs page."""

    def __init__(self, factory: Factory, environ: Mapping[str, str]) -> None:
        self._factory = factory
        self._environ = environ

    def answer(self, request: Request) -> Response:
        """Answer a request; what cannot be done has a page of its own, and never a trace."""
        try:
            response = self._answer(request)
        except NotNow as error:
            seconds = f"{error.seconds:.0f}"
            text = f"Too many tries. The next one is looked at in {seconds} seconds."
            response = _told(request, 429, "Too many tries", text)
            response.headers["Retry-After"] = seconds
        except NotReady as error:
            response = _told(request, 503, "Not ready", "; ".join(error.problems))
        except StorageError as error:
            log.warning("runs page: storage cannot be used: %s", type(error).__name__)
            text = "Storage does not answer at the moment. Try again."
            response = _told(request, 503, "Storage cannot be used", text)
        except HTTPException as error:  # a form that is too large, say
            response = _told(request, error.code or 400, "Refused", error.description or "")
        response.headers.update(SECURITY)
        return response

    def _answer(self, request: Request) -> Response:
        try:
            key = load_settings(PageSettings, self._environ).runs_key.get_secret_value()
        except SettingsProblems:
            key = ""
        if not key:
            text = "The runs page is off. To switch it on, set RUNS_KEY (16 characters or more) in the app's settings."
            return _told(request, 404, "The runs page is off", text)
        access = Access(key, self._factory.storage())
        session = access.session(request.cookies.get(COOKIE, ""))
        if request.method == "POST":
            return self._post(request, access, session)
        if session is None:
            return self._program(request, access)
        response = self._view(Visit(request, self._factory, self._environ, access.token(session)))
        if renewed := access.renewed(session):
            _keep(response, access.cookie(renewed))
        return response

    def _program(self, request: Request, access: Access) -> Response:
        """Somebody without a session: a program, which keeps no cookies, or somebody who has to sign in."""
        given = request.headers.get("X-Runs-Key")
        if given is not None:
            if access.opens(given, request.client):
                return self._view(Visit(request, self._factory, self._environ, token=""))
            log.warning("runs page: a wrong key in the header x-runs-key")
        if request.wants_json:
            return data({"problem": "Sign in, or send RUNS_KEY as the header x-runs-key."}, 401)
        then = request.full_path.removeprefix(BASE).lstrip("/").rstrip("?")
        return html("sign_in", 401, then=then, wrong=given is not None)

    def _post(self, request: Request, access: Access, session: Session | None) -> Response:
        if request.foreign:
            return _told(request, 403, "Refused", "The form was sent from another site.")
        if request.path == f"{BASE}/sign-in":
            return _sign_in(request, access)
        if session is None:
            return html("sign_in", 401, then="", wrong=False)
        if not access.allows(session, request.form.get("token", "")):
            text = "The form is too old, or was not made here. Load the page again."
            return _told(request, 403, "Refused", text)
        if request.path == f"{BASE}/sign-out":
            access.sign_out(session)
            response = see_other()
            _keep(response, "-")  # Functions hosts stumble over an empty cookie that expires
            return response
        return self._view(Visit(request, self._factory, self._environ, access.token(session)))

    def _view(self, visit: Visit) -> Response:
        request = visit.request
        try:
            view, arguments = ROUTES.bind("").match(request.path, request.method)
            return view(visit, **arguments)  # type: ignore[no-any-return]
        except (NotFound, MethodNotAllowed):
            text = "There is nothing here (any more)."
            return (
                data({"problem": text}, 404)
                if request.wants_json
                else html("message", 404, visit, title="Not found", text=text)
            )


def respond(page: Page, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Response:
    """Answer a request that did not come by WSGI. WsgiMiddleware of azure-functions raises on every answer of 5xx."""
    parts = urlsplit(url)
    builder = EnvironBuilder(
        parts.path, f"{parts.scheme}://{parts.netloc}/", parts.query, method, headers=list(headers.items()), data=body
    )
    return page.answer(Request(builder.get_environ()))


def _sign_in(request: Request, access: Access) -> Response:
    then = request.form.get("next", "")
    session = access.sign_in(request.form.get("key", ""), request.client)
    if session is None:
        log.warning("runs page: a sign-in with a wrong key")
        return html("sign_in", 403, then=then, wrong=True)
    log.info("runs page: signed in")
    response = see_other(then if _is_inside(then) else "")
    _keep(response, access.cookie(session))
    return response


def _is_inside(path: str) -> bool:
    """Whether this is a path below the page, whatever was posted."""
    return path.isascii() and path.isprintable() and not path.startswith("/") and "\\" not in path and ".." not in path


def _keep(response: Response, cookie: str) -> None:
    response.set_cookie(COOKIE, cookie, path=BASE, secure=True, httponly=True, samesite="Strict")


def _told(request: Request, status: int, title: str, text: str) -> Response:
    return data({"problem": text}, status) if request.wants_json else html("plain", status, title=title, text=text)
