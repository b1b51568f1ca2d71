"""Crash points, exhaustively: at each request that the app makes, its process dies just before it and just after it.

The real code of receive and apply works on Azurite and on fakes of Graph, Acumatica and a receiver, over real HTTP. Every
request of the app is numbered in scenarios that run the same each time; one run per number and side cuts the process off
there: nothing of it runs any more, and the answer of a request that was carried out reaches nobody. A new process then
gets what Acumatica and the queue deliver again, and in the end the judge has to find no differences.

Time is simulated: it goes on by a second whenever the app looks at its clock, and jumps to whatever comes next.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import re
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, override
from unittest.mock import patch
from urllib.parse import urlsplit

from azure.storage.queue import QueueClient, QueueMessage, TextBase64DecodePolicy
from urllib3.connectionpool import HTTPConnectionPool

from handlers import upkeep
from handlers.apply import apply
from handlers.clients import activity, sessions
from handlers.clients.queue import QUEUE
from handlers.clients.sweeps import SWEEP_QUEUE
from handlers.environment import load_settings
from handlers.operations import sweeps
from handlers.receive import receive
from handlers.services import Factory, load_mappings
from handlers.settings import Settings
from handlers.sweep_queue import sweep
from handlers.sweep_start import on_schedule
from local import judge
from local.azurite import Azurite, AzuriteError
from local.fakes import FakeAcumatica, FakeGraph, FakeReceivers, Fault, app_settings
from local.inquiry import COMING, Inquiry, Notification
from local.world import MAPPING, MAPPINGS

SESSION_SECONDS = 600.0  # after which Acumatica ends a session by itself
NEXT_NIGHT = 86_400.0
LONG_AGO_TICKS = 2 * 3600 * 10_000_000
REDELIVERY_SECONDS = 5.0  # from a death until the queue delivers again, with the dead one's claim still live
ACUMATICA_TRIES = 20
MESSAGES_AT_MOST = 500  # in one run; more means that it would never end

type Side = Literal["before", "after"]
type Scenario = Callable[["Play"], None]


class Died(BaseException):
    """The app's process is gone. No `Exception`, so that nothing in the app can go on after it."""


@dataclass(frozen=True)
class Cut:
    """Where the process dies: the number of a request, from 1, and the side of it."""

    number: int
    side: Side

    @override
    def __str__(self) -> str:
        return f"{self.side} request {self.number}"


class Clock:
    """Simulated seconds since 1970."""

    def __init__(self) -> None:
        # The beginning of an hour: what counts by the hour makes the same requests each time, whenever it is run.
        self.now = time.time() // 3600 * 3600

    def __call__(self) -> float:
        """The app looks at the clock. Little passes, so that nothing falls due just because of how often it looks."""
        self.now += 0.02
        return self.now


class Wire:
    """Sees every request of this process that goes through urllib3; numbers those of the app, and cuts the process off."""

    def __init__(self, services: Mapping[int, str], cuts: Iterable[Cut] = ()) -> None:
        self.services = services  # names by port
        self.cuts = {cut.number: cut.side for cut in cuts}
        self.requests: list[str] = []  # those that were numbered
        self.counting = False
        self.deaths = 0
        self._app = False
        self._dead = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Within, all requests are the app's."""
        self._app = True
        try:
            yield
        finally:
            self._app = self._dead = False

    def urlopen(self, original: Callable[..., Any], pool: HTTPConnectionPool, method: str, url: str, **options: Any) -> Any:
        """In place of the method of urllib3's connection pools."""
        if not self._app:
            return original(pool, method, url, **options)
        side = self._number(self.services.get(pool.port or 0, "?"), method, url)
        if side == "before":
            self._die()
        answer = original(pool, method, url, **options)
        if side == "after":
            answer.close()  # as the end of a process closes its connections
            self._die()
        return answer

    def _number(self, service: str, method: str, url: str) -> Side | None:
        with self._lock:
            if self._dead:  # another thread of the process, or its clean-up
                raise Died
            if not self.counting:
                return None
            path = re.sub(
                r"'[0-9a-f]{2}'|[0-9a-f]{64}|[0-9a-f]{32}|'[rh]\d[^']*'", "…", urlsplit(url).path
            )  # hashes and times, which differ
            self.requests.append(f"{service} {method} {path}")
            return self.cuts.get(len(self.requests))

    def _die(self) -> None:
        self._dead = True
        self.deaths += 1
        raise Died


@dataclass(order=True)
class Waiting:
    """A message that the driver has taken out of the queue for good, and delivers when it is due."""

    due: float
    message: QueueMessage = field(compare=False)


class Play:
    """One run of a scenario: Acumatica, the queue and the clock, around the app's process. A scenario says what happens."""

    def __init__(self, connection: str, cuts: Iterable[Cut] = (), settings: Mapping[str, str] | None = None) -> None:
        self.graph = FakeGraph()
        self.acumatica = FakeAcumatica(
            session_limit=2, session_timeout=SESSION_SECONDS, token_seconds=SESSION_SECONDS, echo=self._note_echo
        )
        self.receivers = FakeReceivers(self.graph.identity)
        self.echo = False
        self.clock = Clock()
        self._known_to_acumatica = self.clock.now
        self.inquiry: Inquiry
        self._connection = connection
        self._settings = dict(settings or {})
        self.emptied: list[str] = []  # fields that have to be empty in the end
        self._cuts = list(cuts)
        self._echoes: list[str] = []
        self._delays: dict[str, float] = {}  # of messages in the queue, by their text
        self._waiting: list[Waiting] = []
        self._factory: Factory
        self.wire: Wire

    # -- what a scenario is made of ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """From here on requests are numbered; what was before is only the state to start from."""
        self.arrive(self.inquiry.notification([], []))  # the requests of a first start are left to one scenario
        self._drain()
        self.wire.counting = True

    def arrive(self, notification: Notification) -> None:
        """Acumatica sends a notification until it is answered with 2xx."""
        body = json.dumps(notification).encode()
        for _ in range(ACUMATICA_TRIES):
            with contextlib.suppress(Died), self._app() as factory:
                answer = receive(body, factory)
                if answer.status in {200, 202}:
                    return
            self.jump(REDELIVERY_SECONDS)
        raise RuntimeError("the notification was never taken in")

    def drain(self) -> None:
        """The queue delivers all that it has. After a death its redelivery takes a while: what comes next is faster."""
        if not self.wire.deaths:
            self._drain()

    def upkeep(self) -> None:
        """The timer of the upkeep runs."""
        with contextlib.suppress(Died), self._app() as factory:
            upkeep.sign_out_idle_sessions(factory.services())

    def sweep(self) -> None:
        """The schedule begins a sweep; after a death, that of the next night does."""
        while True:
            with contextlib.suppress(Died), self._app() as factory:
                on_schedule(factory)
                break
            self.jump(NEXT_NIGHT)
        self._carry_on()

    def release(self) -> None:
        """Somebody releases all that is held, and again where that did not come to its end."""
        while True:
            with contextlib.suppress(Died), self._app() as factory:
                for hold in sweeps.holds(factory.storage()):
                    sweeps.release(hold.id, factory.intake(), "a person")
                break
        self._carry_on()

    def _carry_on(self) -> None:
        """Queue sweeps delivers what it has, and again after a death."""
        for _ in range(MESSAGES_AT_MOST):
            message = self._orders.receive_message(visibility_timeout=3600)
            if message is None:
                return
            self.jump(self._delays.pop(message.content, 0.0))
            self._look_after_sessions()
            while True:
                with contextlib.suppress(Died), self._app() as factory:
                    sweep(message.content, factory)
                    break
                self.jump(REDELIVERY_SECONDS)
            self._orders.delete_message(message)
        raise RuntimeError(f"a sweep has not ended after {MESSAGES_AT_MOST} messages")

    def restart(self, *, kill: bool) -> None:
        """The process ends, hard or as in a deployment; the next one is new."""
        if not kill:
            with contextlib.suppress(Died), self._app() as factory:
                factory.close()
        self._new_process()

    def jump(self, seconds: float) -> None:
        """Time passes, for Acumatica too."""
        self.clock.now += seconds
        passed, self._known_to_acumatica = self.clock.now - self._known_to_acumatica, self.clock.now
        for session in self.acumatica.sessions:
            session.used -= passed
            session.expires -= passed

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, scenario: Scenario) -> list[str]:
        """Play a scenario to its end; returns the judge's differences."""
        with (
            self.graph,
            self.acumatica,
            self.receivers,
            self._queue(QUEUE) as self._messages,
            self._queue(SWEEP_QUEUE) as self._orders,
            self._taps(),
        ):
            self.inquiry = Inquiry(self.acumatica)
            self._new_process()
            scenario(self)
            self._drain()
            self.restart(kill=False)
            self.wire.counting = False
            self.jump(2 * SESSION_SECONDS)
            self.upkeep()
            return self._verdict()

    def _verdict(self) -> list[str]:
        mappings = load_mappings(Path(self._settings.get("MAPPINGS_DIR", str(MAPPINGS))))
        relays = {name: self.receivers.of(mapping) for name, mapping in mappings.items() if mapping.relay}
        rows = dict.fromkeys((MAPPING, *relays), self.inquiry.rows.values())
        found = judge.judge(rows, mappings, self.graph, self.acumatica, self._connection, receivers=relays)
        found += [f"{field} of a removed row still holds something" for field in self.emptied if self._written(field)]
        return found + ["the death did not come: the scenario is not the same each time"] * (
            bool(self._cuts) > self.wire.deaths
        )

    def _written(self, field: str) -> list[Any]:
        fields = [record.get("custom", {}).get("Opportunity", {}) for record in self.acumatica.records("Opportunity")]
        return [known[field]["value"] for known in fields if known.get(field, {}).get("value")]

    @contextlib.contextmanager
    def _taps(self) -> Iterator[None]:
        """The wire is tapped; what would wait in real time does not wait."""
        ports = {int(urlsplit(p.split("=", 1)[1]).port or 0): p for p in self._connection.split(";") if "Endpoint=" in p}
        names = {port: text.partition("Endpoint")[0].lower() for port, text in ports.items()}
        services = {"graph": self.graph, "acumatica": self.acumatica, "receiver": self.receivers}
        names |= {int(urlsplit(service.url).port or 0): name for name, service in services.items()}
        self.wire = wire = Wire(names, self._cuts)
        request, send = HTTPConnectionPool.urlopen, QueueClient.send_message

        def urlopen(pool: HTTPConnectionPool, method: str, url: str, **options: Any) -> Any:
            return wire.urlopen(request, pool, method, url, **options)

        def send_message(queue: QueueClient, text: str, *, visibility_timeout: int = 0, **options: Any) -> Any:
            # The storage cannot jump ahead in time: it is the driver that keeps to the delay.
            self._delays[text] = visibility_timeout
            return send(queue, text, visibility_timeout=0, **options)

        with (
            patch.object(HTTPConnectionPool, "urlopen", urlopen),
            patch.object(QueueClient, "send_message", send_message),
            patch.object(sessions, "_WAIT_SECONDS", 0.0),  # nobody else is there who might give a session back
            patch.object(sessions.Sessions, "_start_keeper", lambda _: None),  # a thread by real time
            patch.object(
                activity.Recorder, "_start_writer", lambda _: None
            ),  # another one; what is left is written at the end
            patch.dict(os.environ, self.graph.identity_settings),  # msal reads them there
        ):
            yield

    def _new_process(self) -> None:
        environ = {
            "AzureWebJobsStorage": self._connection,
            **app_settings(self.graph, self.acumatica),
            **self.receivers.settings,
            "ACUMATICA_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "CLAIM_SECONDS": "120",  # the longer, the more often a dead process's message comes in vain
            "REQUEST_TIMEOUT_SECONDS": "10",
            **self._settings,
        }
        self.settings = load_settings(Settings, environ)
        self._factory = Factory(environ, self.clock)

    @contextlib.contextmanager
    def _app(self) -> Iterator[Factory]:
        """The app's process at work. When it dies, the next one knows nothing of it; its sessions stay as they are."""
        try:
            with self.wire.watch():
                yield self._factory
        except Died:
            self._new_process()
            raise

    # -- Acumatica and the queue ---------------------------------------------------------------------------------------

    def _note_echo(self, entity: str, record_id: str, before: Any, after: Any) -> None:  # noqa: ARG002
        if self.echo:
            self._echoes.append(record_id)

    def _take_in_echoes(self) -> None:
        for future in self.acumatica.echoes:
            future.result()
        while self._echoes:
            if notification := self.inquiry.echo(self._echoes.pop(0)):
                self.arrive(notification)

    def _queue(self, name: str) -> QueueClient:
        queue = QueueClient.from_connection_string(self._connection, name, message_decode_policy=TextBase64DecodePolicy())
        queue.create_queue()
        return queue

    def _drain(self) -> None:
        for _ in range(MESSAGES_AT_MOST):
            self._take_in_echoes()
            self._fetch()
            if not self._waiting:
                return
            waiting = min(self._waiting)
            self.jump(max(0.0, waiting.due - self.clock.now))
            self._look_after_sessions()
            if self._deliver(waiting.message):
                self._waiting.remove(waiting)
                self._messages.delete_message(waiting.message)
            else:
                waiting.due = self.clock.now + REDELIVERY_SECONDS
        raise RuntimeError(f"the queue is not empty after {MESSAGES_AT_MOST} messages")

    def _fetch(self) -> None:
        if not self._delays:
            return  # nothing was sent
        pages = self._messages.receive_messages(messages_per_page=32, visibility_timeout=3600).by_page()
        for message in next(pages, ()):  # none where the process died before it sent
            self._waiting.append(Waiting(self.clock.now + self._delays[message.content], message))
        self._delays.clear()

    def _look_after_sessions(self) -> None:
        """What a thread of the app does now and then."""
        with contextlib.suppress(Died), self._app() as factory:
            factory.services().sessions.look_after()

    def _deliver(self, message: QueueMessage) -> bool:
        """Whether the app has done its work with the message."""
        try:
            with self._app() as factory:
                apply(message.content, factory)
        except Died:
            return False
        return True


# -- scenarios -----------------------------------------------------------------------------------------------------------


def first_start(play: Play) -> None:
    """The first row comes, and neither tables nor queue exist."""
    play.wire.counting = True
    play.arrive(play.inquiry.save("A"))


def new_row(play: Play) -> None:
    """A row comes into the inquiry."""
    play.begin()
    play.arrive(play.inquiry.save("A"))


def update(play: Play) -> None:
    """A row changes."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.save("A", Subject="changed"))


def two_updates(play: Play) -> None:
    """A row changes, and once more while the first change waits in the queue, or under the claim of a dead process."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.save("A", Subject="changed"))
    play.arrive(play.inquiry.save("A", Subject="changed again"))


def move(play: Play) -> None:
    """A row gets another owner."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.save("A", OwnerEmail="bob@example.com"))


def there_and_back(play: Play) -> None:
    """A row gets another owner, and the first one back."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.save("A", OwnerEmail="bob@example.com"))
    play.drain()
    play.arrive(play.inquiry.save("A", OwnerEmail="ann@example.com"))


def removal(play: Play) -> None:
    """A row leaves the inquiry."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.remove("A"))


def removal_and_return(play: Play) -> None:
    """A row leaves the inquiry and comes back."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.remove("A"))
    play.drain()
    play.arrive(play.inquiry.save("A", Subject="back again"))


def new_row_and_removal(play: Play) -> None:
    """A row comes and goes."""
    play.begin()
    play.arrive(play.inquiry.save("A"))
    play.drain()
    play.arrive(play.inquiry.remove("A"))


def split_pair(play: Play) -> None:
    """The halves of one update come in two requests, the removal first."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    whole = play.inquiry.save("A", Subject="changed")
    play.arrive({**whole, "Inserted": []})
    play.arrive({**whole, "Deleted": []})


def large_row(play: Play) -> None:
    """A row is too large for a message of the queue."""
    play.begin()
    play.arrive(play.inquiry.save("A", Notes="x" * 60_000))


def several_rows(play: Play) -> None:
    """One transaction makes, changes and removes rows."""
    play.arrive(play.inquiry.save("B"))
    play.arrive(play.inquiry.save("C"))
    play.begin()
    parts = [play.inquiry.save("A"), play.inquiry.save("B", Subject="changed"), play.inquiry.remove("C")]
    inserted, deleted = ([row for part in parts for row in part[side]] for side in ("Inserted", "Deleted"))
    play.arrive(play.inquiry.notification(inserted, deleted))


def write_back(play: Play) -> None:
    """The id that was written back comes in as a change of the record."""
    play.echo = True
    play.begin()
    play.arrive(play.inquiry.save("A"))


def cookie_session(play: Play) -> None:
    """A row comes into the inquiry, with Acumatica's plain sign-in."""
    new_row(play)


def ended_session(play: Play) -> None:
    """Acumatica has ended the session that the app still has."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.acumatica.end_sessions()
    play.arrive(play.inquiry.save("B"))


def left_session(play: Play) -> None:
    """A killed process has left a session, which the upkeep signs out."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.restart(kill=True)
    play.jump(play.settings.acumatica_lease_seconds + play.settings.acumatica_linger_seconds)
    play.upkeep()


def event_deleted(play: Play) -> None:
    """A row changes whose event a person has deleted."""
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.graph.user_deletes("ann@example.com", play.graph.events("ann@example.com")[0]["id"])
    play.arrive(play.inquiry.save("A", Subject="changed"))


def event_moved(play: Play) -> None:
    """A row changes and goes whose event a person has moved to another calendar, which gave it another id."""
    play.arrive(play.inquiry.save("A"))
    play.arrive(play.inquiry.save("B", OwnerEmail="bob@example.com"))
    play.begin()
    for mailbox in ("ann@example.com", "bob@example.com"):
        play.graph.user_moves(mailbox, play.graph.events(mailbox)[0]["id"])
    play.arrive(play.inquiry.save("A", Subject="changed"))
    play.arrive(play.inquiry.remove("B"))


def dead_letter(play: Play) -> None:
    """A row cannot be rendered, then can."""
    play.begin()
    play.arrive(play.inquiry.save("A", MeetingStart="soon"))
    play.drain()
    play.arrive(play.inquiry.save("A", MeetingStart=f"{COMING}T09:30:00"))


def dead_letter_unread(play: Play) -> None:
    """A row lacks a column that the mapping needs, then has it."""
    play.begin()
    whole = play.inquiry.save("A")
    lacking = {name: value for name, value in whole["Inserted"][0].items() if name != "MeetingEnd"}
    play.arrive({**whole, "Inserted": [lacking]})
    play.drain()
    play.arrive(play.inquiry.save("A", Subject="complete"))


def adopted(play: Play) -> None:
    """An event of an earlier integration is taken over."""
    old = _everything(play).graph.add_event("ann@example.com", "made by a flow")
    play.begin()
    play.arrive(play.inquiry.save("A", Team="Calendar", OldID=old))


def adopted_and_changed(play: Play) -> None:
    """The row no longer names the event by the time that it is taken over."""
    old = _everything(play).graph.add_event("ann@example.com", "made by a flow")
    play.begin()
    play.arrive(play.inquiry.save("A", Team="Calendar", OldID=old))
    play.drain()
    play.arrive(play.inquiry.save("A", Subject="changed", OldID=""))


def emptied(play: Play) -> None:
    """A row comes and goes, and its record is emptied."""
    _everything(play).emptied = ["AttributeCALEVT", "UsrCalendarEventId", "UsrReason"]
    play.begin()
    play.arrive(play.inquiry.save("A", Team="Calendar", OldID=""))
    play.drain()
    play.arrive(play.inquiry.remove("A"))


def other_calendar(play: Play) -> None:
    """A row moves to another calendar of its mailbox."""
    for name in ("Service", "Sales"):
        _everything(play).graph.add_calendar("ann@example.com", name)
    play.arrive(play.inquiry.save("A", Team="Service", OldID=""))
    play.begin()
    play.arrive(play.inquiry.save("A", Team="Sales"))


def reported(play: Play) -> None:
    """A row cannot be rendered, which its record is told; then it can."""
    _everything(play).emptied = ["UsrReason"]
    play.begin()
    play.arrive(play.inquiry.save("A", Team="Calendar", OldID="", MeetingStart="soon"))
    play.drain()
    play.arrive(play.inquiry.save("A", MeetingStart=f"{COMING}T09:30:00"))


def swept(play: Play) -> None:
    """A sweep finds what no notification told of: a row that came, one that changed, one that went."""
    for key in ("A", "B", "C"):
        play.arrive(_earlier(play.inquiry.save(key)))
    play.begin()
    play.inquiry.save("B", Subject="changed")
    play.inquiry.remove("C")
    play.inquiry.save("D")
    play.sweep()


def braked(play: Play) -> None:
    """A notification removes more rows than the brake allows, and somebody releases them."""
    for key in ("A", "B", "C"):
        play.arrive(play.inquiry.save(key))
    play.begin()
    gone = [row for key in ("A", "B") for row in play.inquiry.remove(key)["Deleted"]]
    play.arrive(play.inquiry.notification([], gone))
    play.release()


def braked_sweep(play: Play) -> None:
    """A sweep finds more rows missing than the brake allows, and somebody releases them: one has come back by then."""
    for key in ("A", "B", "C"):
        play.arrive(_earlier(play.inquiry.save(key)))
    play.begin()
    rows = dict(play.inquiry.rows)
    for key in ("A", "B"):
        play.inquiry.remove(key)
    play.sweep()
    play.inquiry.rows["B"] = rows["B"]
    play.release()


def restored(play: Play) -> None:
    """Of three events, a person has moved one and deleted another; a look at the calendar puts both back."""
    day = datetime.fromtimestamp(play.clock.now, UTC).date() + timedelta(days=9)
    for key in ("A", "B", "C"):
        play.arrive(play.inquiry.save(key, MeetingStart=f"{day}T09:00:00", MeetingEnd=f"{day}T10:00:00"))
    play.begin()
    moved, deleted, _ = play.graph.events("ann@example.com")
    times = [{"dateTime": f"{day}T{hour}:00:00", "timeZone": "UTC"} for hour in (20, 21)]
    play.graph.user_reschedules("ann@example.com", moved["id"], *times)
    play.graph.user_deletes("ann@example.com", deleted["id"])
    play.sweep()


def relayed(play: Play) -> None:
    """A row goes to a calendar and to a receiver, whose answer is written back; it changes while that is away."""
    play.acumatica.declare("Opportunity", "Opportunity", "UsrFlowId")
    play.begin()
    play.arrive(play.inquiry.save("A"))
    play.drain()
    play.receivers.faults.add(Fault("status", "POST", times=2, status=503))
    play.arrive(play.inquiry.save("A", Subject="changed"))


def relayed_removal(play: Play) -> None:
    """A row of which a receiver knows goes and comes back."""
    play.acumatica.declare("Opportunity", "Opportunity", "UsrFlowId")
    play.arrive(play.inquiry.save("A"))
    play.begin()
    play.arrive(play.inquiry.remove("A"))
    play.drain()
    play.arrive(play.inquiry.save("A", Subject="back again"))


def _earlier(notification: Notification) -> Notification:
    """Two hours ago: our clock may be an hour behind, and a sweep judges nothing that is younger than its margin."""
    return {**notification, "TimeStamp": notification["TimeStamp"] - LONG_AGO_TICKS}


def _everything(play: Play) -> Play:
    play.acumatica.declare("Opportunity", "Opportunity", "UsrReason")
    return play


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        first_start, new_row, update, two_updates, move, there_and_back, removal, removal_and_return, new_row_and_removal,
        split_pair, large_row, several_rows, write_back, cookie_session, ended_session, left_session, event_deleted,
        event_moved, dead_letter, dead_letter_unread, adopted, adopted_and_changed, emptied, other_calendar, reported,
        swept, braked, braked_sweep, restored, relayed, relayed_removal,
    )
}  # fmt: skip
EVERYTHING = {"MAPPINGS_DIR": str(Path(__file__).parent / "everything")}
RELAYED = {"MAPPINGS_DIR": str(Path(__file__).parent / "relayed")}
SWEPT = {"MAPPINGS_DIR": str(Path(__file__).parent / "swept")}
SETTINGS = dict.fromkeys(("adopted", "adopted-and-changed", "emptied", "other-calendar", "reported"), EVERYTHING) | {
    "cookie-session": {"ACUMATICA_AUTH": "cookie"},
    "relayed": RELAYED,
    "relayed-removal": RELAYED,
    "swept": SWEPT,
    "braked": {"REMOVALS_MAX": "1"},
    "braked-sweep": SWEPT | {"REMOVALS_MAX": "1"},
    "restored": {"MAPPINGS_DIR": str(Path(__file__).parent / "restored")},
}

# -- the runs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A scenario and the deaths in it."""

    scenario: str
    cuts: tuple[Cut, ...] = ()

    @override
    def __str__(self) -> str:
        return f"{self.scenario}, death {' and '.join(map(str, self.cuts))}" if self.cuts else f"{self.scenario}, no death"

    @property
    def command(self) -> str:
        """What repeats it."""
        cuts = "".join(f" --cut {cut.number}:{cut.side}" for cut in self.cuts)
        return f"python -m local.crashpoints --scenario {self.scenario}{cuts or ' --sample 0'}"


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    run: Run
    requests: list[str]  # as far as they were numbered
    differences: list[str]


def play(run: Run, connection: str) -> Outcome:
    """Carry out a run on a storage account that nobody else uses."""
    random.seed(str(run))  # the app's jitter
    stage = Play(connection, run.cuts, SETTINGS.get(run.scenario))
    try:
        differences = stage.run(SCENARIOS[run.scenario])
    except Exception:  # noqa: BLE001  (the app or the scenario failed: a difference as well)
        differences = [traceback.format_exc()]
    return Outcome(run, stage.wire.requests, differences)


def crash_points(scenario: str, requests: int) -> list[Run]:
    """A run for each request and side."""
    sides: tuple[Side, Side] = ("before", "after")
    return [Run(scenario, (Cut(number, side),)) for number in range(1, requests + 1) for side in sides]


def double_death(scenario: str, requests: int, rng: random.Random) -> Run:
    """A run in which the successor dies as well, at a random moment (or ends its work before)."""
    first = rng.randint(1, requests)
    sides: list[Side] = rng.choices(("before", "after"), k=2)
    return Run(scenario, (Cut(first, sides[0]), Cut(first + rng.randint(1, requests), sides[1])))


class Accounts:
    """Storage accounts that nobody has used, of emulators that end with this process."""

    PER_EMULATOR = 300

    def __init__(self) -> None:
        self._azurite: Azurite | None = None
        self._left = 0

    def new(self) -> str:
        """The connection string of one."""
        if self._azurite is None or not self._left:
            if self._azurite:
                self._azurite.stop()
            self._azurite, self._left = Azurite(accounts=self.PER_EMULATOR), self.PER_EMULATOR
            self._azurite.start()
        self._left -= 1
        return self._azurite.new_account()


_accounts = Accounts()


def _play_in_own_process(run: Run) -> Outcome:
    return play(run, _accounts.new())


def _be_quiet() -> None:
    logging.disable()  # deaths make the app say much
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started this process


class Verdict:
    """Runs in processes of their own, and what came of them so far."""

    def __init__(self, jobs: int) -> None:
        self._pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_be_quiet)
        self.began = time.monotonic()
        self.failed: list[Outcome] = []
        self.runs: Counter[str] = Counter()
        self.requests: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def carry_out(self, runs: list[Run]) -> None:
        """Carry out runs; tells of each that failed, and how far it is."""
        futures = [self._pool.submit(_play_in_own_process, run) for run in runs]
        for number, future in enumerate(as_completed(futures), 1):
            outcome = future.result()
            self.runs[outcome.run.scenario] += 1
            if not outcome.run.cuts:
                self.requests[outcome.run.scenario] = outcome.requests
            if outcome.differences:
                self.failed.append(outcome)
                self._tell(outcome)
            if sys.stdout.isatty() or number % 100 == 0 or number == len(runs):
                end = "" if sys.stdout.isatty() and number < len(runs) else "\n"
                seconds = time.monotonic() - self.began
                told = f"{number} of {len(runs)} runs, {len(self.failed)} failed, {seconds:.0f} s"
                print(f"\r{told}" if sys.stdout.isatty() else told, end=end, flush=True)

    def _tell(self, outcome: Outcome) -> None:
        requests = self.requests.get(outcome.run.scenario, outcome.requests)
        print(f"\nFAILED: {outcome.run}")
        for cut in outcome.run.cuts:
            if cut.number <= len(requests):
                print(f"  request {cut.number} is {requests[cut.number - 1]}")
        for difference in outcome.differences:
            print(f"  ✗ {difference}")
        print(f"  again: {outcome.run.command}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Carry out what was asked for; the exit status is 0 only if no run left a difference."""
    options = _options(arguments)
    rng = random.Random(options.seed)
    names = options.scenario or list(SCENARIOS)
    try:
        with Verdict(options.jobs) as verdict:
            if options.cut:
                verdict.carry_out([Run(name, tuple(options.cut)) for name in names])
            else:
                verdict.carry_out([Run(name) for name in names])
                counts = {name: len(verdict.requests[name]) for name in names}
                runs = [run for name in names for run in crash_points(name, counts[name])]
                print(f"{len(names)} scenarios, {sum(counts.values())} requests, {len(runs)} crash points")
                if options.sample is not None:
                    runs = rng.sample(runs, min(options.sample, len(runs)))
                for _ in range(options.double):
                    name = rng.choice(names)
                    runs.append(double_death(name, counts[name], rng))
                verdict.carry_out(runs)
                for name in names:
                    print(f"  {name:<20} {counts[name]:>4} requests, {verdict.runs[name]:>4} runs")
    except AzuriteError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped: no verdict.")
        return 130
    total, seconds = sum(verdict.runs.values()), time.monotonic() - verdict.began
    if verdict.failed:
        print(f"FAILED: {len(verdict.failed)} of {total} runs left differences (seed {options.seed}, {seconds:.0f} s).")
        return 1
    print(f"OK: {total} runs, no differences (seed {options.seed}, {seconds:.0f} s).")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m local.crashpoints",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="Scenarios: " + "; ".join(f"{name}: {_says(scenario)}" for name, scenario in SCENARIOS.items()),
    )
    add = parser.add_argument
    add("--scenario", action="append", choices=SCENARIOS, metavar="NAME", help="one scenario (default: all); repeatable")
    add("--sample", type=int, metavar="N", help="only N of the crash points, drawn by the seed (default: all)")
    add("--double", type=int, default=0, metavar="N", help="and N runs in which a second process dies too")
    add("--seed", type=int, default=0, help="of the draws (default: 0)")
    add("--cut", type=_cut, action="append", metavar="NUMBER:SIDE", help="one run with just this death, as in 12:after")
    add("--jobs", type=int, default=min(os.cpu_count() or 1, 8), help="runs at a time (default: one per processor)")
    return parser.parse_args(arguments)


def _says(scenario: Scenario) -> str:
    return (scenario.__doc__ or "").strip().rstrip(".").lower()


def _cut(text: str) -> Cut:
    number, _, side = text.partition(":")
    if not number.isdecimal() or side not in {"before", "after"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 12:before or 12:after")
    return Cut(int(number), "before" if side == "before" else "after")


if __name__ == "__main__":
    sys.exit(main())
