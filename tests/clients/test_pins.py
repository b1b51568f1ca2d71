"""Pins on Azurite: what was used once stays."""

import threading
from hashlib import sha256

import pytest
from azure.data.tables import TableServiceClient

from handlers.clients.pins import MAPPINGS
from handlers.clients.storage import Storage
from tests.clients.storage import UNICODE, Proxy


def test_key_columns_are_pinned_at_the_first_use(app: Storage) -> None:
    """Per name, whatever the name holds; later ones learn what they were."""
    assert app.pins.key_columns(UNICODE, ["A", "B"]) == ["A", "B"]
    assert app.pins.key_columns(UNICODE, ["B", "A"]) == ["A", "B"]
    assert app.pins.key_columns("other", [UNICODE]) == [UNICODE]
    assert app.pins.key_columns("other", []) == [UNICODE]


def test_two_instances_pin_at_a_time(app: Storage) -> None:
    """One of them wins, and both know."""
    app.check()
    start = threading.Barrier(4)
    found: list[str] = []

    def pin(column: str) -> None:
        start.wait()
        found.extend(app.pins.key_columns("m", [column]) or [])

    threads = [threading.Thread(target=pin, args=(column,)) for column in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_pin_without_an_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is pinned."""
    proxy.faults = {1: fault}
    assert behind.pins.key_columns("m", ["A"]) == ["A"]
    assert behind.pins.key_columns("m", ["B"]) == ["A"]


def test_another_spelling_of_a_column_is_no_difference(app: Storage) -> None:
    """Acumatica drops blanks and punctuation of captions on the way; rows find their columns either way."""
    assert app.pins.key_columns("m", ["Opportunity ID"]) == ["Opportunity ID"]
    assert app.pins.key_columns("m", ["opportunityID"]) == ["opportunityID"]
    assert app.pins.key_columns("m", ["Opportunity"]) == ["Opportunity ID"]


def test_looking_pins_nothing(app: Storage) -> None:
    assert app.pins.key_columns("m", ["A"], pin=False) is None
    assert app.pins.key_columns("m", ["B"]) == ["B"]
    assert app.pins.company("One", pin=False) is None
    assert app.pins.company("Two") == "Two"


def test_the_tenant_is_pinned_at_the_first_use(app: Storage) -> None:
    """In whatever spelling Acumatica takes for the same."""
    assert app.pins.company("Production") == "Production"
    assert app.pins.company(" production") == " production"
    assert app.pins.company("Test") == "Production"


def test_an_earlier_event_belongs_to_the_link_that_comes_first(app: Storage) -> None:
    """Now and later, and no other link gets it."""
    assert app.pins.adopt("AAMk/=+", "link1")
    assert not app.pins.adopt("AAMk/=+", "link2")
    assert app.pins.adopt("AAMk/=+", "link1")
    assert app.pins.adopt("aamk/=+", "link2"), "ids of events differ in case"


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_an_adoption_without_an_answer(behind: Storage, proxy: Proxy, fault: str) -> None:
    """Is ours."""
    proxy.faults = {1: fault}
    assert behind.pins.adopt("AAMk=", "link1")


def test_what_an_older_version_has_pinned_stays(app: Storage, tables: TableServiceClient) -> None:
    app.check()
    row = sha256(b"m").hexdigest()
    old = {"PartitionKey": "mapping", "RowKey": row, "Name": "m", "Key": '["A"]'}
    tables.get_table_client(MAPPINGS).create_entity(old)
    assert app.pins.key_columns("m", ["B"]) == ["A"]
