"""What happened, why it failed, and running it again: for the page, for programs, and as a command.

    python -m handlers.runs list | show | letters | resubmit | discard      (--help says more)

Everything is read from the app's storage, with the app's settings: from the environment, or from local.settings.json.
"""

import argparse
import contextlib
import getpass
import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from handlers.clients import activity_reading
from handlers.clients.activity import Run, first_keys, readable, run_key
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.notifications import ReceivedNotification, kept_keys
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError
from handlers.services import Factory, NotReady, Services
from handlers.sync.change import NotARowChange, RowChange, digest, link_key, load_json, ticks_to_datetime
from handlers.sync.link import EventLink
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.notification import PushNotification, folded, row_changes

_TRIES = 10  # of an optimistic save
_ROWS = 200  # shown at a time
_TEXT = 1000
_AT_ONCE = 2000  # dead letters resubmitted by one request
LETTERS_MAX = 10_000


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowState:
    """A row under a mapping: what is known of it now, and in one word how it is."""

    key: str  # of its event link
    mapping: str
    row_key: tuple[str, ...]
    link: EventLink | None
    timestamp: int = 0  # of the change that is asked about; 0 = none in particular

    @property
    def state(self) -> str:
        """In order, left out (by [when]), removed, failed, deferred, in doubt, working, waiting (not looked at yet)."""
        link = self.link
        if link is None:
            return "waiting"
        if link.buried:
            return "failed"
        if link.version is None or link.version.timestamp < self.timestamp:
            return "waiting"
        if link.claim:
            return "in doubt" if link.last_error else "working"
        if link.last_error:
            return "deferred"
        if not link.present:
            return "removed"
        return "in order" if link.live else "left out"

    @property
    def mailbox(self) -> str:
        """Where its event is, or was to be."""
        entries = self.link.entries if self.link else ()
        live = self.link.live if self.link else None
        return live.mailbox if live else entries[-1].mailbox if entries else ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        link = self.link
        if link is None:
            return {"key": self.key, "mapping": self.mapping, "row": list(self.row_key), "state": self.state}
        return {
            "key": self.key,
            "mapping": self.mapping,
            "row": list(self.row_key),
            "state": self.state,
            "mailbox": self.mailbox,
            "event": link.live.id if link.live else None,
            "written_back": link.written_back,
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


def rows_of(run: Run, storage: Storage) -> tuple[list[RowState], int]:
    """The rows of a run as they are now, at most 200, and how many it has in all."""
    known = storage.notifications.get(run.key) or ReceivedNotification(run.key)
    keys = known.keys
    total = known.changes or run.changes or len(keys)
    found: dict[str, RowState] = {}

    def look(company: str, mapping: str, row_key: tuple[str, ...]) -> None:
        key = link_key(company, mapping, row_key)
        found[key] = RowState(key, mapping, row_key, storage.links.load(key)[0], known.timestamp)

    calls = [partial(look, *key) for key in keys[:_ROWS]]
    storage.in_parallel(calls)
    return [found[link_key(*key)] for key in keys[:_ROWS]], max(total, len(keys))


def row(key: str, storage: Storage) -> RowState | None:
    """One row by the key of its event link."""
    link, _ = storage.links.load(key)
    return RowState(key, link.mapping, link.row_key, link) if link else None


def search(text: str, storage: Storage, mappings: Mapping[str, SyncMapping], company: str) -> list[RowState]:
    """Rows by their exact key (the values of several key columns with commas between them), or by mailbox."""
    text = text.strip()
    if not text:
        return []
    found = []
    for name, mapping in mappings.items():
        parts = [text] if len(mapping.key) == 1 else [part.strip() for part in text.split(",")]
        key = link_key(folded(company), name, parts)
        if state := row(key, storage):
            found.append(state)
    if not found and "@" in text:
        found = [RowState(link.key, link.mapping, link.row_key, link) for link in storage.links.in_mailbox(text, _ROWS)]
    return found


@dataclass(frozen=True)
class Letter:
    """A dead letter. `change` is none where it holds no row change, or where what it holds was not read."""

    letter: DeadLetter
    change: RowChange | None

    @property
    def id(self) -> str:
        """Its key."""
        return self.letter.key

    @property
    def row_key(self) -> str:
        """The values of the row's key columns."""
        return ", ".join(self.change.key) if self.change else self.letter.row_key

    @property
    def holds_a_row(self) -> bool:
        """Whether it can be run again: what was no row change has no mapping."""
        return bool(self.letter.mapping)

    @property
    def resubmitted(self) -> datetime | None:
        """When it was sent to the queue again, if it has not failed since."""
        sent, failed = self.letter.resubmitted, self.letter.last
        return sent if sent and failed and sent > failed else None

    def as_json(self) -> dict[str, Any]:
        """For programs; without the row."""
        letter = self.letter
        facts = {
            "Code": letter.code,
            "Reason": letter.reason,
            "Remedy": letter.remedy,
            "Mapping": letter.mapping,
            "Key": letter.row_key,
            "NotificationId": letter.notification,
            "TransactionTimeStamp": str(letter.timestamp),
            "FirstTime": letter.first,
            "LastTime": letter.last,
            "Times": letter.times,
            "Tries": letter.tries,
            "Resubmitted": letter.resubmitted,
            "ResubmittedBy": letter.resubmitted_by,
        }
        told = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in facts.items() if v not in {None, ""}}
        return {"id": self.id, "row": self.row_key, **told}


def letters(storage: Storage) -> list[Letter]:
    """Dead letters without what they hold, at most 10,000; those first that failed last."""
    found = [_letter(stored) for stored in storage.dead_letters.list(LETTERS_MAX)]
    return sorted(found, key=lambda each: str(each.letter.last or ""), reverse=True)


def letter(key: str, storage: Storage) -> Letter | None:
    """One dead letter, its content read from wherever it is kept."""
    stored = storage.dead_letters.get(key)
    return _letter(stored) if stored else None


def _letter(stored: DeadLetter) -> Letter:
    try:
        change = RowChange.decode(load_json(stored.content or ""))
    except (NotARowChange, ValueError):
        change = None
    return Letter(stored, change)


# -- acting ------------------------------------------------------------------------------------------------------------


class Refused(Exception):
    """What was asked for cannot be done; the message says why."""


def resubmit(keys: Sequence[str], services: Services, who: str) -> tuple[int, list[str]]:
    """Send dead letters to the queue again; returns how many, and why the others were not.

    The whole row is mapped anew, as of its own transaction: a newer state of the row is never overridden. A letter
    stays until its row is in order.
    """
    storage, now = services.storage, services.clock()
    notification = digest(["resubmitted", uuid.uuid4().hex])
    run = run_key(now, notification)
    sent: list[tuple[Letter, RowChange]] = []
    problems = [f"{len(keys) - _AT_ONCE} more are left for the next time."] if len(keys) > _AT_ONCE else []
    whole: dict[str, Letter | None] = {}
    storage.in_parallel([partial(lambda key: whole.update({key: letter(key, storage)}), key) for key in keys[:_AT_ONCE]])
    for key in keys[:_AT_ONCE]:
        if found := whole[key]:
            try:
                sent += [(found, replace(change, run=run)) for change in _again(found, services, now)]
            except Refused as error:
                problems.append(f"{found.row_key or key[:16]}: {error}")
        else:
            problems.append(f"{key[:16]}: there is no such dead letter (any more).")
    if not sent:
        return 0, problems
    changes = [change for _, change in sent]
    received = ReceivedNotification(
        notification,
        received=_moment(now),
        rows=len(sent),
        changes=len(sent),
        run=run,
        keys=kept_keys(changes),
    )
    storage.notifications.begin(received)
    services.activity.person("resubmitted", who, key=notification, changes=len(sent), first=first_keys(changes))
    storage.in_parallel([partial(_send, found, change, services, who) for found, change in sent])
    storage.notifications.mark_queued(notification)
    return len({found.id for found, _ in sent}), problems


def _send(found: Letter, change: RowChange, services: Services, who: str) -> None:
    services.storage.queue.send(change)
    if found.id == change.link_key:
        services.storage.dead_letters.mark_resubmitted(found.id, _moment(services.clock()), who)
    else:  # a row that had no key has one now: from here on it is known by that
        services.storage.dead_letters.remove(found.id, found.letter.etag)


def _again(found: Letter, services: Services, now: float) -> list[RowChange]:
    """The changes that a dead letter makes when its row is mapped anew. Raises Refused."""
    change, content = found.change, _content(found)
    if found.letter.content is None:
        raise Refused("what it held has expired, so it cannot be run again; save the record in Acumatica, and discard it.")
    if change is None and not {"mapping", "timestamp", "row"} <= content.keys():
        raise Refused("it holds no row, so it cannot be run again; discard it.")
    name = change.mapping if change else str(content["mapping"])
    mapping = services.mappings.get(name)
    if not mapping:
        raise Refused(f"there is no active mapping {name!r}.")
    if change and change.row is None:  # the row has left the inquiry
        return [replace(change, tries=0, first_sent=now, tried_for=0.0, tried_at=0.0)]
    whole = change.row if change else content["row"]
    notification = PushNotification(
        inserted=(whole or {},),
        deleted=(),
        query=mapping.query,
        company_id=change.company if change else folded(services.settings.acumatica_tenant),
        id=change.notification if change else found.letter.notification,
        timestamp=change.timestamp if change else int(content["timestamp"]),
        additional_info={},
    )
    changes, unidentified = row_changes(notification, [mapping], now)
    if unidentified:
        raise Refused(unidentified[0].reason)
    # Which of several rows with one key is meant cannot be told from one of them.
    return [replace(new, problem=change.problem) if change and new.key == change.key else new for new in changes]


def _content(found: Letter) -> dict[str, Any]:
    try:
        content = load_json(found.letter.content or "")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def discard(key: str, services: Services, who: str, why: str) -> None:
    """Remove a dead letter for good; who, when and why are kept as a run. Raises Refused."""
    storage = services.storage
    found = letter(key, storage)
    if not found:
        raise Refused("there is no such dead letter (any more).")
    services.activity.person(
        "discarded",
        who,
        why=why,
        problems=found.letter.reason[:_TEXT],
        row_key=readable(found.row_key, _TEXT),
        mapping=found.letter.mapping,
        link=key,
    )
    if not storage.dead_letters.remove(key, found.letter.etag):
        raise Refused("it has failed anew meanwhile; look at it again.")
    if not found.change or found.change.link_key != key:
        return
    for _ in range(_TRIES):
        link, etag = storage.links.load(key)
        if link is None or not link.buried or link.buried > found.change.timestamp:
            return
        outcome = f"dead letter discarded by {who}{': ' + why if why else ''}"
        unburied = replace(link, buried=0, last_error="").noted(services.clock(), found.change, "", outcome)
        if storage.links.save(unburied, etag):
            return


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# -- the command -------------------------------------------------------------------------------------------------------


def environment(settings: Path | None = None) -> dict[str, str]:
    """The app settings of a command: the environment over the "Values" of local.settings.json."""
    file = settings or Path("local.settings.json")
    values: dict[str, Any] = {}
    if settings or file.exists():
        try:
            values = json.loads(file.read_text(encoding="utf-8")).get("Values", {})
        except (OSError, ValueError, AttributeError) as error:
            raise SystemExit(f"{file} cannot be read as settings: {type(error).__name__}") from None
    return {name: str(value) for name, value in values.items()} | dict(os.environ)


@contextlib.contextmanager
def opened(settings: Path | None) -> Iterator[Factory]:
    """The app's services for a command; what can be expected to go wrong ends it with a word."""
    factory = Factory(environment(settings))
    try:
        yield factory
    except NotReady as error:
        raise SystemExit("\n".join([f"not ready ({error.part}):", *error.problems])) from None
    except Refused as error:
        raise SystemExit(str(error)) from None
    except StorageError as error:
        raise SystemExit(f"storage cannot be used: {type(error).__name__}") from None
    finally:
        factory.close()


def parser(prog: str, text: str | None) -> argparse.ArgumentParser:
    """A parser with what all commands take."""
    made = argparse.ArgumentParser(prog=prog, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--settings", type=Path, metavar="FILE", help="settings file (default: local.settings.json, if any)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 where something was refused."""
    made = parser("python -m handlers.runs", __doc__)
    made.add_argument("--json", action="store_true", help="print JSON")
    commands = made.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="the newest runs")
    listing.add_argument("--which", choices=("failed", "rejected", "people"), default="", help="only these")
    listing.add_argument("--limit", type=int, default=50, help="how many at most (default: 50)")
    showing = commands.add_parser("show", help="a run with its rows; or a row, by its exact key or by mailbox")
    showing.add_argument("what", help="a run's id, a row's key (or link key), or a mailbox")
    commands.add_parser("letters", help="the dead letters with reason and remedy")
    again = commands.add_parser("resubmit", help="map dead letters anew and send them to the queue")
    chosen = again.add_mutually_exclusive_group(required=True)
    chosen.add_argument("key", nargs="*", default=[], help="ids of dead letters, or the beginnings of ids")
    chosen.add_argument("--all", action="store_true", help="all of them")
    chosen.add_argument("--reason", help="those with exactly this reason")
    away = commands.add_parser("discard", help="remove a dead letter for good")
    away.add_argument("key", help="id of the dead letter, or its beginning")
    away.add_argument("--why", required=True, help="kept with the run that records it")
    options = made.parse_args(arguments)
    with opened(options.settings) as factory:
        return _run_command(options, factory)


def _run_command(options: argparse.Namespace, factory: Factory) -> int:
    storage, who = factory.storage(), f"{getpass.getuser()} (command line)"
    match options.command:
        case "list":
            found = activity_reading.newest(storage, which=options.which, limit=options.limit)
            _print([run.as_json() for run in found], [_run_line(run) for run in found], options)
        case "show":
            return _show(options, factory)
        case "letters":
            all_letters = letters(storage)
            lines = [line for found in all_letters for line in _letter_lines(found)]
            _print([found.as_json() for found in all_letters], lines or ["There are no dead letters."], options)
        case "resubmit":
            chosen = [
                found.id
                for found in letters(storage)
                if options.all or found.letter.reason == options.reason or found.id.startswith(tuple(options.key) or "-")
            ]
            count, problems = resubmit(chosen, factory.services(), who) if chosen else (0, ["No dead letter fits."])
            said = [f"{count} resubmitted; each letter stays until its row is in order.", *problems]
            _print({"resubmitted": count, "problems": problems}, said, options)
            return 1 if problems else 0
        case "discard":
            fitting = [found.id for found in letters(storage) if found.id.startswith(options.key)]
            if len(fitting) != 1:
                raise Refused(f"{len(fitting)} dead letters fit; give the id of one.")
            discard(fitting[0], factory.services(), who, options.why)
            _print({"discarded": fitting}, [f"{fitting[0]} discarded."], options)
    return 0


def _show(options: argparse.Namespace, factory: Factory) -> int:
    storage, what = factory.storage(), options.what
    if run := activity_reading.one(storage, what):
        states, total = rows_of(run, storage)
        lines = [_run_line(run), f"{total} rows", *(line for state in states for line in _row_lines(state))]
        _print({**run.as_json(), "rows_in_all": total, "row_states": [s.as_json() for s in states]}, lines, options)
        return 0
    services = factory.services()
    found = [state] if (state := row(what, storage)) else []
    found = found or search(what, storage, services.mappings, services.settings.acumatica_tenant)
    if not found:
        raise Refused("no run, row or mailbox is known by this. Keys have to be exact, as Acumatica shows them.")
    _print([s.as_json() for s in found], [line for s in found for line in [*_row_lines(s), *_history(s)]], options)
    return 0


def _print(data: Any, lines: Sequence[str], options: argparse.Namespace) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2, default=str) if options.json else "\n".join(lines))  # noqa: T201


def _run_line(run: Run) -> str:
    numbers = ", ".join(f"{run.numbers[n]} {n}" for n in ("changed", "unchanged", "deferred", "failed") if run.numbers[n])
    what = (run.problems or run.first or run.row_key or run.query).splitlines()
    shown = (what or [""])[0][:60]
    return f"{run.received:%Y-%m-%d %H:%M:%S} UTC  {run.progress:<11} {shown}  {numbers}\n    {run.id}"


def _row_lines(state: RowState) -> list[str]:
    link = state.link
    lines = [f"  {', '.join(state.row_key)} ({state.mapping}): {state.state}  {state.mailbox}  {state.key}"]
    return lines + ([f"      {link.last_error}"] if link and link.last_error else [])


def _history(state: RowState) -> list[str]:
    return [
        f"      {_moment(past.at):%Y-%m-%d %H:%M:%S} UTC  {past.effect or '-'}: {past.outcome}"
        f"{f' ({past.times} times)' if past.times > 1 else ''}"
        for past in reversed(state.link.history if state.link else ())
    ]


def _letter_lines(found: Letter) -> list[str]:
    again = f", resubmitted {found.resubmitted:%Y-%m-%d %H:%M:%S} UTC" if found.resubmitted else ""
    return [
        f"{found.row_key or '(no key)'} ({found.letter.mapping or '-'}), since {found.letter.first}{again}",
        f"  {found.letter.reason}",
        f"  {found.letter.remedy}",
        f"  id {found.id}",
    ]


if __name__ == "__main__":
    sys.exit(main())
