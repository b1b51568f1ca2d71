"""Lines for a terminal."""

import json
import os
import sys
from datetime import UTC, datetime

from handlers.calendar_sweep import Looked
from handlers.clients.activity_record import Run
from handlers.clients.held import Hold
from handlers.clients.sweeps import Sweep
from handlers.operations import preview, words
from handlers.operations.activity import RowState
from handlers.operations.calendars import NotLooked
from handlers.operations.check import Check
from handlers.operations.dead_letters import Letter

_SIGNS = {"ok": ("✓", "32"), "note": ("!", "33"), "fails": ("✗", "31")}


def check_lines(check: Check) -> list[str]:
    """A check with its remedy."""
    sign, colour = _SIGNS[check.verdict]
    first = f"{_paint(sign, colour)} {check.what}: {check.seen}"
    return [first, f"    {_paint(check.remedy, '2')}"] if check.remedy else [first]


def run_line(run: Run) -> str:
    """A run with its id."""
    numbers = ", ".join(f"{run.numbers[n]} {n}" for n in ("changed", "unchanged", "deferred", "failed") if run.numbers[n])
    what = (run.problems or run.first or run.row_key or run.query).partition("\n")[0][:60]
    return f"{words.clock(run.received)}  {run.progress:<11} {what}  {numbers}\n    {run.id}"


def row_lines(row: RowState) -> list[str]:
    """A row with its last error."""
    lines = [f"  {', '.join(row.row_key)} ({row.mapping}): {row.state}  {row.mailbox}  {row.key}"]
    if row.meeting.subject:
        lines.append(f"      {' · '.join(filter(None, (row.meeting.subject, row.meeting.when)))}")
    return lines + ([f"      {row.link.last_error}"] if row.link and row.link.last_error else [])


def history_lines(row: RowState) -> list[str]:
    """What happened to a row, newest first."""
    return [
        f"      {words.clock(datetime.fromtimestamp(past.at, UTC))}  {words.effects(past.effect) or '-'}: {past.outcome}"
        f"{f' ({past.times} times)' if past.times > 1 else ''}"
        for past in reversed(row.link.history if row.link else ())
    ]


def letter_lines(letter: Letter) -> list[str]:
    """A dead letter with code, reason and remedy."""
    facts = letter.facts
    again = f", resubmitted {words.clock(letter.resubmitted)}" if letter.resubmitted else ""
    since = words.clock(facts.first) if facts.first else "-"
    return [
        f"{letter.row_key or '(no key)'} ({facts.mapping or '-'}), since {since}{again}",
        f"  {facts.reason}",
        f"  {facts.remedy}",
        f"  code {facts.code or '-'}, id {facts.key}",
    ]


def progress_line(sweep: Sweep) -> str:
    """How far a sweep is."""
    plan = sweep.plan
    told = f"{plan.read} rows read, {plan.upserts} to add or change, {plan.removals} to remove"
    return f"{sweep.mapping}: {told}{f'; waits: {sweep.code}' if sweep.code and sweep.phase != 'done' else ''}"


def sweep_lines(sweep: Sweep) -> list[str]:
    """The plan of a sweep, and why it ended before its time."""
    plan, done = sweep.plan, sweep.mode != "report"
    removed = "to be removed" if sweep.code else "removed"
    names = {
        "read": "read",
        "equal": "equal",
        "upserts": "added or changed" if done else "to be added or changed",
        "withdrawn": "events removed: [when] leaves them out, or TEST_MAILBOX takes them in",
        "removals": removed if sweep.mode == "full" else "missing: a sweep in mode full removes them",
        "held": f"removals held: {sweep.reason} Release or discard them: python -m handlers held",
        "too_young": "too young to judge; the next sweep looks again",
        "retried": "dead letters tried again",
    }
    counts = [(getattr(plan, name), told, name) for name, told in names.items()]
    counts += [(count, f"left out: {words.SKIPPED.get(why, why)}", why) for why, count in sorted(plan.skipped.items())]
    over = "not swept to the end" if sweep.code else "swept"
    lines = [f"{plan.mapping}, {over if done else 'a report: nothing was done'}"]
    for count, told, name in counts:
        if count or name == "read":
            sample = "; ".join(plan.samples.get(name, [])[:5])
            lines.append(f"  {count:>7}  {told}{f' ({sample})' if sample else ''}")
    if sweep.reason and not (sweep.code or plan.held):
        lines.append(f"held back: {sweep.reason}")
    if sweep.code:
        lines += [f"ended before its time: {sweep.reason}", f"  {sweep.remedy}", f"  code {sweep.code}"]
    return lines


def look_lines(look: Looked | NotLooked, *, dry_run: bool) -> list[str]:
    """A look at a mailbox: what people did to its events."""
    if isinstance(look, NotLooked):
        return [f"{look.look.mailbox}: not looked at: {look.reason}"]
    told = f"{look.looked} events looked at, {look.count('moved')} moved, {look.count('deleted')} deleted"
    lines = [f"{look.mailbox}: {told}; {look.marked} rows {'would go' if dry_run else 'go'} to the queue"]
    for link, finding in look.found:
        seen = finding.seen
        times = f" to {seen.start} – {seen.end}" if seen.start else ""
        lines.append(f"  {', '.join(link.row_key)} ({link.mapping}): {seen.status}{times}")
    return lines


def hold_lines(hold: Hold) -> list[str]:
    """Removals that are held."""
    first = "; ".join(", ".join(key) for key in hold.sample)
    return [
        f"{hold.count} removals of {hold.mapping}, {hold.state} since {words.clock(hold.at)}, from a {hold.source}",
        f"  {hold.reason}",
        f"  {first}",
        f"  id {hold.id}",
    ]


def preview_lines(row: preview.PreviewedRow) -> list[str]:
    """What becomes of one row of a notification."""
    lines = ["", f"{row.mapping}: {', '.join(row.key) or 'a row without a key'}"]
    for name, value in preview.shown(row).items():
        lines.append(f"  {name.upper() if row.problem and name != 'Remedy' else name:<12} {value}")
    if not row.steps and not row.problem:
        lines.append("  Nothing to do")
    for step in row.steps:
        lines.append(f"  {step.effect:<12} {step.request}")
        if step.body is not None:
            lines += [f"    {line}" for line in json.dumps(step.body, indent=2, ensure_ascii=False).splitlines()]
    return lines


def _paint(text: str, colour: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ  # https://no-color.org
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"
