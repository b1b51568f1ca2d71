"""What a row costs: every request of the app to storage, Graph and Acumatica, counted on the wire. No time is measured."""

import re
from collections import Counter

from local.azurite import Azurite
from local.crashpoints import Clock, Play

ROWS = 10  # of one notification
ONCE = {  # for a notification, however many rows it has
    "table POST PushNotifications": 1,
    "table PATCH PushNotifications": 1,
}


class Still(Clock):
    """Time does not pass: what the app does now and then, such as renewing a lease, is not counted."""

    def __call__(self) -> float:
        return self.now


def still(azurite: Azurite) -> Play:
    play = Play(azurite.new_account())
    play.clock = Still()
    return play


def requests(play: Play) -> Counter[str]:
    """What was counted, without the account's name and the addresses' changing parts.

    Without the records of runs, which are written together every few seconds (tests/clients/test_activity.py), and without
    the queue's being made by each process.
    """
    names = "EventLinks|PushNotifications|AcumaticaSessions|row-changes/messages|events|token|logout|Opportunity"
    counted = (request for request in play.wire.requests if not re.search(r"Runs|\$batch|^queue PUT", request))
    found = (re.match(rf"(\w+ \w+) .*?({names})", request) for request in counted)
    return Counter(f"{match[1]} {match[2]}" if match else "something else" for match in found)


def save_all(play: Play, subject: str) -> None:
    """One notification with all rows, each in a mailbox of its own."""
    saved = [play.inquiry.save(f"R{n}", Subject=subject, OwnerEmail=f"user{n}@example.com") for n in range(ROWS)]
    inserted = [row for notification in saved for row in notification["Inserted"]]
    deleted = [row for notification in saved for row in notification["Deleted"]]
    play.arrive(play.inquiry.notification(inserted, deleted))


def test_a_new_row_costs_one_call_of_each_service_and_two_operations_on_its_link(azurite: Azurite) -> None:
    """One session for all of them; nothing is read from Graph or Acumatica."""

    def scenario(play: Play) -> None:
        play.begin()
        save_all(play, "new")

    play = still(azurite)
    assert play.run(scenario) == []
    counted = requests(play)
    sessions = {name: counted.pop(name) for name in list(counted) if "AcumaticaSessions" in name}
    assert sessions == {  # looked for, the circuit breaker looked at, signing-in, open, free
        "table GET AcumaticaSessions": 2,
        "table POST AcumaticaSessions": 1,
        "table PUT AcumaticaSessions": 2,
    }
    assert counted == ONCE | {
        "queue POST row-changes/messages": ROWS,
        "table POST EventLinks": ROWS,
        "table PUT EventLinks": ROWS,
        "graph POST events": ROWS,
        "graph GET token": 1,
        "acumatica POST token": 1,
        "acumatica PUT Opportunity": ROWS,
        "acumatica POST logout": 1,
    }


def test_an_update_costs_one_call_of_graph_and_none_of_acumatica(azurite: Azurite) -> None:
    def scenario(play: Play) -> None:
        save_all(play, "new")
        play.drain()
        play.begin()
        save_all(play, "changed")
        play.drain()
        play.wire.counting = False

    play = still(azurite)
    assert play.run(scenario) == []
    assert requests(play) == ONCE | {
        "queue POST row-changes/messages": ROWS,
        "table GET EventLinks": ROWS,
        "table PUT EventLinks": 2 * ROWS,
        "graph PATCH events": ROWS,
    }


def test_a_row_that_is_taken_for_new_and_is_not_costs_an_insert_in_vain(azurite: Azurite) -> None:
    """As when the two halves of an update come in two notifications: the conflict is looked at, then the link is read."""

    def scenario(play: Play) -> None:
        save_all(play, "new")
        play.drain()
        play.begin()
        save_all(play, "changed")
        play.drain()
        play.wire.counting = False

    play = still(azurite)
    whole = play.arrive
    play.arrive = lambda notification: whole({**notification, "Deleted": []})  # type: ignore[method-assign]
    assert play.run(scenario) == []
    assert requests(play) == ONCE | {
        "queue POST row-changes/messages": ROWS,
        "table POST EventLinks": ROWS,
        "table GET EventLinks": 2 * ROWS,
        "table PUT EventLinks": 2 * ROWS,
        "graph PATCH events": ROWS,
    }


def test_an_echo_costs_one_read_and_one_write_of_its_link(azurite: Azurite) -> None:
    def scenario(play: Play) -> None:
        save_all(play, "new")
        play.drain()
        play.begin()
        rows = list(play.inquiry.rows.values())
        play.arrive(play.inquiry.notification(rows, rows))
        play.drain()
        play.wire.counting = False

    play = still(azurite)
    assert play.run(scenario) == []
    assert requests(play) == ONCE | {
        "queue POST row-changes/messages": ROWS,
        "table GET EventLinks": ROWS,
        "table PUT EventLinks": ROWS,
    }
