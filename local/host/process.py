"""The host in a process of its own, for tests and tools."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).resolve().parent.parent.parent

# What a program needs of its surroundings; everything else is left out, so that nothing of a developer's own leaks in.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "PYTHONWARNINGS")


class HostError(Exception):
    """The host did not start or did not stop; the message holds what it has printed."""


class HostProcess:
    """A running `python -m local.host`. Leaving the context stops it; it also ends when this process is killed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._process = process
        self._folder = folder
        self._ready: dict[str, Any] = {}
        self.log_file = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()
        self._close()

    @property
    def url(self) -> str:
        """The base address, as in http://127.0.0.1:7071."""
        return str(self._ready["url"])

    @property
    def port(self) -> int:
        """Its port."""
        return int(self._ready["port"])

    @property
    def key(self) -> str:
        """The key for the header x-functions-key."""
        return str(self._ready["key"])

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def storage(self) -> str:
        """The connection string of its own Azurite, or a word on the storage that it was given."""
        return str(self._ready["storage"])

    @property
    def functions(self) -> Mapping[str, str | None]:
        """The functions by name, with the address of those that HTTP starts."""
        return dict(self._ready["functions"])

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def fire(self, function: str, text: str = "") -> None:
        """Run a function that HTTP does not start, with a text as its message; return when it has begun."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            headers = {"x-functions-key": self.key, "Content-Type": "application/json"}
            connection.request("POST", f"/admin/functions/{function}", json.dumps({"input": text}), headers)
            status = connection.getresponse().status
        if status != 202:
            raise HostError(f"The host answered {status} to the request to run {function}.")

    def stop(self, timeout: float = 30) -> int:
        """End it as a deployment does (SIGTERM), wait, and return its exit status."""
        self._process.terminate()
        return self.wait(timeout)

    def kill(self) -> None:
        """Kill it hard (SIGKILL), as a power cut does."""
        self._process.kill()
        self.wait()

    def wait(self, timeout: float = 30) -> int:
        """Wait until it has ended by itself and return its exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise HostError(f"The host did not end within {timeout:g} s.\n{self.log[-4000:]}") from None

    def _wait_until_ready(self, ready_file: Path, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready_file.exists():
            if self._process.poll() is not None:
                raise HostError(f"The host ended with status {self._process.returncode}.\n{self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise HostError(f"The host was not ready within {timeout:g} s.\n{self.log[-4000:]}")
            time.sleep(0.02)
        self._ready = json.loads(ready_file.read_text(encoding="utf-8"))

    def _close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._folder.cleanup()


def start(
    *,
    app: Path = ROOT,
    env: Mapping[str, str] | None = None,
    port: int = 0,
    data: Path | None = None,
    fetch_visibility: float | None = None,
    arguments: tuple[str, ...] = (),
    timeout: float = 60,
) -> HostProcess:
    """Start the host and return when it is ready; raise HostError with its output when it is not, within `timeout` s.

    `env` holds the app settings. Nothing else of this environment and no local.settings.json reaches the app.
    Without AzureWebJobsStorage among the settings the host has an Azurite of its own.
    """
    folder = tempfile.TemporaryDirectory(prefix="host-", ignore_cleanup_errors=True)
    ready_file, log = Path(folder.name, "ready.json"), Path(folder.name, "log.txt")
    command = [sys.executable, "-m", "local.host", "--app", str(app), "--port", str(port)]
    command += ["--settings", os.devnull, "--ready-file", str(ready_file), "--end-with-stdin", *arguments]
    if data:
        command += ["--data", str(data)]
    if fetch_visibility is not None:
        command += ["--fetch-visibility", str(fetch_visibility)]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"PYTHONUNBUFFERED": "1", **(env or {})}
    output: IO[bytes]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
    host = HostProcess(process, log, folder)
    try:
        host._wait_until_ready(ready_file, timeout)  # noqa: SLF001
    except BaseException:
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        host._close()  # noqa: SLF001
        raise
    return host
