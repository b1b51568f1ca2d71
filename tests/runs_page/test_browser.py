"""The runs page in a real browser, with the whole app behind it. Without a browser the last lines of pytest say so."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from local import browser as browsers
from local.azurite import Azurite
from local.browser import AXE, KEY, sign_in
from local.world import MAPPING, World
from tests.end_to_end.conftest import new_world

pytestmark = pytest.mark.browser
HOSTILE = {
    "SCRIPT": "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">",
    "LINK": "javascript:document.title='broken'",
    "LONG": "W" * 10_000,
    "RTL": "\u202eתיאור \U0001f5d3\ufe0f " * 5,
}


@pytest.fixture(scope="module")
def world(azurite: Azurite) -> Iterator[World]:
    with new_world(azurite.new_account(), {"RUNS_KEY": KEY, "REMOVALS_MAX": "1"}) as running:
        browsers.furnish(running)
        for number, (name, value) in enumerate(HOSTILE.items()):
            running.post(
                running.inquiry.save(f"HOSTILE-{number}", Subject=value, Room=value, OwnerEmail=f"no mailbox {name}")
            )
        running.post({**running.inquiry.notification([], []), "Query": HOSTILE["SCRIPT"]})
        running.rest()
        World.wait(lambda: "HOSTILE-3" in listed(running), 20)
        yield running


def listed(world: World) -> str:
    return requests.get(f"{world.host.url}/api/runs?format=json", headers={"x-runs-key": KEY}, timeout=10).text


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.launched() as launched:
        yield launched


@pytest.fixture
def page(chromium: Browser, world: World) -> Iterator[Page]:
    """A page of somebody in New York who has signed in; nothing may be said on the console."""
    context = chromium.new_context(timezone_id="America/New_York", locale="en-US")
    opened = context.new_page()
    said: list[str] = []
    sign_in(opened, world.host.url)
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    context.close()
    assert [text for text in said if "status of 40" not in text] == []


def go(page: Page, world: World, path: str = "") -> None:
    page.goto(f"{world.host.url}/api/runs{path}")


PATHS = [
    "",
    "/letters",
    "/search?q=OP000107",
    "/search?q=northwind",
    "/sweeps",
    "/mailboxes",
    "/mailbox/ann@example.com",
    "/preview",
    "/search?q=ann@example.com",
    "/health",
    "?which=rejected",
    "/search?q=nothing",
]


def test_a_missing_mailbox_is_found_mended_and_run_again(page: Page, world: World) -> None:
    """The salesperson says that a meeting is missing."""
    go(page, world)
    page.get_by_label("Part of a key, a subject or a mailbox").fill("contract REVIEW")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Contract review, Northwind")
    expect(page.locator(".lead")).to_contain_text("9 Dec 2036, 11:00–12:00 (Eastern Standard Time)")
    expect(page.locator(".reason")).to_contain_text("Mailbox nora@example.com does not exist")
    expect(page.locator(".remedy")).to_contain_text("Check the column that the mapping's mailbox is made of")
    world.graph.add_mailbox("nora@example.com")
    page.get_by_role("button", name="Resubmit").click()
    expect(page.get_by_text("Settled: this is how it is now.")).to_be_visible(timeout=30_000)  # the page looks by itself
    assert [event["subject"] for event in world.graph.events("nora@example.com")] == ["Contract review, Northwind"]
    expect(page.locator(".lead .badge")).to_have_text("in order")
    expect(page.locator(".letter")).to_have_count(0)
    expect(page.get_by_text("Event made, id written to Acumatica")).to_be_visible()
    expect(page.get_by_text("mended since")).to_be_visible()
    go(page, world)
    expect(page.locator(".badge", has_text="failed, mended since")).to_be_visible()
    go(page, world, "/letters")
    expect(page.get_by_text("OP000108")).to_be_visible()
    expect(page.get_by_text("OP000107")).to_have_count(0)


def test_with_the_keyboard_alone_a_letter_is_discarded(page: Page, world: World) -> None:
    go(page, world)
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
    tab_to(page, page.locator(".letter", has_text="OP000119").locator("summary"))
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("not needed any more")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Discarded")).to_be_visible()
    go(page, world, "?which=people")
    page.locator("table a").first.click()
    expect(page.get_by_text("not needed any more")).to_be_visible()


def tab_to(page: Page, target: Any) -> None:
    for _ in range(80):
        if target.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("never reached with Tab")


def test_hostile_contents_are_shown_and_do_nothing(page: Page, world: World) -> None:
    go(page, world, "/letters")
    assert "broken" not in page.title()
    for number, value in enumerate(HOSTILE.values()):
        go(page, world, f"/search?q=HOSTILE-{number}")
        page.get_by_role("link", name="What it holds").click()
        assert "broken" not in page.title()
        cell = page.locator("td[data-label=Value]", has=page.locator("bdi", has_text=value[:40].strip())).first
        expect(cell).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing reaches beyond the screen"
    go(page, world, "?which=rejected")
    expect(page.get_by_text("<script>").first).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_axe_finds_nothing(chromium: Browser, world: World, scheme: Any, width: int) -> None:
    """https://github.com/dequelabs/axe-core: all rules, nothing of any impact; and no page is wider than its screen."""
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    page.goto(f"{world.host.url}/api/runs")
    found = axe(page, "sign-in")
    sign_in(page, world.host.url)
    for path in PATHS:
        go(page, world, path)
        found += axe(page, path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    context.close()
    assert found == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_what_is_held_is_discarded_and_a_sweep_is_followed_to_its_end(
    chromium: Browser, world: World, scheme: Any, width: int
) -> None:
    rows = [world.inquiry.rows[key] for key in ("OP000131", "OP000132")]
    world.post(world.inquiry.notification([], rows))
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = context.new_page()
    sign_in(page, world.host.url)
    go(page, world, "/sweeps")
    expect(page.get_by_role("heading", name="2 removals held")).to_be_visible()
    page.get_by_text("Discard …").click()
    found = axe(page, "held")
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Why").fill("the inquiry was wrong")
    page.get_by_role("button", name="Keep the events").click()
    page.get_by_role("main").get_by_role("link", name="Sweeps").click()
    card = page.locator("section", has=page.get_by_role("heading", name=MAPPING))
    card.get_by_role("button", name="Look only").click()
    expect(card.get_by_text("A report: nothing was done.")).to_be_visible(timeout=30_000)  # the page looks by itself
    expect(card.get_by_text("equal", exact=True)).to_be_visible()
    found += axe(page, "swept")
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert found == []
    assert len(world.graph.events("bob@example.com")) == 1


def axe(page: Page, where: str) -> list[str]:
    page.add_script_tag(path=AXE)
    violations = page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations")
    return [f"{where}: {v['impact']} {v['id']}: {v['nodes'][0]['html'][:200]}" for v in violations]


CUT = """() => {
  const cut = [];
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());)
    if (!text.parentElement.closest("details, .any, pre, textarea"))
      for (const word of text.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1) cut.push(word[0]);
      }
  return cut;
}"""


@pytest.mark.parametrize("width", [360, 390, 768, 1200])
def test_no_word_is_cut_and_the_header_is_one_line(chromium: Browser, world: World, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    sign_in(page, world.host.url)
    paths = ["", "/mailboxes", "/mailbox/ann@example.com", "/search?q=OP000131", "/search?q=example", "/preview", "/health"]
    for path in paths:
        go(page, world, path)
        assert page.evaluate(CUT) == [], path
        assert page.locator("header").bounding_box()["height"] < 70, path  # type: ignore[index]
    context.close()


def test_an_id_is_copied_whole(chromium: Browser, world: World) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    sign_in(page, world.host.url)
    go(page, world, "/search?q=OP000131")
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    (event,) = world.graph.events("bob@example.com")
    assert page.evaluate("navigator.clipboard.readText()") == event["id"]
    context.close()


def test_a_test_event_comes_and_goes(page: Page, world: World) -> None:
    go(page, world, "/mailboxes")
    page.get_by_role("link", name="bob@example.com").click()
    before = [event["id"] for event in world.graph.events("bob@example.com")]
    page.get_by_role("button", name="Send a test event").click()
    expect(page.get_by_text("Event removed")).to_be_visible()
    assert [event["id"] for event in world.graph.events("bob@example.com")] == before


def test_a_dead_letter_is_previewed(page: Page, world: World) -> None:
    go(page, world, "/letters")
    page.get_by_role("link", name="OP000108").click()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Download as a notification").click()
    assert downloaded.value.suggested_filename.startswith("notification-")
    page.get_by_role("link", name="Preview it").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Kick-off, Northwind").first).to_be_visible()


def test_times_are_the_readers(page: Page, world: World) -> None:
    go(page, world)
    expect(page.locator("footer")).to_contain_text("America/New York")
    time = page.locator("table[aria-label=Runs] time").first
    assert re.fullmatch(r"(\w+ \d+, )?\d+:\d\d:\d\d [AP]M", time.inner_text().replace("\u202f", " "))


def test_without_scripts_times_are_in_utc(chromium: Browser, world: World) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, world.host.url)
    expect(page.locator("footer")).to_contain_text("Times in UTC")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", page.locator("table[aria-label=Runs] time").first.inner_text()
    )
    context.close()


def test_the_deep_checks_run_from_the_page(page: Page, world: World) -> None:
    go(page, world, "/health")
    page.get_by_label("Mailbox to try").fill("ann@example.com")
    page.get_by_role("button", name="Check Graph and Acumatica").click()
    expect(page.get_by_text("ann@example.com can be read")).to_be_visible()
    expect(page.get_by_text("holds ids of")).to_be_visible()
    assert world.wait(lambda: not world.acumatica.sessions, 20)


def test_signing_out_and_a_wrong_key(page: Page, world: World) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    go_quietly = page.request.post(f"{world.host.url}/api/runs/sign-in", form={"key": "wrong"})
    assert go_quietly.status == 403
    assert page.request.get(f"{world.host.url}/api/runs").status == 401
