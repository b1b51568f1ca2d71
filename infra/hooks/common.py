"""What the hooks share: the azd environment, and the Azure CLI. Only the standard library; azd runs them in the project."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

PYTHON = "python" if os.name == "nt" else "python3"


def setting(name: str) -> str:
    """A value of the azd environment, which azd hands to its hooks; run by hand, azd is asked. Exits without one."""
    value = os.environ.get(name) or azd("env", "get-value", name, check=False)
    if not value:
        sys.exit(f"{name} is not in the azd environment: run `azd provision` first (or `azd env select`).")
    return value


def azd(*arguments: str, check: bool = True) -> str:
    """What azd prints; empty where it fails and `check` is false."""
    return _run("azd", arguments, check=check)


def az(*arguments: str, check: bool = True) -> Any:
    """What the Azure CLI answers, from its JSON; None where it prints nothing, or fails and `check` is false.

    In the subscription of the azd environment, whichever one the CLI has been set to.
    """
    where = () if arguments[0] == "rest" else ("--subscription", setting("AZURE_SUBSCRIPTION_ID"))
    text = _run("az", (*arguments, *where, "--output", "json"), check=check)
    return json.loads(text) if text else None


def _run(program: str, arguments: tuple[str, ...], *, check: bool) -> str:
    path = shutil.which(program)
    if not path:
        sys.exit(f'{program} is not installed, or not in PATH: docs/deploy.md, "What you need".')
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return done.stdout.strip()
    if check:
        sys.exit(f"{program} {' '.join(arguments[:3])} failed:\n{done.stderr.strip()}")
    return ""
