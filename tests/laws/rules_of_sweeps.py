"""Rules of sweeps (12, 13 of the design), each with its switch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from handlers.snapshot import Missing, looked_up
from handlers.sync import verdict
from handlers.sync.change import PUSH, RowChange
from handlers.sync.link import EventLink, merge
from handlers.sync.mapping import Mapping
from handlers.sync.odata_answers import Rows, rows_of
from handlers.sync.sweep_plan import brake, sigma, too_young
from handlers.sync.template import Row
from handlers.sync.verdict import Equal, TooYoung, Upsert, judge
from tests.laws.ablation import Ablation, instead
from tests.laws.story import SWEPT, WATCHED

FAULTY = replace(SWEPT, faults=1.0, mishaps=0, edits=0)
CALM = replace(SWEPT, faults=0.0, mishaps=0, edits=0, echo=(None,))
HASTY = replace(CALM, spread=60, delay=10, removal=0.5, sweeps=1)
SLOW = replace(
    SWEPT, edits=0, sweeps=6, echo=(None,), changes=12, calls=("page", "keep"), kinds=("pause",), nth=12, mishaps=6
)
TORN = replace(SLOW, faults=0.0, removal=0.4)
EDITED_SWEPT = replace(CALM, edits=2)
BROKEN = replace(SLOW, faults=1.0, removal=0.1)


def _as_absent(missing: Sequence[Missing], *_: Any) -> Iterator[tuple[Sequence[Missing], list[tuple[str, ...]]]]:
    if missing:
        yield missing, [row_key for _, row_key in missing]


def _nothing_is_no_rows(old: Any) -> Any:
    return lambda body, inquiry: old(body, inquiry) if body else Rows([], more=False)


def _young_is_equal(old: Any) -> Any:
    def judged(*some: Any, **more: Any) -> Any:
        found = old(*some, **more)
        return Equal() if isinstance(found, TooYoung) else found

    return judged


def _picked_columns_only(old: Any) -> Any:
    def judged(link: EventLink | None, row: Row, mapping: Mapping, *some: Any, **more: Any) -> Any:
        found = old(link, row, mapping, *some, **more)
        return Upsert(mapping.pick(found.row)) if isinstance(found, Upsert) else found

    return judged


def _as_a_push(old: Any) -> Any:
    def merged(link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
        return old(link, replace(change, origin=PUSH), mapping)  # type: ignore[no-any-return]

    return merged


RULES = [
    Ablation("margin", instead(sigma, lambda old: lambda date, _margin: old(date, 0.0)), WATCHED, first=17),
    Ablation("looked up before it is removed", instead(looked_up, lambda _: _as_absent), TORN, first=252),
    Ablation("only a complete read removes", instead(rows_of, _nothing_is_no_rows), BROKEN, first=27),
    Ablation("brake", instead(brake, lambda _: lambda *_, **__: None), FAULTY, first=6),
    Ablation("too young: looked at again", instead(judge, _young_is_equal), CALM, first=9),
    Ablation("too young: what is not shown, too", instead(too_young, lambda _: lambda *_, **__: []), HASTY, first=5),
    Ablation("null in a snapshot is news", instead(merge, _as_a_push), CALM, first=7),
    Ablation("a snapshot's change holds the whole row", instead(judge, _picked_columns_only), SWEPT, first=434),
    Ablation("an edited mapping is applied", instead(verdict._in_order, lambda _: lambda *_: True), EDITED_SWEPT, first=4),
]
