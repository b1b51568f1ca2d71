"""A request to the page, and somebody who may see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from werkzeug.wrappers import Request as WerkzeugRequest

from handlers.environment import paused
from handlers.runs_page.throttle import client_address
from handlers.services import Factory

BASE = "/api/runs"


class Request(WerkzeugRequest):
    """An HTTP request."""

    max_content_length = 100_000

    @property
    def wants_json(self) -> bool:
        """Whether a program asks."""
        return self.args.get("format") == "json" or self.accept_mimetypes.best == "application/json"

    @property
    def client(self) -> str:
        """Whose tries to sign in are counted together."""
        return client_address(self.headers.get("X-Forwarded-For", ""))

    @property
    def foreign(self) -> bool:
        """Whether a page of another site has made the request, as browsers tell."""
        if site := self.headers.get("Sec-Fetch-Site"):
            return site not in {"same-origin", "none"}
        origin = self.headers.get("Origin")
        return bool(origin) and urlsplit(origin).netloc != self.host


@dataclass(frozen=True)
class Visit:
    """A request of somebody who has signed in; `token` is what the forms of this session carry."""

    request: Request
    factory: Factory
    environ: Mapping[str, str]
    token: str

    @property
    def name(self) -> str:
        """Who has signed in to Entra, where App Service asks for that; it takes such headers away from everyone else.

        https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
        """
        if self.environ.get("WEBSITE_AUTH_ENABLED", "").lower() != "true":
            return ""
        return self.request.headers.get("X-MS-CLIENT-PRINCIPAL-NAME", "")[:200]

    @property
    def who(self) -> str:
        """Who acts, for the list of runs."""
        return f"{self.name or 'somebody'} (runs page)"

    @property
    def follow(self) -> int:
        """How often the page has looked whether something is settled; 0 where nobody asked for that."""
        return min(self.request.args.get("follow", 0, type=int), 60)

    @property
    def paused(self) -> bool:
        """Whether rows wait in the queue."""
        return paused(self.environ)

    @property
    def notes(self) -> list[str]:
        """What every page says above all else."""
        notes = []
        if self.paused:
            notes.append("Paused: notifications are taken in, and rows wait in the queue until SYNC_PAUSED is removed.")
        if mailbox := self.environ.get("TEST_MAILBOX", "").strip():
            notes.append(f"Trial: all events go to {mailbox} until TEST_MAILBOX is removed.")
        return notes
