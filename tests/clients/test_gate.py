"""The gate of a mailbox: three rows inside, and a delay by the place in line for the others."""

import threading

import pytest

from handlers.clients.gate import Gate, Line
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
def gate(clock: Clock) -> Gate:
    return Gate(clock)


def refused(gate: Gate, *mailboxes: str) -> float:
    """The delay that someone gets who does not get in."""
    with pytest.raises(Later) as caught:
        gate.enter(set(mailboxes))
    assert not caught.value.counted, "the delay of an own gate does not grow"
    return caught.value.delay


def test_turns_in_a_line_are_a_pace_apart() -> None:
    """From now on, or from the last turn that was given; a line that nobody joined is empty again."""
    line = Line()
    assert [line.place(100.0, 2.0) for _ in range(3)] == [2.0, 4.0, 6.0]
    assert line.place(103.0, 2.0) == 5.0
    assert line.place(200.0, 2.0) == 2.0


def test_three_get_in(gate: Gate) -> None:
    """A fourth does not, and takes nothing; one who leaves makes room for one."""
    for _ in range(3):
        gate.enter({"a"})
    refused(gate, "a")
    gate.leave({"a"}, 0.5)
    gate.enter({"a"})
    refused(gate, "a")


def test_other_mailboxes_are_not_affected(gate: Gate) -> None:
    """Nor are rows that only write back."""
    for _ in range(3):
        gate.enter({"a"})
    gate.enter({"b"})
    gate.enter(set())
    gate.leave(set(), 0.5)
    refused(gate, "a")


def test_a_move_takes_a_place_in_both_mailboxes_or_none(gate: Gate) -> None:
    """Half a place would be lost for ever."""
    for _ in range(3):
        gate.enter({"a"})
    for _ in range(5):
        refused(gate, "a", "b")
    for _ in range(3):
        gate.enter({"b"})
    refused(gate, "b")


def test_each_one_in_line_waits_longer(gate: Gate, clock: Clock) -> None:
    """The pace (half a second at first), and a third of it per place, so that each bounces about once."""
    for _ in range(3):
        gate.enter({"a"})
    delays = [refused(gate, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 0.5 / 3, 0.5 + 1.0 / 3, 0.5 + 1.5 / 3])
    clock.now += 0.5
    assert refused(gate, "a") == pytest.approx(0.5 + 0.5 / 3)


def test_the_longest_line_counts(gate: Gate) -> None:
    """Of several full mailboxes."""
    for mailbox in ("a", "b"):
        for _ in range(3):
            gate.enter({mailbox})
    for _ in range(4):
        refused(gate, "a")
    assert refused(gate, "a", "b") == pytest.approx(0.5 + 5 * 0.5 / 3)
    assert refused(gate, "b") == pytest.approx(0.5 + 2 * 0.5 / 3)


def test_the_pace_follows_what_rows_take(gate: Gate) -> None:
    """Slowly, and within a twentieth of a second and ten seconds."""
    for _ in range(3):
        gate.enter({"a"})
    gate.enter({"b"})
    gate.leave({"b"}, 10.5)
    assert refused(gate, "a") == pytest.approx(1.5 + 1.5 / 3)
    for seconds, pace in ((0.0, 0.05), (1e6, 10.0)):
        for _ in range(200):
            gate.enter({"b"})
            gate.leave({"b"}, seconds)
        gate.leave({"a"}, seconds)  # whoever is in line no longer counts
        gate.enter({"a"})
        assert refused(gate, "a") >= pace + pace / 3


def test_an_empty_mailbox_has_no_line(gate: Gate) -> None:
    """Who waited for it would find it empty."""
    for _ in range(3):
        gate.enter({"a"})
    for _ in range(10):
        refused(gate, "a")
    for _ in range(3):
        gate.leave({"a"}, 0.5)
    for _ in range(3):
        gate.enter({"a"})
    assert refused(gate, "a") == pytest.approx(0.5 + 0.5 / 3)


def test_many_threads(gate: Gate) -> None:
    """Never more than three inside, and all places are given back."""
    inside, most, lock = 0, 0, threading.Lock()
    start = threading.Barrier(16)

    def work() -> None:
        nonlocal inside, most
        start.wait()
        for _ in range(100):
            try:
                gate.enter({"a", "b"})
            except Later:
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            gate.leave({"a", "b"}, 0.1)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    for _ in range(3):
        gate.enter({"a"})
        gate.enter({"b"})
    refused(gate, "a")


def test_a_throttled_mailbox_is_shut_for_as_long_as_graph_says(gate: Gate, clock: Clock) -> None:
    """Each further request would count against it; the others go on."""
    gate.throttled("a", 7.0)
    gate.enter({"b"})
    assert refused(gate, "a") >= 7.0
    clock.now += 6.9
    refused(gate, "a")
    clock.now += 0.2
    gate.enter({"a"})


def test_those_who_wait_for_a_throttled_mailbox_come_one_after_the_other(gate: Gate) -> None:
    """Else all of them would come back at once."""
    gate.throttled("a", 7.0)
    delays = [refused(gate, "a") for _ in range(3)]
    assert delays == pytest.approx([0.5 + 7 + 0.25, 0.5 + 7 + 0.5, 0.5 + 7 + 0.75])


def test_a_throttled_mailbox_gets_fewer_places_for_a_minute(gate: Gate, clock: Clock) -> None:
    """Other instances write to it too; those that were refused together count once, and one place is always left."""
    for places in (2, 1, 1):
        gate.throttled("a", 5.0)
        gate.throttled("a", 5.0)
        clock.now += 5.0
        for _ in range(places):
            gate.enter({"a"})
        refused(gate, "a")
        for _ in range(places):
            gate.leave({"a"}, 0.5)
    clock.now += 60.0
    for _ in range(3):
        gate.enter({"a"})
    refused(gate, "a")
