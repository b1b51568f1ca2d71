"""The tenant's login name is part of each event's identity: a renamed one has to be said, or nothing is taken in."""

import json
from datetime import UTC, datetime
from typing import Any

from handlers.receive import Answer, receive
from handlers.sync.change import datetime_to_ticks
from tests.bench import QUERY, Bench


def post(bench: Bench, tenant: str, number: int) -> Answer:
    notification: dict[str, Any] = {
        "Inserted": [bench.change(number).row],
        "Deleted": [],
        "Query": QUERY,
        "CompanyId": tenant,
        "Id": f"id-{number}",
        "TimeStamp": datetime_to_ticks(datetime.now(UTC)) + number,
    }
    return receive(json.dumps(notification).encode(), bench.factory)


def test_a_renamed_tenant_is_refused_until_its_former_name_is_given(bench: Bench) -> None:
    assert post(bench, "Production", 1).status == 202
    bench.reconfigure(ACUMATICA_TENANT="Company Ltd")
    answer = post(bench, "Company Ltd", 2)
    assert (answer.status, answer.body["part"]) == (503, "mappings")
    (problem,) = answer.body["problems"]
    assert "ACUMATICA_TENANT_FORMERLY to 'production'" in problem
    bench.reconfigure(ACUMATICA_TENANT="Company Ltd", ACUMATICA_TENANT_FORMERLY="Production")
    assert post(bench, "Company Ltd", 2).status == 202
    assert bench.factory.intake().company == bench.change(1).company  # so rows keep their links, and their events
    assert post(bench, "Production", 3).status == 400
