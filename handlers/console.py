"""The commands, in a terminal: what they are called, and how what they find is printed."""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from handlers.again import Refused
from handlers.clients.receivers import new_secret
from handlers.clients.sweeps import Sweep
from handlers.clients.tables import StorageError, in_words
from handlers.command import command, environment, opened, say, who
from handlers.operations import activity, calendars, checks, dead_letters, preview, search, support, sweeps, uninstall
from handlers.operations.check import Check
from handlers.services import Factory, NotReady, Services
from handlers.sync.mapping_file import MappingProblems
from handlers.sync.notification import NotificationProblems
from handlers.terminal import (
    check_lines,
    history_lines,
    hold_lines,
    letter_lines,
    look_lines,
    preview_lines,
    progress_line,
    row_lines,
    run_line,
    sweep_lines,
)

_SETTINGS = "They use the app's settings: from the environment, or from local.settings.json."
_SWEEP = """Read the whole inquiry of a mapping, and set right what differs.

Rows are added and changed; they are removed where the mapping's mode is "full", and never more at once than the brake
allows. It reads in the app's own sessions of Acumatica, and may be stopped: the app goes on with it. With --calendars, look
for what people did to events in Outlook instead, and do what the mapping's [on] moved and deleted say.
"""
_UNINSTALL = """Remove every event that this app has made: after a trial, or before the app is removed.

Without --remove it shows what would be removed, and removes nothing. Set SYNC_PAUSED first: rows that change meanwhile
get their event again. It works row by row under the app's own rules, so it may be stopped and run again. What Acumatica's
records say of event ids stays. A row that changes later gets a new event, as long as the app runs.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; the exit status is 1 where something is wrong or was refused."""
    logging.getLogger("handlers").addHandler(logging.NullHandler())  # what the log tells a monitor, a command tells its user
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m handlers", description=f"Look after the app. {_SETTINGS}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = command(commands, "doctor", _doctor, "Say whether everything is there that the app needs.")
    made.add_argument("--mailbox", default="", metavar="ADDRESS", help="the mailbox to try (default: TEST_MAILBOX)")
    made.add_argument("--quick", action="store_true", help="only what needs neither Graph nor Acumatica")
    made.add_argument("--bundle", type=Path, metavar="FILE", help="write a file for support (zip): no secrets, no rows")
    made = command(
        commands, "preview", _preview, "Show what a notification would lead to; needs no settings.", storage=False
    )
    made.add_argument("notification", help="file with a push notification as Acumatica sends it; - for standard input")
    made.add_argument("--mappings", default="mappings", metavar="DIR", help="folder of the mapping files (mappings)")
    _add_runs(commands.add_parser("runs", help="look at what happened, and run it again"))
    made = command(commands, "sweep", _sweep, _SWEEP)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("mapping", nargs="?", help="name of the mapping")
    what.add_argument("--calendars", nargs="?", const="", metavar="MAILBOX", help="look at the calendars (of one mailbox)")
    made.add_argument("--dry-run", action="store_true", help="only say what would be done")
    made = command(commands, "held", _held, "Removals that were too many at once: list, release or discard them.")
    chosen = made.add_mutually_exclusive_group()
    chosen.add_argument("--release", metavar="ID", help="let them be done")
    chosen.add_argument("--discard", metavar="ID", help="forget them; the events stay")
    made.add_argument("--why", default="", help="of --discard: kept with the run that records it")
    made = command(commands, "uninstall", _uninstall, _UNINSTALL)
    made.add_argument("--remove", action="store_true", help="remove the events (without it: a dry run)")
    made.add_argument("--mailbox", default="", metavar="ADDRESS", help="only events of this mailbox")
    text = "Make a secret that signs the messages of a relay; nothing is stored."
    command(commands, "relay-secret", _relay_secret, text, storage=False)
    return top


def _add_runs(runs: argparse.ArgumentParser) -> None:
    runs.description = "What happened, why it failed, and running it again."
    commands = runs.add_subparsers(dest="runs_command", required=True, metavar="COMMAND")
    made = command(commands, "list", _list, "The newest runs.")
    made.add_argument("--which", choices=("failed", "rejected", "people"), default="", help="only these")
    made.add_argument("--limit", type=int, default=50, help="how many at most (default: 50)")
    made = command(commands, "show", _show, "A run with its rows; or rows, by part of key, subject or mailbox.")
    made.add_argument("what", help="a run's id, a link key, or part of a key, a subject or a mailbox")
    made = command(commands, "letters", _letters, "The dead letters with code, reason and remedy.")
    made.add_argument("--code", default="", help="only those with this code")
    made = command(commands, "resubmit", _resubmit, "Map dead letters anew, and send them to the queue.")
    chosen = made.add_mutually_exclusive_group(required=True)
    chosen.add_argument("key", nargs="*", default=[], help="ids of dead letters, or the beginnings of ids")
    chosen.add_argument("--all", action="store_true", help="all of them")
    chosen.add_argument("--code", help="those with this code")
    chosen.add_argument("--reason", help="those with exactly this reason")
    made = command(commands, "discard", _discard, "Remove a dead letter for good.")
    made.add_argument("key", help="id of the dead letter, or its beginning")
    made.add_argument("--why", required=True, help="kept with the run that records it")


# -- doctor, preview, uninstall ----------------------------------------------------------------------------------------


def _doctor(options: argparse.Namespace) -> int:
    environ = environment(options.settings)
    factory, found = Factory(environ), []
    try:
        for check in _checks(options, factory):
            found.append(check)
            if not options.json:
                print("\n".join(check_lines(check)), flush=True)
        if options.bundle:
            try:
                support.write(factory, environ, options.bundle, found)
            except OSError as error:
                sys.exit(f"{options.bundle} cannot be written: {error.strerror}")
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
    rows: list[preview.PreviewedRow] = []
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
        lines = [f"{len(rows)} row{'s' * (len(rows) != 1)}. Nothing was sent."]
        lines += [line for row in rows for line in preview_lines(row)]
        say(options, {"problems": problems, "rows": preview.as_json(rows)}, lines)
    return 1 if problems or any(row.problem for row in rows) else 0


def _uninstall(options: argparse.Namespace) -> int:
    failed: dict[str, str] = {}
    with opened(options) as factory:
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
    say(options, told, lines)
    return 1 if failed else 0


# -- sweeps ------------------------------------------------------------------------------------------------------------


def _sweep(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        services = factory.services()
        if options.calendars is not None:
            return _look(options, services)
        begun = sweeps.begin(options.mapping, services, who(), apply=not options.dry_run, queue=False)
        try:
            done = sweeps.run(begun, services, time.sleep, _progress)
        except sweeps.Overtaken:
            raise Refused("another sweep of this mapping has begun, and this one has stopped") from None
        say(options, sweeps.sweep_as_json(done), sweep_lines(done))
        return 1 if done.code or done.plan.held else 0


def _look(options: argparse.Namespace, services: Services) -> int:
    found = list(calendars.sweep(services, options.calendars, dry_run=options.dry_run))
    lines = [line for look in found for line in look_lines(look, dry_run=options.dry_run)]
    none = "No event to look for." if calendars.is_wanted(services) else "No mapping wants to know: [on] moved and deleted."
    say(options, [calendars.look_as_json(look) for look in found], lines or [none])
    return 1 if any(isinstance(look, calendars.NotLooked) for look in found) else 0


def _progress(sweep: Sweep) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress_line(sweep)}", end="" if sweep.phase != "done" else "\n", file=sys.stderr, flush=True)


def _relay_secret(options: argparse.Namespace) -> int:
    secret = new_secret()
    say(options, {"secret": secret}, [secret])
    return 0


def _held(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        intake, chosen = factory.intake(), options.release or options.discard
        found = [hold for hold in sweeps.holds(intake.storage) if hold.id.startswith(chosen or "")]
        if chosen and len(found) != 1:
            raise Refused(f"{len(found)} holds fit; give the id of one.")
        if options.release:
            sweeps.release(found[0].id, intake, who())
        elif options.discard:
            sweeps.discard(found[0].id, intake, who(), options.why)
        done = "Released; the app sends them." if options.release else "Discarded; the events stay."
        lines = [done] if chosen else [line for hold in found for line in hold_lines(hold)] or ["Nothing is held."]
        say(options, [sweeps.hold_as_json(hold) for hold in found], lines)
    return 0


# -- runs --------------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        found = activity.newest(factory.storage(), which=options.which, limit=options.limit)
        say(options, [run.as_json() for run in found], [run_line(run) for run in found])
    return 0


def _show(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        storage = factory.storage()
        if run := activity.run(options.what, storage):
            rows, total = activity.rows_of(run, storage, activity.about(factory))
            told = {**run.as_json(), "rows_in_all": total, "row_states": [row.as_json() for row in rows]}
            say(options, told, [run_line(run), f"{total} rows", *(line for row in rows for line in row_lines(row))])
            return 0
        about = activity.about(factory)
        found = [row] if (row := activity.row(options.what, storage, about)) else []
        if not found:
            found = search.search(options.what, storage, about).rows
        if not found:
            raise Refused("no run, row or mailbox is known by this: part of a key, of a subject or of an address.")
        lines = [line for row in found for line in [*row_lines(row), *history_lines(row)]]
        say(options, [row.as_json() for row in found], lines)
    return 0


def _letters(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        found = dead_letters.find(factory.storage(), options.code)
        lines = [line for letter in found for line in letter_lines(letter)]
        say(options, [letter.as_json() for letter in found], lines or ["There are no dead letters."])
    return 0


def _resubmit(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        code, every = options.code or "", options.all or bool(options.code)
        about = {"code": code, "every": every, "reason": options.reason, "beginnings": options.key}
        keys = dead_letters.chosen(factory.storage(), **about)
        done = dead_letters.Resubmitted(0, ["No dead letter fits."])
        if keys:
            done = dead_letters.resubmit(keys, factory.intake(), who())
        said = [f"{done.count} resubmitted; each letter stays until its row is in order.", *done.problems]
        say(options, {"resubmitted": done.count, "problems": done.problems}, said)
    return 1 if done.problems else 0


def _discard(options: argparse.Namespace) -> int:
    with opened(options) as factory:
        fitting = dead_letters.chosen(factory.storage(), beginnings=[options.key])
        if len(fitting) != 1:
            raise Refused(f"{len(fitting)} dead letters fit; give the id of one.")
        dead_letters.discard(fitting[0], factory.intake(), who(), options.why)
        say(options, {"discarded": fitting}, [f"{fitting[0]} discarded."])
    return 0
