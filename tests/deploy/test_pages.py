"""docs/deploy.md and docs/security.md, held against the files that they speak of."""

import json
import re
from pathlib import Path

from handlers.clients import queue, storage
from handlers.clients.sweeps import SWEEP_QUEUE
from tests.deploy.bicep import Bicep, literal
from tests.deploy.monitor import rules

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"
DEPLOY = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
MAIN = Bicep(INFRA / "main.bicep")
PARAMETERS = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
SETTINGS = set(PARAMETERS["settings"]["value"])
VARIABLES = {name: re.sub(r"[${}]|=.*", "", value["value"]) for name, value in PARAMETERS.items() if name != "settings"}


def test_every_parameter_is_in_the_table_with_its_name_and_default() -> None:
    rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `([A-Z_0-9]+)` \| `(\w+)` \| (.*?) ?\|", DEPLOY, re.MULTILINE)}
    assert {parameter for parameter, _ in rows.values()} == set(VARIABLES)
    for variable, (name, default) in rows.items():
        assert VARIABLES[name] == variable
        value = MAIN.parameters[name].default
        shown = "required" if value is None else ("" if value == "''" else f"`{value.strip(chr(39))}`")
        assert default.strip() == shown, name


def test_every_variable_that_is_set_in_the_examples_exists() -> None:
    hooks = "".join(path.read_text(encoding="utf-8") for path in (INFRA / "hooks").glob("*.py"))
    known = {*VARIABLES.values(), *SETTINGS, *MAIN.outputs, "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"} | set(
        re.findall(r'environ\.get\("(\w+)"', hooks)
    )
    assert set(re.findall(r"azd env set ([A-Z_]+)", DEPLOY)) - {"NAME"} <= known
    assert set(re.findall(r"azd env get-value (\w+)", DEPLOY)) <= set(MAIN.outputs)
    assert set(re.findall(r"=(APP_\w+)|--vault-name (\w+)", DEPLOY)) <= {
        ("APP_IDENTITY_OBJECT_ID", ""),
        ("", "AZURE_KEY_VAULT_NAME"),
    }
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
    """But for two that this app cannot meet: other triggers (11), and blob triggers, slots and slow starts (16)."""
    table = DEPLOY[DEPLOY.index("## Troubleshooting") :]
    assert {int(n) for n in re.findall(r"\(P(\d+)\)", table)} == set(range(1, 17)) - {11, 16}


def test_no_remedy_relies_on_a_provisioning_that_azd_would_skip() -> None:
    """`azd provision` does nothing where neither files nor settings have changed: what repairs Azure has to say so."""
    table = DEPLOY[DEPLOY.index("## Troubleshooting") : DEPLOY.index("## Tearing down")]
    for row in re.findall(r"(?m)^\| .*$", table):
        if "azd provision`" in row:
            assert re.search("Add it|is not valid JSON", row), row


def test_the_commands_need_no_particular_shell() -> None:
    """Who reads them uses sh or PowerShell: no substitution, no continuation, no loop, no variable of one of them."""
    for language, block in re.findall(r"```(\w*)\n(.*?)```", DEPLOY, re.DOTALL):
        if language == "sh":
            assert not re.search(r"\$\(|\\$|\bfor \b|\bexport\b|&&|\brm\b|\bsed\b|#", block, re.MULTILINE), block


def test_the_sum_of_the_costs_is_right() -> None:
    table = DEPLOY[DEPLOY.index("| Part | Formula") : DEPLOY.index("| Private network, if")]
    costs = [float(cost) for cost in re.findall(r"(?m)\| (\d+\.\d\d) \|$", table)]
    (total,) = re.findall(r"\*\*Total\*\* \| \| \*\*(\d+\.\d\d)\*\*", table)
    assert round(sum(costs), 2) == float(total)
    rows, free = 1000, 250_000
    executions = 30 * (4 * rows + 1441)
    assert executions < free
    assert costs[1] == round((executions * 2 - 100_000) * 0.000026, 1)


def test_every_kind_of_resource_is_listed() -> None:
    named = {
        "virtualNetworks": "virtual network", "privateEndpoints": "private endpoints", "privateDnsZones": "DNS zones",
        "natGateways": "NAT gateway", "publicIPAddresses": "public", "vaults": "Key Vault",
        "storageAccounts": "storage account",
        "serverfarms": "Flex Consumption plan", "sites": "function app", "workspaces": "Log Analytics workspace",
        "components": "Application Insights", "workbooks": "workbook", "scheduledQueryRules": "alert rules",
        "actionGroups": "action group", "userAssignedIdentities": "managed identity",
    }  # fmt: skip
    section = " ".join(DEPLOY[DEPLOY.index("## What it makes") : DEPLOY.index("At `R` rows a day")].split())
    files = [MAIN, *(Bicep(path) for path in (INFRA / "modules").glob("*.bicep"))]
    kinds = {kind.split("@")[0] for file in files for kind in file.resources.values()}
    tops = {kind.split("/")[1] for kind in kinds if kind.count("/") == 1} - {"roleAssignments", "diagnosticSettings"}
    assert tops == set(named)
    assert [text for text in named.values() if text not in section] == []
    alerts = literal(Bicep(INFRA / "modules/alerts.bicep").variables["alerts"])
    assert f"{len(alerts)} alert rules" in section


def test_every_alert_is_explained_with_its_default() -> None:
    rules_ = rules()
    names = {"deadLetters": "dead-letters"} | {name: name for name in ("rejected", "access", "oldest", "sessions", "health")}
    for name, rule in names.items():
        (row,) = re.findall(rf"(?m)^\| `{name}` \| (.*?) \|", DEPLOY)
        if rules_[rule].threshold > 10:
            assert f"more than {rules_[rule].threshold:g} " in row, name
    assert f"for {rules_['silence'].threshold:g} h" in DEPLOY


def test_alert_mails_name_only_what_exists() -> None:
    """No table that nobody may read: pages, forms, headings."""
    from handlers.clients.storage import TABLES  # noqa: PLC0415

    for alert in literal(Bicep(INFRA / "modules/alerts.bicep").variables["alerts"]):
        assert not [name for name in TABLES if name in alert["remedy"]], alert["name"]
        for setting in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", alert["remedy"]):
            assert setting in SETTINGS, alert["name"]


def test_everything_that_is_stored_is_in_the_security_page() -> None:
    names = {
        *storage.TABLES,
        SWEEP_QUEUE,
        queue.QUEUE,
        queue.POISON_QUEUE,
        storage.ROW_BLOBS,
        storage.DEAD_LETTER_BLOBS,
        "deployments",
    }
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
    described |= set(literal(Bicep(INFRA / "modules/data.bicep").variables["roles"]))
    assert len(described) == 6
    assert {role for role in described if f"| {role} |" not in SECURITY} == set()


def test_the_script_for_mailboxes_has_the_parameters_that_are_used() -> None:
    script = (INFRA / "mailbox-access.ps1").read_text(encoding="utf-8")
    block = script[script.index("\nparam(") : script.index("\n)\n")]
    parameters = {*re.findall(r"\] \$(\w+)", block), "WhatIf"}
    hook = (INFRA / "hooks/postdeploy.py").read_text(encoding="utf-8")
    used = re.findall(r"mailbox-access\.ps1(.*)", DEPLOY + hook + script)
    assert {word for line in used for word in re.findall(r" -([A-Z]\w+)", line)} <= parameters
    assert len(re.findall(r"(?m)^    # .*\n    \[", block)) == len(parameters) - 1, "each has its comment, which is its help"
    assert "Application Calendars.ReadWrite" in script
