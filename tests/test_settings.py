"""App settings: what is taken, what is refused in which words, and that values never show."""

from typing import Any

import pytest
from pydantic import SecretStr

from handlers.environment import SettingsProblems, load_settings
from handlers.settings import Settings, StorageSettings

LEAST = {
    "ACUMATICA_URL": "https://erp.example.com/site",
    "ACUMATICA_TENANT": "Production",
    "ACUMATICA_USERNAME": "calendar-api",
    "ACUMATICA_PASSWORD": "hunter2",
    "ACUMATICA_CLIENT_ID": "3F0B5C1A-0000-0000-0000-000000000000@Production",
    "ACUMATICA_CLIENT_SECRET": "s3cr3t",
}
STORAGE = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
UNRESOLVED = "@Microsoft.KeyVault(SecretUri=https://vault.example.com/secrets/x)"


def load(**changes: str) -> Settings:
    return load_settings(Settings, LEAST | changes)


def problems(environ: dict[str, str], model: Any = Settings) -> list[str]:
    with pytest.raises(SettingsProblems) as caught:
        load_settings(model, environ)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


# -- what is taken ------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    """What holds unless something else is set."""
    settings = load()
    given = {field.alias for field in Settings.model_fields.values()} & set(LEAST)
    defaults = {f.alias: getattr(settings, n) for n, f in Settings.model_fields.items() if f.alias not in given}
    assert defaults == {
        "ACUMATICA_TENANT_FORMERLY": "",
        "ACUMATICA_AUTH": "oauth",
        "ACUMATICA_MAX_SESSIONS": 1,
        "ACUMATICA_LINGER_SECONDS": 20,
        "ACUMATICA_LEASE_SECONDS": 30,
        "ACUMATICA_SESSION_TIMEOUT_SECONDS": None,
        "ACUMATICA_LATE_SECONDS": 900,
        "ACUMATICA_ODATA": "4",
        "SWEEP_PAGE_ROWS": 1000,
        "GRAPH_URL": "https://graph.microsoft.com",
        "GRAPH_AUTHORITY": "https://login.microsoftonline.com",
        "GRAPH_TENANT_ID": "",
        "GRAPH_CLIENT_ID": "",
        "GRAPH_CLIENT_SECRET": SecretStr(""),
        "MAX_NOTIFICATION_MIB": 32,
        "MAX_NOTIFICATION_ROWS": 20_000,
        "DELETE_GRACE_SECONDS": 30,
        "REMOVALS_MAX": 50,
        "SWEEP_SCHEDULE": "0 0 2 * * *",
        "SWEEP_MARGIN_MINUTES": 15,
        "FAILED_NOTIFICATIONS_INQUIRY": "",
        "DEFER_MAX_HOURS": 48,
        "RETENTION_DAYS": 30,
        "CLAIM_SECONDS": 360,
        "REQUEST_TIMEOUT_SECONDS": 100,
        "MAPPINGS_DIR": "mappings",
        "TEST_MAILBOX": "",
        "SYNC_PAUSED": False,
    }


def test_values_arrive() -> None:
    """Without outer blanks; other variables are left alone."""
    settings = load(ACUMATICA_TENANT=" Test ", DEFER_MAX_HOURS="1.5", PATH="/bin", acumatica_username="no")
    assert settings.acumatica_tenant == "Test"
    assert settings.acumatica_username == "calendar-api"
    assert settings.acumatica_password.get_secret_value() == "hunter2"
    assert settings.defer_max_hours == 1.5


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://erp.example.com", "https://erp.example.com"),
        ("https://erp.example.com/site/", "https://erp.example.com/site"),
        ("https://erp.example.com:8443/a/b//", "https://erp.example.com:8443/a/b"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses(url: str, taken: str) -> None:
    """Without a slash at the end; http on the loopback interface only."""
    settings = load(ACUMATICA_URL=url, GRAPH_URL=url, GRAPH_AUTHORITY=url)
    assert (settings.acumatica_url, settings.graph_url, settings.graph_authority) == (taken, taken, taken)


def test_cookie_sign_in_needs_no_connected_application() -> None:
    """Only user and password."""
    environ = {name: value for name, value in LEAST.items() if "CLIENT" not in name} | {"ACUMATICA_AUTH": "cookie"}
    assert load_settings(Settings, environ).acumatica_auth == "cookie"


def test_empty_values_are_not_set() -> None:
    """As the portal leaves them."""
    assert load(DEFER_MAX_HOURS="", GRAPH_CLIENT_SECRET=" ", MAPPINGS_DIR="\t").mappings_dir == "mappings"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 3600),
        ({"ACUMATICA_AUTH": "cookie"}, 600),
        ({"ACUMATICA_SESSION_TIMEOUT_SECONDS": "90"}, 90),
    ],
)
def test_how_long_abandoned_sessions_last(changes: dict[str, str], seconds: float) -> None:
    """As long as the server keeps them, by the kind of sign-in."""
    assert load(**changes).abandoned_seconds == seconds


# -- what is refused ----------------------------------------------------------------------------------------------------

ADDRESS = "has to be an address like https://erp.example.com/site"
RANGE = "Input should be {} than or equal to {}"


@pytest.mark.parametrize("name", ["ACUMATICA_URL", "ACUMATICA_TENANT", "ACUMATICA_USERNAME", "ACUMATICA_PASSWORD"])
@pytest.mark.parametrize("blank", ["absent", "", "   "])
def test_missing(name: str, blank: str) -> None:
    """Absent, empty and blank are the same."""
    environ = {key: value for key, value in LEAST.items() if key != name}
    assert problems(environ if blank == "absent" else environ | {name: blank}) == [f"{name}: missing"]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ACUMATICA_AUTH", "saml", "Input should be 'oauth' or 'cookie'"),
        ("ACUMATICA_CLIENT_ID", "3F0B5C1A", "has to be GUID@Tenant, as form SM303010 shows it"),
        ("ACUMATICA_MAX_SESSIONS", "0", RANGE.format("greater", 1)),
        ("ACUMATICA_MAX_SESSIONS", "51", RANGE.format("less", 50)),
        ("ACUMATICA_MAX_SESSIONS", "two", "Input should be a valid integer, unable to parse string as an integer"),
        ("ACUMATICA_LINGER_SECONDS", "-1", RANGE.format("greater", 0)),
        ("ACUMATICA_LINGER_SECONDS", "301", RANGE.format("less", 300)),
        ("ACUMATICA_LINGER_SECONDS", "nan", "Input should be a finite number"),
        ("ACUMATICA_LEASE_SECONDS", "0.5", RANGE.format("greater", 1)),
        ("ACUMATICA_LEASE_SECONDS", "601", RANGE.format("less", 600)),
        ("ACUMATICA_LATE_SECONDS", "3601", RANGE.format("less", 3600)),
        ("ACUMATICA_ODATA", "2", "Input should be '4' or '3'"),
        ("SWEEP_PAGE_ROWS", "9", RANGE.format("greater", 10)),
        ("SWEEP_PAGE_ROWS", "10001", RANGE.format("less", 10_000)),
        ("ACUMATICA_SESSION_TIMEOUT_SECONDS", "0", RANGE.format("greater", 1)),
        ("MAX_NOTIFICATION_MIB", "0", RANGE.format("greater", 1)),
        ("MAX_NOTIFICATION_ROWS", "0", RANGE.format("greater", 1)),
        ("MAX_NOTIFICATION_MIB", "101", RANGE.format("less", 100)),
        ("REMOVALS_MAX", "0", RANGE.format("greater", 1)),
        ("REMOVALS_MAX", "1000001", RANGE.format("less", 1_000_000)),
        ("SWEEP_MARGIN_MINUTES", "0.5", RANGE.format("greater", 1)),
        ("SWEEP_MARGIN_MINUTES", "241", RANGE.format("less", 240)),
        ("DELETE_GRACE_SECONDS", "-1", RANGE.format("greater", 0)),
        ("DELETE_GRACE_SECONDS", "3601", RANGE.format("less", 3600)),
        ("DELETE_GRACE_SECONDS", "1.5", "Input should be a valid integer, unable to parse string as an integer"),
        ("DEFER_MAX_HOURS", "0", "Input should be greater than 0"),
        ("DEFER_MAX_HOURS", "721", RANGE.format("less", 720)),
        ("DEFER_MAX_HOURS", "inf", "Input should be a finite number"),
        ("DEFER_MAX_HOURS", "nan", "Input should be a finite number"),
        ("RETENTION_DAYS", "0", "Input should be greater than 0"),
        ("RETENTION_DAYS", "366", RANGE.format("less", 365)),
        ("RETENTION_DAYS", "x", "Input should be a valid number, unable to parse string as a number"),
        ("CLAIM_SECONDS", "0", RANGE.format("greater", 1)),
        ("CLAIM_SECONDS", "3601", RANGE.format("less", 3600)),
        ("REQUEST_TIMEOUT_SECONDS", "0", "Input should be greater than 0"),
        ("REQUEST_TIMEOUT_SECONDS", "301", RANGE.format("less", 300)),
        ("REQUEST_TIMEOUT_SECONDS", "nan", "Input should be a finite number"),
    ],
)
def test_wrong_values(name: str, value: str, problem: str) -> None:
    """Named, with what it has to be."""
    assert problems(LEAST | {name: value}) == [f"{name}: {problem}"]


@pytest.mark.parametrize("name", ["ACUMATICA_URL", "GRAPH_URL", "GRAPH_AUTHORITY"])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("erp.example.com", ADDRESS),
        ("https://", ADDRESS),
        ("ftp://erp.example.com", ADDRESS),
        ("https://user:SECRET@erp.example.com", ADDRESS),
        ("https://:SECRET@erp.example.com", ADDRESS),
        ("https://erp.example.com/?tenant=x", ADDRESS),
        ("https://erp.example.com/site?", ADDRESS),
        ("https://erp.example.com/site#", ADDRESS),
        ("https://erp.example.com/#top", ADDRESS),
        ("https://erp example.com", ADDRESS),
        ("https://erp.example.com/a\nb", ADDRESS),
        ("https://erp.example.com:99999", ADDRESS),
        ("https://erp.example.com:SECRET", ADDRESS),
        ("https://[SECRET]/", ADDRESS),
        ("https://erp\u2100SECRET.example.com", ADDRESS),
        ("http://erp.example.com", "has to begin with https:// (secrets travel to it)"),
        ("http://localhost.example.com", "has to begin with https:// (secrets travel to it)"),
        ("http://127.0.0.1.example.com", "has to begin with https:// (secrets travel to it)"),
    ],
)
def test_wrong_addresses(name: str, url: str, problem: str) -> None:
    """What is no address, and where secrets would travel in the clear."""
    assert problems(LEAST | {name: url}) == [f"{name}: {problem}"]


def test_oauth_needs_its_connected_application() -> None:
    """Both of it; it is the default."""
    environ = {name: value for name, value in LEAST.items() if "CLIENT" not in name}
    expected = [
        "ACUMATICA_CLIENT_ID: missing (ACUMATICA_AUTH is oauth)",
        "ACUMATICA_CLIENT_SECRET: missing (ACUMATICA_AUTH is oauth)",
    ]
    assert problems(environ) == expected
    assert problems(environ | {"ACUMATICA_AUTH": "oauth"}) == expected


def test_a_client_secret_for_graph_needs_what_it_belongs_to() -> None:
    """Tenant and app; the managed identity needs neither."""
    assert problems(LEAST | {"GRAPH_CLIENT_SECRET": "x"}) == [
        "GRAPH_TENANT_ID: missing (GRAPH_CLIENT_SECRET is set)",
        "GRAPH_CLIENT_ID: missing (GRAPH_CLIENT_SECRET is set)",
    ]
    assert load(GRAPH_CLIENT_ID="identity").graph_client_id == "identity"


def test_requests_end_within_claims() -> None:
    """Or another worker would take over while a request is under way."""
    expected = ["REQUEST_TIMEOUT_SECONDS: a request (and 20 s before it) has to end within CLAIM_SECONDS, and 290 s"]
    assert problems(LEAST | {"REQUEST_TIMEOUT_SECONDS": "40", "CLAIM_SECONDS": "60"}) == expected
    assert problems(LEAST | {"REQUEST_TIMEOUT_SECONDS": "1", "CLAIM_SECONDS": "3"}) == expected
    assert problems(LEAST | {"REQUEST_TIMEOUT_SECONDS": "270", "CLAIM_SECONDS": "3600"}) == expected
    assert load(REQUEST_TIMEOUT_SECONDS="269", CLAIM_SECONDS="3600").longest_request_seconds == 289
    assert load(REQUEST_TIMEOUT_SECONDS="39", CLAIM_SECONDS="60").longest_request_seconds == 59


def test_all_problems_at_once() -> None:
    """Of every kind."""
    found = problems(
        {
            "ACUMATICA_URL": "http://erp.example.com",
            "ACUMATICA_PASSWORD": UNRESOLVED,
            "ACUMATICA_CLIENT_ID": "x",
            "GRAPH_CLIENT_SECRET": "x",
            "DEFER_MAX_HOURS": "soon",
            "MAX_NOTIFICATION_MIB": "1000",
        }
    )
    assert sorted(problem.split(":")[0] for problem in found) == [
        "ACUMATICA_CLIENT_ID",
        "ACUMATICA_CLIENT_SECRET",
        "ACUMATICA_PASSWORD",
        "ACUMATICA_TENANT",
        "ACUMATICA_URL",
        "ACUMATICA_USERNAME",
        "DEFER_MAX_HOURS",
        "GRAPH_CLIENT_ID",
        "GRAPH_TENANT_ID",
        "MAX_NOTIFICATION_MIB",
    ]


@pytest.mark.parametrize(
    "name", ["ACUMATICA_URL", "ACUMATICA_CLIENT_SECRET", "ACUMATICA_CLIENT_ID", "ACUMATICA_MAX_SESSIONS"]
)
def test_key_vault_references_that_did_not_resolve(name: str) -> None:
    """App Service leaves the reference in place of the value; nothing else is said about it."""
    assert problems(LEAST | {name: UNRESOLVED}) == [
        f"{name}: its Key Vault reference did not resolve; does the secret exist, may the app read it?"
    ]


def told(environ: dict[str, str]) -> str:
    """Everything that comes of an environment: problems with all that hangs on them, or the settings as printed."""
    parts = []
    for model in (Settings, StorageSettings):
        try:
            parts.append(f"{load_settings(model, environ)!r}")
        except SettingsProblems as error:
            parts.append(f"{error} {error!r} {error.problems} {error.__cause__!r}")
    return " ".join(parts)


@pytest.mark.parametrize(
    "value",
    [
        "qwzx",
        "-1qwzx",
        "https://x:qwzx@y",
        "http://qwzx",
        "https://h:qwzx",
        "https://[qwzx]",
        "https://qwzx\u2100",
        "@Microsoft.KeyVault(qwzx)",
        "AccountName=a;AccountKey=qwzx",
    ],
)
def test_values_never_appear(value: str) -> None:
    """Not in problems, whatever is put into which setting; secrets not in printed settings either."""
    for model in (Settings, StorageSettings):
        for field in model.model_fields.values():
            name = str(field.alias)
            words = told(LEAST | {"AzureWebJobsStorage": STORAGE, name: value})
            secret = "SecretStr" in str(field.annotation)
            assert "qwzx" not in words or (not secret and name not in words), name


def test_secrets_are_not_printed() -> None:
    """By any of them."""
    printed = repr(load(GRAPH_CLIENT_SECRET="gr4ph", GRAPH_TENANT_ID="t", GRAPH_CLIENT_ID="c"))
    assert not any(secret in printed for secret in ("hunter2", "s3cr3t", "gr4ph"))
    assert "c2VjcmV0" not in repr(load_settings(StorageSettings, {"AzureWebJobsStorage": STORAGE}))


# -- storage ------------------------------------------------------------------------------------------------------------


def test_storage_by_connection_string() -> None:
    """On one machine."""
    settings = load_settings(StorageSettings, {"AzureWebJobsStorage": f" {STORAGE} "})
    assert settings.connection_string is not None
    assert settings.connection_string.get_secret_value() == STORAGE
    assert load_settings(StorageSettings, {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}).account_name is None


def test_storage_by_identity() -> None:
    """In Azure."""
    settings = load_settings(
        StorageSettings,
        {
            "AzureWebJobsStorage__accountName": "acc",
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": "id",
        },
    )
    assert (settings.account_name, settings.credential, settings.client_id) == ("acc", "managedidentity", "id")
    assert settings.connection_string is None


def test_no_storage() -> None:
    """Both ways are named."""
    assert problems({"AzureWebJobsStorage": " "}, StorageSettings) == [
        "AzureWebJobsStorage (locally) or AzureWebJobsStorage__accountName (in Azure): missing"
    ]


@pytest.mark.parametrize(
    "text", ["garbage", "AccountName=acc", "AccountKey=c2VjcmV0", "https://acc.table.core.windows.net/"]
)
def test_what_is_no_connection_string(text: str) -> None:
    """Is told at the start; the SDK would raise at the first use."""
    assert problems({"AzureWebJobsStorage": text}, StorageSettings) == [
        "AzureWebJobsStorage: has to be a connection string with AccountName and AccountKey"
    ]


def test_a_connection_string_from_a_key_vault_that_did_not_resolve() -> None:
    """One problem, not two."""
    assert problems({"AzureWebJobsStorage": UNRESOLVED}, StorageSettings) == [
        "AzureWebJobsStorage: its Key Vault reference did not resolve; does the secret exist, may the app read it?"
    ]


# -- documentation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Settings, StorageSettings])
def test_every_setting_says_what_it_is(model: type[Settings | StorageSettings]) -> None:
    """With a name like other app settings, and a sentence."""
    for field in model.model_fields.values():
        assert field.alias
        assert field.alias.isupper() or field.alias.startswith("AzureWebJobsStorage")
        assert (field.description or "").endswith(".")
