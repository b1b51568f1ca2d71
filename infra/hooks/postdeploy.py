"""After `azd deploy`: see whether the app runs, and say what to type into Acumatica, what is missing and how to set it.

No secret is printed. Exits with 1 when the app does not answer, or runs on another Python than it was made for.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from common import PYTHON, az, setting
from set_secrets import RELAY, secret_of

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_SECONDS = 180.0
PAUSE_SECONDS = 5.0

REMAINS = {
    "settings": "Settings are wrong; `POST /api/notifications` and the log say which.",
    "mappings": "A mapping file is wrong; `POST /api/notifications` and the log say how. Correct it, then `azd deploy`.",
    "storage": "Storage cannot be used. New roles take some minutes to work; then docs/deploy.md, 'Troubleshooting'.",
}


def main() -> int:
    """Check, and print; returns the exit status."""
    name, group, url = setting("AZURE_FUNCTION_NAME"), setting("AZURE_RESOURCE_GROUP"), setting("SERVICE_APP_URI")
    seconds = float(os.environ.get("HEALTH_WAIT_SECONDS") or WAIT_SECONDS)
    health = wait_for_health(f"{url}/api/health", seconds)
    functions = az("functionapp", "function", "list", "--name", name, "--resource-group", group, check=False) or []
    names = sorted(str(item["name"]).partition("/")[2] for item in functions)
    problems = []
    if health is None:
        problems.append(
            f"{url}/api/health gives no answer of the app within {seconds:.0f} s; functions: {', '.join(names) or 'none'}. "
            'See docs/deploy.md, "Troubleshooting".'
        )
    else:
        wanted = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
        if health.get("python") != wanted:
            again = "Run `azd provision --no-state`, then `azd deploy`."
            problems.append(f"The app runs on Python {health.get('python')}, not on {wanted}. {again}")
        print(f"The app answers: version {health['version']}, {health['status']}; functions: {', '.join(names)}.")
    print("\n".join([*instructions(name, group, url), *remaining(health or {}), *refused_queries()]))
    print('\nThen send a first notification: docs/deploy.md, "The first test".')
    for problem in problems:
        print(f"\nPROBLEM: {problem}", file=sys.stderr)
    return 1 if problems else 0


def wait_for_health(url: str, seconds: float) -> dict[str, Any] | None:
    """The app's own word on its health: 200 or 503 with JSON. None where there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  (our own app)
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()  # 503 is an answer of the app
        except OSError:
            body = b""
        try:
            health = json.loads(body)
        except ValueError:
            health = None
        if isinstance(health, dict) and "not_ready" in health:
            return health
        if time.monotonic() > deadline:
            return None
        time.sleep(PAUSE_SECONDS)


def instructions(name: str, group: str, url: str) -> list[str]:
    """What an administrator types into Acumatica."""
    return [
        "",
        "What to type into Acumatica, form Push Notifications (SM302000):",
        "  Destination Type  Webhook",
        f"  Address           {url}/api/notifications",
        "  Header Name       x-functions-key",
        "  Header Value      the key of the function `notifications` (not the host key). It is shown by:",
        f"                    az functionapp function keys list --function-name notifications -n {name} -g {group}",
        f"                    or in the portal: {name} → Functions → notifications → Function keys",
    ]


def remaining(health: dict[str, Any]) -> list[str]:
    """What is missing, by the app's own word, and what no app can see."""
    missing = health.get("missing", [])
    lines = ["", "What remains to be done:"]
    if settings := [item for item in missing if not secret_of(item)]:
        lines += ["  - Set what is missing (docs/settings.md says what each is), then `azd provision`:"]
        lines += [f"      azd env set {item} …" for item in settings]
    if relays := [item for item in missing if item.startswith(RELAY)]:
        lines += [f"  - Name {', '.join(relays)} in RELAYS (docs/relay.md), then `azd provision`."]
    if secrets := [item for item in missing if secret_of(item)]:
        lines += [f"  - Set the secrets {', '.join(secrets)}:", f"      {PYTHON} infra/hooks/set_secrets.py"]
    parts = [part for part in health.get("not_ready", []) if part != "settings" or not missing]
    lines += [f"  - {REMAINS.get(part, f'The part {part} is not ready.')}" for part in parts]
    lines += [f"  - {warning[:1].upper()}{warning[1:]}: docs/mapping.md." for warning in health.get("warnings", [])]
    client = os.environ.get("APP_IDENTITY_CLIENT_ID", "<client id>")
    identity = os.environ.get("APP_IDENTITY_OBJECT_ID", "<object id>")
    return [
        *lines,
        "  - Give the app access to the mailboxes, once, as an Exchange administrator:",
        f"      pwsh infra/mailbox-access.ps1 -ClientId {client} -ObjectId {identity} -GroupName <group>",
        "  - Make the Connected Application in Acumatica, once: docs/acumatica.md, 'Set it up in Acumatica'.",
    ]


def refused_queries() -> list[str]:
    """The alerts were made without a look at their queries, since a new workspace has no tables yet: now they are run."""
    insights = os.environ.get("APP_INSIGHTS_ID", "")
    url, service = f"https://api.applicationinsights.io/v1/apps/{insights}/query", "https://api.applicationinsights.io"
    where = ("--url", url, "--resource", service, "--headers", "Content-Type=application/json")
    refused = []
    for path in sorted((ROOT / "infra/queries").glob("*.kql")) if insights else []:
        body = json.dumps({"query": path.read_text(encoding="utf-8")})
        if az("rest", "--method", "post", *where, "--body", body, check=False) is None:
            refused.append(path.stem)
    again = "`azd hooks run postdeploy` in an hour; if it stays so, please report it"
    return [f"  - Azure did not run the alerts' queries {', '.join(refused)}: {again}."] if refused else []


if __name__ == "__main__":
    sys.exit(main())
