"""Soak: random load on several hosts while hosts die and everything around them fails; ends with the judge's verdict.

Rows are made, changed, moved, removed and brought back, some in two halves, some several at a time; notifications arrive
late, in any order and more than once, and our own write-backs come back. Meanwhile hosts are killed and restarted, storage
hangs or is away, Graph and Acumatica fail in all their ways. Then all faults stop, and what is left has to be in agreement.
"""

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, override

import requests

from local.azurite import Azurite, AzuriteError
from local.fakes import Fault
from local.host import HostProcess, start
from local.host.process import HostError
from local.inquiry import Notification
from local.world import World

# What takes minutes in production takes seconds.
SETTINGS = {
    "ACUMATICA_AUTH": "cookie",
    "ACUMATICA_LATE_SECONDS": "4",
    "ACUMATICA_LEASE_SECONDS": "2",
    "ACUMATICA_LINGER_SECONDS": "0.3",
    "ACUMATICA_SESSION_TIMEOUT_SECONDS": "4",
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.1",
    # In production nobody is killed five times over one message; here the poison queue would take it for a bug.
    "AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "1000",
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:02",
    "CLAIM_SECONDS": "8",
    "DELETE_GRACE_SECONDS": "1",
    "LOCAL_GRACE_SECONDS": "2",
    "REQUEST_TIMEOUT_SECONDS": "1.5",
}
ROWS, OWNERS = 24, 5
PENDING_AT_MOST = 60  # deliveries under way; then Acumatica makes a pause
SESSIONS = 2  # the budget; the licence has one seat more, so that the judge sees it exceeded
QUIET_SECONDS = 180.0

FAULTS = {
    "graph": [
        Fault("status", probability=0.3, times=10, status=503),
        Fault("status", probability=0.3, times=10, status=429, headers={"Retry-After": "1"}),
        Fault("status", probability=0.5, times=3, status=504),
        Fault("reset_before", probability=0.3, times=5),
        Fault("reset_after", probability=0.3, times=5),
        Fault("slow_after", probability=0.5, times=2, seconds=2.5),
    ],
    "acumatica": [
        Fault("status", "PUT", probability=0.3, times=10, status=500),
        Fault("status", "PUT", probability=0.3, times=5, status=429),
        Fault("reset_before", "PUT", probability=0.3, times=5),
        Fault("reset_after", "PUT", probability=0.3, times=5),
        Fault("slow_after", "PUT", probability=0.5, times=2, seconds=2.5),
        # Sign-in and sign-out: once, since the app makes ever longer pauses between sign-ins that fail.
        Fault("reset_after", path="/auth/", times=1),
        Fault("status", path="/auth/", times=1, status=429),
    ],
}


class Soak(World):
    """A world with several hosts on one storage, and everything that happens to it."""

    def __init__(self, azurite: Azurite, seed: int, hosts: int, logs: Path | None = None) -> None:
        settings = SETTINGS | {"ACUMATICA_MAX_SESSIONS": str(SESSIONS)}
        acumatica = {"session_limit": SESSIONS + 1, "session_timeout": 4.0, "latency": 0.01, "seed": seed}
        graph = {"latency": 0.01, "seed": seed}
        connection = azurite.connection_string()
        super().__init__(connection, settings, graph=graph, acumatica=acumatica, echo=True, fetch_visibility=3)
        self.azurite = azurite
        self.hosts: list[HostProcess] = []
        self.counts: Counter[str] = Counter()
        self.deliveries: list[Future[None]] = []
        self._seed = seed
        self.workers = self._wanted = hosts
        self._logs = logs
        self._turn = itertools.count()
        self._courier = ThreadPoolExecutor(24, "courier")
        self._ended = threading.Event()

    # -- hosts ---------------------------------------------------------------------------------------------------------

    @override
    def start_host(self) -> None:
        self.hosts = [self._new_host() for _ in range(self._wanted)]
        self.host = self.hosts[0]
        health = requests.get(f"{self.host.url}/api/health", timeout=60).json()
        if health["status"] != "ready":  # else nothing would be taken in, and all would agree
            raise HostError(f"The app is not ready: {health}\n{self.host.log[-2000:]}")

    def _new_host(self) -> HostProcess:
        return start(env=self.settings, fetch_visibility=self._fetch_visibility)

    def replace_host(self, number: int, *, kill: bool) -> None:
        """End one host, hard or as a deployment does, and start another in its place."""
        old = self.hosts[number]
        self.counts["kills" if kill else "restarts"] += 1
        with contextlib.suppress(HostError):  # one that did not end in time is killed
            if kill:
                old.kill()
            else:
                old.stop()
        self._read_log(old)
        old.__exit__(None, None, None)
        self.hosts[number] = self._new_host()
        self.host = self.hosts[0]

    def _read_log(self, host: HostProcess) -> None:
        log = host.log
        self.counts["deferred"] += log.count(": deferred {")
        self.counts["tracebacks"] += log.count("Traceback")
        if self._logs:
            (self._logs / f"host-{self.counts['hosts']:03}.log").write_text(log, encoding="utf-8")
        self.counts["hosts"] += 1

    @override
    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._courier.shutdown(cancel_futures=True)
        for host in self.hosts:
            host.__exit__(kind, value, trace)
        super().__exit__(kind, value, trace)

    @override
    def post(self, notification: Mapping[str, Any] | bytes) -> requests.Response:
        """To any of the hosts."""
        if self._ended.is_set():
            raise HostError("The soak has ended.")
        self.host = self.hosts[next(self._turn) % len(self.hosts)]
        return super().post(notification)

    # -- Acumatica -----------------------------------------------------------------------------------------------------

    def load(self, over: threading.Event) -> None:
        """Changes all the time; what they cause is delivered late, in any order, and some of it twice."""
        rng = random.Random(self._seed)
        while not over.wait(rng.uniform(0.05, 0.4)):
            if sum(not delivery.done() for delivery in self.deliveries) > PENDING_AT_MOST:
                continue
            for notification in self._transaction(rng):
                self.counts["notifications"] += 1
                for _ in range(1 + (rng.random() < 0.2)):
                    delay = rng.choice((0.0, 0.0, rng.uniform(0, 3)))
                    self.deliveries.append(self._courier.submit(self._deliver_late, notification, delay))
                    self.counts["deliveries"] += 1

    def _deliver_late(self, notification: Notification, delay: float) -> None:
        time.sleep(delay)
        self.deliver(notification, timeout=300)

    def _transaction(self, rng: random.Random) -> list[Notification]:
        """A transaction that changes one row or several; its notification, or the two halves of it."""
        keys = rng.sample([f"S{number:02}" for number in range(ROWS)], rng.choice((1, 1, 1, 1, 2, 3, 6)))
        with self.lock:
            parts = [self._change(key, rng) for key in keys]
            inserted, deleted = ([row for part in parts for row in part[side]] for side in ("Inserted", "Deleted"))
            whole = self.inquiry.notification(inserted, deleted)
        self.counts["rows"] += len(keys)
        if inserted and deleted and rng.random() < 0.25:
            return [{**whole, "Inserted": []}, {**whole, "Deleted": []}]
        return [whole]

    def _change(self, key: str, rng: random.Random) -> Notification:
        old = self.inquiry.rows.get(key)
        if old and rng.random() < 0.2:
            return self.inquiry.remove(key, record=rng.random() < 0.3)
        columns: dict[str, Any] = {"Subject": f"subject {rng.randrange(50)}"}
        if old is None or rng.random() < 0.3:
            columns["OwnerEmail"] = f"user{rng.randrange(OWNERS)}@example.com"
        if rng.random() < 0.3:
            columns["Room"] = f"Room {rng.randrange(5)}"
        change = self.inquiry.save(key, **columns)
        if old and "Room" not in columns and rng.random() < 0.5:
            change["Inserted"][0]["Room"] = None  # an attribute that did not change comes as null
        return change

    # -- what goes wrong -----------------------------------------------------------------------------------------------

    def trouble_with_hosts(self, over: threading.Event) -> None:
        """Hosts are killed, and restarted as by a deployment."""
        rng = random.Random(self._seed + 1)
        while not over.wait(rng.uniform(0.5, 6.0)):
            self.replace_host(rng.randrange(len(self.hosts)), kill=rng.random() < 0.7)

    def trouble_with_services(self, over: threading.Event) -> None:
        """Storage, Graph and Acumatica fail, one at a time."""
        rng = random.Random(self._seed + 2)
        troubles = [self._storage_hangs, self._storage_is_away, self._service_is_away, self._sessions_end]
        troubles += [self._requests_fail] * 6
        while not over.wait(rng.uniform(1.0, 5.0)):
            trouble = rng.choice(troubles)
            self.counts[trouble.__name__.strip("_").replace("_", " ")] += 1
            trouble(rng)

    def _requests_fail(self, rng: random.Random) -> None:
        service = rng.choice((self.graph, self.acumatica))
        service.faults.add(rng.choice(FAULTS[service.service]))

    def _service_is_away(self, rng: random.Random) -> None:
        service = rng.choice((self.graph, self.acumatica))
        service.down = True
        time.sleep(rng.uniform(0.5, 3))
        service.down = False

    def _sessions_end(self, rng: random.Random) -> None:  # noqa: ARG002
        self.acumatica.end_sessions()

    def _storage_hangs(self, rng: random.Random) -> None:
        self.azurite.pause()
        time.sleep(rng.uniform(0.5, 4))
        self.azurite.resume()

    def _storage_is_away(self, rng: random.Random) -> None:
        self.azurite.stop()
        time.sleep(rng.uniform(0, 2))
        self.azurite.start()

    # -- in all --------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> list[str]:
        """Load and trouble for some time, then calm; returns what the judge finds."""
        over = threading.Event()
        acts = (self.load, self.trouble_with_hosts, self.trouble_with_services)
        with ThreadPoolExecutor(len(acts), "soak") as stage:
            running = [stage.submit(act, over) for act in acts]
            try:
                self._watch(seconds, running)
            finally:
                over.set()
        for act in running:
            act.result()
        self.graph.faults.clear()
        self.acumatica.faults.clear()
        self.tell("no more trouble")
        calm = threading.Event()
        with ThreadPoolExecutor(1) as stage:
            stage.submit(self._tell_until, calm)
            try:
                quiet = self._wait_until_quiet()
            finally:
                calm.set()
        for host in self.hosts:
            self._read_log(host)
        self.tell("quiet" if quiet else f"NOT quiet after {QUIET_SECONDS:.0f} s")
        found = self.differences(timeout=0, budget=SESSIONS)
        return found if quiet else [f"not quiet after {QUIET_SECONDS:.0f} s", *found]

    def _watch(self, seconds: float, running: Sequence[Future[None]]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not any(act.done() for act in running):
            time.sleep(max(0.0, min(5.0, end - time.monotonic())))
            self.tell("")

    def _tell_until(self, calm: threading.Event) -> None:
        while not calm.wait(5):
            self.tell("waiting for quiet")

    def _wait_until_quiet(self) -> bool:
        end = time.monotonic() + QUIET_SECONDS
        self.wait(lambda: all(delivery.done() for delivery in self.deliveries), QUIET_SECONDS)
        return self.rest(end - time.monotonic()) and self.sweep(60)

    def tell(self, what: str) -> None:
        """A line on how far it is."""
        numbers = {name: number for name, number in self.counts.items() if name != "hosts"} | {
            "pending": sum(not delivery.done() for delivery in self.deliveries),
            "echoes": self.echoes,
            "failed requests": len(self.graph.faults.drawn) + len(self.acumatica.faults.drawn),
            "sign-ins": self.acumatica.sign_ins,
            "sign-outs": self.acumatica.sign_outs,
        }
        shown = ", ".join(f"{name} {number}" for name, number in numbers.items())
        print(f"{time.strftime('%H:%M:%S')} {what + ': ' if what else ''}{shown}", flush=True)


def soak(seconds: float, seed: int, hosts: int, logs: Path | None = None) -> list[str]:
    """One soak; returns the judge's differences."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Azurite(Path(folder)) as azurite:  # noqa: SIM117
        with Soak(azurite, seed, hosts, logs) as running:
            return running.run(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Soak; the exit status is 0 only if the judge finds no differences."""
    parser = argparse.ArgumentParser(prog="python -m local.soak", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="of load and trouble (default: 2)")
    parser.add_argument("--seed", type=int, default=None, help="of all that is drawn (default: a new one)")
    parser.add_argument("--hosts", type=int, default=2, help="hosts on one storage (default: 2)")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of all hosts there")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.randrange(1_000_000)
    if options.logs:
        options.logs.mkdir(parents=True, exist_ok=True)
    print(f"Soak of {options.minutes:g} minutes with {options.hosts} hosts, seed {seed}", flush=True)
    try:
        differences = soak(options.minutes * 60, seed, options.hosts, options.logs)
    except (AzuriteError, HostError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped: no verdict.")
        return 130
    for difference in differences:
        print(f"  ✗ {difference}")
    verdict = f"FAILED: {len(differences)} differences" if differences else "OK: no differences"
    print(f"{verdict} (seed {seed}).")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
