"""Rules of events and records, and of requests without an answer (7 and 8 of the design), each with its switch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from handlers.perform import perform
from handlers.settle import _Settlement
from handlers.sync import after as following_results
from handlers.sync.after import After, after
from handlers.sync.effects import (
    AlreadyCreated,
    CreateEvent,
    DeleteEvent,
    Deliver,
    Done,
    Effect,
    FindEvent,
    Found,
    Gone,
    NoMailbox,
    RecordEffect,
    Refused,
    Result,
    Retry,
    Unknown,
    UpdateEvent,
    WriteBack,
)
from handlers.sync.late import in_doubt, late_until
from handlers.sync.link import EventLink, new_link
from handlers.sync.plan import intend, plan, waits_until
from handlers.sync.turn import _doubted, take_turn
from tests.laws.ablation import Ablation, Switch, instead, within
from tests.laws.judge import wasted
from tests.laws.outlook import Outlook
from tests.laws.rules_of_rows import AS_BEFORE, HALTED, STOOD_STILL, WORKERS_DIE
from tests.laws.story import CALM, CLOSED, NARROW, ORDERLY, ORPHANED, REMOTE, Deed

type Doubt = Callable[[EventLink], EventLink]
type Follow = Callable[[EventLink, Effect, Result, float], After]

MOVED = Deed("moves events to another calendar")
TO_AND_FRO = replace(NARROW, owners=("ann", "bob"), subjects=("s0",))
# To and fro in place, with what is only known to a worker that dies.
FORGOTTEN = replace(
    NARROW,
    spread=200,
    delay=20,
    changes=5,
    removal=0.0,
    mishaps=4,
    nth=2,
    calls=("POST", "PATCH"),
    kinds=("dies after", "late"),
)
# Removed while a POST stands still, which then comes through.
WOKEN = replace(
    NARROW,
    subjects=("s0",),
    removal=0.5,
    split=0.0,
    changes=3,
    spread=100,
    delay=30,
    mishaps=4,
    calls=("POST", "save", "save"),
    nth=6,
    kinds=("pause",),
    degrees=(0.1, 0.9),
    twice=0.0,
    switching=(0.0,),
    workers=2,
    echo=(None,),
)
REFUSED = replace(NARROW, spread=12, delay=6, removal=0.0, calls=("POST", "PATCH"), kinds=("refused, yet done",), nth=2)
LOST = replace(NARROW, calls=REMOTE, kinds=("late", "late", "lost", "refused, yet done", "dies after"), twice=0.7)
# One answer is lost, and what the request does comes late.
LATE = replace(NARROW, calls=("POST", "PATCH", "PUT"), kinds=("late",), twice=0.0, spread=150, delay=5, nth=3)


def performing(change_result: Any) -> Switch:
    """A switch that changes what comes of an effect: `change_result(effect, result)`."""

    def make(old: Any) -> Any:
        return lambda effect, *more: change_result(effect, old(effect, *more))

    return instead(perform, make)


def following(change_after: Any) -> Switch:
    """A switch that changes what follows: `change_after(after, link, effect, result, now)`."""

    def make(old: Any) -> Any:
        return lambda link, effect, result, now: change_after(old, link, effect, result, now)

    return instead(after, make)


def planning(change_plan: Any) -> Switch:
    """A switch that changes a plan: `change_plan(effects, link)`."""

    def make(old: Any) -> Any:
        return lambda link, *more: change_plan(old(link, *more), link)

    return instead(plan, make)


def _leaving(effect: Effect) -> bool:
    return not isinstance(effect, RecordEffect | Deliver) and effect.entry.leaving


# -- 7. Events ---------------------------------------------------------------------------------------------------------


def _not_saved(self: Any) -> None:
    self.saved = self.link


def _planned_once_saved(old: Any) -> Any:
    def new(self: _Settlement) -> Any:
        want_anew, self._want_anew = self._want_anew, lambda: None  # type: ignore[method-assign]
        failure = old(self)
        del self._want_anew
        want_anew()
        return failure

    return new


def _intents_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a new event, nor for what has come meanwhile."""
    within(_Settlement, "_save_generation", lambda _: _not_saved)(monkeypatch)
    within(_Settlement, "_catch_up", _planned_once_saved)(monkeypatch)


def _what_leaves_is_forgotten(old: Any) -> Any:
    def new(*arguments: Any) -> EventLink:
        link: EventLink = old(*arguments)
        return replace(link, entries=tuple(e for e in link.entries if not e.leaving))

    return new


def _what_leaves_may_stay(old: Any) -> Any:
    def new(link: EventLink, wanted: Any, mapping: Any) -> EventLink:
        back = [replace(e, leaving=e.leaving and not (wanted and e.mailbox == wanted.mailbox)) for e in link.entries]
        return old(replace(link, entries=tuple(back)), wanted, mapping)  # type: ignore[no-any-return]

    return new


def _not_looked_for(effect: Effect, result: Result) -> Result:
    unknown = isinstance(effect, FindEvent) and effect.entry.leaving and effect.entry.id is None
    return Found(()) if unknown else result


def _gone_is_removed(effect: Effect, result: Result) -> Result:
    return Done() if isinstance(effect, DeleteEvent) and isinstance(result, Gone) else result


def _no_mailbox_is_a_failure(effect: Effect, result: Result) -> Result:
    return Refused(result.failure) if isinstance(result, NoMailbox) and _leaving(effect) else result


def _made_as_asked(_: Effect, result: Result) -> Result:
    return Done(result.event_id) if isinstance(result, AlreadyCreated) and result.event_id else result


def _made_again(old: Follow, link: EventLink, effect: Effect, result: Result, now: float) -> After:
    if isinstance(effect, CreateEvent) and isinstance(result, AlreadyCreated) and not result.event_id:
        return After(link.without_entry(effect.entry).with_new_entry(effect.entry.mailbox))
    return old(link, effect, result, now)


def _moved_is_gone(effect: Effect, result: Result) -> Result:
    moved = isinstance(effect, FindEvent) and not effect.entry.leaving and effect.entry.id
    return Found(()) if moved else result


def _gone_is_updated(effect: Effect, result: Result) -> Result:
    return Done() if isinstance(effect, UpdateEvent) and isinstance(result, Gone) else result


def _another_generation(old: Follow, link: EventLink, effect: Effect, result: Result, now: float) -> After:
    link, failure = old(link, effect, result, now)
    if isinstance(effect, CreateEvent) and isinstance(result, Unknown):
        link = link.without_entry(effect.entry)
    return After(link, failure)


def _unsure_is_believed(old: Follow, link: EventLink, effect: Effect, result: Result, now: float) -> After:
    entries = tuple(replace(e, unsure=False) for e in link.entries)
    return old(replace(link, entries=entries), effect, result, now)


def _refused_is_not_done(old: Follow, link: EventLink, effect: Effect, result: Result, now: float) -> After:
    done = old(link, effect, result, now)
    return After(link, done.failure) if isinstance(effect, UpdateEvent) and isinstance(result, Retry) else done


def _leaving_holds_back(old: Any) -> Any:
    def do(self: Any, effect: Effect) -> Any:
        failure = old(self, effect)
        return self.skipped.get(effect.entry.generation) if _leaving(effect) else failure  # type: ignore[union-attr]

    return do


def _refused_may_be_made(old: Follow, *arguments: Any) -> After:
    link, failure = old(*arguments)
    return After(replace(link, entries=tuple(replace(e, refused=False) for e in link.entries)), failure)


def _removed_for_good(old: Follow, link: EventLink, effect: Effect, result: Result, now: float) -> After:
    if isinstance(effect, DeleteEvent) and isinstance(result, Done):
        return After(link.without_entry(effect.entry))
    return old(link, effect, result, now)


# -- 8. In doubt -------------------------------------------------------------------------------------------------------


def _no_doubt(old: Any) -> Any:
    def new(stored: EventLink | None, *more: Any) -> Any:
        now = more[4]
        if stored and stored.claim and not stored.claimed(now):
            stored = replace(stored, claim=None)
        return old(stored, *more)

    return new


def _content_is_believed(old: Doubt) -> Any:
    def new(self: EventLink) -> EventLink:
        entries = [replace(e, fingerprint=b.fingerprint) for e, b in zip(old(self).entries, self.entries, strict=True)]
        return replace(old(self), entries=tuple(entries))

    return new


def _posts_are_believed(old: Doubt) -> Any:
    def new(self: EventLink) -> EventLink:
        entries = [replace(e, unsure=b.unsure) for e, b in zip(old(self).entries, self.entries, strict=True)]
        return replace(old(self), entries=tuple(entries))

    return new


def _write_back_is_believed(old: Any) -> Any:
    return lambda self: replace(old(self), written_back=self.written_back)


def _alone(switch: Switch) -> Switch:
    """A rule for which another makes up a quarter of an hour later: with that one switched off, too."""

    def off(monkeypatch: pytest.MonkeyPatch) -> None:
        _NOT_WRITTEN_AGAIN(monkeypatch)
        switch(monkeypatch)

    return off


_NOT_WRITTEN_AGAIN = instead(_doubted, lambda _: lambda link: link.unconfirmed())


def _strays_are_forgotten(old: Any) -> Any:
    return lambda self, mine: replace(old(self, mine), entries=old(self, replace(mine, entries=())).entries)


def _strays_doubt_nothing(old: Any) -> Any:
    def new(self: EventLink, mine: Any) -> EventLink:
        link: EventLink = old(self, mine)
        known = {e.generation: e for e in self.entries}
        entries = tuple(known.get(e.generation, e) for e in link.entries)
        return replace(link, entries=entries, written_back=self.written_back)

    return new


def _strays_are_not_seen(old: Any) -> Any:
    return lambda self, newer: old(self, replace(newer, repairs=self.repairs))


def _not_told(monkeypatch: Any) -> None:
    """Where nobody looks twice, which finds most of them."""
    monkeypatch.setattr(following_results, "_SECOND_LOOKS", 0)
    within(EventLink, "caught_up", _strays_are_not_seen)(monkeypatch)


def _only_events_in_doubt(old: Any) -> Any:
    def new(link: EventLink, effect: Effect, until: float) -> EventLink:
        return link if isinstance(effect, RecordEffect) else old(link, effect, until)

    return new


RULES = [
    # 7. Events
    Ablation("intent saved before its effects", _intents_not_saved, WORKERS_DIE, first=135),
    Ablation(
        "first generation that never was",
        instead(new_link, lambda old: lambda change, _: old(change, 0.0)),
        AS_BEFORE,
        first=122,
    ),
    Ablation("transactionId", within(Outlook, "_known", lambda _: lambda *_: None)),
    Ablation("leaving entries are kept", instead(intend, _what_leaves_is_forgotten)),
    Ablation("leaving for good", instead(intend, _what_leaves_may_stay), STOOD_STILL, first=171),
    Ablation("leaving entries hold back nothing", within(_Settlement, "_do", _leaving_holds_back), CLOSED, first=109),
    Ablation("what was refused was never made", following(_refused_may_be_made), replace(CLOSED, mishaps=0), first=48),
    Ablation("deleted by stamp where the id is unknown", performing(_not_looked_for), first=48),
    Ablation(
        "deleted by stamp where the id has changed",
        performing(_gone_is_removed),
        replace(CALM, deeds=(replace(MOVED, then="remove"),)),
    ),
    Ablation("looked for after its removal", following(_removed_for_good), replace(LATE, removal=0.5, forgets=1.0), first=7),
    Ablation(
        "mailbox gone is done", performing(_no_mailbox_is_a_failure), replace(CALM, deeds=(Deed("removes Ann's mailbox"),))
    ),
    Ablation(
        "make before break",
        planning(lambda effects, _: sorted(effects, key=lambda effect: not isinstance(effect, DeleteEvent))),
        ORDERLY,
        wasted,
    ),
    Ablation("used transactionId: PATCH its event", performing(_made_as_asked), REFUSED, first=12),
    Ablation("used transactionId: look up its event", following(_made_again), NARROW, first=263),
    Ablation("PATCH of a gone event: look up", performing(_moved_is_gone), replace(CALM, deeds=(MOVED,))),
    Ablation(
        "PATCH of a gone event: new entry", performing(_gone_is_updated), replace(CALM, deeds=(Deed("deletes events"),))
    ),
    Ablation("no new generation on an unknown outcome", following(_another_generation), LOST, first=58),
    Ablation("unsure POST: PATCH after it", following(_unsure_is_believed), FORGOTTEN, first=11),
    Ablation("503 of a PATCH: content unknown", following(_refused_is_not_done), REFUSED, first=11),
    Ablation(
        "write-back last",
        planning(lambda effects, _: sorted(effects, key=lambda effect: not isinstance(effect, WriteBack))),
        replace(CALM, acumatica_away=True),
        first=4,
    ),
    Ablation(
        "write-back follows the event",
        planning(lambda effects, link: [e for e in effects if not (isinstance(e, WriteBack) and link.written_back)]),
    ),
    # 8. In doubt
    Ablation("late requests are remembered", instead(in_doubt, lambda _: lambda link, *_: link), LATE, first=10),
    Ablation("late requests are waited for", instead(waits_until, lambda _: lambda *_: 0.0), LATE, first=6),
    Ablation("late write-backs are remembered", instead(in_doubt, _only_events_in_doubt), TO_AND_FRO, first=261),
    Ablation(
        "late write-backs outlive the claim",
        instead(late_until, lambda _: lambda _effect, claim_ends, _now: claim_ends),
        LATE,
        first=151,
    ),
    Ablation("doubt after an expired claim", instead(take_turn, _no_doubt), LOST, first=1480),
    Ablation("doubt: content", within(EventLink, "unconfirmed", _content_is_believed), LOST, first=1480),
    Ablation("doubt: POST without an answer", within(EventLink, "unconfirmed", _posts_are_believed), FORGOTTEN, first=11),
    Ablation("doubt: write-back", _alone(within(EventLink, "unconfirmed", _write_back_is_believed)), HALTED, first=209),
    Ablation("doubt: write-back under way", _NOT_WRITTEN_AGAIN, ORPHANED, first=7),
    Ablation(
        "repair after a lost claim", within(EventLink, "with_strays", lambda _: lambda self, _: self), HALTED, first=188
    ),
    Ablation("repair: events as leaving", within(EventLink, "with_strays", _strays_are_forgotten), HALTED, first=188),
    Ablation("repair: doubt", _alone(within(EventLink, "with_strays", _strays_doubt_nothing)), HALTED, first=209),
    Ablation("repair is told to the holder", _not_told, WOKEN, first=68),
]
