"""The app as Azure Functions sees it."""

import json
import subprocess
import sys
from pathlib import Path

from handlers.clients.queue import POISON_QUEUE, QUEUE
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, SWEEP_QUEUE
from handlers.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
INDEX = """
import json, function_app
print(json.dumps({f.get_function_name(): json.loads(str(f))["bindings"][0] for f in function_app.app.get_functions()}))
"""


def bindings(environment: dict[str, str]) -> dict[str, dict[str, object]]:
    """Index the app in a process of its own; the trigger of each function by its name."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INDEX], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def test_the_app_has_these_functions_whatever_is_set() -> None:
    """With no settings at all the functions exist, so that intake and health can say what is missing."""
    found = bindings({"PATH": "/usr/bin:/bin"})
    assert sorted(found) == [
        "apply",
        "health",
        "notifications",
        "poison",
        "runs",
        "sweep",
        "sweep_poison",
        "sweep_start",
        "upkeep_purge",
        "upkeep_sessions",
    ]


def test_while_the_app_is_paused_nothing_takes_rows_out_of_the_queue() -> None:
    found = bindings({"SYNC_PAUSED": "true"})
    assert sorted(found) == ["health", "notifications", "poison", "runs", "sweep_poison", "upkeep_purge", "upkeep_sessions"]


def test_sweeps_begin_when_their_schedule_says_so() -> None:
    assert bindings({})["sweep_start"]["schedule"] == "0 0 2 * * *"
    assert bindings({"SWEEP_SCHEDULE": " 0 30 */6 * * mon-fri "})["sweep_start"]["schedule"] == "0 30 */6 * * mon-fri"
    assert bindings({"SWEEP_SCHEDULE": "at night"})["sweep_start"]["schedule"] == "0 0 2 * * *"  # said by health
    assert "sweep_failed" in bindings({"FAILED_NOTIFICATIONS_INQUIRY": "Failed"})


def test_http_functions_have_the_right_keys_and_methods() -> None:
    found = bindings({})
    notifications, health = found["notifications"], found["health"]
    assert (notifications["authLevel"], notifications["methods"], notifications["route"]) == (
        "FUNCTION",
        ["POST"],
        "notifications",
    )
    assert (health["authLevel"], health["methods"], health["route"]) == ("ANONYMOUS", ["GET"], "health")
    runs = found["runs"]  # anonymous for the host: a key in an address is a secret in an address
    assert (runs["authLevel"], runs["methods"], runs["route"]) == ("ANONYMOUS", ["GET", "POST"], "runs/{*path}")


def test_queue_functions_read_the_queues_that_the_app_writes() -> None:
    found = bindings({})
    assert found["apply"]["queueName"] == QUEUE
    assert found["sweep"]["queueName"] == SWEEP_QUEUE
    assert found["sweep_poison"]["queueName"] == SWEEP_POISON_QUEUE == f"{SWEEP_QUEUE}-poison"
    assert found["poison"]["queueName"] == POISON_QUEUE == f"{QUEUE}-poison"
    assert found["apply"]["connection"] == found["poison"]["connection"] == "AzureWebJobsStorage"


def test_a_claim_outlives_the_function_that_holds_it() -> None:
    hours, minutes, seconds = map(int, json.loads((ROOT / "host.json").read_text())["functionTimeout"].split(":"))
    assert Settings.model_fields["claim_seconds"].default > hours * 3600 + minutes * 60 + seconds


def test_importing_the_app_does_not_import_what_only_some_functions_need() -> None:
    slow = ("msal", "azure.identity", "azure.storage.blob", "handlers.sweep", "handlers.runs_page", "jinja2", "itsdangerous")
    code = f"import sys, function_app; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_minute_sessions_are_signed_out_whether_or_not_it_can_be_told_how_the_app_is_and_the_reverse() -> None:
    code = """
import function_app

def signed_out(services):
    print("signed out")
    raise RuntimeError("signing out")

def told(now):
    print("told")
    raise RuntimeError("telling")

[minute] = [f.get_user_function() for f in function_app.app.get_functions() if f.get_function_name() == "upkeep_sessions"]
function_app.upkeep.sign_out_idle_sessions, function_app.health_check.tell = signed_out, told
function_app.factory.services = object
try:
    minute(None)
except RuntimeError as error:
    print(error, "after", error.__context__)
def not_ready():
    raise function_app.NotReady("settings", [])
function_app.factory.services = not_ready
try:
    minute(None)
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["signed out", "told", "telling after signing out", "told", "telling"]
