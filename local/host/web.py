"""The HTTP front: routes, function keys, and the admin endpoint.

https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
"""

import hmac
import json
import re
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.host.invocations import Invocations
from local.host.worker import Data, Function, HttpRequest, HttpResponse

# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#functions_request_body_size_limit
LARGEST_BODY = 104_857_600

# https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-constraints
_CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "bool": "(?i:true|false)",
    "alpha": "[A-Za-z]+",
    "guid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
}
_PARAMETER = re.compile(r"\{(?P<catch_all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>[^}?]+))?(?P<optional>\?)?\}")


# Runs a function that has another trigger than HTTP, with a text as its message.
type Fire = Callable[[str], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Route:
    """Where an HTTP function listens; `template` is without the host, as in `api/receive`."""

    function: Function
    template: str

    @property
    def methods(self) -> Sequence[str]:
        """The allowed methods; none means all."""
        return [str(method).upper() for method in self.function.trigger.get("methods") or ()]

    @property
    def anonymous(self) -> bool:
        """Whether it can be called without a key."""
        return str(self.function.trigger.get("authLevel", "function")).lower() == "anonymous"

    @property
    def rank(self) -> list[int]:
        """Routes of a lower rank are tried first: literals, then parameters, then a catch-all."""
        return [0 if "{" not in part else 2 if "{*" in part else 1 for part in self.template.split("/")]

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the route parameters when a path fits."""
        match = re.fullmatch(_pattern(self.template), path, re.IGNORECASE)
        return {name: value for name, value in match.groupdict().items() if value} if match else None


def _pattern(template: str) -> str:
    pattern = ""
    for part in template.split("/"):
        parameter = _PARAMETER.fullmatch(part)
        if parameter and parameter["catch_all"]:
            pattern += f"(?:/(?P<{parameter['name']}>.*))?"
        elif parameter and parameter["optional"]:
            pattern += f"(?:/{_group(parameter)})?"
        else:
            pattern += "/"
            position = 0
            for inner in _PARAMETER.finditer(part):
                pattern += re.escape(part[position : inner.start()]) + _group(inner)
                position = inner.end()
            pattern += re.escape(part[position:])
    return pattern + "/?"


def _group(parameter: re.Match[str]) -> str:
    return f"(?P<{parameter['name']}>{_CONSTRAINTS.get(parameter['constraint'] or '', '[^/]+?')})"


def routes(functions: Sequence[Function], prefix: str) -> list[Route]:
    """Return the routes of the HTTP functions, those to try first in front."""
    found = []
    for function in functions:
        if function.trigger_type == "httptrigger":
            route = (function.trigger.get("route") or function.name).strip("/")
            found.append(Route(function, f"{prefix}/{route}" if prefix else route))
    return sorted(found, key=lambda route: route.rank)


class Front:
    """Answers HTTP requests by running functions."""

    def __init__(
        self,
        routes: Sequence[Route],
        invocations: Invocations,
        *,
        key: str,
        fire: Mapping[str, Fire],
    ) -> None:
        """Take, by name in lower case, what the admin endpoint can fire with a text as its input."""
        self._routes = routes
        self._invocations = invocations
        self._key = key
        self._fire = fire
        self._started = time.monotonic()

    def application(self) -> web.Application:
        """Return the application for aiohttp."""
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_get("/admin/host/ping", self._ping)
        application.router.add_get("/admin/host/status", self._status)
        application.router.add_post("/admin/functions/{name}", self._run_function)
        application.router.add_route("*", "/{path:.*}", self._call)
        return application

    async def _call(self, request: web.Request) -> web.Response:
        # A wrong method is a 404 too.
        for route in self._routes:
            params = route.match(request.path)
            if params is not None and (not route.methods or request.method in route.methods):
                break
        else:
            return web.Response(status=404)
        if not route.anonymous and not self._has_key(request):
            return web.Response(status=401)
        # The key of a query is no secret from the function that it opens; Azure passes it too.
        told = HttpRequest(
            method=request.method,
            url=str(request.url),
            headers=_joined(request.headers, str.lower),
            query={name: value for name, value in _joined(request.query).items() if value},
            params=params,
            # Without Content-Length, as in a chunked request, a function is given an empty body.
            body=await request.read() if request.content_length else None,
        )
        answer = await self._invocations.begin(self._invocations.run(route.function, Data("http", told)))
        if answer is None:
            return web.Response(status=500)
        return _response(answer.returned)

    def _has_key(self, request: web.Request) -> bool:
        """Whether a request has the key.

        https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#api-key-authorization
        """
        given = request.headers.get("x-functions-key") or request.query.get("code", "")
        return hmac.compare_digest(given.encode(), self._key.encode())

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _status(self, request: web.Request) -> web.Response:
        if not self._has_key(request):
            return web.Response(status=401)
        uptime = round((time.monotonic() - self._started) * 1000)
        return web.json_response({"id": "local", "state": "Running", "processUptime": uptime})

    async def _run_function(self, request: web.Request) -> web.Response:
        """Fire a function that has another trigger than HTTP.

        https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
        """
        if not self._has_key(request):
            return web.Response(status=401)
        fire = self._fire.get(request.match_info["name"].lower())
        if fire is None:
            return web.Response(status=404)
        try:
            document = json.loads(await request.read() or b"{}")
            text = document.get("input") or ""
        except (ValueError, AttributeError):
            return web.Response(status=400, text='The body must be a JSON object like {"input": "text"}.')
        self._invocations.begin(fire(text if isinstance(text, str) else json.dumps(text)))
        return web.Response(status=202)


def _joined(values: Any, rename: Callable[[str], str] = str) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for name, value in values.items():
        joined.setdefault(rename(name), []).append(value)
    return {name: ",".join(items) for name, items in joined.items()}


def _response(returned: Data | None) -> web.Response:
    if returned is None:
        return web.Response(status=204)
    if not isinstance(returned.value, HttpResponse):
        return web.Response(text=str(returned.value))
    told = returned.value
    response = web.Response(status=told.status, body=told.body)
    for name, value in told.headers.items():
        if name.lower() not in {"content-length", "transfer-encoding"}:
            response.headers[name] = value
    for cookie in told.cookies:
        response.set_cookie(**cookie)
    return response
