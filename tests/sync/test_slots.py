"""The slots of the session budget: what is taken, what nobody looks after, and when a failing sign-in is tried again."""

import json
from dataclasses import replace

import pytest

from handlers.sync.slots import (
    Adopt,
    Breaker,
    Free,
    Open,
    SignIn,
    SigningIn,
    Slot,
    Wait,
    breaker_from_state,
    breaker_to_state,
    choose,
    neglected,
    slot_from_state,
    slot_to_state,
)

NOW, LINGER = 1000.0, 20.0
FREE = Free()
GIVEN_BACK = Open(until=0.0, used=NOW - 5, credentials={"cookies": {"a": "b"}, "expires": None})
LEASED = replace(GIVEN_BACK, until=NOW + 30)
EXPIRED = replace(GIVEN_BACK, until=NOW)
RESTING = replace(GIVEN_BACK, rests_until=NOW + 300)
RESTED = replace(GIVEN_BACK, rests_until=NOW)
BLOCKED, UNBLOCKED = SigningIn(NOW + 700), SigningIn(NOW)
IDLE = replace(GIVEN_BACK, used=NOW - LINGER)


@pytest.mark.parametrize(
    ("slots", "wanted"),
    [
        ([FREE], SignIn("0")),
        ([UNBLOCKED], SignIn("0")),
        ([GIVEN_BACK], Adopt("0", GIVEN_BACK)),
        ([EXPIRED], Adopt("0", EXPIRED)),
        ([RESTED], Adopt("0", RESTED)),
        ([FREE, UNBLOCKED, EXPIRED, GIVEN_BACK], Adopt("2", EXPIRED)),
        ([LEASED, RESTING, BLOCKED, FREE], SignIn("3")),
        ([LEASED, RESTING, BLOCKED, UNBLOCKED, FREE], SignIn("3")),
        ([LEASED], Wait(0.0)),
        ([LEASED, BLOCKED, RESTING], Wait(0.0)),
        ([BLOCKED], Wait(NOW + 700)),
        ([RESTING], Wait(NOW + 300)),
        ([replace(RESTING, until=NOW + 30)], Wait(NOW + 300)),
        ([BLOCKED, RESTING], Wait(NOW + 300)),
        ([], Wait(NOW)),
    ],
    ids=str,
)
def test_what_somebody_does_who_wants_a_session(slots: list[Slot], wanted: Adopt | SignIn | Wait) -> None:
    """Adopt before signing in; leave alone what is leased, blocked, or busy with a request that nobody waits for."""
    assert choose({str(n): slot for n, slot in enumerate(slots)}, NOW) == wanted


@pytest.mark.parametrize(
    ("slot", "wanted"),
    [
        (FREE, False),
        (BLOCKED, False),
        (UNBLOCKED, True),
        (GIVEN_BACK, False),
        (IDLE, True),
        (replace(IDLE, until=NOW + 1), False),
        (replace(IDLE, until=NOW), True),
        (replace(IDLE, rests_until=NOW + 1), False),
    ],
    ids=str,
)
def test_what_the_upkeep_ends(slot: Slot, wanted: bool) -> None:
    assert neglected(slot, NOW, LINGER) is wanted


@pytest.mark.parametrize(
    ("refused", "pauses"),
    [
        (False, [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]),
        (True, [300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]),
    ],
)
def test_the_pause_between_tries_of_a_failing_sign_in_grows(refused: bool, pauses: list[float]) -> None:
    breaker, now, seen = Breaker(), NOW, []
    for _ in pauses:
        breaker = breaker.failed(now, "because", refused=refused)
        seen.append(breaker.until - now)
        now = breaker.until
    assert seen == pauses
    assert (breaker.failures, breaker.reason, breaker.refused, breaker.closed) == (len(pauses), "because", refused, False)
    for _ in range(2000):
        breaker = breaker.failed(now, "x" * 5000, refused=refused)
    assert (breaker.interval, len(breaker.reason)) == (pauses[-1], 1000)


def test_one_try_per_interval_goes_through() -> None:
    """Whoever saves the probing state is the one; for the others the interval has begun anew."""
    breaker = Breaker().failed(NOW, "because", refused=False)
    assert breaker.probing(NOW + 4.9) is None
    probing = breaker.probing(NOW + 5)
    assert probing == replace(breaker, until=NOW + 10)
    assert probing.probing(NOW + 9.9) is None
    assert Breaker().closed


@pytest.mark.parametrize("slot", [FREE, BLOCKED, LEASED, RESTING], ids=str)
def test_what_is_stored_is_read(slot: Slot) -> None:
    assert slot_from_state(json.loads(json.dumps(slot_to_state(slot)))) == slot
    with pytest.raises(ValueError, match="version 2"):
        slot_from_state(slot_to_state(slot) | {"v": 2})


def test_a_stored_breaker_is_read() -> None:
    breaker = Breaker().failed(NOW, "because", refused=True)
    assert breaker_from_state(json.loads(json.dumps(breaker_to_state(breaker)))) == breaker


def test_credentials_are_never_shown() -> None:
    assert "cookies" not in repr(GIVEN_BACK)
