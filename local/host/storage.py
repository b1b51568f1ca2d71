"""Storage queues over aiohttp, as the host in Azure has them in a process of its own.

The SDK would take more of this process than the app does for a row, and hide what the app costs.
https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import aiohttp
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from yarl import URL

_ERRORS: dict[int, type[HttpResponseError]] = {404: ResourceNotFoundError, 409: ResourceExistsError}
_PAUSES = (0.2, 0.6, 1.2)  # seconds before the next try


@dataclass
class Message:
    """A message as it was received."""

    id: str
    content: str
    pop_receipt: str
    dequeue_count: int
    inserted_on: datetime
    expires_on: datetime | None
    next_visible_on: datetime


class Account:
    """The queue service of an account; `key` is empty where `credential` (of azure.identity.aio) is used."""

    def __init__(self, endpoint: str, name: str = "", key: str = "", credential: Any = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._name = name
        self._key = base64.b64decode(key)
        self._credential = credential
        self._token, self._token_until = "", 0.0
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End the connections."""
        if self._http:
            await self._http.close()

    async def request(
        self, method: str, path: str, query: dict[str, str] | None = None, body: str = "", *, tries: int = 4
    ) -> tuple[Mapping[str, str], bytes]:
        """One request; the answer's headers and body. Raises AzureError."""
        for pause in (*_PAUSES[: tries - 1], None):
            try:
                return await self._send(method, path, query or {}, body)
            except (HttpResponseError, ServiceRequestError, ServiceResponseError) as error:
                if pause is None or (isinstance(error, HttpResponseError) and (error.status_code or 0) < 500):
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _send(self, method: str, path: str, query: dict[str, str], body: str) -> tuple[Mapping[str, str], bytes]:
        # The session is made here since it belongs to the running loop.
        self._http = self._http or aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
        )
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        url = URL(f"{self._endpoint}{path}{'?' if asked else ''}{asked}", encoded=True)
        data = body.encode()
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2019-02-02"}
        headers["Authorization"] = await self._authorization(method, url, query, headers, len(data))
        try:
            async with self._http.request(method, url, headers=headers, data=data or None) as answer:
                content = await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise ServiceRequestError(f"no connection ({type(error).__name__})", error=error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServiceResponseError(f"no answer ({type(error).__name__})", error=error) from error
        if answer.status >= 400:
            code = answer.headers.get("x-ms-error-code", "")
            refusal = _ERRORS.get(answer.status, HttpResponseError)(f"storage answered {answer.status} {code}")
            refusal.status_code, refusal.error_code = answer.status, code  # type: ignore[attr-defined]
            raise refusal
        return answer.headers, content

    async def _authorization(
        self, method: str, url: URL, query: dict[str, str], headers: dict[str, str], length: int
    ) -> str:
        """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
        if not self._key:
            if time.time() > self._token_until:
                token = await self._credential.get_token("https://storage.azure.com/.default")
                self._token, self._token_until = token.token, token.expires_on - 300
            return f"Bearer {self._token}"
        standard = [method, "", "", str(length or ""), *[""] * 8]
        own = [f"{name}:{value}" for name, value in sorted(headers.items())]
        resource = [f"/{self._name}{url.raw_path}", *(f"{name}:{value}" for name, value in sorted(query.items()))]
        text = "\n".join([*standard, *own, *resource])
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return f"SharedKey {self._name}:{base64.b64encode(signature).decode()}"


class Queue:
    """One queue; the text of its messages is as it is stored."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._path = f"/{name}"

    async def create(self) -> None:
        """Make it unless it is there."""
        await self._account.request("PUT", self._path)

    async def send(self, content: str) -> None:
        """Put a message into it."""
        body = f"<QueueMessage><MessageText>{escape(content)}</MessageText></QueueMessage>"
        await self._account.request("POST", f"{self._path}/messages", {}, body)

    async def receive(self, count: int, visibility: int) -> list[Message]:
        """Fetch messages, which nobody else sees for so many seconds; once, since the next look is the retry."""
        query = {"numofmessages": str(count), "visibilitytimeout": str(visibility)}
        _, content = await self._account.request("GET", f"{self._path}/messages", query, tries=1)
        return [_message(element) for element in ET.fromstring(content.decode("utf-8-sig"))]  # noqa: S314  (of storage)

    async def delete(self, message: Message) -> None:
        """Remove a message that was received."""
        query = {"popreceipt": message.pop_receipt}
        await self._account.request("DELETE", f"{self._path}/messages/{message.id}", query)

    async def update(self, message: Message, visibility: int) -> None:
        """Hide a message that was received for so many seconds from now."""
        query = {"popreceipt": message.pop_receipt, "visibilitytimeout": str(visibility)}
        body = f"<QueueMessage><MessageText>{escape(message.content)}</MessageText></QueueMessage>"
        headers, _ = await self._account.request("PUT", f"{self._path}/messages/{message.id}", query, body)
        message.pop_receipt = headers["x-ms-popreceipt"]


def _message(element: ET.Element) -> Message:
    told = {child.tag: child.text or "" for child in element}
    try:
        expires = parsedate_to_datetime(told["ExpirationTime"])
    except ValueError:
        expires = None  # in the year 9999, beyond what some clocks can say
    return Message(
        id=told["MessageId"],
        content=told["MessageText"],
        pop_receipt=told["PopReceipt"],
        dequeue_count=int(told["DequeueCount"]),
        inserted_on=parsedate_to_datetime(told["InsertionTime"]),
        expires_on=expires,
        next_visible_on=parsedate_to_datetime(told["TimeNextVisible"]),
    )


def account_of(connection_string: str) -> Account:
    """The account of a connection string. Raises ValueError."""
    parts = dict(part.split("=", 1) for part in connection_string.strip().rstrip(";").split(";"))
    parts = {name.lower(): value for name, value in parts.items()}
    if "accountname" not in parts or "accountkey" not in parts:
        raise ValueError("it has no AccountName or no AccountKey.")
    scheme, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
    endpoint = parts.get("queueendpoint") or f"{scheme}://{parts['accountname']}.queue.{suffix}"
    if not urlsplit(endpoint).hostname:
        raise ValueError("its QueueEndpoint is no address.")
    return Account(endpoint, parts["accountname"], parts["accountkey"])
