"""What the fakes share: HTTP in a thread of its own, the list of calls, faults, outages, and a control API."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

from local.fakes.answers import ANSWERS
from local.fakes.calls import Call, Refused, Reply
from local.fakes.faults import Fault, Faults
from local.fakes.switches import Switches

_HOST = "127.0.0.1"
_SECRET_HEADERS = {"authorization", "cookie", "x-identity-header"}
_SECRET_PATHS = ("/connect/token", "/auth/login", "/oauth2/v2.0/token")


class Server(ABC):
    """A fake service on 127.0.0.1. Its state belongs to the lock; requests change it in the server's thread."""

    service = ""
    switches: Switches

    def __init__(self, port: int, latency: float, seed: int) -> None:
        self.latency = latency
        self.faults = Faults(seed)
        self.lock = threading.RLock()
        self._port = port
        self._calls: list[Call] = []
        self._record = ""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event
        self._http: web.Server
        self._listeners: list[asyncio.Server] = []

    # -- what a service defines ----------------------------------------------------------------------------------------

    @abstractmethod
    def locate(self, call: Call) -> None:
        """Note on the call which mailbox or entity it is about."""

    @abstractmethod
    def answer(self, call: Call) -> Reply:
        """Carry the request out, under the lock. May raise Refused."""

    @abstractmethod
    def error(self, status: int) -> Reply:
        """What the service answers with a status that a fault asks for."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What the control API shows."""

    def control(self, call: Call) -> Reply:
        """Further commands of the control API."""
        return Reply(404, {"error": f"no {call.method} {call.path}"})

    def decorate(self, call: Call, reply: Reply) -> Reply:  # noqa: ARG002
        """Add the headers that every answer of the service has."""
        return reply

    @contextlib.asynccontextmanager
    async def turn(self, call: Call) -> AsyncGenerator[None]:  # noqa: ARG002
        """Wait for the request's turn, or refuse it with Refused; what is inside is the time that it is under way."""
        yield

    def sockets(self) -> list[tuple[socket.socket, Any]]:
        """The sockets to listen on (bound, not listening), with the TLS context of each or None."""
        return [(self.reserve(self._port), None)]

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; returns once requests are served."""
        self._record = os.environ.get("FAKES_RECORD", "")
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name=self.service, daemon=True)
        self._thread.start()
        started.result(30)
        return self

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(30)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the service, without a slash at its end."""
        return f"http://{_HOST}:{self._port}"

    @property
    def calls(self) -> list[Call]:
        """All requests so far, those under way included."""
        with self.lock:
            return list(self._calls)

    @property
    def down(self) -> bool:
        """Whether the service is away: connections are closed, and new ones refused (the port stays reserved)."""
        return not self._listeners

    @down.setter
    def down(self, down: bool) -> None:
        if down != self.down:
            turn = self._close() if down else self._listen()
            asyncio.run_coroutine_threadsafe(turn, self._loop).result(30)

    def reserve(self, port: int) -> socket.socket:
        """A socket that keeps a port for this server while nobody listens on it."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_HOST, port))
        return bound

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._http = web.Server(self._handle, access_log=None)
        self._reserved: list[tuple[socket.socket, Any]] = []
        try:
            self._reserved = self.sockets()
            self._port = self._reserved[0][0].getsockname()[1]
            await self._listen()
        except BaseException as error:  # noqa: BLE001  (raised by start() instead)
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            await self._ending.wait()
        finally:
            await self._close()
            await self._http.shutdown(0.01)  # 0 would mean without end
            for reserved, _ in self._reserved:
                reserved.close()

    async def _listen(self) -> None:
        for reserved, tls in self._reserved:
            _, port = reserved.getsockname()
            listener = await self._loop.create_server(self._http, sock=self.reserve(port), ssl=tls, backlog=1024)
            self._listeners.append(listener)

    async def _close(self) -> None:
        while self._listeners:
            listener = self._listeners.pop()
            listener.close()
            listener.abort_clients()
        await asyncio.sleep(0)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reply: Reply | None = None
        try:
            raw = await request.content.read()
        except ConnectionError:  # the client has died over it
            return _reset(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.method, request.raw_path, headers, _body(raw, headers), raw, client=request)
        if call.path.startswith("/_fake/"):
            call.body = _control_body(raw)
            return _response(self._control(call))
        self.locate(call)
        with self.lock:
            self._calls.append(call)
        try:
            reply = await self._process(call)
            if reply is not None:
                reply = self.decorate(call, reply)
                call.status = reply.status
        finally:
            call.finished = time.monotonic()
            call.client = None
            self._write_down(call, reply)
        return _response(reply) if reply else _reset(request)

    async def _process(self, call: Call) -> Reply | None:
        """The answer, or None where a fault wants the connection closed without one."""
        try:
            async with self.turn(call):
                fault = self.faults.draw(call)
                kind = fault.kind if fault else None
                call.injected = kind in {"status", "status_after"}
                if fault and kind == "slow":
                    await asyncio.sleep(fault.seconds)
                await asyncio.sleep(self.latency)
                if kind == "reset_before":
                    return None
                if fault and kind == "status":
                    return self._fail(fault)
                reply = self._carry_out(call)
                if fault and kind == "status_after":
                    return self._fail(fault)
                if fault and kind == "slow_after":
                    await asyncio.sleep(fault.seconds)
                return None if kind == "reset_after" else reply
        except Refused as refused:
            return refused.reply

    def _carry_out(self, call: Call) -> Reply:
        with self.lock:
            try:
                reply = self.answer(call)
            except Refused as refused:
                return refused.reply
            if reply.status < 300:
                call.carried_out = time.monotonic()
            return reply

    def _fail(self, fault: Fault) -> Reply:
        usual = ANSWERS[fault.answer] if fault.answer else self.error(fault.status or 503)
        body = usual.body if fault.body is None else fault.body
        return Reply(fault.status or usual.status, body, {**usual.headers, **fault.headers})

    def _write_down(self, call: Call, reply: Reply | None) -> None:
        """Append the call to the file that FAKES_RECORD names, without secrets; the answer if it is the service's own."""
        if not self._record:
            return
        path, _, query = call.path.partition("?")
        own = reply is not None and not call.injected and bool(call.mailbox or call.entity)
        line = {
            "service": self.service,
            "method": call.method,
            "path": path,
            "query": query,
            "headers": {n: "(redacted)" if n in _SECRET_HEADERS else v for n, v in call.headers.items()},
            "body": "(redacted)" if path.endswith(_SECRET_PATHS) else call.body,
            "status": call.status,
            "answer": reply.body if reply and own else None,
        }
        file = os.open(self._record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")  # one write: lines of several processes do not mix
        finally:
            os.close(file)

    def _control(self, call: Call) -> Reply:
        match call.method, call.segments[1:]:
            case "GET", ["state"]:
                with self.lock:
                    faults = [asdict(fault) for fault in self.faults.active()]
                    return Reply(200, {"calls": len(self._calls), "faults": faults, **self.state()})
            case "GET", ["switches"]:
                return Reply(200, self.switches.told())
            case "POST", ["switches"]:
                try:
                    self.switches.turn(call.body)
                except (TypeError, ValueError) as error:
                    return Reply(400, {"error": str(error)})
                return Reply(204)
            case "POST", ["faults"]:
                try:
                    self.faults.add(*[Fault(**item) for item in (call.body if isinstance(call.body, list) else [call.body])])
                except (TypeError, ValueError) as error:
                    return Reply(400, {"error": str(error)})
                return Reply(204)
            case "DELETE", ["faults"]:
                self.faults.clear()
                return Reply(204)
        with self.lock:
            return self.control(call)


def _body(raw: bytes, headers: Mapping[str, str]) -> Any:
    if not raw:
        return None
    if "json" in headers.get("content-type", ""):
        with contextlib.suppress(ValueError):
            return json.loads(raw)
    return raw.decode("utf-8", "replace")


def _control_body(raw: bytes) -> Any:
    """JSON, or a form as `curl -d name=value` sends it, which no shell's quotes spoil: a.b=1 is {"a": {"b": 1}}."""
    text = raw.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        return json.loads(text)
    body: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *parents, last = name.split(".")
        place = body
        for parent in parents:
            place = place.setdefault(parent, {})
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    return body or None


def _response(reply: Reply) -> web.Response:
    body, headers = reply.body, dict(reply.headers)
    if body is None:
        return web.Response(status=reply.status, headers=headers)
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    headers.setdefault("Content-Type", "text/html" if isinstance(body, str) else "application/json; charset=utf-8")
    return web.Response(status=reply.status, body=text.encode(), headers=headers)


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the connection with RST, as a broken network does."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
