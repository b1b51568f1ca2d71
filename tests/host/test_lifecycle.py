"""Starting, stopping, dying, and storage that comes and goes."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.azurite import Azurite
from local.host import start
from local.host.__main__ import main
from local.host.config import ConfigError
from local.host.process import ROOT, HostError
from local.host.worker import RUNTIME, RUNTIME_VERSION, Worker, essence
from local.requirements import pins
from tests.host.conftest import HOST_JSON, Queue, StartApp, call, until, write_app

WORK = """
import atexit, time

atexit.register(lambda: print("signed out", flush=True))

@app.queue_trigger("message", "work", "AzureWebJobsStorage")
def work(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    logging.info("begin %s", text)
    time.sleep(float(text))
    logging.info("end %s", text)

@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> func.HttpResponse:
    time.sleep(float(req.params.get("seconds", 0)))
    return func.HttpResponse("hello")
"""


def is_running(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process has started."""
    shown = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in map(str.split, shown.splitlines()) if int(parent) == pid]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_functions_end(
    start_app: StartApp, queue: Callable[[str], Queue], how: signal.Signals
) -> None:
    """Running functions end and delete their messages, the app's exit handlers run, the exit status is 0."""
    host = start_app(WORK)
    work = queue("work")
    work.create()
    work.send("1.5")
    until(lambda: "begin 1.5" in host.log)
    os.kill(host.pid, how)
    assert host.wait() == 0
    assert host.log.index("end 1.5") < host.log.index("signed out")
    assert work.count() == 0


def test_a_function_that_does_not_end_is_cut_off(start_app: StartApp) -> None:
    """After the grace the host ends all the same, and the app's exit handlers run."""
    host = start_app(WORK, env={"LOCAL_GRACE_SECONDS": "0.5"})
    host.fire("work", "60")
    until(lambda: "begin 60" in host.log)
    assert host.stop(10) == 0
    assert "signed out" in host.log
    assert "1 functions were still running" in host.log


@pytest.mark.slow
def test_the_hosts_own_azurite(tmp_path: Path) -> None:
    """It ends with a host that is killed hard, keeps its data with --data, and outlives the app's exit handlers."""
    source = f"""
    import atexit, os
    from azure.storage.queue import QueueServiceClient

    def sign_out():
        queues = QueueServiceClient.from_connection_string(os.environ["AzureWebJobsStorage"]).list_queues()
        print("at exit:", [queue.name for queue in queues], flush=True)

    atexit.register(sign_out)
    {textwrap.indent(WORK, "    ")}
    """
    app, data = write_app(tmp_path / "app", source), tmp_path / "data"
    with start(app=app, data=data, env={"AzureWebJobs.work.Disabled": "true"}) as host:
        [azurite] = children(host.pid)
        work = Queue(host.storage, "work")
        work.create()
        work.send("0")
        host.kill()
    until(lambda: not is_running(azurite))
    with start(app=app, data=data) as host:
        [azurite] = children(host.pid)
        until(lambda: "end 0" in host.log)
        assert host.stop() == 0
        assert "at exit: ['work']" in host.log
    until(lambda: not is_running(azurite))


def test_a_host_ends_with_the_test_that_started_it(tmp_path: Path, storage: str) -> None:
    """When the process that started a host is killed hard, the host ends as after a signal."""
    app = write_app(tmp_path / "app", WORK)
    program = (
        "import sys, time; from pathlib import Path; from local.host import start\n"
        "host = start(app=Path(sys.argv[1]), env={'AzureWebJobsStorage': sys.argv[2]})\n"
        "print(host.pid, flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(app), storage]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # it leaves behind what it had there
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        host = int(starter.stdout.readline())
        assert is_running(host)
        starter.kill()
        until(lambda: not is_running(host))


def test_a_killed_hosts_message_comes_back(start_app: StartApp, queue: Callable[[str], Queue]) -> None:
    """Another host gets it when its invisibility is over."""
    host = start_app(WORK, fetch_visibility=1)
    work = queue("work")
    work.create()
    work.send("0.3")
    until(lambda: "begin" in host.log)
    host.kill()
    second = start_app(WORK)
    until(lambda: "end 0.3" in second.log)


@pytest.mark.slow
def test_storage_may_come_late_and_go_away(tmp_path: Path) -> None:
    """A host whose storage does not answer warns once, goes on trying, and works when it does; HTTP works meanwhile."""
    app = write_app(tmp_path / "app", WORK, HOST_JSON)
    with Azurite(tmp_path / "data") as azurite:
        storage = azurite.connection_string()
        work = Queue(storage, "work")
        work.create()
        azurite.stop()
        with start(app=app, env={"AzureWebJobsStorage": storage}) as host:
            until(lambda: "The queue work cannot be reached; the host keeps trying." in host.log)
            assert call(host, "GET", "/api/hello").body == b"hello"
            azurite.start()
            work.send("0")
            until(lambda: "end 0" in host.log)
            azurite.stop()
            until(lambda: host.log.count("cannot be reached") == 2)
            azurite.start()
            work.send("0.01")
            until(lambda: "end 0.01" in host.log)
            assert host.log.count("cannot be reached") == host.log.count("can be reached again") == 2


def test_storage_may_hang(tmp_path: Path) -> None:
    """When storage takes requests and does not answer, the host waits and goes on afterwards."""
    with Azurite() as azurite:
        storage = azurite.connection_string()
        with start(app=write_app(tmp_path / "app", WORK, HOST_JSON), env={"AzureWebJobsStorage": storage}) as host:
            azurite.pause()
            assert call(host, "GET", "/api/hello").body == b"hello"
            azurite.resume()
            work = Queue(storage, "work")
            work.create()
            work.send("0")
            until(lambda: "end 0" in host.log)


def test_function_timeout(start_app: StartApp) -> None:
    """host.json's functionTimeout fails an invocation: 500, or another try of the message."""
    host = start_app(WORK, {"functionTimeout": "00:00:01", **HOST_JSON})
    assert call(host, "GET", "/api/hello?seconds=2").status == 500
    assert "Timeout value of 1 s exceeded (functionTimeout in host.json)." in host.log


def test_timers(start_app: StartApp) -> None:
    """A timer fires on its schedule, at the start when it says so, and by hand; a disabled function never does."""
    source = """
    @app.timer_trigger("timer", "%SCHEDULE%", run_on_startup=False)
    def often(timer: func.TimerRequest) -> None:
        logging.info("often, late: %s, next: %s", timer.past_due, timer.schedule_status["Next"])

    @app.timer_trigger("timer", "0 0 0 1 1 *", run_on_startup=True)
    def at_start(timer: func.TimerRequest) -> None:
        logging.info("at start")

    @app.timer_trigger("timer", "* * * * * *")
    def never(timer: func.TimerRequest) -> None:
        logging.info("never")
    """
    host = start_app(source, env={"SCHEDULE": "* * * * * *", "AzureWebJobs.never.Disabled": "1"})
    until(lambda: host.log.count("often, late: False, next: 20") >= 2)
    assert host.log.count("INFO    root: at start") == 1
    host.fire("at_start")
    until(lambda: host.log.count("INFO    root: at start") == 2)
    assert "root: never" not in host.log
    with pytest.raises(HostError, match="404"):
        host.fire("no_such_function")


type Refusal = Callable[..., str]


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run the host with something that is found wrong before the app is loaded; return what it says."""

    def run(app: Path, *arguments: str, **env: str) -> str:
        for name, value in ({"AzureWebJobsStorage": STORAGE} | env).items():
            monkeypatch.setenv(name, value)
        assert main(["--app", str(app), "--port", "0", *arguments]) == 1
        return capsys.readouterr().err

    return run


def late_refusal(app: Path, **env: str) -> str:
    """Run the host with something that is found wrong when the app is loaded; return what it says."""
    command = [sys.executable, "-m", "local.host", "--app", str(app), "--port", "0"]
    environment = {"PATH": os.environ["PATH"], "AzureWebJobsStorage": STORAGE} | env
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done
    assert "local/host/" not in done.stderr, "a traceback of the host itself"
    return done.stderr


STORAGE = "AccountName=x;AccountKey=eA==;QueueEndpoint=http://127.0.0.1:1/x"


def test_refuses_a_folder_without_an_app(tmp_path: Path, refusal: Refusal) -> None:
    """The message names the file that is missing."""
    assert f"{tmp_path / 'function_app.py'} does not exist" in refusal(tmp_path)


def test_refuses_a_taken_port(tmp_path: Path, refusal: Refusal) -> None:
    """The message names the port and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(write_app(tmp_path / "app", WORK), "--port", port)
    assert f"Port {port} cannot be used" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError"),
        (
            "@app.route()\ndef f(req: func.HttpRequest) -> func.HttpResponse | None: ...",
            "cannot load the f function: has invalid non-type return annotation",
        ),
        (
            "@app.route()\ndef f(req: func.HttpRequest, more: int) -> func.HttpResponse: ...",
            "the following parameters are declared in Python but not in the function definition",
        ),
        ("app2 = func.FunctionApp()", "More than one FunctionApp"),
    ],
)
def test_refuses_an_app_that_azure_refuses(tmp_path: Path, source: str, said: str) -> None:
    """The message has the app's own lines and the error, and nothing of the library's inside."""
    message = late_refusal(write_app(tmp_path / "app", source))
    assert said in message
    assert "azure_functions_runtime" not in message
    assert "importlib" not in message
    assert len(message.splitlines()) < 14


@pytest.mark.parametrize(
    ("host_json", "said"),
    [
        ({"extensions": {"queues": {"batchSize": 33}}}, "batchSize is 33"),
        ({"extensions": {"queues": {"maxDequeueCount": 0}}}, "maxDequeueCount must be 1 or more"),
        ({"functionTimeout": "five minutes"}, "'five minutes' is no duration"),
    ],
)
def test_refuses_a_wrong_host_json(tmp_path: Path, refusal: Refusal, host_json: dict[str, object], said: str) -> None:
    """The message names the file, the value and what is right."""
    message = refusal(write_app(tmp_path / "app", WORK, host_json))
    assert "host.json" in message
    assert said in message


def test_refuses_wrong_settings(tmp_path: Path, refusal: Refusal) -> None:
    """Each message says what is wrong with which value."""
    app = write_app(tmp_path / "app", WORK)
    assert "--data" in refusal(app, "--data", str(tmp_path / "data"))
    assert "PORT is 'x'; it must be a whole number" in refusal(app, "--port", "", PORT="x")
    (app / "local.settings.json").write_text("{", encoding="utf-8")
    assert "local.settings.json is not JSON" in refusal(app)
    (app / "local.settings.json").write_text('{"ACUMATICA_URL": "x"}', encoding="utf-8")
    assert 'local.settings.json: "Values" is missing' in refusal(app)


def test_refuses_wrong_bindings(tmp_path: Path) -> None:
    """Each message says what is wrong with which value."""
    app = write_app(tmp_path / "app", WORK)
    assert "is no connection string" in late_refusal(app, AzureWebJobsStorage="nonsense")
    write_app(app, WORK.replace('"work"', '"%NO_SUCH_SETTING%"'))
    assert "The app setting NO_SUCH_SETTING is missing" in late_refusal(app)
    write_app(app, '@app.timer_trigger("t", "61 * * * *")\ndef f(t: func.TimerRequest) -> None: ...')
    assert "The timer of f: '61 * * * *' is no schedule" in late_refusal(app)


def test_host_json_may_be_overridden_by_settings(start_app: StartApp, queue: Callable[[str], Queue]) -> None:
    """As in Azure: AzureFunctionsJobHost__section__key."""
    source = """
    @app.queue_trigger("message", "work", "AzureWebJobsStorage")
    def work(message: func.QueueMessage) -> None:
        raise RuntimeError("no")
    """
    start_app(source, env={"AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "1"})
    work = queue("work")
    work.create()
    work.send("x")
    assert until(queue("work-poison").texts) == ["x"]


def test_the_worker_library_is_the_one_that_is_pinned() -> None:
    """The version that the seam is made for is that of the requirements."""
    assert pins(ROOT / "requirements-run.txt")[RUNTIME] == RUNTIME_VERSION


def test_another_worker_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names both versions and what to do."""
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "9.9.9")
    with pytest.raises(ConfigError, match=r"installed is 9\.9\.9"):
        Worker()


def test_essence_leaves_the_apps_own_frames() -> None:
    """Frames of the library and of the import machinery go, with the code below them."""
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/x/azure_functions_runtime/handle_event.py", line 1, in f\n    call()\n    ^^^^^^\n'
        '  File "/app/function_app.py", line 2, in g\n    1 / 0\n    ~~^~~\n'
        "ZeroDivisionError: division by zero\n"
    )
    assert essence(trace) == (
        "Traceback (most recent call last):\n"
        '  File "/app/function_app.py", line 2, in g\n    1 / 0\n    ~~^~~\n'
        "ZeroDivisionError: division by zero"
    )


def test_ready_file_and_quiet(tmp_path: Path, storage: str) -> None:
    """--quiet prints nothing when all is well; PORT and LOCAL_FUNCTION_KEY are honoured."""
    app = write_app(tmp_path / "app", WORK)
    env = {"AzureWebJobsStorage": storage, "LOCAL_FUNCTION_KEY": "mine"}
    with start(app=app, env=env, arguments=("--quiet",)) as host:
        assert host.key == "mine"
        assert host.storage.startswith("account")
        assert json.dumps(dict(host.functions)) == json.dumps({"work": None, "hello": f"{host.url}/api/hello"})
        began = time.monotonic()
        assert host.stop() == 0
        assert time.monotonic() - began < 5
        assert host.log == "signed out\n"
