"""Triggers, routes, queue names and wiring; no logic."""

import atexit
import json
import logging
import os
import time

import azure.functions as func

from handlers import apply as applying
from handlers import receive as receiving
from handlers import upkeep
from handlers.clients.queue import POISON_QUEUE, QUEUE
from handlers.clients.sweeps import SWEEP_POISON_QUEUE, SWEEP_QUEUE
from handlers.environment import paused, sweep_schedule
from handlers.health import Health
from handlers.services import Factory, NotReady

# The SDK tells of every request at INFO: several lines for each row.
logging.getLogger("azure").setLevel(logging.WARNING)

app = func.FunctionApp()
factory = Factory(os.environ)
health_check = Health(factory)
atexit.register(factory.close)


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")


@app.route("notifications", methods=[func.HttpMethod.POST], auth_level=func.AuthLevel.FUNCTION)
def notifications(req: func.HttpRequest) -> func.HttpResponse:
    """Take in a push notification of Acumatica."""
    answer = receiving.receive(req.get_body(), factory)
    return _json(answer.status, answer.body, answer.headers)


@app.route("health", methods=[func.HttpMethod.GET], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Say whether the app can do its work."""
    return _json(*health_check.answer(time.monotonic()), {"Cache-Control": "no-store"})


@app.route("runs/{*path}", methods=[func.HttpMethod.GET, func.HttpMethod.POST], auth_level=func.AuthLevel.ANONYMOUS)
def runs(req: func.HttpRequest) -> func.HttpResponse:
    """Show what happened, and run it again; RUNS_KEY opens it."""
    from handlers.runs_page.page import Page, respond  # noqa: PLC0415  (intake and queue start without it)

    answer = respond(Page(factory, os.environ), req.method, req.url, req.headers, req.get_body())
    return func.HttpResponse(answer.get_data(), status_code=answer.status_code, headers=dict(answer.headers))


if not paused(os.environ):  # while there is no trigger, messages wait in the queue, untouched; they never expire

    @app.queue_trigger(arg_name="message", queue_name=QUEUE, connection="AzureWebJobsStorage")
    def apply(message: func.QueueMessage) -> None:
        """Bring one row into its calendar."""
        applying.apply(message.get_body().decode("utf-8", "replace"), factory)

    @app.queue_trigger(arg_name="message", queue_name=SWEEP_QUEUE, connection="AzureWebJobsStorage")
    def sweep(message: func.QueueMessage) -> None:
        """Go on with a sweep, send removals that were released, or look at a mailbox."""
        from handlers.sweep_queue import sweep  # noqa: PLC0415

        sweep(message.get_body().decode("utf-8", "replace"), factory)

    @app.timer_trigger(schedule=sweep_schedule(os.environ), arg_name="timer", run_on_startup=False, use_monitor=True)
    def sweep_start(timer: func.TimerRequest) -> None:  # noqa: ARG001
        """Begin a sweep of each mapping that wants one, and look at the calendars; SWEEP_SCHEDULE says when."""
        from handlers.sweep_start import on_schedule  # noqa: PLC0415

        on_schedule(factory)

    if os.environ.get("FAILED_NOTIFICATIONS_INQUIRY", "").strip():

        @app.timer_trigger(schedule="0 */15 * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
        def sweep_failed(timer: func.TimerRequest) -> None:  # noqa: ARG001
            """Begin a sweep where Acumatica could not send a notification."""
            from handlers.sweep_start import after_failures  # noqa: PLC0415

            after_failures(factory)


@app.queue_trigger(arg_name="message", queue_name=POISON_QUEUE, connection="AzureWebJobsStorage")
def poison(message: func.QueueMessage) -> None:
    """Make dead letters of what the host gave up on."""
    applying.bury_poison(message.get_body().decode("utf-8", "replace"), factory)


@app.queue_trigger(arg_name="message", queue_name=SWEEP_POISON_QUEUE, connection="AzureWebJobsStorage")
def sweep_poison(message: func.QueueMessage) -> None:
    """Show people what the host gave up on."""
    from handlers.sweep_queue import bury_poison  # noqa: PLC0415

    bury_poison(message.get_body().decode("utf-8", "replace"), factory)


@app.timer_trigger(schedule="0 * * * * *", arg_name="timer", run_on_startup=False, use_monitor=False)
def upkeep_sessions(timer: func.TimerRequest) -> None:  # noqa: ARG001
    """Sign out Acumatica sessions that nobody uses, and say how the app is, each minute."""
    try:
        upkeep.sign_out_idle_sessions(factory.services())
    except NotReady:
        pass  # health says it
    finally:
        health_check.tell(time.monotonic())


@app.timer_trigger(schedule="0 30 3 * * *", arg_name="timer", run_on_startup=False, use_monitor=True)
def upkeep_purge(timer: func.TimerRequest) -> None:  # noqa: ARG001
    """Forget what is older than RETENTION_DAYS, and list anew what people search in, each day."""
    try:
        services = factory.services()
        upkeep.purge(services)
        upkeep.index(services.storage, services.mappings)
    except NotReady:
        return
