"""Reading an inquiry by OData, in sessions of the budget. Each request has its own turn, so that others get in between.

Nothing of an answer is followed as an address: where a server cuts a page short, the next one is asked for by its number.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from handlers.clients.acumatica import Read
from handlers.clients.sessions import Sessions
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown, Permanent
from handlers.sync.odata import Inquiry, Key, Service, asked_for, fits
from handlers.sync.odata_answers import find, inquiries_of, rows_of
from handlers.sync.template import Row, as_text

_WAITING = 10.0  # seconds for a session
_XML, _JSON = "application/xml", "application/json"


@dataclass(frozen=True)
class Page:
    """Rows in the order asked for; `next` is how many are read by then, None after the last page."""

    rows: list[Row]
    date: datetime  # Acumatica's clock when it answered
    next: int | None


class Inquiries:
    """What the API user may see of the exposed inquiries. Every method raises SyncError; Permanent needs a person.

    Each request gets the time it may need.
    """

    def __init__(self, sessions: Sessions, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._sessions = sessions
        self._settings = settings
        self._clock = clock
        self._service = Service(settings.acumatica_odata, settings.acumatica_tenant)

    def exposed(self) -> dict[str, Inquiry]:
        """All inquiries that are exposed, by name, whoever may see their rows: one request."""
        answer = self._read(self._service.metadata, _XML, "$metadata")
        return inquiries_of(answer.body, answer.date)

    def find(self, name: str) -> Inquiry:
        """The inquiry of this name, as it can be read: INQUIRY_NOT_EXPOSED and INQUIRY_NEEDS_PARAMETERS otherwise.

        Its `date` comes before all that is read of it afterwards.
        """
        return find(self.exposed(), name)

    def pages(self, inquiry: Inquiry, order_by: Sequence[str], skip: int = 0) -> Iterator[Page]:
        """All rows from the `skip`th on: ⌈rows / SWEEP_PAGE_ROWS⌉ requests. `order_by` are columns that identify a row.

        One row more than a page holds is asked for: it says whether another page follows.
        """
        size = self._settings.sweep_page_rows
        starts: set[tuple[str, ...]] = set()
        capped = True  # the server might show no more than a page at a time; not once it has shown more
        while True:
            path = self._service.page(inquiry, order_by, skip, size + 1)
            answer = self._read(path, _JSON, inquiry.name)
            found = rows_of(answer.body, inquiry.name)
            if found.rows:
                start = tuple(as_text(found.rows[0].get(inquiry.column(name))) for name in order_by)
                if start in starts:
                    raise _repeats(inquiry.name)
                starts.add(start)
            capped = capped and len(found.rows) <= size
            rows = found.rows[:size]
            skip += len(rows)
            more = bool(rows) and (found.more or len(found.rows) > size or (capped and len(rows) == size))
            yield Page(rows, answer.date, skip if more else None)
            if not more:
                return

    def absent(self, inquiry: Inquiry, keys: Sequence[Key], witness: Key, shown: Callable[[Row], Row] = dict) -> set[int]:
        """Which of the keys (value by column) the inquiry does not show: their numbers. One request for some twenty.

        `witness` is the key of a row that the inquiry has just shown, as it showed it: where it is not found, the filter
        does not do what it says (of a drop-down, rows show labels and a filter means codes), and nothing is confirmed.
        `shown` puts a row into the form of the keys; where dates are part of these, they are compared in it.
        """
        version, top = self._service.version, self._settings.sweep_page_rows
        gone: set[int] = set()
        for look_up in self._service.look_ups(inquiry, keys, witness, top):
            found = rows_of(self._read(look_up.path, _JSON, inquiry.name).body, inquiry.name)
            if found.more or len(found.rows) >= top:
                raise _ignored(inquiry.name, "showed more rows than it was asked for")
            asked = [witness, *(keys[number] for number in look_up.numbers)]
            if not all(any(asked_for(version, inquiry, row, key) for key in asked) for row in found.rows):
                raise _ignored(inquiry.name, "showed rows that it was not asked for")
            if not any(asked_for(version, inquiry, row, witness) for row in found.rows):
                raise _ignored(inquiry.name, "did not find a row that it had just shown")
            forms = [shown(row) for row in found.rows]
            gone |= {n for n in look_up.numbers if not any(fits(inquiry, form, keys[n]) for form in forms)}
        return gone

    def _read(self, path: str, accept: str, what: str) -> Read:
        deadline = self._clock() + 2 * self._settings.longest_request_seconds + _WAITING  # it may have to sign in
        try:
            return self._sessions.read(path, accept, what, deadline)
        except OutcomeUnknown as error:  # nothing was to change
            raise Later(error.code, error.reason) from None
        except Later as error:
            if error.code == Code.SESSION_ENDED:
                raise self._unauthorized() from None
            raise

    def _unauthorized(self) -> Permanent:
        """Acumatica on the web checks who asks before what is asked for: a wrong tenant is 401 as well."""
        if self._settings.acumatica_auth == "cookie":
            reason = "Acumatica does not let a session that was signed in by cookie read inquiries by OData (401)."
            remedy = "Set ACUMATICA_AUTH to oauth, with a Connected Application (SM303010)."
        else:
            reason = "Acumatica's OData refuses the token that its other addresses take (401)."
            remedy = "Is ACUMATICA_TENANT the tenant's login name, the one behind the @ of ACUMATICA_CLIENT_ID?"
        return Permanent(Code.INQUIRY_UNAUTHORIZED, reason, remedy)


def _repeats(inquiry: str) -> Permanent:
    reason = f"The inquiry {inquiry} shows an earlier page again: Acumatica ignores which one is asked for."
    remedy = "Set SWEEP_PAGE_ROWS above the number of its rows, or make the inquiry simpler (SM208000)."
    return Permanent(Code.INQUIRY_PAGES_REPEAT, reason, remedy)


def _ignored(inquiry: str, how: str) -> Permanent:
    remedy = "Its key columns have to be stored ones, and no drop-downs: look at them on Generic Inquiry (SM208000)."
    return Permanent(Code.INQUIRY_FILTER_IGNORED, f"The inquiry {inquiry} {how}: what it lacks cannot be told.", remedy)
