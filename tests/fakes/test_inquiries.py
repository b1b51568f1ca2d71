"""Inquiries by OData: versions, forms of values, and each trap by its switch."""

from typing import Any

import pytest
import requests

from local.fakes import FakeAcumatica
from tests.fakes.conftest import Client, login, sign_in

ROWS: list[dict[str, Any]] = [
    {
        "Order Nbr": f"SO{number}",
        "Line": number,
        "Starts": f"2026-0{number}-01T09:30:00",
        "Day": "2026-07-01T00:00:00",
        "Hours": 1.5,
        "Note ID": f"6b0f6a52-5d0e-4f1e-9c2a-00000000000{number}",
        "Owner": "Ann",
        "2nd Owner": None,
    }
    for number in range(1, 8)
]
COLUMNS = {
    "Order Nbr": "string",
    "Line": "int",
    "Starts": "datetime",
    "Day": "date",
    "Hours": "number",
    "Note ID": "guid",
    "Owner": "string",
    "2nd Owner": "string",
}
V4, V3 = "/t/Production/api/odata/gi", "/OData/Production"
ROOTS = {"4": V4, "3": V3}


@pytest.fixture
def orders(acumatica: FakeAcumatica, signed_in: Client) -> Client:
    acumatica.expose("Order - Lines", lambda: ROWS, COLUMNS, ("Order Nbr", "Line"))
    return signed_in


def numbers(answer: requests.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [row["Line"] for row in answer.json()["value"]]


def lines(site: Client, query: str = "", root: str = V4) -> list[int]:
    return numbers(site.get(f"{root}/Order%20-%20Lines?{query}"))


def test_what_is_exposed_is_listed_with_its_columns(acumatica: FakeAcumatica, orders: Client) -> None:
    assert [item["name"] for item in orders.get(V4).json()["value"]] == ["Order - Lines"]
    answer = orders.get(f"{V4}/$metadata")
    assert answer.headers["Content-Type"].startswith("application/xml")
    assert '<PropertyRef Name="OrderNbr" /><PropertyRef Name="Line" />' in answer.text
    assert '<Property Name="_2ndOwner" Type="Edm.String" />' in answer.text
    assert '<Property Name="Starts" Type="Edm.DateTimeOffset" />' in answer.text
    assert '<Property Name="Starts" Type="Edm.DateTime" />' in orders.get(f"{V3}/$metadata").text
    acumatica.conceal("Order - Lines")
    assert orders.get(f"{V4}/Order%20-%20Lines").status_code == 404


def test_values_have_odatas_forms(acumatica: FakeAcumatica, orders: Client) -> None:
    def first() -> dict[str, Any]:
        return dict(orders.get(f"{V4}/Order%20-%20Lines?$orderby=Line&$top=1").json()["value"][0])

    row = first()
    assert row["OrderNbr"] == "SO1".ljust(15)
    assert (row["Starts"], row["Day"], row["Hours"]) == ("2026-01-01T14:30:00Z", "2026-07-01T00:00:00Z", "1.500000")
    assert (row["Owner"], row["_2ndOwner"]) == ("Ann", None)
    acumatica.switches.turn({"odata_padded": False, "odata_numbers": "numbers", "odata_dates": "moment"})
    row = first()
    assert (row["OrderNbr"], row["Hours"], row["Day"]) == ("SO1", 1.5, "2026-07-01T04:00:00Z")


def test_rows_come_unsorted_unless_an_order_is_asked_for(orders: Client) -> None:
    assert lines(orders, "$orderby=Line&$top=3&$skip=2") == [3, 4, 5]
    assert any(lines(orders) != list(range(1, 8)) for _ in range(5))


@pytest.mark.parametrize("version", ["4", "3"])
def test_a_filter_compares_as_a_database_does(version: str, orders: Client) -> None:
    guid = "6b0f6a52-5d0e-4f1e-9c2a-000000000003"
    literal = f"guid'{guid}'" if version == "3" else guid
    for condition, found in [
        ("OrderNbr eq 'so2  '", [2]),
        ("(OrderNbr eq 'SO2' and Line eq 2) or (OrderNbr eq 'SO2' and Line eq 3) or Line eq 4", [2, 4]),
        (f"NoteID eq {literal}", [3]),
        ("Owner eq 'O''Neil'", []),
    ]:
        assert lines(orders, f"$orderby=Line&$filter={condition}", ROOTS[version]) == found


@pytest.mark.parametrize(
    "condition", ["Nothing eq 1", "Line eq 'x'", "Line eq", "(Line eq 1", "Line eq 1)", "NoteID eq 'x'"]
)
def test_what_cannot_be_understood_is_refused(condition: str, orders: Client) -> None:
    answer = orders.get(f"{V4}/Order%20-%20Lines?$filter={condition}")
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    answer = orders.get(f"{V3}/Order%20-%20Lines?$filter={condition}")
    assert (answer.status_code, list(answer.json())) == (400, ["odata.error"])


def test_an_inquiry_with_parameters_shows_no_rows_under_its_own_name(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.expose("With - One", lambda: ROWS, COLUMNS, ("Line",), ("Owner",))
    assert numbers(orders.get(f"{V4}/With%20-%20One")) == []
    assert '<FunctionImport Name="WithOne_WithParameters"' in orders.get(f"{V4}/$metadata").text


def test_filters_and_pages_may_be_ignored(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.switches.odata_filter = "ignored"
    assert len(lines(orders, "$filter=Line eq 1")) == 7
    acumatica.switches.turn({"odata_filter": "applied", "odata_skip": "ignored"})
    assert lines(orders, "$orderby=Line&$top=2&$skip=2") == [1, 2]
    acumatica.switches.turn({"odata_skip": "applied", "odata_labels": {"Owner"}})
    assert lines(orders, "$filter=Owner eq 'Ann'") == []


def test_a_calculated_column_is_answered_with_nothing(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.switches.odata_calculated = {"Order Nbr"}
    for query in ("$filter=OrderNbr eq 'SO1'", "$orderby=Line,OrderNbr"):
        answer = orders.get(f"{V4}/Order%20-%20Lines?{query}")
        assert (answer.status_code, answer.content) == (200, b"")
    assert lines(orders, "$filter=Line eq 1") == [1]


@pytest.mark.parametrize(("shift", "second"), [(0, [3, 4]), (1, [2, 3]), (-1, [4, 5])])
def test_rows_may_move_between_pages(acumatica: FakeAcumatica, orders: Client, shift: int, second: list[int]) -> None:
    acumatica.switches.odata_shift = shift
    assert lines(orders, "$orderby=Line&$top=2") == [1, 2]
    assert lines(orders, "$orderby=Line&$top=2&$skip=2") == second


def test_the_server_may_cut_pages_and_say_so_or_not(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.switches.odata_page = 3
    answer = orders.get(f"{V4}/Order%20-%20Lines?$orderby=Line&$top=5")
    assert numbers(answer) == [1, 2, 3]
    following = orders.get(answer.json()["@odata.nextLink"].partition("/site")[2])
    assert numbers(following) == [4, 5, 6]
    acumatica.switches.odata_next = "nothing"
    assert set(orders.get(f"{V4}/Order%20-%20Lines?$orderby=Line").json()) == {"@odata.context", "value"}


def test_version_3_may_be_verbose(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.switches.turn({"odata3_form": "verbose", "odata_page": 1})
    answer = orders.get(f"{V3}/Order%20-%20Lines?$orderby=Line").json()["d"]
    assert set(answer) == {"results", "__next"}
    assert answer["results"][0]["Starts"] == "/Date(1767277800000)/"
    assert lines(orders, "$orderby=Line&$top=1") == [1]


@pytest.mark.parametrize(("odata", "there"), [("4", [200, 404]), ("3", [404, 200]), ("both", [200, 200])])
def test_a_site_has_one_version_or_both(acumatica: FakeAcumatica, orders: Client, odata: Any, there: list[int]) -> None:
    acumatica.switches.odata = odata
    assert [orders.get(f"{root}/$metadata").status_code for root in (V4, V3)] == there


def test_equal_captions_are_numbered_or_vanish(acumatica: FakeAcumatica, orders: Client) -> None:
    rows = [{"Owner Name": "Ann", "OwnerName": "Bob"}]
    acumatica.expose("Doubled", lambda: rows, {"Owner Name": "string", "OwnerName": "string"})
    assert orders.get(f"{V4}/Doubled").json()["value"] == [{"OwnerName": "Ann", "OwnerName_2": "Bob"}]
    acumatica.switches.odata_duplicates = "vanish"
    assert orders.get(f"{V4}/Doubled").json()["value"] == [{"OwnerName": "Ann"}]


def test_rights_count(acumatica: FakeAcumatica, orders: Client) -> None:
    acumatica.switches.forbidden = {"Order - Lines"}
    client = sign_in(acumatica, orders)
    assert client.get(f"{V4}/Order%20-%20Lines").status_code == 403
    assert client.get(V4).json()["value"][0]["name"] == "Order - Lines"
    acumatica.switches.odata_denied = "no_rows"
    assert lines(client) == []


def test_who_asks_is_checked_first(acumatica: FakeAcumatica, site: Client) -> None:
    acumatica.expose("X", list, {})
    assert [site.get(f"/t/{tenant}/api/odata/gi/X").status_code for tenant in ("Production", "Other")] == [401, 401]
    login(acumatica, site)
    assert site.get(f"{V4}/X").status_code == 401
    acumatica.switches.odata_cookie = "accepted"
    assert [site.get(f"/t/{tenant}/api/odata/gi/X").status_code for tenant in ("Production", "Other")] == [200, 404]
