"""What receivers are sent, for docs/relay.md: the app's own client tells fakes of a changed row; that is written down."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from handlers.clients.receivers import receivers
from handlers.clients.relay import Relays
from handlers.settings import Settings
from handlers.sync.after import after
from handlers.sync.change import RowChange
from handlers.sync.effects import Deliver, Done
from handlers.sync.link import EventLink, merge, new_link
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.notification import parse_notification, row_changes
from handlers.sync.plan import intend, plan, wanted
from handlers.sync.scope import Scope
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, app_settings

ROOT = Path(__file__).resolve().parent.parent
_NOTIFICATION = "tests/fixtures/ready-made/opportunity-meetings.notification.json"
_MAPPING = "tests/fixtures/relay/opportunities-to-crm.toml"
_HOUR = 3600 * 10_000_000  # ticks
# Of HTTP, and not of the message.
_TRANSPORT = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}


def sent(keys: str) -> str:
    """A request as it goes out, with these keys (`format = …; auth = …`) in the mapping's `[relay]`.

    A token goes with the same body that is signed otherwise, so that is not shown again.
    """
    own = "".join(f"{key.strip()}\n" for key in keys.split(";"))
    text = (ROOT / _MAPPING).read_text(encoding="utf-8").replace("[relay]\n", f"[relay]\n{own}")
    mapping = load_mapping("opportunities-to-crm", text)
    effect, moment = _updated(mapping)
    with FakeGraph() as graph, FakeReceivers(graph.identity) as fakes, patch.dict(os.environ, graph.identity_settings):
        assert mapping.relay
        where = "RELAY_FLOW" if mapping.relay.auth == "entra" else "RELAY_ZAP"  # which take what was signed long ago
        environ = {"RELAY_CRM": fakes.settings[where], "RELAY_CRM_SECRET": fakes.settings["RELAY_HOOK_SECRET"]}
        found = receivers({mapping.name: mapping}, environ)
        relays = Relays(found, Settings(**app_settings(graph, FakeAcumatica())), lambda: moment)
        relays.deliver(effect.message, mapping.relay, moment + 3600)
        relays.close()
        (call,) = fakes.calls
    headers = {name: value for name, value in call.headers.items() if name not in _TRANSPORT}
    if "authorization" in headers:
        headers["authorization"] = "Bearer eyJ0eXAiOiJKV1Qi…"
    lines = [f"{call.method} … HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    body = json.dumps(call.body, indent=2, ensure_ascii=False) if mapping.relay.auth == "signature" else "…"
    return "```http\n{}\n\n{}\n```\n".format("\n".join(lines), body)


def _updated(mapping: Mapping) -> tuple[Deliver, float]:
    """The message of a row that is known to its receiver and has changed, and when it is sent (seconds since 1970)."""
    body, now = (ROOT / _NOTIFICATION).read_bytes(), datetime.now(UTC)
    notification = parse_notification(body, company="Production", queries=[mapping.query], now=now)
    first = row_changes(notification, [mapping], 0.0)[0][-1]
    row = (first.row or {}) | {"Amount": 12500.0}
    second = replace(first, row=row, timestamp=first.timestamp + _HOUR)
    link = _intended(new_link(first, first.moment), first, mapping)
    known = after(link, _delivery(link, mapping), Done(""), first.moment).link
    return _delivery(_intended(known, second, mapping), mapping), second.moment


def _intended(link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    link = merge(link, change, mapping)
    return intend(link, wanted(link, mapping, Scope()), mapping, change.moment)


def _delivery(link: EventLink, mapping: Mapping) -> Deliver:
    (effect,) = plan(link, wanted(link, mapping, Scope()), mapping, 0.0)
    assert isinstance(effect, Deliver)
    return effect
