"""Lines for a terminal."""

import os
import sys
from datetime import UTC, datetime

from handlers.clients.activity_record import Run
from handlers.operations import words
from handlers.operations.activity import RowState
from handlers.operations.checks import Check
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


def _paint(text: str, colour: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ  # https://no-color.org
    return text if plain else f"\x1b[{colour}m{text}\x1b[0m"
