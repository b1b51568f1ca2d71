"""The runs page as a WSGI application: access, what is refused, what is escaped. In a browser: test_browser.py."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from werkzeug.test import Client, TestResponse

from handlers.runs_page import render
from handlers.runs_page.page import Page, respond
from handlers.runs_page.throttle import NotNow, Throttle
from handlers.runs_page.visit import BASE, Request
from handlers.services import Factory
from handlers.sync.link import EventLink, InOutlook
from tests.bench import QUERY, Bench
from tests.operations.steps import a_row, work
from tests.operations.steps import post as sent

KEY = "a-key-of-the-runs-page"
PAGE = Path(render.__file__).parent


class Browser:
    """Sends requests and keeps the cookie."""

    def __init__(self, storage: str, clock: Callable[[], float], **environ: str) -> None:
        settings = {
            "AzureWebJobsStorage": storage,
            "RUNS_KEY": KEY,
            "ACUMATICA_URL": "http://127.0.0.1:9",
            "ACUMATICA_TENANT": "Production",
            "ACUMATICA_CLIENT_ID": "id@Production",
            "ACUMATICA_CLIENT_SECRET": "s",
            "ACUMATICA_USERNAME": "u",
            "ACUMATICA_PASSWORD": "p",
        }
        self.environ = {name: value for name, value in (settings | environ).items() if value}
        self.factory = Factory(self.environ, clock)
        self.page = Page(self.factory, self.environ)
        self.app = lambda environ, start: self.page.answer(Request(environ))(environ, start)
        self.client = Client(self.app)

    @property
    def cookie(self) -> str:
        found = self.client.get_cookie("runs-session", "app.example.com", BASE)
        return found.value if found else ""

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.set_cookie("runs-session", value, domain="app.example.com", path=BASE)

    def send(self, method: str, path: str, form: str = "", **headers: str) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            sent["content-type"] = "application/x-www-form-urlencoded"
        path, _, question = path.partition("?")
        client = Client(self.app, use_cookies=False) if "cookie" in headers else self.client
        return client.open(
            f"{BASE}/{path}".rstrip("/"),
            base_url="https://app.example.com",
            query_string=question,
            method=method,
            data=form.encode(),
            headers=list(sent.items()),
        )

    def get(self, path: str = "", **headers: str) -> TestResponse:
        return self.send("GET", path, **headers)

    def sign_in(self, key: str = KEY, **headers: str) -> TestResponse:
        return self.send("POST", "sign-in", f"key={key}&next=letters", **headers)

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([\w.-]+)"', self.get().text)
        assert found
        return found[1]


class Time:
    now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def browser(storage: str, time: Time) -> Iterator[Browser]:
    opened = Browser(storage, time)
    yield opened
    opened.factory.close()


# -- access -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "too-short", "@Microsoft.KeyVault(SecretUri=https://x)"])
def test_without_a_key_there_is_no_page(storage: str, time: Time, key: str) -> None:
    answer = Browser(storage, time, RUNS_KEY=key).get()
    assert (answer.status_code, "RUNS_KEY" in answer.text, KEY in answer.text) == (404, True, False)


PATHS = ["", "letters", "health", "search?q=A", "run/r1", "row/ab", "letter/ab", "nothing"]
PATHS += ["sweeps", "mailboxes", "mailbox/ann@example.com", "preview", "run/r1/notification", "letter/ab/notification"]


FORMS = [
    "resubmit",
    "discard",
    "sweep",
    "look",
    "release",
    "discard-held",
    "health",
    "sign-out",
    "nothing",
    "preview",
    "mailbox/ann@example.com/test",
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_seen_without_signing_in(browser: Browser, path: str) -> None:
    for headers in (
        {},
        {"x_functions_key": "k"},
        {"cookie": "runs-session=WzEsOTk5OTk5OTk5OSwieCJd.deadbeef"},
        {"cookie": "runs-session=\xff;="},
    ):
        answer = browser.get(path, **headers)
        assert answer.status_code == 401
        assert "<form" in answer.text
    as_json = browser.get(path + ("&" if "?" in path else "?") + "format=json")
    assert (as_json.status_code, as_json.mimetype) == (401, "application/json")


@pytest.mark.parametrize("path", FORMS)
def test_nothing_is_done_without_signing_in(browser: Browser, path: str) -> None:
    assert browser.send("POST", path, "all=1&token=x").status_code == 401


def test_the_key_opens_a_session(browser: Browser) -> None:
    answer = browser.sign_in()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/api/runs/letters")
    attributes = answer.headers["Set-Cookie"].split("; ")[1:]
    assert sorted(attributes) == ["HttpOnly", "Path=/api/runs", "SameSite=Strict", "Secure"]
    assert KEY not in answer.headers["Set-Cookie"]
    assert browser.get().status_code == 200
    assert browser.send("POST", "sign-out", f"token={browser.token}").status_code == 303
    assert browser.get().status_code == 401


@pytest.mark.parametrize("then", ["//evil.example.com", "https://evil.example.com", "/\\evil", "a\r\nSet-Cookie: x", "../x"])
def test_signing_in_leads_nowhere_else(browser: Browser, then: str) -> None:
    answer = browser.send("POST", "sign-in", f"key={KEY}&next={then}")
    assert (answer.status_code, answer.headers["Location"].startswith("/api/runs")) == (303, True)
    assert ".." not in answer.headers["Location"]
    assert "\n" not in answer.headers["Location"]


def test_a_session_ends(browser: Browser, time: Time) -> None:
    """An hour after it was last used, and twelve hours after signing in in any case."""
    browser.sign_in()
    time.now += 3601
    assert browser.get().status_code == 401
    browser.sign_in()
    for _ in range(23):
        time.now += 1800
        assert browser.get().status_code == 200
    time.now += 1801
    assert browser.get().status_code == 401


def test_signing_out_ends_the_session_wherever_its_cookie_is(browser: Browser, storage: str, time: Time) -> None:
    browser.sign_in()
    copied, token = browser.cookie, browser.token
    assert browser.send("POST", "sign-out", f"token={token}").status_code == 303
    other = Browser(storage, time)
    other.cookie = copied
    assert other.get().status_code == 401
    assert other.send("POST", "resubmit", f"all=1&token={token}").status_code == 401
    other.factory.close()


def test_another_key_ends_all_sessions(browser: Browser, storage: str, time: Time) -> None:
    browser.sign_in()
    other = Browser(storage, time, RUNS_KEY=KEY + "x")
    other.cookie = browser.cookie
    assert other.get().status_code == 401
    other.factory.close()


def test_brute_force_is_throttled_over_instances_and_locks_nobody_out(browser: Browser, storage: str, time: Time) -> None:
    other = Browser(storage, time)
    statuses = [each.sign_in("wrong").status_code for _ in range(4) for each in (browser, other)]
    assert statuses == [403] * 5 + [429] * 3
    assert browser.sign_in().status_code == 429, "the right key is not looked at either, or the throttle would tell it"
    assert browser.sign_in("wrong", x_forwarded_for="10.0.0.9:1234").status_code == 403, "another address"
    waited = 0.0
    for _ in range(10):
        refused = browser.sign_in("wrong")
        if refused.status_code == 429:
            wait = float(refused.headers["Retry-After"])
            waited, time.now = waited + wait, time.now + wait + 1
    assert waited > 60
    time.now += 301
    assert browser.sign_in().status_code == 303, "five minutes at most"
    assert browser.sign_in("wrong").status_code == 403, "and all is forgotten"
    other.factory.close()


def test_an_attack_from_many_addresses_slows_them_down_and_locks_nobody_out(browser: Browser, time: Time) -> None:
    """Sixty wrong keys a minute from anywhere, minute after minute: a right key still gets in, from a new address too."""
    browser.sign_in(x_forwarded_for="10.0.0.1:1")
    for minute in range(3):
        statuses = [browser.sign_in("wrong", x_forwarded_for=f"10.{minute}.1.{n}:1").status_code for n in range(70)]
        assert statuses == [403] * 70
        assert browser.sign_in(x_forwarded_for=f"10.{minute}.2.1:1").status_code == 303, "a new address"
        assert browser.sign_in(x_forwarded_for="10.0.0.1:999").status_code == 303, "a known one"
        time.now += 60
    unknown = [browser.sign_in("wrong", x_forwarded_for="10.9.9.9:1").status_code for _ in range(3)]
    known = [browser.sign_in("wrong", x_forwarded_for="10.0.0.1:1").status_code for _ in range(6)]
    assert (unknown, known) == ([403] + [429] * 2, [403] * 5 + [429])
    time.now += 3
    assert browser.sign_in(x_forwarded_for="10.9.9.9:1").status_code == 303, "and whoever mistyped it waits for seconds"
    time.now += 601
    calm = [browser.sign_in("wrong", x_forwarded_for="10.8.8.8:1").status_code for _ in range(6)]
    assert calm == [403] * 5 + [429]


def test_the_address_is_the_one_that_the_front_end_saw(browser: Browser) -> None:
    """What a client writes into the header itself comes before it."""
    for front_end in ("10.0.0.1:{}", "[2001:db8:0:1::{}]:443", "2001:db8:0:2::{}"):  # of IPv6, the whole network
        seen = [f"1.2.3.{n}, {front_end.format(n)}" for n in range(7)]
        statuses = [browser.sign_in("wrong", x_forwarded_for=each).status_code for each in seen]
        assert statuses == [403] * 5 + [429] * 2


def test_a_try_is_counted_before_the_key_is_looked_at(browser: Browser, time: Time) -> None:
    throttle = Throttle(browser.factory.storage().sign_ins, time)
    for _ in range(5):
        assert not throttle.try_key("wrong", KEY, "a")
    with pytest.raises(NotNow):
        throttle.try_key(KEY, KEY, "a")


def test_programs_send_the_key_as_a_header(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    answer = browser.get("?format=json", x_runs_key=KEY)
    assert (answer.status_code, json.loads(answer.text)) == (200, {"runs": []})
    assert browser.get("letters", accept="application/json", x_runs_key=KEY).text == '{"letters": []}'
    assert browser.get("?format=json", x_runs_key="wrong").status_code == 401
    assert "wrong key in the header x-runs-key" in caplog.text
    assert browser.send("POST", "resubmit", "all=1", x_runs_key=KEY).status_code == 401, "acting needs a session"


# -- forms --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    browser.sign_in()
    assert browser.send("POST", "resubmit", f"all=1&token={browser.token}", **headers).status_code == 403
    assert browser.send("POST", "sign-in", f"key={KEY}", **headers).status_code == 403


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ä"])
def test_a_form_without_the_sessions_token_is_refused(browser: Browser, token: str) -> None:
    browser.sign_in()
    assert browser.send("POST", "resubmit", f"all=1&token={token}").status_code == 403
    assert (
        browser.send("POST", "resubmit", f"all=1&token={browser.token}", origin="https://app.example.com").status_code == 409
    )


def test_the_token_of_another_session_is_refused(browser: Browser) -> None:
    browser.sign_in()
    token = browser.token
    browser.sign_in()
    assert browser.send("POST", "resubmit", f"all=1&token={token}").status_code == 403


@pytest.mark.parametrize("form", ["", "token", "&&&", "x=%ff", "a=1&" * 500])
def test_any_form_has_an_answer(browser: Browser, form: str) -> None:
    browser.sign_in()
    for path in (*FORMS, "sign-in", ""):
        assert browser.send("POST", path, form).status_code in {303, 403, 404, 429}


# -- pages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_page_forbids_what_is_not_its_own(browser: Browser, path: str) -> None:
    browser.sign_in()
    answer = browser.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r'(src|href|action)="(https?:)?//', answer.text)
    assert not re.search(r"\son\w+=|\sstyle=", answer.text)


def test_pages_say_that_the_app_is_paused_or_on_trial(storage: str, time: Time) -> None:
    browser = Browser(storage, time, SYNC_PAUSED="true", TEST_MAILBOX="test@example.com")
    browser.sign_in()
    for path in ("", "letters", "health"):
        assert "Paused: " in browser.get(path).text
        assert "test@example.com" in browser.get(path).text
    browser.factory.close()


def test_who_acts_is_the_one_that_entra_names_where_it_is_asked(storage: str, time: Time) -> None:
    for enabled, name in (("true", "erin@example.com"), ("", "")):
        browser = Browser(storage, time, WEBSITE_AUTH_ENABLED=enabled)
        browser.sign_in()
        body = browser.get("", x_ms_client_principal_name="erin@example.com").text
        assert (f"· {name}" in body if name else "erin@example.com" not in body) is True
        browser.factory.close()


def test_with_settings_missing_the_page_says_which(storage: str, time: Time) -> None:
    browser = Browser(storage, time, ACUMATICA_URL="")
    browser.sign_in()
    assert browser.get().status_code == 200
    assert "ACUMATICA_URL: missing" in browser.get("health").text
    assert browser.get("search?q=A").status_code == 200
    browser.factory.close()


def test_without_storage_there_is_a_page_all_the_same(time: Time) -> None:
    away = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;" + "".join(
        f"{service}Endpoint=http://127.0.0.1:9/a;" for service in ("Blob", "Queue", "Table")
    )
    browser = Browser(away, time)
    answer = browser.sign_in()
    assert (answer.status_code, "Storage does not answer" in answer.text) == (503, True)
    browser.factory.close()


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{0} {token} %s",
    "\u202egnp.exe\u202c",
    "א" * 50,
    "🗓" * 20,
    "x" * 10_000,
    "\x00\ufffd\x01\x7f",
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_stands_in_a_row_is_shown_as_text(storage: str, value: str, bench_of: Callable[[str], Bench]) -> None:
    bench = bench_of(storage)
    change = replace(bench.change(1, value, Room=value, OwnerEmail=value), key=(value,))
    bench.apply(change)
    browser = Browser(storage, lambda: bench.now)
    browser.sign_in()
    (letter,) = json.loads(browser.get("letters?format=json").text)["letters"]
    name, same = quote(value[:300], safe=""), f"letter/{letter['id']}"
    pages = ["", "letters", same, f"row/{letter['id']}", "search?q=<script>", f"search?q={name}", "mailboxes"]
    pages += [] if "/" in value else [f"mailbox/{name}"]  # no mailbox is called so
    for path in (*pages, f"preview?letter={letter['id']}"):
        answer = browser.get(path)
        assert answer.status_code in {200, 303}, path
        assert len(re.findall(r"<script>", answer.text)) == (answer.status_code == 200)
        assert "<img" not in answer.text
        assert 'href="javascript' not in answer.text
        assert len(answer.text) < 60_000
    browser.factory.close()


def test_a_row_shows_what_people_made_of_its_event_in_outlook(browser: Browser) -> None:
    seen = InOutlook("moved", "2026-12-02T12:00:00", "2026-12-02T13:00:00", "<b>@x.com accepted")
    link = EventLink("production", "opportunity-meetings", ("OP1",), in_outlook=seen)
    links = browser.factory.storage().links
    links.save(link, None)
    browser.sign_in()
    shown = browser.get(f"row/{link.key}").text
    assert "moved (2026-12-02 12:00:00 to 2026-12-02 13:00:00)" in shown
    assert "&lt;b&gt;@x.com accepted" in shown
    links.save(replace(link, in_outlook=None), links.load(link.key)[1])
    assert "In Outlook" not in browser.get(f"row/{link.key}").text


@pytest.fixture
def bench_of() -> Iterator[Callable[[str], Bench]]:
    """A bench without services behind it: rows of which none reaches them."""
    opened: list[Bench] = []

    class Nobody:
        url = "http://127.0.0.1:9"
        client_id, client_secret, username, password, tenant = "i@P", "s", "u", "p", "Production"

        def put_record(self, *_: Any) -> str:
            return "6b0f6a52-0000-0000-0000-0a1b2c3d4e5f"

    def make(storage: str) -> Bench:
        opened.append(Bench(storage, Nobody(), Nobody()))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for bench in opened:
        bench.factory.close()


def test_markup_is_made_by_templates_alone() -> None:
    """Jinja escapes all that is put into them, but for our own style and script."""
    for file in PAGE.glob("*.py"):
        assert not re.search(r"<(?!key>)/?[a-z!]|Markup", file.read_text(encoding="utf-8")), file.name
    assert render._templates.autoescape is True
    trusted = {
        (file.name, *found)
        for file in PAGE.glob("templates/*")
        for found in re.findall(r"(\S+)\|safe|autoescape false", file.read_text(encoding="utf-8"))
    }
    assert {(name, "".join(found)) for name, *found in trusted} == {("layout.html", "style"), ("layout.html", "script")}
    assert "</s" not in render._STYLE + render._SCRIPT


@pytest.fixture
def acting(bench: Bench) -> Iterator[Browser]:
    """Somebody who has signed in to an app with its services behind it."""
    opened = Browser(bench.connection, lambda: bench.now, **bench.factory._environ)
    opened.sign_in()
    yield opened
    opened.factory.close()


def post(browser: Browser, path: str, **form: str) -> TestResponse:
    return browser.send("POST", path, urlencode(form | {"token": browser.token}))


def text_of(answer: TestResponse) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", answer.text, flags=re.DOTALL).split())


def test_a_rows_page_begins_with_what_the_meeting_is_and_how(bench: Bench, acting: Browser) -> None:
    bench.apply(bench.change(1, "Contract review"))
    page = acting.get(f"row/{bench.change(1).link_key}")
    shown = text_of(page)
    begins = "Contract review in order 1 Dec 2036, 09:00–10:00 (Eastern Standard Time) ann@example.com Open in Outlook"
    assert begins in shown
    assert "Event made, id written to Acumatica" in shown
    (event,) = bench.graph.events("ann@example.com")
    outlook, record = re.findall(r'<a href="(https?://[^"]+)" rel="noopener noreferrer" target="_blank">', page.text)
    assert outlook.startswith("https://outlook.office365.com/owa/ann%40example.com/?itemid=")
    assert parse_qs(urlsplit(unescape(outlook)).query)["itemid"] == [event["id"]]
    assert unescape(record) == f"{bench.acumatica.url}/Main?ScreenId=CR304000&OpportunityID=OP1"
    for word in ("CreateEvent", "WriteBack", event["id"], bench.change(1).link_key):
        assert word not in shown
        assert word in page.text or word.endswith(("Event", "Back"))  # behind the button that copies it


def test_each_error_is_told_once_and_what_is_resubmitted_is_followed(bench: Bench, acting: Browser) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    key = bench.change(1).link_key
    page = acting.get(f"row/{key}")
    assert text_of(page).count("Mailbox ann@example.com does not exist") == 1
    bench.now += 10
    bench.graph.add_mailbox("ann@example.com")
    for _ in range(2):  # pressed twice
        answer = post(acting, "resubmit", key=key)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{BASE}/row/{key}?follow=1")
    page = acting.get(f"row/{key}?follow=3")
    assert 'data-follow="3"' in page.text
    assert ">Resubmit<" not in page.text
    work(bench)
    page = acting.get(f"row/{key}?follow=4")
    assert ('data-follow="' in page.text, "Settled" in page.text, "mended since" in page.text) == (False, True, True)
    bench.factory.services().activity.flush()
    (run,) = json.loads(acting.get("?which=people&format=json").text)["runs"]
    assert run["state"] == "done"
    assert "Settled" not in acting.get(f"row/{key}").text


def test_several_are_followed_on_the_page_of_their_run(bench: Bench, acting: Browser) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    for name in ("OP1", "OP2"):
        change = bench.change(1)
        bench.apply(replace(change, key=(name,), row={**(change.row or {}), "OpportunityID": name}))
    where = post(acting, "resubmit", all="1").headers["Location"]
    assert re.fullmatch(rf"{BASE}/run/r[0-9]{{13}}-[0-9a-f]{{64}}\?follow=1", where)
    path = where.removeprefix(f"{BASE}/")
    assert 'data-follow="1"' in acting.get(path).text
    work(bench)
    bench.factory.services().activity.flush()
    assert "Settled" in acting.get(path).text
    assert post(acting, "resubmit", key="a" * 64).status_code == 409


@pytest.mark.parametrize("follow", ["0", "-1", "x", "", "9" * 30, "60"])
def test_whatever_stands_in_follow_the_page_is_shown(bench: Bench, acting: Browser, follow: str) -> None:
    bench.apply(bench.change(1))
    assert acting.get(f"row/{bench.change(1).link_key}?follow={follow}").status_code == 200


def test_a_refused_notification_shows_what_it_held_and_what_to_do(bench: Bench, acting: Browser) -> None:
    row = {**a_row(bench), "Subject": "<b>Contract review</b>"}
    sent(bench, row, Query="Renamed")
    (run,) = json.loads(acting.get("?format=json").text)["runs"]
    page = acting.get(f"run/{run['id']}")
    shown = text_of(page)
    for words in ("Query Renamed", "Subject &lt;b&gt;Contract review&lt;/b&gt;", "SM502000", "It is kept for a week"):
        assert words in shown
    file = acting.get(f"run/{run['id']}/notification")
    assert (json.loads(file.text)["Inserted"], file.mimetype) == ([row], "application/json")
    assert re.fullmatch(r'attachment; filename="notification-\d{13}\.json"', file.headers["Content-Disposition"])
    assert "Contract review" in acting.get(f"preview?run={run['id']}").text


def test_a_dead_letter_is_downloaded_and_previewed(bench: Bench, acting: Browser) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1))
    key = bench.change(1).link_key
    file = acting.get(f"letter/{key}/notification").text
    answer = post(acting, "preview", notification=file)
    assert (answer.status_code, "Time 1 Dec 2036, 09:00–10:00 (Eastern Standard Time)" in text_of(answer)) == (200, True)
    assert text_of(acting.get(f"preview?letter={key}")).count("OpportunityID") == 1


def test_a_preview_shows_what_a_person_sees_and_does_nothing(bench: Bench, acting: Browser) -> None:
    file = {"Inserted": [a_row(bench)], "Deleted": [], "Query": QUERY, "CompanyId": "Production", "Id": "n", "TimeStamp": 1}
    before = len(bench.graph.calls)
    shown = text_of(post(acting, "preview", notification=json.dumps(file)))
    assert "Mailbox ann@example.com Subject s Time 1 Dec 2036, 09:00–10:00 (Eastern Standard Time)" in shown
    assert "What is done Event made Id written to Acumatica" in shown
    assert (len(bench.graph.calls), bench.sent()) == (before, 0)
    for wrong, said in (
        ("", "The body is empty"),
        ("{", "The body is not JSON"),
        ("[]", "The body is an array"),
        (json.dumps(file | {"CompanyId": "Other"}), "another tenant"),
        (json.dumps(file | {"Query": "<img src=x>"}), "has no mapping"),
    ):
        answer = post(acting, "preview", notification=wrong)
        assert (answer.status_code, said in text_of(answer), "<img" in answer.text) == (200, True, False)
    empty = post(acting, "preview", notification=json.dumps(file | {"Inserted": []}))
    assert "The notification has no rows" in text_of(empty)


def test_a_mailbox_has_a_page_and_takes_a_test_event(bench: Bench, acting: Browser) -> None:
    bench.apply(bench.change(1, "Contract review"))
    bench.factory.services().activity.flush()
    assert "ann@example.com 1" in text_of(acting.get("mailboxes"))
    shown = text_of(acting.get("mailbox/Ann%40example.com"))
    assert "Events 1 Failed 0" in shown
    assert "Contract review OP1" in shown
    answer = post(acting, "mailbox/ann%40example.com/test")
    assert (answer.status_code, "Event removed ok" in text_of(answer)) == (200, True)
    assert bench.subjects() == ["Contract review"]
    assert acting.send("POST", "mailbox/ann%40example.com/test", "token=x").status_code == 403
    assert json.loads(acting.get("mailboxes?format=json").text)["mailboxes"][0]["events"] == 1
    assert json.loads(acting.get("mailbox/ann@example.com?format=json").text)["rows"][0]["subject"] == "Contract review"


def test_a_search_says_not_taken_in_only_of_what_may_be_a_key(bench: Bench, acting: Browser) -> None:
    bench.apply(replace(bench.change(1, "one"), key=("OP000123",)))
    bench.apply(replace(bench.change(1, "two"), key=("OP000124",)))
    bench.factory.services().activity.flush()
    assert acting.get("search?q=op000123").headers["Location"].startswith(f"{BASE}/row/")
    assert "2 found" in text_of(acting.get("search?q=0012"))
    for text, said in (("OP000125", True), ("zebra", False), ("nobody@example.com", False)):
        assert ("was taken in" in text_of(acting.get(f"search?q={text}"))) is said


# -- the way in ---------------------------------------------------------------------------------------------------------


STRANGE = [
    "h2026-11-01T10-x",
    "r1",
    "r" * 15,
    "r٣٣٣٣٣٣٣٣٣٣٣٣٣-a",
    "r0000000000000-" + "g" * 64,
    "x'y",
    "a" * 63,
    "%2e%2e%2f",
    "%00",
    "%ff",
]


@pytest.mark.parametrize("kind", ["run", "row", "letter"])
@pytest.mark.parametrize("key", STRANGE)
def test_what_is_no_id_is_not_found(browser: Browser, kind: str, key: str) -> None:
    browser.sign_in()
    for path in (f"{kind}/{key}", f"{kind}/{key}?format=json"):
        assert browser.get(path).status_code == 404
    assert browser.get(f"?before={key}").status_code == 200
    assert browser.send("POST", "discard", f"key={key}&why=x&token={browser.token}").status_code == 409
    assert browser.send("POST", "resubmit", f"key={key}&token={browser.token}").status_code == 409


def test_what_the_host_hands_over_is_answered_whole(browser: Browser) -> None:
    headers = {"x-runs-key": KEY, "Host": "app.example.com"}
    url = "http://localhost:7071/api/runs"
    answer = respond(browser.page, "GET", f"{url}/search?q=a%20b%26c%C3%A4", headers, b"")
    assert (answer.status_code, 'value="a b&amp;cä"' in answer.get_data(as_text=True)) == (200, True)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://app.example.com", **headers}
    answer = respond(browser.page, "POST", f"{url}/sign-in", form, f"key={KEY}".encode())
    assert (answer.status_code, answer.headers["Location"]) == (303, BASE)
    large = respond(browser.page, "POST", f"{url}/sign-in", form, b"key=" + b"x" * 200_000)
    assert (large.status_code, large.headers["X-Frame-Options"]) == (413, "DENY")
    away = Page(Factory({"AzureWebJobsStorage": "nonsense"}), {"RUNS_KEY": KEY})
    assert respond(away, "GET", url, {}, b"").status_code == 503
