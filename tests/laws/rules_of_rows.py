"""Rules of what comes in and of what is remembered of a row (1, 2, 4, 5, 6, 10, 11 of the design), each with its switch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from handlers import bury as burying
from handlers.outcome import Outcome, carry_out
from handlers.perform import perform
from handlers.sync.change import RowChange, digest
from handlers.sync.errors import Code
from handlers.sync.link import Column, EventLink, Version, merge
from handlers.sync.mapping import Mapping
from handlers.sync.notification import PushNotification
from handlers.sync.plan import settled
from handlers.sync.turn import Save, Stop, Turn, Work, take_turn
from tests.laws.ablation import Ablation, Switch, instead, within
from tests.laws.judge import gaps, order_matters, wasted
from tests.laws.memory import Links, Notifications, Pins, Queue
from tests.laws.story import ANY, BAD, CLOSED, EDITED, NARROW, ORDERLY, PAUSED, REMOTE, STOPPED

type Merge = Callable[[EventLink, RowChange, Mapping], EventLink]

TIES = replace(ANY, subjects=("s0", "s1"))
CROWDED = replace(NARROW, owners=("ann", "bob", "carl"), spread=20, delay=10, switching=(0.3, 0.6))
WORKERS_DIE = replace(CROWDED, calls=("POST", "PUT", "save"), kinds=("dies before", "dies after"))
HALTED = replace(
    PAUSED, rows="A", kinds=("pause", "pause", "late", "dies after"), calls=(*REMOTE, "save"), degrees=(0.6, 1.0)
)
AT_THE_END = replace(
    NARROW, calls=("save", "PATCH"), kinds=("late", "pause"), degrees=(0.5, 0.65), nth=4, spread=150, delay=5, removal=0.0
)
REPLACED = replace(ORDERLY, edits=2, removal=0.0, split=0.0, owners=("ann",), looks=3)
STOOD_STILL = replace(HALTED, calls=("POST", "save", "save"), kinds=("pause",))
LEFT_ALONE = replace(
    CLOSED, rows="A", owners=("ann", "eve"), closings=("refuses",), looks=4, calls=("POST",), kinds=("dies before",)
)
OVERTAKEN = replace(BAD, rows="A", mishaps=0, switching=(0.4,), spread=10, delay=20)
FORGETFUL = replace(STOPPED, rows="A", removal=0.6, days=(40,), spread=60, mishaps=1)
AS_BEFORE = replace(FORGETFUL, owners=("ann",), subjects=("s0",), rooms=("r0",), forgets=0.0)


def turned(change_turn: Any) -> Switch:
    """A switch that changes what a message leads to: `change_turn(turn, stored, change, mapping)`."""

    def make(old: Any) -> Any:
        def new(stored: EventLink | None, change: RowChange, mapping: Mapping, *more: Any) -> Turn:
            return change_turn(old(stored, change, mapping, *more), stored, change, mapping)  # type: ignore[no-any-return]

        return new

    return instead(take_turn, make)


def merging(change_merge: Any) -> Switch:
    """A switch that merges otherwise: `change_merge(merge, link, change, mapping)`."""

    def make(old: Any) -> Any:
        return lambda link, change, mapping: change_merge(old, link, change, mapping)

    return instead(merge, make)


def _version(change: RowChange) -> Version:
    return Version(change.timestamp, change.row is not None, digest(change.row))


# -- 1, 2. Intake, split pairs -----------------------------------------------------------------------------------------


def _begun_is_queued(old: Any) -> Any:
    return lambda self, key: "queued" if key in self._sim.notifications else old(self, key)


def _queued_before_the_sends(old: Any) -> Any:
    def begin(self: Any, received: Any) -> str:
        if (found := old(self, received)) == "receiving":
            self.mark_queued(received.key)
        return str(found)

    return begin


def _sent_at_once(old: Any) -> Any:
    return lambda self, change, delay=0.0: old(self, change, delay if change.row or change.tries else 0.0)


# -- 4. Merge ----------------------------------------------------------------------------------------------------------


def _delete_before_upsert(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    if link.version and link.version.timestamp == change.timestamp and link.version.present != (change.row is not None):
        return link if change.row else old(replace(link, version=None), change, mapping)
    return old(link, change, mapping)


def _attributes_without_time(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    columns = {name: Column(0, column.value) for name, column in link.columns.items()}
    return old(replace(link, columns=columns), change, mapping)


def _first_come_of_equals(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    def blind(link: EventLink) -> EventLink:
        return replace(link, version=link.version._replace(row_hash="") if link.version else None)

    return blind(old(blind(link), change, mapping))


def _first_attribute_of_equals(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    known = link.columns.get("Room")
    if change.row and known and known.timestamp == change.timestamp:
        change = replace(change, row=change.row | {"Room": None})
    return old(link, change, mapping)


def _null_is_news(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    merged = old(link, change, mapping)
    if change.row and change.row["Room"] is None and merged.version == _version(change):
        return replace(merged, columns=merged.columns | {"Room": Column(change.timestamp, None)})
    return merged


def _attributes_are_replaced(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    newer = link.version is None or _version(change) > link.version
    return old(replace(link, columns={}) if newer else link, change, mapping)


def _removed_rows_are_remembered(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    merged = old(link, change, mapping)
    return merged if change.row else replace(merged, columns=link.columns)


def _version_of_what_is_picked(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    picked = replace(change, row=mapping.pick(change.row)) if change.row else change
    return old(link, picked, mapping)


def _never_picked_again(old: Merge, link: EventLink, change: RowChange, mapping: Mapping) -> EventLink:
    return link if link.version == _version(change) else old(link, change, mapping)


def _no_tombstones(old: Any) -> Any:
    def save(self: Any, link: EventLink, etag: str | None) -> str | None:
        if link.present or link.entries or link.claim:
            return old(self, link, etag)  # type: ignore[no-any-return]
        self._sim.links.pop(link.key, None)
        return "0"

    return save


def _saved_only_for_work(*, without_a_link: bool) -> Any:
    def make(old: Any) -> Any:
        def save(self: Any, link: EventLink, etag: str | None) -> str | None:
            stored, _ = self._load(link.key)
            if link.claim or (stored and (stored.claim or without_a_link)):
                return old(self, link, etag)  # type: ignore[no-any-return]
            return "0"

        return save

    return within(Links, "_save", make)


# -- 5, 6. Settle, claim -----------------------------------------------------------------------------------------------


def _stale_is_done(turn: Turn, stored: Any, *_: Any) -> Turn:
    claimed = isinstance(turn, Stop) and turn.failure.code == Code.ROW_CLAIMED
    return Save(stored, left=True) if claimed else turn


def _intent_later(turn: Turn, stored: EventLink | None, *_: Any) -> Turn:
    if not isinstance(turn, Work):
        return turn
    entries, generation = (stored.entries, stored.generation) if stored else ((), turn.link.first_generation)
    return replace(turn, link=replace(turn.link, entries=entries, generation=generation))


def _left_unread(turn: Turn, stored: Any, *_: Any) -> Turn:
    return replace(turn, link=stored) if isinstance(turn, Save) and turn.left else turn


def _left_if_it_reads_otherwise(turn: Turn, stored: EventLink | None, change: RowChange, mapping: Mapping) -> Turn:
    if not (
        isinstance(turn, Stop) and turn.failure.code == Code.ROW_CLAIMED and stored and stored.claim and stored.claim.backed
    ):
        return turn
    merged = merge(stored, change, mapping)
    return turn if merged == stored else Save(merged, left=True)


def _left_to_anybody(turn: Turn, stored: EventLink | None, change: RowChange, mapping: Mapping) -> Turn:
    if not (isinstance(turn, Stop) and turn.failure.code == Code.ROW_CLAIMED and stored and stored.version):
        return turn
    merged = merge(stored, change, mapping)
    return Save(merged, left=True) if merged.version and merged.version > stored.version else turn


def _saved_over(old: Any) -> Any:
    return lambda self, link, _etag: old(self, link, self._load(link.key)[1])


def _nothing_is_caught_up(old: Any) -> Any:
    return lambda self, newer: replace(old(self, newer), version=self.version, columns=self.columns)


def _without_deadline(old: Any) -> Any:
    return lambda effect, mapping, services, _deadline: old(effect, mapping, services, 1e12)


# -- 10. Errors --------------------------------------------------------------------------------------------------------


def _never_sent_again(old: Any) -> Any:
    return lambda outcome, storage: old(outcome, storage) if outcome.dead else None


def _not_sent_again_after_strays(old: Any) -> Any:
    def carried(outcome: Outcome, storage: Any) -> None:
        if not (outcome.settled.failure and outcome.settled.failure.code == Code.CLAIM_LOST):
            old(outcome, storage)

    return carried


def _nothing_waits(_: Any) -> Any:
    return lambda self: self._sim.now


def _forgotten_unnoticed(monkeypatch: Any) -> None:
    """Where the purge overlooks what waits."""
    within(Queue, "oldest", _nothing_waits)(monkeypatch)
    within(Pins, "forgotten", lambda _: lambda _: 0.0)(monkeypatch)


def _save_unseen(old: Any) -> Any:
    """The second save of a dead letter, which makes others look again, is none."""

    def save(self: Any, link: EventLink, etag: str | None) -> Any:
        stored, number = self._load(link.key)
        return number if link == stored and link.buried else old(self, link, etag)

    return save


def _outlived_by_anything(_: Any) -> Any:
    return lambda self: bool(self.buried and self.version)


def _outlived_by_its_other_half(_: Any) -> Any:
    return lambda self: bool(self.buried and self.version and self.version.timestamp >= self.buried)


RULES = [
    # 1. Intake
    Ablation("dedup row", within(Notifications, "_begin", lambda _: lambda *_: "receiving"), ORDERLY, wasted, first=4),
    Ablation(
        "dedup key with the contents",
        within(PushNotification, "dedup_key", lambda _: lambda self: digest([self.company_id, self.id, self.query])),
    ),
    Ablation("begun is not queued", within(Notifications, "_begin", _begun_is_queued), first=4),
    Ablation("queued after the sends", within(Notifications, "begin", _queued_before_the_sends), first=4),
    # 2. Split pairs
    Ablation("delay of a lone Deleted", within(Queue, "send", _sent_at_once), replace(ORDERLY, split=0.9), wasted),
    # 4. Merge
    Ablation("presence by TimeStamp", merging(lambda old, link, *more: old(replace(link, version=None), *more)), first=10),
    Ablation("upsert before delete", merging(_delete_before_upsert)),
    Ablation("attributes by their own TimeStamp", merging(_attributes_without_time), first=24),
    Ablation("presence: ties by content", merging(_first_come_of_equals), TIES, order_matters),
    Ablation("attributes: ties by content", merging(_first_attribute_of_equals), TIES, order_matters, first=6),
    Ablation("null is no news", merging(_null_is_news)),
    Ablation("attributes outlive a newer row", merging(_attributes_are_replaced)),
    Ablation("removal clears the row", merging(_removed_rows_are_remembered), first=7),
    Ablation("version by the whole row", merging(_version_of_what_is_picked), EDITED, first=5),
    Ablation("at an equal version, picked again", merging(_never_picked_again), EDITED, first=5),
    Ablation(
        "unknown columns plan nothing", within(EventLink, "unknown", lambda _: lambda *_: []), REPLACED, gaps, first=37
    ),
    Ablation("tombstone", within(Links, "_save", _no_tombstones)),
    Ablation("saved without effect", _saved_only_for_work(without_a_link=False), first=19),
    Ablation("saved without a link", _saved_only_for_work(without_a_link=True), first=19),
    # 5. Settle
    Ablation("not acknowledged when stale", turned(_stale_is_done), first=6),
    Ablation("echo costs no call", instead(settled, lambda _: lambda *_: False), ORDERLY, wasted),
    # 6. Claim
    Ablation(
        "claim",
        within(EventLink, "claimed", lambda _: lambda *_: False),
        replace(CROWDED, kinds=("dies after", "late")),
        first=236,
    ),
    Ablation("claim and intent in one save", turned(_intent_later), ORDERLY, wasted),
    Ablation("conditional saves", within(Links, "_save", _saved_over), first=291),
    Ablation("holder takes over what was merged", within(EventLink, "caught_up", _nothing_is_caught_up), CROWDED, first=20),
    Ablation("newer is merged under a claim", turned(_left_unread), first=48),
    Ablation("only what is newer is left", turned(_left_if_it_reads_otherwise), EDITED, first=382),
    Ablation("nothing is left to an unbacked claim", turned(_left_to_anybody), LEFT_ALONE, first=433),
    Ablation("no request outlives the claim", instead(perform, _without_deadline), AT_THE_END, first=193),
    # 10. Errors
    Ablation("deferred means sent again", instead(carry_out, _never_sent_again)),
    Ablation("sent again after a repair", instead(carry_out, _not_sent_again_after_strays), HALTED, first=188),
    Ablation("dead letter: cleared by what is as new", within(EventLink, "outlived", _outlived_by_anything), BAD, first=40),
    Ablation(
        "dead letter: not by the other half", within(EventLink, "outlived", _outlived_by_its_other_half), BAD, first=40
    ),
    Ablation(
        "dead letter: none for what is superseded",
        instead(burying._overtaken, lambda _: lambda *_: False),
        OVERTAKEN,
        first=318,
    ),
    Ablation("dead letter: taken back", within(Links, "save", _save_unseen), OVERTAKEN, first=120),
    # 11. Purge
    Ablation("rows are remembered for what waits", within(Queue, "oldest", _nothing_waits), FORGETFUL),
    Ablation("what may be forgotten is too old", _forgotten_unnoticed, FORGETFUL, first=579),
]
