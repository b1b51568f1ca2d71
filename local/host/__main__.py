"""The command `python -m local.host`."""

import argparse
import asyncio
import atexit
import contextlib
import errno
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from local.azurite import Azurite, AzuriteError
from local.host.config import ConfigError, HostJson, read_settings
from local.host.invocations import Invocations
from local.host.queues import QueueListener, Queues
from local.host.timers import Timer
from local.host.web import Fire, Front, Route, routes
from local.host.worker import Function, IndexingError, Worker

log = logging.getLogger("host")

# How long running functions may go on after the signal to stop, in seconds.
GRACE = 10.0


@dataclass(frozen=True)
class Storage:
    """The app's storage: a word for people, and what a test needs to look into it."""

    description: str
    reference: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the host until it is told to stop; return the exit status."""
    options = _options(arguments)
    _configure_log(quiet=options.quiet)
    try:
        return _run(options)
    except IndexingError as error:
        print(f"The functions of {options.app} cannot be loaded:\n\n{error.trace or error}", file=sys.stderr)
    except (ConfigError, AzuriteError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted before the host was ready.", file=sys.stderr)
    return 1


def _run(options: argparse.Namespace) -> int:
    app = options.app.resolve()
    settings = read_settings(options.settings or app / "local.settings.json", os.environ)
    script = app / settings.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not script.is_file():
        raise ConfigError(f"{script} does not exist. Start in the folder of the function app, or name it with --app.")
    host_json = HostJson.read(app / "host.json", settings)
    worker = Worker()
    with _listen(_number("--port or PORT", options.port or settings.get("PORT", "7071"))) as listener:
        settings["WEBSITE_HOSTNAME"] = f"127.0.0.1:{listener.getsockname()[1]}"
        storage = _storage(settings, options.data)
        os.environ.update(settings)
        os.chdir(app)
        host = Host(app, settings=settings, host_json=host_json, worker=worker, storage=storage, options=options)
        still_running = asyncio.run(host.run(listener))
    if still_running:
        log.warning("%s functions were still running after %s s; they are cut off.", still_running, host.grace)
        # A thread cannot be ended, and Python would wait for it before it calls the app's exit handlers.
        atexit._run_exitfuncs()  # noqa: SLF001
        os._exit(0)
    worker.stop()
    return 0


class Host:
    """One function app, served."""

    def __init__(
        self,
        app: Path,
        *,
        settings: Mapping[str, str],
        host_json: HostJson,
        worker: Worker,
        storage: Storage,
        options: argparse.Namespace,
    ) -> None:
        self._app = app
        self._settings = settings
        self._host_json = host_json
        self._worker = worker
        self._storage = storage
        self._options = options
        self._key = settings.get("LOCAL_FUNCTION_KEY") or secrets.token_hex(16)
        self._queues = Queues(settings, host_json.queues)
        self.grace = float(settings.get("LOCAL_GRACE_SECONDS", GRACE))
        self._invocations = Invocations(worker, {"queue": self._queues}, host_json.function_timeout)

    async def run(self, listener: socket.socket) -> int:
        """Serve until a signal; return how many functions were still running when the grace was over."""
        functions = [f for f in await self._worker.load(self._app) if not self._disabled(f)]
        served = routes(functions, self._host_json.route_prefix)
        triggers = {function.name: trigger for function in functions if (trigger := self._trigger(function))}
        fire: dict[str, Fire] = {name.lower(): trigger.fire for name, trigger in triggers.items()}
        front = Front(served, self._invocations, key=self._key, fire=fire)
        runner = web.AppRunner(front.application(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.SockSite(runner, listener)
        await site.start()
        stop = self._stop_signal()
        loops = [asyncio.create_task(trigger.run()) for trigger in triggers.values()]
        port = listener.getsockname()[1]
        self._announce(port, functions, served)
        asked = asyncio.create_task(self._ask_health(port, served))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)

        log.info("Stopping: waiting for running functions. Again to stop at once.")
        for loop in loops:
            if loop.done():
                loop.result()  # a loop ends by itself only when it fails: a bug of the host
            loop.cancel()
        asked.cancel()
        await site.stop()
        still_running = await self._invocations.drain(self.grace)
        await runner.cleanup()
        await self._queues.close()
        return still_running

    def _trigger(self, function: Function) -> QueueListener | Timer | None:
        match function.trigger_type:
            case "queuetrigger":
                visibility = _number("--fetch-visibility", self._options.fetch_visibility)
                options = self._host_json.queues
                return QueueListener(function, self._queues, options, self._invocations, fetch_visibility=visibility)
            case "timertrigger":
                return Timer(function, self._settings, self._invocations)
            case "httptrigger":
                return None
            case other:
                log.warning("%s is never started: this host knows no %s.", function.name, other)
                return None

    def _disabled(self, function: Function) -> bool:
        """Whether a setting switches a function off.

        https://learn.microsoft.com/azure/azure-functions/disable-function
        """
        names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled")
        return any(self._settings.get(name, "").lower() in {"true", "1"} for name in names)

    def _stop_signal(self) -> asyncio.Event:
        """Return what is set by SIGINT and SIGTERM; a second one ends the process at once."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal(number: int, _frame: object) -> None:
            signal.signal(number, signal.SIG_DFL)
            loop.call_soon_threadsafe(stop.set)

        def on_end_of_input() -> None:
            while os.read(0, 1024):
                pass
            loop.call_soon_threadsafe(stop.set)

        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        if self._options.end_with_stdin:
            threading.Thread(target=on_end_of_input, daemon=True).start()
        return stop

    @staticmethod
    async def _ask_health(port: int, served: Sequence[Route]) -> None:
        """Ask the app how it is, if it has a function of that name: what is wrong should be said now, not in an hour."""
        for route in (route for route in served if route.function.name == "health"):
            async with ClientSession() as session:
                with contextlib.suppress(ClientError, TimeoutError):
                    await session.get(f"http://127.0.0.1:{port}/{route.template}", timeout=ClientTimeout(60))

    def _announce(self, port: int, functions: Sequence[Function], served: Sequence[Route]) -> None:
        url = f"http://127.0.0.1:{port}"
        addresses = {route.function.name: f"{url}/{route.template}" for route in served}
        if not self._options.quiet:
            _print_banner(functions, served, addresses, self._key, self._storage.description)
        if self._options.ready_file:
            ready = {
                "port": port,
                "url": url,
                "key": self._key,
                "pid": os.getpid(),
                "functions": {function.name: addresses.get(function.name) for function in functions},
                "storage": self._storage.reference,
            }
            _write_at_once(self._options.ready_file, json.dumps(ready))


def _storage(settings: dict[str, str], data: Path | None) -> Storage:
    """Return the app's storage; start Azurite when the settings name none, and name it there."""
    name = "AzureWebJobsStorage"
    text = settings.get(name, "")
    service = settings.get(f"{name}__queueServiceUri") or settings.get(f"{name}__accountName")
    if service or text not in {"", "UseDevelopmentStorage=true"}:
        if data:
            raise ConfigError(f"--data is for the host's own Azurite, but {name} names other storage. Leave one out.")
        fields = dict(field.partition("=")[::2] for field in text.split(";"))
        account = service or fields.get("AccountName") or "(no account in the connection string)"
        return Storage(f"{account} (from the settings)", account)
    azurite = Azurite(data.resolve() if data else None)
    azurite.start()
    # Exit handlers run in reverse order: those of the app, registered later, still have storage.
    atexit.register(azurite.stop)
    settings[name] = azurite.connection_string()
    kept = f"Azurite, data in {data}" if data else "Azurite, in memory: gone when it stops"
    export = "$env:{}='{}'" if os.name == "nt" else "export {}='{}'"
    command = export.format(name, settings[name])
    return Storage(f"{kept}\n           for python -m handlers in another terminal: {command}", settings[name])


def _listen(port: int) -> socket.socket:
    if not 0 <= port < 65536:
        raise ConfigError(f"The port is {port}; it must be a number from 0 (any free one) to 65535.")
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = "something else listens there" if error.errno == errno.EADDRINUSE else error.strerror
        remedy = "Choose another: --port 7072, or PORT=7072 make run"
        raise ConfigError(f"Port {port} cannot be used: {reason}. {remedy}") from error


def _number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}; it must be a whole number.") from error


def _write_at_once(file: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or none."""
    part = file.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _print_banner(
    functions: Sequence[Function], served: Sequence[Route], addresses: Mapping[str, str], key: str, storage: str
) -> None:
    methods = {route.function.name: ",".join(route.methods) or "any method" for route in served}
    width = max((len(function.name) for function in functions), default=0)
    print(f"\n{_paint('Functions', '1')}")
    for function in functions:
        if function.name in addresses:
            address = addresses[function.name].partition("/{*")[0]  # so that it can be opened as it is printed
            what = f"[{methods[function.name]}] {_paint(address, '32')}"
        else:
            detail = function.trigger.get("queueName") or function.trigger.get("schedule") or ""
            what = f"{function.trigger['type']} {detail}"
        print(f"  {function.name:<{width}}  {what}")
    print(f"{_paint('Header', '1')}     x-functions-key: {_paint(key, '33')}")
    print(f"{_paint('Storage', '1')}    {storage}")
    print("\nPress Ctrl-C to stop.", flush=True)


def _paint(text: str, colour: str) -> str:
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _configure_log(*, quiet: bool) -> None:
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("azure").setLevel(logging.WARNING)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.host",
        description="Run the function app on this machine, on the library that runs it in Azure. App settings come "
        "from the environment and from local.settings.json. Unless AzureWebJobsStorage names storage, Azurite is "
        "started for the app.",
        epilog="More settings: LOCAL_FUNCTION_KEY, the key of all functions (default: a new one at each start); "
        f"LOCAL_GRACE_SECONDS, how long running functions may go on after Ctrl-C (default: {GRACE:g}).",
    )
    add = parser.add_argument
    add("--port", help="where to listen; 0 for any free port (default: the setting PORT, else 7071)")
    add("--data", type=Path, metavar="DIR", help="keep Azurite's data in this folder (default: in memory)")
    add("--app", type=Path, default=Path(), metavar="DIR", help="folder of the function app (default: this one)")
    add("--settings", type=Path, metavar="FILE", help="settings file (default: local.settings.json of the app)")
    add("--quiet", action="store_true", help="print warnings and errors only")
    add(
        "--fetch-visibility",
        default=os.environ.get("LOCAL_FETCH_VISIBILITY_SECONDS", "600"),
        metavar="SECONDS",
        help="how long a message of a host that was killed stays invisible (default: 600, as in Azure)",
    )
    add("--ready-file", type=Path, metavar="FILE", help="when ready, write address, key and functions there as JSON")
    add("--end-with-stdin", action="store_true", help="stop when standard input ends, too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
