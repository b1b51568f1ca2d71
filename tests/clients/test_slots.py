"""Session slots, and the circuit breaker of sign-ins, on Azurite."""

from dataclasses import replace

import pytest

from handlers.clients.storage import Storage
from handlers.sync.slots import Breaker, Free, Open, SigningIn, Slot
from tests.clients.storage import UNICODE, Proxy

OPEN = Open(5.5, 4.25, {"cookies": {"a": "x" * 50_000}, "token": UNICODE, "expires": 7.5}, rests_until=3.0)


@pytest.mark.parametrize(
    "slot", [Free(), SigningIn(1.5), OPEN, replace(OPEN, credentials={})], ids=["free", "signing in", "open", "bare"]
)
def test_slots(app: Storage, slot: Slot) -> None:
    """Saved conditionally; a save that is repeated counts as saved."""
    assert app.slots.load("0") == (Free(), None)
    assert app.slots.all() == {}
    first = app.slots.save("0", slot, None)
    assert first is not None
    assert app.slots.load("0") == (slot, first)
    second = app.slots.save("0", SigningIn(9.0), first)
    assert app.slots.save("0", Free(), first) is None
    assert app.slots.save("0", Free(), None) is None
    assert app.slots.save("0", SigningIn(9.0), first) == second
    third = app.slots.save("1", slot, None)
    assert app.slots.all() == {"0": (SigningIn(9.0), second), "1": (slot, third)}


def test_the_circuit_breaker_of_sign_ins(app: Storage) -> None:
    """Closed until it was opened; it is no slot."""
    assert app.slots.load_breaker() == (Breaker(), None)
    breaker = Breaker().failed(1.5, UNICODE, refused=True)
    etag = app.slots.save_breaker(breaker, None)
    assert app.slots.load_breaker() == (breaker, etag)
    assert app.slots.save_breaker(Breaker(), None) is None
    assert app.slots.save_breaker(Breaker(), etag)
    assert app.slots.all() == {}


@pytest.mark.parametrize("fault", ["lost", "cut"])
@pytest.mark.parametrize("there", [False, True], ids=["insert", "update"])
def test_a_slot_without_an_answer(behind: Storage, proxy: Proxy, there: bool, fault: str) -> None:
    """Is ours exactly if it says so."""
    etag = behind.slots.save("0", Free(), None) if there else None
    proxy.faults = {len(proxy.seen) + 1: fault}
    saved = behind.slots.save("0", SigningIn(1.0), etag)
    slot, stored_etag = behind.slots.load("0")
    if slot == SigningIn(1.0):
        assert saved == stored_etag is not None
    else:
        assert saved is None
        assert fault == "cut"
