"""docs/deploy.md, docs/security.md and the workflows, held against the files that they speak of."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from handlers.clients import queue, storage
from tests.deploy.bicep import Bicep, literal

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"
DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GROUP, MAIN = Bicep(INFRA / "group.bicep"), Bicep(INFRA / "main.bicep")
VARIABLES = {
    name: value["value"][2:-1]
    for name, value in json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"].items()
}


def test_every_parameter_is_in_the_tables_with_its_name_and_default() -> None:
    rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `([A-Z_0-9]+)` \| `(\w+)` \| (.*?) ?\|", DEPLOY, re.MULTILINE)}
    assert {parameter for parameter, _ in rows.values()} == set(VARIABLES)
    for variable, (name, default) in rows.items():
        assert VARIABLES[name] == variable
        value = MAIN.parameters[name].default
        shown = "required" if value is None else ("" if value == "''" else f"`{value.strip(chr(39))}`")
        assert default.strip() == shown, name


def test_every_variable_that_is_set_in_the_examples_exists() -> None:
    hooks = "".join(path.read_text(encoding="utf-8") for path in (INFRA / "hooks").glob("*.py"))
    known = {*VARIABLES.values(), *MAIN.outputs, "AZURE_SUBSCRIPTION_ID"} | set(re.findall(r'environ\.get\("(\w+)"', hooks))
    assert set(re.findall(r"azd env set ([A-Z_]+)", DEPLOY)) - {"NAME"} <= known
    assert set(re.findall(r"azd env get-value (\w+)", DEPLOY)) <= set(MAIN.outputs)
    for word in re.findall(r"`((?:[A-Z]+_)+[A-Z]+)`", DEPLOY + SECURITY):
        assert word in known | {"ACUMATICA_CLIENT_SECRET", "ACUMATICA_PASSWORD", "RUNS_KEY", "GRAPH_CLIENT_SECRET"} | {
            "SETTINGS",
            "AZURE_CLIENT_ID",
            "DEPLOYMENT_STORAGE_CONNECTION_STRING",
        }, word


def test_every_file_that_a_command_names_exists() -> None:
    for page in (DEPLOY, SECURITY, (ROOT / "README.md").read_text(encoding="utf-8")):
        for path in re.findall(r"(?:\./)?((?:infra|mappings|docs|\.github)/[\w./-]+\.\w+)", page):
            assert (ROOT / path.rstrip(".")).is_file(), path


def test_every_heading_that_is_linked_to_exists() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", path.read_text(encoding="utf-8")):
            page = (path.parent / target if target else path).read_text(encoding="utf-8")
            headings = re.findall(r"(?m)^#+ (.*)$", page)
            assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, (path.name, anchor)


def test_what_messages_refer_to_is_a_heading() -> None:
    """Hooks, alerts and scripts point to headings by name."""
    files = [*INFRA.rglob("*.py"), *INFRA.rglob("*.bicep"), *INFRA.rglob("*.ps1"), *WORKFLOWS]
    pages = {"docs/deploy.md": DEPLOY, "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    found = 0
    for path in files:
        for page, heading in re.findall(
            r"(docs/deploy\.md|README\.md), [\"'“]([^\"'”]+)[\"'”]", path.read_text(encoding="utf-8")
        ):
            assert re.search(rf"(?m)^#+ {re.escape(heading)}$", pages[page]), (path.name, heading)
            found += 1
    assert found > 5


def test_each_known_pitfall_of_the_platform_has_its_row() -> None:
    table = DEPLOY[DEPLOY.index("## Troubleshooting") :]
    assert sorted({int(n) for n in re.findall(r"\(P(\d+)\)", table)}) == list(range(1, 17))


def test_every_alert_is_explained_with_its_default() -> None:
    alerts = Bicep(INFRA / "modules/alerts.bicep")
    windows = {"PT15M": "15 min", "PT30M": "30 min", "PT1H": "1 h"}
    for name, rule in literal(alerts.variables["defaults"]).items():
        (row,) = re.findall(rf"(?m)^\| `{name}` \| (.*?) \|", DEPLOY)
        assert windows[rule["window"]] in row, name
        if rule["threshold"] > 10:
            assert f"more than {rule['threshold']} " in row, name


def test_everything_that_is_stored_is_in_the_security_page() -> None:
    names = {*storage.TABLES, queue.QUEUE, queue.POISON_QUEUE, storage.ROW_BLOBS, storage.DEAD_LETTER_BLOBS, "deployments"}
    rows = "".join(re.findall(r"(?m)^\| (?:Table|Queue|Container) .*?\|", SECURITY))
    rows += "".join(re.findall(r"(?m)^\| Table .*$", SECURITY))
    assert {name for name in names if f"`{name}`" not in rows} == set()


def test_the_roles_in_the_security_page_are_those_of_bicep() -> None:
    described = set(
        re.findall(
            r"description: '((?:Key Vault|Monitoring)[\w ]+)'",
            "".join(path.read_text(encoding="utf-8") for path in (INFRA / "modules").glob("*.bicep")),
        )
    )
    described |= set(literal(Bicep(INFRA / "modules/storage.bicep").variables["roles"]))
    assert len(described) == 6
    assert {role for role in described if f"| {role} |" not in SECURITY} == set()


def test_the_script_for_mailboxes_has_the_parameters_that_are_used() -> None:
    script = (INFRA / "mailbox-access.ps1").read_text(encoding="utf-8")
    block = script[script.index("\nparam(") : script.index("\n)\n")]
    parameters = set(re.findall(r"\$(\w+)", block))
    hook = (INFRA / "hooks/postdeploy.py").read_text(encoding="utf-8")
    used = re.findall(r"mailbox-access\.ps1(.*)", DEPLOY + hook + script)
    assert {word for line in used for word in re.findall(r" -([A-Z]\w+)", line)} <= parameters
    assert set(re.findall(r"(?m)^\.PARAMETER (\w+)", script)) == parameters
    assert "Application Calendars.ReadWrite" in script


# -- workflows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["github-workflows", "dependabot"])
def test_the_workflows_follow_github_s_schema(kind: str) -> None:
    files = WORKFLOWS if kind == "github-workflows" else [ROOT / ".github/dependabot.yml"]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_workflows_use_pinned_actions_and_few_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert document["permissions"]["contents"] == "read"
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 90
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w/-]+@([0-9a-f]{40}|v\d+\.\d+\.\d+)", action), action
    assert "secrets." not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_the_pipeline_provisions_first_then_deploys() -> None:
    text = (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
    assert 0 < text.index("azd provision --no-prompt") < text.index("azd deploy --no-prompt")
    assert "azd up" not in text


def test_ci_builds_every_entry() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    imported = {
        (path.parent / module.path).resolve() for path in INFRA.rglob("*.bicep") for module in Bicep(path).modules
    } - {(INFRA / "group.bicep").resolve()}
    for path in INFRA.rglob("*.bicep"):
        if path.resolve() not in imported:
            assert str(path.relative_to(ROOT)) in text
