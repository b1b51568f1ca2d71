"""Storage of a test's own, directly and behind a proxy."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from handlers.clients.queue import QUEUE
from handlers.clients.storage import Storage
from tests.clients.storage import Proxy, open_storage


@pytest.fixture
def app(storage: str) -> Iterator[Storage]:
    with closing(open_storage(storage)) as opened:
        yield opened


@pytest.fixture
def queue(storage: str) -> Iterator[QueueClient]:
    with QueueClient.from_connection_string(storage, QUEUE) as client:
        yield client


@pytest.fixture
def tables(storage: str) -> Iterator[TableServiceClient]:
    with TableServiceClient.from_connection_string(storage) as client:
        yield client


@pytest.fixture
def proxy(storage: str) -> Iterator[Proxy]:
    with closing(Proxy(storage)) as running:
        yield running


@pytest.fixture
def behind(proxy: Proxy) -> Iterator[Storage]:
    """Storage whose tables are reached through the proxy; the connection ends before the proxy does."""
    with closing(open_storage(proxy.connection_string)) as opened:
        opened.check()
        yield opened
