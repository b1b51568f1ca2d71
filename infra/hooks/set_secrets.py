"""Set the app's secrets in Key Vault: asks for each, and never shows, logs or passes one on a command line.

    python infra/hooks/set_secrets.py            asks for those that are missing
    python infra/hooks/set_secrets.py NAME …     asks for these, to replace them: docs/deploy.md, "Changing secrets"

RUNS_KEY is made up where it is missing; to make a new one, name it. Exits with 1 where the app does not get them.
"""

import getpass
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import az, setting

# As infra/main.bicep refers to them.
SECRETS = {
    "ACUMATICA_PASSWORD": "acumatica-password",
    "ACUMATICA_CLIENT_SECRET": "acumatica-client-secret",
    "GRAPH_CLIENT_SECRET": "graph-client-secret",
    "RUNS_KEY": "runs-key",
}
RELAY = "RELAY_"  # begins the names of settings with the address or the secret of a relay
WAIT_SECONDS = 120.0
PAUSE_SECONDS = 5.0


def main(names: list[str]) -> int:
    """Ask and store; returns the exit status."""
    if unknown := [name for name in names if not secret_of(name)]:
        print(f"There is no secret {', '.join(unknown)}; there are: {', '.join(SECRETS)}, {RELAY}….", file=sys.stderr)
        return 2
    vault, app, group = setting("AZURE_KEY_VAULT_NAME"), setting("AZURE_FUNCTION_NAME"), setting("AZURE_RESOURCE_GROUP")
    settings: list[dict[str, Any]] = az("functionapp", "config", "appsettings", "list", "-n", app, "-g", group)
    used = [str(item["name"]) for item in settings if secret_of(item["name"])]
    stored = {secret["name"] for secret in az("keyvault", "secret", "list", "--vault-name", vault)}
    versions = {}
    for name in names or [name for name in used if secret_of(name) not in stored]:
        value = secrets.token_hex(32) if name == "RUNS_KEY" else getpass.getpass(f"{name}: ").strip()
        if not value:
            print(f"{name}: nothing was typed in; left as it is.")
            continue
        versions[name] = store(vault, secret_of(name), value)
        print(f"{name}: stored in {vault} as {secret_of(name)}.")
    if not versions:
        print("Nothing was stored. Name those to replace.")
    return hand_over(app, group, versions)


def secret_of(setting: str) -> str:
    """What the secret of a setting is called in the vault; empty for other settings."""
    return SECRETS.get(setting) or (setting.lower().replace("_", "-") if setting.startswith(RELAY) else "")


def store(vault: str, name: str, value: str) -> str:
    """Through a file that only we can read: arguments are visible to others on the machine. Returns its version."""
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(value)
        made = az("keyvault", "secret", "set", "--vault-name", vault, "--name", name, "--file", path, "--encoding", "utf-8")
        return str(made["id"]).rpartition("/")[2]
    finally:
        Path(path).unlink()


def hand_over(app: str, group: str, versions: dict[str, str]) -> int:
    """Have the app's references resolved now instead of within a day, and tell of each whether it is.

    A restart alone may keep the old value: https://github.com/Azure/azure-functions-host/issues/11188. How to refresh:
    https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation
    """
    site = az("functionapp", "show", "-n", app, "-g", group)["id"]
    address = f"https://management.azure.com{site}/config/configreferences/appsettings"
    if versions:
        az("rest", "--method", "post", "--url", f"{address}/refresh?api-version=2022-03-01")
        az("functionapp", "restart", "-n", app, "-g", group)
    deadline = time.monotonic() + float(os.environ.get("SECRETS_WAIT_SECONDS") or WAIT_SECONDS)
    while True:
        found = az("rest", "--method", "get", "--url", f"{address}?api-version=2022-03-01")["value"]
        states = {item["name"]: item["properties"] for item in found if secret_of(item["name"])}
        waiting = [name for name, state in states.items() if not resolved(state, versions.get(name))]
        if not waiting or time.monotonic() > deadline:
            break
        time.sleep(PAUSE_SECONDS)
    for name, state in states.items():
        if name not in waiting:
            print(f"{name}: the app has it.")
        else:
            print(f"{name}: the app does not have it: {state.get('status')} {state.get('details') or ''}", file=sys.stderr)
    return 1 if waiting else 0


def resolved(state: dict[str, Any], version: str | None) -> bool:
    """Whether a reference has a value, and (where Azure tells which) the one that was just stored."""
    active = state.get("activeVersion") or version
    return state.get("status") == "Resolved" and version in {None, active}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
