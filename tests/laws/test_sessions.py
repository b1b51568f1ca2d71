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
from handlers.clients.sessions import Sessions
from handlers.sync.slots import choose, neglected
from tests.laws.ablation import without
from tests.laws.sessions import CALLS, Traffic, explained, simulate, tell, unchanged

BLOCK = 150


@dataclass(frozen=True)
class Ablation:
    """As in test_ablations; `kinds` and `calls` narrow what goes wrong."""

    rule: str
    function: Any
    old: str
    new: str
    calls: tuple[str, ...] = CALLS
    first: int = 0

    def __str__(self) -> str:
        return self.rule.replace(" ", "-")


ABLATIONS = [
    Ablation(
        "signing-in blocks its slot",
        choose,
        "isinstance(slot, SigningIn) and slot.until <= now",
        "isinstance(slot, SigningIn)",
        ("sign-in", "save slot"),
    ),
    Ablation(
        "... for as long as the site keeps the session",
        AcumaticaSignIn.open,
        "+ self._settings.abandoned_seconds",
        "",
        ("sign-in",),
    ),
    Ablation("one request at a time", Sessions._acquire, "if not held.busy and held", "if held"),
    Ablation(
        "a lease in use is renewed",
        Sessions._renew,
        "self._slots.save(held.name, renewed, held.etag)",
        "held.etag",
        ("PUT", "answer"),
    ),
    Ablation("an expired lease is adopted", neglected, "return slot.available(now) and", "return slot.until == 0.0 and"),
    Ablation("an idle session is signed out", neglected, "return slot.available(now) and", "return False and"),
    Ablation("saves of a slot are conditional", unchanged, "known == etag", "True"),
    Ablation(
        "a session rests after an unanswered request", Sessions.use, "rests_until=deadline", "rests_until=0.0", ("PUT",)
    ),
    Ablation(
        "sign out, then free",
        Sessions._sign_out,
        "self._acumatica.sign_out(held.slot.credentials)",
        "self._give_back(held, Free()); self._acumatica.sign_out(held.slot.credentials)",
    ),
    Ablation("no sign-in while the breaker is open", AcumaticaSignIn._pass_breaker, "if breaker.closed:", "if True:"),
    Ablation(
        "the breaker opens before the slot is free",
        AcumaticaSignIn._open_breaker,
        "failed = breaker",
        'self._slots.save("0", Free(), self._slots.all()["0"][1]); failed = breaker',
    ),
]


@pytest.mark.parametrize("block", range(4))
def test_the_budget_holds_and_nothing_is_left_open(block: int) -> None:
    """Several processes, death of one at any step, lost answers, pauses longer than a lease, storage away, shutdown."""
    for seed in range(block * BLOCK, block * BLOCK + BLOCK):
        traffic = tell(seed)
        assert simulate(traffic) == [], f"seed {seed}{explained(traffic)}"


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_without_a_rule_a_law_fails(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation.function, "__code__", without(ablation.function, ablation.old, ablation.new))
    seeds = (*range(ablation.first, 1500), *range(ablation.first))
    broken = next((seed for seed in seeds if simulate(tell(seed, calls=ablation.calls))), None)
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
