"""GET and POST /api/runs…: the runs page, as HTML and (with ?format=json, or Accept: application/json) as JSON.

Anonymous for the Functions host, since a key in an address is a secret in an address; handlers.access decides. Without
RUNS_KEY there is no page.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from handlers import doctor, runs, views
from handlers.access import COOKIE, Access, NotNow, Session
from handlers.clients import activity_reading as stored
from handlers.clients.tables import StorageError
from handlers.services import Factory, NotReady, Services
from handlers.settings import paused

log = logging.getLogger(__name__)

BASE = "/api/runs"
_BODY_MAX = 100_000
_SECURITY = {
    "Content-Security-Policy": views.POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Request:
    """An HTTP request; header names in lower case, `path` below /api/runs."""

    method: str
    path: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""

    @property
    def wants_json(self) -> bool:
        """Whether a program asks."""
        accept = self.headers.get("accept", "")
        return self.query.get("format") == "json" or accept.split(",")[0].strip().startswith("application/json")

    @property
    def form(self) -> dict[str, str]:
        """The fields of a posted form."""
        try:
            fields = parse_qs(self.body[:_BODY_MAX].decode(), keep_blank_values=True, max_num_fields=50)
        except ValueError:
            return {}
        return {name: values[-1] for name, values in fields.items()}

    @property
    def address(self) -> str:
        """The client, as App Service's front end saw it: it adds the address (and port) that it saw at the end."""
        return self.headers.get("x-forwarded-for", "").split(",")[-1].strip().rsplit(":", 1)[0]

    @property
    def foreign(self) -> bool:
        """Whether a page of another site has made the request, as browsers tell."""
        if site := self.headers.get("sec-fetch-site"):
            return site not in {"same-origin", "none"}
        origin = self.headers.get("origin")
        return bool(origin) and urlsplit(origin).netloc != self.headers.get("host", urlsplit(self.url).netloc)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    mimetype: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)


class Page:
    """The runs page."""

    def __init__(self, factory: Factory, environ: Mapping[str, str]) -> None:
        self._factory = factory
        self._environ = environ

    def answer(self, request: Request) -> Answer:
        """Answer a request; what cannot be done has a page of its own, and never a trace."""
        try:
            access = self._access()
        except NotReady as error:
            return self._told(request, 503, "Not ready", "; ".join(error.problems))
        if access is None:
            text = "The runs page is off. To switch it on, set RUNS_KEY (16 characters or more) in the app's settings."
            return self._told(request, 404, "The runs page is off", text)
        try:
            return self._within(request, access)
        except NotNow as error:
            seconds = f"{error.seconds:.0f}"
            text = f"Too many tries. The next one is looked at in {seconds} seconds."
            told = self._told(request, 429, "Too many tries", text)
            return Answer(told.status, told.body, told.mimetype, told.headers | {"Retry-After": seconds})
        except NotReady as error:
            return self._told(request, 503, "Not ready", "; ".join(error.problems))
        except StorageError as error:
            log.warning("runs page: storage cannot be used: %s", type(error).__name__)
            return self._told(request, 503, "Storage cannot be used", "Storage does not answer at the moment. Try again.")

    def _access(self) -> Access | None:
        key = self._environ.get("RUNS_KEY", "").strip()
        if len(key) < 16 or key.startswith("@Microsoft.KeyVault("):  # too short, or a reference that did not resolve
            return None
        storage = self._factory.storage()
        return Access(key, storage, storage.now)

    def _within(self, request: Request, access: Access) -> Answer:
        session = _session(request, access)
        if request.method == "POST":
            return self._post(request, access, session)
        if session is None and "x-runs-key" in request.headers:  # a program, which keeps no cookies
            session = access.sign_in(request.headers["x-runs-key"], request.address)
        if session is None:
            if request.wants_json:
                return _json(401, {"problem": "Sign in, or send RUNS_KEY as the header x-runs-key."})
            return _html(401, views.sign_in(BASE, _next(request)))
        answer = self._get(request, views.Frame(BASE, access.token(session), self._notes(), _name(request, self._environ)))
        renewed = access.renewed(session)
        return _with_cookie(answer, access, renewed) if renewed else answer

    # -- signing in and out ------------------------------------------------------------------------------------------

    def _post(self, request: Request, access: Access, session: Session | None) -> Answer:
        if request.foreign:
            return self._told(request, 403, "Refused", "The form was sent from another site.")
        form = request.form
        if request.path == "sign-in":
            opened = access.sign_in(form.get("key", ""), request.address)
            if opened is None:
                log.warning("runs page: a sign-in with a wrong key")
                return _html(403, views.sign_in(BASE, form.get("next", ""), wrong=True))
            log.info("runs page: signed in")
            return _with_cookie(_see_other(_safe(form.get("next", ""))), access, opened)
        if session is None:
            return _html(401, views.sign_in(BASE, ""))
        if not access.allows(session, form.get("token", "")):
            return self._told(request, 403, "Refused", "The form is too old, or was not made here. Load the page again.")
        if request.path == "sign-out":
            gone = f"{COOKIE}=-; Path={BASE}; Secure; HttpOnly; SameSite=Strict"
            return Answer(303, "", headers=_SECURITY | {"Location": BASE, "Set-Cookie": gone})
        frame = views.Frame(BASE, access.token(session), self._notes(), _name(request, self._environ))
        return self._act(request.path, form, frame, f"{frame.name or 'somebody'} (runs page)")

    # -- looking -----------------------------------------------------------------------------------------------------

    def _get(self, request: Request, frame: views.Frame) -> Answer:
        kind, _, key = request.path.partition("/")
        pages: dict[str, Callable[[], Answer | None]] = {
            "": lambda: self._overview(request, frame),
            "run": lambda: self._run(key, request, frame),
            "row": lambda: self._row(key, request, frame),
            "search": lambda: self._search(request, frame),
            "letters": lambda: self._letters(request, frame),
            "letter": lambda: self._letter(key, request, frame),
            "health": lambda: self._health(request, frame, doctor.quick(self._factory)),
        }
        found = pages[kind]() if kind in pages and bool(key) == (kind in {"run", "row", "letter"}) else None
        if found is None:
            text = "There is nothing here (any more)."
            return (
                _json(404, {"problem": text}) if request.wants_json else _html(404, views.message(frame, "Not found", text))
            )
        return found

    def _overview(self, request: Request, frame: views.Frame) -> Answer:
        storage = self._factory.storage()
        which = request.query.get("which", "")
        which = which if which in {"failed", "rejected", "people"} else ""
        before = request.query.get("before", "")
        found = stored.newest(storage, before=before if before.startswith("r") else "", which=which)
        if request.wants_json:
            return _json(200, {"runs": [run.as_json() for run in found]})
        now = datetime.fromtimestamp(storage.now(), UTC)
        waiting, _ = storage.queue.waiting()
        numbers = stored.hours(storage, now)
        letters = storage.dead_letters.count(views.COUNT_MAX)
        return _html(200, views.overview(frame, found, numbers, which, paged=bool(before), letters=letters, waiting=waiting))

    def _run(self, key: str, request: Request, frame: views.Frame) -> Answer | None:
        storage = self._factory.storage()
        run = stored.one(storage, key)
        if not run:
            return None
        rows, total = runs.rows_of(run, storage)
        if request.wants_json:
            return _json(200, {**run.as_json(), "rows_in_all": total, "row_states": [row.as_json() for row in rows]})
        known = storage.notifications.get(run.key)
        return _html(200, views.run(frame, run, known, rows, total))

    def _row(self, key: str, request: Request, frame: views.Frame) -> Answer | None:
        storage = self._factory.storage()
        row = runs.row(key, storage)
        if not row:
            return None
        if request.wants_json:
            return _json(200, row.as_json())
        return _html(200, views.row(frame, row, runs.letter(key, storage)))

    def _search(self, request: Request, frame: views.Frame) -> Answer:
        text = request.query.get("q", "")[:1000]
        services = self._factory.services()
        found = runs.search(text, services.storage, services.mappings, services.settings.acumatica_tenant)
        if request.wants_json:
            return _json(200, {"rows": [row.as_json() for row in found]})
        if len(found) == 1:
            return _see_other(f"{BASE}/row/{found[0].key}")
        return _html(200, views.search(frame, text, found))

    def _letters(self, request: Request, frame: views.Frame) -> Answer:
        found = runs.letters(self._factory.storage())
        if request.wants_json:
            return _json(200, {"letters": [letter.as_json() for letter in found]})
        return _html(200, views.letters(frame, found))

    def _letter(self, key: str, request: Request, frame: views.Frame) -> Answer | None:
        letter = runs.letter(key, self._factory.storage())
        if not letter:
            return None
        return _json(200, letter.as_json()) if request.wants_json else _html(200, views.letter(frame, letter))

    def _health(self, request: Request, frame: views.Frame, checks: list[doctor.Check], mailbox: str = "") -> Answer:
        if request.wants_json:
            return _json(200, {"checks": [asdict(check) for check in checks]})
        return _html(200, views.health(frame, checks, mailbox))

    # -- acting ------------------------------------------------------------------------------------------------------

    def _act(self, path: str, form: Mapping[str, str], frame: views.Frame, who: str) -> Answer:
        match path:
            case "resubmit":
                return self._resubmit(form, frame, self._factory.services(), who)
            case "discard":
                services = self._factory.services()
                try:
                    runs.discard(form.get("key", ""), services, who, form.get("why", "").strip())
                except runs.Refused as error:
                    return _html(409, views.message(frame, "Not discarded", str(error).capitalize()))
                return _html(200, views.message(frame, "Discarded", "The dead letter is gone; the list of runs keeps why."))
            case "health":
                mailbox = form.get("mailbox", "").strip()[:320]
                checks = [*doctor.quick(self._factory), *doctor.deep(self._factory.services(), mailbox)]
                return _html(200, views.health(frame, checks, mailbox, deep=True))
        return _html(404, views.message(frame, "Not found", "There is no such action."))

    def _resubmit(self, form: Mapping[str, str], frame: views.Frame, services: Services, who: str) -> Answer:
        if key := form.get("key"):
            keys = [key]
        else:
            reason = form.get("reason")
            keys = [x.id for x in runs.letters(services.storage) if form.get("all") or x.letter.reason == reason]
        count, problems = runs.resubmit(keys, services, who)
        return _html(200 if count else 409, views.resubmitted(frame, count, problems, paused=paused(self._environ)))

    # -- below -------------------------------------------------------------------------------------------------------

    def _notes(self) -> list[str]:
        notes = []
        if paused(self._environ):
            notes.append("Paused: notifications are taken in, and rows wait in the queue until SYNC_PAUSED is removed.")
        if mailbox := self._environ.get("TEST_MAILBOX", "").strip():
            notes.append(f"Trial: all events go to {mailbox} until TEST_MAILBOX is removed.")
        return notes

    @staticmethod
    def _told(request: Request, status: int, title: str, text: str) -> Answer:
        return _json(status, {"problem": text}) if request.wants_json else _html(status, views.plain(title, text))


def _session(request: Request, access: Access) -> Session | None:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return access.session(morsel.value) if morsel else None


def _name(request: Request, environ: Mapping[str, str]) -> str:
    """Who has signed in to Entra, where App Service asks for that; it takes such headers away from everyone else.

    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    if environ.get("WEBSITE_AUTH_ENABLED", "").lower() != "true":
        return ""
    return request.headers.get("x-ms-client-principal-name", "")[:200]


def _next(request: Request) -> str:
    if request.method != "GET":
        return ""
    question = urlsplit(request.url).query
    return request.path + (f"?{question}" if question else "")


def _safe(path: str) -> str:
    """A path below the page, whatever was posted."""
    inside = path.isascii() and path.isprintable() and not path.startswith("/") and "\\" not in path and ".." not in path
    return f"{BASE}/{path}" if path and inside else BASE


def _html(status: int, body: str) -> Answer:
    return Answer(status, body, headers=dict(_SECURITY))


def _json(status: int, body: Any) -> Answer:
    text = json.dumps(body, ensure_ascii=False, default=str)
    return Answer(status, text, "application/json", dict(_SECURITY))


def _see_other(where: str) -> Answer:
    return Answer(303, "", headers=_SECURITY | {"Location": where})


def _with_cookie(answer: Answer, access: Access, session: Session) -> Answer:
    cookie = f"{COOKIE}={access.cookie(session)}; Path={BASE}; Secure; HttpOnly; SameSite=Strict"
    return Answer(answer.status, answer.body, answer.mimetype, answer.headers | {"Set-Cookie": cookie})
