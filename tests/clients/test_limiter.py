"""The concurrency limit of a mailbox: four rows inside, a short line, and an estimate of the wait for the others."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from handlers.clients.limiter import MailboxLimiter
from handlers.sync.errors import Later


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> MailboxLimiter:
    return MailboxLimiter(clock)


def refused(limiter: MailboxLimiter, mailbox: str) -> float:
    """The delay that someone gets who does not get in."""
    with pytest.raises(Later) as caught:
        limiter.enter(mailbox)
    assert not caught.value.counted, "the delay of our own limit does not grow"
    return caught.value.delay


def test_four_get_in(limiter: MailboxLimiter) -> None:
    """A fifth does not, and takes nothing; one who leaves makes room for one."""
    for _ in range(4):
        limiter.enter("a")
    refused(limiter, "a")
    limiter.leave("a")
    limiter.enter("a")
    refused(limiter, "a")


def test_other_mailboxes_are_not_affected(limiter: MailboxLimiter) -> None:
    for _ in range(4):
        limiter.enter("a")
    limiter.enter("b")
    refused(limiter, "a")


def test_each_one_who_waits_gets_a_longer_estimate(limiter: MailboxLimiter, clock: Clock) -> None:
    """Half a second, and a quarter of it per place, so that each is deferred about once."""
    for _ in range(4):
        limiter.enter("a")
    delays = [refused(limiter, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 0.5 / 4, 0.5 + 1.0 / 4, 0.5 + 1.5 / 4])
    clock.now += 0.5
    assert refused(limiter, "a") == pytest.approx(0.5 + 0.5 / 4)


def test_nobody_waits_for_an_empty_mailbox(limiter: MailboxLimiter) -> None:
    """Who waited for it would find it empty."""
    for _ in range(4):
        limiter.enter("a")
    for _ in range(10):
        refused(limiter, "a")
    for _ in range(4):
        limiter.leave("a")
    for _ in range(4):
        limiter.enter("a")
    assert refused(limiter, "a") == pytest.approx(0.5 + 0.5 / 4)


def test_many_threads(limiter: MailboxLimiter) -> None:
    """Never more than four inside, and all places are given back."""
    inside, most, lock = 0, 0, threading.Lock()
    start = threading.Barrier(16)

    def work() -> None:
        nonlocal inside, most
        start.wait()
        for _ in range(100):
            try:
                limiter.enter("a")
            except Later:
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            limiter.leave("a")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 4
    for _ in range(4):
        limiter.enter("a")
    refused(limiter, "a")


def test_a_throttled_mailbox_is_shut_for_as_long_as_graph_says(limiter: MailboxLimiter, clock: Clock) -> None:
    """Each further request would count against it; the others go on."""
    limiter.throttled("a", 7.0)
    limiter.enter("b")
    assert refused(limiter, "a") >= 7.0
    clock.now += 6.9
    refused(limiter, "a")
    clock.now += 0.2
    limiter.enter("a")


def test_those_who_wait_for_a_throttled_mailbox_come_one_after_the_other(limiter: MailboxLimiter) -> None:
    """Else all of them would come back at once."""
    limiter.throttled("a", 7.0)
    delays = [refused(limiter, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 7 + n * 0.5 / 3 for n in (1, 2, 3)])


def test_a_throttled_mailbox_gets_fewer_places_for_a_minute(limiter: MailboxLimiter, clock: Clock) -> None:
    """Other instances write to it too; those that were refused together count once, and one place is always left."""
    for places in (3, 2, 1, 1):
        limiter.throttled("a", 5.0)
        limiter.throttled("a", 5.0)
        clock.now += 5.0
        for _ in range(places):
            limiter.enter("a")
        refused(limiter, "a")
        for _ in range(places):
            limiter.leave("a")
    clock.now += 60.0
    for _ in range(4):
        limiter.enter("a")
    refused(limiter, "a")


# -- waiting in place ----------------------------------------------------------------------------------------------------


@pytest.fixture
def patient() -> MailboxLimiter:
    """Its patience decides no test."""
    return MailboxLimiter(patience=30.0)


def full(limiter: MailboxLimiter, mailbox: str) -> None:
    for _ in range(4):
        limiter.enter(mailbox)


def in_line(limiter: MailboxLimiter, threads: ThreadPoolExecutor, mailbox: str, number: int) -> Future[None]:
    """Someone who waits, behind so many others."""
    waiting = threads.submit(limiter.enter, mailbox, wait=True)
    while len(limiter._mailboxes[mailbox].line) <= number:
        assert not waiting.done()
        time.sleep(0.001)
    return waiting


def test_who_waits_gets_in_as_soon_as_there_is_a_place_first_come_first_served(patient: MailboxLimiter) -> None:
    """Nobody who comes later is faster."""
    full(patient, "a")
    with ThreadPoolExecutor(2) as threads:
        first, second = (in_line(patient, threads, "a", number) for number in range(2))
        patient.leave("a")
        first.result(30)
        assert not second.done()
        refused(patient, "a")
        patient.leave("a")
        second.result(30)
    for _ in range(4):
        patient.leave("a")
    full(patient, "a")


def test_six_wait_at_a_time_whatever_for(patient: MailboxLimiter) -> None:
    """The threads of the others go on with other mailboxes."""
    full(patient, "a")
    full(patient, "b")
    with ThreadPoolExecutor(6) as threads:
        waiting = [in_line(patient, threads, mailbox, number) for number in range(3) for mailbox in ("a", "b")]
        for mailbox in ("a", "b"):
            with pytest.raises(Later):
                patient.enter(mailbox, wait=True)
        for _ in range(3):
            patient.leave("a")
            patient.leave("b")
        for each in waiting:
            each.result(30)


def test_nobody_waits_longer_than_his_patience_on_a_clock_that_stands_still(clock: Clock) -> None:
    """Neither for a place, nor until a throttled mailbox opens; and nothing is taken."""
    limiter = MailboxLimiter(clock, patience=1.5)
    full(limiter, "a")
    limiter.throttled("b", 1.0)
    for mailbox in ("a", "b"):
        with pytest.raises(Later):
            limiter.enter(mailbox, wait=True)
    limiter.leave("a")
    limiter.enter("a")


def test_what_takes_longer_is_not_waited_for(limiter: MailboxLimiter) -> None:
    """Else threads would be held in vain: no thread leaves the mailbox here."""
    limiter.patience = 600.0
    limiter.throttled("a", 600.0)
    with pytest.raises(Later) as caught:
        limiter.enter("a", wait=True)
    assert caught.value.delay > 600.0


def test_a_mailbox_that_is_throttled_for_a_moment_is_waited_for() -> None:
    limiter = MailboxLimiter(patience=30.0)
    limiter.throttled("a", 1.0)
    refused(limiter, "a")
    limiter.enter("a", wait=True)
