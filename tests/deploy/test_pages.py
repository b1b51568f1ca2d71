"""docs/deploy.md and docs/security.md, held against the files that they speak of."""

import json
import re
from pathlib import Path

import pytest

from handlers.clients import queue, storage
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, SWEEP_QUEUE
from local.host.config import HostJson
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


def test_every_parameter_but_azd_s_own_is_in_the_table_with_its_name_and_default() -> None:
    rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `([A-Z_0-9]+)` \| `(\w+)` \| (.*?) ?\|", DEPLOY, re.MULTILINE)}
    by_azd = {"environmentName", "location", "principalId", "principalType"}
    assert {parameter for parameter, _ in rows.values()} == set(VARIABLES) - by_azd
    for variable, (name, default) in rows.items():
        assert VARIABLES[name] == variable
        value = MAIN.parameters[name].default or ""
        shown = "" if value == "''" else f"`{value.strip(chr(39))}`"
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
    found = 0
    for path in files:
        for page, heading in re.findall(
            r"(docs/[\w-]+\.md|README\.md), [\"'“]([^\"'”]+)[\"'”]", path.read_text(encoding="utf-8")
        ):
            text = (ROOT / page).read_text(encoding="utf-8")
            assert re.search(rf"(?m)^#+ {re.escape(heading)}$", text), (path.name, heading)
            found += 1
    assert found > 5


# What meets others on this platform, by a word of its row.
PITFALLS = [
    "BlobUploadFailed", "AzureWebJobsStorage__blobServiceUri", "MAC signature", "BadRequest", "ServicePrincipal, different",
    "no matching distribution", "no functions, 404", "scm.azurewebsites.net", "More instances than", "did not resolve",
    "azd-service-name", "AADSTS700213", "deleted state", "HEAD requests",
]  # fmt: skip


@pytest.mark.parametrize("pitfall", PITFALLS)
def test_each_known_pitfall_of_the_platform_has_its_row(pitfall: str) -> None:
    table = DEPLOY[DEPLOY.index("## Troubleshooting") :]
    assert [row for row in re.findall(r"(?m)^\| .*$", table) if pitfall in row]


def test_every_row_of_a_table_has_its_columns() -> None:
    """A bar in a query would begin a new one."""
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for table in re.findall(r"(?m)(?:^\|.*\n)+", path.read_text(encoding="utf-8")):
            columns = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(columns) == 1, (path.name, table[:200])


def test_no_remedy_relies_on_a_provisioning_that_azd_would_skip() -> None:
    """`azd provision` does nothing where neither files nor settings have changed: what repairs Azure has to say so."""
    table = DEPLOY[DEPLOY.index("## Troubleshooting") : DEPLOY.index("## Tearing down")]
    for row in re.findall(r"(?m)^\| .*$", table):
        if "azd provision`" in row:
            assert re.search("Add it|is not valid JSON|error unmarshalling", row), row


def commands() -> list[str]:
    """Every command of the page: the lines of its blocks for both shells, and those within the text."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", DEPLOY, re.DOTALL)
    assert {language for language, _ in blocks} == {"sh", "powershell"}
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    text = " ".join(re.sub(r"```.*?```", "", DEPLOY, flags=re.DOTALL).split())
    return lines + re.findall(r"`((?:azd?|git|python|set_secrets\.py) [^`]+)`", text)


def test_the_commands_need_no_particular_shell() -> None:
    """Who reads them uses bash or PowerShell: what only one of them takes is in none."""
    found = commands()
    assert len(found) > 40
    for line in found:
        quoted = re.sub(
            r"\"[^\"]*\"|'[^']*'", "", line
        )  # a double quote within single ones, and the other way round, is both's
        assert not re.search(r"[$`\\;&|<>~#]|\bexport\b|^\w+=\S* \w", quoted), line
        assert not re.search(r"\"[^\"]*[$`\\]", line), line
        assert quoted.count("'") == quoted.count('"') == 0, line


def test_shell_and_platform_are_said_once() -> None:
    assert DEPLOY.count("bash") == 1
    assert "PowerShell 7.3 or later" in DEPLOY


def cost(part: str) -> tuple[str, float]:
    """Formula and sum of a row of the table of costs."""
    (row,) = re.findall(rf"(?m)^\| {re.escape(part)}[^|]* \|(.*?)\| \**(\d+\.\d\d)\** \|$", DEPLOY)
    return row[0], float(row[1])


def test_the_costs_are_what_their_formulas_say() -> None:
    rows, looks = 1000, round(86_400 / HostJson.read(ROOT / "host.json", {}).queues.max_polling_interval)
    executions = 30 * (4 * rows + 1441)
    assert (executions < 250_000, cost("Executions")[1]) == (True, 0)
    assert cost("Compute")[1] == round((executions * 2 - 100_000) * 0.000026, 1)
    assert cost("Storage operations")[1] == round(30 * (40 * rows + looks + 15_000) * 0.40 / 1_000_000, 1)
    assert f"{looks:,} looks into the queue + 15,000" in cost("Storage operations")[0]
    assert (30 * (25 * rows / 1_000_000 + 0.013) < 5, cost("Logs")[1]) == (True, 0)
    assert cost("Alerts")[1] == len(rules()) * 0.50
    assert cost("Private network")[1] == round(4 * 7.30 + 4 * 0.50, 2)
    assert cost("NAT gateway")[1] == 32.85 + 3.65
    parts = ("Executions", "Compute", "Storage operations", "Logs", "Alerts", "Key Vault, identity, data stored")
    total = cost("**Total**")[1]
    assert round(sum(cost(part)[1] for part in parts), 2) == total
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"About {total:.0f} US dollars a month at 1,000 rows a day" in readme


# -- what once was untrue -----------------------------------------------------------------------------------------------


def section(heading: str, page: str = DEPLOY) -> str:
    """What stands under a heading."""
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_azd_down_is_told_as_it_is() -> None:
    """It deletes a whole group. Where that is somebody else's, it is warned of, and the way by tag is told."""
    assert "**It deletes the whole resource group with everything in it**" in section("Tearing down")
    assert "az resource list --tag azd-env-name=" in section("Tearing down")
    assert "**Never run\n`azd down` there**" in section("An existing resource group")
    assert [line for line in commands() if line.startswith("azd down")] == ["azd down"] * DEPLOY.count("azd down")


def test_what_is_deleted_by_tag_is_all_there_is() -> None:
    """Each resource that can have tags has azd's; the group, which may be another's, is not touched."""
    assert "targetScope = 'resourceGroup'" in MAIN.text
    for file in (MAIN, *(Bicep(path) for path in (INFRA / "modules").glob("*.bicep"))):
        for symbol, kind in file.resources.items():
            name = kind.partition("@")[0]
            assert not name.startswith("Microsoft.Resources/"), symbol
            if name.count("/") == 1 and not name.endswith(("/roleAssignments", "/diagnosticSettings")):
                assert b"common.tags" in (file.body(symbol)["tags"].text or b""), symbol


def test_a_pipeline_signs_in_for_its_environment_alone_and_gives_no_role_but_ours() -> None:
    """Not by `azd pipeline config`, which lets branches and pull requests in, with rights on the subscription."""
    text = " ".join(section("From a pipeline").split())
    assert "`azd pipeline config` would make federated credentials for pull requests and branches" in text
    assert [line for line in commands() if line.startswith("azd pipeline")] == ["azd pipeline config"]
    assert set(re.findall(r"`repo:[^`]*`", text)) == {
        "`repo:OWNER/NAME:environment:production`",
        "`repo:OWNER@OWNER_ID/NAME@REPO_ID:environment:production`",
    }
    allowed = text[text.index("*Allow user to only assign selected roles*): ") :].partition("): ")[2].partition(". ")[0]
    assert set(allowed.split(", ")) == roles()


def test_the_trial_is_on_before_anything_is_deployed() -> None:
    """With TEST_MAILBOX among the first settings, no calendar but one's own is touched. The test is told once."""
    block = re.findall(r"```sh\n(.*?)```", section("Provision and deploy"), re.DOTALL)[0].splitlines()
    assert block.index("azd env set TEST_MAILBOX you@example.com") < block.index("azd up")
    assert block.index("azd env set TEST_MAILBOX you@example.com") < block.index(
        "azd env set ACUMATICA_URL https://erp.example.com/site"
    )
    assert "-Mailboxes you@example.com" in section("Mailbox access")
    steps = re.findall(r"(?m)^\d\. \*\*(.*?)\*\*", (ROOT / "docs/first-test.md").read_text(encoding="utf-8"))
    assert steps[0] == "Settings."
    assert steps[-1] == "Activate the push"
    told = section("The first test")
    assert "(first-test.md)" in told
    assert "switch over" not in told


def test_secrets_are_asked_for_once_all_of_them_can_be_known() -> None:
    """The shared secret is made with the Connected Application, after the first `azd up`."""
    assert DEPLOY.index("python infra/hooks/set_secrets.py") > DEPLOY.index("## Connected Application")


def test_the_page_on_scale_and_the_decision_have_the_concurrency_that_is_deployed() -> None:
    (concurrency,) = re.findall(r"var concurrency = (\d+)", MAIN.text)
    assert "triggers: { http: { perInstanceConcurrency: concurrency } }" in MAIN.text
    assert "PYTHON_THREADPOOL_THREAD_COUNT: string(concurrency)" in MAIN.text
    queues = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["queues"]
    decision = (ROOT / "docs/decisions/0009-host-settings.md").read_text(encoding="utf-8")
    assert f"`perInstanceConcurrency` {concurrency} for HTTP" in decision
    assert f"`batchSize` {queues['batchSize']}, `newBatchThreshold` {queues['newBatchThreshold']}" in decision
    scale = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    assert f"takes {concurrency} notifications at a time (`perInstanceConcurrency`)" in scale
    assert f"{queues['batchSize'] + queues['newBatchThreshold']} rows at a time" in scale


def test_what_azd_or_azure_ignore_is_not_asked_for() -> None:
    """A registration that nobody waits for; a flag that is none any more; variables that azd sets by itself."""
    assert [line for line in commands() if "provider register" in line and "--wait" not in line] == []
    assert "alpha.resourceGroupDeployments" not in DEPLOY
    assert not re.search(r"azd env set AZURE_(PRINCIPAL|LOCATION|ENV_NAME)", DEPLOY)


def test_sources_are_named_where_azd_surprises() -> None:
    """Files of https://github.com/Azure/azure-dev, by name; and the version that they were read at is the one asked for."""
    for name in ("bicep_provider.go", "github_provider.go", "standard_deployments.go"):
        assert name in DEPLOY
    azure = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    (version,) = re.findall(r'azd: ">= ([\d.]+)"', azure)
    assert f"(`azd`), {version} or later" in DEPLOY
    assert f"version {version.removesuffix('.0')}" in " ".join(DEPLOY.split())


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
    from handlers.runs_page.routes import ROUTES  # noqa: PLC0415

    pages = ROUTES.bind("app.example.com")
    for alert in literal(Bicep(INFRA / "modules/alerts.bicep").variables["alerts"]):
        assert not [name for name in TABLES if name in alert["remedy"]], alert["name"]
        for setting in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", alert["remedy"]):
            assert setting in SETTINGS, alert["name"]
        for path in re.findall(r"\$\{page\}([\w/]*)", alert["remedy"]):
            assert pages.match(f"/api/runs{path}", "GET"), alert["name"]


def test_everything_that_is_stored_is_in_the_security_page() -> None:
    names = {
        *storage.TABLES,
        SWEEP_QUEUE,
        SWEEP_POISON_QUEUE,
        queue.QUEUE,
        queue.POISON_QUEUE,
        storage.ROW_BLOBS,
        storage.DEAD_LETTER_BLOBS,
        "deployments",
    }
    rows = "".join(re.findall(r"(?m)^\| (?:Table|Queue|Container) .*?\|", SECURITY))
    rows += "".join(re.findall(r"(?m)^\| Table .*$", SECURITY))
    assert {name for name in names if f"`{name}`" not in rows} == set()


def roles() -> set[str]:
    """The roles that Bicep assigns, by name."""
    data, monitoring = (Bicep(INFRA / f"modules/{name}.bicep") for name in ("data", "monitoring"))
    found = {*literal(data.variables["roles"]), *(item["name"] for item in literal(data.variables["vaultRoles"]))}
    found.add(literal(monitoring.body("sends")["properties"])["description"])
    assert len(found) == 6
    return found


def test_the_roles_in_the_security_page_are_those_of_bicep() -> None:
    assert {role for role in roles() if f"| {role} |" not in SECURITY} == set()


def test_the_script_for_mailboxes_has_the_parameters_that_are_used() -> None:
    script = (INFRA / "mailbox-access.ps1").read_text(encoding="utf-8")
    block = script[script.index("\nparam(") : script.index("\n)\n")]
    parameters = {*re.findall(r"\] \$(\w+)", block), "WhatIf"}
    hook = (INFRA / "hooks/postdeploy.py").read_text(encoding="utf-8")
    used = re.findall(r"mailbox-access\.ps1(.*)", DEPLOY + hook + script)
    assert {word for line in used for word in re.findall(r" -([A-Z]\w+)", line)} <= parameters
    assert len(re.findall(r"(?m)^    # .*\n    \[", block)) == len(parameters) - 1, "each has its comment, which is its help"
    assert "Application Calendars.ReadWrite" in script
