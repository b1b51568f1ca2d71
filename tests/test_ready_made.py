"""The ready-made mappings: each turns its notification into exactly the requests that are written down beside it."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.console import main
from handlers.operations.preview import PreviewedRow, preview
from handlers.services import load_mappings
from handlers.sync.event import CalendarEvent
from handlers.sync.notification import parse_notification
from handlers.sync.scope import Scope
from local import sample

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / sample.NOTIFICATIONS
MAPPINGS = load_mappings(ROOT / "ready-made")
NAMES = [
    "appointment",
    "case-follow-up",
    "contract-renewal",
    "crm-event",
    "crm-task",
    "equipment-maintenance",
    "opportunity-meetings",
    "project-task",
    "sales-order-shipment",
    "time-off",
]


def previewed(name: str, **columns: Any) -> list[PreviewedRow]:
    """What a fixture leads to, with columns of its inserted rows changed."""
    data = sample.notification(name)
    data["Inserted"] = [row | columns for row in data["Inserted"]]
    queries = [mapping.query for mapping in MAPPINGS.values()]
    body = json.dumps(data).encode()
    notification = parse_notification(body, company="Production", queries=queries, now=datetime.now(UTC))
    return preview(notification, MAPPINGS, Scope("https://ACUMATICA_URL"))


def test_each_has_a_fixture_and_what_is_expected_of_it() -> None:
    assert sorted(MAPPINGS) == NAMES
    assert {path.name for path in FIXTURES.iterdir()} == {
        f"{name}.{kind}.json" for name in NAMES for kind in ("notification", "expected")
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_requests_are_exactly_these(name: str) -> None:
    expected = json.loads((FIXTURES / f"{name}.expected.json").read_text(encoding="utf-8"))
    rows = previewed(name)
    assert [row.mapping for row in rows] == [name] * len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        event, *others = row.steps
        assert (row.problem, event.effect in {"CreateEvent", "UpdateEvent"}) == ("", True)
        own = ("transactionId", "singleValueExtendedProperties")  # the stamp, not the mapping's doing
        sent = {key: value for key, value in (event.body or {}).items() if key not in own}
        assert (event.mailbox, sent) == (wanted["mailbox"], wanted["event"])
        if wanted["write_back"] is None:  # an update: the record knows its event; or nobody needs its id
            assert others == []
        else:
            (write_back,) = others
            assert write_back.body == wanted["write_back"]
            address, _, asked = write_back.request.partition("?")
            assert address == f"PUT https://ACUMATICA_URL/entity/{wanted['record']}"
            assert asked.startswith(("$custom=", "$expand="))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_alone_in_a_folder_can_be_previewed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / f"ready-made/{name}.toml", tmp_path)
    assert main(["preview", str(FIXTURES / f"{name}.notification.json"), "--mappings", str(tmp_path)]) == 0
    assert f"\n{name}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("appointment", {"Status": "Canceled"}),
        ("appointment", {"StaffEmail": None}),
        ("case-follow-up", {"Status": "Closed"}),
        ("case-follow-up", {"Status": "released"}),
        ("case-follow-up", {"FollowUp": None}),
        ("crm-event", {"Status": "Canceled"}),
        ("crm-task", {"Status": "Completed"}),
        ("crm-task", {"DueDate": None}),
        ("project-task", {"Status": "Completed"}),
        ("project-task", {"ApproverEmail": ""}),
        ("contract-renewal", {"Status": "Expired"}),
        ("contract-renewal", {"ExpirationDate": None}),
        ("equipment-maintenance", {"NextMaintenance": None}),
        ("sales-order-shipment", {"Status": "Completed"}),
        ("sales-order-shipment", {"ShipDate": None}),
        ("time-off", {"Status": "Pending"}),
    ],
)
def test_what_does_not_belong_into_the_calendar_stays_out(name: str, columns: dict[str, Any]) -> None:
    rows = previewed(name, **columns)
    assert [(row.problem, row.wanted, row.steps) for row in rows] == [("", None, [])] * len(rows)


@pytest.mark.parametrize(
    ("name", "columns", "shown"),
    [
        ("appointment", {"Confirmed": False}, {"showAs": "tentative"}),
        ("appointment", {"ScheduledEndDate": None}, {"end": "2026-03-09T09:00:00"}),
        ("appointment", {"ScheduledStartTime": "8:15 AM"}, {"start": "2026-03-09T08:15:00"}),
        ("case-follow-up", {"Priority": "High"}, {"importance": "high"}),
        ("case-follow-up", {"Priority": "Urgent"}, {"importance": "normal"}),
        ("crm-event", {"ShowAs": "Busy"}, {"showAs": "busy"}),
        ("crm-event", {"ShowAs": "A label nobody knows"}, {"showAs": "busy"}),
        ("crm-task", {"Priority": None}, {"importance": "normal"}),
        ("project-task", {"Status": "Active"}, {"showAs": "free"}),
        ("contract-renewal", {"ExpirationDate": "2026-03-15T00:00:00"}, {"start": "2026-02-13T00:00:00"}),
        ("equipment-maintenance", {"NextMaintenance": "2026-05-04T13:45:00"}, {"end": "2026-05-04T10:00:00"}),
        ("sales-order-shipment", {"Status": "Shipping"}, {"showAs": "free"}),
        ("sales-order-shipment", {"Status": "on hold"}, {"showAs": "tentative"}),
        ("time-off", {"LastDay": None}, {"end": "2026-03-24T00:00:00", "showAs": "oof"}),
    ],
)
def test_other_values_of_a_column_are_shown_as_they_should_be(
    name: str, columns: dict[str, Any], shown: dict[str, Any]
) -> None:
    for row in previewed(name, **columns):
        assert isinstance(row.wanted, CalendarEvent), row.problem
        body = row.wanted.body
        seen = {key: body[key]["dateTime"] if key in {"start", "end"} else body[key] for key in shown}
        assert seen == shown


@pytest.mark.parametrize("name", NAMES)
def test_they_keep_what_is_over(name: str) -> None:
    """Nobody's calendar loses its past because a record was completed."""
    assert MAPPINGS[name].on.past == "keep"
