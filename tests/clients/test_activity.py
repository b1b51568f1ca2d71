"""The table of runs on Azurite: numbers of several workers, what is written when, what is found, and how fast."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableClient

from handlers.clients import activity
from handlers.clients.activity import Recorder, first_keys, run_key
from handlers.clients.activity_reading import hours, newest, one, refused_body
from handlers.clients.notifications import ReceivedNotification, kept_keys
from handlers.clients.search import IndexedRow
from handlers.clients.storage import ACTIVITY, Storage
from handlers.environment import load_settings
from handlers.settings import StorageSettings
from handlers.sync.change import RowChange

NOW = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)
HASH = "ab" * 32


@pytest.fixture
def app(storage: str) -> Iterator[Storage]:
    settings = load_settings(StorageSettings, {"AzureWebJobsStorage": storage})
    with closing(Storage(settings, NOW.timestamp)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written but by `flush`."""
    monkeypatch.setattr(Recorder, "_start_writer", lambda _: None)


def recorder(app: Storage) -> Recorder:
    return Recorder(app, NOW.timestamp)


def change(run: str, key: str = "A", sent: float = 0.0) -> RowChange:
    return RowChange("t", "m", (key,), 1, {}, "n1", NOW.timestamp() - sent, run=run)


def received(run: str, moment: datetime = NOW) -> ReceivedNotification:
    return ReceivedNotification(HASH, query="Q", notification="n1", received=moment, rows=3, changes=3, run=run)


def test_numbers_of_several_workers_add_up(app: Storage) -> None:
    """However often each of them writes, and whichever writes first."""
    run, workers = run_key(NOW.timestamp(), HASH), [recorder(app) for _ in range(3)]
    workers[2].applied(change(run, sent=4.0), ["CreateEvent"])
    workers[2].flush()
    workers[0].began(received(run))
    workers[0].queued(run, unidentified=0)
    workers[0].applied(change(run, sent=9.0), ["UpdateEvent"])
    workers[1].deferred(change(run))
    workers[1].failed(change(run))
    for _ in range(2):
        for worker in workers:
            worker.flush()
    workers[2].applied(change(run), None)
    workers[2].flush()
    (found,) = newest(app)
    assert (found.id, found.state, found.received) == (run, "accepted", NOW)
    wanted = {"changed": 2, "unchanged": 1, "deferred": 1, "failed": 1}
    assert {name: found.numbers[name] for name in wanted} == wanted
    assert (found.numbers["seconds"], found.progress) == (9, "failed")
    this = hours(app, NOW)[NOW.replace(minute=0)]
    assert (this["applied"], this["failed"], this["notifications"]) == (2, 1, 1)


def test_a_run_whose_intake_was_killed_is_there_all_the_same(app: Storage) -> None:
    worker = recorder(app)
    run = run_key(NOW.timestamp(), HASH)
    worker.applied(change(run), ["CreateEvent"])
    worker.flush()
    assert (newest(app)[0].id, newest(app)[0].notification) == (run, "n1")


def test_a_duplicate_is_counted_at_the_run_of_the_first(app: Storage) -> None:
    worker, run = recorder(app), run_key(NOW.timestamp(), HASH)
    app.notifications.begin(replace(received(run), keys=kept_keys([change(run)])))
    worker.began(received(run))
    for _ in range(4):
        worker.duplicate(HASH)
    worker.duplicate("cd" * 32)
    worker.flush()
    found = one(app, run)
    assert found
    assert found.numbers["duplicates"] == 4


def test_the_same_refusal_within_a_minute_is_one_run(app: Storage) -> None:
    worker = recorder(app)
    for n in range(20):
        worker.rejected(NOW.timestamp() + n, 400, ["Query 'X' has no mapping."], b"{}")
    worker.rejected(NOW.timestamp(), 413, ["too large"], b"{}")
    worker.rejected(NOW.timestamp() + 60, 400, ["Query 'X' has no mapping."], b"{}")
    found = newest(app, which="rejected")
    assert sorted(run.numbers["times"] for run in found) == [1, 1, 20]
    assert {run.progress for run in found} == {"rejected"}


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"Query": "X", "Inserted": []}', '{"Query": "X", "Inserted": []}'),
        (b"\xff", "\ufffd"),
        (b"", ""),
        ("ä".encode() * 90_000, "ä" * 90_000),
        (b"x" * 200_001, None),
    ],
    ids=["small", "no text", "empty", "several properties", "too large"],
)
def test_what_a_refused_request_held_is_kept_once(app: Storage, body: bytes, kept: str | None) -> None:
    worker = recorder(app)
    worker.rejected(NOW.timestamp(), 400, ["wrong"], body)
    worker.rejected(NOW.timestamp() + 1, 400, ["wrong"], b"another")
    (run,) = newest(app)
    assert refused_body(app, run.id) == kept
    assert (run.bytes, run.numbers["times"]) == (7, 2)


def test_what_refused_requests_held_is_forgotten_after_a_week(storage: str) -> None:
    """Whatever RETENTION_DAYS is: it may hold anybody's appointments."""
    settings = load_settings(StorageSettings, {"AzureWebJobsStorage": storage})
    long_ago = datetime.now(UTC) - timedelta(days=300)
    for days, there in ((6.9, True), (7.1, False)):
        later = datetime.now(UTC) + timedelta(days=days)
        with closing(Storage(settings, later.timestamp)) as opened:
            worker = recorder(opened)
            worker.rejected(NOW.timestamp(), 400, ["wrong"], b"{}")
            (run,) = newest(opened)
            opened.purge(long_ago)
            assert (refused_body(opened, run.id) == "{}", len(newest(opened))) == (there, 1)


def test_of_a_flood_of_refusals_few_bodies_are_kept(app: Storage) -> None:
    worker = recorder(app)
    for n in range(30):
        worker.rejected(NOW.timestamp(), 400, [f"wrong {n}"], b"{}")
    assert sum(refused_body(app, run.id) is not None for run in newest(app)) == 20


def test_what_a_refused_request_held_is_told_to_no_log(app: Storage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="handlers")
    recorder(app).rejected(NOW.timestamp(), 400, ["wrong"], b'{"Subject": "secret"}')
    assert "secret" not in caplog.text


def test_what_cannot_be_written_now_is_written_later(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, run = recorder(app), run_key(NOW.timestamp(), HASH)
    worker.began(received(run))
    with monkeypatch.context() as patch:

        def away(*_: Any, **__: Any) -> None:
            raise ServiceRequestError("away")

        patch.setattr(TableClient, "upsert_entity", away)
        patch.setattr(TableClient, "submit_transaction", away)
        worker.flush()
        worker.queued(run, unidentified=1)
        worker.flush()
    worker.flush()
    found = one(app, run)
    assert found
    assert (found.state, found.query, found.numbers["failed"]) == ("accepted", "Q", 1)


def test_one_that_cannot_be_stored_keeps_no_other_from_it(app: Storage) -> None:
    worker = recorder(app)
    for n in range(3):
        worker._note(run_key(NOW.timestamp() + n, HASH), {"Query": "x" * 40_000 if n == 1 else "Q"})
    worker.flush()
    assert [run.query for run in newest(app)] == ["Q", "Q"]


def test_the_newest_come_first_and_the_older_ones_page_by_page(app: Storage) -> None:
    worker = recorder(app)
    for n in range(120):
        run = run_key(NOW.timestamp() + n, HASH)
        worker.began(received(run, NOW + timedelta(seconds=n)))
        if n % 10 == 0:
            worker.failed(change(run, sent=-float(n)))
    worker.person("discarded", "me")
    worker.flush()
    first = newest(app, limit=50)
    second = newest(app, before=first[-1].id, limit=50)
    assert [run.received for run in first] == sorted((run.received for run in first), reverse=True)
    assert (len(first), len(second), first[-1].received > second[0].received) == (50, 50, True)
    assert len(newest(app, which="failed")) == 12
    assert [run.by for run in newest(app, which="people")] == ["me"]


def test_fifty_runs_are_one_request(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = recorder(app)
    for n in range(130):
        worker.began(received(run_key(NOW.timestamp() + n, HASH)))
    worker.flush()
    requests = []
    send = app._session.request

    def counted(*arguments: Any, **options: Any) -> Any:
        requests.append(arguments)
        return send(*arguments, **options)

    monkeypatch.setattr(app._session, "request", counted)
    assert len(newest(app)) == 50
    assert len(requests) == 1


@pytest.mark.parametrize(("rows", "most"), [(10, 0.5), (1, 2.0)])
def test_what_records_cost(app: Storage, monkeypatch: pytest.MonkeyPatch, rows: int, most: float) -> None:
    """Table operations for each row, at worst: where so little comes that each notification is written by itself, twice."""
    written = []
    for name in ("upsert_entity", "submit_transaction"):
        monkeypatch.setattr(TableClient, name, lambda *_, **__: written.append(1))
    worker = recorder(app)
    for n in range(10):
        run = run_key(NOW.timestamp() + n, HASH)
        worker.began(received(run))
        worker.queued(run, unidentified=0)
        worker.flush()
        for key in range(rows):
            worker.applied(change(run, str(key)), ["CreateEvent"])
            worker.indexed(IndexedRow(f"{n}{key}", "m", (str(key),)))
        worker.flush()
    assert len(written) / (10 * rows) <= most


def test_under_load_many_runs_are_one_operation(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(TableClient, "submit_transaction", lambda _, operations: written.append(len(operations)))
    worker = recorder(app)
    for n in range(198):
        run = run_key(NOW.timestamp() + n, HASH)
        worker.began(received(run))
        worker.applied(change(run), None)
    worker.flush()
    assert written == [100, 99]


def test_a_worker_writes_by_itself_and_the_rest_at_its_end(app: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(activity, "FLUSH_SECONDS", 0.05)
    worker = recorder(app)
    worker.began(received(run_key(NOW.timestamp(), HASH)))
    deadline = time.monotonic() + 10
    while not newest(app) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(newest(app)) == 1
    worker.began(received(run_key(NOW.timestamp() + 1, HASH)))
    worker.close()
    assert len(newest(app)) == 2
    for thread in threading.enumerate():
        if thread.name == "runs":
            thread.join(5)


def test_runs_are_forgotten_with_the_rest(app: Storage) -> None:
    worker = recorder(app)
    worker.began(received(run_key(NOW.timestamp(), HASH)))
    worker.flush()
    assert app.purge(datetime.now(UTC) + timedelta(minutes=5))[ACTIVITY] == 1
    assert newest(app) == []


def test_a_recorder_without_storage_remembers_nothing() -> None:
    worker = Recorder()
    worker.began(received("r1"))
    worker.duplicate(HASH)
    worker.close()


def test_the_first_rows_are_named() -> None:
    some = [change("", key) for key in ("A", "A", "B", "C", "D")]
    assert (first_keys(some), first_keys(some[:2])) == ("A; B; C …", "A")


def test_at_exit_nothing_is_lost_although_there_are_no_threads_any_more(storage: str) -> None:
    """As Azure's worker ends: from an exit handler, when the SDK can send no transaction."""
    code = (
        "import atexit, sys\n"
        "from handlers.clients.notifications import ReceivedNotification\n"
        "from handlers.services import Factory\n"
        "factory = Factory({'AzureWebJobsStorage': sys.argv[1]})\n"
        "atexit.register(factory.close)\n"
        "[factory.activity().began(ReceivedNotification('a', run=f'r{n:013}-a')) for n in range(3)]\n"
    )
    done = subprocess.run([sys.executable, "-c", code, storage], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    settings = load_settings(StorageSettings, {"AzureWebJobsStorage": storage})
    with closing(Storage(settings)) as opened:
        assert len(newest(opened)) == 3
