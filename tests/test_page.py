"""The runs page as a function of requests: access, what is refused, what is escaped. In a browser: tests/browser."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers import views
from handlers.access import Access, NotNow
from handlers.page import Answer, Page, Request
from handlers.services import Factory
from tests.bench import Bench

KEY = "a-key-of-the-runs-page"
ROOT = Path(__file__).resolve().parent.parent


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
        self.cookie = ""

    def send(self, method: str, path: str, form: str = "", **headers: str) -> Answer:
        path, _, question = path.partition("?")
        query = dict(pair.split("=", 1) for pair in question.split("&") if pair)
        sent = {"host": "app.example.com", "cookie": self.cookie} | {k.replace("_", "-"): v for k, v in headers.items()}
        url = f"https://app.example.com/api/runs/{path}{'?' if question else ''}{question}"
        answer = self.page.answer(Request(method, path, url, sent, query, form.encode()))
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        return answer

    def get(self, path: str = "", **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def sign_in(self, key: str = KEY, **headers: str) -> Answer:
        return self.send("POST", "sign-in", f"key={key}&next=letters", **headers)

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get().body)
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
    assert (answer.status, "RUNS_KEY" in answer.body, KEY in answer.body) == (404, True, False)


PATHS = ["", "letters", "health", "search?q=A", "run/r1", "row/ab", "letter/ab", "nothing"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_seen_without_signing_in(browser: Browser, path: str) -> None:
    for headers in ({}, {"x_functions_key": "k"}, {"cookie": "runs-session=1.9999999999.x.deadbeef"}, {"cookie": "\x00;="}):
        answer = browser.get(path, **headers)
        assert answer.status == 401
        assert "<form" in answer.body
    as_json = browser.get(path + ("&" if "?" in path else "?") + "format=json")
    assert (as_json.status, as_json.mimetype) == (401, "application/json")


@pytest.mark.parametrize("path", ["resubmit", "discard", "health", "sign-out", "nothing"])
def test_nothing_is_done_without_signing_in(browser: Browser, path: str) -> None:
    assert browser.send("POST", path, "all=1&token=x").status == 401


def test_the_key_opens_a_session(browser: Browser) -> None:
    answer = browser.sign_in()
    assert (answer.status, answer.headers["Location"]) == (303, "/api/runs/letters")
    attributes = answer.headers["Set-Cookie"].split("; ")[1:]
    assert sorted(attributes) == ["HttpOnly", "Path=/api/runs", "SameSite=Strict", "Secure"]
    assert KEY not in answer.headers["Set-Cookie"]
    assert browser.get().status == 200
    assert browser.send("POST", "sign-out", f"token={browser.token}").status == 303
    assert browser.get().status == 401


@pytest.mark.parametrize("then", ["//evil.example.com", "https://evil.example.com", "/\\evil", "a\r\nSet-Cookie: x", "../x"])
def test_signing_in_leads_nowhere_else(browser: Browser, then: str) -> None:
    answer = browser.send("POST", "sign-in", f"key={KEY}&next={then}")
    assert (answer.status, answer.headers["Location"].startswith("/api/runs")) == (303, True)
    assert ".." not in answer.headers["Location"]
    assert "\n" not in answer.headers["Location"]


def test_a_session_ends(browser: Browser, time: Time) -> None:
    """An hour after it was last used, and twelve hours after signing in in any case."""
    browser.sign_in()
    time.now += 3601
    assert browser.get().status == 401
    browser.sign_in()
    for _ in range(23):
        time.now += 1800
        assert browser.get().status == 200
    time.now += 1801
    assert browser.get().status == 401


def test_another_key_ends_all_sessions(browser: Browser, storage: str, time: Time) -> None:
    browser.sign_in()
    other = Browser(storage, time, RUNS_KEY=KEY + "x")
    other.cookie = browser.cookie
    assert other.get().status == 401
    other.factory.close()


def test_brute_force_is_throttled_over_instances_and_locks_nobody_out(browser: Browser, storage: str, time: Time) -> None:
    other = Browser(storage, time)
    statuses = [each.sign_in("wrong").status for _ in range(4) for each in (browser, other)]
    assert statuses == [403] * 5 + [429] * 3
    assert browser.sign_in().status == 429, "the right key is not looked at either, or the throttle would tell it"
    assert browser.sign_in("wrong", x_forwarded_for="10.0.0.9:1234").status == 403, "another address"
    waited = 0.0
    for _ in range(10):
        refused = browser.sign_in("wrong")
        if refused.status == 429:
            wait = float(refused.headers["Retry-After"])
            waited, time.now = waited + wait, time.now + wait + 1
    assert waited > 60
    time.now += 301
    assert browser.sign_in().status == 303, "five minutes at most"
    assert browser.sign_in("wrong").status == 403, "and all is forgotten"
    other.factory.close()


def test_many_addresses_are_throttled_together_but_not_those_that_are_known(browser: Browser, time: Time) -> None:
    browser.sign_in(x_forwarded_for="10.0.0.1:1")
    statuses = [browser.sign_in("wrong", x_forwarded_for=f"10.1.0.{n}:1").status for n in range(80)]
    assert (statuses[:50], statuses[-10:]) == ([403] * 50, [429] * 10)
    assert browser.sign_in(x_forwarded_for="10.0.0.1:999").status == 303
    time.now += 61
    assert browser.sign_in(x_forwarded_for="10.1.0.99:1").status == 303


def test_the_address_is_the_one_that_the_front_end_saw(browser: Browser) -> None:
    """What a client writes into the header itself comes before it."""
    statuses = [browser.sign_in("wrong", x_forwarded_for=f"1.2.3.{n}, 10.0.0.1:{n}").status for n in range(7)]
    assert statuses == [403] * 5 + [429] * 2


def test_a_try_is_counted_before_the_key_is_looked_at(browser: Browser, time: Time) -> None:
    access = Access(KEY, browser.factory.storage(), time)
    for _ in range(5):
        assert access.sign_in("wrong", "a") is None
    with pytest.raises(NotNow):
        access.sign_in(KEY, "a")


def test_programs_send_the_key_as_a_header(browser: Browser) -> None:
    answer = browser.get("?format=json", x_runs_key=KEY)
    assert (answer.status, json.loads(answer.body)) == (200, {"runs": []})
    assert browser.get("letters", accept="application/json", x_runs_key=KEY).body == '{"letters": []}'
    assert browser.get("?format=json", x_runs_key="wrong").status == 401
    assert browser.send("POST", "resubmit", "all=1", x_runs_key=KEY).status == 401, "acting needs a session"


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
    assert browser.send("POST", "resubmit", f"all=1&token={browser.token}", **headers).status == 403
    assert browser.send("POST", "sign-in", f"key={KEY}", **headers).status == 403


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ä"])
def test_a_form_without_the_sessions_token_is_refused(browser: Browser, token: str) -> None:
    browser.sign_in()
    assert browser.send("POST", "resubmit", f"all=1&token={token}").status == 403
    assert browser.send("POST", "resubmit", f"all=1&token={browser.token}", origin="https://app.example.com").status == 409


def test_the_token_of_another_session_is_refused(browser: Browser) -> None:
    browser.sign_in()
    token = browser.token
    browser.sign_in()
    assert browser.send("POST", "resubmit", f"all=1&token={token}").status == 403


@pytest.mark.parametrize("form", ["", "token", "&&&", "x=%ff", "a=1&" * 500])
def test_any_form_has_an_answer(browser: Browser, form: str) -> None:
    browser.sign_in()
    for path in ("resubmit", "discard", "health", "sign-in", "sign-out", ""):
        assert browser.send("POST", path, form).status in {303, 403, 404, 429}


# -- pages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_page_forbids_what_is_not_its_own(browser: Browser, path: str) -> None:
    browser.sign_in()
    answer = browser.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r'(src|href|action)="(https?:)?//', answer.body)
    assert not re.search(r"\son\w+=|\sstyle=", answer.body)


def test_pages_say_that_the_app_is_paused_or_on_trial(storage: str, time: Time) -> None:
    browser = Browser(storage, time, SYNC_PAUSED="true", TEST_MAILBOX="test@example.com")
    browser.sign_in()
    for path in ("", "letters", "health"):
        assert "Paused: " in browser.get(path).body
        assert "test@example.com" in browser.get(path).body
    browser.factory.close()


def test_who_acts_is_the_one_that_entra_names_where_it_is_asked(storage: str, time: Time) -> None:
    for enabled, name in (("true", "erin@example.com"), ("", "")):
        browser = Browser(storage, time, WEBSITE_AUTH_ENABLED=enabled)
        browser.sign_in()
        body = browser.get("", x_ms_client_principal_name="erin@example.com").body
        assert (f"· {name}" in body if name else "erin@example.com" not in body) is True
        browser.factory.close()


def test_with_settings_missing_the_page_says_which(storage: str, time: Time) -> None:
    browser = Browser(storage, time, ACUMATICA_URL="")
    browser.sign_in()
    assert browser.get().status == 200
    assert "ACUMATICA_URL: missing" in browser.get("health").body
    assert "ACUMATICA_URL: missing" in browser.get("search?q=A").body
    browser.factory.close()


def test_without_storage_there_is_a_page_all_the_same(time: Time) -> None:
    away = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;" + "".join(
        f"{service}Endpoint=http://127.0.0.1:9/a;" for service in ("Blob", "Queue", "Table")
    )
    browser = Browser(away, time)
    answer = browser.sign_in()
    assert (answer.status, "Storage does not answer" in answer.body) == (503, True)
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
    (letter,) = json.loads(browser.get("letters?format=json").body)["letters"]
    for path in ("", "letters", f"letter/{letter['id']}", f"row/{letter['id']}", "search?q=<script>"):
        answer = browser.get(path)
        assert answer.status in {200, 303}
        assert len(re.findall(r"<script>", answer.body)) == (answer.status == 200)
        assert "<img" not in answer.body
        assert 'href="javascript' not in answer.body
        assert len(answer.body) < 60_000
    browser.factory.close()


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


def test_markup_is_made_in_one_way_only() -> None:
    """No f-string, % or + makes markup, and nothing is taken for markup that is not a literal or one of our two files."""
    tree = ast.parse((ROOT / "handlers/views.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            assert not any("<" in str(text) for text in texts), ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Markup":
            (argument,) = node.args
            known = isinstance(argument, ast.Constant) or ast.unparse(argument) in {"STYLE", "SCRIPT"}
            conditional = isinstance(argument, ast.IfExp)
            assert known or conditional, ast.unparse(node)
    assert "</s" not in views.STYLE + views.SCRIPT
