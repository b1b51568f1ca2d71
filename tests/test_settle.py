"""What a settlement does between its effects: places in mailboxes, deadlines, repetitions, claims."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from handlers.bury import bury
from handlers.clients.graph import Graph
from handlers.clients.links import Links, StateTooLarge
from handlers.perform import perform
from handlers.sync.effects import Result, Retry, Unknown, WriteBack
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Claim
from tests.bench import Bench

ANN, BOB = "ann@example.com", "bob@example.com"
EVENT = CalendarEvent(ANN, {"subject": "s"})


def fill(bench: Bench, mailbox: str) -> Callable[[], None]:
    """Take all places of a mailbox; returns what gives them back."""
    limiter, taken = bench.factory.services().graph.limiter, 0
    limiter.patience = 0.0
    try:
        while True:
            limiter.enter(mailbox)
            taken += 1
    except Later:

        def leave() -> None:
            for _ in range(taken):
                limiter.leave(mailbox)

        return leave


def test_a_mailbox_that_is_left_and_busy_holds_back_the_removal_alone(bench: Bench) -> None:
    """The new owner has the event, and its id is in the record; the old one's goes when there is a place."""
    bench.apply(bench.change(1, "one"))
    leave = fill(bench, ANN)
    bench.apply(bench.change(2, "two", OwnerEmail=BOB))
    assert (bench.subjects(ANN), bench.subjects(BOB), bench.sent()) == (["one"], ["two"], 1)
    leave()
    bench.apply(bench.change(2, "two", OwnerEmail=BOB))
    assert (bench.subjects(ANN), bench.subjects(BOB)) == ([], ["two"])


def test_a_mailbox_that_is_busy_leaves_the_row_unclaimed(bench: Bench) -> None:
    leave = fill(bench, ANN)
    bench.apply(bench.change(1))
    assert (bench.subjects(), bench.sent(), bench.factory.storage().links.load(bench.change(1).link_key)[0]) == ([], 1, None)
    leave()
    bench.apply(bench.change(1))
    assert bench.subjects() == ["s"]


def test_a_mailbox_that_is_busy_for_a_moment_is_waited_for(bench: Bench) -> None:
    """Without another round through the queue."""
    leave, limiter = fill(bench, ANN), bench.factory.services().graph.limiter
    limiter.patience = 30.0
    with ThreadPoolExecutor(1) as threads:
        applied = threads.submit(bench.apply, bench.change(1))
        while not limiter._mailboxes[ANN].line:
            assert not applied.done()
            time.sleep(0.001)
        leave()
        applied.result(30)
    assert (bench.subjects(), bench.sent()) == (["s"], 0)


def test_who_has_a_place_in_one_mailbox_waits_for_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows that move the other way round would wait for each other."""
    bench.apply(bench.change(1, "one"))
    limiter, entered = bench.factory.services().graph.limiter, []
    enter = limiter.enter

    def noted(mailbox: str, *, wait: bool = False) -> None:
        entered.append((mailbox, wait))
        enter(mailbox, wait=wait)

    monkeypatch.setattr(limiter, "enter", noted)
    bench.apply(bench.change(2, "two", OwnerEmail=BOB))
    assert entered == [(BOB, True), (ANN, False)]


@pytest.mark.parametrize(
    "request_",
    [
        lambda graph, deadline: graph.create(EVENT, "stamp-1", deadline),
        lambda graph, deadline: graph.update(ANN, "id", EVENT, None, deadline),
        lambda graph, deadline: graph.adoptable(ANN, "id", "stamp", deadline),
        lambda graph, deadline: graph.details(ANN, "id", deadline),
        lambda graph, deadline: graph.cancel(ANN, "id", "off", deadline),
        lambda graph, deadline: graph.delete(ANN, "id", deadline),
        lambda graph, deadline: graph.find(ANN, "stamp-1", "", deadline),
    ],
)
def test_no_request_to_graph_starts_that_might_end_too_late(bench: Bench, request_: Callable[[Graph, float], Any]) -> None:
    """Each of them, also the second one of a removal that tells attendees first, or of a look-up in many calendars."""
    services = bench.factory.services()
    with pytest.raises(Later) as told:
        request_(services.graph, bench.now + services.settings.longest_request_seconds - 1)
    assert (told.value.code, bench.graph.calls) == (Code.NO_TIME_LEFT, [])


@pytest.mark.parametrize(("setting", "write", "read"), [("100", 30.0, 100.0), ("5", 5.0, 5.0)])
def test_an_answer_to_a_write_is_waited_for_half_a_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, setting: str, write: float, read: float
) -> None:
    """Then it is repeated, which does no harm; a list may take longer."""
    bench.reconfigure(REQUEST_TIMEOUT_SECONDS=setting)
    graph, waits = bench.factory.services().graph, []
    request = graph._http.request

    def noted(method: str, url: str, *, timeout: float | None = None, **options: Any) -> Any:
        waits.append((method, timeout))
        return request(method, url, timeout=timeout, **options)

    monkeypatch.setattr(graph._http, "request", noted)
    bench.apply(bench.change(1))
    graph.find(ANN, "stamp-1", "", bench.now + 1000)
    assert (waits[0], waits[-1]) == (("POST", write), ("GET", read))


def test_a_look_up_stops_where_its_time_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up in many calendars is many requests."""
    bench.graph.add_calendar(ANN, "Second")
    services = bench.factory.services()
    deadline = bench.now + 2.5 * services.settings.longest_request_seconds
    call = services.graph._call

    def slow(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        finally:
            bench.now += services.settings.longest_request_seconds

    monkeypatch.setattr(services.graph, "_call", slow)
    with pytest.raises(Later) as told:
        services.graph.find(ANN, "stamp-1", "", deadline)
    assert told.value.code == Code.NO_TIME_LEFT


def test_that_a_request_was_not_answered_is_not_forgotten_because_its_repetition_has_to_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session rests after the first one, so that the second is not sent at all: the first may still be carried out."""
    unanswered = Unknown(OutcomeUnknown(Code.ACUMATICA_UNAVAILABLE, "no answer"))
    results: list[Result] = [unanswered, Retry(Later(Code.SESSIONS_BUSY, "rests", 30.0))]

    def performed(effect: Any, *more: Any) -> Result:
        return results.pop(0) if isinstance(effect, WriteBack) else perform(effect, *more)

    monkeypatch.setattr("handlers.settle.perform", performed)
    bench.apply(bench.change(1))
    link, _ = bench.factory.storage().links.load(bench.change(1).link_key)
    assert link
    assert (results, bool(link.written_back), link.record_late_until > bench.now) == ([], False, True)
    assert link.last_error == "no answer"


def test_a_link_that_grows_too_large_under_its_claim_is_a_dead_letter_and_no_bug(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim was saved with the event's generation; what was done does not fit any more."""
    save, saves = Links.save, []

    def too_large_at_last(self: Links, link: Any, etag: str | None) -> str | None:
        saves.append(link)
        if len(saves) == 2:
            raise StateTooLarge
        return save(self, link, etag)

    monkeypatch.setattr(Links, "save", too_large_at_last)
    bench.apply(bench.change(1))
    assert list(bench.letters()) == ["The row's mapped columns are too large to be remembered."]


def test_behind_the_claim_of_a_message_that_is_a_dead_letter_nobody_stands(bench: Bench) -> None:
    """A newer change is not left to such a claim: it is tried again until the claim has ended."""
    storage = bench.factory.storage()
    bench.apply(bench.change(1, "one"))
    link, etag = storage.links.load(bench.change(1).link_key)
    assert link
    held = replace(link, claim=Claim("another worker's", bench.now + 300))
    assert storage.links.save(held, etag)
    bury(bench.change(2, "two"), Permanent(Code.APP_FAILED, "why", ""), storage)
    bench.apply(bench.change(3, "three"))
    assert (bench.sent(), bench.subjects()) == (1, ["one"])
    bench.now += 301
    bench.apply(bench.change(3, "three"))
    assert (bench.subjects(), bench.letters()) == (["three"], {})
