"""Acumatica ERP's contract-based REST API: sign-in, sessions with their limit, and records.

https://help.acumatica.com, "Integration Development Guide", chapters "Contract-Based REST API" and "OAuth 2.0 and OIDC"
"""

import asyncio
import contextlib
import copy
import math
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal, override
from urllib.parse import parse_qsl

from local.fakes import records
from local.fakes.records import KEYS, SCHEMAS, VERSIONS, CustomField, Fields, Record, bad_request, http_error
from local.fakes.server import Call, Refused, Reply, Server

type Echo = Callable[[str, str, Fields | None, Fields], object]
"""Called with entity, record id, and the record before (None if it is new) and after a write that changed it."""

_COOKIE = "ASP.NET_SessionId"
_SCOPES = {"api", "offline_access", "openid", "profile", "email", "phone"}
# Access Rights, 409 and 429: the status tables of the REST topics
_ERRORS = {
    401: "You are not logged in.",
    403: "You have insufficient rights to access the object.",
    409: "The previous operation has not been completed yet.",
    429: "The request has been declined because it exceeded the limit imposed by the license.",
}
_LOGIN_LIMIT = "API Login Limit"


@dataclass
class Session:
    """A seat of the licence. One of cookies ends `session_timeout` after its last use, one of a token with the token."""

    id: str
    kind: Literal["cookie", "token", "offline"]
    used: float
    expires: float = math.inf
    refresh_token: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False, compare=False)
    under_way: list[Call] = field(default_factory=list, repr=False, compare=False)


class FakeAcumatica(Server):
    """`session_limit` is the licence's number of API users; seats that nobody signs out stay taken until they end.

    `requests_per_minute`: what is over it is declined at once (a real site delays first). None means no limit.
    """

    service = "acumatica"

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
    ) -> None:
        super().__init__(port, latency, seed)
        self.tenant = tenant
        self.client_id = f"{str(uuid.UUID(int=seed + 11)).upper()}@{tenant}"
        self.client_secret, self.username, self.password = "acumatica-secret", "calendar-api", "acumatica-password"
        self.session_limit = session_limit
        self.session_timeout = session_timeout
        self.token_seconds = token_seconds
        self.requests_per_minute = requests_per_minute
        self.refresh_tokens = True  # False: the Connected Application forbids them
        self.echo = echo
        self.echoes: list[Future[object]] = []
        self.sign_ins = self.sign_outs = self.failed_sign_ins = 0
        self.max_sessions_seen = 0
        self.overlaps: list[Call] = []
        self.forbidden: set[str] = set()  # entities to whose forms the API user has no access
        self.attributes = {"CALEVT"}
        self.custom_fields = {
            "Opportunity": [CustomField("Opportunity", "AttributeCALEVT"), CustomField("Opportunity", "UsrCalendarEventId")],
            "Case": [CustomField("Case", "AttributeCALEVT"), CustomField("Case", "UsrCalendarEventId")],
            "Event": [CustomField("Events", "UsrCalendarEventId")],
            "Task": [CustomField("Tasks", "UsrCalendarEventId")],
            "Appointment": [CustomField("AppointmentRecords", "UsrCalendarEventId")],
        }
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, tuple[Session, float]] = {}
        self._records: dict[str, dict[str, Record]] = {entity: {} for entity in KEYS}
        self._keys: dict[tuple[str, tuple[str, ...]], str] = {}
        self._numbers = 0
        self._recent: deque[float] = deque()
        self._pool: ThreadPoolExecutor | None = None

    # -- for tests and demos -------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[Session]:
        """The open sessions, abandoned ones included."""
        with self.lock:
            self._end_expired()
            return list(self._sessions.values())

    def end_sessions(self) -> None:
        """The site restarts: all sessions are gone."""
        with self.lock:
            self._sessions.clear()
            self._tokens.clear()

    def declare(self, entity: str, view: str, name: str, type_: str = "CustomStringField", max_length: int = 255) -> None:
        """Add a custom field."""
        self.custom_fields[entity].append(CustomField(view, name, type_, max_length))

    def put_record(self, entity: str, fields: Mapping[str, Any], id: str | None = None) -> str:  # noqa: A002
        """Make a record, or replace it; returns its id. Plain values; `custom.View.Field` names a custom field."""
        with self.lock:
            record = Record(entity, (id or str(uuid.uuid4())).lower())
            if record.id in self._records[entity]:
                self.delete_record(entity, record.id)
            self._assign(record, fields)
            self._store(record)
            return record.id

    def change_record(self, entity: str, id: str, fields: Mapping[str, Any]) -> None:  # noqa: A002
        """Change some fields of a record."""
        with self.lock:
            record = self._records[entity][id.lower()]
            self._keys.pop((entity, record.key()), None)
            self._assign(record, fields)
            self._store(record)

    def delete_record(self, entity: str, id: str) -> None:  # noqa: A002
        """Delete a record."""
        with self.lock:
            record = self._records[entity].pop(id.lower())
            self._keys.pop((entity, record.key()), None)

    def record(self, entity: str, id: str) -> Fields | None:  # noqa: A002
        """A record in the contract's shape, with all its details and custom fields; None if there is none."""
        with self.lock:
            record = self._records[entity].get(id.lower())
            return self._whole(record) if record else None

    def records(self, entity: str) -> list[Fields]:
        """All records of an entity."""
        with self.lock:
            return [self._whole(record) for record in self._records[entity].values()]

    def _assign(self, record: Record, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            if name.startswith("custom."):
                _, view, custom = name.split(".")
                record.custom[view, custom] = value
            else:
                record.fields[name] = value

    def _whole(self, record: Record) -> Fields:
        everything = {"select": set[str](), "custom": {"*"}, "expand": set(SCHEMAS[record.entity, VERSIONS[-1]])}
        shown = records.shown(record, VERSIONS[-1], self.custom_fields[record.entity], everything)
        older = {name: {"value": value} for name, value in record.fields.items() if name not in shown}
        return copy.deepcopy({**shown, **older})

    def _store(self, record: Record) -> None:
        record.fields.setdefault("NoteID", record.id)
        self._records[record.entity][record.id] = record
        self._keys[record.entity, record.key()] = record.id

    # -- the server's side ---------------------------------------------------------------------------------------------

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
            session = self._session(call)
        if session is None:
            yield
            return
        if not all(other.abandoned for other in session.under_way):
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
        match call.segments if call.segments[0] in {"entity", "identity"} else call.segments[1:]:  # the site's own path
            case ["identity", "connect", "token"] if call.method == "POST":
                return self._token(call)
            case ["entity", "auth", "login"] if call.method == "POST":
                return self._login(call)
            case ["entity", "auth", "logout"] if call.method == "POST":
                return self._logout(call)
            case ["identity", "connect", "token"] | ["entity", "auth", _]:
                return Reply(405, {"message": f"The requested resource does not support http method '{call.method}'."})
            case ["entity"]:
                return self._endpoints()
            case ["entity", endpoint, version, entity, *rest]:
                return self._in_session(call, endpoint, version, entity, *rest)
        return Reply(404, {"message": f"No HTTP resource was found that matches the request URI '{call.path}'."})

    def _in_session(self, call: Call, *path: str) -> Reply:
        session = self._session(call)
        if session is None:
            raise http_error(401, _ERRORS[401])
        reply = self._entity(call, *path)
        # The session of a token is also known by cookies.
        return reply if session.kind == "cookie" else replace(reply, headers=_cookie(session))

    # -- sessions ------------------------------------------------------------------------------------------------------

    def _end_expired(self) -> None:
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.expires <= now or (session.kind == "cookie" and session.used + self.session_timeout <= now):
                del self._sessions[session.id]

    def _session(self, call: Call) -> Session | None:
        """The session of a request: of its token, else of its cookies."""
        self._end_expired()
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            session, expires = self._tokens.get(token, (None, 0.0))
            return session if session and session.id in self._sessions and expires > time.monotonic() else None
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(call.headers.get("cookie", "")).get(_COOKIE)
            return self._sessions.get(cookie.value) if cookie else None
        return None

    def _open(self, kind: Literal["cookie", "token", "offline"], expires: float = math.inf) -> Session:
        """Topic Limitation of API Connections: with all seats taken, a further sign-in is refused."""
        self._end_expired()
        if len(self._sessions) >= self.session_limit:
            raise http_error(429, _LOGIN_LIMIT)
        session = Session(uuid.uuid4().hex, kind, time.monotonic(), expires)
        self._sessions[session.id] = session
        self.sign_ins += 1
        self.max_sessions_seen = max(self.max_sessions_seen, len(self._sessions))
        return session

    def _login(self, call: Call) -> Reply:
        """Topic Sign In to the Service: 204 and cookies; other tenants are unknown, none means the default one."""
        body = call.body if isinstance(call.body, dict) else _form(call)
        if not {"name", "password"} <= body.keys():
            raise bad_request("credentials", "name and password are required.")
        tenant = body.get("tenant", body.get("company"))
        if tenant and tenant != self.tenant:
            raise http_error(500, f"The tenant {tenant} is not defined.", "PX.Data.PXUndefinedCompanyException")
        if (body["name"], body["password"]) != (self.username, self.password):
            self.failed_sign_ins += 1
            raise http_error(500, "Invalid credentials. Please try again.")
        session = self._open("cookie")
        return Reply(204, None, _cookie(session))

    def _logout(self, call: Call) -> Reply:
        """Topic Sign Out from the Service: IIS wants to know the length of the (empty) body."""
        if "content-length" not in call.headers and "transfer-encoding" not in call.headers:
            return Reply(411, "<h2>Length Required</h2><hr><p>HTTP Error 411.</p>")
        session = self._session(call)
        if session is None:
            raise http_error(401, _ERRORS[401])
        del self._sessions[session.id]
        self.sign_outs += 1
        return Reply(204)

    def _token(self, call: Call) -> Reply:
        """Topics Resource Owner Password Credentials Flow, and Refreshing of an Access Token."""
        form = _form(call)
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return Reply(400, {"error": "invalid_client"})
        match form.get("grant_type"):
            case "password":
                return self._password_grant(form)
            case "refresh_token":
                return self._refresh(form.get("refresh_token", ""))
        return Reply(400, {"error": "unsupported_grant_type"})

    def _password_grant(self, form: Mapping[str, str]) -> Reply:
        """Scope `api`: a token is a session, and ends with it. With `offline_access`, the session outlives its tokens."""
        scopes = set(form.get("scope", "").split())
        offline = "offline_access" in scopes
        if "api" not in scopes or scopes - _SCOPES or (offline and not self.refresh_tokens):
            return Reply(400, {"error": "invalid_scope"})
        if (form.get("username"), form.get("password")) != (self.username, self.password):
            self.failed_sign_ins += 1
            return Reply(400, {"error": "invalid_grant", "error_description": "invalid_username_or_password"})
        if offline:
            return self._issue(self._open("offline"), "api offline_access")
        return self._issue(self._open("token", time.monotonic() + self.token_seconds), "api")

    def _refresh(self, refresh_token: str) -> Reply:
        """A refresh keeps the session, and its token is good for one time."""
        self._end_expired()
        for session in self._sessions.values():
            if refresh_token and session.refresh_token == refresh_token:
                return self._issue(session, "api offline_access")
        return Reply(400, {"error": "invalid_grant"})

    def _issue(self, session: Session, scope: str) -> Reply:
        token = uuid.uuid4().hex
        self._tokens[token] = (session, time.monotonic() + self.token_seconds)
        seconds = max(int(self.token_seconds), 1)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": scope}
        if session.kind == "offline":
            session.refresh_token = uuid.uuid4().hex
            body["refresh_token"] = session.refresh_token
        return Reply(200, body)

    # -- records -------------------------------------------------------------------------------------------------------

    def _endpoints(self) -> Reply:
        """Topic Retrieval of the List of Endpoints: needs no sign-in."""
        endpoints = [{"name": "Default", "version": version, "href": f"/entity/Default/{version}/"} for version in VERSIONS]
        version = {"acumaticaBuildVersion": "25.201.0213", "databaseVersion": "25.201.0213"}
        return Reply(200, {"version": version, "endpoints": endpoints})

    def _entity(self, call: Call, endpoint: str, version: str, entity: str, *rest: str) -> Reply:
        if endpoint.lower() != "default" or version not in VERSIONS:
            return Reply(404, {"message": f"Endpoint {endpoint} of version {version} does not exist."})
        if entity not in KEYS:
            return Reply(404, {"message": f"Entity {entity} is not part of endpoint {endpoint} {version}."})
        if entity in self.forbidden:
            raise http_error(403, _ERRORS[403])
        match call.method, rest:
            case "GET", ["$adHocSchema"]:
                return Reply(200, self._schema(entity, version))
            case "GET", []:
                return self._list(call, entity, version)
            case "GET", keys:
                return Reply(200, self._shown(call, self._get(entity, keys), version))
            case "DELETE", [*keys] if keys:
                self.delete_record(entity, self._get(entity, keys).id)
                return Reply(204)
            case "PUT" | "PATCH", []:
                return self._write(call, entity, version)
        return Reply(405, {"message": f"The requested resource does not support http method '{call.method}'."})

    def _write(self, call: Call, entity: str, version: str) -> Reply:
        """Topics Update of a Record (PUT, which also makes what is missing) and Update of Particular Fields (PATCH)."""
        fields, custom = records.parse(entity, version, call.body)
        record = self._find(entity, call.body.get("id"), fields)
        if call.method == "PATCH" and record is None:
            return Reply(404, {"message": "No record that satisfies the condition has been found."})
        if (record is None and "if-match" in call.headers) or (record is not None and "if-none-match" in call.headers):
            return Reply(412, {"message": "The condition of If-Match or If-None-Match is not satisfied."})
        before = self._whole(record) if record else None
        record = record or self._new(entity)
        old_key = (entity, record.key())
        changed = records.apply(record, fields, custom, self.custom_fields[entity], self.attributes)
        if before is not None:
            self._keys.pop(old_key, None)
        self._store(record)
        if changed and self.echo:
            self._pool = self._pool or ThreadPoolExecutor(4, "acumatica-echo")
            self.echoes.append(self._pool.submit(self.echo, entity, record.id, before, self._whole(record)))
        return Reply(
            200, self._shown(call, record, version, {f"{view}.{name}" for view, some in custom.items() for name in some})
        )

    def _find(self, entity: str, record_id: Any, fields: Fields) -> Record | None:
        """By `id`, else by all key fields."""
        if record_id is not None:
            if not records.is_guid(record_id):
                raise bad_request("id", f"Error converting value '{record_id}' to type 'System.Guid'.")
            return self._records[entity].get(record_id.lower())
        if not set(KEYS[entity]) <= fields.keys():
            return None
        key = tuple(records.folded(fields[name].get("value")) for name in KEYS[entity])
        return self._records[entity].get(self._keys.get((entity, key), ""))

    def _new(self, entity: str) -> Record:
        self._numbers += 1
        record = Record(entity, str(uuid.uuid4()))
        record.fields = {name: record.id if name == "NoteID" else f"NEW{self._numbers:06}" for name in KEYS[entity]}
        return record

    def _get(self, entity: str, keys: list[str] | tuple[str, ...]) -> Record:
        known = self._records[entity]
        record = known.get(keys[0].lower()) if len(keys) == 1 else None
        record = record or known.get(self._keys.get((entity, tuple(records.folded(key) for key in keys)), ""))
        if record is None:  # 500, not 404
            kind = "PX.Api.ContractBased.NoEntitySatisfiesTheConditionException"
            raise http_error(500, "No entity satisfies the condition.", kind)
        return record

    def _list(self, call: Call, entity: str, version: str) -> Reply:
        """In $filter, this fake knows only `Field eq 'text'`."""
        found = list(self._records[entity].values())
        if condition := call.query.get("$filter"):
            match = re.fullmatch(r"(\w+) eq '((?:[^']|'')*)'", condition.strip())
            if not match or match[1] not in SCHEMAS[entity, version]:
                raise bad_request("$filter", f"'{condition}' is not known to this fake.")
            wanted = records.folded(match[2].replace("''", "'"))
            found = [record for record in found if records.folded(record.fields.get(match[1])) == wanted]
        skip, top = int(call.query.get("$skip", "0")), int(call.query.get("$top", len(found)))
        return Reply(200, [self._shown(call, record, version) for record in found[skip : skip + top]])

    def _shown(self, call: Call, record: Record, version: str, custom: set[str] | None = None) -> Fields:
        wanted = {
            name: set(filter(None, call.query.get(f"${name}", "").split(","))) for name in ("select", "custom", "expand")
        }
        wanted["custom"] |= custom or set()
        body = records.shown(record, version, self.custom_fields[record.entity], wanted)
        return body | {"_links": {"self": f"/entity/Default/{version}/{record.entity}/{record.id}"}}

    def _schema(self, entity: str, version: str) -> Fields:
        """Topic Retrieval of the List of Custom Fields."""
        template = records.shown(Record(entity, str(uuid.UUID(int=0))), version, self.custom_fields[entity], {
            "select": set(), "custom": {"*"}, "expand": set(SCHEMAS[entity, version]),
        })  # fmt: skip
        return template | {"_workflowActions": {}}


def _cookie(session: Session) -> dict[str, str]:
    return {"Set-Cookie": f"{_COOKIE}={session.id}; path=/; HttpOnly"}


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.body if isinstance(call.body, str) else "", keep_blank_values=True))
