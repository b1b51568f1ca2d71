"""The commands, in a terminal: what they are called, and how what they find is printed."""

import argparse
import contextlib
import getpass
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from handlers.clients.receivers import new_secret
from handlers.clients.sweeps import Sweep
from handlers.clients.tables import StorageError, in_words
from handlers.operations import activity, calendars, checks, dead_letters, preview, search, support, sweeps, uninstall
from handlers.operations.check import Check
from handlers.operations.dead_letters import Refused
from handlers.services import Factory, NotReady, Services
from handlers.sync.mapping_file import MappingProblems
from handlers.sync.notification import NotificationProblems
from handlers.terminal import (
    check_lines,
    history_lines,
    hold_lines,
    letter_lines,
    look_lines,
    progress_line,
    row_lines,
    run_line,
    sweep_lines,
)

_SETTINGS = "They use the app's settings: from the environment, or from local.settings.json."
_SWEEP = """Read the whole inquiry of a mapping, and set right what differs.

Rows are added and changed; they are removed where the mapping's mode is "full", and never more at once than the brake
allows. It reads in the app's own sessions of Acumatica, and may be stopped: the app goes on with it.

With --calendars, look for what people did to events in Outlook instead: in one mailbox, or in all. What is found is marked,
and goes to the queue as the mapping's [on] moved and deleted say.
"""
_UNINSTALL = """Remove every event that this app has made: after a trial, or before the app is removed.

Without --remove it shows what would be removed, and removes nothing. Set SYNC_PAUSED first: rows that change meanwhile
get their event again. It works row by row under the app's own rules, so it may be stopped and run again. What Acumatica's
records say of event ids stays. A row that changes later gets a new event, as long as the app runs.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit status is 1 where something is wrong or was refused."""
    try:
        try:
            options = _parser().parse_args(arguments)
            status: int = options.run(options)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m handlers", description=f"Look after the app. {_SETTINGS}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = _command(commands, "doctor", _doctor, "Say whether everything is there that the app needs.")
    made.add_argument("--mailbox", default="", metavar="ADDRESS", help="the mailbox to try (default: TEST_MAILBOX)")
    made.add_argument("--quick", action="store_true", help="only what needs neither Graph nor Acumatica")
    made.add_argument("--bundle", type=Path, metavar="FILE", help="write a file for support (zip): no secrets, no rows")
    made = _command(
        commands, "preview", _preview, "Show what a notification would lead to; needs no settings.", storage=False
    )
    made.add_argument("notification", help="file with a push notification as Acumatica sends it; - for standard input")
    made.add_argument("--mappings", default="mappings", metavar="DIR", help="folder of the mapping files (mappings)")
    _add_runs(commands.add_parser("runs", help="look at what happened, and run it again"))
    made = _command(commands, "sweep", _sweep, _SWEEP)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("mapping", nargs="?", help="name of the mapping")
    what.add_argument("--calendars", nargs="?", const="", metavar="MAILBOX", help="look at the calendars (of one mailbox)")
    made.add_argument("--dry-run", action="store_true", help="only say what would be done")
    made = _command(commands, "held", _held, "Removals that were too many at once: list, release or discard them.")
    chosen = made.add_mutually_exclusive_group()
    chosen.add_argument("--release", metavar="ID", help="let them be done")
    chosen.add_argument("--discard", metavar="ID", help="forget them; the events stay")
    made.add_argument("--why", default="", help="kept with the run that records it")
    made = _command(commands, "uninstall", _uninstall, _UNINSTALL)
    made.add_argument("--remove", action="store_true", help="remove the events (without it: a dry run)")
    made.add_argument("--mailbox", default="", metavar="ADDRESS", help="only events of this mailbox")
    text = "Make a secret that signs the messages of a relay; nothing is stored."
    _command(commands, "relay-secret", _relay_secret, text, storage=False)
    return top


def _add_runs(runs: argparse.ArgumentParser) -> None:
    runs.description = "What happened, why it failed, and running it again."
    commands = runs.add_subparsers(dest="runs_command", required=True, metavar="COMMAND")
    made = _command(commands, "list", _list, "The newest runs.")
    made.add_argument("--which", choices=("failed", "rejected", "people"), default="", help="only these")
    made.add_argument("--limit", type=int, default=50, help="how many at most (default: 50)")
    made = _command(commands, "show", _show, "A run with its rows; or rows, by part of key, subject or mailbox.")
    made.add_argument("what", help="a run's id, a link key, or part of a key, a subject or a mailbox")
    made = _command(commands, "letters", _letters, "The dead letters with code, reason and remedy.")
    made.add_argument("--code", default="", help="only those with this code")
    made = _command(commands, "resubmit", _resubmit, "Map dead letters anew, and send them to the queue.")
    chosen = made.add_mutually_exclusive_group(required=True)
    chosen.add_argument("key", nargs="*", default=[], help="ids of dead letters, or the beginnings of ids")
    chosen.add_argument("--all", action="store_true", help="all of them")
    chosen.add_argument("--code", help="those with this code")
    chosen.add_argument("--reason", help="those with exactly this reason")
    made = _command(commands, "discard", _discard, "Remove a dead letter for good.")
    made.add_argument("key", help="id of the dead letter, or its beginning")
    made.add_argument("--why", required=True, help="kept with the run that records it")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, *, storage: bool = True
) -> argparse.ArgumentParser:
    first = text.partition("\n")[0].rstrip(".")
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=first[0].lower() + first[1:], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.set_defaults(run=run)
    made.add_argument("--json", action="store_true", help="print JSON")
    if storage:
        text = "settings file (default: local.settings.json, if any)"
        made.add_argument("--settings", type=Path, metavar="FILE", help=text)
    return made


# -- settings ----------------------------------------------------------------------------------------------------------


def _environment(file: Path | None) -> dict[str, str]:
    """The app settings of a command: the environment over the "Values" of local.settings.json."""
    known, values = file or Path("local.settings.json"), {}
    if file or known.exists():
        try:
            values = json.loads(known.read_text(encoding="utf-8-sig"))["Values"]
            values.keys()
        except KeyError:
            raise SystemExit(
                f'{known}: "Values" is missing; the settings stand in it: {{"IsEncrypted": false, "Values": {{ … }}}}'
            ) from None
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise SystemExit(f"{known} cannot be read as settings: {type(error).__name__}") from None
    return {name: str(value) for name, value in values.items()} | dict(os.environ)


@contextlib.contextmanager
def _opened(options: argparse.Namespace) -> Iterator[Factory]:
    """The app's services for a command; what can be expected to go wrong ends it with a word."""
    factory = Factory(_environment(options.settings))
    try:
        yield factory
    except NotReady as error:
        raise SystemExit("\n".join([f"not ready ({error.part}):", *error.problems])) from None
    except Refused as error:
        raise SystemExit(str(error)) from None
    except StorageError as error:
        raise SystemExit("storage: {}. {}".format(*in_words(error))) from None
    finally:
        factory.close()


def _who() -> str:
    return f"{getpass.getuser()} (command line)"


def _print(options: argparse.Namespace, data: Any, lines: Sequence[str]) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2, default=str) if options.json else "\n".join(lines))


# -- doctor, preview, uninstall ----------------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    environ = _environment(options.settings)
    factory, found = Factory(environ), []
    try:
        for check in _checks(options, factory):
            found.append(check)
            if not options.json:
                print("\n".join(check_lines(check)), flush=True)
        if options.bundle:
            support.write(factory, environ, options.bundle, found)
    finally:
        factory.close()
    if options.json:
        print(json.dumps([asdict(check) for check in found], ensure_ascii=False, indent=2))
    elif options.bundle:
        print(f"{options.bundle} is written; look into it before you send it on.")
    return 1 if any(check.verdict == "fails" for check in found) else 0


def _checks(options: argparse.Namespace, factory: Factory) -> Iterator[Check]:
    yield from checks.quick(factory)
    if not options.quick:
        try:
            yield from checks.deep(factory.services(), options.mailbox)
        except NotReady:
            return  # said above
        except StorageError as error:
            yield Check("Sessions", "fails", f"storage: {in_words(error)[0]}")


def _preview(options: argparse.Namespace) -> int:
    problems: list[str] = []
    rows: list[preview.Outlook] = []
    try:
        source = options.notification
        body = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        rows = preview.read(body, Path(options.mappings), os.environ.get("ACUMATICA_URL", ""))
    except (MappingProblems, NotificationProblems) as error:
        problems = error.problems
    except OSError as error:
        problems = [f"{error.filename}: {error.strerror}"]
    if problems and not options.json:
        print(f"{len(problems)} problem{'s' * (len(problems) > 1)}:", *problems, sep="\n  ", file=sys.stderr)
    else:
        lines = [f"{len(rows)} row{'s' * (len(rows) != 1)}. Nothing was sent.", *preview.text(rows)]
        _print(options, {"problems": problems, "rows": preview.as_json(rows)}, lines)
    return 1 if problems or any(row.problem for row in rows) else 0


def _uninstall(options: argparse.Namespace) -> int:
    failed: dict[str, str] = {}
    with _opened(options) as factory:
        services = factory.services()
        found = uninstall.find(services, options.mailbox)
        for some in uninstall.remove(found, services) if options.remove else ():
            failed |= some
            if not options.json:
                print(".", end="", flush=True)
    mailboxes = Counter(entry.mailbox for link in found for entry in link.entries)
    done = len(found) - len(failed) if options.remove else 0
    end = f"The events of {done} rows are removed." if options.remove else "Dry run: nothing is removed; --remove does."
    lines = [
        f"\n{len(found)} rows have events:",
        *(f"  {mailbox}  {count}" for mailbox, count in sorted(mailboxes.items())),
        *(f"  left: {key[:16]} {reason}" for key, reason in failed.items()),
        end,
    ]
    told = {"rows": len(found), "events_by_mailbox": dict(mailboxes), "removed": done, "failed": failed}
    _print(options, told, lines)
    return 1 if failed else 0


# -- sweeps ------------------------------------------------------------------------------------------------------------


def _sweep(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        services = factory.services()
        if options.calendars is not None:
            return _look(options, services)
        begun = sweeps.begin(options.mapping, services, _who(), apply=not options.dry_run, queue=False)
        try:
            done = sweeps.run(begun, services, time.sleep, _progress)
        except sweeps.Overtaken:
            raise Refused("another sweep of this mapping has begun, and this one has stopped") from None
        _print(options, sweeps.sweep_as_json(done), sweep_lines(done))
        return 1 if done.code or done.plan.held else 0


def _look(options: argparse.Namespace, services: Services) -> int:
    found, lines = [], []
    for look in calendars.sweep(services, options.calendars, dry_run=options.dry_run):
        found.append(look)
        lines += look_lines(look, dry_run=options.dry_run)
    none = "No event to look for." if calendars.is_wanted(services) else "No mapping wants to know: [on] moved and deleted."
    _print(options, [calendars.look_as_json(look) for look in found], lines or [none])
    return 1 if any(isinstance(look, calendars.NotLooked) for look in found) else 0


def _progress(sweep: Sweep) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress_line(sweep)}", end="" if sweep.phase != "done" else "\n", file=sys.stderr, flush=True)


def _relay_secret(options: argparse.Namespace) -> int:
    secret = new_secret()
    _print(options, {"secret": secret}, [secret])
    return 0


def _held(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        intake, chosen = factory.intake(), options.release or options.discard
        found = [hold for hold in sweeps.holds(intake.storage) if hold.id.startswith(chosen or "")]
        if chosen and len(found) != 1:
            raise Refused(f"{len(found)} holds fit; give the id of one.")
        if options.release:
            sweeps.release(found[0].id, intake, _who())
        elif options.discard:
            sweeps.discard(found[0].id, intake, _who(), options.why)
        done = "Released; the app sends them." if options.release else "Discarded; the events stay."
        lines = [done] if chosen else [line for hold in found for line in hold_lines(hold)] or ["Nothing is held."]
        _print(options, [sweeps.hold_as_json(hold) for hold in found], lines)
    return 0


# -- runs --------------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        found = activity.newest(factory.storage(), which=options.which, limit=options.limit)
        _print(options, [run.as_json() for run in found], [run_line(run) for run in found])
    return 0


def _show(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        storage = factory.storage()
        if run := activity.run(options.what, storage):
            rows, total = activity.rows_of(run, storage, activity.about(factory))
            told = {**run.as_json(), "rows_in_all": total, "row_states": [row.as_json() for row in rows]}
            _print(options, told, [run_line(run), f"{total} rows", *(line for row in rows for line in row_lines(row))])
            return 0
        about = activity.about(factory)
        found = [row] if (row := activity.row(options.what, storage, about)) else []
        if not found:
            found = search.search(options.what, storage, about).rows
        if not found:
            raise Refused("no run, row or mailbox is known by this: part of a key, of a subject or of an address.")
        lines = [line for row in found for line in [*row_lines(row), *history_lines(row)]]
        _print(options, [row.as_json() for row in found], lines)
    return 0


def _letters(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        found = dead_letters.find(factory.storage(), options.code)
        lines = [line for letter in found for line in letter_lines(letter)]
        _print(options, [letter.as_json() for letter in found], lines or ["There are no dead letters."])
    return 0


def _resubmit(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        chosen = [
            letter.facts.key
            for letter in dead_letters.find(factory.storage(), options.code or "")
            if options.all
            or options.code
            or letter.facts.reason == options.reason
            or letter.facts.key.startswith(tuple(options.key) or "-")
        ]
        done = dead_letters.Resubmitted(0, ["No dead letter fits."])
        if chosen:
            done = dead_letters.resubmit(chosen, factory.intake(), _who())
        said = [f"{done.count} resubmitted; each letter stays until its row is in order.", *done.problems]
        _print(options, {"resubmitted": done.count, "problems": done.problems}, said)
    return 1 if done.problems else 0


def _discard(options: argparse.Namespace) -> int:
    with _opened(options) as factory:
        found = [letter.facts.key for letter in dead_letters.find(factory.storage())]
        fitting = [key for key in found if key.startswith(options.key)]
        if len(fitting) != 1:
            raise Refused(f"{len(fitting)} dead letters fit; give the id of one.")
        dead_letters.discard(fitting[0], factory.intake(), _who(), options.why)
        _print(options, {"discarded": fitting}, [f"{fitting[0]} discarded."])
    return 0
