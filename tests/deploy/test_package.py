"""What azd deploys runs in Azure.

That is: the files that .funcignore leaves, the packages of requirements.txt and no others, Microsoft's worker library, and
storage that is reached with a managed identity.
"""

import fnmatch
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from handlers.clients.queue import QUEUE
from handlers.clients.storage import TABLES
from handlers.sync.change import datetime_to_ticks
from local.azurite import ACCOUNT, SERVICES, Azurite
from local.requirements import pins
from tests.deploy.bicep import Bicep, literal, objects
from tests.host.test_identity import IdentityEndpoint

ROOT = Path(__file__).resolve().parent.parent.parent

# Runs in the clean environment: only what is in the package, in requirements.txt and in Azure's worker can be imported.
RUN = """
import ast, asyncio, importlib, json, socket, sys
package, libraries, worker, ports, calls = json.loads(sys.argv[1])
sys.path[:0] = [package, libraries]
sys.path.append(worker)

resolve = socket.getaddrinfo
def to_azurite(host, port, *rest, **more):
    # The account's public names lead to Azurite; nothing else is reachable.
    if host not in ports:
        return resolve("127.0.0.1" if host == "127.0.0.1" else "unreachable.invalid", port, *rest, **more)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", ports[host]))]
socket.getaddrinfo = to_azurite

from pathlib import Path
from local.host.worker import Data, HttpRequest, Worker

async def main():
    host = Worker()
    functions = {function.name: function for function in await host.load(Path(package))}
    answers = []
    for name, method, body in calls:
        route = functions[name].trigger["route"]
        request = HttpRequest(method, f"https://app.example/api/{route}", {}, {}, {}, body.encode())
        answer = await host.invoke(functions[name], name, Data("http", request), {})
        answers.append([answer.returned.value.status, json.loads(answer.returned.value.body)])
    for file in Path(package).rglob("*.py"):  # those that are imported late, too
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in [a.name for a in node.names] if isinstance(node, ast.Import) else []:
                importlib.import_module(name)
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)
    modules = {name: str(getattr(module, "__file__", "") or "") for name, module in list(sys.modules.items())}
    print(json.dumps({"functions": sorted(functions), "answers": answers, "modules": modules}))
    host.stop()

asyncio.run(main())
"""


def prepare(folder: Path) -> None:
    """A clone as it is at the second `azd deploy`: with what azd, developers and tools have left there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    shutil.copyfile(ROOT / "ready-made/opportunity-meetings.toml", folder / "mappings/opportunity-meetings.toml")
    left = [".venv/lib/x.py", "acumatica_env/lib/x.py", "infra/hooks/hooks_env/pyvenv.cfg", ".azure/config.json"]
    left += ["local.settings.json", "handlers/__pycache__/x.pyc", "notes.txt", "handlers.zip", "node_modules/x.js"]
    for name in left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def kept_by_azd(folder: Path) -> list[str]:
    """The files that azd puts into the package, by the rules of its own reader of .funcignore.

    https://github.com/Azure/azure-dev, cli/azd/pkg/project/project_utils.go; its patterns are those of
    https://github.com/denormal/go-gitignore: the last that matches decides, `*` crosses folders in a pattern without an
    inner slash, and a folder that is left out takes all within with it.
    """
    lines = (folder / ".funcignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    def ignored(path: str, *, is_folder: bool) -> bool:
        for pattern in reversed(patterns):
            core = pattern.removeprefix("!")
            anchored, only_folders = core.startswith("/"), core.endswith("/")
            name = core.strip("/")
            if only_folders and not is_folder:
                continue
            if name.endswith("/**"):
                matches = path == name[:-3] or path.startswith(name[:-2])
            else:
                matches = fnmatch.fnmatchcase(path if anchored else path.rpartition("/")[2], name)
            if matches:
                return not pattern.startswith("!")
        return False

    kept = []
    for at, folders, files in folder.walk():
        inside = at.relative_to(folder).as_posix().removeprefix(".")
        join = f"{inside}/" if inside else ""
        folders[:] = [name for name in folders if name != ".azure" and not ignored(join + name, is_folder=True)]
        kept += [join + name for name in files if name not in {".funcignore", "local.settings.json"}]
    return sorted(name for name in kept if not ignored(name, is_folder=False))


def kept_by_git(folder: Path) -> list[str]:
    """The same, as git reads such a list, and with it the Functions Core Tools."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    kept = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-from", ".funcignore"],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted(name for name in kept.stdout.split("\0") if name and name != ".funcignore")


def deployed(folder: Path) -> list[str]:
    """Copy what azd deploys. Returns the paths."""
    everything = folder.parent / "everything"
    prepare(everything)
    names = kept_by_azd(everything)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(everything / name, folder / name)
    return names


def test_the_list_means_the_same_to_azd_and_to_git(tmp_path: Path) -> None:
    prepare(tmp_path)
    names = kept_by_azd(tmp_path)
    assert names == kept_by_git(tmp_path)
    assert {name.partition("/")[0] for name in names} == {
        "function_app.py",
        "handlers",
        "host.json",
        "mappings",
        "requirements.txt",
    }
    assert not [name for name in names if Path(name).name.startswith("x.")]


def install(packages: list[str], folder: Path) -> None:
    """Install packages, without what they need, from where they are installed already: file by file, as links."""
    for name in packages:
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).symlink_to(file.locate())


def app_settings(identity: str) -> dict[str, str]:
    """What Bicep gives the app, with values of this machine."""
    given: dict[str, Any] = {}
    for part in objects(Bicep(ROOT / "infra/main.bicep").body("appSettings")["properties"]):
        given |= literal(part)
    values = {
        "data.outputs.storageName": ACCOUNT,
        "identity.properties.clientId": "the-client",
        "monitoring.outputs.connectionString": "InstrumentationKey=none",
    }
    given = {name: values.get(value, value) for name, value in given.items()}
    given |= {
        "ACUMATICA_URL": "https://erp.example.com",
        "FAILED_NOTIFICATIONS_INQUIRY": "Failed",
        "ACUMATICA_TENANT": "Production",
        "ACUMATICA_USERNAME": "api",
        "ACUMATICA_PASSWORD": "password",
        "ACUMATICA_CLIENT_ID": "client@Production",
        "ACUMATICA_CLIENT_SECRET": "secret",
        "RUNS_KEY": "runs-key-of-the-tests-0123456789abcdef",
    }
    return given | {"IDENTITY_ENDPOINT": identity, "IDENTITY_HEADER": "secret"}


@dataclass(frozen=True)
class Run:
    """What came of the package."""

    files: list[str]
    functions: list[str]
    answers: list[tuple[int, dict[str, Any]]]
    modules: dict[str, str]
    libraries: Path
    queued: int
    tables: set[str]


def notification() -> str:
    row = {"OpportunityID": "OP1", "OwnerEmail": "ann@example.com", "Subject": "s"}
    content = {"Inserted": [row], "Deleted": [], "Query": "Calendar - Opportunity Meetings", "CompanyId": "Production"}
    return json.dumps(content | {"Id": "1", "TimeStamp": datetime_to_ticks(datetime.now(UTC))})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Build the package, start it, ask for health, send a notification."""
    folder = tmp_path_factory.mktemp("package")
    package, libraries, worker = folder / "app", folder / "libraries", folder / "worker"
    files = deployed(package)
    install(list(pins(ROOT / "requirements.txt")), libraries)
    install(["azure-functions-runtime", "azurefunctions-extensions-base"], worker)
    (worker / "local/host").mkdir(parents=True)
    for name in ("__init__.py", "host/__init__.py"):
        (worker / "local" / name).write_text("")
    for name in ("worker.py", "config.py"):
        shutil.copyfile(ROOT / "local/host" / name, worker / "local/host" / name)

    names = {service: f"{ACCOUNT}.{service}.core.windows.net" for service in SERVICES}
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", *names.values())
    ca, certificate, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    with (
        Azurite(certificate=(certificate, key)) as azurite,
        ThreadingHTTPServer(("127.0.0.1", 0), IdentityEndpoint) as identity,
        pytest.MonkeyPatch.context() as patch,
    ):
        threading.Thread(target=identity.serve_forever, daemon=True).start()
        calls = [("health", "GET", ""), ("notifications", "POST", notification())]
        ports = {name: azurite.ports[service] for service, name in names.items()}
        arguments = json.dumps([str(package), str(libraries), str(worker), ports, calls])
        settings = app_settings(f"http://127.0.0.1:{identity.server_port}/token")
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUN, arguments],
            env={"PATH": os.environ["PATH"], "REQUESTS_CA_BUNDLE": str(ca), **settings},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        identity.shutdown()
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout.splitlines()[-1])
        patch.setenv("REQUESTS_CA_BUNDLE", str(ca))
        with QueueClient.from_connection_string(azurite.connection_string(), QUEUE) as queue:
            queued = queue.get_queue_properties().approximate_message_count or 0
        with TableServiceClient.from_connection_string(azurite.connection_string()) as tables:
            present = {table.name for table in tables.list_tables()}
        answers = [(status, body) for status, body in result["answers"]]
        yield Run(files, result["functions"], answers, result["modules"], libraries, queued, present)


@pytest.mark.slow
def test_the_package_holds_the_app_and_nothing_else(ran: Run) -> None:
    tops = {name.partition("/")[0] for name in ran.files}
    assert tops == {"function_app.py", "handlers", "host.json", "mappings", "requirements.txt"}
    assert not [name for name in ran.files if "test" in name.lower() or name.endswith((".pyc", ".pem"))]
    missing = {str(p.relative_to(ROOT)) for p in (ROOT / "handlers").rglob("*.py")} - set(ran.files)
    assert missing == set()


@pytest.mark.slow
def test_the_worker_finds_all_functions(ran: Run) -> None:
    source = (ROOT / "function_app.py").read_text(encoding="utf-8")
    defined = re.findall(r"(?m)^ *@app\.[^\n]*(?:\n *@[^\n]*)*\n *def (\w+)\(", source)
    assert len(defined) >= 7
    assert ran.functions == sorted(defined)


@pytest.mark.slow
def test_storage_is_reached_with_the_identity_alone(ran: Run) -> None:
    (health, body), (accepted, _) = ran.answers
    assert (health, body["not_ready"]) == (200, [])
    assert (accepted, ran.queued) == (202, 1)
    assert set(TABLES) <= ran.tables


@pytest.mark.slow
def test_nothing_was_imported_that_azure_would_not_have(ran: Run) -> None:
    site = next(path for path in sys.path if path.endswith("site-packages"))
    assert {name: file for name, file in ran.modules.items() if file.startswith((site, str(ROOT / "handlers")))} == {}
    assert ran.modules["pydantic"].startswith(str(ran.libraries))
    assert {"azure.identity", "azure.storage.blob", "msal"} <= set(ran.modules)


def test_requirements_pin_all_that_they_bring() -> None:
    """A remote build installs just these: what is missing here, it would choose by itself."""
    pinned = pins(ROOT / "requirements.txt")
    for name, version in pinned.items():
        assert importlib.metadata.version(name) == version, f"{name}: run `make setup`"
        for text in importlib.metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": "", "sys_platform": "linux"}):
                assert canonicalize_name(needed.name) in pinned, f"{name} brings {needed.name}"
                assert needed.specifier.contains(pinned[canonicalize_name(needed.name)], prereleases=True), text
