"""One row is settled: claim → plan → perform one effect → after → save, until Outlook and Acumatica agree with the link.

The state decides; the message only triggers. What each step decides stands in handlers/sync (turn, plan, after). Here stand
what a row without a mapping becomes, how often a request without an answer is repeated, and what happens when a claim is
lost (`_catch_up`).
"""

import logging
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, replace

from handlers.clients.links import StateTooLarge
from handlers.clients.tables import StorageError
from handlers.perform import perform
from handlers.services import Services
from handlers.sync.after import Failure, after
from handlers.sync.change import RowChange
from handlers.sync.effects import Deliver, Effect, FindEvent, RecordEffect, Result, Retry, Unknown
from handlers.sync.errors import Code, Later, Permanent, SyncError
from handlers.sync.late import in_doubt, late_until
from handlers.sync.link import DONE, NOTHING, Claim, EventLink
from handlers.sync.mapping import Mapping
from handlers.sync.plan import intend, plan, plan_report, waits_until, wanted
from handlers.sync.turn import Save, Stop, Work, in_order, no_mapping, take_turn

log = logging.getLogger(__name__)

_TRIES = 3  # of an optimistic save
_REPETITIONS = 2  # of a request without an answer


@dataclass(frozen=True)
class Settled:
    """What became of a message's row. `effects` by name; `failure`: the message is not done with."""

    effects: tuple[str, ...] = ()
    failure: Failure | None = None
    query: str = ""
    seconds: float = 0.0
    link: EventLink | None = None  # of the row as it is left; none where nothing was done with it


def settle(
    change: RowChange, services: Services, *, deadline: float, backed: bool = True, gave_up: Permanent | None = None
) -> Settled:
    """Settle the change's row before `deadline` (seconds since 1970). Raises only on bugs and lost storage.

    `backed`: a message of the queue stands behind this; `gave_up`: only tell the record that nobody tries any more.
    """
    mapping = services.mappings.get(change.mapping)
    if not mapping:
        return Settled(failure=no_mapping(change))
    links, now = services.storage.links, services.clock
    unseen = change.new and not change.tries  # then the link is inserted at once, and read only if there is one
    for attempt in range(_TRIES + unseen):
        blind = unseen and not attempt
        stored, etag = (None, None) if blind else links.load(change.link_key)
        expires = now() + services.settings.claim_seconds
        claim = Claim(uuid.uuid4().hex, expires, backed, expires + services.settings.acumatica_late_seconds)
        forgotten = _forgotten(stored, change, services)
        match take_turn(stored, change, mapping, services.scope, claim, now(), forgotten, gave_up):
            case Stop(failure=failure):
                if not blind:
                    return Settled(failure=failure)
            case Save(link=link, failure=failure) as save:
                if save.settled and stored and stored.buried and not link.buried:
                    services.storage.dead_letters.clear(link.key, stored.buried)
                if link != stored and not save.left and not failure:
                    link = link.noted(now(), change, "", NOTHING)
                if link == stored or save_link(link, etag, services):
                    return Settled(failure=failure, link=None if link == stored else link)
            case Work() as work:
                with ExitStack() as places:
                    skipped = _enter(work, mapping, services, places)
                    if new_etag := save_link(work.link, etag, services):
                        job = _Job(
                            change, mapping, services, places, deadline, written_before=bool(stored and stored.written)
                        )
                        return _Settlement(job, work, new_etag, skipped).run()
    return Settled(failure=Later(Code.ROW_CONTENDED, "the row is being changed by others", 1.0))


def save_link(link: EventLink, etag: str | None, services: Services) -> str | None:
    """Save a link unless somebody else has saved it meanwhile; returns its new ETag, or None. Raises Permanent."""
    try:
        return services.storage.links.save(link, etag)
    except StateTooLarge:
        reason = "The row's mapped columns are too large to be remembered."
        raise Permanent(Code.ROW_TOO_LARGE, reason, "Map fewer or shorter columns.") from None


def _forgotten(stored: EventLink | None, change: RowChange, services: Services) -> float:
    """Before which moment the last change of a row was, if it is forgotten: by its age at intake, or by what was purged."""
    keep = services.settings.retention_days * 86_400
    if stored and stored.version:
        return 0.0
    young = services.clock() - change.moment <= keep
    moment = max(change.first_sent - keep, 0.0 if young else services.storage.pins.forgotten())
    # A link that knows no version is of dead letters alone: since it was made, nothing of the row was forgotten.
    return min(moment, stored.first_generation - keep) if stored and stored.first_generation else moment


def _enter(work: Work, mapping: Mapping, services: Services, places: ExitStack) -> dict[int, Failure]:
    """Take a place in each mailbox that the plan needs, or at the receiver, until `places` is closed.

    Raises Later where nothing can be done.

    Returns why events cannot be touched now, by generation: busy mailboxes hold the others back no more than need be.
    """
    limiter, now = services.graph.limiter, services.clock()
    effects = [] if work.failure else plan(work.link, work.wanted, mapping, now)
    if any(isinstance(effect, Deliver) for effect in effects):
        receiver = services.relays.receiver(mapping.name).name
        services.relays.limiter.enter(receiver)
        places.callback(services.relays.limiter.leave, receiver)
        return {}
    entries = [e.entry for e in effects if not isinstance(e, RecordEffect | Deliver)]
    skipped: dict[int, Failure] = {}
    inside = False
    for mailbox in dict.fromkeys(entry.mailbox for entry in entries):
        try:
            limiter.enter(mailbox, wait=not inside)  # who has a place waits for no other: two could wait for each other
            places.callback(limiter.leave, mailbox)
            inside = True
        except Later as failure:
            skipped |= {entry.generation: failure for entry in entries if entry.mailbox == mailbox}
    if skipped and not plan(work.link, work.wanted, mapping, now, frozenset(skipped)):
        raise next(iter(skipped.values()))
    return skipped


@dataclass(frozen=True)
class _Job:
    """What a settlement works for and with, and does not change."""

    change: RowChange
    mapping: Mapping
    services: Services
    places: ExitStack  # in mailboxes, or at the receiver
    deadline: float
    written_before: bool  # whether the record may have got anything before


class _Settlement:
    """The work under a claim. `saved` is the link as stored with `etag`; `link` knows what has been done since."""

    def __init__(self, job: _Job, work: Work, etag: str, skipped: dict[int, Failure]) -> None:
        self.job, self.change, self.mapping, self.services = job, job.change, job.mapping, job.services
        self.link = self.saved = work.link
        self.etag = etag
        self.wanted = work.wanted
        self.given_up: Failure | None = work.failure
        self.unmerged = work.failure if work.unmerged else None
        self.claim_ends = work.link.claim.expires if work.link.claim else 0.0
        self.deadline = min(job.deadline, self.claim_ends)
        self.began = self.services.clock()
        self.done: list[str] = []
        self.skipped = skipped  # why nothing can be done with some events just now, by generation
        self.told = False  # whether the record may have been written now

    def run(self) -> Settled:
        """Settle the link and give the claim back."""
        while True:
            try:
                failure = self._advance()
            except (StorageError, SyncError):
                raise
            except Exception as bug:  # the host tries again: it must not meet a claim, nor trust what was remembered
                save_link(
                    replace(self.link.unconfirmed(), last_error=f"bug: {type(bug).__name__}"), self.etag, self.services
                )
                raise
            link = self._ended(failure)
            if save_link(link, self.etag, self.services):
                seconds = self.services.clock() - self.began
                return Settled(tuple(self.done), failure, self.mapping.query, seconds, link)
            if lost := self._catch_up():
                return Settled(tuple(self.done), lost, self.mapping.query)

    def _advance(self) -> Failure | None:
        """Perform effect after effect until none is left, or one fails that the others depend on."""
        while not self.given_up:
            if self.link.generation > self.saved.generation:  # a new event's generation is saved before its POST
                if failed := self._save_generation():
                    return failed
                continue
            now = self.services.clock()
            effects = plan(self.link, self.wanted, self.mapping, now, frozenset(self.skipped))
            failure = self._do(effects[0]) if effects else None
            if failure or not effects:
                return self._reported(self._left_over(now, failure))
        return self._reported(self.given_up)

    def _reported(self, failure: Failure | None) -> Failure | None:
        """Tell the record of a failure that needs a person, where the mapping has a field for it."""
        for effect in plan_report(self.link, failure.reason, self.mapping) if isinstance(failure, Permanent) else ():
            self._do(effect)
        return failure

    def _left_over(self, now: float, failure: Failure | None) -> Failure | None:
        """What remains when all that can be done is done: what has failed, and late requests to wait for.

        What can be tried again comes first, and soonest: a dead letter ends all tries.
        """
        failures = [*([failure] if failure else []), *self.skipped.values()]
        if until := waits_until(self.link, self.wanted, self.mapping, now, frozenset(self.skipped)):
            reason = "a request without an answer may still be carried out"
            failures.append(Later(Code.LATE_REQUEST, reason, until - now, counted=False))
        later = min((f for f in failures if isinstance(f, Later)), key=lambda f: f.delay, default=None)
        person = next((f for f in failures if isinstance(f, Permanent)), None)
        if later and person:
            return Later(later.code, f"{later.reason}; besides: {person.reason}", later.delay, counted=later.counted)
        return later or person

    def _do(self, effect: Effect) -> Failure | None:
        """Carry out one effect, and take over what came of it; returns why a record could not be told, which is last."""
        if isinstance(effect, RecordEffect):
            self.job.places.close()  # who waits for a session keeps nobody from the mailbox
            self.told = True
        began = self.services.clock()
        result = self._performed(effect)
        self.link, failure = after(self.link, effect, result, began)
        if failure is None and not isinstance(effect, FindEvent):
            self.done.append(type(effect).__name__)
        if failure and not isinstance(effect, RecordEffect | Deliver):
            self.skipped[effect.entry.generation] = failure
            return None
        return failure

    def _performed(self, effect: Effect) -> Result:
        """The result; a request without an answer is repeated, since what a service has done twice alike is done."""
        unknown: Unknown | None = None
        for _ in range(_REPETITIONS):
            result = perform(effect, self.mapping, self.services, self.deadline)
            if unknown and isinstance(result, Retry) and isinstance(effect, RecordEffect):
                return unknown  # its session rests: that is no news of it
            if not isinstance(result, Unknown):
                return result
            unknown = result
            record_late = self.services.clock() + self.services.settings.acumatica_late_seconds
            until = late_until(effect, self.claim_ends, record_late)
            self.link = in_doubt(self.link, effect, until)
        return result

    def _ended(self, failure: Failure | None) -> EventLink:
        """The link as it is saved at the end."""
        link = replace(self.link, written=self.told or (self.job.written_before and self.link.written))
        link = replace(link, last_effect=", ".join(self.done) or link.last_effect)
        if failure:
            link = replace(link, last_error=failure.reason, last_code=failure.code)
        elif link.outlived and link.version:
            self.services.storage.dead_letters.clear(link.key, link.version.timestamp)
        link = replace(link if failure else in_order(link), claim=None)
        outcome = failure.reason if failure else DONE
        return link.noted(self.services.clock(), self.change, ", ".join(self.done), outcome)

    def _save_generation(self) -> Failure | None:
        """Save a new event before its POST, with all that is intended for it."""
        self.link = intend(self.link, self.wanted, self.mapping, self.services.clock())
        if etag := save_link(self.link, self.etag, self.services):
            self.saved, self.etag = self.link, etag
            return None
        return self._catch_up()

    def _catch_up(self) -> Failure | None:
        """Someone has saved the link meanwhile: take over what is new. With the claim lost, hand over what was done."""
        links = self.services.storage.links
        while True:
            current, etag = links.load(self.link.key)
            if current and current.claim and self.saved.claim and current.claim.token == self.saved.claim.token:
                mine, self.link = self.link, self.link.caught_up(current)
                self._want_anew()  # what is intended now is saved before any effect of it
                if new_etag := save_link(self.link, etag, self.services):
                    self.saved, self.etag = self.link, new_etag
                    return None
                self.link = mine
            else:
                log.warning("the claim on link %s was lost", self.link.key[:16])
                known = current or replace(self.link, entries=(), claim=None)
                if save_link(known.with_strays(self.link), etag, self.services):
                    return Later(Code.CLAIM_LOST, "the claim was lost", 1.0)

    def _want_anew(self) -> None:
        """The event that the row asks for by now."""
        self.wanted, self.given_up = None, None
        leaving = {entry.generation for entry in self.link.entries if entry.leaving}
        self.skipped = {generation: why for generation, why in self.skipped.items() if generation in leaving}
        version = self.link.version
        if self.link.unknown(self.mapping):  # saved by a worker with another version of the mapping
            self.given_up = Later(Code.ROW_CONTENDED, "the mapping has changed meanwhile", 1.0)
        elif self.unmerged and not (version and version.timestamp > self.change.timestamp):
            self.given_up = self.unmerged  # what is known by now is older than the change that cannot be merged
        else:
            try:
                self.wanted = wanted(self.link, self.mapping, self.services.scope)
                self.link = intend(self.link, self.wanted, self.mapping, self.services.clock())
            except Permanent as failure:
                self.given_up = failure
