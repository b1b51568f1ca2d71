"""The azd hooks, run as azd runs them, with fakes of `az` and `azd` that write down what they are asked."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HOOKS = Path(__file__).resolve().parent.parent.parent / "infra/hooks"
TOOL = f"""#!{sys.executable}
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
name, arguments = os.path.basename(__file__), sys.argv[1:]
call = {{"tool": name, "arguments": arguments}}
if "--file" in arguments:
    path = arguments[arguments.index("--file") + 1]
    call |= {{"file": open(path).read(), "path": path, "mode": oct(os.stat(path).st_mode & 0o777)}}
with open(os.path.join(here, "calls"), "a") as log:
    log.write(json.dumps(call) + "\\n")
answers = json.load(open(os.path.join(here, "answers")))
for start, answer in answers.items():
    if " ".join([name, *arguments]).startswith(start):
        print(json.dumps(answer))
        break
"""
ENVIRONMENT = {
    "AZURE_FUNCTION_NAME": "func-1",
    "AZURE_RESOURCE_GROUP": "rg-1",
    "AZURE_KEY_VAULT_NAME": "kv-1",
    "APP_IDENTITY_CLIENT_ID": "the-client-id",
    "APP_IDENTITY_OBJECT_ID": "the-object-id",
}


class Desk:
    """A machine with az and azd."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("az", "azd"):
            (folder / name).write_text(TOOL)
            (folder / name).chmod(0o755)
        self.answers: dict[str, Any] = {
            "az functionapp function list": [{"name": "func-1/notifications"}, {"name": "func-1/apply"}],
            "az functionapp config appsettings list": [
                {"name": "ACUMATICA_PASSWORD", "value": "@Microsoft.KeyVault(…)"},
                {"name": "RUNS_KEY", "value": "@Microsoft.KeyVault(…)"},
                {"name": "ACUMATICA_URL", "value": "https://erp.example.com"},
            ],
            "az keyvault secret list": [],
            "az functionapp show": {"id": "/subscriptions/1/sites/func-1"},
        }

    def run(self, hook: str, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers").write_text(json.dumps(self.answers))
        return subprocess.run(
            [sys.executable, str(HOOKS / hook), *arguments],
            env={"PATH": f"{self.folder}:{os.environ['PATH']}", **ENVIRONMENT, **environment},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            start_new_session=True,  # without a terminal, what is typed comes from standard input
        )

    def calls(self, start: str = "") -> list[dict[str, Any]]:
        path = self.folder / "calls"
        calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [call for call in calls if " ".join([call["tool"], *call["arguments"]]).startswith(start)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@contextmanager
def app(status: int, body: bytes, *, broken: int = 0) -> Iterator[str]:
    """An app that answers like this, after some answers of the platform's front end."""
    left = [broken]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            left[0] -= 1
            code, content = (502, b"<html>starting</html>") if left[0] >= 0 else (status, body)
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def health(*not_ready: str, python: str = "3.13") -> bytes:
    status = "not ready" if not_ready else "ready"
    return json.dumps({"status": status, "version": "0.1.0", "python": python, "not_ready": not_ready}).encode()


def test_after_deployment_the_values_for_acumatica_are_told(desk: Desk) -> None:
    with app(200, health()) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 0, done.stderr
    for text in (f"{url}/api/notifications", "x-functions-key", "keys list --function-name notifications -n func-1 -g rg-1"):
        assert text in done.stdout
    assert "-ClientId the-client-id -ObjectId the-object-id" in done.stdout
    assert "functions: apply, notifications" in done.stdout
    assert not desk.calls("az functionapp function keys"), "no key is read, let alone printed"


def test_what_is_missing_is_told(desk: Desk) -> None:
    with app(503, health("settings")) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 0, done.stderr
    assert "python infra/hooks/set_secrets.py" in done.stdout


def test_an_app_that_does_not_answer_is_a_problem(desk: Desk) -> None:
    with app(404, b"") as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url, HEALTH_WAIT_SECONDS="0")
    assert done.returncode == 1
    assert "gives no answer of the app" in done.stderr
    assert "/api/notifications" in done.stdout


def test_another_python_is_a_problem(desk: Desk) -> None:
    with app(200, health(python="3.11")) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 1
    assert "runs on Python 3.11, not on 3.13" in done.stderr


def test_secrets_are_asked_for_and_stored_without_being_seen(desk: Desk) -> None:
    done = desk.run("set_secrets.py", typed="p4ss word\n")
    assert done.returncode == 0, done.stderr
    stored = {
        call["arguments"][call["arguments"].index("--name") + 1]: call for call in desk.calls("az keyvault secret set")
    }
    assert set(stored) == {"acumatica-password", "runs-key"}
    assert stored["acumatica-password"]["file"] == "p4ss word"
    assert len(stored["runs-key"]["file"]) >= 40
    for call in stored.values():
        assert call["mode"] == "0o600"
        assert not Path(call["path"]).exists()
        for seen in (done.stdout, done.stderr, json.dumps([c["arguments"] for c in desk.calls()])):
            assert call["file"] not in seen
    assert desk.calls("az rest --method post")
    assert desk.calls("az functionapp restart")


def test_secrets_that_are_set_are_left_alone_unless_named(desk: Desk) -> None:
    desk.answers["az keyvault secret list"] = [{"name": "acumatica-password"}, {"name": "runs-key"}]
    assert desk.run("set_secrets.py").returncode == 0
    assert not desk.calls("az keyvault secret set")
    assert not desk.calls("az functionapp restart")
    assert desk.run("set_secrets.py", "ACUMATICA_PASSWORD", typed="new\n").returncode == 0
    assert [call["file"] for call in desk.calls("az keyvault secret set")] == ["new"]


def test_a_secret_that_does_not_exist_is_refused(desk: Desk) -> None:
    done = desk.run("set_secrets.py", "PASSWORD")
    assert (done.returncode, "There is no secret PASSWORD" in done.stderr) == (2, True)


def test_new_roles_are_waited_for_once(desk: Desk) -> None:
    first = desk.run("postprovision.py", ROLES_WAIT_SECONDS="0")
    assert "waiting" in first.stdout
    assert [call["arguments"] for call in desk.calls("azd env set")] == [["env", "set", "ROLES_SPREAD_FOR", "the-object-id"]]
    again = desk.run("postprovision.py", ROLES_WAIT_SECONDS="600", ROLES_SPREAD_FOR="the-object-id")
    assert (again.returncode, again.stdout) == (0, "")


def test_a_hook_without_an_environment_says_what_to_do(desk: Desk) -> None:
    done = desk.run("postdeploy.py")  # no SERVICE_APP_URI
    assert done.returncode == 1
    assert "SERVICE_APP_URI is not in the azd environment: run `azd provision` first" in done.stderr
