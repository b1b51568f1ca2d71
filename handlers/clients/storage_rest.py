"""The requests of Table and Queue Storage that every row needs, straight over urllib3.

The SDK takes about 2.5 ms of CPU for each of them, this takes 0.5, and a row needs four: docs/performance.md has the
numbers. What is rare (transactions, blobs) stays with the SDK. Errors are azure.core's, told apart as the SDK does.

https://learn.microsoft.com/rest/api/storageservices/table-service-rest-api
https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

import base64
import contextlib
import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import certifi
import urllib3
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.utils import parse_connection_string

from handlers.settings import StorageSettings

type Entity = dict[str, Any]

_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_CONNECTIONS = 64  # that are kept, per service
_PAUSES = (0.2, 0.6)  # seconds before the second and the third try
_AGAIN = {408, 429, 500, 502, 503, 504}
_REPEATABLE = {"GET", "PUT", "DELETE"}  # may be sent again where nobody knows whether they were carried out
_NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.SSLError)
_ERRORS: dict[int, type[HttpResponseError]] = {
    404: ResourceNotFoundError,
    409: ResourceExistsError,
    412: ResourceModifiedError,
}
_AUDIENCE = "https://storage.azure.com/.default"
_TOKEN_RESERVE = 300.0  # seconds before its end at which a token is replaced
_INT32 = 2**31
# Published: https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
_EMULATOR = (
    "AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1"
)


class Account:
    """A storage account, by connection string or by identity. Safe for many threads."""

    def __init__(self, settings: StorageSettings, credential: Callable[[], Any]) -> None:
        """`credential` makes what gets tokens (azure.identity is slow to import). Raises ValueError, with no value in it."""
        text = settings.connection_string.get_secret_value() if settings.connection_string else ""
        parts = dict(parse_connection_string(text)) if text else {}
        if parts.get("usedevelopmentstorage", "").lower() == "true":
            parts = dict(parse_connection_string(_EMULATOR))
        self._name = parts.get("accountname") or settings.account_name or ""
        self._key = base64.b64decode(parts.get("accountkey", ""), validate=True)
        self._signature = parts.get("sharedaccesssignature", "").removeprefix("?")
        self._credential = credential
        self._tokens: Any = None
        self._token, self._token_until = "", 0.0
        self._lock = threading.Lock()
        scheme, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
        self._services: dict[str, tuple[urllib3.HTTPConnectionPool, str]] = {}
        manager = urllib3.PoolManager(
            maxsize=_CONNECTIONS, retries=False, timeout=_TIMEOUT, ca_certs=certifi.where(), cert_reqs="REQUIRED"
        )
        for service in ("table", "queue"):
            url = parts.get(f"{service}endpoint") or f"{scheme}://{self._name}.{service}.{suffix}"
            self._services[service] = (manager.connection_from_url(url), urlsplit(url).path.rstrip("/"))
        self._manager = manager

    def close(self) -> None:
        """End the connections."""
        self._manager.clear()

    def request(
        self, service: str, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """One request, tried three times where that does no harm; the answer is a success. Raises AzureError.

        `path` holds the query too, and is encoded; `headers` are named with _ for -.
        """
        pool, prefix = self._services[service]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for pause in (*_PAUSES, None):
            error: AzureError
            wait = pause
            try:
                answer = self._send(pool, service, method, prefix + path, named, body)
            except _NOT_SENT as reason:
                error = ServiceRequestError(f"no connection to {service} storage ({type(reason).__name__})", error=reason)
            except urllib3.exceptions.HTTPError as reason:
                error = ServiceResponseError(f"no answer of {service} storage ({type(reason).__name__})", error=reason)
                wait = pause if method in _REPEATABLE or service == "queue" else None  # a message may come twice
            else:
                if answer.status < 300:
                    return answer
                error = self._refusal(service, answer)
                if answer.status in {401, 403}:  # the token may have been withdrawn
                    with self._lock:
                        self._token_until = 0.0
                if answer.status not in _AGAIN:
                    wait = None
            if wait is None:
                raise error
            time.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311
        raise AssertionError("the last try returns or raises")

    def _send(  # noqa: PLR0917
        self,
        pool: urllib3.HTTPConnectionPool,
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
    ) -> urllib3.BaseHTTPResponse:
        # 2019-02-02 is Table Storage's newest version that the SDK asks for; queues take it as well.
        headers = headers | {"x-ms-version": "2019-02-02", "x-ms-date": formatdate(usegmt=True)}
        if self._signature:
            path += ("&" if "?" in path else "?") + self._signature
        elif self._key:
            headers["Authorization"] = self._signed(service, method, path, headers, body)
        else:
            headers["Authorization"] = f"Bearer {self._bearer()}"
        return pool.urlopen(method, path, body=body, headers=headers, redirect=False)

    def _bearer(self) -> str:
        with self._lock:
            if time.time() > self._token_until:
                self._tokens = self._tokens or self._credential()
                token = self._tokens.get_token(_AUDIENCE)
                self._token, self._token_until = token.token, token.expires_on - _TOKEN_RESERVE
            return self._token

    def _signed(self, service: str, method: str, path: str, headers: dict[str, str], body: bytes | None) -> str:
        """Shared Key Lite for tables, Shared Key for queues; in Azure neither is used.

        https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
        """
        plain, _, query = path.partition("?")
        resource = f"/{self._name}{plain}"
        if service == "table":
            text, scheme = f"{headers['x-ms-date']}\n{resource}", "SharedKeyLite"
        else:
            standard = ["", "", str(len(body)) if body else "", "", headers.get("Content-Type", ""), *[""] * 6]
            own = sorted(f"{name}:{value}" for name, value in headers.items() if name.startswith("x-ms-"))
            asked = sorted(f"{name}:{value}" for name, value in parse_qsl(query))
            text, scheme = "\n".join([method, *standard, *own, resource, *asked]), "SharedKey"
        signature = hmac.new(self._key, text.encode(), hashlib.sha256).digest()
        return f"{scheme} {self._name}:{base64.b64encode(signature).decode()}"

    @staticmethod
    def _refusal(service: str, answer: urllib3.BaseHTTPResponse) -> HttpResponseError:
        code = answer.headers.get("x-ms-error-code", "")
        kind = _ERRORS.get(answer.status, HttpResponseError)
        error = kind(f"{service} storage answered {answer.status} {code}".rstrip())
        error.status_code, error.reason = answer.status, answer.reason
        return error


class Table:
    """One table. Entities are dicts of str, bool, int, float and datetime; a read one has its ETag as `ETag`.

    Storage's own Timestamp is left out.
    """

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    def create(self) -> None:
        """Make the table unless it is there."""
        with contextlib.suppress(ResourceExistsError):
            self._send("POST", "/Tables", {"TableName": self._name})

    def get(self, partition: str, row: str) -> Entity:
        """One entity. Raises ResourceNotFoundError."""
        answer = self._send("GET", self._path(partition, row))
        return _decoded(answer.json()) | {"ETag": answer.headers["ETag"]}

    def insert(self, entity: Entity) -> str:
        """Insert; returns the ETag. Raises ResourceExistsError."""
        return str(self._send("POST", f"/{self._name}", entity).headers["ETag"])

    def replace(self, entity: Entity, etag: str) -> str:
        """Replace the entity with that ETag (`*`: any); returns the new one. Raises ResourceModified- or NotFoundError."""
        path = self._path(entity["PartitionKey"], entity["RowKey"])
        return str(self._send("PUT", path, entity, If_Match=etag).headers["ETag"])

    def put(self, entity: Entity) -> None:
        """Insert, or replace whatever is there."""
        self._send("PUT", self._path(entity["PartitionKey"], entity["RowKey"]), entity)

    def delete(self, partition: str, row: str) -> None:
        """Remove the entity, if there is one."""
        with contextlib.suppress(ResourceNotFoundError):
            self._send("DELETE", self._path(partition, row), If_Match="*")

    def merge(self, entity: Entity) -> None:
        """Insert, or change the properties that are given."""
        self._send("PATCH", self._path(entity["PartitionKey"], entity["RowKey"]), entity)

    def query(self, condition: str) -> Iterator[Entity]:
        """All entities that meet an OData condition."""
        after = ""
        while True:
            answer = self._send("GET", f"/{self._name}()?$filter={quote(condition, safe='')}{after}")
            for item in answer.json()["value"]:
                yield _decoded(item) | {"ETag": item["odata.etag"]}
            marks = {n: answer.headers.get(f"x-ms-continuation-{n}", "") for n in ("NextPartitionKey", "NextRowKey")}
            after = "".join(f"&{name}={quote(mark, safe='')}" for name, mark in marks.items() if mark)
            if not after:
                return

    def _path(self, partition: str, row: str) -> str:
        keys = [quote(key.replace("'", "''"), safe="") for key in (partition, row)]
        return f"/{self._name}(PartitionKey='{keys[0]}',RowKey='{keys[1]}')"

    def _send(self, method: str, path: str, entity: Entity | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        body = None
        # fullmetadata would name the type of each property; minimal names those that JSON does not tell.
        headers |= {"Accept": "application/json;odata=minimalmetadata", "DataServiceVersion": "3.0"}
        if entity is not None:
            headers |= {"Content_Type": "application/json", "Prefer": "return-no-content"}
            body = json.dumps(_encoded(entity)).encode()
        return self._account.request("table", method, path, body, **headers)


class Queue:
    """One queue, whose messages are text in base64."""

    def __init__(self, account: Account, name: str) -> None:
        self._account = account
        self._name = name

    def create(self) -> None:
        """Make the queue unless it is there."""
        with contextlib.suppress(ResourceExistsError):
            self._account.request("queue", "PUT", f"/{self._name}")

    def send_message(self, text: str, *, visibility_timeout: int = 0) -> None:
        """Send a message that is seen after so many seconds and never expires."""
        content = base64.b64encode(text.encode())
        body = b"<QueueMessage><MessageText>" + content + b"</MessageText></QueueMessage>"
        path = f"/{self._name}/messages?messagettl=-1&visibilitytimeout={visibility_timeout}"
        self._account.request("queue", "POST", path, body, Content_Type="application/xml")

    def check(self) -> None:
        """Raises AzureError unless the queue is there."""
        self._account.request("queue", "GET", f"/{self._name}?comp=metadata")


def _encoded(entity: Entity) -> Entity:
    """https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#property-types."""
    encoded: Entity = {}
    for name, value in entity.items():
        match value:
            case str() | bool() | float():
                encoded[name] = value
            case int() if -_INT32 <= value < _INT32:
                encoded[name] = value
            case int():
                encoded |= {name: str(value), f"{name}@odata.type": "Edm.Int64"}
            case datetime():
                text = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
                encoded |= {name: text, f"{name}@odata.type": "Edm.DateTime"}
            case _:
                raise TypeError(f"{name} is of a type that no entity holds here: {type(value).__name__}")
    return encoded


def _decoded(item: Entity) -> Entity:
    entity = {name: value for name, value in item.items() if "odata." not in name and name != "Timestamp"}
    for name, kind in item.items():
        if kind == "Edm.DateTime" and name.endswith("@odata.type"):
            of = name.removesuffix("@odata.type")
            seconds, _, fraction = item[of].removesuffix("Z").partition(".")  # of 7 digits; datetime has 6
            entity[of] = datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
        elif kind == "Edm.Int64" and name.endswith("@odata.type"):
            of = name.removesuffix("@odata.type")
            entity[of] = int(item[of])
    return entity
