"""Views that find: rows by what people know of them, mailboxes, and what a notification would lead to."""

from dataclasses import asdict

from werkzeug.wrappers import Response

from handlers.operations import activity, dead_letters, notification_files
from handlers.operations import search as finding
from handlers.runs_page.render import data, html, see_other
from handlers.runs_page.visit import Visit


def search(visit: Visit) -> Response:
    """Rows by any part of key, subject or mailbox; one alone is shown at once."""
    text = visit.request.args.get("q", "")[:1000]
    found = finding.search(text, visit.factory.intake().storage, activity.about(visit.factory))
    if visit.request.wants_json:
        return data({"rows": [row.as_json() for row in found.rows], "rows_in_all": found.total})
    if len(found.rows) == 1:
        return see_other(f"row/{found.rows[0].key}")
    return html("search", visit=visit, text=text, found=found)


def mailboxes(visit: Visit) -> Response:
    """Every mailbox, first those where something fails."""
    found = finding.mailboxes(visit.factory.storage(), activity.about(visit.factory))
    if visit.request.wants_json:
        return data({"mailboxes": [asdict(box) for box in found]})
    return html("mailboxes", visit=visit, boxes=found[: finding.MAILBOXES], total=len(found))


def mailbox(visit: Visit, key: str) -> Response:
    """A mailbox: its events, failures and last change."""
    box, rows = finding.mailbox(key[:320], visit.factory.storage(), activity.about(visit.factory))
    if visit.request.wants_json:
        return data({**asdict(box), "rows": [row.as_json() for row in rows]})
    return html("mailbox", visit=visit, box=box, rows=rows, most=finding.ROWS)


def preview(visit: Visit) -> Response:
    """A form for a notification, with that of a run or a dead letter in it where one is named."""
    args, storage, about, text = visit.request.args, visit.factory.storage(), activity.about(visit.factory), None
    if run := activity.run(args.get("run", ""), storage):
        text = notification_files.of_run(run, storage, about)
    elif letter := dead_letters.get(args.get("letter", ""), storage):
        text = notification_files.of_letter(letter, about)
    return html("preview", visit=visit, text=text or "", rows=None, problems=[])
