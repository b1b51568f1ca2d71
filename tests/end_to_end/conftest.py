"""The whole app on this machine, with everything that takes minutes in production shortened to seconds."""

from collections.abc import Iterator
from typing import Any

import pytest

from local.azurite import Azurite
from local.world import World

QUICK = {
    "ACUMATICA_LEASE_SECONDS": "2",
    "ACUMATICA_LINGER_SECONDS": "0.3",
    "ACUMATICA_SESSION_TIMEOUT_SECONDS": "4",
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.1",
    "CLAIM_SECONDS": "5",
    "ACUMATICA_LATE_SECONDS": "5",
    "DELETE_GRACE_SECONDS": "1",
    "REQUEST_TIMEOUT_SECONDS": "1",
}


def new_world(connection: str, settings: dict[str, str] | None = None, **options: Any) -> World:
    """A world with quick settings."""
    return World(connection, QUICK | (settings or {}), fetch_visibility=3, **options)


@pytest.fixture(scope="module")
def world(azurite: Azurite) -> Iterator[World]:
    """One app for all tests of a module; each test has rows of its own, and the judge always looks at all of them."""
    with new_world(azurite.new_account(), echo=True) as running:
        yield running
