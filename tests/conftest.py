"""What every test can ask for: storage of its own on one Azurite."""

import os
import signal
from collections.abc import Iterator

import pytest

from local.azurite import Azurite
from local.fakes import FakeAcumatica, FakeGraph
from tests.bench import Bench
from tests.left_out import LeftOut, pytest_addoption
from tests.shared import shared_azurite

__all__ = ["pytest_addoption"]


def pytest_configure(config: pytest.Config) -> None:
    """Leave out the tests of unchanged tools; let what tests start end with Ctrl-C."""
    config.pluginmanager.register(LeftOut(config))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job that a script has put into the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Start one Azurite for all tests, or use that of another worker of this run; its data live in memory."""
    own = tmp_path_factory.getbasetemp()
    with shared_azurite(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as running:
        yield running


@pytest.fixture
def storage(azurite: Azurite) -> str:
    """Return the connection string of a storage account that no other test uses."""
    return azurite.new_account()


@pytest.fixture
def bench(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The app without a host, the fakes, and one record."""
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        bench = Bench(storage, graph, acumatica)
        yield bench
        bench.factory.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out is said in the last lines, whatever the verbosity."""
    left_out = [report for report in terminalreporter.stats.get("skipped", []) if "browser" in report.keywords]
    if left_out:
        reason = str(left_out[0].longrepr[2] if isinstance(left_out[0].longrepr, tuple) else left_out[0].longrepr)
        terminalreporter.write_line(f"NOT RUN: {len(left_out)} tests in a browser. {reason}", yellow=True, bold=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that wait for real time evenly, so that parallel workers share them; begin with the longest."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    slow.sort(key=lambda item: item.name != "test_twenty_kills_leave_no_trace")
    items[:] = [item for item in items if item not in slow]
    for number, item in enumerate(slow):
        items.insert(number * len(items) // len(slow), item)
