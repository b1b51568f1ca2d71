"""The budget of Acumatica sessions, on real storage and the fake of Acumatica."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from azure.core.exceptions import ServiceRequestError

from handlers.clients.acumatica import Acumatica
from handlers.clients.sessions import Sessions
from handlers.clients.slots import Slots
from handlers.clients.storage import Storage
from handlers.environment import load_settings
from handlers.settings import Settings, StorageSettings
from handlers.sync.errors import Code, Later, OutcomeUnknown
from handlers.sync.record import RecordUpdate
from handlers.sync.slots import Free, Open, SigningIn
from local.fakes import FakeAcumatica, Fault

UPDATE = RecordUpdate("Default/24.200.001/Opportunity", {"OpportunityID": {"value": "A"}})


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def at_work(acumatica: FakeAcumatica, storage: str, clock: Clock) -> Iterator[tuple[Sessions, Storage, Settings]]:
    """Sessions without the thread that looks after them: the tests do that."""
    environ = {
        "ACUMATICA_URL": acumatica.url,
        "ACUMATICA_TENANT": acumatica.tenant,
        "ACUMATICA_AUTH": "cookie",
        "ACUMATICA_USERNAME": acumatica.username,
        "ACUMATICA_PASSWORD": acumatica.password,
        "ACUMATICA_MAX_SESSIONS": "2",
    }
    settings = load_settings(Settings, environ)
    tables = Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": storage}))
    with patch.object(Sessions, "_start_keeper", lambda _: None):
        yield Sessions(Acumatica(settings, clock), tables, settings, clock), tables, settings
    tables.close()


def test_a_slot_stays_blocked_for_as_long_as_its_sign_in_may_have_left_a_session(storage: str) -> None:
    """No answer to it: Acumatica may have carried it out as late as our time-out, and counts from then on."""
    clock = Clock()
    with FakeAcumatica() as acumatica, at_work(acumatica, storage, clock) as (sessions, tables, settings):
        acumatica.faults.add(Fault("reset_after", path="/auth/login"))
        with pytest.raises(Later):
            sessions.put(UPDATE, clock.now + 1000)
        slot, _ = tables.slots.load("0")
    assert slot == SigningIn(clock.now + settings.longest_request_seconds + settings.abandoned_seconds)


def test_a_sign_out_that_fails_keeps_no_other_session_open(storage: str) -> None:
    """Both are idle; storage fails as the first is given back. Its slot is left to the upkeep."""
    clock = Clock()
    with FakeAcumatica(latency=0.3) as acumatica, at_work(acumatica, storage, clock) as (sessions, tables, settings):
        acumatica.put_record("Opportunity", {"OpportunityID": "A", "Subject": "s"})
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: sessions.put(UPDATE, clock.now + 1000), range(2)))
        assert len(acumatica.sessions) == 2
        clock.now += settings.acumatica_linger_seconds
        save, calls = tables.slots.save, []

        def failing(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 1:
                raise ServiceRequestError("away")
            return save(*arguments)

        with patch.object(tables.slots, "save", failing):
            sessions.look_after()
        assert len(acumatica.sessions) == 0
        clock.now += settings.acumatica_lease_seconds
        sessions.upkeep()
        assert [slot for slot, _ in tables.slots.all().values()] == [Free(), Free()]


def test_one_looks_for_a_free_slot_for_all_who_wait(storage: str) -> None:
    """Where other instances have all the sessions, waiting threads must not ask storage over and over, each for itself."""
    clock, looking, go_on = Clock(), threading.Semaphore(0), threading.Event()
    taken = {name: (Open(clock.now + 1000, clock.now, {}), "etag") for name in ("0", "1")}
    looks = 0

    def look(_: Slots) -> Any:
        nonlocal looks
        looks += 1
        looking.release()
        go_on.wait(30)
        clock.now += 100  # nobody waits any longer
        return taken

    with (
        FakeAcumatica() as acumatica,
        at_work(acumatica, storage, clock) as (sessions, _, _),
        patch.object(Slots, "all", look),
        ThreadPoolExecutor(6) as threads,
    ):
        waiting = [threads.submit(sessions.put, UPDATE, clock.now + 1000) for _ in range(6)]
        assert looking.acquire(timeout=30)
        while looks == 1 and len(sessions._changed._waiters) < 5:  # type: ignore[attr-defined]
            time.sleep(0.01)
        go_on.set()
        for each in waiting:
            with pytest.raises(Later) as refused:
                each.result(30)
            assert refused.value.code == Code.SESSIONS_BUSY
    assert looks == 1


def test_nobody_waits_for_ever_on_a_clock_that_was_set_back(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("handlers.clients.sessions._WAIT_SECONDS", 0.1)
    with FakeAcumatica() as acumatica, at_work(acumatica, storage, clock) as (sessions, _, _):
        taken = (Open(clock.now + 1000, clock.now, {}), "etag")
        monkeypatch.setattr(Slots, "all", lambda _: {"0": taken, "1": taken})
        with pytest.raises(Later) as refused:
            sessions.put(UPDATE, clock.now + 1000)
        assert refused.value.code == Code.SESSIONS_BUSY


def test_a_session_rests_while_an_abandoned_request_may_be_running_in_it(storage: str) -> None:
    """No answer to a write: until its claim has expired, no other request is made in its session, not even to sign out."""
    clock = Clock()
    with FakeAcumatica() as acumatica, at_work(acumatica, storage, clock) as (sessions, tables, settings):
        acumatica.put_record("Opportunity", {"OpportunityID": "A", "Subject": "s"})
        acumatica.faults.add(Fault("reset_after", method="PUT", times=1))
        deadline = clock.now + 360
        with pytest.raises(OutcomeUnknown):
            sessions.put(UPDATE, deadline)
        first = acumatica.sessions
        clock.now += 100
        assert sessions.upkeep() == 0
        sessions.put(UPDATE, clock.now + 360)  # in another session
        assert len(acumatica.sessions) == 2
        sessions.look_after()
        clock.now += settings.acumatica_linger_seconds
        sessions.look_after()
        assert acumatica.sessions == first
        clock.now = deadline
        sessions.put(UPDATE, clock.now + 360)
        assert (acumatica.sessions, acumatica.sign_ins) == (first, 2)
        clock.now += settings.acumatica_linger_seconds
        sessions.look_after()
        assert acumatica.sessions == []
        assert [slot for slot, _ in tables.slots.all().values()] == [Free(), Free()]


def test_where_all_sessions_rest_nobody_waits_for_one(storage: str) -> None:
    clock = Clock()
    with FakeAcumatica() as acumatica, at_work(acumatica, storage, clock) as (sessions, _, _):
        acumatica.put_record("Opportunity", {"OpportunityID": "A", "Subject": "s"})
        acumatica.faults.add(Fault("reset_after", method="PUT", times=2))
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                sessions.put(UPDATE, clock.now + 360)
            clock.now += 2
        with pytest.raises(Later) as refused:
            sessions.put(UPDATE, clock.now + 360)
        assert (refused.value.code, refused.value.delay, refused.value.counted) == (Code.SESSIONS_BUSY, 60.0, False)
        clock.now += 340
        with pytest.raises(Later) as refused:
            sessions.put(UPDATE, clock.now + 360)
        assert refused.value.delay == 16.0
