"""The concurrency limit of a mailbox: three rows inside, and an estimate of the wait for the others."""

import threading

import pytest

from handlers.clients.limiter import Limiter, mailbox_limiter
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
def limiter(clock: Clock) -> Limiter:
    return mailbox_limiter(clock)


def refused(limiter: Limiter, mailbox: str) -> float:
    """The delay that someone gets who does not get in."""
    with pytest.raises(Later) as caught:
        limiter.enter(mailbox)
    assert not caught.value.counted, "the delay of our own limit does not grow"
    return caught.value.delay


def test_three_get_in(limiter: Limiter) -> None:
    """A fourth does not, and takes nothing; one who leaves makes room for one."""
    for _ in range(3):
        limiter.enter("a")
    refused(limiter, "a")
    limiter.leave("a")
    limiter.enter("a")
    refused(limiter, "a")


def test_other_mailboxes_are_not_affected(limiter: Limiter) -> None:
    for _ in range(3):
        limiter.enter("a")
    limiter.enter("b")
    refused(limiter, "a")


def test_each_one_who_waits_gets_a_longer_estimate(limiter: Limiter, clock: Clock) -> None:
    """Half a second, and a third of it per place, so that each is deferred about once."""
    for _ in range(3):
        limiter.enter("a")
    delays = [refused(limiter, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 0.5 / 3, 0.5 + 1.0 / 3, 0.5 + 1.5 / 3])
    clock.now += 0.5
    assert refused(limiter, "a") == pytest.approx(0.5 + 0.5 / 3)


def test_nobody_waits_for_an_empty_mailbox(limiter: Limiter) -> None:
    """Who waited for it would find it empty."""
    for _ in range(3):
        limiter.enter("a")
    for _ in range(10):
        refused(limiter, "a")
    for _ in range(3):
        limiter.leave("a")
    for _ in range(3):
        limiter.enter("a")
    assert refused(limiter, "a") == pytest.approx(0.5 + 0.5 / 3)


def test_many_threads(limiter: Limiter) -> None:
    """Never more than three inside, and all places are given back."""
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
    assert 1 <= most <= 3
    for _ in range(3):
        limiter.enter("a")
    refused(limiter, "a")


def test_a_throttled_mailbox_is_shut_for_as_long_as_graph_says(limiter: Limiter, clock: Clock) -> None:
    """Each further request would count against it; the others go on."""
    limiter.throttled("a", 7.0)
    limiter.enter("b")
    assert refused(limiter, "a") >= 7.0
    clock.now += 6.9
    refused(limiter, "a")
    clock.now += 0.2
    limiter.enter("a")


def test_those_who_wait_for_a_throttled_mailbox_come_one_after_the_other(limiter: Limiter) -> None:
    """Else all of them would come back at once."""
    limiter.throttled("a", 7.0)
    delays = [refused(limiter, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 7 + 0.25, 0.5 + 7 + 0.5, 0.5 + 7 + 0.75])


def test_a_throttled_mailbox_gets_fewer_places_for_a_minute(limiter: Limiter, clock: Clock) -> None:
    """Other instances write to it too; those that were refused together count once, and one place is always left."""
    for places in (2, 1, 1):
        limiter.throttled("a", 5.0)
        limiter.throttled("a", 5.0)
        clock.now += 5.0
        for _ in range(places):
            limiter.enter("a")
        refused(limiter, "a")
        for _ in range(places):
            limiter.leave("a")
    clock.now += 60.0
    for _ in range(3):
        limiter.enter("a")
    refused(limiter, "a")
