"""Set the app's secrets in Key Vault: asks for each, and never shows, logs or passes one on a command line.

    python infra/hooks/set_secrets.py            asks for those that are missing
    python infra/hooks/set_secrets.py NAME …     asks for these, to replace them: docs/deploy.md, "Changing secrets"

RUNS_KEY is made up where it is missing; to make a new one, name it.
"""

import getpass
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import az, setting

# As infra/group.bicep refers to them.
SECRETS = {
    "ACUMATICA_PASSWORD": "acumatica-password",
    "ACUMATICA_CLIENT_SECRET": "acumatica-client-secret",
    "GRAPH_CLIENT_SECRET": "graph-client-secret",
    "RUNS_KEY": "runs-key",
}


def main(names: list[str]) -> int:
    """Ask and store; returns the exit status."""
    if unknown := [name for name in names if name not in SECRETS]:
        print(f"There is no secret {', '.join(unknown)}; there are: {', '.join(SECRETS)}.", file=sys.stderr)
        return 2
    vault, app, group = setting("AZURE_KEY_VAULT_NAME"), setting("AZURE_FUNCTION_NAME"), setting("AZURE_RESOURCE_GROUP")
    used = referred_to(app, group)
    stored = {secret["name"] for secret in az("keyvault", "secret", "list", "--vault-name", vault)}
    wanted = names or [name for name in used if SECRETS[name] not in stored]
    for name in wanted:
        value = secrets.token_urlsafe(32) if name == "RUNS_KEY" else getpass.getpass(f"{name}: ").strip()
        if not value:
            print(f"{name}: nothing was typed in; left as it is.")
            continue
        store(vault, SECRETS[name], value)
        print(f"{name}: stored in {vault} as {SECRETS[name]}.")
    if not wanted:
        print("All secrets are set. Name those to replace.")
        return 0
    refresh(app, group)
    print("The app reads them anew within a minute: GET /api/health says `ready` when nothing else is missing.")
    return 0


def referred_to(app: str, group: str) -> list[str]:
    """The settings of the app that refer to the vault."""
    settings: list[dict[str, Any]] = az("functionapp", "config", "appsettings", "list", "-n", app, "-g", group)
    return [str(item["name"]) for item in settings if item["name"] in SECRETS]


def store(vault: str, name: str, value: str) -> None:
    """Through a file that only we can read: arguments are visible to others on the machine."""
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(value)
        az("keyvault", "secret", "set", "--vault-name", vault, "--name", name, "--file", path, "--encoding", "utf-8")
    finally:
        Path(path).unlink()


def refresh(app: str, group: str) -> None:
    """Have the references resolved now instead of within a day, and the app started anew.

    https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation
    """
    site = az("functionapp", "show", "-n", app, "-g", group)["id"]
    address = f"https://management.azure.com{site}/config/configreferences/appsettings/refresh?api-version=2022-03-01"
    az("rest", "--method", "post", "--url", address, check=False)  # the restart does it too, a little later
    az("functionapp", "restart", "-n", app, "-g", group)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
