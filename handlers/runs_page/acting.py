"""Views that act; their forms carry the session's token."""

from werkzeug.wrappers import Response

from handlers.operations import checks, dead_letters
from handlers.runs_page.render import html, message
from handlers.runs_page.visit import Visit


def resubmit(visit: Visit) -> Response:
    """Run dead letters again: one, those of a code or a reason, or all."""
    form, services = visit.request.form, visit.factory.services()
    if key := form.get("key"):
        keys = [key]
    else:
        reason, code = form.get("reason"), form.get("code", "")
        found = dead_letters.find(services.storage, code)
        keys = [letter.facts.key for letter in found if form.get("all") or letter.facts.reason == reason]
    count, problems = dead_letters.resubmit(keys, services, visit.who)
    return html("resubmitted", 200 if count else 409, visit, count=count, problems=problems)


def discard(visit: Visit) -> Response:
    """Remove a dead letter for good."""
    form = visit.request.form
    try:
        dead_letters.discard(form.get("key", ""), visit.factory.services(), visit.who, form.get("why", "").strip())
    except dead_letters.Refused as error:
        return message(visit, 409, "Not discarded", str(error).capitalize())
    return message(visit, 200, "Discarded", "The dead letter is gone; the list of runs keeps why.")


def health(visit: Visit) -> Response:
    """All checks, with those of Graph and Acumatica."""
    mailbox = visit.request.form.get("mailbox", "").strip()[:320]
    found = [*checks.quick(visit.factory), *checks.deep(visit.factory.services(), mailbox)]
    return html("health", visit=visit, checks=found, mailbox=mailbox, deep=True)
