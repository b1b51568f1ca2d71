"""Every app setting, in models: names, defaults, bounds, and what has to fit together."""

import contextlib
import re
from collections.abc import Mapping
from typing import Annotated, Literal, override
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from handlers.sync.notification import MAX_ROWS

CONNECT_SECONDS = 10.0
# Less than functionTimeout of host.json, at which the host kills the process with all that is under way.
FUNCTION_SECONDS = 290.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
NIGHTLY = "0 0 2 * * *"
SCHEDULE = r"([0-9A-Za-z*/,-]+\s+){5}[0-9A-Za-z*/,-]+"  # six fields; the host reads them
UNRESOLVED = "@Microsoft.KeyVault("  # what App Service leaves in place of a reference that it could not resolve


def longest_request(timeout: float) -> float:
    """Seconds that one request may last: time for a token, to connect, and for the answer."""
    return 2 * min(CONNECT_SECONDS, timeout) + timeout


def _address(url: str) -> str:
    wrong = ValueError("has to be an address like https://erp.example.com/site")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises where it is none)
    except ValueError:
        raise wrong from None  # its own message holds the value
    if parts.scheme not in {"https", "http"} or not parts.hostname or re.search(r"[\s?#@]", url):
        raise wrong
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("has to begin with https:// (secrets travel to it)")
    return url.rstrip("/")


def _mailbox(address: str) -> str:
    if not re.fullmatch(r"[^@\s/\\?%<>]+@[^@\s/\\?%<>]+\.[^@\s/\\?%<>]+", address):
        raise ValueError("has to be an e-mail address")
    return address.lower()


type _Address = Annotated[str, AfterValidator(_address)]
type _Mailbox = Annotated[str, AfterValidator(_mailbox)]


class Model(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def joint_problems(cls, values: Mapping[str, str]) -> list[str]:
        """What is wrong between settings, told from their raw values (of those that are set)."""
        del values
        return []


class StorageSettings(Model):
    """Where tables and queue are: a connection string on one machine, the app's identity in Azure."""

    connection_string: SecretStr | None = Field(
        None, alias="AzureWebJobsStorage", description="Connection string; for local use only."
    )
    account_name: str | None = Field(
        None, alias="AzureWebJobsStorage__accountName", description="Storage account that is reached with an identity."
    )
    credential: str | None = Field(
        None,
        alias="AzureWebJobsStorage__credential",
        description="`managedidentity` in Azure; else your own sign-in is used.",
    )
    client_id: str | None = Field(
        None, alias="AzureWebJobsStorage__clientId", description="Client id of the user-assigned managed identity."
    )

    @classmethod
    @override
    def joint_problems(cls, values: Mapping[str, str]) -> list[str]:
        """One of the two ways has to be chosen."""
        text = values.get("AzureWebJobsStorage")
        if text is None and "AzureWebJobsStorage__accountName" not in values:
            return ["AzureWebJobsStorage (locally) or AzureWebJobsStorage__accountName (in Azure): missing"]
        parts = {part.split("=")[0].strip().lower() for part in (text or "").split(";")}
        ways: list[set[str]] = [{"usedevelopmentstorage"}, {"accountname", "accountkey"}, {"sharedaccesssignature"}]
        if text is None or text.startswith(UNRESOLVED) or any(way <= parts for way in ways):
            return []
        return ["AzureWebJobsStorage: has to be a connection string with AccountName and AccountKey"]


class IntakeSettings(Model):
    """What intake needs: with these alone, notifications are taken in, and rows wait for what else is missing."""

    acumatica_tenant: str = Field(
        alias="ACUMATICA_TENANT",
        min_length=1,
        description="Tenant (its login name); notifications of others are refused.",
    )
    acumatica_tenant_formerly: str = Field(
        "",
        alias="ACUMATICA_TENANT_FORMERLY",
        description="The tenant's login name when the app was first used, if it was renamed since: events stay tied to it.",
    )
    max_notification_mib: int = Field(
        32, alias="MAX_NOTIFICATION_MIB", ge=1, le=100, description="Larger notifications are refused (413)."
    )
    max_notification_rows: int = Field(
        MAX_ROWS,
        alias="MAX_NOTIFICATION_ROWS",
        ge=1,
        le=1_000_000,
        description="Notifications with more rows are refused (413).",
    )
    delete_grace_seconds: int = Field(
        30,
        alias="DELETE_GRACE_SECONDS",
        ge=0,
        le=3600,
        description="How long a removal waits for the other half of an update.",
    )
    removals_max: int = Field(
        50,
        alias="REMOVALS_MAX",
        ge=1,
        le=1_000_000,
        description="More removals at once, under one mapping, are [held](sweep.md) until somebody releases them.",
    )
    mappings_dir: str = Field(
        "mappings", alias="MAPPINGS_DIR", description="Folder of the mapping files, from the app's root."
    )

    @property
    def company(self) -> str:
        """The tenant's name as part of each event's identity."""
        return self.acumatica_tenant_formerly or self.acumatica_tenant


class PageSettings(Model):
    """What opens the runs page."""

    runs_key: SecretStr = Field(
        SecretStr(""),
        alias="RUNS_KEY",
        min_length=16,
        description="Opens the [runs page](runs.md); 16 characters or more. Empty = the page is off.",
    )


class Settings(IntakeSettings):
    """All settings but storage's and the page's."""

    acumatica_url: _Address = Field(
        alias="ACUMATICA_URL", description="Address of the Acumatica site, such as `https://erp.example.com/site`."
    )
    acumatica_auth: Literal["oauth", "cookie"] = Field(
        "oauth", alias="ACUMATICA_AUTH", description="`oauth` (Connected Application) or `cookie` (plain sign-in)."
    )
    acumatica_client_id: str = Field(
        "",
        alias="ACUMATICA_CLIENT_ID",
        description="Client ID of the Connected Application, `GUID@Tenant`; for `oauth`.",
    )
    acumatica_client_secret: SecretStr = Field(
        SecretStr(""), alias="ACUMATICA_CLIENT_SECRET", description="Its shared secret; for `oauth`."
    )
    acumatica_username: str = Field(alias="ACUMATICA_USERNAME", min_length=1, description="The dedicated API user.")
    acumatica_password: SecretStr = Field(alias="ACUMATICA_PASSWORD", min_length=1, description="Its password.")
    acumatica_max_sessions: int = Field(
        1,
        alias="ACUMATICA_MAX_SESSIONS",
        ge=1,
        le=50,
        description="API sessions (licence seats) in use at most, over all instances.",
    )
    acumatica_linger_seconds: float = Field(
        20,
        alias="ACUMATICA_LINGER_SECONDS",
        ge=0,
        le=300,
        description="How long an idle session is kept before it is signed out.",
    )
    acumatica_lease_seconds: float = Field(
        30,
        alias="ACUMATICA_LEASE_SECONDS",
        ge=1,
        le=600,
        description="After how long the session of a dead instance is taken over.",
    )
    acumatica_session_timeout_seconds: float | None = Field(
        None,
        alias="ACUMATICA_SESSION_TIMEOUT_SECONDS",
        ge=1,
        description="When the site itself ends an abandoned session; 600 (`cookie`) or 3600 (`oauth`) unless set.",
    )
    acumatica_late_seconds: float = Field(
        900,
        alias="ACUMATICA_LATE_SECONDS",
        ge=0,
        le=3600,
        description="How long Acumatica may still carry out a request that it did not answer.",
    )
    acumatica_odata: Literal["4", "3"] = Field(
        "4", alias="ACUMATICA_ODATA", description="OData version by which inquiries are read; `3` before 2024 R2."
    )
    sweep_page_rows: int = Field(
        1000, alias="SWEEP_PAGE_ROWS", ge=10, le=10_000, description="Rows of an inquiry that a sweep reads at a time."
    )
    graph_url: _Address = Field("https://graph.microsoft.com", alias="GRAPH_URL", description="Address of Microsoft Graph.")
    graph_authority: _Address = Field(
        "https://login.microsoftonline.com", alias="GRAPH_AUTHORITY", description="Address of Microsoft Entra ID."
    )
    graph_tenant_id: str = Field(
        "", alias="GRAPH_TENANT_ID", description="Entra tenant of the mailboxes; with a client secret."
    )
    graph_client_id: str = Field(
        "",
        alias="GRAPH_CLIENT_ID",
        description="App registration, or the user-assigned managed identity; empty = system-assigned.",
    )
    graph_client_secret: SecretStr = Field(
        SecretStr(""),
        alias="GRAPH_CLIENT_SECRET",
        description="Secret of the app registration; empty = managed identity.",
    )
    defer_max_hours: float = Field(
        48,
        alias="DEFER_MAX_HOURS",
        gt=0,
        le=24 * 30,
        description="After how long of trying a change becomes a dead letter.",
    )
    claim_seconds: float = Field(
        360,
        alias="CLAIM_SECONDS",
        ge=1,
        le=3600,
        description="How long one worker may work on a row; above `functionTimeout`.",
    )
    request_timeout_seconds: float = Field(
        100,
        alias="REQUEST_TIMEOUT_SECONDS",
        gt=0,
        le=300,
        description="How long an answer of Graph or Acumatica is waited for; of Graph to a change, at most 30 s.",
    )

    retention_days: float = Field(
        30,
        alias="RETENTION_DAYS",
        gt=0,
        le=365,
        description="How long removed rows, received notifications and runs are remembered.",
    )
    sweep_schedule: str = Field(
        NIGHTLY,
        alias="SWEEP_SCHEDULE",
        pattern=SCHEDULE,
        description="When mappings are [swept](sweep.md): NCRONTAB in UTC, with seconds.",
    )
    sweep_margin_minutes: float = Field(
        15,
        alias="SWEEP_MARGIN_MINUTES",
        ge=1,
        le=240,
        description="Longer than any transaction of Acumatica lasts: a sweep believes nothing that is younger.",
    )
    failed_notifications_inquiry: str = Field(
        "",
        alias="FAILED_NOTIFICATIONS_INQUIRY",
        description="Inquiry over what Acumatica could not send, by its name in OData; a new row in it starts a sweep.",
    )
    test_mailbox: _Mailbox = Field(
        "",
        alias="TEST_MAILBOX",
        description="For a trial: all events go to this mailbox, and nobody is invited.",
    )
    sync_paused: bool = Field(
        False,  # noqa: FBT003
        alias="SYNC_PAUSED",
        description="`true`: notifications are taken in, and rows wait in the queue, however long.",
    )

    @classmethod
    @override
    def joint_problems(cls, values: Mapping[str, str]) -> list[str]:
        """OAuth needs a Connected Application; a client secret for Graph needs what it belongs to."""
        problems = []
        if values.get("ACUMATICA_AUTH", "oauth") == "oauth":
            wanted = ("ACUMATICA_CLIENT_ID", "ACUMATICA_CLIENT_SECRET")
            problems += [f"{name}: missing (ACUMATICA_AUTH is oauth)" for name in wanted if name not in values]
            if "@" not in values.get("ACUMATICA_CLIENT_ID", "@"):
                problems.append("ACUMATICA_CLIENT_ID: has to be GUID@Tenant, as form SM303010 shows it")
        if "GRAPH_CLIENT_SECRET" in values:
            wanted = ("GRAPH_TENANT_ID", "GRAPH_CLIENT_ID")
            problems += [f"{name}: missing (GRAPH_CLIENT_SECRET is set)" for name in wanted if name not in values]
        with contextlib.suppress(ValueError):  # what is wrong with one of them is said elsewhere
            timeout, claim = (cls._number(name, values) for name in ("request_timeout_seconds", "claim_seconds"))
            if longest_request(timeout) >= min(claim, FUNCTION_SECONDS):
                problems.append(
                    "REQUEST_TIMEOUT_SECONDS: a request (and 20 s before it) has to end within CLAIM_SECONDS, and 290 s"
                )
        return problems

    @classmethod
    def _number(cls, name: str, values: Mapping[str, str]) -> float:
        """One setting as it will be read, within its bounds. Raises ValueError."""
        field = cls.model_fields[name]
        told = values.get(field.alias or name, field.default)
        return TypeAdapter[float](Annotated[float, *field.metadata]).validate_python(told)

    @property
    def longest_request_seconds(self) -> float:
        """How long one request of this app may last."""
        return longest_request(self.request_timeout_seconds)

    @property
    def abandoned_seconds(self) -> float:
        """How long an abandoned session takes up a seat on the server's side.

        Ten minutes after the last use for a cookie session; with scope `api`, as long as its token is valid (1 hour).
        """
        return self.acumatica_session_timeout_seconds or (600 if self.acumatica_auth == "cookie" else 3600)
