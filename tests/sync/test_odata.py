"""OData: requests as they are sent, and what each kind of answer means."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers.sync.errors import Code, Later, Permanent, SignedOut, SyncError
from handlers.sync.odata import Inquiry, Service, Version, asked_for, fits, literal
from handlers.sync.odata_answers import clock_of, inquiries_of, odata_error, rows_of
from handlers.sync.zones import deviation, find_zone, offset

DATE = datetime(2026, 12, 1, tzinfo=UTC)
GUID = "6b0f6a52-5d0e-4f1e-9c2a-0a1b2c3d4e5f"
COLUMNS = {
    "OrderNbr": "Edm.String",
    "OrderNbr_2": "Edm.String",
    "Line": "Edm.Int32",
    "Hours": "Edm.Decimal",
    "Starts": "Edm.DateTimeOffset",
    "NoteID": "Edm.Guid",
}
INQUIRY = Inquiry("Order - Lines", COLUMNS, ("OrderNbr",), parameters=False, date=DATE)


# -- requests -----------------------------------------------------------------------------------------------------------


def test_paths_of_both_versions() -> None:
    four, three = Service("4", "My Tenant"), Service("3", "My Tenant")
    assert four.metadata == "/t/My%20Tenant/api/odata/gi/$metadata"
    assert three.metadata == "/OData/My%20Tenant/$metadata"
    query = "?$orderby=OrderNbr%2CLine&$top=11&$skip=10"
    assert four.page(INQUIRY, ["Order Nbr", "line"], 10, 11) == f"/t/My%20Tenant/api/odata/gi/Order%20-%20Lines{query}"
    assert three.page(INQUIRY, ["Order Nbr", "line"], 10, 11) == f"/OData/My%20Tenant/Order%20-%20Lines{query}"


@pytest.mark.parametrize(
    ("kind", "value", "three", "four"),
    [
        ("Edm.String", " O'Neil ", "'O''Neil'", "'O''Neil'"),
        ("Edm.String", 5, "'5'", "'5'"),
        ("Edm.Int32", "5", "5", "5"),
        ("Edm.Int64", 5, "5L", "5"),
        ("Edm.Int32", "5 or 1 eq 1", None, None),
        ("Edm.Decimal", "-5.50", "-5.50M", "-5.50"),
        ("Edm.Double", "1e5", None, None),
        ("Edm.Guid", GUID, f"guid'{GUID}'", GUID),
        ("Edm.Guid", "x", None, None),
        ("Edm.Boolean", True, "true", "true"),
        ("Edm.Boolean", "maybe", None, None),
        ("Edm.DateTimeOffset", "2026-12-01T09:30:00", None, None),
        ("", "x", None, None),
    ],
)
def test_literals(kind: str, value: Any, three: str | None, four: str | None) -> None:
    assert (literal("3", kind, value), literal("4", kind, value)) == (three, four)


def test_a_look_up_asks_for_the_witness_and_all_keys() -> None:
    keys = [{"Order Nbr": "A", "Line": "1"}, {"Order Nbr": "B", "Line": "2"}]
    (look_up,) = Service("4", "T").look_ups(INQUIRY, keys, {"OrderNbr": "W ", "Line": 9}, 50)
    condition = "(OrderNbr eq 'W' and Line eq 9) or (OrderNbr eq 'A' and Line eq 1) or (OrderNbr eq 'B' and Line eq 2)"
    told = condition.replace(" ", "%20").replace("'", "%27").replace("(", "%28").replace(")", "%29")
    assert look_up.path == f"/t/T/api/odata/gi/Order%20-%20Lines?$filter={told}&$top=50"
    assert look_up.numbers == (0, 1)


@pytest.mark.parametrize(
    ("row", "key", "asked", "fit"),
    [
        ({"OrderNbr": "A   "}, {"Order Nbr": "a"}, True, True),
        ({"OrderNbr": "B"}, {"Order Nbr": "A"}, False, False),
        ({"OrderNbr": None}, {"Order Nbr": "A"}, False, False),
        ({"Hours": "5.000000", "Line": 1}, {"Hours": 5, "Line": "1"}, True, True),
        ({"Hours": "5.5"}, {"Hours": 5}, False, False),
        ({"Line": 1, "Starts": "2026-12-01T09:30:00"}, {"Line": 1, "Starts": "2026-12-01T09:30:00.000"}, True, True),
        ({"Line": 1, "Starts": "2026-12-01T09:30:00"}, {"Line": 1, "Starts": "2026-12-02T09:30:00"}, True, False),
        ({"Line": 1, "Starts": "soon"}, {"Line": 1, "Starts": "2026-12-02T09:30:00"}, True, True),
    ],
)
def test_what_fits_a_key(row: dict[str, Any], key: dict[str, Any], asked: bool, fit: bool) -> None:
    """What cannot be compared is taken for equal: a row that may be there is not removed."""
    assert (asked_for("4", INQUIRY, row, key), fits(INQUIRY, row, key)) == (asked, fit)


def test_columns_are_found_as_mappings_write_them() -> None:
    assert (INQUIRY.column("order nbr"), INQUIRY.doubles("Order Nbr")) == ("OrderNbr", ["OrderNbr_2"])
    with pytest.raises(Permanent) as missing:
        INQUIRY.column("Owner")
    assert (missing.value.code, "Hours, Line" in missing.value.reason) == (Code.COLUMN_MISSING, True)


# -- answers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "rows", "more"),
    [
        ({"@odata.context": "x", "value": [{"A": 1, "@odata.etag": "e", "A@odata.type": "t"}]}, [{"A": 1}], False),
        ({"value": [], "@odata.nextLink": "http://other.example.com/"}, [], True),
        ({"odata.metadata": "x", "value": [{"odata.type": "t", "A": None}], "odata.nextLink": "x"}, [{"A": None}], True),
        ({"d": [{"A": "/Date(1767277800000)/"}]}, [{"A": "2026-01-01T14:30:00Z"}], False),
        ({"d": {"results": [{"__metadata": {}, "A": "/Date(-1)/ "}], "__next": "x"}}, [{"A": "/Date(-1)/ "}], True),
        ({"d": {"results": [{"A": "/Date(999999999999999)/"}]}}, [{"A": "/Date(999999999999999)/"}], False),
    ],
)
def test_rows_of_each_form(body: Any, rows: Any, more: bool) -> None:
    found = rows_of(json.dumps(body).encode(), "X")
    assert (found.rows, found.more) == (rows, more)


@pytest.mark.parametrize("body", [b"", b" ", b"null", b"[]", b"{}", b'{"value":{}}', b'{"value":[1]}', b'{"value":[', b"5"])
def test_what_is_no_list_of_rows_is_no_empty_inquiry(body: bytes) -> None:
    with pytest.raises(Permanent) as caught:
        rows_of(body, "X")
    assert caught.value.code == Code.INQUIRY_ANSWER_EMPTY


def test_the_inquiries_of_metadata() -> None:
    document = b"""\xef\xbb\xbf<?xml version="1.0"?><edmx:Edmx Version='4.0'><!-- <EntitySet Name="No" EntityType="x"/> -->
        <edm:EntityType Name="A &amp; B v1.5Type"><Key><PropertyRef Name="K"/></Key>
          <edm:Property Name="K" Type="Edm.String" Nullable="false"/><edm:Property Type='Edm.Int32' Name='N'/>
        </edm:EntityType>
        <Property Name="Outside" Type="Edm.String"/>
        <EntityContainer Name="Default"><EntitySet Name="A &amp; B v1.5" EntityType="PX.Data.A &amp; B v1.5Type"/>
          <EntitySet Name="With - One" EntityType="PX.Missing"/>
          <FunctionImport Name="WithOne_WithParameters" Function="PX.With - One"/></EntityContainer></edmx:Edmx>"""
    assert inquiries_of(document, DATE) == {
        "A & B v1.5": Inquiry("A & B v1.5", {"K": "Edm.String", "N": "Edm.Int32"}, ("K",), parameters=False, date=DATE),
        "With - One": Inquiry("With - One", {}, (), parameters=True, date=DATE),
    }


@pytest.mark.parametrize("body", [b"", b"<html><title>Sign in</title></html>", b'{"value": []}'])
def test_what_is_no_metadata_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(Later) as caught:
        inquiries_of(body, DATE)
    assert caught.value.code == Code.NOT_THE_SERVICE


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "says"),
    [
        (401, b"", SignedOut, Code.SESSION_ENDED, ""),
        (403, b"", Permanent, Code.INQUIRY_DENIED, "may not see X"),
        (404, b"<html></html>", Permanent, Code.INQUIRY_NOT_EXPOSED, "no X"),
        (400, b'{"error":{"code":"","message":"No property A"}}', Permanent, Code.INQUIRY_REFUSED, "No property A"),
        (400, b'{"odata.error":{"message":{"value":"No A"}}}', Permanent, Code.INQUIRY_REFUSED, "asked: No A"),
        (429, b"", Later, Code.ACUMATICA_THROTTLED, ""),
        (500, b'{"error":{"message":"busy"}}', Later, Code.ACUMATICA_UNAVAILABLE, "busy"),
        (500, b"", Later, Code.NOT_THE_SERVICE, ""),
        (502, b"", Later, Code.NOT_ANSWERED, ""),
        (302, b"", Later, Code.NOT_THE_SERVICE, ""),
    ],
)
def test_errors(status: int, body: bytes, kind: type[SyncError], code: Code, says: str) -> None:
    error = odata_error(status, {}, body, "X")
    assert (type(error), error.code, says in str(error)) == (kind, code, True)


def test_the_clock_is_that_of_the_answer() -> None:
    assert clock_of({"date": "Tue, 01 Dec 2026 00:00:00 GMT"}) == DATE
    for wrong in ({}, {"Date": "soon"}, {"Date": "Tue, 01 Dec 99999 00:00:00 GMT"}):
        with pytest.raises(Later):
            clock_of(wrong)


# -- the zone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("push", "odata", "minutes"),
    [
        ("2026-12-01T09:30:00", "2026-12-01T14:30:00Z", -300),
        ("2026-07-01T09:30:00.123", "2026-07-01T13:30:00.000Z", -240),
        ("2026-12-01T09:30:00", "2026-12-01T03:45:00Z", 345),
        ("2026-12-01T00:00:00", "2026-12-01T05:00:00Z", -300),
        ("2026-12-01T00:00:00", "2026-12-01T00:00:00Z", None),
        ("2026-12-01", "2026-12-01T00:00:00Z", None),
        ("2026-12-01T09:30:00", "2026-12-01T14:31:00Z", None),
        ("2026-12-01T09:30:00", "2026-12-02T14:30:00Z", None),
        ("2026-12-01T09:30:00", "2026-12-01T14:30:00", None),
        ("2026-12-01T09:30:00Z", "2026-12-01T09:30:00Z", None),
        ("soon", "", None),
    ],
)
def test_the_offset_is_measured(push: str, odata: str, minutes: int | None) -> None:
    assert offset(push, odata) == (None if minutes is None else timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("zone", "push", "minutes", "off"),
    [
        ("America/New_York", "2026-12-01T09:30:00", -300, 0),
        ("America/New_York", "2026-07-01T09:30:00", -240, 0),
        ("America/New_York", "2026-07-01T09:30:00", -300, -60),
        ("America/New_York", "2026-11-01T01:30:00", -240, 0),
        ("America/New_York", "2026-11-01T01:30:00", -300, 0),
        ("Europe/Berlin", "2026-12-01T09:30:00", -300, -360),
    ],
)
def test_a_deviation_is_of_the_date(zone: str, push: str, minutes: int, off: int) -> None:
    assert deviation(find_zone(zone), push, timedelta(minutes=minutes)) == timedelta(minutes=off)


def test_versions_are_those_of_the_setting() -> None:
    versions: tuple[Version, ...] = ("3", "4")
    assert {Service(version, "T").root for version in versions} == {"/OData/T", "/t/T/api/odata/gi"}
