"""Views that act; their forms carry the session's token."""

from werkzeug.wrappers import Response

from handlers.again import Refused
from handlers.operations import activity, calendars, checks, dead_letters, preview, sweeps, trying
from handlers.runs_page.render import html, see_other
from handlers.runs_page.visit import Visit
from handlers.sync.notification import NotificationProblems


def resubmit(visit: Visit) -> Response:
    """Run dead letters again: one, those of a code or a reason, or all; what becomes of them is followed."""
    form, intake = visit.request.form, visit.factory.intake()
    if key := form.get("key"):
        keys = [key]
    else:
        every, code = bool(form.get("all")), form.get("code", "")
        keys = dead_letters.chosen(intake.storage, code=code, every=every, reason=form.get("reason"))
    done = dead_letters.resubmit(keys, intake, visit.who)
    if key and (done.run or done.under_way) and activity.row(key, intake.storage):
        return see_other(f"row/{key}?follow=1")  # also where the button was pressed twice
    if done.run:
        return see_other(f"run/{done.run}?follow=1")
    return html("refused", 409, visit, problems=done.problems)


def discard(visit: Visit) -> Response:
    """Remove a dead letter for good."""
    form = visit.request.form
    try:
        dead_letters.discard(form.get("key", ""), visit.factory.intake(), visit.who, form.get("why", "").strip())
    except Refused as error:
        return html("message", 409, visit, title="Not discarded", text=str(error).capitalize())
    return html("message", visit=visit, title="Discarded", text="The dead letter is gone; the list of runs keeps why.")


def sweep(visit: Visit) -> Response:
    """Sweep a mapping now: look only, or apply what is found."""
    form = visit.request.form
    try:
        sweeps.begin(form.get("mapping", ""), visit.factory.intake(), visit.who, apply=bool(form.get("apply")))
    except Refused as error:
        return html("message", 409, visit, title="Not begun", text=str(error))
    return see_other("sweeps")


def look(visit: Visit) -> Response:
    """Look now for what people did to events in Outlook."""
    count = calendars.begin(visit.factory.services())
    text = f"{count} {'look goes' if count == 1 else 'looks go'} to the queue; what is found stands on each row's page."
    return html("message", visit=visit, title="Looking", text=text)


def release(visit: Visit) -> Response:
    """Let held removals be done."""
    try:
        hold = sweeps.release(visit.request.form.get("key", ""), visit.factory.intake(), visit.who)
    except Refused as error:
        return html("message", 409, visit, title="Not released", text=str(error))
    text = f"{hold.count} removals of {hold.mapping} go to the queue; the list of runs shows what becomes of them."
    return html("message", visit=visit, title="Released", text=text)


def discard_held(visit: Visit) -> Response:
    """Forget held removals."""
    form = visit.request.form
    try:
        hold = sweeps.discard(form.get("key", ""), visit.factory.intake(), visit.who, form.get("why", "").strip())
    except Refused as error:
        return html("message", 409, visit, title="Not discarded", text=str(error))
    return html("message", visit=visit, title="Discarded", text=f"The events of these {hold.count} rows stay.")


def health(visit: Visit) -> Response:
    """All checks, with those of Graph and Acumatica."""
    mailbox = visit.request.form.get("mailbox", "").strip()[:320]
    found = [*checks.quick(visit.factory), *checks.deep(visit.factory.services(), mailbox)]
    return html("health", visit=visit, checks=found, mailbox=mailbox, deep=True)


def test_event(visit: Visit, key: str) -> Response:
    """Make an event in a mailbox, and remove it again."""
    return html("tried", visit=visit, checks=list(trying.try_mailbox(key[:320], visit.factory.services())), address=key)


def show_preview(visit: Visit) -> Response:
    """What a pasted notification would lead to; nothing of it is kept."""
    text = visit.request.form.get("notification", "")
    try:
        rows, problems = preview.in_app(text.encode(), visit.factory.services()), []
    except NotificationProblems as error:
        rows, problems = [], error.problems
    return html("preview", visit=visit, text=text, rows=[(row, preview.shown(row)) for row in rows], problems=problems)
