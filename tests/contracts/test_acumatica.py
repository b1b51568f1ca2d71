"""What apply relies on in Acumatica."""

import time
import uuid

import pytest

from handlers.sync.errors import Later, RecordGone
from tests.contracts.conftest import Erp, write_back


def test_a_write_back_can_be_repeated_and_replaced(erp: Erp) -> None:
    deadline = time.time() + 10_000_000_000
    value = uuid.uuid4().hex
    for wanted in (value, value, uuid.uuid4().hex):
        erp.sessions.put(write_back(erp.record, wanted), deadline)


def test_a_record_that_does_not_exist_is_not_made(erp: Erp) -> None:
    if erp.missing is None:
        pytest.skip("the double has every record: stories remove rows, not records")
    for _ in range(2):
        with pytest.raises(RecordGone):
            erp.sessions.put(write_back(erp.missing, "e1"), time.time() + 600)


def test_no_request_starts_that_could_outlive_its_deadline(erp: Erp) -> None:
    with pytest.raises(Later):
        erp.sessions.put(write_back(erp.record, "e1"), 0.0)
