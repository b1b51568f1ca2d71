"""Feed a parser with whatever comes: `python -m local.fuzz TARGET --seconds 60`.

Guided by coverage where atheris is installed (Linux), else by random changes of the samples. Each target
takes bytes, and raises only where the parser broke its promise.
"""

import argparse
import contextlib
import importlib
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, override

from handlers.clients.blobs import Blobs
from handlers.clients.queue import Queue
from handlers.sync.addresses import read_addresses
from handlers.sync.answers import acumatica_error, graph_error
from handlers.sync.change import NotARowChange, RowChange, canonical, load_json, ticks_to_datetime
from handlers.sync.errors import Permanent, SyncError
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.mapping_file import MappingProblems, load_mapping, load_mappings
from handlers.sync.notification import NotificationProblems, PushNotification, parse_notification, row_changes
from handlers.sync.odata import Service, literal
from handlers.sync.odata_answers import inquiries_of, odata_error, rows_of
from handlers.sync.record import record_id, record_update
from handlers.sync.scope import Scope
from handlers.sync.template import MissingColumns, Template
from local.sample import ROW, TEXT, changed

NOW = datetime(2026, 12, 1, tzinfo=UTC)
MAPPING = load_mapping("m", TEXT)
NOTIFICATION = {
    "Inserted": [ROW],
    "Deleted": [],
    "Query": MAPPING.query,
    "CompanyId": "T",
    "Id": "i",
    "TimeStamp": 639055764123456780,
}
LENGTHS = [
    load_mapping("m", changed(('end = "{MeetingEnd}"', end)))
    for end in (
        'end = { minutes = "{Length}" }',
        'end = { hours = "{Length}" }',
        'end = { time_span = "{Length}" }',
        'end = { date = "{MeetingEnd}", time = "{Length}" }',
    )
]
SHOWN = load_mapping(
    "m",
    changed(
        ('subject = "{Subject}"', 'subject = "{Any:date} {Any:time} {Any:datetime} {Any:0.00} {Any:#,##0}"'),
        ('start = "{MeetingStart}"', 'start = { date = "{MeetingStart}", days = "{Any}", minutes = "{Any}" }'),
        ('end = "{MeetingEnd}"', 'end = { date = "{MeetingEnd}", days = "{Any}", minutes = "{Any}" }'),
        ("[write_back]", '[[shape]]\nwhen.Any = ["1", true]\nevent.showAs = "free"\n[write_back]'),
    ),
)
METADATA = (
    b'<EntityType Name="T"><PropertyRef Name="K"/><Property Name="K" Type="Edm.String"/></EntityType><EntityContainer>'
    b'<EntitySet Name="A" EntityType="N.T"/><FunctionImport Name="A_WithParameters"/></EntityContainer>'
)
MESSAGE = RowChange("t", "m", ("A",), 639055764123456780, ROW, "i", 1764547200.0).encode()


class _Blobless(Blobs):
    """No message's blob exists."""

    def __init__(self) -> None:
        pass

    @override
    def get(self, name: str) -> None:
        return None


def _no_queue() -> NoReturn:
    raise AssertionError("a message is read without the queue")


def notification(data: bytes) -> PushNotification | None:
    """A request's body is a notification, or has problems that can be answered; its changes can be stored."""
    try:
        found = parse_notification(data, company="T", queries=[MAPPING.query], now=NOW)
    except NotificationProblems as error:
        if not error.problems or sum(map(len, error.problems)) > 10_000:
            raise AssertionError("a refusal says why, and is no longer than a page") from error
        json.dumps(error.problems).encode()
        return None
    changes, unidentified = row_changes(found, [MAPPING], 0.0)
    for change in changes:
        if RowChange.decode(json.loads(canonical(change.encode()).encode())) != change:
            raise AssertionError("a change survives the queue")
    for row in unidentified:
        canonical([row.row, row.reason]).encode()
    return found


def message(data: bytes) -> RowChange | None:
    """A queue message is a row change, or none, which is said."""
    try:
        change = Queue(_no_queue, _Blobless()).read(data.decode("utf-8", "replace"))
    except NotARowChange:
        return None
    canonical(change.again().encode()).encode()
    ticks_to_datetime(change.timestamp), 0.0 - change.first_sent, 2.0 ** min(change.tries, 10)  # as apply does
    if len(change.link_key) != 64 or not change.link_key.isalnum():
        raise AssertionError("a link's key is plain hex")
    return change


def mapping(data: bytes) -> None:
    """A mapping file can be used, or all its problems are told."""
    try:
        load_mappings([("m", data)])
    except MappingProblems as error:
        "; ".join(error.problems).encode()


def template(data: bytes) -> None:
    """A template is text with placeholders, or a ValueError says where it is none."""
    try:
        parsed = Template.parse(data.decode("utf-8", "replace"))
    except ValueError:
        return
    parsed.render(dict.fromkeys(parsed.columns, "x"))


def row(data: bytes) -> CalendarEvent | None:
    """A row becomes an event that can be sent, or a dead letter says why not."""
    try:
        values = load_json(data.decode("utf-8", "replace"))
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    try:
        picked = MAPPING.pick(values)
        MAPPING.key_of(values)
        event = calendar_event(MAPPING, picked, Scope())
        update = record_update(MAPPING, record_id(MAPPING, picked), {"event_id": "e1"})
    except (Permanent, MissingColumns):
        return None
    if set("/\\?%<>@ \r\n\0") & set(event.mailbox.replace("@", "", 1)):
        raise AssertionError(f"the mailbox {event.mailbox!r} has no place in a URL")
    for line in (event.body["subject"], event.body["location"]["displayName"]):
        if len(line.encode("utf-16-le", "surrogatepass")) > 510 or set(map(chr, range(32))) & set(line):
            raise AssertionError("Exchange takes one line of 255 characters")
    datetime.fromisoformat(event.body["start"]["dateTime"])
    if update.path != "Default/24.200.001/Opportunity":
        raise AssertionError("the path is the mapping's own")
    return event


def addresses(data: bytes) -> None:
    """A field names people; each has an address that Exchange takes, or none; and whatever it holds can be sent."""
    text = data.decode("utf-8", "replace")
    people = read_addresses(text)
    if len(people) > len(text):
        raise AssertionError("nobody is named by nothing")
    for name, address in people:
        if address and (".." in address or not re.fullmatch(r"[^@\s<>\"(),;:]+@[A-Za-z0-9.-]+", address)):
            raise AssertionError(f"{address!r} is no address")
        if address and [address] != [again.address for again in read_addresses(address)]:
            raise AssertionError(f"{address!r} is read otherwise the second time")
        if set(map(chr, range(32))) & set(name):
            raise AssertionError(f"{name!r} is no name")


def length(data: bytes) -> None:
    """Whatever a column holds is a length that can be reckoned with, or a dead letter says why not."""
    try:
        value = load_json(data.decode("utf-8", "replace"))
    except ValueError:
        value = data.decode("utf-8", "replace")
    for mapping in LENGTHS:
        with contextlib.suppress(Permanent):
            event = calendar_event(mapping, ROW | {"Length": value, "Clock": value}, Scope())
            start, end = (datetime.fromisoformat(event.body[name]["dateTime"]) for name in ("start", "end"))
            if event.body["start"]["timeZone"] == event.body["end"]["timeZone"] and end < start - timedelta(hours=1):
                raise AssertionError("no event ends before it starts")
            if isinstance(value, str) and value.strip().isdigit() and len(value.strip()) > 2 and mapping is not LENGTHS[2]:
                raise AssertionError(f"{value!r} has two readings")


def shown(data: bytes) -> None:
    """Whatever a column holds is shown as a date or an amount, or as it is; it shifts a date, or is refused."""
    try:
        value = load_json(data.decode("utf-8", "replace"))
    except ValueError:
        value = data.decode("utf-8", "replace")
    for row in (ROW | {"Any": value}, ROW | {"Any": None, "MeetingStart": value, "MeetingEnd": value}):
        with contextlib.suppress(Permanent):
            event = calendar_event(SHOWN, row, Scope())
            if event.body["showAs"] not in {"free", "busy"} or set(map(chr, range(32))) & set(event.body["subject"]):
                raise AssertionError("an event has one of its two shapes, and a subject of one line")
            event.fingerprint, event.over + 1.0


def errors(data: bytes) -> None:
    """Any answer of Graph or Acumatica is classed, and what is said of it can be stored."""
    status = 300 + int.from_bytes(data[:2]) % 300
    headers = {"Retry-After": data[2:12].decode("latin-1")}
    for error in (graph_error(status, headers, data[12:], mailbox="a@b.c"), acumatica_error(status, headers, data[12:])):
        if not isinstance(error, SyncError):
            raise AssertionError(f"{error!r} is outside of the taxonomy")  # noqa: TRY004
        str(error).encode()
        if len(str(error)) > 20_000:
            raise AssertionError("an error says what is needed, and no more")


def odata(data: bytes) -> None:
    """Whatever OData answers is rows, or the list of inquiries, or an error; and it leads to no strange address."""
    with contextlib.suppress(SyncError):
        for found in rows_of(data, "X").rows:
            canonical(found).encode()
    with contextlib.suppress(SyncError):
        for inquiry in inquiries_of(data, NOW).values():
            text = data[:50].decode("utf-8", "replace")
            with contextlib.suppress(SyncError):
                for column in inquiry.columns:
                    path = Service("4", text).page(inquiry, [column], 0, 1)
                    if not re.fullmatch(r"/t/[^/?#\s]*/api/odata/gi/[^/?#\s]*\?[!-~]*", path) or "#" in path:
                        raise AssertionError(f"{path!r} leads elsewhere")
            for kind in inquiry.columns.values():
                told = literal("4", kind, text)
                if told and not re.fullmatch(r"'(?:[^']|'')*'|[\w.-]+", told):
                    raise AssertionError(f"{told!r} is more than a literal")
    status = 300 + int.from_bytes(data[:2]) % 300
    if len(str(odata_error(status, {}, data[2:], "X")).encode()) > 100_000:
        raise AssertionError("an error says what is needed, and no more")


SAMPLES: dict[str, tuple[Callable[[bytes], Any], list[bytes]]] = {
    "notification": (notification, [json.dumps(NOTIFICATION).encode(), json.dumps(NOTIFICATION).encode("utf-16")]),
    "message": (message, [canonical(MESSAGE).encode(), b'{"blob":"' + b"0" * 64 + b'"}']),
    "mapping": (mapping, [TEXT.encode(), (TEXT + '[[shape]]\nwhen.A = "x"\nevent.subject = "{B:date}"').encode()]),
    "template": (template, [b"{Subject} {{x}} ({Key})", b"{Start:date} {Amount:#,##0.00} {A: b}"]),
    "row": (row, [json.dumps(ROW).encode()]),
    "addresses": (
        addresses,
        [
            b'"Lee, Ann" <ann@example.com>; Roth, Bo <bo@x.de>, mailto:c@d.com',
            "jörg@straße.example (x)".encode(),
            b"a..b@-x.de",
        ],
    ),
    "length": (length, [b'"0130"', b"90", b'"1:30"', b"2.5", b'"0010130"', b'"2:05 PM"', b'"1900-01-01T08:00:00"']),
    "shown": (shown, [b'"2026-02-03T09:30:00Z"', b"1250.5", b'"-30"', b"true", b'"9999-12-31"', b"1e15"]),
    "odata": (
        odata,
        [
            b'{"value":[{"A":"/Date(1767277800000)/","B":1.5,"@odata.etag":"e"}],"@odata.nextLink":"x"}',
            b'{"d":{"results":[{"A":null}],"__next":"x"}}',
            METADATA,
            b'\x00\x64{"odata.error":{"message":{"value":"no"}}}',
        ],
    ),
    "errors": (
        errors,
        [
            b'\x00\x64120\0\0\0\0\0\0\0{"error":{"code":"ErrorItemNotFound","message":"m"}}',
            b'\x00\x7a120\0\0\0\0\0\0\0{"error":"Inserting raised","Details":[{"Project":{"value":"A","error":"none"}}]}',
        ],
    ),
}


def mutated(sample: bytes, rng: random.Random) -> bytes:
    """A sample with a few places changed, doubled, or cut out."""
    data = bytearray(sample)
    for _ in range(rng.randint(1, 8)):
        at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
        match rng.randint(0, 4):
            case 0:
                data[at : at + 1] = rng.randbytes(rng.randint(0, 3))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:end] = rng.choice([b"null", b"[]", b"{}", b"1e999", b"\\ud800", b"NaN", b"-1", b'""', b"\xff\xfe"])
            case _:
                data[at:at] = rng.choice([b"[" * 500, b"9" * 400, b"{", b'"', b"\\", b"\0", "ß😀".encode()])
    return bytes(data)


def main() -> int:
    """Fuzz one target for a while."""
    parser = argparse.ArgumentParser(prog="python -m local.fuzz", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("target", choices=SAMPLES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    target, samples = SAMPLES[arguments.target]
    try:
        import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415  (optional)
    except ImportError:
        print("atheris is not installed: the samples are changed at random, without guidance by coverage.")
        return _at_random(target, samples, arguments.seconds, arguments.seed)
    for name in [name for name in sys.modules if name.startswith(("handlers", "local.fuzz"))]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["handlers"]):
        target = importlib.import_module("local.fuzz").SAMPLES[arguments.target][0]
    with tempfile.TemporaryDirectory() as folder:
        for number, sample in enumerate(samples):
            (Path(folder) / str(number)).write_bytes(sample)
        options = [f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed + 1}", "-max_len=4096", folder]
        atheris.Setup([sys.argv[0], *options], lambda data: target(data) and None)
        atheris.Fuzz()  # ends the process
    return 0


def _at_random(target: Callable[[bytes], Any], samples: list[bytes], seconds: float, seed: int) -> int:
    rng, count, until = random.Random(seed), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutated(rng.choice(samples), rng)
        try:
            target(data)
        except Exception:
            print(f"After {count} inputs: {data!r}")
            raise
        count += 1
    print(f"{count} inputs, and every promise was kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
