"""Whatever comes in: an answer within the taxonomy, in bounded time and memory, and no value that leaves its place."""

import json
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.clients.acumatica import Acumatica
from handlers.clients.entra import Tokens
from handlers.clients.graph import Graph
from handlers.clients.web import Http
from handlers.settings import Settings
from handlers.sync.answers import acumatica_error, graph_error
from handlers.sync.change import RowChange
from handlers.sync.errors import SyncError
from handlers.sync.event import CalendarEvent
from handlers.sync.record import RecordUpdate
from local import fuzz
from local.sample import ROW, TEXT

NOTIFICATION, MESSAGE = fuzz.NOTIFICATION, fuzz.MESSAGE
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=10), inner, max_size=4),
    max_leaves=20,
)
HARD = settings(max_examples=200, deadline=None)
NASTY = [
    "../../x",
    "a/b",
    "a\\b",
    "a?b=c",
    "a#b",
    "a%2fb",
    "a%b",
    "' or 1 eq 1",
    "a\r\nX-Evil: 1",
    "a\0b",
    "a b",
    "<a>",
    "å" * 300,
]
MIB = 2**20


def spoilt(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """JSON of an object with some members replaced, dropped, or added."""
    changes = st.dictionaries(st.sampled_from([*whole, "v", "blob", "Extra"]), JSON, max_size=3)
    return changes.map(lambda some: json.dumps(whole | some).encode())


# -- parsers -----------------------------------------------------------------------------------------------------------


@HARD
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()) | spoilt(NOTIFICATION))
def test_any_body_is_a_notification_or_has_problems(body: bytes) -> None:
    fuzz.notification(body)


@HARD
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()) | spoilt(MESSAGE))
def test_any_message_is_a_row_change_or_is_none(data: bytes) -> None:
    fuzz.message(data)


@HARD
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()) | spoilt(ROW))
def test_any_row_becomes_an_event_or_a_dead_letter(data: bytes) -> None:
    fuzz.row(data)


@HARD
@given(
    st.text(max_size=80)
    | st.text("\"<>()@;,: \\'.ab\r\n", max_size=80)
    | st.emails().map(lambda address: f"Ann <{address}>;")
)
def test_any_text_names_people_or_nobody(text: str) -> None:
    fuzz.addresses(text.encode("utf-8", "replace"))


@HARD
@given(JSON | st.text("0123456789: .", max_size=12) | st.integers(-10, 10**7) | st.floats(-1, 1e6))
def test_any_value_is_a_length_or_a_dead_letter(value: Any) -> None:
    fuzz.length(json.dumps(value).encode())


@HARD
@given(
    JSON
    | st.text("0123456789-:. TZ", max_size=22)
    | st.integers()
    | st.floats()
    | st.datetimes().map(str)
    | st.dates().map(str)
)
def test_any_value_is_shown_and_shifts_or_is_a_dead_letter(value: Any) -> None:
    fuzz.shown(json.dumps(value).encode())


@HARD
@given(st.binary(max_size=300))
def test_any_answer_is_classed(data: bytes) -> None:
    fuzz.errors(data)


@HARD
@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps({"value": value}).encode()))
def test_any_answer_of_odata_is_rows_or_an_error(data: bytes) -> None:
    fuzz.odata(data)


@HARD
@given(st.integers(300, 599), JSON, st.text(max_size=30))
def test_any_json_answer_is_classed(status: int, value: Any, header: str) -> None:
    body, headers = json.dumps(value).encode(), {"Retry-After": header}
    for error in (graph_error(status, headers, body, mailbox="a@b.c"), acumatica_error(status, headers, body)):
        assert isinstance(error, SyncError)
        str(error).encode()


@HARD
@given(st.text(max_size=60))
def test_any_text_is_a_template_or_says_where_not(text: str) -> None:
    fuzz.template(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("name", fuzz.SAMPLES)
def test_samples_that_are_changed_at_random(name: str) -> None:
    target, samples = fuzz.SAMPLES[name]
    rng = random.Random(0)
    for _ in range(1500):
        target(fuzz.mutated(rng.choice(samples), rng))


def test_half_a_surrogate_in_the_name_of_a_field_can_be_stored() -> None:
    """Found by fuzzing: it made the dead letter impossible to save, so that the message failed again and again."""
    body = b'{"\\ud800":{"error":"no"}, "' + b"x" * 10_000 + b'":{"error":"nor this"}}'
    said = str(acumatica_error(422, {}, body))
    assert len(said.encode()) < 2_000


# -- sizes -------------------------------------------------------------------------------------------------------------

LARGE = {
    "deep arrays": b"[" * MIB,
    "deep objects": b'{"a":' * (MIB // 5),
    "a row that is deep": json.dumps(NOTIFICATION).encode().replace(b'"Site visit"', b"[" * 900 + b"]" * 900),
    "a huge number": b'{"TimeStamp":' + b"9" * MIB + b"}",
    "a huge exponent": b'{"TimeStamp":1e999999999}',
    "a string of 10 MB": json.dumps(NOTIFICATION | {"Id": "x" * (10 * MIB)}).encode(),
    "a column of 10 MB": json.dumps(NOTIFICATION | {"Inserted": [ROW | {"Subject": "x" * (10 * MIB)}]}).encode(),
    "a name of 10 MB": json.dumps({"x" * (10 * MIB): 1}).encode(),
    "many escapes": b'"' + b"\\ud800" * (MIB // 6) + b'"',
    "the same key again and again": b"{" + b'"Id":"a",' * (MIB // 9) + b'"Id":"b"}',
    "NaN": json.dumps(NOTIFICATION | {"AdditionalInfo": {"a": float("nan")}}).encode(),
    "small rows": json.dumps(NOTIFICATION | {"Inserted": "@"}).encode().replace(b'"@"', b"[" + b"{}," * MIB + b"{}]"),
    "small arrays": b"[" + b"[]," * MIB + b"[]]",
    "BOM": b"\xef\xbb\xbf" + json.dumps(NOTIFICATION).encode(),
    "UTF-16": json.dumps(NOTIFICATION).encode("utf-16"),
    "UTF-32": json.dumps(NOTIFICATION).encode("utf-32"),
    "UTF-16, cut": json.dumps(NOTIFICATION).encode("utf-16")[:-1],
    "lone surrogates": json.dumps(NOTIFICATION | {"Inserted": [ROW | {"OpportunityID": "\ud800"}]}).encode(),
    "rows of rows": b'{"value":[' + b'{"A":"' + b"/Date(1" * 1000 + b'"},' * MIB + b"{}]}",
    "tags": b"<EntityContainer>" + b'<EntitySet Name="a" EntityType="b"/>' * (MIB // 36),
    "tags that do not end": b"<EntityContainer>" + b"<Property Name=" * (MIB // 15),
    "names that do not end": b'<EntityContainer><EntitySet Name="' + b"Name='" * MIB,
    "comments that do not end": b"<EntityContainer>" + b"<!--" * (MIB // 4),
    "many dots": b'<EntityContainer><EntitySet Name="a" EntityType="' + b"." * 100_000 + b'"/>',
    "zeros": bytes(MIB),
    "nothing": b"",
}


TARGETS = [fuzz.notification, fuzz.message, fuzz.row, fuzz.addresses, fuzz.length, fuzz.shown, fuzz.errors, fuzz.odata]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
@pytest.mark.parametrize("name", LARGE)
def test_time_and_memory_are_bounded(name: str, target: Callable[[bytes], Any]) -> None:
    began = time.process_time()
    target(LARGE[name])
    assert time.process_time() - began < 3


@pytest.mark.parametrize("name", ["a column of 10 MB", "many escapes", "deep objects", "small rows", "small arrays"])
def test_memory_is_a_small_multiple_of_the_body(name: str) -> None:
    tracemalloc.start()
    try:
        fuzz.notification(LARGE[name])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * len(LARGE[name]) + 4 * MIB


@pytest.mark.parametrize("name", ["BOM", "UTF-16", "UTF-32"])
def test_other_encodings_of_json_are_understood(name: str) -> None:
    assert fuzz.notification(LARGE[name])


def test_a_mapping_file_of_braces_and_brackets_is_refused_in_time() -> None:
    for text in (b"a = " + b"[" * 100_000, b"[a" + b".a" * 20_000 + b"]", TEXT.encode() * 2, b"\xff\xfe"):
        began = time.process_time()
        fuzz.mapping(text)
        assert time.process_time() - began < 5


# -- places ------------------------------------------------------------------------------------------------------------


type Clients = tuple[Graph, Acumatica, list[requests.PreparedRequest]]


class Sent(Exception):
    """A request would go out now."""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Clients:
    """Clients whose requests end just before the network."""
    sent: list[requests.PreparedRequest] = []

    def request(_: Http, method: str, url: str, **options: Any) -> requests.Response:
        for name in ("json", "timeout"):
            options.pop(name, None)
        sent.append(requests.Request(method, url, **options).prepare())
        raise Sent

    monkeypatch.setattr(Http, "request", request)

    def token(*_: Any, **__: Any) -> str:
        return "t"

    monkeypatch.setattr(Tokens, "get", token)
    settings = Settings(
        ACUMATICA_URL="https://erp.example.com/site", ACUMATICA_TENANT="T", ACUMATICA_USERNAME="u", ACUMATICA_PASSWORD="p"
    )
    return Graph(settings), Acumatica(settings), sent


@pytest.mark.parametrize("nasty", NASTY)
def test_no_mailbox_leaves_its_place_in_the_url(nasty: str, app: Clients) -> None:
    """The mapping lets few of them through (a guest's address holds a #); and the client quotes whatever comes."""
    assert fuzz.row(json.dumps(ROW | {"OwnerEmail": f"{nasty}@example.com"}).encode()) is None or set(nasty) <= set("a#bå")
    graph, _, sent = app
    calls: list[Callable[[], Any]] = [
        lambda: graph.delete(nasty, "e1"),
        lambda: graph.delete("ann@example.com", nasty),
        lambda: graph.update(nasty, nasty, CalendarEvent(nasty, {})),
        lambda: graph.find(nasty, "s-1"),
    ]
    for call in calls:
        with pytest.raises(Sent):
            call()
    for request in sent:
        parts = urlsplit(str(request.url))
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "graph.microsoft.com", "")
        path = parts.path.split("/")
        assert path[:3] == ["", "v1.0", "users"]
        assert len(path) in {5, 6}
        assert set(parse_qs(parts.query)) <= {"$filter", "$select"}
        assert not any("\r" in value or "\n" in value for value in map(str, request.headers.values()))


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_no_key_leaves_its_place_in_a_link(key: str, mapping: str) -> None:
    """Table keys and OData filters only ever see hexadecimal digits; other keys give other links."""
    link_key = RowChange("t", mapping, (key,), 1, None, "", 0.0).link_key
    assert set(link_key) <= set("0123456789abcdef")
    assert link_key != RowChange("t", mapping, (key, ""), 1, None, "", 0.0).link_key
    assert link_key != RowChange("t", mapping + key, (), 1, None, "", 0.0).link_key


@pytest.mark.parametrize("nasty", NASTY)
def test_no_record_id_or_query_leaves_its_place(nasty: str, app: Clients) -> None:
    """A record's id goes into the body, and only as a GUID; a query only ever is compared, and answered as JSON."""
    assert fuzz.row(json.dumps(ROW | {"NoteID": nasty}).encode()) is None
    assert fuzz.notification(json.dumps(NOTIFICATION | {"Query": nasty}).encode()) is None
    _, acumatica, sent = app
    with pytest.raises(Sent):
        acumatica.put({"cookies": {}}, RecordUpdate("Default/24.200.001/Opportunity", {"id": nasty}))
    assert urlsplit(str(sent[0].url)).path == "/site/entity/Default/24.200.001/Opportunity"
