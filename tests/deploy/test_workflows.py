"""The pipelines: what GitHub and Azure DevOps accept, what they may do, and their shell, run with mocked `az` and `azd`."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITHUB = yaml.safe_load((ROOT / ".github/workflows/azure-dev.yml").read_text(encoding="utf-8"))
AZDO = yaml.safe_load((ROOT / ".azdo/pipelines/azure-dev.yml").read_text(encoding="utf-8"))
SETTINGS = {"ACUMATICA_URL": "https://erp.example.com/?a=b", "ALERT_RULES": {"oldest": {"threshold": 60}}, "EMPTY": ""}
# What a tool is asked is written down; it fails as often as the file `<tool>.fails` says.
TOOL = """#!/bin/sh
here=$(dirname "$0")
printf '%s\\n' "$(basename "$0") $*" >> "$here/calls"
[ "$(basename "$0")" = curl ] && [ ! -e "$here/curl.fails" ] && echo '{"value": "token-1"}'
file="$here/$(basename "$0") $1.fails"
if [ -s "$file" ]; then sed -i 1d "$file"; exit 1; fi
[ "$(basename "$0")" != curl ] || [ ! -e "$here/curl.fails" ]
"""

# The headings of a README in azd's gallery, in this order.
GALLERY = ["Features", "Getting Started", "Prerequisites", "Quickstart", "Installation", "Guidance"]
GALLERY += ["Region availability", "Costs", "Security", "Resources"]

needs_jq = pytest.mark.skipif(not shutil.which("jq"), reason="NOT RUN: there is no jq on this machine (the runners have it)")


class Runner:
    """A machine with mocked tools."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("az", "azd", "curl", "sleep"):
            (folder / name).write_text(TOOL, encoding="utf-8")
            (folder / name).chmod(0o755)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {"AZURE_ENV_NAME": "prod", "AZURE_LOCATION": "westeurope", "AZURE_SUBSCRIPTION_ID": "sub-1"}
        given |= {"AZURE_CLIENT_ID": "client-1", "AZURE_TENANT_ID": "tenant-1", "AZURE_RESOURCE_GROUP": "rg-prod"}
        given |= {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x/?y"}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],  # as `shell: bash` is run
            env={"PATH": f"{self.folder}:{os.environ['PATH']}", **given, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def fails(self, what: str, times: int) -> None:
        (self.folder / f"{what}.fails").write_text("x\n" * times, encoding="utf-8")

    def calls(self, start: str = "") -> list[str]:
        path = self.folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def step(name: str) -> str:
    """The shell of a step of the workflow."""
    return next(str(item["run"]) for item in GITHUB["jobs"]["deploy"]["steps"] if item.get("name", "").startswith(name))


def azdo_script() -> str:
    return str(next(item["inputs"]["inlineScript"] for item in AZDO["steps"] if item.get("task") == "AzureCLI@2"))


def test_the_shell_ends_at_the_first_failure_within_a_pipe_too() -> None:
    assert GITHUB["defaults"]["run"]["shell"] == "bash"
    assert azdo_script().startswith("set -euo pipefail\n")


@needs_jq
def test_settings_are_taken_over_as_they_are(runner: Runner) -> None:
    done = runner.run(step("Take over"), SETTINGS=json.dumps(SETTINGS))
    assert done.returncode == 0, done.stderr
    assert runner.calls("azd") == [
        "azd env new prod --location westeurope --subscription sub-1 --no-prompt",
        "azd env set AZURE_RESOURCE_GROUP rg-prod",
        "azd env set ACUMATICA_URL https://erp.example.com/?a=b",
        'azd env set ALERT_RULES {"oldest":{"threshold":60}}',
        "azd env set EMPTY ",
    ]


@needs_jq
@pytest.mark.parametrize("settings", ["", "no JSON", '{"A": 1'])
def test_settings_that_are_none_end_the_job(runner: Runner, settings: str) -> None:
    assert runner.run(step("Take over"), SETTINGS=settings).returncode != 0


@needs_jq
def test_a_setting_that_azd_refuses_ends_the_job(runner: Runner) -> None:
    runner.fails("azd env", 1)
    assert runner.run(step("Take over"), SETTINGS=json.dumps(SETTINGS)).returncode != 0


@needs_jq
def test_the_azure_cli_signs_in_with_the_runner_s_token(runner: Runner) -> None:
    assert runner.run(step("Sign in the Azure CLI")).returncode == 0
    assert runner.calls("az login")[0].endswith("--federated-token token-1 --output none")


def test_without_a_token_nobody_signs_in(runner: Runner) -> None:
    runner.fails("curl", 1)
    assert runner.run(step("Sign in the Azure CLI")).returncode != 0
    assert runner.calls("az login") == []


@pytest.mark.parametrize(("failures", "status", "pauses"), [(0, 0, []), (2, 0, ["60", "120"]), (3, 1, ["60", "120", "0"])])
def test_a_deployment_is_tried_again_until_new_roles_work(
    runner: Runner, failures: int, status: int, pauses: list[str]
) -> None:
    runner.fails("azd deploy", failures)
    assert runner.run(step("Deploy")).returncode == status
    assert runner.calls("sleep") == [f"sleep {pause}" for pause in pauses]


@needs_jq
def test_azure_devops_does_the_same(runner: Runner) -> None:
    runner.fails("azd deploy", 1)
    done = runner.run(azdo_script(), SETTINGS=json.dumps(SETTINGS))
    assert done.returncode == 0, done.stderr
    assert "azd env set ACUMATICA_URL https://erp.example.com/?a=b" in runner.calls()
    assert runner.calls("azd")[-3:] == ["azd provision --no-prompt", "azd deploy --no-prompt", "azd deploy --no-prompt"]


@pytest.mark.parametrize("script", ["github", "azdo"])
def test_a_failed_provisioning_deploys_nothing(runner: Runner, script: str) -> None:
    runner.fails("azd provision", 1)
    text = step("Provision") if script == "github" else azdo_script().partition("azd env new")[2].partition("\n")[2]
    text = text if script == "github" else "set -euo pipefail\n" + text[text.index("azd provision") :]
    assert runner.run(text).returncode != 0
    assert runner.calls("azd deploy") == []


# -- what they are ------------------------------------------------------------------------------------------------------


def schema(kind: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [ROOT / ".github/dependabot.yml"]),
        ("github-issue-forms", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))),
    ],
)
def test_github_s_schemas_are_followed(kind: str, files: list[Path]) -> None:
    assert files
    done = schema(kind, *files)
    assert done.returncode == 0, done.stdout


def test_azure_pipelines_schema_is_followed(tmp_path: Path) -> None:
    """Which knows the tasks of Microsoft's own; azd's is from the marketplace."""
    known = copy.deepcopy(AZDO)
    known["steps"] = [item for item in known["steps"] if item.get("task") != "setup-azd@1"]
    path = tmp_path / "pipeline.yml"
    path.write_text(yaml.safe_dump(known), encoding="utf-8")
    done = schema("azure-pipelines", path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))
def test_workflows_use_actions_by_their_hash_and_few_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    assert document["permissions"] == {"contents": "read"}
    for job in document["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert set(job.get("permissions", {})) <= {"contents", "id-token", "security-events"}
    for action, version in re.findall(r"uses: (\S+)(.*)", text):
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", version), action
    assert "secrets." not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_dependabot_waits_and_omits_nothing() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert all(update["cooldown"]["default-days"] >= 7 for update in updates)
    folders = {folder for update in updates for folder in update.get("directories", [update.get("directory")])}
    locks = [path.parent for name in ("package-lock.json", "requirements.txt") for path in ROOT.glob(f"local/*/{name}")]
    assert len(locks) >= 5
    assert {f"/{folder.relative_to(ROOT)}" for folder in locks} <= folders


def test_windows_sets_up_shows_the_demo_and_tests_handlers() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["windows"]
    assert job["runs-on"].startswith("windows-")
    runs = [str(item.get("run", "")) for item in job["steps"]]
    for wanted in (r"python local\setup.py --dev", r".venv\Scripts\python -m local.demo", r".venv\Scripts\python -m pytest"):
        assert any(run.startswith(wanted) for run in runs), wanted
    named = re.findall(r"tests/[\w./]+", " ".join(runs))
    assert {"tests/sync", "tests/clients", "tests/deploy/test_hooks.py"} <= set(named)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_only_a_person_starts_a_deployment_and_only_its_job_may_sign_in() -> None:
    """`azd pipeline config` would let every branch and pull request sign in: ours is asked for, in an environment."""
    assert set(GITHUB[True]) == {"workflow_dispatch"}  # `on:`, which YAML 1.1 reads as a truth
    assert GITHUB["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            assert "id-token" not in job.get("permissions", {}) or path.name == "azure-dev.yml"
    assert AZDO["trigger"] == "none"


def test_ci_builds_every_entry_of_bicep() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    for path in (ROOT / "infra/main.bicep", ROOT / "infra/graph-permission/main.bicep"):
        assert str(path.relative_to(ROOT)) in text


@pytest.mark.parametrize(
    "path",
    [
        ".devcontainer/devcontainer.json",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/PULL_REQUEST_TEMPLATE.md",
        ".github/workflows/azure-dev.yml",
        ".azdo/pipelines/azure-dev.yml",
        "docs/images/architecture.svg",
    ],
)
def test_a_template_of_azd_has_what_its_reviewers_ask_for(path: str) -> None:
    """https://github.com/microsoft/template-validation-action."""
    assert (ROOT / path).is_file()
    document = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert document["metadata"]["template"] == document["name"]
    headings = re.findall(r"(?m)^##+ (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(GALLERY) <= set(headings), set(GALLERY) - set(headings)
    assert [name for name in headings if name in GALLERY] == GALLERY, "in the gallery's order"
