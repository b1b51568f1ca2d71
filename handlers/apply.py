"""Queue in: one row change is merged into its event link, and the link is settled with Outlook and Acumatica.

Load → merge → claim (saved together with the intent) → plan → effects → save. The state decides; the message only
triggers. See docs/decisions for why each step is where it is.
"""

import logging
import random
import uuid
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError

from handlers import telemetry
from handlers.clients.runs import readable
from handlers.clients.storage import StateTooLarge, Storage
from handlers.services import Factory, NotReady, Services
from handlers.sync.errors import (
    RUN_AGAIN,
    Code,
    DuplicateTransaction,
    EventGone,
    Later,
    MailboxGone,
    OutcomeUnknown,
    Permanent,
    RecordGone,
)
from handlers.sync.event import CalendarEvent, record_id, record_update, reports, short_reason, wants_details
from handlers.sync.link import Claim, EventLink, merge, new_link
from handlers.sync.mapping import EVENT_ID, Mapping
from handlers.sync.notification import NotARowChange, RowChange, ticks_to_datetime
from handlers.sync.plan import (
    AdoptEvent,
    ClearRecord,
    CreateEvent,
    DeleteEvent,
    Effect,
    UpdateEvent,
    WriteBack,
    intend,
    plan,
    settled,
    wanted_event,
)
from handlers.sync.template import MissingColumns

if TYPE_CHECKING:
    from handlers.clients.graph import Graph

log = logging.getLogger(__name__)

_TRIES = 3  # of an optimistic save
_BURY_TRIES = 10
_BACKOFF_MAX = 600.0
_DAY = 86_400.0
_MISSES = 3
_AGAIN = f"Correct the cause, {RUN_AGAIN}"


def apply(message: str, factory: Factory) -> None:
    """Take one message of queue row-changes. Returns when it may be acknowledged; raises only on bugs and lost storage."""
    storage = factory.storage()
    try:
        change = storage.read_message(message)
    except NotARowChange as error:
        reason = f"The queue held a message that is no row change: {error}."
        _bury_unreadable(message, reason, storage)
        return
    try:
        services = factory.services()
    except NotReady as error:  # however long that takes: nobody has looked at the change yet
        _send_again(change, Later(Code.NOT_READY, f"the app is not ready ({error.part})", 60.0), storage)
        return
    try:
        try:
            effects = settle(change, services)
            services.runs.applied(change, effects)
            services.notes.over(change)
        except AzureError as error:
            if not _away(error):
                raise
            raise Later(Code.STORAGE_AWAY, f"storage cannot be used ({type(error).__name__})", 10.0) from error
        except OutcomeUnknown as error:
            # The claim stays: until it has expired, nobody may act on what is not known.
            raise Later(error.code, str(error), services.settings.claim_seconds + 1) from error
    except Permanent as error:
        _bury(change, error, storage)
        services.notes.over(change)
        services.runs.failed(change)
    except Later as error:
        hours = services.settings.defer_max_hours
        change = change.tried(services.clock())
        if change.tried_for > hours * 3600:
            _bury(change, Permanent(Code.GAVE_UP, f"Tried for {hours:g} hours, last: {error.reason}.", _AGAIN), storage)
            services.notes.over(change)
            services.runs.failed(change)
        else:
            delay = _send_again(change, error, storage)
            services.notes.put_off(change, error.code, delay)
            services.runs.deferred(change)


def bury_poison(message: str, factory: Factory) -> None:
    """Keep what the host gave up on, after it had raised five times."""
    storage = factory.storage()
    reason = "The app failed on this change again and again; its log of that time says why."
    try:
        change = storage.read_message(message)
        _bury(change, Permanent(Code.APP_FAILED, reason, _AGAIN), storage)
        factory.runs().failed(change)
    except NotARowChange:
        _bury_unreadable(message, reason, storage)


def _bury_unreadable(message: str, reason: str, storage: Storage) -> None:
    key = sha256(message.encode()).hexdigest()
    storage.put_dead_letter(key, message, reason, _AGAIN, {})
    telemetry.emit(
        telemetry.DEAD_LETTER,
        level=logging.ERROR,
        row=key[:16],
        code=Code.MESSAGE_UNREADABLE,
        reason=telemetry.loggable(reason),
    )


def settle(change: RowChange, services: Services) -> list[str] | None:
    """Settle the change's row; returns what was done, in words (None: there was nothing to do).

    Raises SyncError or AzureError where that failed.
    """
    mapping = services.mappings.get(change.mapping)
    if not mapping:
        raise Permanent(
            Code.MAPPING_MISSING,
            f"There is no active mapping {change.mapping!r}.",
            f"Add {change.mapping}.toml again; {RUN_AGAIN}",
        )
    storage = services.storage
    for _ in range(_TRIES):
        stored, etag = storage.load_link(change.link_key)
        merged = _merged(change, stored, mapping, services)
        claimed = merged.claim is not None and merged.claim.expires > services.clock()
        if merged.claim and claimed:
            if merged == stored:
                raise Later(
                    Code.ROW_CLAIMED, "another worker has the row"
                )  # mostly for a moment; if it died, until its claim expires
            merged = merged.noted(services.clock(), change, "", "left to the worker that has the row")
            if _saved(storage, merged, etag):
                return None  # the holder's own save will fail, and it will go on with this
            continue
        link = merged.doubted() if merged.claim else merged
        wanted, failure = _wanted(link, mapping)
        if failure and not _to_report(link, failure, mapping):
            if _saved(storage, replace(link, last_error=failure.reason), etag):
                raise failure
            continue
        if not failure and settled(link, wanted, mapping):
            link = _in_order(link, storage)
            if link != stored:
                link = link.noted(services.clock(), change, "", "nothing to do")
            if link == stored or _saved(storage, link, etag):
                return None
            continue
        claim = Claim(uuid.uuid4().hex, services.clock() + services.settings.claim_seconds)
        intended = replace(link if failure else intend(link, wanted, mapping), claim=claim)
        effects = [] if failure else plan(intended, wanted, mapping)
        mailboxes = {e.entry.mailbox for e in effects if not isinstance(e, WriteBack | ClearRecord)}
        with ExitStack() as places:
            services.graph.gate.enter(mailboxes)
            began = services.clock()
            places.callback(
                lambda boxes, since: services.graph.gate.leave(boxes, services.clock() - since), mailboxes, began
            )
            if new_etag := _saved(storage, intended, etag):
                return _Settlement(intended, new_etag, mapping, services, places, change).run()
    raise Later(Code.ROW_CONTENDED, "the row is being changed by others", 1.0)


def _wanted(link: EventLink, mapping: Mapping) -> tuple[CalendarEvent | None, Permanent | None]:
    """The event that should be there, or why that cannot be told."""
    try:
        return wanted_event(link, mapping), None
    except Permanent as failure:
        return None, failure


def _merged(change: RowChange, stored: EventLink | None, mapping: Mapping, services: Services) -> EventLink:
    """The link with the change in it. Raises Permanent for a change that cannot be merged and is not superseded either."""
    known = stored.version if stored else None
    age = services.clock() - ticks_to_datetime(change.timestamp).timestamp()
    if known is None and age > services.settings.retention_days * _DAY:
        days = f"{services.settings.retention_days:g} days"
        raise Permanent(
            Code.TOO_OLD,
            f"The change is older than {days}, so what came after it may be forgotten already.",
            "Save the record in Acumatica again.",
        )
    link = stored or new_link(change)
    problem = change.problem
    if not problem:
        try:
            return merge(link, change, mapping)
        except MissingColumns as error:
            problem = str(error)
    if known and known.timestamp > change.timestamp:
        return link
    raise Permanent(
        Code.KEY_REPEATED if change.problem else Code.COLUMN_MISSING,
        problem,
        f"Bring the inquiry and the mapping together; {RUN_AGAIN}",
    )


class _Settlement:
    """The work under a claim. `saved` is the link as stored with `etag`; `link` knows what has been done since."""

    def __init__(  # noqa: PLR0917
        self, link: EventLink, etag: str, mapping: Mapping, services: Services, places: ExitStack, change: RowChange
    ) -> None:
        self.began = services.clock()
        self.link = self.saved = link
        self.places = places  # in the gates of the mailboxes
        self.change = change  # what triggered it
        self.etag = etag
        self.mapping = mapping
        self.services = services
        self.done: list[str] = []
        self.deadline = link.claim.expires if link.claim else 0.0

    def run(self) -> list[str]:
        """Settle the link and give the claim back; returns what was done. Raises the SyncError that stopped it, once saved.

        On OutcomeUnknown the claim stays until it expires.
        """
        storage = self.services.storage
        while True:
            try:
                failure = self._perform()
                if isinstance(failure, Permanent):
                    self._report(failure)
            except OutcomeUnknown as unknown:
                if not _saved(storage, self._noted(replace(self.link, last_error=str(unknown)), str(unknown)), self.etag):
                    self._catch_up()
                raise
            except (Permanent, Later, AzureError):
                raise
            except Exception as bug:  # the host tries again: it must not meet a claim, nor trust what was remembered
                _saved(storage, replace(self.link.doubted(), last_error=f"bug: {type(bug).__name__}"), self.etag)
                raise
            effect = ", ".join(self.done) or self.link.last_effect
            link = replace(self.link, claim=None, last_effect=effect)
            link = replace(link, last_error=failure.reason) if failure else _in_order(link, storage)
            link = self._noted(link, failure.reason if failure else "done")
            if _saved(storage, link, self.etag):
                if failure:
                    raise failure
                self._tell()
                return self.done
            self._catch_up()

    def _noted(self, link: EventLink, outcome: str) -> EventLink:
        return link.noted(self.services.clock(), self.change, ", ".join(self.done), outcome)

    def _tell(self) -> None:
        now = self.services.clock()
        about = _about(self.change, now) | {"query": self.mapping.query, "seconds": now - self.began}
        telemetry.emit(telemetry.SETTLED, effects=", ".join(self.done), **about)

    def _perform(self) -> Permanent | Later | None:
        try:
            wanted = wanted_event(self.link, self.mapping)
            while True:
                self.link = intend(self.link, wanted, self.mapping)
                if self.link.generation > self.saved.generation:  # a new event's generation is saved before its POST
                    if etag := _saved(self.services.storage, self.link, self.etag):
                        self.saved, self.etag = self.link, etag
                    else:
                        self._catch_up()
                        wanted = wanted_event(self.link, self.mapping)
                    continue
                effects = plan(self.link, wanted, self.mapping)
                if not effects:
                    return None
                self.link = self._do(effects[0])
                self.done.append(type(effects[0]).__name__)
        except (Permanent, Later) as failure:
            return failure

    def _catch_up(self) -> None:
        """Someone saved the link meanwhile: take over what is new, or, with the claim lost, hand over what was done."""
        storage = self.services.storage
        while True:
            current, etag = storage.load_link(self.link.key)
            if current and current.claim and self.saved.claim and current.claim.token == self.saved.claim.token:
                link = self.link.adopting(current)
                if new_etag := _saved(storage, link, etag):
                    self.link = self.saved = link
                    self.etag = new_etag
                    return
            else:
                log.warning("the claim on link %s was lost", self.link.key[:16])
                repaired = (current or replace(self.link, entries=(), claim=None)).repaired(self.link.entries)
                if _saved(storage, repaired, etag):
                    raise Later(Code.CLAIM_LOST, "the claim was lost", 1.0)

    @property
    def _graph(self) -> "Graph":
        """Graph, if there is time left for one more request."""
        if self.services.clock() + self.services.settings.longest_request_seconds > self.deadline:
            raise Later(Code.NO_TIME_LEFT, "no time left under the claim", counted=False)
        return self.services.graph

    def _do(self, effect: Effect) -> EventLink:
        """Carry out one effect; returns the link that knows of it."""
        match effect:
            case CreateEvent():
                return self._create(effect)
            case AdoptEvent():
                return self._adopt(effect)
            case UpdateEvent():
                return self._update(effect)
            case DeleteEvent():
                return self._delete(effect)
            case WriteBack():
                return self._write_back(effect)
            case ClearRecord():
                return self._clear(effect)

    def _create(self, effect: CreateEvent) -> EventLink:
        entry, event = effect.entry, effect.event
        try:
            event_id = self._graph.create(event, effect.stamp)
        except DuplicateTransaction as error:
            # An earlier POST of ours with other content came through: that is the event.
            found = [error.event_id] if error.event_id else self._find(event, effect.stamp)
            if not found and entry.misses < _MISSES:
                self.link = self.link.with_entry(replace(entry, misses=entry.misses + 1))
                raise Later(Code.EVENT_NOT_FOUND_YET, "the event that was made earlier cannot be found yet", 5.0) from None
            if not found:
                return self.link.without_entry(entry).with_new_entry(event.mailbox, event.calendar)
            return self.link.with_entry(replace(entry, id=found[0], unsure=False))
        fingerprint = None if entry.unsure else event.fingerprint
        return self.link.with_entry(replace(entry, id=event_id, fingerprint=fingerprint, unsure=False))

    def _find(self, event: CalendarEvent, stamp: str) -> list[str]:
        return self._graph.find(event.mailbox, stamp, event.calendar)

    def _adopt(self, effect: AdoptEvent) -> EventLink:
        """Take over an event of an earlier integration; where it is gone, or not ours to take, one is created instead."""
        entry, event = effect.entry, effect.event
        try:
            if entry.adopt and self._graph.adoptable(event.mailbox, entry.adopt, self.link.key):
                self._graph.update(event.mailbox, entry.adopt, event, effect.stamp)
                return self.link.with_entry(replace(entry, id=entry.adopt, adopt=None, fingerprint=event.fingerprint))
        except EventGone:
            pass
        return self.link.with_entry(replace(entry, adopt=None))

    def _update(self, effect: UpdateEvent) -> EventLink:
        entry, event = effect.entry, effect.event
        if entry.id is None:
            raise ValueError("an event without an id cannot be updated")
        try:
            self._graph.update(event.mailbox, entry.id, event)
        except EventGone:
            # Moved to another calendar, which changes its id, or deleted by a person.
            found = self._find(event, effect.stamp)
            if entry.id in found:
                raise Later(Code.EVENT_NOT_FOUND_YET, "Graph finds the event, yet does not know it") from None
            if not found:
                return self.link.without_entry(entry).with_new_entry(event.mailbox, event.calendar)
            return self.link.with_entry(replace(entry, id=found[0], fingerprint=None))
        except Later:
            self.link = self.link.with_entry(replace(entry, fingerprint=None))
            raise
        return self.link.with_entry(replace(entry, fingerprint=event.fingerprint))

    def _delete(self, effect: DeleteEvent) -> EventLink:
        entry, live = effect.entry, self.link.live
        try:
            if not (entry.id and self._deleted(entry.mailbox, entry.id, effect.comment)):
                for event_id in self._graph.find(entry.mailbox, effect.stamp, entry.calendar):
                    self._deleted(entry.mailbox, event_id, effect.comment)
        except MailboxGone:
            self.done.append("mailbox gone")
            # Its user may have been renamed: then the mailbox, and the event in it, is the one of the new address.
            if live and live.mailbox != entry.mailbox:
                for event_id in self._graph.find(live.mailbox, effect.stamp, entry.calendar):
                    self._deleted(live.mailbox, event_id, effect.comment)
        return self.link.without_entry(entry)

    def _deleted(self, mailbox: str, event_id: str, comment: str | None) -> bool:
        try:
            if comment is None or not self._graph.cancel(mailbox, event_id, comment):
                self._graph.delete(mailbox, event_id)
        except EventGone:
            return False
        return True

    def _write_back(self, effect: WriteBack) -> EventLink:
        results = {EVENT_ID: effect.event_id, "reason": ""}
        if wants_details(self.mapping) and self.link.live:
            try:
                results |= self._graph.details(self.link.live.mailbox, effect.event_id)
            except EventGone:
                raise Later(Code.EVENT_GONE, "the event is gone before its record was told", 1.0) from None
        record = self.link.written_to or ""
        self._put(record, results)
        return replace(self.link, written_back=effect.event_id, reported="")

    def _clear(self, effect: ClearRecord) -> EventLink:
        self._put(effect.record, None)
        return replace(self.link, written_back=None, written_to=None, reported="")

    def _report(self, failure: Permanent) -> None:
        """Write the reason into the record, where the mapping has a field for it; the dead letter does not wait for that."""
        if not _to_report(self.link, failure, self.mapping):
            return
        try:
            self._put(record_id(self.mapping, self.link.row), {"reason": short_reason(failure.reason)})
        except (Permanent, Later) as error:
            log.warning("link %s: its record could not be told of the failure: %s", self.link.key[:16], type(error).__name__)
        else:
            self.link = replace(self.link, reported=failure.reason)

    def _put(self, record: str, results: dict[str, str] | None) -> None:
        self.places.close()  # who waits for a session keeps nobody from the mailbox
        try:
            self.services.sessions.put(record_update(self.mapping, record, results), self.deadline)
        except RecordGone:
            self.done.append("no such record")


def _to_report(link: EventLink, failure: Permanent, mapping: Mapping) -> bool:
    return reports(mapping) and link.present and link.reported != failure.reason


def _saved(storage: Storage, link: EventLink, etag: str | None) -> str | None:
    try:
        return storage.save_link(link, etag)
    except StateTooLarge:
        raise Permanent(
            Code.ROW_TOO_LARGE, "The row's mapped columns are too large to be remembered.", "Map fewer or shorter columns."
        ) from None


def _in_order(link: EventLink, storage: Storage) -> EventLink:
    """The link of a row that is settled; its dead letter goes, unless that holds a change which is newer still."""
    if not link.outlived:
        return replace(link, last_error="") if not link.buried else link
    storage.clear_dead_letter(link.key)
    return replace(link, last_error="", buried=0)


def _about(change: RowChange, now: float) -> dict[str, Any]:
    """What the events of a row have in common."""
    return {
        "notification": change.notification,
        "mapping": change.mapping,
        "row": change.link_key[:16],
        "age": now - change.first_sent,
    }


def _send_again(change: RowChange, why: Later, storage: Storage) -> float:
    """Put the change back with a delay that grows with its tries; returns the delay."""
    backoff = min(2.0 ** min(change.tries, 10), _BACKOFF_MAX) * random.uniform(0.5, 1.0) if why.counted else 0.0  # noqa: S311
    delay = max(why.delay + backoff, 1.0)
    storage.send(change.again() if why.counted else change, delay)
    about = _about(change, storage.now()) | {"try": change.tries + 1, "delay": delay}
    telemetry.emit(telemetry.DEFERRED, code=why.code, reason=telemetry.loggable(why.reason), **about)
    return delay


def _bury(change: RowChange, error: Permanent, storage: Storage) -> None:
    """Make a dead letter of the change, and note it on the link so that a later success clears it.

    Where the link knows a newer state of the row, it is that one which failed: its columns are kept.
    """
    for _ in range(_BURY_TRIES):
        stored, etag = storage.load_link(change.link_key)
        link = stored or new_link(change)
        if link.version and link.version.timestamp > change.timestamp:
            change = replace(change, timestamp=link.version.timestamp, row=link.row if link.present else None)
        facts = {
            "Mapping": change.mapping,
            "Key": readable(", ".join(change.key), 1000),
            "NotificationId": change.notification[:1000],
            "Tries": change.tries,
        }
        storage.put_dead_letter(
            change.link_key, change.encode(), error.reason, error.remedy, facts, timestamp=change.timestamp
        )
        marked = replace(link, last_error=error.reason, buried=max(link.buried, change.timestamp))
        if marked != stored:
            marked = marked.noted(storage.now(), change, "", f"dead letter: {error.reason}")
        if marked == stored or storage.save_link(marked, etag):
            what = "no such mailbox" if isinstance(error, MailboxGone) else telemetry.loggable(error.reason)
            about = _about(change, storage.now()) | {"tries": change.tries}
            telemetry.emit(telemetry.DEAD_LETTER, level=logging.ERROR, code=error.code, reason=what, **about)
            return
    raise RuntimeError("the link of a dead letter could not be marked")


def _away(error: AzureError) -> bool:
    """Whether storage cannot be used now, as opposed to: it refused what it was asked."""
    return (
        not isinstance(error, HttpResponseError)
        or (error.status_code or 500) >= 500
        or error.status_code in {401, 403, 408, 429}
    )
