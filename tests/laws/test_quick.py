"""What makes a long search quicker leaves every story as it is."""

import dataclasses
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest

from tests.laws import quick
from tests.laws.simulation import Simulation
from tests.laws.story import PLOTS, tell


def lived(seed: int, plot: str) -> Any:
    """How a story went and ended."""
    sim = Simulation(tell(seed, PLOTS[plot]))
    sim.run()
    return sim.scheduler.log, sim.events, sim.records, sim.calls, sim.bugs


@pytest.mark.parametrize("plot", ["any", "all", "swept", "killed", "watched"])
def test_every_story_is_the_same(plot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [lived(seed, plot) for seed in range(8)]
    quick.install(monkeypatch)
    assert [lived(seed, plot) for seed in range(8)] == plain


@dataclass(frozen=True)
class Named:
    name: str
    count: int = 0

    @cached_property
    def loud(self) -> str:
        return self.name.upper()


def test_a_copy_has_no_property_that_was_cached_before(monkeypatch: pytest.MonkeyPatch) -> None:
    quick.install(monkeypatch)
    one = Named("a", 1)
    assert one.loud == "A"
    other = replace(one, name="b")
    assert (other, other.loud, one) == (Named("b", 1), "B", Named("a", 1))
    with pytest.raises(TypeError):
        dataclasses.replace(one, unknown=1)  # type: ignore[call-arg]
