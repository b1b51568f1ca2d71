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
from werkzeug.wrappers import Response

from handlers import __version__
from handlers.runs_page.visit import BASE, Visit
from handlers.sync.change import ticks_to_datetime

_HERE = Path(__file__).resolve().parent
_STYLE = (_HERE / "static/style.css").read_text(encoding="utf-8")
_SCRIPT = (_HERE / "static/script.js").read_text(encoding="utf-8")
_VALUE_MAX = 500  # characters of a value that are shown


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
    place = template if template in {"letters", "sweeps", "health"} else ""
    text = _templates.get_template(f"{template}.html").render(visit=visit, place=place, **values)
    return Response(text, status, mimetype="text/html")


def data(body: Any, status: int = 200) -> Response:
    """JSON for programs."""
    return Response(json.dumps(body, ensure_ascii=False, default=str), status, mimetype="application/json")


def see_other(path: str = "") -> Response:
    """Lead the browser to another page of ours."""
    return Response("", 303, {"Location": f"{BASE}/{path}" if path else BASE}, mimetype="text/html")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}… ({len(text):,} characters)"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _clock(moment: datetime, form: str = "") -> str:
    utc = moment.astimezone(UTC)
    return f"{utc:%H:%M}" if form == "hour" else f"{utc:%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {"base": BASE, "version": __version__, "style": _STYLE, "script": _SCRIPT}
_templates.filters |= {
    "clock": _clock,
    "duration": _duration,
    "iso": _iso,
    "moment": lambda seconds: datetime.fromtimestamp(seconds, UTC),
    "number": "{:,}".format,
    "shown": _shown,
    "ticks": ticks_to_datetime,
}
