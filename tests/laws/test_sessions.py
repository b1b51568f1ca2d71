"""Rule 9 on simulated time: the budget holds, one request at a time per session, and nothing is left open in the end.

| Rule switched off                                | Broken law                                   |
|--------------------------------------------------|----------------------------------------------|
| signing-in blocks its slot                       | more sessions are open than the budget       |
| ... for as long as the site keeps the session    | more sessions are open than the budget       |
| one request at a time                            | two requests at a time in a session          |
| a session rests after an unanswered request      | a request beside an abandoned one            |
| a lease in use is renewed                        | two requests at a time in a session          |
| an expired lease is adopted                      | sessions are left open                       |
| an idle session is signed out                    | sessions are left open                       |
| saves of a slot are conditional                  | more sessions, two requests at a time        |
| sign out, then free                              | more sessions are open than the budget       |
| no sign-in while the breaker is open             | more sign-ins with a wrong password          |
| the breaker opens before the slot is free        | more sign-ins with a wrong password          |
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from handlers.clients.acumatica_sign_in import AcumaticaSignIn
from handlers.clients.sessions import Sessions, _Held
from handlers.settings import Settings
from handlers.sync.slots import Free, SigningIn, choose, neglected
from tests.laws.ablation import Switch, instead, within
from tests.laws.sessions import CALLS, LEASE, Traffic, explained, simulate, tell, unchanged

BLOCK = 150


@dataclass(frozen=True)
class SessionAblation:
    """As Ablation, for sessions: `calls` narrows what goes wrong."""

    rule: str
    off: Switch
    calls: tuple[str, ...] = CALLS

    def __str__(self) -> str:
        return self.rule.replace(" ", "-")


def _no_slot_is_blocked(old: Any) -> Any:
    return lambda slots, now: old({n: Free() if isinstance(s, SigningIn) else s for n, s in slots.items()}, now)


def _renewed_in_memory_alone(_: Any) -> Any:
    def renew(self: Sessions, held: Any) -> None:
        held.slot = replace(held.slot, until=self._clock() + LEASE)

    return renew


def _freed_first(old: Any) -> Any:
    def sign_out(self: Sessions, held: Any) -> None:
        self._slots.save(held.name, Free(), held.etag)
        old(self, held)

    return sign_out


def _freed_before_the_breaker_opens(old: Any) -> Any:
    def open_breaker(self: AcumaticaSignIn, *arguments: Any, **options: Any) -> Any:
        self._slots.save("0", Free(), self._slots.all()["0"][1])
        return old(self, *arguments, **options)

    return open_breaker


ABLATIONS = [
    SessionAblation("signing-in blocks its slot", instead(choose, _no_slot_is_blocked), ("sign-in", "save slot")),
    SessionAblation(
        "... for as long as the site keeps the session",
        within(Settings, "abandoned_seconds", lambda _: lambda _self: 0.0),
        ("sign-in",),
    ),
    SessionAblation(
        "one request at a time", within(_Held, "usable", lambda _: lambda self, now: bool(self.slot.until > now))
    ),
    SessionAblation("a lease in use is renewed", within(Sessions, "_renew", _renewed_in_memory_alone), ("PUT", "answer")),
    SessionAblation(
        "an expired lease is adopted",
        instead(neglected, lambda old: lambda slot, *more: old(slot, *more) and not getattr(slot, "until", 0.0)),
    ),
    SessionAblation(
        "an idle session is signed out",
        instead(neglected, lambda old: lambda slot, *more: old(slot, *more) and isinstance(slot, SigningIn)),
    ),
    SessionAblation("saves of a slot are conditional", instead(unchanged, lambda _: lambda *_: True)),
    SessionAblation(
        "a session rests after an unanswered request",
        within(Sessions, "_hand_over", lambda old: lambda self, held, **_: old(self, held)),
        ("PUT",),
    ),
    SessionAblation("sign out, then free", within(Sessions, "_sign_out", _freed_first)),
    SessionAblation(
        "no sign-in while the breaker is open",
        within(AcumaticaSignIn, "_pass_breaker", lambda _: lambda self: self._slots.load_breaker()),
    ),
    SessionAblation(
        "the breaker opens before the slot is free",
        within(AcumaticaSignIn, "_open_breaker", _freed_before_the_breaker_opens),
    ),
]


@pytest.mark.parametrize("block", range(4))
def test_the_budget_holds_and_nothing_is_left_open(block: int) -> None:
    """Several processes, death of one at any step, lost answers, pauses longer than a lease, storage away, shutdown."""
    for seed in range(block * BLOCK, block * BLOCK + BLOCK):
        traffic = tell(seed)
        assert simulate(traffic) == [], f"seed {seed}{explained(traffic)}"


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_without_a_rule_a_law_fails(ablation: SessionAblation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.off(monkeypatch)
    broken = next((seed for seed in range(1500) if simulate(tell(seed, calls=ablation.calls))), None)
    assert broken is not None, "every law held without this rule: it is useless, or unproven"


def test_every_ablation_is_in_the_table() -> None:
    table = {m[1] for m in re.finditer(r"^\| (.+?) +\| \S", __doc__ or "", re.MULTILINE)} - {"Rule switched off"}
    assert table == {ablation.rule for ablation in ABLATIONS}


# -- what was found --------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_tried_once() -> None:
    """Another instance found the slot free before it could see that the breaker is open, and tried the password again."""
    traffic = Traffic(jobs=((6, 0), (7, 2)), switches=((5, 2),), rejected_until=200.0)
    assert simulate(traffic) == [], explained(traffic)
    assert simulate(replace(traffic, switches=((4, 2),))) == []
