"""Tests in a browser are left out where there is none, and the last lines of pytest say so."""

import pytest

from local.browser import AXE, find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave them out without a browser."""
    missing = _missing()
    for item in items:
        if missing and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason=missing))


def _missing() -> str:
    if not find():
        return "no Chromium on the PATH (CHROMIUM=/path/to/chromium names one)"
    return "" if AXE.exists() else "axe-core is not installed (make setup)"
