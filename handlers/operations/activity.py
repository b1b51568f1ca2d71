"""What happened, as people see it: runs, the rows of a run, one row."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from handlers.clients import activity_reading as stored
from handlers.clients.activity_record import Run
from handlers.clients.storage import Storage
from handlers.services import Factory, NotReady
from handlers.sync.change import link_key, ticks_to_datetime
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.meeting import Meeting, meeting_of

ROWS = 200  # of a run that are shown
_LETTERS = 10_000  # looked at
KEY = re.compile("[0-9a-f]{64}")  # of an event link or a dead letter
_SO_FAR = {"changed": "changed", "unchanged": "unchanged", "failed": "failed", "deferred": "times back to the queue"}
_RUN_ID = re.compile("r[0-9]{13}-[0-9a-f]{1,64}")


@dataclass(frozen=True)
class About:
    """What is known beside storage: the mappings, and the address of Acumatica's site; nothing while they cannot be read."""

    mappings: Mapping[str, SyncMapping] = field(default_factory=dict)
    company: str = ""
    site: str = ""


NOTHING = About()


def about(factory: Factory) -> About:
    """What can be read of it now."""
    try:
        intake = factory.intake()
    except NotReady:
        return NOTHING
    try:
        return About(intake.mappings, intake.company, factory.services().scope.site)
    except NotReady:
        return About(intake.mappings, intake.company)


@dataclass(frozen=True)
class RowState:
    """A row under a mapping: what is known of it now, and in one word how it is."""

    key: str  # of its event link
    mapping: str
    row_key: tuple[str, ...]
    link: EventLink | None
    timestamp: int = 0  # of the change that is asked about; 0 = none in particular
    meeting: Meeting = field(default_factory=Meeting)

    @property
    def title(self) -> str:
        """What a person calls it: the subject, or the key where that is not known (any more)."""
        return self.meeting.subject or ", ".join(self.row_key)

    @property
    def outlook(self) -> str:
        """The address of its event in Outlook on the web, for whoever may open that calendar; empty without an event."""
        live = self.link.live if self.link else None
        if not (live and live.id):
            return ""
        item = f"itemid={quote(live.id, safe='')}&exvsurl=1&path=/calendar/item"  # as in Graph's webLink
        return f"https://outlook.office365.com/owa/{quote(live.mailbox)}/?{item}"

    @property
    def under_way(self) -> bool:
        """Whether its state is one that changes by itself."""
        return self.state in {"waiting", "working", "deferred"}

    @property
    def state(self) -> str:
        """In order, left out (by [when]), removed, failed, deferred, working, waiting (not looked at yet)."""
        link = self.link
        if link is None:
            return "waiting"
        if link.buried:
            return "failed"
        if link.version is None or link.version.timestamp < self.timestamp:
            return "waiting"
        if link.claim:
            return "working"
        if link.last_error:
            return "deferred"
        if not link.present:
            return "removed"
        return "in order" if link.stands else "left out"

    @property
    def mailbox(self) -> str:
        """Where its event is, or was to be."""
        entries = self.link.entries if self.link else ()
        live = self.link.live if self.link else None
        return live.mailbox if live else entries[-1].mailbox if entries else self.meeting.mailbox

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        known = {"key": self.key, "mapping": self.mapping, "row": list(self.row_key), "state": self.state}
        link = self.link
        if link is None:
            return known
        return known | {
            "subject": self.meeting.subject or None,
            "when": self.meeting.when or None,
            "mailbox": self.mailbox,
            "event": link.live.id if link.live else None,
            "written_back": link.written_back,
            "in_outlook": link.in_outlook._asdict() if link.in_outlook else None,
            "present": link.present,
            "changed": ticks_to_datetime(link.version.timestamp).isoformat() if link.version else None,
            "last_effect": link.last_effect,
            "last_error": link.last_error,
            "notes": list(link.notes),
            "history": [
                {**past._asdict(), "at": _moment(past.at).isoformat(), "timestamp": str(past.timestamp)}
                for past in reversed(link.history)
            ],
        }


def newest(storage: Storage, *, before: str = "", which: str = "", limit: int = 50) -> list[Run]:
    """The newest runs, older than the one called `before`; `which`: failed, rejected or people."""
    runs = stored.newest(storage, before=before if _RUN_ID.fullmatch(before) else "", which=which, limit=limit)
    return _with_mended(runs, storage)


def _with_mended(runs: list[Run], storage: Storage) -> list[Run]:
    """The runs, each that has failed with whether any of its rows still is a dead letter."""
    failed = [run for run in runs if run.progress == "failed"]
    if not failed:
        return runs
    letters = list(storage.dead_letters.list(_LETTERS))
    if len(letters) == _LETTERS:
        return runs  # nobody can tell
    keys, notifications = {letter.key for letter in letters}, {letter.notification for letter in letters} - {""}
    mended: set[str] = set()

    def look(run: Run) -> None:
        known = storage.notifications.get(run.key)
        whole = known is not None and len(known.keys) == known.changes
        if known and whole and run.notification not in notifications and not keys & {link_key(*k) for k in known.keys}:
            mended.add(run.id)

    storage.in_parallel([partial(look, run) for run in failed])
    return [replace(run, mended=run.id in mended) for run in runs]


def run(run_id: str, storage: Storage) -> Run | None:
    """One run; none where there is none of this id, or where this is no id."""
    found = stored.one(storage, run_id) if _RUN_ID.fullmatch(run_id) else None
    return _with_mended([found], storage)[0] if found else None


def hours(storage: Storage) -> dict[datetime, Counter[str]]:
    """The numbers of the last 24 hours, oldest first."""
    return stored.hours(storage, _moment(storage.now()))


def day(storage: Storage) -> tuple[dict[datetime, Counter[str]], Counter[str], int]:
    """The same with their sum, and the most rows in one hour (at least 1)."""
    found = hours(storage)
    busiest = max((numbers["applied"] + numbers["failed"] for numbers in found.values()), default=0)
    return found, sum(found.values(), Counter()), max(1, busiest)


def in_words(run: Run) -> list[str]:
    """The numbers of a run so far."""
    return [f"{run.numbers[name]} {words}" for name, words in _SO_FAR.items() if run.numbers[name]]


def rows_of(run: Run, storage: Storage, about: About = NOTHING) -> tuple[list[RowState], int]:
    """The rows of a run as they are now, at most 200, and how many it has in all."""
    known = storage.notifications.get(run.key)
    keys, timestamp = (known.keys, known.timestamp) if known else ((), 0)
    total = (known.changes if known else 0) or run.changes
    found: dict[str, RowState] = {}

    def look(company: str, mapping: str, row_key: tuple[str, ...]) -> None:
        key = link_key(company, mapping, row_key)
        link = storage.links.load(key)[0]
        found[key] = state_of(link, about, timestamp) if link else RowState(key, mapping, row_key, None, timestamp)

    calls = [partial(look, *name) for name in keys[:ROWS]]
    storage.in_parallel(calls)
    return [found[link_key(*name)] for name in keys[:ROWS]], max(total, len(keys))


def timestamp_of(run: Run, storage: Storage) -> int:
    """The TimeStamp of a run's transaction; 0 where there is none."""
    known = storage.notifications.get(run.key)
    return known.timestamp if known else 0


def row(key: str, storage: Storage, about: About = NOTHING) -> RowState | None:
    """One row by the key of its event link; none where nothing is known of it, or where this is no key."""
    if not KEY.fullmatch(key):
        return None
    link, _ = storage.links.load(key)
    return state_of(link, about) if link else None


def rows(keys: Sequence[str], storage: Storage, about: About = NOTHING) -> list[RowState]:
    """Several of them, without those of which nothing is known."""
    found: dict[str, RowState | None] = {}
    storage.in_parallel([partial(lambda key: found.update({key: row(key, storage, about)}), key) for key in keys])
    return [state for key in keys if (state := found[key])]


def state_of(link: EventLink, about: About, timestamp: int = 0) -> RowState:
    """The row of an event link."""
    meeting = meeting_of(link, about.mappings.get(link.mapping), about.site)
    return RowState(link.key, link.mapping, link.row_key, link, timestamp, meeting)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
