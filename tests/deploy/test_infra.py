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
from pydantic import SecretStr

from handlers.clients import queue, storage
from handlers.settings import Settings, StorageSettings
from tests.deploy.bicep import Bicep, literal, objects, properties

ROOT = Path(__file__).resolve().parent.parent.parent
INFRA = ROOT / "infra"
FILES = {str(path.relative_to(INFRA)): Bicep(path) for path in sorted(INFRA.rglob("*.bicep"))}
MAIN, GROUP = FILES["main.bicep"], FILES["group.bicep"]
APP, STORAGE, VAULT = FILES["modules/app.bicep"], FILES["modules/storage.bicep"], FILES["modules/vault.bicep"]

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
    return {str(f.alias): f for model in (Settings, StorageSettings) for f in model.model_fields.values()}


def secret_names() -> dict[str, str]:
    """Name in Key Vault by setting."""
    merged: dict[str, str] = {}
    for part in objects(GROUP.variables["secretNames"]):
        merged |= literal(part)
    return merged


def own_settings() -> dict[str, str]:
    """What app.bicep adds to the settings itself."""
    found: dict[str, str] = {}
    for part in objects(APP.body("appSettings")["properties"]):
        found |= literal(part)
    return found


def parameters_of(name: str) -> dict[str, str]:
    """Environment variable by parameter, of a parameters file."""
    document = json.loads((INFRA / name).read_text(encoding="utf-8"))
    values = {key: value["value"] for key, value in document["parameters"].items()}
    assert all(re.fullmatch(r"\$\{\w+}", value) for value in values.values())
    return {key: value[2:-1] for key, value in values.items()}


# -- the app's settings -------------------------------------------------------------------------------------------------


def test_the_app_is_given_every_setting_of_the_code_and_no_other() -> None:
    given = {*literal(GROUP.variables["settings"]), *secret_names(), *own_settings()}
    assert given == ({*fields()} | PLATFORM) - LOCAL_ONLY


def test_every_secret_of_the_code_is_a_key_vault_reference_and_nothing_else_is() -> None:
    secret = {name for name, field in fields().items() if "SecretStr" in str(field.annotation)} - LOCAL_ONLY
    assert {*secret_names()} == secret
    assert "@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${name})" in GROUP.text


def test_the_command_that_sets_secrets_uses_the_names_of_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(INFRA / "hooks"))
    assert runpy.run_path(str(INFRA / "hooks/set_secrets.py"))["SECRETS"] == secret_names()


def test_no_secret_s_value_is_in_bicep() -> None:
    for name, file in FILES.items():
        assert "vaults/secrets" not in file.text, name
        assert not re.search(r"listKeys|listSecrets|@secure", file.text), name


def test_defaults_and_bounds_of_parameters_are_those_of_the_code() -> None:
    env = {variable: name for name, variable in parameters_of("main.parameters.json").items()}
    for setting, field in fields().items():
        parameter = GROUP.parameters.get(env.get(setting, ""))
        if not parameter:
            continue
        unset = field.default in {None, ""} or isinstance(field.default, SecretStr)
        if parameter.type == "int":
            bounds = {key: value for m in field.metadata for key, value in vars_of(m).items()}
            least, most = int(parameter.decorators["minValue"]), int(parameter.decorators.get("maxValue", 2**31))
            assert parameter.default == ("0" if unset else f"{field.default:g}"), setting
            assert unset or least >= bounds.get("ge", bounds.get("gt", 0)), setting
            assert most <= bounds.get("le", 2**31), setting
        elif parameter.type == "bool":
            assert parameter.default == str(field.default).lower(), setting
        elif field.is_required():
            assert parameter.default is None, setting
        else:
            assert parameter.default == f"'{field.default or ''}'", setting


def vars_of(constraint: Any) -> dict[str, Any]:
    """The bounds of one of pydantic's constraints."""
    return {name: getattr(constraint, name) for name in ("ge", "gt", "le") if hasattr(constraint, name)}


def test_the_connection_of_the_triggers_is_complete_and_has_no_key() -> None:
    """Without __credential and __clientId a user-assigned identity does not work; a plain setting beats them all."""
    connection = {name: value for name, value in own_settings().items() if name.startswith("AzureWebJobsStorage")}
    assert connection == {
        "AzureWebJobsStorage__accountName": "storageName",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": "identityClientId",
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
    declared = {name: literal(STORAGE.variables[name]) for name in ("queues", "tables", "containers")}
    assert set(declared["queues"]) == {queue.QUEUE, queue.POISON_QUEUE}
    assert set(declared["tables"]) == set(storage.TABLES)
    assert set(declared["containers"]) == {storage.ROW_BLOBS, storage.DEAD_LETTER_BLOBS, "deployments"}
    assert STORAGE.outputs["deploymentContainer"].endswith("deployments'")


def test_large_rows_are_removed_when_no_message_can_refer_to_them() -> None:
    rules = {
        rule["definition"]["filters"]["prefixMatch"][0]: rule["definition"]["actions"]["baseBlob"]["delete"]
        for rule in literal(STORAGE.body("lifecycle")["properties"])["policy"]["rules"]
    }
    assert set(rules) == {f"{storage.ROW_BLOBS}/", f"{storage.DEAD_LETTER_BLOBS}/"}
    days = rules[f"{storage.ROW_BLOBS}/"]["daysAfterModificationGreaterThan"]
    longest = Settings.model_fields["defer_max_hours"].metadata
    assert days > max(vars_of(m).get("le", 0) for m in longest) / 24 + queue._DELAY_MAX / 86_400


def test_storage_has_no_keys_no_anonymous_access_and_no_old_tls() -> None:
    account = literal(STORAGE.body("account")["properties"])
    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["supportsHttpsTrafficOnly"] is True
    assert account["minimumTlsVersion"] == "TLS1_2"


def test_the_app_takes_https_only_and_no_publishing_password() -> None:
    site = literal(APP.body("app")["properties"])
    assert site["httpsOnly"] is True
    assert site["keyVaultReferenceIdentity"] == "identityId"
    assert "keyVaultReferenceIdentity" not in site["siteConfig"]
    assert re.search(r"resource noPassword .*?\['ftp', 'scm'\].*?allow: false", APP.text, re.DOTALL)


def test_the_vault_goes_by_roles_and_telemetry_by_tokens() -> None:
    assert literal(VAULT.body("vault")["properties"])["enableRbacAuthorization"] is True
    insights = FILES["modules/monitoring.bicep"].body("insights")["properties"]
    assert literal(insights)["DisableLocalAuth"] is True
    assert own_settings()["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "ClientId=${identityClientId};Authorization=AAD"


# -- roles --------------------------------------------------------------------------------------------------------------


def test_every_role_is_a_known_one_with_its_name_and_none_is_broader() -> None:
    graph = {"00000003-0000-0000-c000-000000000000", "ef54d2bf-783f-4e0f-bca1-3210c0444d99"}
    used = {guid for file in FILES.values() for guid in GUID.findall(file.text)}
    assert used - graph == set(ROLES.values())
    assert literal(STORAGE.variables["roles"]) == {name: ROLES[name] for name in ROLES if name.startswith("Storage")}
    monitoring = FILES["modules/monitoring.bicep"]
    for file, symbol, variable in ((VAULT, "reads", "secretsUser"), (VAULT, "writes", "secretsOfficer")):
        described = literal(file.body(symbol)["properties"])["description"]
        assert literal(file.variables[variable]) == ROLES[described]
    described = literal(monitoring.body("sends")["properties"])["description"]
    assert literal(monitoring.variables["metricsPublisher"]) == ROLES[described]


def test_role_assignments_are_named_by_what_they_are_about() -> None:
    """So that a second deployment finds them; and each says what its principal is, so that new identities are accepted."""
    for name, file in FILES.items():
        for symbol, kind in file.resources.items():
            if kind.startswith("Microsoft.Authorization/roleAssignments@"):
                body = file.body(symbol)
                assert re.fullmatch(rb"guid\(\w+\.id, \w*[pP]rincipalId, [\w.]+\)", body["name"].text or b""), name
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


def test_both_entries_have_the_same_parameters() -> None:
    """main.bicep hands everything on to group.bicep; it alone knows the name of the group."""
    main = dict(MAIN.parameters)
    del main["resourceGroupName"]
    assert main == GROUP.parameters
    (everything,) = MAIN.modules
    assert everything.arguments == {name: name for name in main}


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
def test_every_parameter_output_and_query_file_is_used_and_described(name: str) -> None:
    file = FILES[name]
    for parameter in file.parameters.values():
        assert parameter.decorators.get("description"), parameter.name
        assert len(re.findall(rf"\b{parameter.name}\b", file.text)) > 1, parameter.name
    for loaded in re.findall(r"loadTextContent\('([^']+)'\)", file.text):
        assert (file.path.parent / loaded).is_file(), loaded


def test_every_query_file_is_loaded() -> None:
    loaded = {Path(path).name for file in FILES.values() for path in re.findall(r"loadTextContent\('([^']+)'\)", file.text)}
    assert loaded == {path.name for path in (INFRA / "queries").iterdir()}


@pytest.mark.parametrize(("entry", "parameters"), [(MAIN, "main.parameters.json"), (GROUP, "group.parameters.json")])
def test_the_parameters_files_name_every_parameter(entry: Bicep, parameters: str) -> None:
    variables = parameters_of(parameters)
    assert list(variables) == list(entry.parameters)
    assert len(set(variables.values())) == len(variables)


def test_a_setting_is_set_by_its_own_name() -> None:
    """`azd env set ACUMATICA_URL …` becomes the app setting ACUMATICA_URL."""
    variables = parameters_of("main.parameters.json")
    for setting, value in literal(GROUP.variables["settings"]).items():
        words = set(re.findall(r"\w+", value))
        assert setting in {variables[word] for word in words & set(variables)}, setting


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
    assert "'azd-env-name': environmentName" in GROUP.text
    assert MAIN.outputs.keys() == GROUP.outputs.keys()


def test_azure_yaml_has_only_keys_that_azd_knows() -> None:
    """Those of schema v1.0: https://github.com/Azure/azure-dev/blob/main/schemas/v1.0/azure.yaml.json."""
    document = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert set(document) <= {"name", "requiredVersions", "infra", "services", "hooks", "pipeline", "metadata"}
    assert set(document["infra"]) <= {"provider", "path", "module"}
    assert set(document["services"]["app"]) <= {"project", "language", "host", "remoteBuild"}
    assert set(document["hooks"]) <= {"postprovision", "postdeploy"}


def test_the_python_version_is_the_same_everywhere() -> None:
    version = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert literal(APP.variables["pythonVersion"]) == version
    assert properties(APP.body("app")["properties"])["functionAppConfig"].text.count(b"pythonVersion") == 1  # type: ignore[union-attr]
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        text = workflow.read_text(encoding="utf-8")
        assert "python-version:" not in text, workflow.name
        assert text.count("actions/setup-python@") == text.count("python-version-file: .python-version"), workflow.name
    for page in ("README.md", "docs/deploy.md"):
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
