"""A mailbox is tried out: one event is made in it and removed again, by the app's own identity and requests."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from handlers.operations.check import Check
from handlers.services import Services
from handlers.sync.errors import EventGone, Later, OutcomeUnknown, Permanent, SyncError
from handlers.sync.event import CalendarEvent

SUBJECT = "Test of the calendar integration"
_MINUTES = 15
_TRIES = 2  # of a request without an answer: repeating it makes no second event
_LATER = "Try again in a moment."


def try_mailbox(mailbox: str, services: Services) -> Iterator[Check]:
    """Make an event and remove it; each step says what came of it. Nobody is invited, and nothing reminds of it."""
    mailbox = mailbox.strip().lower()
    trial = services.settings.test_mailbox.lower()
    if trial and mailbox != trial:
        yield Check("Test event", "fails", f"not sent: in a trial, {trial} alone gets events", "Remove TEST_MAILBOX first.")
        return
    graph, stamp = services.graph, f"test-{uuid.uuid4().hex}"
    deadline = services.clock() + services.settings.claim_seconds
    try:
        graph.limiter.enter(mailbox)
    except Later as error:
        yield Check("Event made", "fails", str(error), _LATER)
        return
    try:
        try:
            event_id = _repeated(lambda: graph.create(_event(mailbox, services.clock()), stamp, deadline))
        except SyncError as error:
            yield Check("Event made", "fails", str(error), _remedy(error))
            return
        yield Check("Event made", "ok", f"{SUBJECT} is in the calendar of {mailbox}")
        try:
            _repeated(lambda: graph.delete(mailbox, event_id, deadline))
        except EventGone:
            yield Check("Event removed", "note", "somebody else has removed it meanwhile")
        except SyncError as error:
            remedy = f"Remove the event {SUBJECT!r} in Outlook by hand."
            yield Check("Event removed", "fails", str(error), remedy)
        else:
            yield Check("Event removed", "ok", "nothing of it is left but an item in Recoverable Items")
    finally:
        graph.limiter.leave(mailbox)


def _event(mailbox: str, now: float) -> CalendarEvent:
    start = datetime.fromtimestamp(now, UTC).replace(microsecond=0) + timedelta(hours=1)
    times = {"start": start, "end": start + timedelta(minutes=_MINUTES)}
    told = {name: {"dateTime": f"{at:%Y-%m-%dT%H:%M:%S}", "timeZone": "UTC"} for name, at in times.items()}
    return CalendarEvent(mailbox, {"subject": SUBJECT, "isAllDay": False, "showAs": "free", "isReminderOn": False, **told})


def _repeated[T](request: Callable[[], T]) -> T:
    for left in reversed(range(_TRIES)):
        try:
            return request()
        except OutcomeUnknown:
            if not left:
                raise
    raise AssertionError("never reached")


def _remedy(error: SyncError) -> str:
    if isinstance(error, Permanent):
        return error.remedy
    if isinstance(error, OutcomeUnknown):
        return f"The event may appear all the same: look for {SUBJECT!r} in Outlook, and remove it."
    return _LATER
