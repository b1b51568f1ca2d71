"""Session slots on Azurite."""

import pytest

from handlers.clients.storage import Storage
from tests.clients.storage import Proxy


def test_slots(app: Storage) -> None:
    """Saved conditionally; a save that is repeated counts as saved."""
    assert app.slots.load("0") == ({}, None)
    assert app.slots.all() == {}
    free = {"state": "free", "until": 1.5}
    first = app.slots.save("0", free, None)
    assert first is not None
    assert app.slots.load("0") == (free, first)
    second = app.slots.save("0", {"state": "open", "token": "x" * 50_000}, first)
    assert app.slots.save("0", {"state": "signing-in"}, first) is None
    assert app.slots.save("0", {"state": "signing-in"}, None) is None
    assert app.slots.save("0", {"state": "open", "token": "x" * 50_000}, first) == second
    third = app.slots.save("gate", free, None)
    assert app.slots.all() == {"0": ({"state": "open", "token": "x" * 50_000}, second), "gate": (free, third)}


@pytest.mark.parametrize("fault", ["lost", "cut"])
@pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
def test_a_slot_without_an_answer(behind: Storage, proxy: Proxy, there: bool, fault: str) -> None:
    """Is ours exactly if it says so."""
    etag = behind.slots.save("0", {"state": "free"}, None) if there else None
    proxy.faults = {len(proxy.seen) + 1: fault}
    saved = behind.slots.save("0", {"state": "signing-in", "by": "me"}, etag)
    state, stored_etag = behind.slots.load("0")
    if state == {"state": "signing-in", "by": "me"}:
        assert saved == stored_etag is not None
    else:
        assert saved is None
        assert fault == "cut"
