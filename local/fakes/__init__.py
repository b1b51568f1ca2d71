"""Fakes of Microsoft Graph, Acumatica and receivers of relays over real HTTP.

They hold state, enforce rules, throttle, and fail on demand.

`switches` say how a service behaves where the facts leave two readings; `faults` are what goes wrong for some requests.
"""

from local.fakes.acumatica import AcumaticaSwitches, FakeAcumatica, Session
from local.fakes.calls import Call
from local.fakes.faults import Fault, Faults
from local.fakes.graph import FakeGraph, GraphSwitches, Invitation
from local.fakes.receivers import FakeReceivers

__all__ = [
    "AcumaticaSwitches",
    "Call",
    "FakeAcumatica",
    "FakeGraph",
    "FakeReceivers",
    "Fault",
    "Faults",
    "GraphSwitches",
    "Invitation",
    "Session",
    "acumatica_settings",
    "app_settings",
]


def app_settings(graph: FakeGraph, acumatica: FakeAcumatica) -> dict[str, str]:
    """The app settings that point to running fakes, beside FakeGraph.identity_settings; with the ready-made mappings."""
    return {
        "MAPPINGS_DIR": "ready-made",
        "GRAPH_URL": graph.url,
        **acumatica_settings(acumatica),
    }


def acumatica_settings(acumatica: FakeAcumatica) -> dict[str, str]:
    """Those of them that belong to Acumatica."""
    return {
        "ACUMATICA_URL": acumatica.url,
        "ACUMATICA_TENANT": acumatica.tenant,
        "ACUMATICA_AUTH": "oauth",
        "ACUMATICA_CLIENT_ID": acumatica.client_id,
        "ACUMATICA_CLIENT_SECRET": acumatica.client_secret,
        "ACUMATICA_USERNAME": acumatica.username,
        "ACUMATICA_PASSWORD": acumatica.password,
    }
