"""How long a search takes: `python -m local.searching --rows 100000`.

Stores that many event links in Azurite, makes the list of all rows as the timer does each night, lets some rows change
since, and searches as the runs page does: from a process that has not searched before, and again. Azurite is slower than
Azure at answering and has no network in between; the app's own share is the same.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import batched, groupby

from handlers import upkeep
from handlers.clients.activity import Recorder
from handlers.clients.links import LINKS, entity_of
from handlers.clients.search import indexed
from handlers.clients.storage import Storage
from handlers.clients.tables import BATCH
from handlers.environment import load_settings
from handlers.operations.activity import About
from handlers.operations.search import mailboxes, search
from handlers.services import ROOT, load_mappings
from handlers.settings import StorageSettings
from handlers.sync.link import Column, Entry, EventLink, Past, Version
from local.azurite import Azurite

_TEXTS = ("OP004321", "4321", "northwind", "contract ann", "user77@example.com", "zebra", "OP99999999")
_TIMES = 5
_TICKS = 639_055_764_123_456_780
_COMPANIES = ("Northwind", "Contoso", "Fabrikam", "Adventure Works", "Tailspin Toys", "Wingtip", "Litware", "Proseware")


def links(count: int) -> Iterator[EventLink]:
    """As many as asked for, in order, of 500 mailboxes."""
    for n in range(count):
        mailbox = f"{'ann' if n % 50 == 0 else 'user'}{n % 500}@example.com"
        row = {
            "OpportunityID": f"OP{n:06d}",
            "Subject": f"{'Contract review' if n % 3 else 'Site visit'}, {_COMPANIES[n % len(_COMPANIES)]}",
            "OwnerEmail": mailbox,
            "MeetingStart": f"2026-{1 + n % 12:02d}-{1 + n % 28:02d}T09:00:00",
            "MeetingEnd": f"2026-{1 + n % 12:02d}-{1 + n % 28:02d}T10:00:00",
            "Room": f"Room {n % 20}",
            "NoteID": f"6a161657-9337-4005-b62e-{n:012d}",
        }
        yield EventLink(
            company="production",
            mapping="opportunity-meetings",
            row_key=(f"OP{n:06d}",),
            version=Version(_TICKS + n, present=True, row_hash="a" * 64),
            columns={name: Column(_TICKS + n, value) for name, value in row.items()},
            entries=(Entry(mailbox, 1, f"AAMk{n:0148d}", "f" * 32),),
            generation=1,
            written_back=f"AAMk{n:0148d}",
            history=(Past(1_770_000_000.0 + n, "n", _TICKS + n, "CreateEvent, WriteBack", "done"),),
        )


def store(storage: Storage, count: int) -> None:
    """Insert them in transactions, as nothing but this does."""
    table = storage.links._table  # noqa: SLF001
    for _, some in groupby(sorted(links(count), key=lambda link: link.key[:2]), key=lambda link: link.key[:2]):
        for batch in batched(some, BATCH, strict=False):
            table.upsert_all([entity_of(link) for link in batch])


def timed[T](what: str, call: Callable[[], T], shown: Callable[[T], str]) -> None:
    """Print how long a call takes, and how much of that the processor works for it."""
    began, worked = time.perf_counter(), time.process_time()
    result = call()
    took, work = ((now - then) * 1000 for now, then in ((time.perf_counter(), began), (time.process_time(), worked)))
    print(f"{took:8.0f} ms, processor {work:6.0f} ms  {what}  {shown(result)}", flush=True)


def main() -> int:
    """Measure."""
    made = argparse.ArgumentParser(prog="python -m local.searching", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--rows", type=int, default=100_000, help="event links that are stored (default: 100000)")
    made.add_argument("--changed", type=int, default=1000, help="of them, those that changed since the night (1000)")
    options = made.parse_args()
    about = About(load_mappings(ROOT / "ready-made"), "production", "https://acumatica.example.com")
    with Azurite() as azurite:
        settings = load_settings(StorageSettings, {"AzureWebJobsStorage": azurite.connection_string()})
        with closing(Storage(settings)) as storage:
            timed(f"{options.rows} links stored in {LINKS}", lambda: store(storage, options.rows), lambda _: "")
            timed("the list of all rows is made", lambda: upkeep.index(storage, about.mappings), lambda _: "")
            recorder = Recorder(storage)
            for link in links(options.changed):
                recorder.indexed(replace(indexed(link, about.mappings[link.mapping]), state="waiting"))
            recorder.close()
        for number in range(2):
            with closing(Storage(settings)) as fresh:
                fresh.check()
                for text in _TEXTS if number else _TEXTS[2:3]:
                    for again in range(_TIMES if number else 1):
                        what = "again" if again or text != _TEXTS[0] else "for the first time"
                        timed(
                            f"{text!r} {what}",
                            lambda text=text, at=fresh: search(text, at, about),  # type: ignore[misc]
                            lambda found: f"{len(found.rows)} of {found.total}",
                        )
                timed("all mailboxes", lambda at=fresh: mailboxes(at, about), lambda found: str(len(found)))  # type: ignore[misc]
    return 0


if __name__ == "__main__":
    sys.exit(main())
