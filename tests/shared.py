"""One Azurite for all workers of a run.

The first worker that needs it starts it, and stops it when all that use it have let go. Locks of files end with their
process, so that a worker that dies holds nobody up.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, override

from local.azurite import Azurite, AzuriteError

ACCOUNTS = 1000  # what fits into one environment variable


class SharedAzurite(Azurite):
    """One that another worker has started; accounts are handed out over all workers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(accounts=ACCOUNTS)
        self._folder = folder

    @override
    def new_account(self) -> str:
        with _locked(self._folder / "accounts") as file:
            number = int(file.read() or 0) + 1
            _write(file, str(number))
        if number > ACCOUNTS:
            raise AzuriteError("Azurite has no more accounts: start it with more.")
        return self.connection_string(f"account{number}")

    def to_json(self) -> str:
        """What another worker has to know."""
        return json.dumps({"ports": self.ports, "keys": self._keys})

    def follow(self, text: str) -> None:
        """Use the one that another worker has started."""
        known = json.loads(text)
        self.ports, self._keys = known["ports"], known["keys"]


@contextmanager
def shared_azurite(folder: Path) -> Iterator[Azurite]:
    """Start Azurite, or use the one that another process with the same folder has started."""
    azurite = SharedAzurite(folder)
    with (folder / "users").open("a") as users:
        with _locked(folder / "azurite") as file:
            running = file.read()
            if running:
                azurite.follow(running)
                fcntl.flock(users, fcntl.LOCK_SH)
            else:
                azurite.start()
                _write(file, azurite.to_json())
        try:
            yield azurite
        finally:
            if not running:
                with _locked(folder / "azurite") as file:
                    _write(file, "")  # whoever comes now starts another one
                fcntl.flock(users, fcntl.LOCK_EX)
                azurite.stop()


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
