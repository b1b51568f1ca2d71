"""Acumatica ERP's contract-based REST API: sign-in, sessions with their limit, and records.

https://help.acumatica.com, "Integration Development Guide", chapter "Contract-Based REST API"
"""

import contextlib
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, override

from local.fakes.acumatica import records
from local.fakes.acumatica.inquiries import Inquiries
from local.fakes.acumatica.records import KEYS, SCHEMAS, VERSIONS, Fields, Record, bad_request, http_error
from local.fakes.acumatica.sessions import NOT_SIGNED_IN, Session, Sessions
from local.fakes.acumatica.store import Records, no_entity
from local.fakes.acumatica.switches import AcumaticaSwitches
from local.fakes.answers import page
from local.fakes.calls import Call, Refused, Reply
from local.fakes.server import Server

type Echo = Callable[[str, str, Fields | None, Fields], object]
"""Called with entity, record id, and the record before (None if it is new) and after a write that changed it."""

# Access Rights, 409 and 429: the status tables of the REST topics
_ERRORS = {
    401: NOT_SIGNED_IN,
    403: "You have insufficient rights to access the object.",
    409: "The previous operation has not been completed yet.",
    429: "The request has been declined because it exceeded the limit imposed by the license.",
}


class FakeAcumatica(Records, Sessions, Inquiries, Server):
    """`session_limit` is the licence's number of API users; seats that nobody signs out stay taken until they end.

    `requests_per_minute`: what is over it is declined at once (a real site delays first). None means no limit.
    """

    service = "acumatica"
    switches: AcumaticaSwitches

    def __init__(  # noqa: PLR0917
        self,
        port: int = 0,
        latency: float = 0.0,
        seed: int = 0,
        tenant: str = "Production",
        session_limit: int = 2,
        session_timeout: float = 600.0,
        token_seconds: float = 3600.0,
        echo: Echo | None = None,
        *,
        requests_per_minute: int | None = None,
        switches: AcumaticaSwitches | None = None,
    ) -> None:
        Server.__init__(self, port, latency, seed)
        Sessions.__init__(self, seed, tenant, session_limit, session_timeout, token_seconds)
        Records.__init__(self)
        Inquiries.__init__(self, seed)
        self.switches = switches or AcumaticaSwitches()
        self.requests_per_minute = requests_per_minute
        self.echo = echo
        self.echoes: list[Future[object]] = []
        self.overlaps: list[Call] = []
        self._recent: deque[float] = deque()
        self._pool: ThreadPoolExecutor | None = None

    @override
    def stop(self) -> None:
        super().stop()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    @override
    def locate(self, call: Call) -> None:
        match call.segments:
            case ["entity", "auth", _] | [_, "entity", "auth", _]:
                return
            case ["entity", _, _, entity, *_] | [_, "entity", _, _, entity, *_]:
                call.entity = entity

    @override
    def error(self, status: int) -> Reply:
        return http_error(status, _ERRORS.get(status, "An error has occurred.")).reply

    @override
    def state(self) -> dict[str, Any]:
        return {
            "records": {entity: self.records(entity) for entity in KEYS},
            "sessions": [session.kind for session in self.sessions],
            "sign_ins": self.sign_ins,
            "sign_outs": self.sign_outs,
        }

    @override
    def control(self, call: Call) -> Reply:
        """POST /_fake/records {"entity", "fields", "id"?} makes a record."""
        if (call.method, call.segments) == ("POST", ["_fake", "records"]) and isinstance(call.body, dict):
            entity, fields = call.body.get("entity"), call.body.get("fields")
            if entity in KEYS and isinstance(fields, dict):
                return Reply(200, {"id": self.put_record(entity, fields, call.body.get("id"))})
            return Reply(400, {"error": f"wanted: entity ({', '.join(KEYS)}), fields, id or none"})
        return super().control(call)

    @override
    @contextlib.asynccontextmanager
    async def turn(self, call: Call) -> AsyncGenerator[None]:
        """One request at a time in a session; a second one waits for the first."""
        self._check_rate()
        with self.lock:
            session = self.session(call)
        if session is None:
            yield
            return
        ignored = self.switches.abandoned_calls == "ignore"
        if not all(ignored and other.abandoned for other in session.under_way):
            self.overlaps.append(call)
        session.under_way.append(call)
        session.used = time.monotonic()
        try:
            async with session.turn:
                yield
        finally:
            session.under_way.remove(call)
            session.used = time.monotonic()

    def _check_rate(self) -> None:
        """Topic Limitation of API Connections: requests per minute of the licence."""
        if self.requests_per_minute is None:
            return
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= self.requests_per_minute:
            raise Refused(self.error(429))
        self._recent.append(now)

    @override
    def answer(self, call: Call) -> Reply:
        rooted = call.segments[0] in {"entity", "identity", "Frames", "t", "OData"}
        site, path = ("", call.segments) if rooted else (f"/{call.segments[0]}", call.segments[1:])
        if path == ["Frames", "Maintenance.aspx"]:
            return Reply(200, page("The site is under maintenance"))
        if self.switches.maintenance:
            return Reply(302, page("Object moved"), {"Location": f"{site}/Frames/Maintenance.aspx"})
        match path:
            case ["identity", "connect", "token"] if call.method == "POST":
                return self.token(call)
            case ["entity", "auth", "login"] if call.method == "POST":
                return self.login(call)
            case ["entity", "auth", "logout"] if call.method == "POST":
                return self.logout(call)
            case ["identity", "connect", "token"] | ["entity", "auth", _]:
                return Reply(405, {"message": f"The requested resource does not support http method '{call.method}'."})
            case ["entity"]:
                return self._endpoints()
            case ["entity", endpoint, version, entity, *rest]:
                return self._in_session(call, endpoint, version, entity, *rest)
            case ["t", tenant, "api", "odata", "gi", *rest]:
                return self._by_odata(call, "4", tenant, rest)
            case ["OData", tenant, *rest]:
                return self._by_odata(call, "3", tenant, rest)
        return Reply(404, {"message": f"No HTTP resource was found that matches the request URI '{call.path}'."})

    def _endpoints(self) -> Reply:
        """Topic Retrieval of the List of Endpoints: needs no sign-in."""
        endpoints = [{"name": "Default", "version": version, "href": f"/entity/Default/{version}/"} for version in VERSIONS]
        version = {"acumaticaBuildVersion": "25.201.0213", "databaseVersion": "25.201.0213"}
        return Reply(200, {"version": version, "endpoints": endpoints})

    def _in_session(self, call: Call, *path: str) -> Reply:
        session = self.session(call)
        if session is None:
            raise http_error(401, _ERRORS[401])
        reply = self._entity(call, session, *path)
        # The session of a token is also known by cookies.
        return reply if session.kind == "cookie" else replace(reply, headers=session.cookie)

    def _by_odata(self, call: Call, version: str, tenant: str, path: list[str]) -> Reply:
        """Who asks is checked before what is asked for (seen on 2025 R2). A token's session serves both services."""
        session = self.session(call)
        if session is None or (session.kind == "cookie" and self.switches.odata_cookie == "refused"):
            raise http_error(401, _ERRORS[401])
        if tenant != self.tenant:
            return Reply(404, {"message": f"The tenant {tenant} is not defined."})
        reply = self.odata(call, session, version, path)
        return reply if session.kind == "cookie" else replace(reply, headers={**reply.headers, **session.cookie})

    # -- records -------------------------------------------------------------------------------------------------------

    def _entity(self, call: Call, session: Session, *path: str) -> Reply:
        endpoint, version, entity, *rest = path
        if endpoint.lower() != "default" or version not in VERSIONS:
            return Reply(404, {"message": f"Endpoint {endpoint} of version {version} does not exist."})
        if entity not in KEYS:
            return Reply(404, {"message": f"Entity {entity} is not part of endpoint {endpoint} {version}."})
        if entity in session.forbidden:
            raise http_error(403, _ERRORS[403])
        read_only = entity in session.read_only
        match call.method, rest:
            case "GET", ["$adHocSchema"]:
                return Reply(200, self._schema(entity, version))
            case "GET", []:
                return self._list(call, entity, version)
            case "GET", keys:
                return Reply(200, self._shown(self.get(entity, keys), version, _asked(call)))
            case "DELETE", [*keys] if keys and not read_only:
                self.delete_record(entity, self.get(entity, keys).id)
                return Reply(204)
            case "PUT" | "PATCH", []:
                return self._write(call, entity, version, read_only=read_only)
            case "DELETE", [_, *_]:
                raise http_error(403, _ERRORS[403])
        return Reply(405, {"message": f"The requested resource does not support http method '{call.method}'."})

    def _write(self, call: Call, entity: str, version: str, *, read_only: bool) -> Reply:
        """Topics Update of a Record (PUT, which also makes what is missing) and Update of Particular Fields (PATCH)."""
        fields, custom = records.parse(entity, version, call.body)
        record = self.find(entity, call.body.get("id"), fields)
        if call.method == "PATCH" and record is None:
            return Reply(404, {"message": "No record that satisfies the condition has been found."})
        if record is None and "if-match" in call.headers and self.switches.missing == "no_entity":
            raise no_entity()
        if (record is None and "if-match" in call.headers) or (record is not None and "if-none-match" in call.headers):
            return Reply(412, {"message": "The condition of If-Match or If-None-Match is not satisfied."})
        if record is None and read_only:
            raise http_error(403, _ERRORS[403])
        before = self.whole(record) if record else None
        record = record or self.new(entity)
        if not read_only and self.write(record, fields, custom) and self.echo:
            self._pool = self._pool or ThreadPoolExecutor(4, "acumatica-echo")
            self.echoes.append(self._pool.submit(self.echo, entity, record.id, before, self.whole(record)))
        asked = _asked(call)
        if self.switches.written_fields == "supplied":
            asked["select"] |= fields.keys() | {"id"}
        if self.switches.written_custom == "supplied":
            asked["custom"] |= {f"{view}.{name}" for view, some in custom.items() for name in some}
        return Reply(200, self._shown(record, version, asked))

    def _list(self, call: Call, entity: str, version: str) -> Reply:
        """In $filter, this fake knows only `Field eq 'text'`."""
        found = self.all(entity)
        if condition := call.query.get("$filter"):
            match = re.fullmatch(r"(\w+) eq '((?:[^']|'')*)'", condition.strip())
            if not match or match[1] not in SCHEMAS[entity, version]:
                raise bad_request("$filter", f"'{condition}' is not known to this fake.")
            wanted = records.folded(match[2].replace("''", "'"))
            found = [record for record in found if records.folded(record.fields.get(match[1])) == wanted]
        skip, top = int(call.query.get("$skip", "0")), int(call.query.get("$top", len(found)))
        return Reply(200, [self._shown(record, version, _asked(call)) for record in found[skip : skip + top]])

    def _shown(self, record: Record, version: str, asked: dict[str, set[str]]) -> Fields:
        body = records.shown(record, version, self.custom_fields[record.entity], asked)
        return body | {"_links": {"self": f"/entity/Default/{version}/{record.entity}/{record.id}"}}

    def _schema(self, entity: str, version: str) -> Fields:
        """Topic Retrieval of the List of Custom Fields."""
        template = records.shown(Record(entity, str(uuid.UUID(int=0))), version, self.custom_fields[entity], {
            "select": set(), "custom": {"*"}, "expand": set(SCHEMAS[entity, version]),
        })  # fmt: skip
        return template | {"_workflowActions": {}}


def _asked(call: Call) -> dict[str, set[str]]:
    """What the query names in $select, $custom and $expand."""
    query = call.query
    return {name: set(filter(None, query.get(f"${name}", "").split(","))) for name in ("select", "custom", "expand")}
