"""Received notifications on Azurite."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from azure.data.tables import TableServiceClient

from handlers.clients.notifications import NOTIFICATIONS, ReceivedNotification, kept_keys
from handlers.clients.storage import Storage
from handlers.sync.change import RowChange
from tests.clients.storage import UNICODE, Proxy, entities

RECEIVED = ReceivedNotification(
    "ab12",
    query=UNICODE.replace("\u0000", ""),
    notification="n1",
    received=datetime(2026, 12, 1, 10, 30, 0, 250_000, tzinfo=UTC),
    timestamp=639055764123456781,
    rows=3,
    changes=2,
    without_key=1,
    run="r1-ab12",
    keys=(("t", "m", ("A", UNICODE)), ("t", "m", ("B", ""))),
)


def test_a_notification_is_receiving_until_it_is_queued(app: Storage, tables: TableServiceClient) -> None:
    """A repetition of one whose intake died is taken in again; a repetition of a finished one is not."""
    assert app.notifications.begin(replace(RECEIVED, key="ab12")) == "receiving"
    assert app.notifications.begin(replace(RECEIVED, key="ab12")) == "receiving"
    app.notifications.mark_queued("ab12")
    assert app.notifications.begin(replace(RECEIVED, key="ab12")) == "queued"
    assert app.notifications.begin(replace(RECEIVED, key="ab13")) == "receiving"
    (first, _) = entities(tables, NOTIFICATIONS)
    assert {name: first[name] for name in ("RowKey", "State", "Rows", "Version")} == {
        "RowKey": "ab12",
        "State": "queued",
        "Rows": 3,
        "Version": 1,
    }
    assert app.notifications.get("ab12") == replace(RECEIVED, state="queued")


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_notification_whose_insert_got_no_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is new, whether or not the insert was carried out."""
    proxy.faults = {1: fault}
    assert behind.notifications.begin(ReceivedNotification("ab12")) == "receiving"
    behind.notifications.mark_queued("ab12")
    assert behind.notifications.begin(ReceivedNotification("ab12")) == "queued"


def test_two_requests_at_a_time(app: Storage) -> None:
    """Both take the notification in: repeated work, none lost."""
    app.check()
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(app.notifications.begin(ReceivedNotification("ab12"))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["receiving"] * 4


def test_what_an_older_version_has_stored_is_read(app: Storage, tables: TableServiceClient) -> None:
    app.check()
    old = {"PartitionKey": "ab", "RowKey": "ab12", "State": "queued", "Rows": 1, "TransactionTimeStamp": "5", "Keys0": "[]"}
    tables.get_table_client(NOTIFICATIONS).create_entity(old)
    assert app.notifications.get("ab12") == ReceivedNotification("ab12", rows=1, timestamp=5, state="queued", version=0)
    assert app.notifications.begin(RECEIVED) == "queued"


def test_keys_of_any_number_and_size_fit_an_entity(app: Storage) -> None:
    """Else the notification could never be taken in."""

    def change(key: str) -> RowChange:
        return RowChange("t", "m", (key,), 1, {}, "n1", 0.0)

    for number, text in enumerate(("x" * 40_000, "😀" * 40_000, "\x00\ud7ff\n" * 1000)):
        received = replace(RECEIVED, key=f"{number}" * 64, keys=kept_keys(change(f"{n}{text}") for n in range(1500)))
        assert app.notifications.begin(received) == "receiving"
        assert received.keys[0] == ("t", "m", (f"0{text}",))
        assert app.notifications.get(received.key) == received
    assert len(kept_keys(change(f"{n}") for n in range(1500))) == 1000
