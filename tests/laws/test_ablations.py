"""Each rule of the design is switched off, one at a time, and a law must fail. Otherwise the rule is useless, or unproven.

| Rule switched off                          | Broken law                                                           |
|--------------------------------------------|----------------------------------------------------------------------|
| dedup row                                  | economy: a repeated notification is sent on again                    |
| dedup key with the contents                | a row has no event: the other half of its update was a duplicate     |
| begun is not queued                        | a row is wrong: death between the insert and the sends               |
| queued after the sends                     | a row is wrong: the same, with storage away                          |
| delay of a lone Deleted                    | economy: a row loses its event for a moment                          |
| presence by TimeStamp                      | a row is wrong: an older change came last                            |
| upsert before delete                       | a row is gone: split pair                                            |
| attributes by their own TimeStamp          | an attribute is wrong: an older change came last                     |
| presence: ties by content                  | merging depends on the order                                         |
| attributes: ties by content                | merging depends on the order                                         |
| null is no news                            | an attribute is lost                                                 |
| attributes outlive a newer row             | an attribute is lost                                                 |
| removal clears the row                     | what a removed row held is remembered                                |
| tombstone                                  | a removed row comes back, or an attribute is lost                    |
| saved without effect                       | a removed row comes back: its removal had no effect                  |
| saved without a link                       | the same, where the removal came first of all                        |
| not acknowledged when stale                | a row is wrong: a dead worker's message met its own claim            |
| echo costs no call                         | economy                                                              |
| claim                                      | two events: an older request came last, and its worker died          |
| claim and intent in one save               | economy only: a new generation is saved before its POST anyway       |
| conditional saves                          | an event is left over                                                |
| holder takes over what was merged          | a row is wrong: what was acknowledged is overwritten                 |
| newer is merged under a claim              | a row is wrong: acknowledged, and nowhere remembered                 |
| no request outlives the claim              | a row is wrong: a request from before came after its successor's     |
| generation saved before its POST           | an event is left over                                                |
| transactionId                              | two events                                                           |
| leaving entries are kept                   | two events                                                           |
| leaving for good                           | two events: one that a lost worker made in the same mailbox          |
| deleted by stamp where the id is unknown   | an event is left over                                                |
| deleted by stamp where the id has changed  | an event is left over: moved by a person                             |
| mailbox gone is done                       | a dead letter, a row half done                                       |
| make before break                          | a row has no event for a moment                                      |
| used transactionId: PATCH its event        | an event has old content                                             |
| used transactionId: look up its event      | two events                                                           |
| PATCH of a gone event: look up             | two events: moved by a person                                        |
| PATCH of a gone event: new entry           | no event: deleted by a person                                        |
| no new generation on an unknown outcome    | two events                                                           |
| unsure POST: PATCH after it                | an event has old content                                             |
| 503 of a PATCH: content unknown            | an event has old content                                             |
| write-back last                            | a calendar waits for Acumatica                                       |
| write-back follows the event               | a record holds an old id                                             |
| claim kept on an unknown outcome           | an event is left over                                                |
| doubt after an expired claim               | an event has old content                                             |
| doubt: content                             | an event has old content                                             |
| doubt: POST without an answer              | an event has old content                                             |
| doubt: write-back                          | a record holds an old id                                             |
| repair after a lost claim                  | two events                                                           |
| repair: events as leaving                  | two events                                                           |
| repair: doubt                              | a record holds an old id                                             |
| repair is told to the holder               | an event is left over                                                |
| sent again after a repair                  | two events                                                           |
| deferred means sent again                  | a row is wrong                                                       |

Not here: rule 9 (test_sessions), and what belongs to one module and is shown in its own tests: a TimeStamp ahead of now, keys
that occur twice (tests/sync/test_notification), the identity of links (tests/sync), the classes of errors
(tests/sync/test_errors), dead letters (tests/test_apply), the purge (tests/clients/test_storage).
"""

# ruff: noqa: E501  (code is quoted as it stands)

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from handlers import apply as applying
from handlers import receive as receiving
from handlers.sync import link as links
from handlers.sync import plan as planning
from handlers.sync.notification import PushNotification
from tests.laws.ablation import getter, without
from tests.laws.simulation import Links, Notifications, Outlook, order_matters, simulate, wasted
from tests.laws.story import ANY, CALM, NARROW, ORDERLY, PAUSED, REMOTE, Deed, Plot, Story, tell

Settlement = applying._Settlement
MOVED = Deed("moves events to another calendar")
TO_AND_FRO = replace(NARROW, owners=("ann", "bob"), subjects=("s0",))
TIES = replace(ANY, subjects=("s0", "s1"))
CROWDED = replace(NARROW, owners=("ann", "bob", "carl"), spread=20, delay=10, switching=(0.3, 0.6))
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
AT_THE_END = replace(
    NARROW, calls=("save", "PATCH"), kinds=("late", "pause"), degrees=(0.5, 0.65), nth=4, spread=150, delay=5, removal=0.0
)
# Removed while a POST stands still, which then comes through.
WOKEN = replace(
    NARROW,
    removal=0.5,
    changes=5,
    spread=100,
    delay=30,
    mishaps=4,
    calls=("POST", "save"),
    nth=6,
    kinds=("pause",),
    degrees=(0.2, 1.0),
    switching=(0.0, 0.1),
)
REFUSED = replace(NARROW, spread=12, delay=6, removal=0.0, calls=("POST", "PATCH"), kinds=("refused, yet done",), nth=2)
STOPPED = replace(
    PAUSED, rows="A", kinds=("pause", "pause", "late", "dies after"), calls=(*REMOTE, "save"), degrees=(0.6, 1.0)
)
LOST = replace(NARROW, calls=REMOTE, kinds=("late", "late", "lost", "refused, yet done", "dies after"))


@dataclass(frozen=True)
class Ablation:
    """A rule, and how its code looks without it: `old` becomes `new` in `function`."""

    rule: str
    function: Any
    old: str
    new: str
    plot: Plot = ANY
    law: Callable[[Story], list[str]] = simulate
    first: int = 0  # seed to begin with

    def __str__(self) -> str:
        return self.rule.replace(" ", "-")


ABLATIONS = [
    # 1. Intake
    Ablation("dedup row", Notifications._begin, "setdefault(key, ", "get(None, ", ORDERLY, wasted),
    Ablation("dedup key with the contents", getter(PushNotification, "dedup_key"), ", self.inserted, self.deleted", ""),
    Ablation(
        "begun is not queued",
        Notifications._begin,
        'self._sim.notifications.setdefault(key, "receiving")',
        '"queued" if key in self._sim.notifications else self._sim.notifications.setdefault(key, "receiving")',
        first=11,
    ),
    Ablation(
        "queued after the sends",
        receiving._take_in,
        "storage.in_parallel([partial(storage.queue.send,",
        "storage.notifications.mark_queued(key); storage.in_parallel([partial(storage.queue.send,",
        first=11,
    ),
    # 2. Split pairs
    Ablation(
        "delay of a lone Deleted",
        receiving._take_in,
        "grace if change.row is None else 0.0",
        "0.0",
        replace(ORDERLY, split=0.9),
        wasted,
    ),
    # 4. Merge
    Ablation("presence by TimeStamp", links.merge, "or version > link.version", "or True"),
    Ablation(
        "upsert before delete",
        links.merge,
        "Version(change.timestamp, change.row is not None,",
        "Version(change.timestamp, change.row is None,",
    ),
    Ablation(
        "attributes by their own TimeStamp",
        links.merge,
        "or (change.timestamp, canonical(value)) > (known.timestamp, canonical(known.value))",
        "or True",
        first=5,
    ),
    Ablation("presence: ties by content", links.merge, "digest(picked))", '"")', TIES, order_matters),
    Ablation(
        "attributes: ties by content",
        links.merge,
        "(change.timestamp, canonical(value)) > (known.timestamp, canonical(known.value))",
        "change.timestamp > known.timestamp",
        TIES,
        order_matters,
    ),
    Ablation("null is no news", links.merge, "if value is None:", "if False:"),
    Ablation("attributes outlive a newer row", links.merge, "if not newer or name in mapping.attributes", "if not newer"),
    Ablation(
        "removal clears the row",
        links.merge,
        "if not newer or name in mapping.attributes",
        "if change.row is None or not newer or name in mapping.attributes",
    ),
    Ablation(
        "tombstone",
        Links._save,
        "number = self._sim.next()",
        "if not (link.present or link.entries or link.claim):\n    self._sim.links.pop(link.key, None)\n    return str(0)\nnumber = self._sim.next()",
        first=9,
    ),
    Ablation(
        "saved without effect", applying.settle, "if link == stored or _saved(storage, link, etag):", "if True:", first=16
    ),
    Ablation(
        "saved without a link",
        applying.settle,
        "if link == stored or _saved(storage, link, etag):",
        "if link == stored or stored is None or _saved(storage, link, etag):",
        first=16,
    ),
    # 5. Settle
    Ablation(
        "not acknowledged when stale",
        applying.settle,
        'raise Later(Code.ROW_CLAIMED, "another worker has the row")',
        "return",
    ),
    Ablation("echo costs no call", planning.settled, "and not plan(link, wanted, mapping)", "and False", ORDERLY, wasted),
    # 6. Claim
    Ablation(
        "claim",
        applying.settle,
        "merged.claim is not None and merged.claim.expires > services.clock()",
        "False",
        replace(CROWDED, kinds=("dies after", "late")),
        first=26,
    ),
    Ablation(
        "claim and intent in one save",
        applying.settle,
        "replace(link if failure else intend(link, wanted, mapping), claim=claim)",
        "replace(link, claim=claim)",
        ORDERLY,
        wasted,
    ),
    Ablation("conditional saves", Links._save, "(str(stored[1]) if stored else None) != etag", "False", first=197),
    Ablation(
        "holder takes over what was merged",
        links.EventLink.adopting,
        "version=newer.version, columns=newer.columns",
        "version=self.version",
        CROWDED,
        first=24,
    ),
    Ablation(
        "newer is merged under a claim",
        applying.settle,
        "if _saved(storage, merged, etag):\n                return None  #",
        "if True:\n                return None  #",
        first=17,
    ),
    Ablation(
        "no request outlives the claim", getter(Settlement, "_graph"), "> self.deadline", "> 1e12", AT_THE_END, first=389
    ),
    # 7. Events
    Ablation(
        "generation saved before its POST",
        Settlement._perform,
        "if self.link.generation > self.saved.generation:",
        "if False:",
        CROWDED,
        first=47,
    ),
    Ablation("transactionId", Outlook._post, "if key in self._made:", "if False:"),
    Ablation(
        "leaving entries are kept",
        planning.intend,
        "e if (e.mailbox, e.calendar) == (wanted.mailbox, wanted.calendar) else replace(e, leaving=True) for e in link.entries",
        "e for e in link.entries if (e.mailbox, e.calendar) == (wanted.mailbox, wanted.calendar)",
    ),
    Ablation(
        "leaving for good",
        planning.intend,
        "e if (e.mailbox, e.calendar) == (wanted.mailbox, wanted.calendar) else replace(e, leaving=True)",
        "replace(e, leaving=e.mailbox != wanted.mailbox)",
        STOPPED,
        first=295,
    ),
    Ablation(
        "deleted by stamp where the id is unknown",
        Settlement._delete,
        "self._graph.find(entry.mailbox, effect.stamp, entry.calendar)",
        "[]",
        first=95,
    ),
    Ablation(
        "deleted by stamp where the id has changed",
        Settlement._delete,
        "if not (entry.id and self._deleted(entry.mailbox, entry.id, effect.comment)):",
        "if entry.id:\n    self._deleted(entry.mailbox, entry.id, effect.comment)\nelse:",
        replace(CALM, deeds=(replace(MOVED, then="remove"),)),
    ),
    Ablation(
        "mailbox gone is done",
        Settlement._delete,
        "except MailboxGone:",
        "except ZeroDivisionError:",
        replace(CALM, deeds=(Deed("removes Ann's mailbox"),)),
    ),
    Ablation(
        "make before break",
        planning.plan,
        "effects: list[Effect] = []",
        "effects: list[Effect] = [DeleteEvent(entry, link.stamp(entry.generation)) for entry in link.entries if entry.leaving]",
        ORDERLY,
        wasted,
    ),
    Ablation(
        "used transactionId: PATCH its event",
        Settlement._create,
        "replace(entry, id=found[0], unsure=False)",
        "replace(entry, id=found[0], unsure=False, fingerprint=event.fingerprint)",
        NARROW,
        first=11,
    ),
    Ablation(
        "used transactionId: look up its event",
        Settlement._create,
        "else self._find(event, effect.stamp)",
        "else []",
        NARROW,
        first=11,
    ),
    Ablation(
        "PATCH of a gone event: look up",
        Settlement._update,
        "self._find(event, effect.stamp)",
        "[]",
        replace(CALM, deeds=(MOVED,)),
    ),
    Ablation(
        "PATCH of a gone event: new entry",
        Settlement._update,
        "return self.link.without_entry(entry).with_new_entry(event.mailbox, event.calendar)",
        "return self.link.with_entry(replace(entry, fingerprint=event.fingerprint))",
        replace(CALM, deeds=(Deed("deletes events"),)),
    ),
    Ablation(
        "no new generation on an unknown outcome",
        Settlement.run,
        "replace(self.link, last_error=str(unknown))",
        "replace(replace(self.link, entries=tuple(e for e in self.link.entries if e.id)), last_error=str(unknown))",
    ),
    Ablation(
        "unsure POST: PATCH after it",
        Settlement._create,
        "None if entry.unsure else event.fingerprint",
        "event.fingerprint",
        FORGOTTEN,
        first=60,
    ),
    Ablation(
        "503 of a PATCH: content unknown",
        Settlement._update,
        "self.link = self.link.with_entry(replace(entry, fingerprint=None))",
        "pass",
        REFUSED,
        first=65,
    ),
    Ablation(
        "write-back last",
        planning.plan,
        "return effects",
        "return sorted(effects, key=lambda effect: not isinstance(effect, WriteBack))",
        replace(CALM, acumatica_away=True),
    ),
    Ablation("write-back follows the event", planning.plan, "link.written_back != live.id", "not link.written_back"),
    # 8. In doubt
    Ablation(
        "claim kept on an unknown outcome",
        Settlement.run,
        "replace(self.link, last_error=str(unknown))",
        "replace(self.link, claim=None, last_error=str(unknown))",
        LOST,
        first=159,
    ),
    Ablation(
        "doubt after an expired claim",
        applying.settle,
        "merged.doubted() if merged.claim else merged",
        "replace(merged, claim=None)",
        LOST,
        first=196,
    ),
    Ablation("doubt: content", links.EventLink.doubted, "fingerprint=None", "fingerprint=e.fingerprint", LOST, first=196),
    Ablation(
        "doubt: POST without an answer",
        links.EventLink.doubted,
        "unsure=e.unsure or e.id is None",
        "unsure=e.unsure",
        FORGOTTEN,
        first=60,
    ),
    Ablation(
        "doubt: write-back",
        links.EventLink.doubted,
        "written_back=None",
        "written_back=self.written_back",
        STOPPED,
        first=341,
    ),
    Ablation(
        "repair after a lost claim",
        Settlement._catch_up,
        "if _saved(storage, repaired, etag):",
        "if True:",
        STOPPED,
        first=295,
    ),
    Ablation(
        "repair: events as leaving", links.EventLink.repaired, "(*self.entries, *extra)", "self.entries", STOPPED, first=295
    ),
    Ablation(
        "repair: doubt", links.EventLink.repaired, "replace(link.doubted(), claim=self.claim)", "link", STOPPED, first=341
    ),
    Ablation(
        "repair is told to the holder",
        links.EventLink.adopting,
        "if newer.repairs == self.repairs:",
        "if True:",
        WOKEN,
        first=1820,
    ),
    Ablation(
        "sent again after a repair",
        applying.apply,
        "_send_again(change, error, storage)",
        'str(error) == "the claim was lost" or _send_again(change, error, storage)',
        STOPPED,
        first=295,
    ),
    # 10. Errors
    Ablation("deferred means sent again", applying._send_again, "storage.queue.send(", "(lambda *_: None)(", ANY),
]


SEEDS = 2000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_ablation_is_in_the_table() -> None:
    table = {m[1] for m in re.finditer(r"^\| (.+?) +\| \S", __doc__ or "", re.MULTILINE)} - {"Rule switched off"}
    assert table == {ablation.rule for ablation in ABLATIONS}


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_without_a_rule_a_law_fails(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation.function, "__code__", without(ablation.function, ablation.old, ablation.new))
    seeds = (*range(ablation.first, SEEDS), *range(ablation.first))
    broken = next((seed for seed in seeds if ablation.law(tell(seed, ablation.plot))), None)
    assert broken is not None, "every law held without this rule: it is useless, or unproven"
