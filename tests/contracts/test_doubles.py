"""Doubles take the arguments that the real thing takes."""

import inspect
from typing import Any

import pytest

from handlers.clients.acumatica import Acumatica
from handlers.clients.dead_letters import DeadLetters
from handlers.clients.graph import Graph
from handlers.clients.links import Links
from handlers.clients.notifications import Notifications
from handlers.clients.pins import Pins
from handlers.clients.queue import Queue
from handlers.clients.sessions import Sessions
from handlers.clients.slots import Slots
from handlers.clients.storage import Storage
from tests.laws import memory, outlook, sessions

PAIRS = [
    (memory.Store, Storage),
    (memory.Links, Links),
    (memory.Notifications, Notifications),
    (memory.DeadLetters, DeadLetters),
    (memory.Queue, Queue),
    (memory.Pins, Pins),
    (outlook.Outlook, Graph),
    (outlook.Acumatica, Sessions),
    (sessions.Slots, Slots),
    (sessions.Site, Acumatica),
]


@pytest.mark.parametrize(("double", "real"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_signatures_are_the_same(double: type, real: type) -> None:
    shared = [name for name in vars(double) if not name.startswith("_") and callable(getattr(real, name, None))]
    assert shared
    for name in shared:
        assert shape(getattr(double, name)) == shape(getattr(real, name)), name


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]
