"""Page Sweeps: what it says of a mapping's newest sweep and of what is held, and which buttons it has."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from handlers.clients.held import Hold, hold_id
from handlers.clients.sweeps import Sweep
from handlers.sync.sweep_plan import SweepPlan
from local.crashpoints import SWEPT
from local.world import MAPPING
from tests.runs_page.test_page import Browser, Time

PLAN = SweepPlan(MAPPING, "full", 1, read=8, live=8, equal=5, upserts=3, samples={"upserts": ["OP1"], "removals": ["OP2"]})
SWEEP = Sweep(MAPPING, "id", mode="full", by="ann", run="r1", started=1.0, saved=1.0, plan=PLAN, phase="done")
HOLD = Hold(
    hold_id("sweep", "id", MAPPING),
    source="sweep",
    origin="id",
    company="Production",
    mapping=MAPPING,
    timestamp=1,
    reason="The inquiry shows no row at all.",
)


@pytest.fixture
def browser(storage: str) -> Iterator[Browser]:
    opened = Browser(storage, Time(), **SWEPT)
    opened.sign_in()
    yield opened
    opened.factory.close()


def swept(browser: Browser, sweep: Sweep, **plan: Any) -> str:
    """The page after a sweep."""
    assert browser.factory.storage().sweeps.save(replace(sweep, plan=replace(sweep.plan, **plan)))
    return browser.get("sweeps").text


def test_before_the_first_sweep_looking_is_proposed(browser: Browser) -> None:
    text = browser.get("sweeps").text
    assert "Not swept yet." in text
    assert '<button class="main">Look only' in text
    assert "<button>Apply it now" in text


def test_a_sweep_under_way_is_followed_and_cannot_be_begun_again(browser: Browser) -> None:
    text = swept(browser, replace(SWEEP, phase="read"))
    assert "Under way" in text
    assert 'data-follow="1"' in text
    assert 'data-follow="5"' in browser.get("sweeps?follow=5").text
    assert "to add or change" in text
    assert "Look only" not in text
    assert "Apply it now" not in text


def test_a_page_where_somebody_may_be_writing_is_not_loaded_again(browser: Browser) -> None:
    browser.factory.storage().held.hold(HOLD, [("OP1",)])
    text = swept(browser, replace(SWEEP, phase="read"))
    assert "Under way" in text
    assert "data-follow=" not in text.partition("<script>")[0]


@pytest.mark.parametrize(
    ("mode", "plan", "said", "unsaid"),
    [
        ("full", {}, ["Done.", "added or changed", "What became of the rows"], ["to remove", "missing"]),
        ("full", {"removals": 1}, ["Done.", ">removed<", "OP2"], ["missing"]),
        ("full", {"upserts": 0}, ["Nothing was to be done."], ["What became"]),
        ("full", {"held": 8}, ["Swept.", "removals held", "OP2"], ["Nothing was"]),
        ("upsert", {"removals": 1}, ["missing: a sweep in mode full removes them"], [">removed<"]),
        (
            "report",
            {"removals": 1},
            ["nothing was done", "to add or change", "missing: a sweep in mode full"],
            ["What became", ">removed<"],
        ),
        ("full", {"skipped": {"would-invite": 2}}, ["Outlook would mail its attendees"], ["would-invite"]),
    ],
)
def test_what_was_done_is_told_apart_from_what_would_be(
    browser: Browser, mode: Any, plan: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    text = swept(browser, replace(SWEEP, mode=mode), **plan)
    assert [part for part in said if part not in text] == []
    assert [part for part in unsaid if part in text] == []


@pytest.mark.parametrize(
    ("mode", "held", "said"),
    [
        ("full", 8, "Held: <bdi>too many</bdi></p>"),
        ("report", 0, "The brake would hold the removals: <bdi>too many</bdi></p>"),
    ],
)
def test_a_report_holds_nothing(browser: Browser, mode: Any, held: int, said: str) -> None:
    assert said in swept(browser, replace(SWEEP, mode=mode, reason="too many"), removals=8 - held, held=held)


def test_a_sweep_that_ended_early_shows_code_and_remedy_and_no_numbers(browser: Browser) -> None:
    ended = replace(SWEEP, code="inquiry-not-exposed", reason="None exposed.", remedy="Expose it.")
    text = swept(browser, ended, read=0, upserts=0, equal=0)
    for part in (
        "None exposed.",
        "Expose it.",
        "inquiry-not-exposed",
        "Ended before its time.",
        '<button class="main">Look',
    ):
        assert part in text
    assert 'aria-label="Plan"' not in text


def test_a_sweep_that_waits_says_so(browser: Browser) -> None:
    text = swept(browser, replace(SWEEP, phase="read", code="acumatica-away", reason="No answer."))
    assert "It waits, and goes on by itself: <bdi>No answer.</bdi>" in text


def test_what_is_held_is_released_or_discarded_and_leads_back(browser: Browser) -> None:
    browser.factory.storage().held.hold(HOLD, [("OP1",), ("OP2",)])
    text = browser.get("sweeps").text
    for part in ("2 removals held", "The inquiry shows no row at all", "Rows: <bdi>OP1</bdi>; <bdi>OP2</bdi></p>"):
        assert part in text
    assert "1 time<" in browser.get().text
    released = browser.send("POST", "release", f"token={browser.token}&key={HOLD.id}").text
    assert 'href="/api/runs/sweeps">Sweeps</a></p>' in released
    assert 'href="/api/runs/sweeps" aria-current="page"' in released
    text = browser.get("sweeps").text
    assert "2 removals released" in text
    assert "0 of 2 are looked at so far" in text
    discarded = browser.send("POST", "discard-held", f"token={browser.token}&key={HOLD.id}&why=x").text
    assert 'href="/api/runs/sweeps">Sweeps</a></p>' in discarded
    assert "removals released" not in browser.get("sweeps").text


def test_a_look_at_the_calendars_leads_back(browser: Browser) -> None:
    looked = browser.send("POST", "look", f"token={browser.token}")
    assert looked.status_code == 200
    assert 'href="/api/runs/sweeps">Sweeps</a></p>' in looked.text
