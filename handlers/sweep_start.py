"""When a sweep begins: by the clock, by hand, and where Acumatica could not send a notification."""

import logging
import uuid
from itertools import islice

from handlers.calendar_sweep import send_looks
from handlers.clients.activity import run_key
from handlers.clients.sweeps import Mode, Order, Sweep
from handlers.services import Factory, Intake, NotReady, Services
from handlers.sync.change import digest
from handlers.sync.errors import SyncError
from handlers.sync.mapping import Mapping
from handlers.sync.notification import name_form
from handlers.sync.sweep_plan import SweepPlan
from handlers.sync.template import Row

log = logging.getLogger(__name__)

_ABANDONED_SECONDS = 900.0  # a sweep that was not saved for so long is not under way any more
_FAILURES = 5000  # rows of the inquiry over failed notifications that are looked at


def on_schedule(factory: Factory) -> None:
    """Begin a sweep of each mapping that wants one, and look at the calendars."""
    try:
        services = factory.services()
    except NotReady:
        return  # said in the log already, and by health
    for mapping in _wanted(services):
        start(mapping.name, mode_of(mapping), "the schedule", services)
    send_looks(services)


def start(name: str, mode: Mode, by: str, intake: Intake, *, queue: bool = True, second: bool = False) -> tuple[Sweep, bool]:
    """Begin a sweep of a mapping; the one that is under way, and False, where there is one.

    `queue`: the host goes on. `second`: for what the one before could not judge, and no third one follows.
    """
    storage, now = intake.storage, intake.clock()
    known = storage.sweeps.get(name)
    if known and known.phase != "done" and now - known.saved < _ABANDONED_SECONDS:
        if queue and known.saved == known.started:  # whoever has begun it may have died before the message
            storage.sweeps.send(Order(name, known.id))
        return known, False
    key = uuid.uuid4().hex
    plan = known.plan.following(mode) if known else SweepPlan(name, mode, 0)
    etag = known.etag if known else ""
    run = run_key(now, key)
    new = Sweep(
        name, key, mode=mode, by=by, run=run, started=now, saved=now, reached=now, plan=plan, second=second, etag=etag
    )
    saved = storage.sweeps.save(new)
    if saved is None:
        known = storage.sweeps.get(name)
        return known or new, False
    if queue:
        storage.sweeps.send(Order(name, key))
    return saved, True


def mode_of(mapping: Mapping, *, apply: bool = False) -> Mode:
    """What a sweep of a mapping may do; `apply`: somebody has asked for more than a report."""
    if mapping.sweep.mode == "full":
        return "full"
    return "upsert" if apply or mapping.sweep.mode == "upsert" else "report"


def mode_now(mode: Mode, mapping: Mapping) -> Mode:
    """What a sweep that is under way may still do, where its mapping's file was edited since it began."""
    if mapping.sweep.mode == "off" or (mode == "full" and mapping.sweep.mode == "report"):
        return "report"
    return "upsert" if mode == "full" and mapping.sweep.mode == "upsert" else mode


def after_failures(factory: Factory) -> None:
    """Begin a sweep of each query of which the inquiry over failed notifications shows a new row.

    No column is relied on: a row that names no query may be of any. What comes while a sweep is under way counts the next
    time, since that sweep may have read past it.
    """
    try:
        services = factory.services()
        found = _failures(services)
    except NotReady:
        return
    except SyncError as error:
        log.warning("the inquiry over failed notifications could not be read: %s", error.code)
        return
    known, sweeps = services.storage.sweeps.failures() or set(), services.storage.sweeps
    new = {key: row for key, row in found.items() if key not in known}
    late: set[str] = set()
    for mapping in _wanted(services):
        told = {key for key, row in new.items() if _tells_of(row, mapping, services)}
        if told and not start(mapping.name, mode_of(mapping), "a notification that failed", services)[1]:
            late |= told
    if found.keys() - late != known:
        sweeps.save_failures(found.keys() - late)


def _failures(services: Services) -> dict[str, Row]:
    """Rows of the inquiry over failed notifications by their hash."""
    inquiry = services.inquiries.find(services.settings.failed_notifications_inquiry)
    order = inquiry.keys or tuple(islice(inquiry.columns, 1))
    rows = (row for page in services.inquiries.pages(inquiry, order) for row in page.rows)
    return {digest(row)[:16]: row for row in islice(rows, _FAILURES)}


def _tells_of(row: Row, mapping: Mapping, intake: Intake) -> bool:
    """Whether a failed notification was one of a mapping's query, or of one that is not named."""
    named = {name_form(value) for value in row.values() if isinstance(value, str)}
    queries = {name_form(each.query) for each in intake.mappings.values()}
    return name_form(mapping.query) in named or not named & queries


def _wanted(intake: Intake) -> list[Mapping]:
    return [mapping for mapping in intake.mappings.values() if mapping.sweep.mode != "off"]
