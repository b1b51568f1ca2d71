"""Everything that can go wrong with a row, classed by what to do next.

SyncError
├── Permanent             a person has to act: becomes a dead letter with its remedy
│   ├── MailboxGone       the mailbox does not exist, or has no licence (done, where something was to be removed)
│   └── NoCalendar        the mailbox has no calendar of this name or id
├── Later                 not now: the message is sent again after a delay
├── OutcomeUnknown        no answer that can be trusted: the request may be carried out at any time
├── EventGone             Graph has no event with this id (removed or moved by a person, or never made)
├── DuplicateTransaction  Graph made an event of other content from this transactionId earlier
├── RecordGone            Acumatica has no such record
└── SignedOut             Acumatica does not know the session (any more)

Each carries a `code`, which logs, alerts, filters and tests use, and a sentence for people, which may be reworded at any
time. Everything else that is raised is a bug: the Functions host tries the message again, and moves it to the poison queue
in the end.
"""

from enum import StrEnum

RUN_AGAIN = "then resubmit the dead letter, or save the record in Acumatica again."


class Code(StrEnum):
    """What went wrong, for programs. Values are stable: alerts and saved filters hang on them."""

    # Rows and mappings
    COLUMN_MISSING = "column-missing"
    KEY_MISSING = "key-missing"
    KEY_REPEATED = "key-repeated"
    ROW_UNUSABLE = "row-unusable"
    ROW_TOO_LARGE = "row-too-large"
    MAPPING_MISSING = "mapping-missing"
    TOO_OLD = "too-old"
    GAVE_UP = "gave-up"  # still failing after DEFER_MAX_HOURS
    MESSAGE_UNREADABLE = "message-unreadable"
    CLOCKS_DIFFER = "clocks-differ"  # notifications are stamped ahead of Acumatica's own clock
    ZONE_DIFFERS = "zone-differs"  # the mapping's time zone, from the site's
    APP_FAILED = "app-failed"  # a bug: see the log
    # Microsoft Graph and Entra ID
    MAILBOX_MISSING = "mailbox-missing"
    MAILBOX_DENIED = "mailbox-denied"
    MAILBOX_FULL = "mailbox-full"
    MAILBOX_BUSY = "mailbox-busy"  # our own concurrency limit
    CALENDAR_MISSING = "calendar-missing"
    EVENT_GONE = "event-gone"
    EVENT_NOT_FOUND_YET = "event-not-found-yet"
    TRANSACTION_USED = "transaction-used"
    GRAPH_TOKEN = "graph-token"  # noqa: S105  (a code)
    GRAPH_THROTTLED = "graph-throttled"
    GRAPH_UNAVAILABLE = "graph-unavailable"
    GRAPH_REFUSED = "graph-refused"
    # Acumatica
    SIGN_IN_FAILED = "sign-in-failed"
    SIGN_IN_REFUSED = "sign-in-refused"  # the credentials
    SESSIONS_BUSY = "sessions-busy"  # our own budget
    SESSION_ENDED = "session-ended"
    RECORD_GONE = "record-gone"
    RECORD_DENIED = "record-denied"
    RECORD_NOT_WRITTEN = "record-not-written"  # answered with success and the old value
    ACUMATICA_THROTTLED = "acumatica-throttled"
    ACUMATICA_UNAVAILABLE = "acumatica-unavailable"
    ACUMATICA_REFUSED = "acumatica-refused"
    # Acumatica's inquiries by OData
    INQUIRY_NOT_EXPOSED = "inquiry-not-exposed"
    INQUIRY_NEEDS_PARAMETERS = "inquiry-needs-parameters"
    INQUIRY_DENIED = "inquiry-denied"
    INQUIRY_UNAUTHORIZED = "inquiry-unauthorized"  # this kind of sign-in
    INQUIRY_REFUSED = "inquiry-refused"
    INQUIRY_ANSWER_EMPTY = "inquiry-answer-empty"  # success, and no list of rows
    INQUIRY_PAGES_REPEAT = "inquiry-pages-repeat"
    INQUIRY_FILTER_IGNORED = "inquiry-filter-ignored"
    # Receivers of relays
    RELAY_GONE = "relay-gone"  # 410: it wants no more messages
    RELAY_REFUSED = "relay-refused"
    RELAY_THROTTLED = "relay-throttled"
    RELAY_UNAVAILABLE = "relay-unavailable"
    RELAY_BUSY = "relay-busy"  # our own concurrency limit
    RELAY_TOKEN = "relay-token"  # noqa: S105  (a code)
    # Any service
    NOT_REACHED = "not-reached"  # certainly not sent
    NOT_ANSWERED = "not-answered"  # nobody can tell whether it was carried out
    NOT_THE_SERVICE = "not-the-service"  # something between has answered: a gateway, a maintenance page
    # The app itself
    NOT_READY = "not-ready"
    STORAGE_AWAY = "storage-away"
    ROW_CLAIMED = "row-claimed"
    ROW_CONTENDED = "row-contended"
    CLAIM_LOST = "claim-lost"
    NO_TIME_LEFT = "no-time-left"
    LATE_REQUEST = "late-request"  # one without an answer may still be carried out
    SHUTTING_DOWN = "shutting-down"
    RELEASE_UNDER_WAY = "release-under-way"  # of what an earlier sweep held, while this one has to hold more


class SyncError(Exception):
    """Base of all failures that are understood; `str()` is a sentence without secrets; it may name a value."""

    code: Code

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Permanent(SyncError):
    """Trying again cannot help until someone acts on `remedy`."""

    def __init__(self, code: Code, reason: str, remedy: str) -> None:
        super().__init__(code, reason)
        self.remedy = remedy


class MailboxGone(Permanent):
    """No such mailbox, or one that Exchange Online does not serve."""


class NoCalendar(Permanent):
    """The mailbox has no calendar of this name or id."""


class Later(SyncError):
    """Try again, in `delay` seconds at the earliest. `counted` is false for our own limits: their delay does not grow."""

    def __init__(self, code: Code, reason: str, delay: float = 0.0, *, counted: bool = True) -> None:
        super().__init__(code, reason)
        self.delay = delay
        self.counted = counted


class OutcomeUnknown(SyncError):
    """The request went out, and no answer came back that says what became of it."""


class EventGone(SyncError):
    """The event is not in the mailbox under this id. `foreign`: the id is one of another mailbox."""

    def __init__(self, reason: str, *, foreign: bool = False) -> None:
        super().__init__(Code.EVENT_GONE, reason)
        self.foreign = foreign


class DuplicateTransaction(SyncError):
    """The transactionId is used up; `event_id` is the event that it made, where Graph tells."""

    def __init__(self, event_id: str | None) -> None:
        super().__init__(Code.TRANSACTION_USED, "the transactionId has made an event of other content")
        self.event_id = event_id


class RecordGone(SyncError):
    """The record is not in Acumatica (any more)."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.RECORD_GONE, reason)


class SignedOut(SyncError):
    """The session has ended on the server's side."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.SESSION_ENDED, reason)
