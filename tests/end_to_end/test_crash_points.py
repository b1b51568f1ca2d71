"""Deaths at seeded crash points of the real code; `python -m local.crashpoints` tries all of them."""

import random
from unittest.mock import patch

import pytest

from handlers.clients.notifications import Notifications, ReceivedNotification
from handlers.clients.relay import Relays
from local.azurite import Azurite
from local.crashpoints import SCENARIOS, Cut, Run, crash_points, double_death, play


@pytest.mark.parametrize("seed", range(3))
def test_a_death_at_any_request_leaves_no_trace(azurite: Azurite, seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(list(SCENARIOS))
    whole = play(Run(name), azurite.new_account())
    assert whole.differences == []
    count = len(whole.requests)
    for run in [*rng.sample(crash_points(name, count), 2), double_death(name, count, rng)]:
        assert play(run, azurite.new_account()).differences == [], run.command


def test_the_same_requests_each_time(azurite: Azurite) -> None:
    """Else a number would not mean the same crash point in each run."""

    def requests() -> list[str]:
        account = azurite.new_account()
        name = account.partition("AccountName=")[2].partition(";")[0]
        return [request.replace(name, "account") for request in play(Run("there-and-back"), account).requests]

    assert requests() == requests()


def test_a_notification_that_is_dropped_too_early_is_found_out(azurite: Azurite) -> None:
    """What was begun is not done: with that mistake in the code, the death after the first request loses a change."""
    begin = Notifications.begin

    def hasty(store: Notifications, received: ReceivedNotification) -> str:
        return "queued" if store.get(received.key) else begin(store, received)

    with patch.object(Notifications, "begin", hasty):
        outcome = play(Run("new-row", (Cut(2, "after"),)), azurite.new_account())
    assert outcome.differences == ["row A: 0 events instead of one"]


def test_a_message_that_is_not_sent_is_found_out(azurite: Azurite) -> None:
    with patch.object(Relays, "deliver", lambda *_: "made-A"):
        outcome = play(Run("relayed"), azurite.new_account())
    assert [difference.partition(":")[0] for difference in outcome.differences] == [
        "row A at the receiver of opportunities-to-flow",
        "row A at the receiver of opportunities-to-flow",
    ]
