"""What the runs page looks like.

Everything that is put into markup is escaped by MarkupSafe's `format`, unless it is markup itself; a test holds that no
markup is made in another way. No external assets: style and script stand in the page, and the policy allows these two
alone, by their hash.
"""

import base64
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handlers import __version__
from handlers.clients.activity import Run
from handlers.clients.notifications import ReceivedNotification
from handlers.doctor import Check
from handlers.runs import Letter, RowState
from handlers.sync.change import ticks_to_datetime
from handlers.sync.link import EventLink

COUNT_MAX = 1000  # dead letters are counted up to here
_VALUE_MAX = 500  # characters of a value that are shown
_EMPTY = Markup("")


_HERE = Path(__file__).resolve().parent
STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_DOCUMENT = Markup(
    "<!doctype html>\n"
    '<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
    "<style>{style}</style></head><body>{body}<script>{script}</script></body></html>\n"
)


@dataclass(frozen=True)
class Frame:
    """What stands around every page: where it lives, the token of its forms, notes for all pages, who has signed in."""

    base: str
    token: str
    notes: Sequence[str] = ()
    name: str = ""

    def link(self, path: str, text: Any) -> Markup:
        """A link below the page's address."""
        return Markup('<a href="{}">{}</a>').format(f"{self.base}/{path}".rstrip("/"), text)

    def form(self, path: str, content: Markup) -> Markup:
        """A form that acts."""
        form = Markup('<form method="post" action="{}/{}"><input type="hidden" name="token" value="{}">{}</form>')
        return form.format(self.base, path, self.token, content)


def _join(parts: Iterable[Markup]) -> Markup:
    return _EMPTY.join(parts)


def _document(title: str, body: Markup) -> str:
    return str(_DOCUMENT.format(title=title, style=Markup(STYLE), script=Markup(SCRIPT), body=body))  # noqa: S704


def _page(frame: Frame, title: str, content: Markup, current: str = "") -> str:
    places = (("", "Runs"), ("letters", "Dead letters"), ("health", "Health"))
    here = Markup(' aria-current="page"')
    nav = _join(
        Markup('<a href="{}"{}>{}</a>').format(f"{frame.base}/{path}".rstrip("/"), here if path == current else _EMPTY, name)
        for path, name in places
    )
    notes = _join(Markup('<p class="note" role="status">{}</p>').format(note) for note in frame.notes)
    body = Markup(
        '<a class="skip" href="#main">To the content</a><header><div class="bar"><span class="brand">Calendar events'
        '</span><nav aria-label="Pages">{nav}</nav>{out}</div></header>'
        '<main id="main">{notes}<h1>{title}</h1>{content}</main>'
        "<footer>Times in <span data-zone>UTC</span>{who} · version {version}</footer>"
    ).format(
        nav=nav,
        out=frame.form("sign-out", Markup('<button class="link">Sign out</button>')),
        notes=notes,
        title=title,
        content=content,
        who=f" · {frame.name}" if frame.name else "",
        version=__version__,
    )
    return _document(f"{title} · Calendar events", body)


# -- small parts -------------------------------------------------------------------------------------------------------


def _time(moment: Any, form: str = "") -> Markup:
    if not isinstance(moment, datetime):
        return Markup('<span class="soft">–</span>')
    utc = moment.astimezone(UTC)
    shown = f"{utc:%H:%M}" if form == "hour" else f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time class="nowrap" datetime="{}"{}>{}</time>').format(
        utc.isoformat(timespec="milliseconds"), Markup(' data-form="hour"') if form else _EMPTY, shown
    )


_GOOD = {"done", "in order", "ok"}
_BAD = {"failed", "rejected", "fails"}
_WARN = {"deferred", "in doubt", "receiving", "note"}


def _badge(state: str) -> Markup:
    kind = " good" if state in _GOOD else " bad" if state in _BAD else " warn" if state in _WARN else ""
    return Markup('<span class="badge{}">{}</span>').format(kind, state)


def _card(title: str, content: Markup, kind: str = "") -> Markup:
    heading = Markup("<h2>{}</h2>").format(title) if title else _EMPTY
    return Markup('<section class="card{}">{}{}</section>').format(f" {kind}" if kind else "", heading, content)


def _facts(pairs: Iterable[tuple[str, Any]]) -> Markup:
    shown = _join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in pairs if value not in {None, ""})
    return Markup('<dl class="facts">{}</dl>').format(shown)


def _table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]], caption: str) -> Markup:
    """`columns` are (title, class); on a narrow screen each row becomes a list with the titles before the values."""
    head = _join(Markup('<th scope="col"{}>{}</th>').format(_class(kind), title) for title, kind in columns)
    body = _join(
        Markup("<tr>{}</tr>").format(
            _join(
                Markup('<td{} data-label="{}"><span>{}</span></td>').format(_class(kind), title, cell)
                for (title, kind), cell in zip(columns, row, strict=True)
            )
        )
        for row in rows
    )
    table = Markup('<table class="stack" aria-label="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>')
    return table.format(caption, head, body)


def _class(kind: str) -> Markup:
    return Markup(' class="{}"').format(kind) if kind else _EMPTY


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _VALUE_MAX:
        return text
    return f"{text[:_VALUE_MAX]}… ({len(text):,} characters)"


def _bdi(text: Any) -> Markup:
    """Text from outside: its direction of writing must not turn what stands around it."""
    return Markup("<bdi>{}</bdi>").format(_shown(text))


def _many(count: int) -> str:
    return f"{count:,}" if count < COUNT_MAX else f"{COUNT_MAX:,} or more"


def _seconds(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


# -- pages -------------------------------------------------------------------------------------------------------------


def plain(title: str, text: str) -> str:
    """A page for somebody who has not signed in."""
    body = Markup('<main class="sign-in"><div class="card"><h1>{}</h1><p>{}</p></div></main>').format(title, text)
    return _document(title, body)


def sign_in(base: str, then: str, *, wrong: bool = False) -> str:
    """The form that asks for RUNS_KEY."""
    error = Markup('<p class="note" role="alert" id="wrong">This is not the key.</p>') if wrong else _EMPTY
    body = Markup(
        '<main class="sign-in"><div class="card"><h1>Runs</h1>{error}<form method="post" action="{base}/sign-in">'
        '<input type="hidden" name="next" value="{then}"><input name="username" '
        'autocomplete="username" value="runs" hidden><div class="field"><label for="key">Key (the setting RUNS_KEY)'
        '</label><input id="key" name="key" type="password" autocomplete="current-password" required autofocus{described}>'
        '</div><button class="main">Sign in</button></form></div></main>'
    ).format(error=error, base=base, then=then, described=Markup(' aria-describedby="wrong"') if wrong else _EMPTY)
    return _document("Sign in · Calendar events", body)


def message(frame: Frame, title: str, text: str) -> str:
    """One sentence, and the way back."""
    return _page(frame, title, _card("", Markup("<p>{}</p><p>{}</p>").format(text, frame.link("letters", "Dead letters"))))


def overview(
    frame: Frame,
    found: Sequence[Run],
    hours: Mapping[datetime, Counter[str]],
    which: str,
    *,
    paged: bool,
    letters: int,
    waiting: int,
) -> str:
    """The last day in numbers, and the newest runs."""
    total: Counter[str] = sum(hours.values(), Counter())
    numbers = (
        ("Notifications, 24 h", total["notifications"], False),
        ("Rows applied", total["applied"], False),
        ("Nothing to do", total["unchanged"], False),
        ("Waiting now", waiting, False),
        ("Rejected, 24 h", total["rejected"], total["rejected"] > 0),
        ("Dead letters", frame.link("letters", _many(letters)) if letters else 0, letters > 0),
    )
    cards = _join(
        Markup("<div{}><dt>{}</dt><dd>{}</dd></div>").format(
            _class("alert" if alert else ""), name, value if isinstance(value, Markup) else f"{value:,}"
        )
        for name, value, alert in numbers
    )
    day = Markup('<dl class="numbers">{}</dl>').format(cards) + _card("Rows by hour", _chart(hours))
    filters = (("", "All"), ("failed", "With failures"), ("rejected", "Rejected"), ("people", "By people"))
    chosen = _join(
        Markup('<a href="{}{}"{}>{}</a>').format(
            frame.base, f"?which={name}" if name else "", Markup(' aria-current="true"') if name == which else _EMPTY, title
        )
        for name, title in filters
    )
    head = Markup('<div class="head"><h2>{}</h2><div class="filters" role="group" aria-label="Filter">{}</div></div>')
    more = _EMPTY
    if len(found) >= 50:
        question = f"?before={found[-1].id}{f'&which={which}' if which else ''}"
        more = Markup('<p><a href="{}{}">Older runs</a></p>').format(frame.base, question)
    listed = _runs_table(frame, found) if found else Markup('<p class="soft">There are no such runs yet.</p>')
    lag = Markup(
        '<p class="soft small">The numbers of a run are some seconds behind, and a worker that is killed loses those of '
        "its last seconds; the run's own page looks at each row, and is exact.</p>"
    )
    table = _card("", head.format("Older runs" if paged else "Newest runs", chosen) + listed + more + lag)
    return _page(frame, "Runs", (_EMPTY if paged else _search_form(frame) + day) + table)


def _search_form(frame: Frame, text: str = "") -> Markup:
    form = Markup(
        '<form class="card search" method="get" action="{}/search" role="search"><div><label for="q">A row\'s key, exactly '
        'as in Acumatica, or a mailbox</label><input id="q" name="q" value="{}" placeholder="OP000123 or ann@example.com">'
        "</div><button>Find</button></form>"
    )
    return form.format(frame.base, text)


def _chart(hours: Mapping[datetime, Counter[str]]) -> Markup:
    """Rows applied (below) and failed (above) in each hour."""
    most = max(1, *(numbers["applied"] + numbers["failed"] for numbers in hours.values()))
    bars = []
    for n, (hour, numbers) in enumerate(hours.items()):
        applied, failed = numbers["applied"], numbers["failed"]
        low, high = (max(100 * count / most, 2.0 if count else 0.0) for count in (applied, failed))
        bar = Markup(
            '<g><title>{} UTC: {} applied, {} failed</title><rect class="ok" x="{}" y="{:.1f}" width="8" height="{:.1f}"/>'
            '<rect class="bad" x="{}" y="{:.1f}" width="8" height="{:.1f}"/></g>'
        )
        when, x = f"{hour:%Y-%m-%d %H:%M}", 10 * n + 1
        bars.append(bar.format(when, applied, failed, x, 104 - low, low, x, 104 - low - high, high))
    picture = Markup(
        '<svg class="chart" viewBox="0 0 {} 104" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
        '<div class="axis"><span>{} h ago</span><span>{} h ago</span><span>this hour</span></div>'
    )
    total: Counter[str] = sum(hours.values(), Counter())
    label = f"Rows in each of the last 24 hours: {total['applied']} applied, {total['failed']} failed in all"
    drawn = picture.format(10 * len(hours), label, _join(bars), len(hours) - 1, len(hours) // 2)
    busy = [(hour, numbers) for hour, numbers in hours.items() if numbers["applied"] or numbers["failed"]]
    rows = [(_time(hour, "hour"), numbers["applied"], numbers["failed"], numbers["deferred"]) for hour, numbers in busy]
    columns = (("Hour", ""), ("Applied", "n"), ("Failed", "n"), ("Sent back to the queue", "n"))
    table = _table(columns, rows, "Rows by hour")
    legend = Markup(
        '<div class="legend"><span><i></i>applied</span><span><i class="bad"></i>failed</span>'
        "<span>at most {} in an hour</span></div>"
    ).format(f"{most:,}")
    return drawn + legend + Markup('<details class="small"><summary>As a table</summary>{}</details>').format(table)


def _runs_table(frame: Frame, found: Sequence[Run]) -> Markup:
    columns = [("Received", ""), ("State", ""), ("What", ""), ("Rows", "n"), ("Changed", "n"), ("Unchanged", "n")]
    columns += [("Failed", "n"), ("To calendar", "n")]
    return _table(columns, (_run_cells(frame, run) for run in found), "Runs")


def _run_cells(frame: Frame, run: Run) -> Sequence[Any]:
    numbers = run.numbers
    failed = Markup('<span class="badge bad">{}</span>').format(numbers["failed"]) if numbers["failed"] else ""
    counted = run.state in {"accepted", "receiving", "resubmitted"}
    cells = (numbers["changed"] or "", numbers["unchanged"] or "", failed) if counted else ("", "", "")
    rows = (run.changes or "") if counted else ""
    seconds = _seconds(numbers["seconds"]) if numbers["seconds"] else "under 1 s" if numbers["changed"] else ""
    return (frame.link(f"run/{run.id}", _time(run.received)), _badge(run.progress), _what(run), rows, *cells, seconds)


def _what(run: Run) -> Markup:
    times = run.numbers["times"]
    match run.state:
        case "rejected":
            first = run.problems.partition("\n")[0]
            again = f" ({times} times)" if times > 1 else ""
            return _bdi(f"{first[:160]}{again}")
        case "resubmitted" | "discarded":
            return _two_lines(run.first or run.row_key, f"by {run.by}")
    again = f", sent {run.numbers['duplicates'] + 1} times" if run.numbers["duplicates"] else ""
    return _two_lines(run.first, f"{(run.query or run.notification)[:160]}{again}")


def _two_lines(first: Any, second: str) -> Markup:
    below = Markup('<span class="soft small">{}</span>').format(_bdi(second))
    return Markup("{}<br>{}").format(_bdi(first), below) if first else below


def run(frame: Frame, shown: Run, known: ReceivedNotification | None, rows: Sequence[RowState], total: int) -> str:
    """A run and what became of its rows."""
    numbers = shown.numbers
    query, notification = shown.query, shown.notification
    if known:
        query, notification = query or known.query, notification or known.notification
    pairs = [
        ("State", _badge(shown.progress)),
        ("Received", _time(shown.received)),
        ("Inquiry", _bdi(query) if query else ""),
        ("Notification", Markup("<code>{}</code>").format(notification) if notification else ""),
        ("Of the transaction", _ticks(known.timestamp if known else 0)),
        ("Sent by Acumatica", f"{numbers['duplicates'] + 1} times" if numbers["duplicates"] else ""),
        ("Rows", total or ""),
        ("So far", _so_far(numbers)),
        ("Without a key", shown.without_key or ""),
        ("By", _bdi(shown.by) if shown.by else ""),
        ("Why", _bdi(shown.why) if shown.why else ""),
        ("Row", frame.link(f"row/{shown.link}", shown.row_key or "row") if shown.link else ""),
        ("Answered", shown.status or ""),
        ("Times within the minute", numbers["times"] if numbers["times"] > 1 else ""),
        ("Bytes", shown.bytes or ""),
    ]
    parts = [_card("", _facts(pairs))]
    if shown.problems:
        items = _join(Markup("<li>{}</li>").format(_bdi(line)) for line in shown.problems.splitlines())
        title = "Why it was refused" if shown.state == "rejected" else "What it said"
        parts.append(_card(title, Markup('<ul class="plain">{}</ul>').format(items)))
    if rows:
        states = Counter(row.state for row in rows)
        summary = ", ".join(f"{count} {state}" for state, count in states.most_common())
        first = f" The first {len(rows)} of {total}; find others by their key." if total > len(rows) else ""
        said = Markup('<p class="soft">Now: {}.{}</p>').format(summary, first)
        parts.append(_card("Rows, as they are now", said + _rows_table(frame, rows)))
    return _page(frame, f"Run: {shown.first or shown.row_key or shown.progress}", _join(parts))


def _so_far(numbers: Counter[str]) -> str:
    names = {"changed": "changed", "unchanged": "unchanged", "failed": "failed", "deferred": "times back to the queue"}
    parts = [f"{numbers[name]} {words}" for name, words in names.items() if numbers[name]]
    return ", ".join(parts + ([f"the slowest after {_seconds(numbers['seconds'])}"] if numbers["seconds"] else []))


def _ticks(value: Any) -> Markup | str:
    ticks = int(value or 0)
    return _time(ticks_to_datetime(ticks)) if ticks else ""


def _rows_table(frame: Frame, rows: Sequence[RowState]) -> Markup:
    columns = (("Row", ""), ("State", ""), ("Mailbox", ""), ("Last effect", ""), ("Reason", ""))

    def cells(row: RowState) -> Sequence[Any]:
        name = _bdi(", ".join(row.row_key))
        link = row.link
        return (
            frame.link(f"row/{row.key}", name) if link else name,
            _badge(row.state),
            _bdi(row.mailbox),
            link.last_effect if link else "",
            _bdi(link.last_error) if link and link.last_error else "",
        )

    return _table(columns, map(cells, rows), "Rows")


def row(frame: Frame, shown: RowState, dead: Letter | None) -> str:
    """A row: how it is, what happened to it, and what is known of it."""
    link = shown.link
    if link is None:
        return message(frame, "Not found", "Nothing is known of this row.")
    parts = [_letter_card(frame, dead)] if dead else []
    entries = _join(Markup("<div>{}</div>").format(_event(link, n)) for n in range(len(link.entries)))
    parts.append(
        _card(
            "",
            _facts(
                [
                    ("State", _badge(shown.state)),
                    ("Mapping", link.mapping),
                    ("Row", "in the inquiry" if link.present else "not in the inquiry (any more)"),
                    ("Newest change", _ticks(link.version.timestamp if link.version else 0)),
                    ("Events", entries or "none"),
                    ("Id in Acumatica", _id(link.written_back) if link.written_back else "not written, or not known"),
                    ("Last effect", link.last_effect),
                    ("Last error", _bdi(link.last_error) if link.last_error else ""),
                    ("Notes", _join(Markup("<div>{}</div>").format(note) for note in link.notes)),
                    ("Link", Markup("<code>{}</code>").format(shown.key)),
                ]
            ),
        )
    )
    items = _join(
        Markup('<li><div class="head"><span>{}{}</span>{}</div><div class="soft small any">{}</div></li>').format(
            past.effect or "No effect",
            f" ({past.times} times)" if past.times > 1 else "",
            _time(datetime.fromtimestamp(past.at, UTC)),
            _bdi(past.outcome),
        )
        for past in reversed(link.history)
    )
    history = Markup('<ul class="plain">{}</ul>').format(items) if items else Markup('<p class="soft">None yet.</p>')
    parts.append(_card("Last changes", history))
    if link.columns:
        values = ((name, _bdi(column.value), _ticks(column.timestamp)) for name, column in sorted(link.columns.items()))
        table = _table((("Column", ""), ("Value", ""), ("As of", "")), values, "Columns")
        parts.append(_card("Columns that the mapping reads", table))
    return _page(frame, ", ".join(shown.row_key), _join(parts))


def _event(link: EventLink, number: int) -> Markup:
    entry = link.entries[number]
    state = "to be removed" if entry.leaving else "" if entry.id else "not made yet, or its id is not known"
    shown = Markup("{} {}").format(_bdi(entry.mailbox), _id(entry.id) if entry.id else _EMPTY)
    return shown + (Markup(" ({})").format(state) if state else _EMPTY)


def _id(text: str) -> Markup:
    return Markup('<code class="soft">{}</code>').format(text)


def search(frame: Frame, text: str, found: Sequence[RowState]) -> str:
    """Rows that were looked for."""
    if found:
        result = _card(f"{len(found)} rows" if len(found) < 200 else "The first 200 rows", _rows_table(frame, found))
    else:
        help_ = Markup(
            "<p>No row is known by this. Keys have to be exact, with the same case and punctuation as in Acumatica; several "
            "key columns with commas between them.</p><p>If the key is right, no notification with this row was taken in: "
            "look for rejected runs, and on form SM502000 for notifications that Acumatica could not deliver.</p>"
        )
        result = _card("Nothing found", help_)
    return _page(frame, "Find a row", _search_form(frame, text) + result)


def letters(frame: Frame, found: Sequence[Letter]) -> str:
    """All dead letters, by reason."""
    rule = Markup(
        '<p class="soft">A dead letter is a row that needs a person. Correct the cause, then resubmit: the whole row is '
        "mapped anew and goes through the queue like any other. An older change never overrides a newer one. The letter "
        "stays until its row is in order.</p>"
    )
    if not found:
        return _page(
            frame, "Dead letters", _card("", Markup("<p>There are none: every row is in order, or waits.</p>")), "letters"
        )
    groups: dict[str, list[Letter]] = defaultdict(list)
    for each in found:
        groups[each.letter.reason].append(each)
    everything = frame.form(
        "resubmit", Markup('<input type="hidden" name="all" value="1"><button>Resubmit all {}</button>').format(len(found))
    )
    head = Markup('<div class="top">{}{}</div>').format(rule, everything if len(found) > 1 else _EMPTY)
    parts = [
        _group(frame, reason, some) if len(some) > 1 else _letter_card(frame, some[0]) for reason, some in groups.items()
    ]
    return _page(frame, "Dead letters", head + _join(parts), "letters")


def _group(frame: Frame, reason: str, some: Sequence[Letter]) -> Markup:
    items = _join(
        Markup('<li>{} <span class="soft">({})</span> {}</li>').format(
            frame.link(f"letter/{each.id}", _bdi(each.row_key or "row without a key")),
            each.letter.mapping or "no mapping",
            Markup('<span class="badge">resubmitted {}</span>').format(_time(each.resubmitted)) if each.resubmitted else "",
        )
        for each in some[:200]
    )
    more = Markup("<li>and {} more</li>").format(len(some) - 200) if len(some) > 200 else _EMPTY
    button = Markup('<input type="hidden" name="reason" value="{}"><button class="main">Resubmit these {}</button>')
    content = Markup('<p class="reason">{}</p><p class="remedy">{}</p><ul class="plain">{}{}</ul>{}').format(
        _bdi(reason),
        _bdi(some[0].letter.remedy),
        items,
        more,
        Markup('<div class="actions">{}</div>').format(frame.form("resubmit", button.format(reason, len(some)))),
    )
    return _card("", content, "letter")


def _letter_card(frame: Frame, each: Letter) -> Markup:
    stored = each.letter
    resubmitted = _EMPTY
    if each.resubmitted:
        resubmitted = Markup('<p role="status">Resubmitted {} by {}; not in order yet.</p>').format(
            _time(each.resubmitted), _bdi(stored.resubmitted_by)
        )
    key = Markup('<input type="hidden" name="key" value="{}">').format(each.id)
    again = frame.form("resubmit", key + Markup('<button class="main">Resubmit</button>'))
    why = Markup(
        '<div class="field"><label for="why-{0}">Why (kept in the list of runs)</label><input id="why-{0}" name="why" '
        'maxlength="500" required></div><button>Discard for good</button>'
    ).format(each.id[:16])
    away = Markup("<details><summary>Discard …</summary>{}</details>").format(frame.form("discard", key + why))
    name = _bdi(each.row_key or "Row without a key")
    content = Markup(
        '<div class="head"><h2>{}</h2><span class="soft small">{}</span></div><p class="reason">{}</p>'
        '<p class="remedy">{}</p>{}<p class="soft small">Since {}, last {}{}</p><div class="actions">{}{}</div>'
    ).format(
        frame.link(f"letter/{each.id}", name),
        stored.mapping,
        _bdi(stored.reason),
        _bdi(stored.remedy),
        resubmitted,
        _time(stored.first),
        _time(stored.last),
        f", failed {stored.times} times" if stored.times > 1 else "",
        again if each.holds_a_row else _EMPTY,
        away,
    )
    return _card("", content, "letter sent" if each.resubmitted else "letter")


def letter(frame: Frame, each: Letter) -> str:
    """One dead letter, with the row that it holds."""
    parts = [_letter_card(frame, each)]
    change = each.change
    if change and change.row is not None:
        values = ((name, _bdi(value)) for name, value in sorted(change.row.items()))
        parts.append(_card("The row that it holds", _table((("Column", ""), ("Value", "")), values, "Columns")))
    elif change:
        parts.append(_card("", Markup("<p>The row has left the inquiry, and its event is to be removed.</p>")))
    else:
        content = Markup('<p class="any"><code>{}</code></p>').format(_shown(each.letter.content or "it has expired"))
        parts.append(_card("What it holds", content))
    if change:
        parts.append(_card("", frame.link(f"row/{change.link_key}", "All that is known of this row")))
    return _page(frame, each.row_key or "Row without a key", _join(parts))


def resubmitted(frame: Frame, count: int, problems: Sequence[str], *, paused: bool) -> str:
    """What came of a resubmission."""
    waits = " The app is paused: they wait in the queue." if paused else ""
    one = "One row was" if count == 1 else f"{count} rows were"
    said = Markup("<p>{}</p>").format(
        f"{one} mapped anew and sent to the queue.{waits} A letter goes away when its row is in order, mostly within "
        "seconds; where a newer state of the row is known, that one counts."
        if count
        else "Nothing was resubmitted."
    )
    items = _join(Markup("<li>{}</li>").format(_bdi(problem)) for problem in problems)
    failed = _card("Not resubmitted", Markup('<ul class="plain">{}</ul>').format(items)) if problems else _EMPTY
    back = Markup("<p>{} · {}</p>").format(frame.link("letters", "Dead letters"), frame.link("", "Runs"))
    return _page(frame, "Resubmitted" if count else "Not resubmitted", _card("", said + back) + failed)


def health(frame: Frame, checks: Sequence[Check], mailbox: str, *, deep: bool = False) -> str:
    """All checks with their remedies."""
    items = _join(
        Markup('<li><div class="head"><strong>{}</strong>{}</div><div class="any">{}</div>{}</li>').format(
            check.what,
            _badge(check.verdict),
            _bdi(check.seen),
            Markup('<div class="soft small any">{}</div>').format(_bdi(check.remedy)) if check.remedy else _EMPTY,
        )
        for check in checks
    )
    form = Markup(
        '<p class="soft">This asks for a token, reads one mailbox, and signs in to Acumatica within the budget of '
        'sessions.</p><div class="field"><label for="mailbox">Mailbox to try (optional)</label>'
        '<input id="mailbox" name="mailbox" value="{}" placeholder="ann@example.com"></div>'
        '<button class="main">Check Graph and Acumatica</button>'
    ).format(mailbox)
    title = "Everything that was looked at" if deep else "From settings, mappings and storage"
    listed = Markup('<ul class="plain">{}</ul>').format(items)
    return _page(frame, "Health", _card(title, listed) + _card("The other services", frame.form("health", form)), "health")
