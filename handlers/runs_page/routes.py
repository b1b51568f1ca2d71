"""Addresses of the page, and the view of each. Ids are checked where they are looked up, in handlers.operations."""

from werkzeug.routing import Map, Rule

from handlers.runs_page import acting, finding, looking
from handlers.runs_page.visit import BASE

_VIEWS = (
    ("GET", "", looking.overview),
    ("GET", "/run/<key>", looking.run),
    ("GET", "/run/<key>/notification", looking.run_file),
    ("GET", "/row/<key>", looking.row),
    ("GET", "/search", finding.search),
    ("GET", "/mailboxes", finding.mailboxes),
    ("GET", "/mailbox/<key>", finding.mailbox),
    ("GET", "/preview", finding.preview),
    ("GET", "/letters", looking.letters),
    ("GET", "/letter/<key>", looking.letter),
    ("GET", "/letter/<key>/notification", looking.letter_file),
    ("GET", "/sweeps", looking.sweeps),
    ("GET", "/health", looking.health),
    ("POST", "/health", acting.health),
    ("POST", "/resubmit", acting.resubmit),
    ("POST", "/discard", acting.discard),
    ("POST", "/sweep", acting.sweep),
    ("POST", "/look", acting.look),
    ("POST", "/release", acting.release),
    ("POST", "/discard-held", acting.discard_held),
    ("POST", "/mailbox/<key>/test", acting.test_event),
    ("POST", "/preview", acting.show_preview),
)
ROUTES = Map(
    [Rule(f"{BASE}{path}", endpoint=view, methods=[method]) for method, path, view in _VIEWS],
    strict_slashes=False,
    merge_slashes=False,
)
