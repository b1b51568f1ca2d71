"""Each rule of the design is switched off, one at a time, and a law must fail. Otherwise the rule is useless, or unproven.

How a rule is switched off stands in rules_of_rows and rules_of_events: a small function is replaced, or what goes into or
comes out of it is changed. The app's text is never touched.

| Rule switched off                         | Broken law                                                                |
|-------------------------------------------|---------------------------------------------------------------------------|
| dedup row                                 | economy: a repeated notification is sent on again                         |
| dedup key with the contents               | a row has no event: the other half of its update was a duplicate          |
| begun is not queued                       | a row is wrong: death between the insert and the sends                    |
| queued after the sends                    | a row is wrong: the same, with storage away                               |
| delay of a lone Deleted                   | economy: a row loses its event for a moment                               |
| presence by TimeStamp                     | a row is wrong: an older change came last                                 |
| upsert before delete                      | a row is gone: split pair                                                 |
| attributes by their own TimeStamp         | an attribute is wrong: an older change came last                          |
| presence: ties by content                 | merging depends on the order                                              |
| attributes: ties by content               | merging depends on the order                                              |
| null is no news                           | an attribute is lost                                                      |
| attributes outlive a newer row            | an attribute is lost                                                      |
| removal clears the row                    | what a removed row held is remembered                                     |
| version by the whole row                  | an event has old content: the edited mapping made the row older           |
| at an equal version, picked again         | an event has old content: the newest change, run again, is no news        |
| unknown columns plan nothing              | a row has no event for a moment: `[when]` reads what never came           |
| tombstone                                 | a removed row comes back, or an attribute is lost                         |
| saved without effect                      | a removed row comes back: its removal had no effect                       |
| saved without a link                      | the same, where the removal came first of all                             |
| not acknowledged when stale               | a row is wrong: a dead worker's message met its own claim                 |
| echo costs no call                        | economy                                                                   |
| claim                                     | two events: an older request came last, and its worker died               |
| claim and intent in one save              | economy only: a new generation is saved before its POST anyway            |
| conditional saves                         | two events                                                                |
| holder takes over what was merged         | a row is wrong: what was acknowledged is overwritten                      |
| newer is merged under a claim             | a row is wrong: acknowledged, and nowhere remembered                      |
| only what is newer is left                | no event: a dead worker's message met its own claim, read otherwise       |
| nothing is left to an unbacked claim      | no event: whoever had the row died, and no message tries again            |
| no request outlives the claim             | a row is wrong: a request from before came after its successor's          |
| deferred means sent again                 | a row is wrong                                                            |
| sent again after a repair                 | an event is left over                                                     |
| dead letter: cleared by what is as new    | a bad change that nobody is told of: an older one came last               |
| dead letter: not by the other half        | the same, in one update that came in two halves                           |
| dead letter: none for what is superseded  | a dead letter of a row that is in order                                   |
| dead letter: taken back                   | the same: the row came in order while it was written                      |
| rows are remembered for what waits        | a change that waited is a dead letter                                     |
| what may be forgotten is too old          | a removed row is back, by an older change that had waited                 |
| intent saved before its effects           | a record holds an old id                                                  |
| first generation that never was           | no event: Graph remembers the transactionId of one that was deleted       |
| transactionId                             | two events                                                                |
| leaving entries are kept                  | two events                                                                |
| leaving for good                          | two events, or an old id: one that a lost worker made in the same mailbox |
| leaving entries hold back nothing         | a record holds an old id: a mailbox refuses to remove what left it        |
| what was refused was never made           | a dead letter: nothing is to be removed where nothing was made            |
| deleted by stamp where the id is unknown  | an event is left over                                                     |
| deleted by stamp where the id has changed | an event is left over: moved by a person                                  |
| looked for after its removal              | an event is left over: a late POST made it again                          |
| mailbox gone is done                      | a dead letter, a row half done                                            |
| make before break                         | a row has no event for a moment                                           |
| used transactionId: PATCH its event       | an event has old content                                                  |
| used transactionId: look up its event     | two events                                                                |
| PATCH of a gone event: look up            | two events: moved by a person                                             |
| PATCH of a gone event: new entry          | no event: deleted by a person                                             |
| no new generation on an unknown outcome   | two events                                                                |
| unsure POST: PATCH after it               | an event has old content                                                  |
| 503 of a PATCH: content unknown           | an event has old content                                                  |
| write-back last                           | a calendar waits for Acumatica                                            |
| write-back follows the event              | a record holds an old id                                                  |
| late requests are remembered              | an event has old content, or a record an old id                           |
| late requests are waited for              | the same: they come when nobody looks any more                            |
| late write-backs are remembered           | a record holds an old id                                                  |
| late write-backs outlive the claim        | the same: Acumatica takes fifteen minutes                                 |
| doubt after an expired claim              | an event has old content                                                  |
| doubt: content                            | an event has old content                                                  |
| doubt: POST without an answer             | an event has old content                                                  |
| doubt: write-back                         | a record holds an old id, unless the next rule makes up for it            |
| doubt: write-back under way               | a record holds an old id: a dead worker's request came after a newer one  |
| repair after a lost claim                 | an event is left over                                                     |
| repair: events as leaving                 | an event is left over                                                     |
| repair: doubt                             | a record holds an old id, unless the same rule makes up for it            |
| repair is told to the holder              | an event is left over                                                     |
| margin                                    | a row has old content: the snapshot was taken for newer than it is        |
| looked up before it is removed            | a row in the inquiry is removed: while pages were read, it moved up       |
| only a complete read removes              | a row in the inquiry is removed: an answer that was none                  |
| brake                                     | rows in the inquiry are removed: it was emptied for a while               |
| too young: looked at again                | a row has old content: its last notification was lost                     |
| too young: what is not shown, too         | an event is left over: its removal was lost                               |
| null in a snapshot is news                | an event has an old room                                                  |
| a snapshot's change holds the whole row   | a dead letter: the mapping was edited while the change waited             |
| an edited mapping is applied              | events are as the mapping was before                                      |

Not here: rule 9 (test_sessions), and what belongs to one module and is shown in its own tests: a TimeStamp ahead of now,
keys that occur twice (tests/sync/test_notification), the identity of links (tests/sync), the classes of errors
(tests/sync/test_answers). Nor that a claim is kept where no repetition was answered: since late requests are remembered and
waited for, every law holds without it.
"""

import re

import pytest

from tests.laws import rules_of_events, rules_of_rows, rules_of_sweeps
from tests.laws.ablation import Ablation
from tests.laws.story import tell

ABLATIONS = [*rules_of_rows.RULES, *rules_of_events.RULES, *rules_of_sweeps.RULES]
SEEDS = 2000


def test_every_ablation_is_in_the_table() -> None:
    table = [m[1] for m in re.finditer(r"^\| (.+?) +\| \S", __doc__ or "", re.MULTILINE)][1:]
    assert table == [ablation.rule for ablation in ABLATIONS]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
def test_without_a_rule_a_law_fails(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation.off(monkeypatch)
    seeds = (*range(ablation.first, SEEDS), *range(ablation.first))
    broken = next((seed for seed in seeds if ablation.law(tell(seed, ablation.plot))), None)
    assert broken is not None, "every law held without this rule: it is useless, or unproven"
