"""Inquiries read by OData in sessions of the budget: each trap ends in the right rows or in a failure."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.clients.acumatica import Acumatica
from handlers.clients.inquiries import Inquiries
from handlers.clients.sessions import Sessions
from handlers.environment import load_settings
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, Permanent, SyncError
from local.fakes import FakeAcumatica, Fault, acumatica_settings
from tests.clients.storage import open_storage

NAME = "Calendar - Visits"
COLUMNS = {"Order Nbr": "string", "Line": "int", "Starts": "datetime", "Note ID": "guid", "State": "string"}
KEY = ("OrderNbr", "Line")


def row(number: int) -> dict[str, Any]:
    return {
        "Order Nbr": f"SO{number // 2:03}",
        "Line": number % 2,
        "Starts": "2026-01-01T09:30:00",
        "Note ID": f"6b0f6a52-5d0e-4f1e-9c2a-{number:012}",
        "State": "Open",
    }


def key(number: int) -> dict[str, Any]:
    """As links have it: text, without blanks."""
    return {"Order Nbr": f"SO{number // 2:03}", "Line": str(number % 2)}


class Site:
    """An inquiry of some rows, and the client that reads it."""

    def __init__(self, acumatica: FakeAcumatica, inquiries: Inquiries, sessions: Sessions, rows: int) -> None:
        self.acumatica, self.inquiries, self.sessions = acumatica, inquiries, sessions
        self.rows = [row(number) for number in range(rows)]
        acumatica.expose(NAME, lambda: self.rows, COLUMNS, ("Order Nbr", "Line"))

    def read(self, order_by: tuple[str, ...] = KEY, skip: int = 0) -> list[int]:
        """The numbers of the rows, in the order in which they came."""
        pages = self.inquiries.pages(self.inquiries.find(NAME), order_by, skip)
        return [int(row["NoteID"][-12:]) for page in pages for row in page.rows]

    def absent(self, *numbers: int, witness: dict[str, Any] | None = None) -> set[int]:
        return self.inquiries.absent(self.inquiries.find(NAME), [key(number) for number in numbers], witness or key(0))

    def requests(self) -> int:
        return sum("$metadata" not in call.path and "odata" in call.path.lower() for call in self.acumatica.calls)


@contextmanager
def site(storage: str, rows: int = 0, **settings: str) -> Iterator[Site]:
    with FakeAcumatica() as acumatica, closing(open_storage(storage)) as stored:
        environ = acumatica_settings(acumatica) | {"SWEEP_PAGE_ROWS": "10"} | settings
        loaded = load_settings(Settings, environ)
        sessions = Sessions(Acumatica(loaded), stored, loaded)
        with closing(sessions):
            yield Site(acumatica, Inquiries(sessions, loaded), sessions, rows)
        assert acumatica.sessions == []
        assert acumatica.max_sessions_seen <= 1
        assert acumatica.overlaps == []


def failure(call: Any) -> SyncError:
    with pytest.raises(SyncError) as caught:
        call()
    return caught.value


# -- what is exposed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "3"])
def test_an_inquiry_is_found_by_its_title(storage: str, version: str) -> None:
    with site(storage, 3, ACUMATICA_ODATA=version) as here:
        before = datetime.now(UTC)
        found = here.inquiries.find("calendar visits")
        assert (found.name, found.keys, found.parameters) == (NAME, KEY, False)
        assert found.columns["OrderNbr"] == "Edm.String"
        assert found.column("Order Nbr") == "OrderNbr"
        assert abs(found.date - before) < timedelta(minutes=1)
        assert found.date.tzinfo is UTC


def test_what_is_not_exposed_or_needs_parameters_is_told(storage: str) -> None:
    with site(storage) as here:
        here.acumatica.expose("With One", list, COLUMNS, (), ("Owner",))
        here.acumatica.expose("In / Out", list, COLUMNS)
        codes = {
            name: failure(lambda name=name: here.inquiries.find(name)).code for name in ("Other", "With One", "In / Out")
        }
    assert codes == {
        "Other": Code.INQUIRY_NOT_EXPOSED,
        "With One": Code.INQUIRY_NEEDS_PARAMETERS,
        "In / Out": Code.INQUIRY_NOT_EXPOSED,
    }


def test_the_wrong_version_is_told(storage: str) -> None:
    with site(storage) as here:
        here.acumatica.switches.odata = "3"
        error = failure(here.inquiries.exposed)
        assert isinstance(error, Permanent)
        assert (error.code, "ACUMATICA_ODATA" in error.remedy) == (Code.INQUIRY_NOT_EXPOSED, True)


# -- pages --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "3"])
@pytest.mark.parametrize(("rows", "requests"), [(0, 1), (1, 1), (9, 1), (10, 2), (11, 2), (20, 2), (21, 3), (40, 4)])
def test_each_row_is_read_once_in_as_many_requests_as_pages(storage: str, version: str, rows: int, requests: int) -> None:
    """But where all rows fill one page exactly: then the server might show no more at a time."""
    with site(storage, rows, ACUMATICA_ODATA=version) as here:
        assert here.read() == list(range(rows))
        assert here.requests() == requests


def test_a_read_can_go_on_where_it_ended(storage: str) -> None:
    with site(storage, 35) as here:
        found = here.inquiries.find(NAME)
        page = next(here.inquiries.pages(found, KEY))
        assert (len(page.rows), page.next) == (10, 10)
        assert page.date >= found.date
        assert here.read(skip=10) == list(range(10, 35))


@pytest.mark.parametrize("rows", [4, 9, 30])
def test_a_server_that_cuts_pages_and_says_so_is_read_to_the_end(storage: str, rows: int) -> None:
    with site(storage, rows) as here:
        here.acumatica.switches.odata_page = 4
        assert here.read() == list(range(rows))


def test_a_server_that_shows_no_more_than_a_page_is_read_to_the_end(storage: str) -> None:
    with site(storage, 25) as here:
        here.acumatica.switches.turn({"odata_page": 10, "odata_next": "nothing"})
        assert here.read() == list(range(25))


@pytest.mark.parametrize("rows", [11, 35])
def test_a_page_that_comes_again_is_a_failure(storage: str, rows: int) -> None:
    with site(storage, rows) as here:
        here.acumatica.switches.odata_skip = "ignored"
        assert failure(here.read).code == Code.INQUIRY_PAGES_REPEAT
        assert here.requests() == 2


def test_what_fits_into_one_page_can_be_read_of_a_server_that_knows_no_pages(storage: str) -> None:
    with site(storage, 9) as here:
        here.acumatica.switches.odata_skip = "ignored"
        assert here.read() == list(range(9))


def test_rows_that_move_between_pages_are_no_failure(storage: str) -> None:
    """A look-up of what is missing tells that it is there."""
    with site(storage, 30) as here:
        here.acumatica.switches.odata_shift = 1
        assert len(here.read()) == 30 + 1
        here.acumatica.switches.odata_shift = -1
        assert set(range(30)) - set(here.read()) == {10}
        assert here.absent(10) == set()


def test_an_order_over_a_calculated_column_is_a_failure_and_not_an_empty_inquiry(storage: str) -> None:
    with site(storage, 3) as here:
        here.acumatica.switches.odata_calculated = {"Order Nbr"}
        error = failure(here.read)
        assert (error.code, type(error)) == (Code.INQUIRY_ANSWER_EMPTY, Permanent)
        assert failure(lambda: here.absent(5)).code == Code.INQUIRY_ANSWER_EMPTY


def test_a_column_that_is_not_there_is_told_before_anything_is_asked(storage: str) -> None:
    with site(storage, 3) as here:
        error = failure(lambda: here.read(("Line", "Other")))
        assert (error.code, "OrderNbr" in error.reason, here.requests()) == (Code.COLUMN_MISSING, True, 0)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("nothing", Code.INQUIRY_ANSWER_EMPTY),
        ("cut_off", Code.INQUIRY_ANSWER_EMPTY),
        ("null", Code.INQUIRY_ANSWER_EMPTY),
        ("list", Code.INQUIRY_ANSWER_EMPTY),
        ("text", Code.INQUIRY_ANSWER_EMPTY),
        ("other_shape", Code.INQUIRY_ANSWER_EMPTY),
        ("html", Code.NOT_THE_SERVICE),
        ("redirect", Code.NOT_THE_SERVICE),
        ("gateway", Code.NOT_ANSWERED),
    ],
)
def test_an_answer_that_is_no_list_of_rows_is_a_failure(storage: str, answer: str, code: Code) -> None:
    with site(storage, 30) as here:
        found = here.inquiries.find(NAME)
        here.acumatica.faults.add(Fault("status", path="skip=10", answer=answer, times=1))
        pages = here.inquiries.pages(found, KEY)
        assert len(next(pages).rows) == 10
        assert failure(lambda: next(pages)).code == code
        assert here.read() == list(range(30))


# -- sessions -----------------------------------------------------------------------------------------------------------


def test_a_session_that_has_ended_is_replaced_between_pages(storage: str) -> None:
    with site(storage, 30) as here:
        pages = here.inquiries.pages(here.inquiries.find(NAME), KEY)
        next(pages)
        here.acumatica.end_sessions()
        assert sum(len(page.rows) for page in pages) == 20
        assert here.acumatica.sign_ins == 2


def test_a_session_of_a_cookie_that_may_not_read_is_told_what_to_do(storage: str) -> None:
    with site(storage, 3, ACUMATICA_AUTH="cookie") as here:
        error = failure(here.read)
        assert isinstance(error, Permanent)
        assert (error.code, "oauth" in error.remedy) == (Code.INQUIRY_UNAUTHORIZED, True)
        here.acumatica.switches.odata_cookie = "accepted"
        assert here.read() == [0, 1, 2]


def test_a_token_that_is_refused_is_told_what_to_do(storage: str) -> None:
    with site(storage, 3) as here:
        here.acumatica.faults.add(Fault("status", path="/odata/", status=401, times=2))
        error = failure(here.read)
        assert isinstance(error, Permanent)
        assert (error.code, "ACUMATICA_TENANT" in error.remedy) == (Code.INQUIRY_UNAUTHORIZED, True)


def test_an_inquiry_that_the_user_may_not_see_is_told(storage: str) -> None:
    with site(storage, 3) as here:
        here.acumatica.switches.forbidden = {NAME}
        assert failure(here.read).code == Code.INQUIRY_DENIED


def test_a_read_without_an_answer_is_tried_again_later(storage: str) -> None:
    with site(storage, 3, ACUMATICA_MAX_SESSIONS="2") as here:
        found = here.inquiries.find(NAME)
        here.acumatica.faults.add(Fault("reset_after", path="skip=0", times=1))
        error = failure(lambda: list(here.inquiries.pages(found, KEY)))
        assert (type(error), error.code) == (Later, Code.NOT_ANSWERED)
        here.acumatica.end_sessions()


def test_too_many_requests_are_told_with_their_delay(storage: str) -> None:
    with site(storage, 3) as here:
        here.acumatica.faults.add(Fault("status", path="skip=0", status=429, headers={"Retry-After": "7"}, times=1))
        error = failure(here.read)
        assert isinstance(error, Later)
        assert (error.code, error.delay) == (Code.ACUMATICA_THROTTLED, 7.0)


def test_nothing_begins_that_may_end_after_the_deadline(storage: str) -> None:
    with site(storage, 3) as here:
        error = failure(lambda: here.sessions.read("$metadata", "application/xml", "$metadata", time.time() + 1))
        assert (error.code, here.acumatica.calls) == (Code.NO_TIME_LEFT, [])


# -- look-ups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["4", "3"])
def test_absence_is_told_of_each_key(storage: str, version: str) -> None:
    with site(storage, 8, ACUMATICA_ODATA=version) as here:
        assert here.absent(3, 20, 7, 21) == {1, 3}
        assert here.absent() == set()
        assert here.requests() == 1


def test_many_keys_are_asked_for_in_addresses_that_servers_take(storage: str) -> None:
    with site(storage, 8) as here:
        assert here.absent(*range(2, 122)) == set(range(6, 120))
        assert 2 < here.requests() < 12
        assert max(len(call.path.partition("?")[2]) for call in here.acumatica.calls) < 2048


def test_a_filter_that_is_ignored_confirms_nothing(storage: str) -> None:
    with site(storage, 8) as here:
        here.acumatica.switches.odata_filter = "ignored"
        assert failure(lambda: here.absent(20)).code == Code.INQUIRY_FILTER_IGNORED
        here.rows.extend(row(number) for number in range(8, 40))
        assert failure(lambda: here.absent(20)).code == Code.INQUIRY_FILTER_IGNORED


def test_a_filter_that_finds_nothing_confirms_nothing(storage: str) -> None:
    """Of a drop-down, rows show labels and a filter means codes: not even a row that is there is found."""
    with site(storage, 8) as here:
        here.acumatica.switches.odata_labels = {"Order Nbr"}
        assert failure(lambda: here.absent(20)).code == Code.INQUIRY_FILTER_IGNORED


def test_an_inquiry_that_has_become_empty_confirms_nothing(storage: str) -> None:
    with site(storage, 8) as here:
        here.rows.clear()
        assert failure(lambda: here.absent(3)).code == Code.INQUIRY_FILTER_IGNORED


def test_a_key_that_is_shown_in_another_case_is_there(storage: str) -> None:
    with site(storage, 8) as here:
        asked = [{"Order Nbr": "so001", "Line": 0}]
        assert here.inquiries.absent(here.inquiries.find(NAME), asked, key(0)) == set()


def test_dates_of_a_key_are_compared_on_our_side(storage: str) -> None:
    """Their literals are not to be trusted with a zone that nobody knows; the caller says how dates are shown."""
    with site(storage, 8) as here:
        keys = [key(3) | {"Starts": "2026-01-01T09:30:00"}, key(3) | {"Starts": "2026-01-01T10:30:00"}]

        def shown(found: dict[str, Any]) -> dict[str, Any]:
            return found | {"Starts": found["Starts"].replace("14:30:00Z", "09:30:00")}

        assert here.inquiries.absent(here.inquiries.find(NAME), keys, key(0), shown) == {1}


def test_a_key_that_cannot_be_asked_for_is_told(storage: str) -> None:
    with site(storage, 8) as here:
        error = failure(lambda: here.inquiries.absent(here.inquiries.find(NAME), [{"Starts": "2026"}], key(0)))
        assert error.code == Code.INQUIRY_REFUSED
