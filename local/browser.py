"""A real browser, for tests of the runs page and for its pictures: Chromium of this machine, driven by Playwright.

python -m local.browser             makes the pictures of docs/images anew
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from handlers.clients.activity import Recorder
from handlers.clients.storage import Storage
from handlers.environment import load_settings
from handlers.settings import StorageSettings
from handlers.sync.change import RowChange
from local.azurite import Azurite
from local.demo import AGE, SETTINGS
from local.world import World

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
AXE = ROOT / ".local" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
KEY = "the-key-of-the-runs-page"
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def find() -> str | None:
    """Where Chromium is: what the environment variable CHROMIUM says, or the first of its names on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str) -> None:
    """Open the runs page."""
    page.goto(f"{url}/api/runs")
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_selector("h1:has-text('Runs')")


def furnish(world: World) -> None:
    """A day with its usual events, among them a mailbox that is missing, and a refused notification."""
    dates = {"MeetingStart": "2036-12-09T11:00:00", "MeetingEnd": "2036-12-09T12:00:00"}
    visits = (("OP000131", "Site visit, Fabrikam", "bob@example.com"), ("OP000132", "Demo at Contoso", "ann@example.com"))
    world.graph.remove_mailbox("nora@example.com")
    for key, subject, owner in visits:
        world.post(world.inquiry.save(key, Subject=subject, OwnerEmail=owner, **dates))
    world.rest()
    for number, subject in enumerate(("Contract review, Northwind", "Kick-off, Northwind")):
        world.post(world.inquiry.save(f"OP00010{7 + number}", Subject=subject, OwnerEmail="nora@example.com", **dates))
    world.post(world.inquiry.save("OP000119", MeetingStart="2036-12-09T11:00:00", MeetingEnd="2036-12-09T10:00:00"))
    refused = world.inquiry.notification([world.inquiry.rows["OP000131"]], [])
    world.post({**refused, "Query": "Calendar - Renamed Inquiry"})
    world.post(world.inquiry.save("OP000132", Subject="Demo at Contoso, room 4"))
    world.rest()
    _history(world)


def _history(world: World) -> None:
    """Numbers of the hours before, as the app would have written them."""
    storage = Storage(load_settings(StorageSettings, {"AzureWebJobsStorage": world.connection}))
    now = datetime.now(UTC)
    for ago in range(1, 24):
        moment = (now - timedelta(hours=ago)).timestamp()
        recorder = Recorder(storage, lambda moment=moment: moment)  # type: ignore[misc]
        busy = 3 + 9 * (8 <= (now.hour - ago) % 24 <= 17) + ago % 4
        for number in range(busy):
            change = RowChange("t", "m", ("A",), 1, None, "n", moment)
            recorder.failed(change) if number % 11 == 10 else recorder.applied(change, ["UpdateEvent"])
            if number % 2:
                recorder._count("notifications")  # noqa: SLF001
        recorder.close()
    storage.close()


PICTURES = {"runs": "", "dead-letters": "/letters", "row": "/search?q=OP000107", "health": "/health"}
PICTURES |= {"mailbox": "/mailbox/ann@example.com"}
PHONE = {"phone": "/letters"}


def pictures(folder: Path) -> None:
    """Make the pictures: each page, light and dark, and one on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = SETTINGS | {"RUNS_KEY": KEY}
    with Azurite() as azurite, World(azurite.connection_string(), settings, echo=True, age=AGE) as world:
        furnish(world)
        World.wait(lambda: "Renamed" in _seen(world), 20)
        with launched() as browser:
            for look, pages in ((("light", 1100), PICTURES), (("dark", 1100), PICTURES), (("light", 390), PHONE)):
                _take(browser, world.host.url, folder, look, pages)
            world.inquiry.rows.clear()
            world.night()
            for scheme in ("light", "dark"):
                _take(browser, world.host.url, folder, (scheme, 1100), {"sweeps": "/sweeps"})


def _take(browser: Browser, url: str, folder: Path, look: tuple[str, int], pages: dict[str, str]) -> None:
    scheme, width = look
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 820},
        timezone_id="America/New_York",
        locale="en-US",
    )
    page = context.new_page()
    sign_in(page, url)
    for name, path in pages.items():
        page.goto(f"{url}/api/runs{path}")
        page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=scheme == "light" and width < 400)
    context.close()


def _seen(world: World) -> str:
    return requests.get(f"{world.host.url}/api/runs?format=json", headers={"x-runs-key": KEY}, timeout=10).text


def main() -> int:
    """Make the pictures."""
    made = argparse.ArgumentParser(prog="python -m local.browser", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--folder", type=Path, default=IMAGES, help="where to put them (default: docs/images)")
    options = made.parse_args()
    if not find():
        print("There is no Chromium on the PATH; name one with CHROMIUM=/path/to/chromium.", file=sys.stderr)
        return 1
    pictures(options.folder)
    for file in sorted(options.folder.glob("*.png")):
        print(f"{file}  {file.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
