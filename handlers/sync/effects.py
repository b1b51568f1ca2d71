"""What can be done to Outlook, to Acumatica and to receivers for a row, and what can come of it: both are data.

`plan` makes effects, the clients carry them out, and `after` reads the results.
"""

from dataclasses import dataclass

from handlers.sync.errors import Later, OutcomeUnknown, Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Entry, InOutlook, Record
from handlers.sync.mapping import ANSWER_ID, EVENT_ID
from handlers.sync.relay_message import Message


@dataclass(frozen=True)
class CreateEvent:
    """POST: repeatable, since `stamp` is its transactionId too."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class AdoptEvent:
    """GET: whether the event with the id `entry.adopt`, which an earlier integration made, may become ours."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class UpdateEvent:
    """PATCH of the event with the entry's id; with the stamp, where it is only becoming ours."""

    entry: Entry
    stamp: str
    event: CalendarEvent


@dataclass(frozen=True)
class FindEvent:
    """GET of whatever carries the stamp, in all calendars of the entry's mailbox."""

    entry: Entry
    stamp: str


@dataclass(frozen=True)
class DeleteEvent:
    """DELETE of the event with the entry's id. With a comment, attendees are told it (cancel)."""

    entry: Entry
    stamp: str
    comment: str | None = None


@dataclass(frozen=True)
class Deliver:
    """POST of a message to the receiver, under the same id until it is confirmed."""

    message: Message


@dataclass(frozen=True)
class WriteBack:
    """PUT of an id (and of no failure) into the record; rendered last, so that its failure holds no event back.

    `entry`: of the event; None where the id is that of a receiver's answer.
    """

    record: str
    content: Record
    entry: Entry | None

    @property
    def results(self) -> dict[str, str]:
        """What is written, by placeholder, but for what else Graph tells of the event."""
        found = self.content.event_id or ""
        return {EVENT_ID: found, ANSWER_ID: found, "reason": ""}


@dataclass(frozen=True)
class ReportFailure:
    """PUT of the reason why the row has no event, or not the right one, into its record."""

    record: str
    content: Record

    @property
    def results(self) -> dict[str, str]:
        """What is written, by placeholder."""
        return {"reason": self.content.reason}


@dataclass(frozen=True)
class ReportOutlook:
    """PUT of what people made of the event in Outlook into the record."""

    record: str
    content: InOutlook

    @property
    def results(self) -> dict[str, str]:
        """What is written, by placeholder."""
        seen = self.content
        times = {"outlook_start": seen.start, "outlook_end": seen.end}
        return {"outlook_status": seen.status, **times, "responses": seen.responses}


@dataclass(frozen=True)
class ClearRecord:
    """PUT that empties what was written into a record whose row is removed: everything, or the reason alone."""

    record: str
    everything: bool

    @property
    def results(self) -> dict[str, str] | None:
        """What is written, by placeholder; None empties every field."""
        return None if self.everything else {"reason": ""}


type EventEffect = CreateEvent | AdoptEvent | UpdateEvent | FindEvent | DeleteEvent
RecordEffect = WriteBack | ReportFailure | ReportOutlook | ClearRecord  # no `type`: isinstance takes it
type Effect = EventEffect | Deliver | RecordEffect


@dataclass(frozen=True)
class Done:
    """It is carried out; `event_id` is the id of what was made, or the one in a receiver's answer."""

    event_id: str | None = None


@dataclass(frozen=True)
class Found:
    """The look-up's answer: ids of all events with the stamp."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Adoptable:
    """Whether the event may become ours: it is there, of this mailbox, single, and no other row's."""

    ours: bool


@dataclass(frozen=True)
class AlreadyCreated:
    """The transactionId has made an event of other content earlier; Graph may tell its id."""

    event_id: str | None


@dataclass(frozen=True)
class Gone:
    """There is no event with this id in the mailbox."""


@dataclass(frozen=True)
class NoMailbox:
    """There is no such mailbox."""

    failure: Permanent


@dataclass(frozen=True)
class NoRecord:
    """Acumatica has no record with this id."""

    failure: Permanent


@dataclass(frozen=True)
class Refused:
    """It cannot be done, and trying again cannot help."""

    failure: Permanent


@dataclass(frozen=True)
class Retry:
    """It was not carried out, or perhaps it was although the service says otherwise; trying again may help."""

    failure: Later


@dataclass(frozen=True)
class Unknown:
    """No answer that says what became of it: it may be carried out at any moment (late.py says until when)."""

    failure: OutcomeUnknown


type Result = Done | Found | Adoptable | AlreadyCreated | Gone | NoMailbox | NoRecord | Refused | Retry | Unknown
