"""The azd hooks, run as azd runs them, with fakes of `az` and `azd` that write down what they are asked."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

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
        if answer == "fails":
            sys.exit("refused")
        print(json.dumps(answer))
        break
"""
SYSTEM = {name: os.environ[name] for name in ("SYSTEMROOT", "PATHEXT", "TEMP", "COMSPEC") if name in os.environ}
types_secrets = pytest.mark.skipif(os.name == "nt", reason="NOT RUN: on Windows, passwords are typed at a console only")
ENVIRONMENT = {
    "AZURE_SUBSCRIPTION_ID": "the-subscription",
    "AZURE_FUNCTION_NAME": "func-1",
    "AZURE_RESOURCE_GROUP": "rg-1",
    "AZURE_KEY_VAULT_NAME": "kv-1",
    "APP_IDENTITY_CLIENT_ID": "the-client-id",
    "APP_IDENTITY_OBJECT_ID": "the-object-id",
}


def reference(name: str, status: str = "Resolved", version: str = "version-2") -> dict[str, Any]:
    """What Azure says of a Key Vault reference."""
    return {"name": name, "properties": {"status": status, "details": "as it is", "activeVersion": version}}


class Desk:
    """A machine with az and azd."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, sys.executable
        for name in ("az", "azd"):
            (folder / name).write_text(TOOL, encoding="utf-8")
            (folder / name).chmod(0o755)
            if os.name == "nt":  # as the real ones are started there
                (folder / f"{name}.cmd").write_text(f'@"{sys.executable}" "%~dp0{name}" %*\n', encoding="utf-8")
        self.answers: dict[str, Any] = {
            "az functionapp function list": [{"name": "func-1/notifications"}, {"name": "func-1/apply"}],
            "az functionapp config appsettings list": [
                {"name": "ACUMATICA_PASSWORD", "value": "@Microsoft.KeyVault(…)"},
                {"name": "RUNS_KEY", "value": "@Microsoft.KeyVault(…)"},
                {"name": "ACUMATICA_URL", "value": "https://erp.example.com"},
            ],
            "az keyvault secret list": [],
            "az functionapp show": {"id": "/subscriptions/1/sites/func-1"},
            "az keyvault secret set": {"id": "https://kv-1.example/secrets/name/version-2"},
            "az rest --method get": {"value": [reference("ACUMATICA_PASSWORD"), reference("RUNS_KEY")]},
        }

    def run(self, hook: str, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers").write_text(json.dumps(self.answers))
        return subprocess.run(
            [self.python, str(HOOKS / hook), *arguments],
            env={**SYSTEM, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", **ENVIRONMENT, **environment},
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


def health(*not_ready: str, python: str = "3.13", **more: Any) -> bytes:
    status = "not ready" if not_ready else "ready"
    body = {"status": status, "version": "1.2.3", "python": python, "not_ready": not_ready}
    return json.dumps(body | more).encode()


def test_after_deployment_the_values_for_acumatica_are_told(desk: Desk) -> None:
    with app(200, health()) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 0, done.stderr
    for text in (f"{url}/api/notifications", "x-functions-key", "keys list --function-name notifications -n func-1 -g rg-1"):
        assert text in done.stdout
    assert "-ClientId the-client-id -ObjectId the-object-id" in done.stdout
    assert "functions: apply, notifications" in done.stdout
    assert not desk.calls("az functionapp function keys"), "no key is read, let alone printed"


def test_what_is_missing_is_told_with_the_command_that_sets_it(desk: Desk) -> None:
    missing = ["ACUMATICA_PASSWORD", "ACUMATICA_URL", "RELAY_CRM"]
    with app(503, health("settings", missing=missing)) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 0, done.stderr
    assert "azd env set ACUMATICA_URL …" in done.stdout
    python = "python" if os.name == "nt" else "python3"
    assert "Name RELAY_CRM in RELAYS" in done.stdout
    assert f"Set the secrets ACUMATICA_PASSWORD, RELAY_CRM:\n      {python} infra/hooks/set_secrets.py" in done.stdout
    assert "azd env set ACUMATICA_PASSWORD" not in done.stdout


def test_the_warnings_of_health_are_told_too(desk: Desk) -> None:
    with app(200, health(warnings=["no mapping is active"])) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert "No mapping is active: docs/mapping.md." in done.stdout


def test_the_queries_of_the_alerts_are_run_once_there_is_an_app(desk: Desk) -> None:
    """Azure was told not to look at them when the alerts were made: in a new workspace it would have refused them."""
    with app(200, health()) as url:
        desk.answers["az rest --method post --url https://api.applicationinsights.io/v1/apps/id-1/query"] = {"tables": []}
        fine = desk.run("postdeploy.py", SERVICE_APP_URI=url, APP_INSIGHTS_ID="id-1")
        desk.answers["az rest --method post --url https://api.applicationinsights.io/v1/apps/id-1/query"] = "fails"
        refused = desk.run("postdeploy.py", SERVICE_APP_URI=url, APP_INSIGHTS_ID="id-1")
    asked = [json.loads(call["arguments"][-3])["query"] for call in desk.calls("az rest --method post")]
    queries = sorted((HOOKS.parent / "queries").glob("*.kql"))
    assert asked == 2 * [path.read_text(encoding="utf-8") for path in queries]
    assert "did not run" not in fine.stdout
    assert f"did not run the alerts' queries {', '.join(path.stem for path in queries)}" in refused.stdout
    assert refused.returncode == 0


@types_secrets
def test_the_azure_cli_works_in_the_environment_s_subscription(desk: Desk) -> None:
    """Whichever one `az account set` has chosen."""
    with app(200, health()) as url:
        desk.run("postdeploy.py", SERVICE_APP_URI=url)
    desk.run("set_secrets.py", typed="x\n")
    for call in desk.calls("az "):
        if call["arguments"][0] != "rest":  # its address names the subscription
            assert call["arguments"][-4:-2] == ["--subscription", "the-subscription"]


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


@types_secrets
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
    assert "ACUMATICA_PASSWORD: the app has it." in done.stdout


@types_secrets
def test_secrets_that_are_set_are_left_alone_unless_named(desk: Desk) -> None:
    desk.answers["az keyvault secret list"] = [{"name": "acumatica-password"}, {"name": "runs-key"}]
    assert desk.run("set_secrets.py").returncode == 0
    assert not desk.calls("az keyvault secret set")
    assert not desk.calls("az functionapp restart")
    assert desk.run("set_secrets.py", "ACUMATICA_PASSWORD", typed="new\n").returncode == 0
    assert [call["file"] for call in desk.calls("az keyvault secret set")] == ["new"]


@types_secrets
def test_a_refresh_that_azure_refuses_is_no_success(desk: Desk) -> None:
    desk.answers["az rest --method post"] = "fails"
    done = desk.run("set_secrets.py", "ACUMATICA_PASSWORD", typed="new\n")
    assert done.returncode == 1
    assert "az rest --method post failed" in done.stderr


@types_secrets
@pytest.mark.parametrize(
    "state",
    [reference("ACUMATICA_PASSWORD", "AccessToKeyVaultDenied"), reference("ACUMATICA_PASSWORD", version="version-1")],
    ids=["unresolved", "the old value"],
)
def test_an_app_that_does_not_get_the_new_value_is_told_of(desk: Desk, state: dict[str, Any]) -> None:
    desk.answers["az rest --method get"] = {"value": [state, reference("RUNS_KEY")]}
    done = desk.run("set_secrets.py", "ACUMATICA_PASSWORD", typed="new\n", SECRETS_WAIT_SECONDS="0")
    assert done.returncode == 1
    assert "ACUMATICA_PASSWORD: the app does not have it" in done.stderr
    assert "RUNS_KEY: the app has it." in done.stdout


@types_secrets
def test_addresses_and_secrets_of_relays_are_secrets_too(desk: Desk) -> None:
    desk.answers["az rest --method get"] = {"value": [reference("RELAY_CRM", version="version-2")]}
    assert desk.run("set_secrets.py", "RELAY_CRM", typed="https://a.example.com\n").returncode == 0
    assert [call["arguments"][call["arguments"].index("--name") + 1] for call in desk.calls("az keyvault secret set")] == [
        "relay-crm"
    ]


def test_a_secret_that_does_not_exist_is_refused(desk: Desk) -> None:
    done = desk.run("set_secrets.py", "PASSWORD")
    assert (done.returncode, "There is no secret PASSWORD" in done.stderr) == (2, True)


def test_new_roles_are_waited_for_once(desk: Desk) -> None:
    first = desk.run("postprovision.py", ROLES_WAIT_SECONDS="0")
    assert "waiting" in first.stdout
    assert [call["arguments"] for call in desk.calls("azd env set")] == [["env", "set", "ROLES_SPREAD_FOR", "the-object-id"]]
    again = desk.run("postprovision.py", ROLES_WAIT_SECONDS="600", ROLES_SPREAD_FOR="the-object-id")
    assert (again.returncode, again.stdout) == (0, "")


def prepared(folder: Path, script: str) -> Path | None:
    """The file whose packages azd installs before it runs a hook: the first from the hook's folder upwards.

    https://github.com/Azure/azure-dev, cli/azd/pkg/tools/language/project_discovery.go and python_executor.go
    """
    for parent in (folder / script).parents:
        for name in ("pyproject.toml", "requirements.txt", "package.json"):
            if (parent / name).is_file():
                return parent / name
        if parent == folder:
            return None
    raise AssertionError(script)


def test_azd_installs_nothing_for_the_hooks() -> None:
    """The app's packages want the app's Python: on any other, the first `azd up` would end at the first hook."""
    root = HOOKS.parent.parent
    hooks = yaml.safe_load((root / "azure.yaml").read_text(encoding="utf-8"))["hooks"]
    for hook in hooks.values():
        found = prepared(root, hook["run"])
        assert found == HOOKS / "requirements.txt"
        lines = found.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line.strip() and not line.startswith("#")] == []


def other_python() -> str | None:
    """A Python on this machine that is not the app's."""
    for minor in (10, 11, 12):
        if path := shutil.which(f"python3.{minor}", path="/usr/bin:/usr/local/bin"):
            return path
    return None


@types_secrets
def test_the_hooks_run_on_a_python_that_is_not_the_app_s(desk: Desk) -> None:
    """In an environment made of that Python, with nothing in it, as azd makes it."""
    path = other_python()
    if path is None:
        pytest.skip("this machine has no Python 3.10 to 3.12")
    desk.python = path
    with app(200, health()) as url:
        done = desk.run("postdeploy.py", SERVICE_APP_URI=url)
    assert done.returncode == 0, done.stderr
    for hook in ("set_secrets.py", "postprovision.py"):
        done = desk.run(hook, typed="x\n", ROLES_WAIT_SECONDS="0")
        assert done.returncode == 0, done.stderr


def test_a_hook_without_an_environment_says_what_to_do(desk: Desk) -> None:
    done = desk.run("postdeploy.py")  # no SERVICE_APP_URI
    assert done.returncode == 1
    assert "SERVICE_APP_URI is not in the azd environment: run `azd provision` first" in done.stderr
