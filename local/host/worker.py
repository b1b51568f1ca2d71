"""The seam to Microsoft's worker library, which indexes function_app.py and runs its functions as it does in Azure.

Azure's worker is a gRPC process around the package `azure-functions-runtime`. Here the package is called directly, with
plain objects where it expects protobuf messages. It documents no such use: the version is pinned and checked.
The messages: https://github.com/Azure/azure-functions-language-worker-protobuf
"""

import importlib.metadata
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from local.host.config import ConfigError

RUNTIME = "azure-functions-runtime"
RUNTIME_VERSION = "1.3.0"  # as in requirements-run.in

type Binding = Mapping[str, Any]


class FunctionError(Exception):
    """A function raised, or its result fits no binding; `trace` is its traceback, without the library's own frames."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


class IndexingError(FunctionError):
    """The library refuses the app."""


@dataclass(frozen=True)
class Function:
    """A function of the app, with its bindings as the library reports them (the shape of a function.json)."""

    name: str
    id: str
    bindings: Sequence[Binding]

    @property
    def trigger(self) -> Binding:
        """The binding that starts it."""
        return next(b for b in self.bindings if b["type"].lower().endswith("trigger"))

    @property
    def trigger_type(self) -> str:
        """For instance httptrigger, in lower case."""
        return str(self.trigger["type"]).lower()

    @property
    def outputs(self) -> Mapping[str, Binding]:
        """Its output bindings by name; that of the returned value is named $return."""
        return {b["name"]: b for b in self.bindings if str(b.get("direction")).lower() == "out"}


@dataclass(frozen=True)
class Data:
    """A value that crosses the seam; `kind` says how to read it."""

    kind: Literal["string", "bytes", "json", "int", "double", "http"]
    value: Any


@dataclass(frozen=True)
class HttpRequest:
    """What a function is told of an HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    params: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True)
class HttpResponse:
    """What a function answers to an HTTP request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Answer:
    """What a function gave back: the values for its output bindings, and the returned one."""

    outputs: Mapping[str, Data]
    returned: Data | None


class Worker:
    """Microsoft's worker library with one app in it. A process can load one app only."""

    def __init__(self) -> None:
        installed = _installed_version()
        if installed != RUNTIME_VERSION:
            raise ConfigError(
                f"This host is made for {RUNTIME} {RUNTIME_VERSION}; installed is {installed}. Run `make setup`, or, "
                "to move to the other version, change it in requirements-run.in and in local/host/worker.py, run `make "
                "requirements`, and run the tests."
            )
        import azure_functions_runtime  # noqa: PLC0415 - after the check above

        self._library = azure_functions_runtime

    async def load(self, app: Path) -> list[Function]:
        """Index the app's function_app.py and return its functions; raise IndexingError where Azure would refuse it."""
        # On Azure's old Linux Consumption plan this variable is set, and the library looks for its files there.
        os.environ.pop("CONTAINER_NAME", None)
        sys.path.insert(0, str(app))
        self._library.start_threadpool_executor()
        reporting = logging.getLogger("azure.functions")
        reporting.disabled = True  # it reports failures twice, with the whole sys.path; IndexingError has what matters
        try:
            init = SimpleNamespace(capabilities={}, function_app_directory=str(app))
            response = await self._library.worker_init_request(_request(worker_init_request=init))
        finally:
            reporting.disabled = False
        _check(response, IndexingError)
        response = await self._library.functions_metadata_request(_request(functions_metadata_request=None))
        _check(response, IndexingError)
        return [
            Function(found.name, found.function_id, [json.loads(b) for b in found.raw_bindings])
            for found in response.function_metadata_results or ()
        ]

    async def invoke(self, function: Function, invocation_id: str, value: Data, metadata: Mapping[str, Data]) -> Answer:
        """Run a function with the value of its trigger; raise FunctionError when it fails."""
        invocation = SimpleNamespace(
            function_id=function.id,
            invocation_id=invocation_id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=_typed_data(value))],
            trigger_metadata={name: _typed_data(data) for name, data in metadata.items()},
            trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
            retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        )
        response = await self._library.invocation_request(_request(invocation_request=invocation))
        _check(response, FunctionError)
        outputs = {output.name: _data(output.data) for output in response.output_data}
        return Answer(
            outputs={name: data for name, data in outputs.items() if data},
            returned=_data(response.return_value),
        )

    def stop(self) -> None:
        """End the threads that run functions."""
        self._library.stop_threadpool_executor()


def _installed_version() -> str:
    try:
        return importlib.metadata.version(RUNTIME)
    except importlib.metadata.PackageNotFoundError:
        return "none"


# ---- fakes of the protobuf messages ------------------------------------------------------------------------------


class TypedData(SimpleNamespace):
    """The union of the kinds of values: exactly one field is set."""

    def WhichOneof(self, _union: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return the name of the field that is set."""
        return next((name for name, value in vars(self).items() if value is not None), None)


class ParameterBinding(SimpleNamespace):
    """A named value."""

    def WhichOneof(self, _union: str) -> str:  # noqa: N802 - protobuf's name
        """Say that the value is inline, not in shared memory."""
        return "data"


class StatusResult(SimpleNamespace):
    """How a request to the worker ended."""

    Failure = 0
    Success = 1


class BindingInfo(SimpleNamespace):
    """A binding of a function."""

    undefined = 0
    out = 1
    inout = 2


class RpcHttpCookie(SimpleNamespace):
    """A cookie that a function sets."""

    SameSite = IntEnum("SameSite", {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})


_PLAIN = (
    "FunctionMetadataResponse",
    "InvocationResponse",
    "NullableBool",
    "NullableDouble",
    "NullableString",
    "NullableTimestamp",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcRetryOptions",
    "Timestamp",
    "WorkerInitResponse",
    "WorkerMetadata",
)

_PROTOS = SimpleNamespace(
    **dict.fromkeys(_PLAIN, SimpleNamespace),
    TypedData=TypedData,
    ParameterBinding=ParameterBinding,
    StatusResult=StatusResult,
    BindingInfo=BindingInfo,
    RpcHttpCookie=RpcHttpCookie,
)


def _request(**content: Any) -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(**content), properties={"protos": _PROTOS, "host": "127.0.0.1"})


def _check(response: Any, error: type[FunctionError]) -> None:
    if response.result.status != StatusResult.Success:
        problem = response.result.exception
        raise error(problem.message, essence(problem.stack_trace))


def _typed_data(data: Data) -> TypedData:
    if isinstance(data.value, HttpRequest):
        request = vars(data.value) | {"body": TypedData(bytes=data.value.body)}
        return TypedData(http=SimpleNamespace(**request))
    return TypedData(**{data.kind: data.value})


def _data(typed: TypedData | None) -> Data | None:
    kind: Any = typed.WhichOneof("data") if typed else None
    if kind is None:
        return None
    value = getattr(typed, kind)
    return Data(kind, _http_response(value) if kind == "http" else value)


def _http_response(http: Any) -> HttpResponse:
    return HttpResponse(
        status=int(http.status_code),
        headers=http.headers,
        body=http.body.bytes,
        cookies=[_cookie(cookie) for cookie in http.cookies or ()],
    )


def _cookie(cookie: Any) -> Mapping[str, Any]:
    same_site = {1: "Lax", 2: "Strict", 3: "None"}.get(int(cookie.same_site))
    fields = {
        "name": cookie.name,
        "value": cookie.value,
        "domain": _nullable(cookie.domain),
        "path": _nullable(cookie.path),
        "expires": _nullable(cookie.expires),
        "max_age": _nullable(cookie.max_age),
        "secure": _nullable(cookie.secure),
        "httponly": _nullable(cookie.http_only),
        "samesite": same_site,
    }
    return {name: value for name, value in fields.items() if value not in {None, ""}}


def _nullable(field: Any) -> Any:
    return field.value if field else None


_LIBRARY_FRAME = re.compile(r'  File "[^"]*(?:azure_functions_runtime|importlib|concurrent.futures)\b')


def essence(trace: str) -> str:
    """Return a traceback without the frames of the library and of the import machinery."""
    # For a failed import the library raises a second error that only adds its sys.path to the message of the first.
    first, separator, second = trace.partition("\nDuring handling of the above exception, another exception occurred:\n")
    lines = (first if separator and "Cannot find module. Please check" in second else trace).splitlines()
    kept: list[str] = []
    skipping = False
    for line in lines:
        if line.startswith("  File "):
            skipping = bool(_LIBRARY_FRAME.match(line))
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    if not any(line.startswith("  File ") for line in kept):  # raised by the library itself
        kept = [re.sub(r"^azure_functions_runtime[\w.]*\.", "", line) for line in kept if line[:10] != "Traceback "]
    return "\n".join(kept).strip()
