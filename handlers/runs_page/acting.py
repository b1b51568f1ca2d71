"""Views that act; their forms carry the session's token."""

from werkzeug.wrappers import Response

from handlers.operations import checks, dead_letters
from handlers.runs_page.render import html
from handlers.runs_page.visit import Visit


def resubmit(visit: Visit) -> Response:
    """Run dead letters again: one, those of a code or a reason, or all."""
    form, intake = visit.request.form, visit.factory.intake()
    if key := form.get("key"):
        keys = [key]
    else:
        reason, code = form.get("reason"), form.get("code", "")
        found = dead_letters.find(intake.storage, code)
        keys = [letter.facts.key for letter in found if form.get("all") or letter.facts.reason == reason]
    count, problems = dead_letters.resubmit(keys, intake, visit.who)
    return html("resubmitted", 200 if count else 409, visit, count=count, problems=problems)


def discard(visit: Visit) -> Response:
    """Remove a dead letter for good."""
    form = visit.request.form
    try:
        dead_letters.discard(form.get("key", ""), visit.factory.intake(), visit.who, form.get("why", "").strip())
    except dead_letters.Refused as error:
        return html("message", 409, visit, title="Not discarded", text=str(error).capitalize())
    text = "The dead letter is gone; the list of runs keeps why."
    return html("message", visit=visit, title="Discarded", text=text)


def health(visit: Visit) -> Response:
    """All checks, with those of Graph and Acumatica."""
    mailbox = visit.request.form.get("mailbox", "").strip()[:320]
    found = [*checks.quick(visit.factory), *checks.deep(visit.factory.services(), mailbox)]
    return html("health", visit=visit, checks=found, mailbox=mailbox, deep=True)
