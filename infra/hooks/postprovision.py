"""After `azd provision`: wait until Azure has spread new role assignments, which a first deployment fails without (403).

Nothing that could be asked tells when that is so. The wait happens once for each identity.
https://learn.microsoft.com/azure/role-based-access-control/troubleshooting#symptom---role-assignment-changes-are-not-being-detected
"""

import os
import time

from common import azd, setting

WAIT_SECONDS = 90.0


def main() -> None:
    """Wait, unless this identity was waited for before."""
    identity = setting("APP_IDENTITY_OBJECT_ID")
    if os.environ.get("ROLES_SPREAD_FOR") == identity:
        return
    seconds = float(os.environ.get("ROLES_WAIT_SECONDS") or WAIT_SECONDS)
    print(f"New role assignments take a moment to work everywhere: waiting {seconds:.0f} s, this once.", flush=True)
    time.sleep(seconds)
    azd("env", "set", "ROLES_SPREAD_FOR", identity)


if __name__ == "__main__":
    main()
