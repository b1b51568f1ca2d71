"""What a sweep of many equal rows costs, counted request by request."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from azure.data.tables import TableServiceClient
from urllib3.connectionpool import HTTPConnectionPool

from handlers.clients.links import entity_of
from handlers.sync.link import Column
from local.fakes import FakeAcumatica, FakeGraph
from tests.sweeping import MAPPING, Sweeping

ROWS = 10_000


@contextmanager
def counted(swept: Sweeping) -> Iterator[Counter[str]]:
    """Requests by what they go to: Graph, Acumatica's service, or a table or queue of storage."""
    graph, acumatica = (urlsplit(fake.url).port for fake in (swept.graph, swept.acumatica))
    found: Counter[str] = Counter()
    send = HTTPConnectionPool.urlopen

    def urlopen(pool: HTTPConnectionPool, method: str, url: str, **options: Any) -> Any:
        path = urlsplit(url).path.split("/")
        told = {graph: "graph", acumatica: f"acumatica {'odata' if 'odata' in path else 'other'}"}
        found[told.get(pool.port, f"{method} {path[2].partition('(')[0]}")] += 1
        return send(pool, method, url, **options)

    with patch.object(HTTPConnectionPool, "urlopen", urlopen):
        yield found


def clone(swept: Sweeping, count: int) -> None:
    """Further rows like the one that is known, in the inquiry and among the links."""
    rows, row = swept.inquiry.rows, swept.inquiry.rows["K0"]
    state = swept.row("K0")
    assert state
    assert state.link
    batches: dict[str, list[dict[str, Any]]] = {}
    for key in (f"K{n}" for n in range(1, count)):
        rows[key] = row | {"OpportunityID": key}
        named = Column(state.link.columns["OpportunityID"].timestamp, key)
        link = replace(state.link, row_key=(key,), columns=state.link.columns | {"OpportunityID": named})
        batches.setdefault(link.key[:2], []).append(entity_of(link))
    with TableServiceClient.from_connection_string(swept.connection) as tables:
        table = tables.get_table_client("EventLinks")
        for entities in batches.values():
            table.submit_transaction([("upsert", entity) for entity in entities])


def test_ten_thousand_equal_rows(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """⌈rows / page⌉ reads of the inquiry and one of the list of inquiries; no link is loaded by itself, none is written."""
    with FakeGraph() as graph, FakeAcumatica() as acumatica:
        for name, value in graph.identity_settings.items():
            monkeypatch.setenv(name, value)
        swept = Sweeping(storage, graph, acumatica, tmp_path)
        try:
            swept.save("K0")
            swept.sweep()
            swept.later()
            clone(swept, ROWS)
            with counted(swept) as requests:
                done = swept.sweep()
        finally:
            swept.factory.close()
    assert (done.mapping, done.plan.read, done.plan.equal, done.plan.live) == (MAPPING, ROWS, ROWS, ROWS)
    assert requests["acumatica odata"] == ROWS // 1000 + 1
    assert requests["graph"] == 0
    assert requests["GET EventLinks"] <= 12
    assert {name for name in requests if name.endswith("EventLinks")} == {"GET EventLinks"}
    assert requests["POST row-changes"] == 0
