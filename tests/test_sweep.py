"""Sweeps on real storage, with the fakes: what a lost notification, an existing row and an emptied inquiry lead to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.fakes import FakeAcumatica, FakeGraph
from tests.sweeping import Sweeping


@pytest.fixture
def swept(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        bench = Sweeping(storage, graph, acumatica, tmp_path, SWEEP_PAGE_ROWS="10")
        yield bench
        bench.factory.close()


def test_rows_that_no_notification_told_of_get_their_events(swept: Sweeping) -> None:
    swept.save("A", "B", "C")
    done = swept.sweep()
    assert (done.code, done.plan.read, done.plan.upserts, done.plan.complete) == ("", 3, 3, True)
    assert sorted(swept.subjects()) == ["Visit for A", "Visit for B", "Visit for C"]


def test_rows_that_are_equal_cost_neither_a_write_nor_a_call(swept: Sweeping) -> None:
    swept.save(*(f"K{n:02}" for n in range(25)))
    swept.sweep()
    swept.now += 3600
    calls = len(swept.graph.calls)
    done = swept.sweep()
    assert (done.plan.read, done.plan.equal, done.plan.upserts) == (25, 25, 0)
    assert len(swept.graph.calls) == calls
    assert swept.sent() == 0
