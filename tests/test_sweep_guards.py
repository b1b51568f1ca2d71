"""What a sweep must not do to events that are there, whatever was edited, renamed or mistaken meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handlers.sync.errors import Code
from local.fakes import FakeAcumatica, FakeGraph
from tests.sweeping import Sweeping


@pytest.fixture
def swept(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        bench = Sweeping(storage, graph, acumatica, tmp_path, SWEEP_PAGE_ROWS="10", REMOVALS_MAX="5")
        yield bench
        bench.factory.close()


def names(count: int) -> list[str]:
    return [f"K{n:03}" for n in range(count)]


def known(swept: Sweeping, count: int) -> None:
    """Rows that are in the calendar, since an hour."""
    swept.save(*names(count))
    swept.sweep()
    swept.later()
    assert len(swept.subjects()) == count


def edited(swept: Sweeping, old: str, new: str, mode: str = "full") -> None:
    """The mapping file is another one from now on."""
    change: Callable[[str], str] = lambda text: text.replace(old, new, 1)  # noqa: E731
    swept.edit(mode, change=change)
    swept.reconfigure()


# -- what an event's identity is made of -------------------------------------------------------------------------------


def test_a_tenant_of_another_name_makes_no_event_twice(swept: Sweeping) -> None:
    known(swept, 3)
    swept.acumatica.tenant = "Renamed"
    swept.reconfigure(ACUMATICA_TENANT="Renamed")
    done = swept.sweep()
    assert (done.code, "ACUMATICA_TENANT_FORMERLY" in done.reason, done.plan.upserts) == (Code.NOT_READY, True, 0)
    assert len(swept.subjects()) == 3


def test_other_key_columns_make_no_event_twice(swept: Sweeping) -> None:
    known(swept, 3)
    edited(swept, 'key = ["OpportunityID"]', 'key = ["NoteID"]')
    done = swept.sweep()
    assert (done.code, "OpportunityID was used" in done.reason, done.plan.upserts) == (Code.NOT_READY, True, 0)
    assert len(swept.subjects()) == 3
