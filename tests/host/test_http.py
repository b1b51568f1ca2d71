"""HTTP functions behave as in Azure."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite
from local.host import HostProcess, start
from tests.host.conftest import call, write_app

APP = """
import json

@app.route("echo/{word}/{number:int?}", methods=["POST", "PUT"], auth_level=func.AuthLevel.ANONYMOUS)
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method, "url": req.url, "headers": dict(req.headers), "query": dict(req.params),
        "params": dict(req.route_params), "body": req.get_body().decode(),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json", headers={"X-One": "1"})

@app.route("echo/special", auth_level=func.AuthLevel.ANONYMOUS)
def special(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("special", status_code=201)

@app.route("files/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
def files(req: func.HttpRequest) -> str:
    return req.route_params.get("path", "nothing")

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204, headers={"Set-Cookie": "a=b; Path=/; HttpOnly; SameSite=Lax"})

@app.route()
def secret(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("opened")

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("broken on purpose")

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
async def later(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("later")

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def environment(req: func.HttpRequest) -> func.HttpResponse:
    import os
    return func.HttpResponse(json.dumps(dict(os.environ)))
"""


@pytest.fixture(scope="module")
def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    """Run one app for all tests of this module."""
    app = write_app(tmp_path_factory.mktemp("http"), APP)
    settings = {"AzureWebJobsStorage": azurite.new_account(), "CONTAINER_NAME": "trap", "MY_SETTING": "1"}
    with start(app=app, env=settings) as running:
        yield running


def test_a_function_is_told_of_its_request(host: HostProcess) -> None:
    """Method, address, lower-case headers, joined query values, route parameters and body arrive."""
    reply = call(host, "POST", "/api/echo/a%20b/7?x=1&x=2&empty=&y=%C3%A4", b"body", {"X-Mixed-Case": "V"})
    seen = json.loads(reply.body)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-one"] == "1"
    assert seen["method"] == "POST"
    assert seen["url"].startswith(f"{host.url}/api/echo/a%20b/7?")
    assert seen["headers"]["x-mixed-case"] == "V"
    assert seen["query"] == {"x": "1,2", "y": "ä"}
    assert seen["params"] == {"word": "a b", "number": "7"}
    assert seen["body"] == "body"


def test_a_chunked_body_does_not_arrive(host: HostProcess) -> None:
    """Without Content-Length a function sees an empty body."""
    reply = call(host, "POST", "/api/echo/word", iter([b"chunk"]))
    assert json.loads(reply.body)["body"] == ""


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/echo/word", 200),
        ("PUT", "/API/Echo/word/", 200),
        ("GET", "/api/echo/word", 404),
        ("POST", "/api/echo/word/no-number", 404),
        ("POST", "/echo/word", 404),
        ("GET", "/", 404),
        ("GET", "/api/secret", 401),
        ("GET", "/api/secret?code=wrong", 401),
        ("GET", "/api/broken", 500),
        ("GET", "/api/cookies", 204),
        ("GET", "/admin/host/ping", 200),
        ("GET", "/admin/host/status", 401),
        ("POST", "/admin/functions/secret", 401),
    ],
)
def test_status(host: HostProcess, method: str, path: str, status: int) -> None:
    """A wrong method is a 404, a missing key a 401, an exception a 500."""
    assert call(host, method, path).status == status


def test_a_literal_route_wins(host: HostProcess) -> None:
    """Of two routes that fit, the literal one is taken."""
    assert call(host, "POST", "/api/echo/special").status == 201


def test_a_catch_all_takes_the_rest(host: HostProcess) -> None:
    """{*path} may hold slashes, or nothing; a returned string is a 200."""
    reply = call(host, "GET", "/api/files/a/b%2Fc.txt")
    assert (reply.status, reply.body) == (200, b"a/b/c.txt")
    assert call(host, "GET", "/api/files").body == b"nothing"


def test_the_key_opens_a_function(host: HostProcess) -> None:
    """It is taken from the header or from the query."""
    assert call(host, "GET", "/api/secret", headers={"x-functions-key": host.key}).body == b"opened"
    assert call(host, "GET", f"/api/secret?code={host.key}").body == b"opened"


def test_an_exception_is_a_bare_500_and_a_line_in_the_log(host: HostProcess) -> None:
    """The caller learns nothing; the log has the function and the app's own frames."""
    assert call(host, "GET", "/api/broken").body == b""
    assert "Executed 'Functions.broken' (Failed, Id=" in host.log
    assert "ValueError: broken on purpose" in host.log
    assert "azure_functions_runtime" not in host.log


def test_cookies_are_set(host: HostProcess) -> None:
    """A Set-Cookie header crosses the worker library as a cookie."""
    cookie = call(host, "GET", "/api/cookies").headers["set-cookie"]
    assert sorted(cookie.split("; ")) == ["HttpOnly", "Path=/", "SameSite=Lax", "a=b"]


def test_async_functions_run(host: HostProcess) -> None:
    """Functions may be coroutines."""
    assert call(host, "GET", "/api/later").body == b"later"


def test_the_app_sees_its_settings(host: HostProcess) -> None:
    """Settings are environment variables, but CONTAINER_NAME, which would change what the library does, is left out."""
    seen = json.loads(call(host, "GET", "/api/environment").body)
    assert seen["MY_SETTING"] == "1"
    assert seen["WEBSITE_HOSTNAME"] == f"127.0.0.1:{host.port}"
    assert "CONTAINER_NAME" not in seen


def test_status_page(host: HostProcess) -> None:
    """With the key, the host says that it runs."""
    reply = call(host, "GET", "/admin/host/status", headers={"x-functions-key": host.key})
    assert json.loads(reply.body)["state"] == "Running"


def test_what_starts_it_learns_its_functions(host: HostProcess) -> None:
    """The ready file names every function and the addresses of those that HTTP starts."""
    assert host.functions["secret"] == f"{host.url}/api/secret"
    assert f"x-functions-key: {host.key}" in host.log


def test_local_settings_are_overridden_by_the_environment(azurite: Azurite, tmp_path: Path) -> None:
    """local.settings.json gives settings, the environment wins; the route prefix may be empty."""
    app = write_app(tmp_path, APP, {"extensions": {"http": {"routePrefix": ""}}})
    values = {"ONE": "from the file", "TWO": "from the file", "AzureWebJobsStorage": azurite.new_account()}
    (app / "mine.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}), encoding="utf-8")
    with start(app=app, env={"TWO": "2"}, arguments=("--settings", str(app / "mine.json"))) as running:
        seen = json.loads(call(running, "GET", "/environment").body)
        assert (seen["ONE"], seen["TWO"]) == ("from the file", "2")
