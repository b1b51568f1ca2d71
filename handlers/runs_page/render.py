"""Responses: templates, and JSON for programs. No external assets: style and script stand in the page.

Jinja escapes whatever is put into a template; the policy allows these two alone, by their hash.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from handlers import __version__
from handlers.operations import words
from handlers.runs_page.visit import BASE, Visit
from handlers.sync.change import ticks_to_datetime

_HERE = Path(__file__).resolve().parent
_STYLE = (_HERE / "static/style.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "static/script.js").read_text(encoding="utf-8")
_PLACES = {"letters": "letters", "letter": "letters", "mailboxes": "mailboxes", "mailbox": "mailboxes", "tried": "mailboxes"}
_PLACES |= {"sweeps": "sweeps", "preview": "preview", "health": "health"}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


SECURITY = {
    # https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
    "Content-Security-Policy": f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}


def html(template: str, status: int = 200, visit: Visit | None = None, **values: Any) -> Response:
    """A page; `visit` stands around the pages of those who have signed in."""
    place = _PLACES.get(template, "")
    text = _templates.get_template(f"{template}.html").render(visit=visit, place=place, **values)
    return Response(text, status, mimetype="text/html")


def data(body: Any, status: int = 200) -> Response:
    """JSON for programs."""
    return Response(json.dumps(body, ensure_ascii=False, default=str), status, mimetype="application/json")


def file(text: str, name: str) -> Response:
    """Something to keep; a browser shows no part of it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, 200, headers, mimetype="application/json")


def there[T](found: T | None) -> T:
    """What was looked for, if there is any. Raises NotFound."""
    if found is None:
        raise NotFound
    return found


def see_other(path: str = "") -> Response:
    """Lead the browser to another page of ours."""
    return Response("", 303, {"Location": f"{BASE}/{path}" if path else BASE}, mimetype="text/html")


_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {
    "base": BASE,
    "version": __version__,
    "style": _STYLE,
    "script": _SCRIPT,
    "states": words.STATES,
    "skipped": words.SKIPPED,
}
_templates.filters |= {
    "clock": words.clock,
    "duration": words.duration,
    "effects": words.effects,
    "iso": words.iso,
    "long": words.has_long_words,
    "moment": lambda seconds: datetime.fromtimestamp(seconds, UTC),
    "pretty": lambda value: json.dumps(value, ensure_ascii=False, indent=2),
    "number": "{:,}".format,
    "short": words.short,
    "shown": words.shown,
    "ticks": ticks_to_datetime,
}
