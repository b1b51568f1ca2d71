"""After `azd deploy`: see whether the app runs, and say what to type into Acumatica and what remains to be done.

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

from common import az, setting

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_SECONDS = 180.0
PAUSE_SECONDS = 5.0

REMAINS = {
    "settings": "Settings are missing or wrong; `POST /api/notifications` and the log say which. If it is the secrets:\n"
    "      python infra/hooks/set_secrets.py",
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
            problems.append(f"The app runs on Python {health.get('python')}, not on {wanted}. Run `azd provision`.")
        print(f"The app answers: version {health['version']}, {health['status']}; functions: {', '.join(names)}.")
    print(instructions(name, group, url, (health or {}).get("not_ready", [])))
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


def instructions(name: str, group: str, url: str, not_ready: list[str]) -> str:
    """What an administrator does next."""
    client = os.environ.get("APP_IDENTITY_CLIENT_ID", "<client id>")
    identity = os.environ.get("APP_IDENTITY_OBJECT_ID", "<object id>")
    lines = [
        "",
        "What to type into Acumatica, form Push Notifications (SM302000):",
        "  Destination Type  Webhook",
        f"  Address           {url}/api/notifications",
        "  Header Name       x-functions-key",
        "  Header Value      the key of the function `notifications` (not the host key). It is shown by:",
        f"                    az functionapp function keys list --function-name notifications -n {name} -g {group}",
        f"                    or in the portal: {name} → Functions → notifications → Function keys",
        "",
        "What remains to be done:",
    ]
    lines += [f"  - {REMAINS.get(part, f'The part {part} is not ready.')}" for part in not_ready]
    lines += [
        "  - Give the app access to the mailboxes, once, as an Exchange administrator (PowerShell):",
        f"      infra/mailbox-access.ps1 -ClientId {client} -ObjectId {identity} -GroupName <mail-enabled security group>",
        "  - Make the Connected Application in Acumatica, once: README.md, 'Set it up in Acumatica'.",
        "",
        'Then send a first notification: docs/deploy.md, "The first test".',
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
