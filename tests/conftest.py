"""What every test can ask for: storage of its own on one Azurite."""

from collections.abc import Iterator

import pytest

from local.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Start one Azurite for all tests (one per pytest-xdist worker); its data live in memory."""
    with Azurite(accounts=400) as running:
        yield running


@pytest.fixture
def storage(azurite: Azurite) -> str:
    """Return the connection string of a storage account that no other test uses."""
    return azurite.new_account()
