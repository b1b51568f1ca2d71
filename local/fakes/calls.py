"""A request as a fake sees it, and an answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """An answer. `body` is sent as JSON, text as it is, None as nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The service answers with an error."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.status))
        self.reply = reply


@dataclass(eq=False)
class Call:
    """A request as it was sent; `status` is 0 while there is no answer, and where none was given."""

    method: str
    path: str  # with query, undecoded
    headers: Mapping[str, str]  # names in lower case
    body: Any  # JSON where it is such, else text, or None
    started: float = field(default_factory=time.monotonic)
    carried_out: float | None = None  # when it took effect, by time.monotonic; None where it did not
    finished: float | None = None
    status: int = 0
    mailbox: str = ""
    entity: str = ""
    injected: bool = False  # the answer was asked for by a fault
    client: web.BaseRequest | None = field(default=None, repr=False)

    @property
    def segments(self) -> list[str]:
        """The parts of the path, decoded."""
        return [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query."""
        return dict(parse_qsl(self.path.partition("?")[2], keep_blank_values=True))

    @property
    def origin(self) -> str:
        """The beginning of addresses that lead back to where the request was sent."""
        return f"http://{self.headers.get('host', '')}"

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form's body."""
        return dict(parse_qsl(self.body if isinstance(self.body, str) else "", keep_blank_values=True))

    @property
    def abandoned(self) -> bool:
        """Whether the client has hung up without waiting for the answer."""
        transport = self.client.transport if self.client else None
        return self.finished is None and (transport is None or transport.is_closing())
