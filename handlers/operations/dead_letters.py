"""Dead letters, the rows that need a person: list and show them, run them again, discard them."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from handlers.again import Refused, again, change_in
from handlers.clients.activity import first_keys, readable
from handlers.clients.dead_letters import DeadLetter
from handlers.clients.notifications import ReceivedNotification, kept_keys
from handlers.clients.storage import Storage
from handlers.operations.activity import KEY
from handlers.services import Intake
from handlers.sync.change import RowChange, digest
from handlers.sync.link import DISCARDED

MOST = 10_000  # looked at
COUNTED = 1000  # where only their number is asked for
_AT_ONCE = 2000  # resubmitted by one request
_TRIES = 10  # of an optimistic save
_TEXT = 1000
_UNDER_WAY_SECONDS = 60.0  # after a resubmission, another one is no news


@dataclass(frozen=True)
class Resubmitted:
    """How many dead letters were sent to the queue again, why the others were not, and the run that they became."""

    count: int
    problems: list[str]
    run: str = ""
    under_way: int = 0  # how many of the others are on their way already


@dataclass(frozen=True)
class Letter:
    """A dead letter, and the row change that it holds: none where it holds no row, or where that was not read."""

    facts: DeadLetter
    change: RowChange | None = None

    @property
    def row_key(self) -> str:
        """The values of the row's key columns."""
        return ", ".join(self.change.key) if self.change else self.facts.row_key

    @property
    def holds_a_row(self) -> bool:
        """Whether it can be run again: what was no row change has no mapping."""
        return bool(self.facts.mapping)

    @property
    def resubmitted(self) -> datetime | None:
        """When it was sent to the queue again, if it has not failed since."""
        sent, failed = self.facts.resubmitted, self.facts.last
        return sent if sent and failed and sent > failed else None

    def as_json(self) -> dict[str, Any]:
        """For programs; without the row."""
        facts = self.facts
        return {
            "id": facts.key,
            "row": self.row_key,
            "mapping": facts.mapping or None,
            "code": facts.code,
            "reason": facts.reason,
            "remedy": facts.remedy,
            "notification": facts.notification or None,
            "timestamp": str(facts.timestamp),  # ticks do not fit the numbers of JavaScript
            "tries": facts.tries,
            "times": facts.times,
            "first": facts.first.isoformat() if facts.first else None,
            "last": facts.last.isoformat() if facts.last else None,
            "resubmitted": self.resubmitted.isoformat() if self.resubmitted else None,
            "resubmitted_by": facts.resubmitted_by or None,
        }


def find(storage: Storage, code: str = "") -> list[Letter]:
    """Dead letters without what they hold, at most 10,000 looked at; those first that failed last."""
    found = [Letter(facts) for facts in storage.dead_letters.list(MOST) if not code or facts.code == code]
    return sorted(found, key=lambda letter: str(letter.facts.last or ""), reverse=True)


def by_reason(letters: Iterable[Letter]) -> list[list[Letter]]:
    """The same, together where the reason is the same."""
    groups: dict[str, list[Letter]] = {}
    for letter in letters:
        groups.setdefault(letter.facts.reason, []).append(letter)
    return list(groups.values())


def chosen(
    storage: Storage, *, code: str = "", every: bool = False, reason: str | None = None, beginnings: Sequence[str] = ()
) -> list[str]:
    """Ids of dead letters, of one `code` if it is said: all, those with exactly this reason, those whose ids begin so."""
    return [
        letter.facts.key
        for letter in find(storage, code)
        if every or letter.facts.reason == reason or letter.facts.key.startswith(tuple(beginnings))
    ]


def get(key: str, storage: Storage) -> Letter | None:
    """One dead letter with what it holds; none where there is none, or where this is no key."""
    if not KEY.fullmatch(key) or not (facts := storage.dead_letters.get(key)):
        return None
    return Letter(facts, change_in(facts))


# -- running again -----------------------------------------------------------------------------------------------------


def resubmit(keys: Sequence[str], intake: Intake, who: str) -> Resubmitted:
    """Send dead letters to the queue again: together they are one run. One that is on its way already is not sent twice.

    The whole row is mapped anew, as of its own transaction: a newer state of the row is never overridden. A letter
    stays until its row is in order.
    """
    storage, now = intake.storage, intake.clock()
    problems = [f"{len(keys) - _AT_ONCE} more are left for the next time."] if len(keys) > _AT_ONCE else []
    whole: dict[str, Letter | None] = {}
    storage.in_parallel([partial(lambda key: whole.update({key: get(key, storage)}), key) for key in keys[:_AT_ONCE]])
    sent: list[tuple[Letter, RowChange]] = []
    under_way = 0
    for key in keys[:_AT_ONCE]:
        if found := whole[key]:
            if found.resubmitted and now - found.resubmitted.timestamp() < _UNDER_WAY_SECONDS:
                under_way += 1
                problems.append(f"{found.row_key or key[:16]}: it was resubmitted a moment ago, and is on its way.")
                continue
            try:
                sent += [(found, change) for change in again(found.facts, found.change, intake, now)]
            except Refused as error:
                problems.append(f"{found.row_key or key[:16]}: {error}")
        else:
            problems.append(f"{key[:16]}: there is no such dead letter (any more).")
    run = _send_all(sent, intake, who, problems) if sent else ""
    return Resubmitted(len({found.facts.key for found, _ in sent}), problems, run, under_way)


def _send_all(sent: Sequence[tuple[Letter, RowChange]], intake: Intake, who: str, problems: Sequence[str]) -> str:
    storage, notification = intake.storage, digest(["resubmitted", uuid.uuid4().hex])
    changes = [change for _, change in sent]
    # The recorder names the run, and its rows have to count for that one: nothing else looks at the clock for it.
    about: dict[str, Any] = {"changes": len(changes), "first": first_keys(changes), "problems": "\n".join(problems)}
    run = intake.activity.person("resubmitted", who, key=notification, **about)
    received = datetime.fromtimestamp(intake.clock(), UTC)
    storage.notifications.begin(
        ReceivedNotification(
            notification, received=received, rows=len(changes), changes=len(changes), run=run, keys=kept_keys(changes)
        )
    )
    storage.in_parallel([partial(_send, found, replace(change, run=run), intake, who) for found, change in sent])
    storage.notifications.mark_queued(notification)
    return run


def _send(found: Letter, change: RowChange, intake: Intake, who: str) -> None:
    storage, key = intake.storage, found.facts.key
    storage.queue.send(change)
    if key == change.link_key:
        storage.dead_letters.mark_resubmitted(key, datetime.fromtimestamp(intake.clock(), UTC), who)
    else:  # a row that had no key has one now: from here on it is known by that
        storage.dead_letters.remove(key, found.facts.etag)


# -- discarding --------------------------------------------------------------------------------------------------------


def discard(key: str, intake: Intake, who: str, why: str) -> None:
    """Remove a dead letter for good; who, when and why are kept as a run. Raises Refused."""
    storage = intake.storage
    found = get(key, storage)
    if not found:
        raise Refused("there is no such dead letter (any more).")
    intake.activity.person(
        "discarded",
        who,
        why=why,
        problems=found.facts.reason,
        row_key=readable(found.row_key, _TEXT),
        mapping=found.facts.mapping,
        link=key,
    )
    if not storage.dead_letters.remove(key, found.facts.etag):
        raise Refused("it has failed anew meanwhile; look at it again.")
    outcome = f"{DISCARDED} by {who}{': ' + why if why else ''}"
    for _ in range(_TRIES):
        link, etag = storage.links.load(key)
        if link is None or not link.buried or link.buried > found.facts.timestamp:
            return
        change = found.change or RowChange(
            link.company, link.mapping, link.row_key, found.facts.timestamp, None, found.facts.notification, intake.clock()
        )
        unburied = replace(link, buried=0, buried_row=False, last_error="").noted(intake.clock(), change, "", outcome)
        if storage.links.save(unburied, etag):
            return
