"""The real code on simulated time, under seeded schedules: whatever happens, it converges."""

import logging
from collections.abc import Iterator

import pytest

from tests.laws.simulation import Odds, simulate

CALM, ROUGH, PAUSED = Odds(0, 0, 0), Odds(), Odds(pause=0.04)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("odds", [CALM, ROUGH, PAUSED], ids=["calm", "rough", "with pauses"])
@pytest.mark.parametrize("block", range(4))
def test_every_schedule_converges(odds: Odds, block: int) -> None:
    """Duplicates, any order, three workers, death before and after any step, lost and late answers, refusals, echo."""
    for seed in range(block * 50, block * 50 + 50):
        assert simulate(seed, odds) == [], f"seed {seed}"


def test_a_repair_during_the_successors_claim_is_not_forgotten() -> None:
    """Found by seed: the late event of a worker that had lost its claim came after its successor had looked for it."""
    assert simulate(8062, PAUSED) == []
