"""The Bicep files, held against the code, the parameters files, azure.yaml and each other.

Resource types and properties are checked by the Bicep CLI (.github/workflows/ci.yml).
"""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tree_sitter import Node

from handlers.clients import queue, storage
from handlers.clients.search import ROWS_BLOBS
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, SWEEP_QUEUE
from handlers.settings import PageSettings, Settings, StorageSettings
from tests.deploy.bicep import Bicep, literal, objects, properties

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"
FILES = {str(path.relative_to(INFRA)): Bicep(path) for path in sorted(INFRA.rglob("*.bicep"))}
MAIN, DATA = FILES["main.bicep"], FILES["modules/data.bicep"]
PARAMETERS = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]

# Settings that Azure must not have: a plain connection, and the addresses of fakes.
LOCAL_ONLY = {"AzureWebJobsStorage", "GRAPH_URL", "GRAPH_AUTHORITY"}
PLATFORM = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
FORBIDDEN_ON_FLEX = {
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_TIME_ZONE",
    "WEBSITE_VNET_ROUTE_ALL",
    "alwaysOn",
    "ftpsState",
    "healthCheckPath",
    "linuxFxVersion",
    "vnetRouteAllEnabled",
}
# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def fields() -> dict[str, Any]:
    """All settings of the code by name."""
    return {str(f.alias): f for model in (Settings, PageSettings, StorageSettings) for f in model.model_fields.values()}


def secret_names() -> dict[str, str]:
    """Name in Key Vault by setting."""
    merged: dict[str, str] = {}
    for part in objects(MAIN.variables["secretNames"]):
        merged |= literal(part)
    return merged


def text(node: Node) -> str:
    """A piece of Bicep, as it stands there."""
    return (node.text or b"").decode()


def own_settings() -> dict[str, str]:
    """What app.bicep adds to the settings itself."""
    found: dict[str, str] = {}
    for part in objects(MAIN.body("appSettings")["properties"]):
        found |= literal(part)
    return found


def variables() -> dict[str, tuple[str, str]]:
    """Environment variable, and what counts where it is empty, by parameter; those of the settings by their own name."""
    given = {name: value["value"] for name, value in PARAMETERS.items() if name != "settings"}
    found = {}
    for name, value in (given | PARAMETERS["settings"]["value"]).items():
        match = re.fullmatch(r"\$\{(\w+)(?:=(.*))?}", value)
        assert match, name
        found[name] = (match[1], match[2] or "")
    return found


# -- the app's settings -------------------------------------------------------------------------------------------------


def test_the_app_is_given_every_setting_of_the_code_and_no_other() -> None:
    given = {*PARAMETERS["settings"]["value"], *secret_names(), *own_settings()}
    assert given == ({*fields()} | PLATFORM) - LOCAL_ONLY


def test_a_setting_that_does_not_exist_is_refused() -> None:
    """A typing error in a parameter must not pass without a word. What there is stands in the parameters file alone."""
    assert re.search(r"@sealed\(\)\n@description[^\n]*\ntype AlertRules = ", FILES["modules/alerts.bicep"].text)
    assert text(MAIN.variables["known"]) == "loadJsonContent('main.parameters.json', 'parameters.settings.value')"
    assert text(MAIN.variables["strange"]) == "filter(objectKeys(settings), name => !contains(known, name))"
    assert re.match(r"empty\(strange\)\s*\?.*: fail\(", text(MAIN.variables["given"]), re.DOTALL)
    for parameter in MAIN.parameters.values():
        assert parameter.type not in {"object", "array"}, parameter.name


def test_a_setting_is_set_by_its_own_name() -> None:
    """`azd env set ACUMATICA_URL …` becomes the app setting ACUMATICA_URL."""
    settings = PARAMETERS["settings"]["value"]
    assert all(value == f"${{{name}}}" for name, value in settings.items())


def test_azd_up_succeeds_with_a_name_and_a_location_alone() -> None:
    """All else has a default; and an empty variable, which is how one is unset, is no value that is refused.

    azd substitutes an array or object and reads it as JSON: an empty text would end the provisioning.
    """
    required = {name for name, parameter in MAIN.parameters.items() if parameter.default is None}
    assert required == {"environmentName", "location"}
    for name, parameter in MAIN.parameters.items():
        if name == "settings":
            continue
        _, default = variables()[name]
        if parameter.type.endswith("[]") or parameter.type in {"AlertRules", "{ *: string }"}:
            assert default == "null", name
        elif parameter.type == "string" and parameter.default not in {None, "''"} and name != "principalType":
            assert f"'{default}'" == parameter.default, name


def test_graph_is_called_as_the_app_s_identity_unless_another_tenant_is_given() -> None:
    """Azd hands on an empty text for what is not set: it must not take the place of the identity's client id."""
    (union,) = [part for part in MAIN.body("appSettings")["properties"].named_children if part.type == "arguments"]
    tenant, given, references, own = [text(part) for part in union.named_children]
    assert tenant == "otherTenant ? {} : { GRAPH_CLIENT_ID: identity.properties.clientId }"
    assert (given, references) == ("given", "data.outputs.references")
    assert "AzureWebJobsStorage__clientId" in own
    assert "filter(items(settings), item => !empty(item.value))" in text(MAIN.variables["given"])
    assert text(MAIN.variables["otherTenant"]) == "contains(given, 'GRAPH_TENANT_ID')"
    assert "otherTenant ? { GRAPH_CLIENT_SECRET:" in MAIN.text


def test_every_secret_of_the_code_is_a_key_vault_reference_and_nothing_else_is() -> None:
    secret = {name for name, field in fields().items() if "SecretStr" in str(field.annotation)} - LOCAL_ONLY
    assert {*secret_names()} == secret
    assert "'@Microsoft.KeyVault(VaultName=${vault.name};SecretName=${name})'" in DATA.outputs["references"]


def test_references_are_made_once_the_identity_may_read_the_vault() -> None:
    """The order follows from a value: they come out of the module that has the role as well."""
    assert b"data.outputs.references" in (MAIN.body("appSettings")["properties"].text or b"")
    assert "vaultRole" in DATA.resources
    assert "dependsOn" not in MAIN.text


def test_the_command_that_sets_secrets_uses_the_names_of_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(INFRA / "hooks"))
    assert runpy.run_path(str(INFRA / "hooks/set_secrets.py"))["SECRETS"] == secret_names()


def test_no_secret_s_value_is_in_bicep() -> None:
    for name, file in FILES.items():
        assert "vaults/secrets" not in file.text, name
        assert not re.search(r"listKeys|listSecrets|@secure", file.text), name


def vars_of(constraint: Any) -> dict[str, Any]:
    """The bounds of one of pydantic's constraints."""
    return {name: getattr(constraint, name) for name in ("ge", "gt", "le") if hasattr(constraint, name)}


def test_the_connection_of_the_triggers_is_complete_and_has_no_key() -> None:
    """Without __credential and __clientId a user-assigned identity does not work; a plain setting beats them all."""
    connection = {name: value for name, value in own_settings().items() if name.startswith("AzureWebJobsStorage")}
    assert connection == {
        "AzureWebJobsStorage__accountName": "data.outputs.storageName",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": "identity.properties.clientId",
    }
    for name, file in FILES.items():
        code = re.sub(r"//.*", "", file.text)
        assert not re.search(r"\bAzureWebJobsStorage\b(?!__)|DEPLOYMENT_STORAGE_CONNECTION_STRING|AccountKey", code), name


def test_no_setting_is_used_that_flex_consumption_forbids() -> None:
    for name, file in FILES.items():
        used = {word for word in re.findall(r"\w+", re.sub(r"//.*", "", file.text)) if word in FORBIDDEN_ON_FLEX}
        assert used == set(), name


# -- storage ------------------------------------------------------------------------------------------------------------


def test_queues_tables_and_containers_are_those_of_the_code() -> None:
    declared = {name: literal(DATA.variables[name]) for name in ("queues", "tables", "containers")}
    assert set(declared["queues"]) == {queue.QUEUE, queue.POISON_QUEUE, SWEEP_QUEUE, SWEEP_POISON_QUEUE}
    assert set(declared["tables"]) == set(storage.TABLES)
    assert set(declared["containers"]) == {storage.ROW_BLOBS, storage.DEAD_LETTER_BLOBS, ROWS_BLOBS, "deployments"}
    assert DATA.outputs["deploymentContainer"].endswith("deployments'")


def test_large_rows_are_removed_when_no_message_can_refer_to_them() -> None:
    rules = {m[1]: int(m[2]) for m in re.finditer(r"container: '([\w-]+)', days: (\d+)", DATA.text)}
    assert set(rules) == {storage.ROW_BLOBS, storage.DEAD_LETTER_BLOBS}
    longest = Settings.model_fields["defer_max_hours"].metadata
    assert rules[storage.ROW_BLOBS] > max(vars_of(m).get("le", 0) for m in longest) / 24 + queue._DELAY_MAX / 86_400


def test_storage_has_no_keys_no_anonymous_access_and_no_old_tls() -> None:
    account = literal(DATA.body("account")["properties"])
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["supportsHttpsTrafficOnly"] is True
    assert account["minimumTlsVersion"] == "TLS1_2"


def test_the_app_takes_https_only_and_no_publishing_password() -> None:
    site = literal(MAIN.body("app")["properties"])
    assert site["httpsOnly"] is True
    assert site["keyVaultReferenceIdentity"] == "identity.id"
    assert "keyVaultReferenceIdentity" not in site["siteConfig"]
    assert re.search(r"resource noPassword .*?\['ftp', 'scm'\].*?allow: false", MAIN.text, re.DOTALL)


def test_the_vault_goes_by_roles_and_telemetry_by_tokens() -> None:
    assert literal(DATA.body("vault")["properties"])["enableRbacAuthorization"] is True
    insights = FILES["modules/monitoring.bicep"].body("insights")["properties"]
    assert literal(insights)["DisableLocalAuth"] is True
    as_identity = "ClientId=${identity.properties.clientId};Authorization=AAD"
    assert own_settings()["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == as_identity


# -- roles --------------------------------------------------------------------------------------------------------------


def test_every_role_is_a_known_one_with_its_name_and_none_is_broader() -> None:
    graph = {"00000003-0000-0000-c000-000000000000", "ef54d2bf-783f-4e0f-bca1-3210c0444d99"}
    used = {guid for file in FILES.values() for guid in GUID.findall(file.text)}
    assert used - graph == set(ROLES.values())
    assert literal(DATA.variables["roles"]) == {name: ROLES[name] for name in ROLES if name.startswith("Storage")}
    monitoring = FILES["modules/monitoring.bicep"]
    vault = {item["name"]: item["id"] for item in literal(DATA.variables["vaultRoles"])}
    assert vault == {name: ROLES[name] for name in ROLES if name.startswith("Key Vault")}
    described = literal(monitoring.body("sends")["properties"])["description"]
    assert literal(monitoring.variables["metricsPublisher"]) == ROLES[described]


def test_role_assignments_are_named_by_what_they_are_about() -> None:
    """So that a second deployment finds them; and each says what its principal is, so that new identities are accepted."""
    for name, file in FILES.items():
        for symbol, kind in file.resources.items():
            if kind.startswith("Microsoft.Authorization/roleAssignments@"):
                body = file.body(symbol)
                assert re.fullmatch(rb"guid\(\w+\.id, (principalId|item\.who), [\w.]+\)", body["name"].text or b""), name
                assert "principalType" in literal(body["properties"]), name


def test_only_the_file_that_nobody_runs_by_accident_touches_graph_s_permissions() -> None:
    assert [name for name, file in FILES.items() if "Microsoft.Graph/" in file.text] == ["graph-permission/main.bicep"]
    used = {module.path for file in FILES.values() for module in file.modules}
    assert not any("graph-permission" in path for path in used)


# -- files with each other ----------------------------------------------------------------------------------------------


def test_nothing_is_left_that_the_parser_does_not_understand() -> None:
    for name, file in FILES.items():
        text = re.sub(r"(?m)^extension .*$", "", file.text)
        if text == file.text:
            assert not file.root.has_error, name


def test_modules_have_no_names_of_their_own() -> None:
    """A name would be that of a deployment in the group: two environments in one group would overwrite each other's."""
    assert len(MAIN.modules) == 4
    assert not re.search(r"(?m)^module .*\{\n  name:", MAIN.text)


@pytest.mark.parametrize("name", sorted(FILES))
def test_modules_get_what_they_need_and_give_what_is_read(name: str) -> None:
    file = FILES[name]
    for module in file.modules:
        target = Bicep((file.path.parent / module.path).resolve())
        required = {p.name for p in target.parameters.values() if p.default is None}
        assert required <= set(module.arguments) <= set(target.parameters), module.path
        read = set(re.findall(rf"\b{module.symbol}!?\.outputs\.(\w+)", file.text))
        assert read <= set(target.outputs), module.path


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_parameter_and_query_file_is_used(name: str) -> None:
    file = FILES[name]
    for parameter in file.parameters.values():
        assert len(re.findall(rf"\b{parameter.name}\b", file.text)) > 1, parameter.name
    for loaded in re.findall(r"loadTextContent\('([^']+)'\)", file.text):
        assert (file.path.parent / loaded).is_file(), loaded


def test_every_parameter_of_the_entry_is_described() -> None:
    assert [name for name, parameter in MAIN.parameters.items() if not parameter.decorators.get("description")] == []


def test_a_new_workspace_refuses_no_alert() -> None:
    """Azure would look for tables there that come with the first telemetry: infra/hooks/postdeploy.py looks later."""
    alert = literal(FILES["modules/alerts.bicep"].body("alert")["properties"])
    assert alert["skipQueryValidation"] is True


def test_every_query_file_is_loaded() -> None:
    loaded = {Path(path).name for file in FILES.values() for path in re.findall(r"loadTextContent\('([^']+)'\)", file.text)}
    assert loaded == {path.name for path in (INFRA / "queries").iterdir()} | {"workbook.json"}


def test_the_parameters_file_names_every_parameter() -> None:
    assert list(PARAMETERS) == list(MAIN.parameters)
    names = [variable for variable, _ in variables().values()]
    assert len(set(names)) == len(names)


def test_azd_finds_the_app_by_its_tag() -> None:
    document = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    (service,) = document["services"]
    tagged = re.findall(r"'azd-service-name': '(\w+)'", "".join(file.text for file in FILES.values()))
    assert tagged == [service]
    assert f"SERVICE_{service.upper()}_NAME" in MAIN.outputs
    assert document["services"][service]["host"] == "function"
    assert (INFRA / f"{document['infra']['module']}.bicep").is_file()
    for hook in document["hooks"].values():
        assert (ROOT / hook["run"]).is_file()
        assert hook["interactive"] is True, "azd shows the output of other hooks for a moment, and then takes it away"
    assert "'azd-env-name': environmentName" in MAIN.text


def test_azure_yaml_has_only_keys_that_azd_knows() -> None:
    """Those of schema v1.0: https://github.com/Azure/azure-dev/blob/main/schemas/v1.0/azure.yaml.json."""
    document = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert set(document) <= {"name", "requiredVersions", "infra", "services", "hooks", "pipeline", "metadata"}
    assert set(document["infra"]) <= {"provider", "path", "module"}
    assert set(document["services"]["app"]) <= {"project", "language", "host", "remoteBuild"}
    assert set(document["hooks"]) <= {"postprovision", "postdeploy"}


def test_the_python_version_is_the_same_everywhere() -> None:
    version = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert literal(MAIN.variables["pythonVersion"]) == version
    assert properties(MAIN.body("app")["properties"])["functionAppConfig"].text.count(b"pythonVersion") == 1  # type: ignore[union-attr]
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        text = workflow.read_text(encoding="utf-8")
        assert "python-version:" not in text, workflow.name
        assert text.count("actions/setup-python@") == text.count("python-version-file: .python-version"), workflow.name
    for page in ("README.md", "docs/deploy.md", "docs/local.md"):
        assert set(re.findall(r"Python (3\.\d+)", (ROOT / page).read_text(encoding="utf-8"))) <= {version, "3.10"}, page


# -- host.json ----------------------------------------------------------------------------------------------------------


KNOWN_HOST_JSON: dict[str, Any] = {
    "version": str,
    "functionTimeout": str,
    "logging": {
        "logLevel": dict,
        "applicationInsights": {"samplingSettings": {"isEnabled": bool, "excludedTypes": str}},
    },
    "extensionBundle": {"id": str, "version": str},
    "extensions": {
        "http": {"routePrefix": str},
        "queues": {
            "batchSize": int,
            "newBatchThreshold": int,
            "maxPollingInterval": str,
            "visibilityTimeout": str,
            "maxDequeueCount": int,
            "messageEncoding": str,
        },
    },
}


def test_host_json_has_only_options_that_the_host_reads() -> None:
    """https://learn.microsoft.com/azure/azure-functions/functions-host-json; the host ignores others without a word."""

    def check(given: Any, known: Any, where: str) -> None:
        if not isinstance(known, dict):
            assert isinstance(given, known), where
            return
        for name, value in given.items():
            assert name in known, f"{where}.{name}"
            check(value, known[name], f"{where}.{name}")

    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    check(host, KNOWN_HOST_JSON, "host.json")
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert "Trace" in sampling["excludedTypes"].split(";"), "alerts count traces"
