"""Reading and writing the records of Acumatica, and what a user may do."""

import threading
import uuid
from typing import Any

import pytest
import requests

from local.fakes import FakeAcumatica, Fault
from tests.fakes.conftest import (
    ENDPOINT,
    UPDATE_ONLY,
    Client,
    ask,
    custom,
    eventually,
    opportunity,
    sign_in,
)


def test_put_updates_the_record_that_its_id_names(acumatica: FakeAcumatica, signed_in: Client) -> None:
    note_id = opportunity(acumatica)
    body = {"id": note_id.upper(), "Stage": {"value": "Won"}, **custom("AAMk")}
    asked = "?$custom=Opportunity.AttributeCALEVT"
    answer = signed_in.put(f"{ENDPOINT}/Opportunity{asked}", json=body, headers=UPDATE_ONLY)
    assert (answer.status_code, answer.json()["Stage"]) == (200, {"value": "Won"})
    assert answer.json()["custom"]["Opportunity"] == {"AttributeCALEVT": {"type": "CustomStringField", "value": "AAMk"}}
    record = acumatica.record("Opportunity", note_id)
    assert record
    assert (record["Subject"]["value"], record["Stage"]["value"]) == ("Site visit", "Won")
    assert record["custom"]["Opportunity"]["AttributeCALEVT"]["value"] == "AAMk"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("written_fields", ["supplied", "all"])
@pytest.mark.parametrize("written_custom", ["asked", "supplied"])
def test_what_the_answer_to_a_write_shows_can_be_chosen(
    acumatica: FakeAcumatica, signed_in: Client, method: str, written_fields: Any, written_custom: Any
) -> None:
    acumatica.switches.written_fields, acumatica.switches.written_custom = written_fields, written_custom
    note_id = opportunity(acumatica)
    acumatica.change_record("Opportunity", note_id, {"custom.Opportunity.UsrCalendarEventId": "old"})
    row = {"AttributeID": {"value": "CALEVT"}, "Value": {"value": "AAMk"}}
    body = {"id": note_id, "Stage": {"value": "Won"}, "Attributes": [row], **custom("AAMk")}

    def write(query: str = "", sent: Any = body) -> dict[str, Any]:
        answer = signed_in.request(method, f"{ENDPOINT}/Opportunity{query}", json=sent)
        assert (answer.status_code, answer.json()["id"]) == (200, note_id)
        return dict(answer.json())

    supplied = {"AttributeCALEVT": {"type": "CustomStringField", "value": "AAMk"}}
    other = {"UsrCalendarEventId": {"type": "CustomStringField", "value": "old"}}
    plain = write()
    assert (plain["Stage"], "Subject" in plain) == ({"value": "Won"}, written_fields == "all")
    assert plain["custom"] == ({"Opportunity": supplied} if written_custom == "supplied" else {})
    assert "Attributes" not in plain
    asked = write("?$custom=Opportunity.AttributeCALEVT,Opportunity.UsrCalendarEventId&$select=Subject&$expand=Attributes")
    assert (asked["Subject"], asked["custom"]) == ({"value": "Site visit"}, {"Opportunity": supplied | other})
    assert [item["Value"] for item in asked["Attributes"]] == [{"value": "AAMk"}]
    assert ("Subject" in write(sent={"id": note_id, **custom("AAMk")})) == (written_fields == "all")


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ("2026-02-03T09:30:00", "2026-02-03T09:30:00+00:00"),
        ("2026-02-03", "2026-02-03T00:00:00+00:00"),
        ("2026-02-03T09:30:00.000Z", "2026-02-03T09:30:00+00:00"),
        ("2026-02-03T09:30:00+01:00", "2026-02-03T09:30:00+01:00"),
    ],
)
def test_dates_are_answered_with_an_offset(acumatica: FakeAcumatica, signed_in: Client, sent: str, answered: str) -> None:
    body = {"id": opportunity(acumatica), "Estimation": {"value": sent}}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=body).json()["Estimation"] == {"value": answered}


def test_put_finds_a_record_by_its_keys(acumatica: FakeAcumatica, signed_in: Client) -> None:
    note_id = opportunity(acumatica, "OP000123 ")
    body = {"OpportunityID": {"value": "op000123"}, "Subject": {"value": "Moved"}}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=body).json()["id"] == note_id
    nbr = {"ServiceOrderType": "MR", "AppointmentNbr": "1-1"}
    visit = acumatica.put_record("Appointment", nbr)
    body = {name: {"value": value} for name, value in nbr.items()}
    assert signed_in.put(f"{ENDPOINT}/Appointment", json=body).json()["id"] == visit


def test_conditions_decide_between_insertion_and_update(acumatica: FakeAcumatica, signed_in: Client) -> None:
    unknown = {"id": str(uuid.uuid4()), "Subject": {"value": "New"}}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=unknown, headers=UPDATE_ONLY).status_code == 412
    assert acumatica.records("Opportunity") == []
    created = signed_in.put(f"{ENDPOINT}/Opportunity", json=unknown, headers={"If-None-Match": "*"})
    assert created.status_code == 200
    again = {"id": created.json()["id"], "Subject": {"value": "Newer"}}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=again, headers={"If-None-Match": "*"}).status_code == 412
    assert signed_in.patch(f"{ENDPOINT}/Opportunity", json={**unknown, "id": str(uuid.uuid4())}).status_code == 404
    assert signed_in.patch(f"{ENDPOINT}/Opportunity", json=again).status_code == 200
    assert [record["Subject"]["value"] for record in acumatica.records("Opportunity")] == ["Newer"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Subject": "not wrapped"}, 400),
        ({"Subject": {"value": 5}}, 400),
        ({"Colour": {"value": "red"}}, 400),
        ({"Estimation": {"value": "soon"}}, 400),
        ({"ContactID": {"value": 5}, "Override": {"value": True}, "Amount": {"value": 1.5}}, 200),
        ({"Estimation": {"value": "2026-02-03T09:30:00+00:00"}, "Owner": {"value": None}}, 200),
        ({"id": "no guid"}, 400),
        ({"Attributes": {"AttributeID": {"value": "CALEVT"}}}, 400),
        ({"custom": []}, 400),
        (custom("x", kind="CustomIntField"), 400),
        (custom(5), 400),
        (custom("x" * 255), 200),
        (custom("x" * 256), 422),
        (custom("x", name="AttributeOTHER"), 500),
        (custom("x", view="OpportunityCurrent"), 500),
        ({"Subject": {"value": ""}}, 422),
        ({"Attributes": [{"AttributeID": {"value": "OTHER"}, "Value": {"value": "x"}}]}, 422),
        ([], 400),
    ],
)
def test_a_body_has_to_follow_the_contract(acumatica: FakeAcumatica, signed_in: Client, body: Any, status: int) -> None:
    note_id = opportunity(acumatica)
    before = acumatica.record("Opportunity", note_id)
    sent = {"id": note_id, **body} if isinstance(body, dict) else body
    answer = signed_in.put(f"{ENDPOINT}/Opportunity", json=sent)
    assert answer.status_code == status, answer.text
    assert (acumatica.record("Opportunity", note_id) == before) == (status != 200)


def test_a_refused_record_comes_back_with_its_errors(acumatica: FakeAcumatica, signed_in: Client) -> None:
    note_id = opportunity(acumatica)
    answer = signed_in.put(f"{ENDPOINT}/Opportunity", json={"id": note_id, **custom("x" * 300)}).json()
    assert (answer["id"], "raised at least one error" in answer["error"]) == (note_id, True)
    assert "length" in answer["custom"]["Opportunity"]["AttributeCALEVT"]["error"]


def test_declared_custom_fields_have_types(acumatica: FakeAcumatica, signed_in: Client) -> None:
    acumatica.declare("Case", "CaseCurrent", "UsrSynced", "CustomBooleanField")
    case = acumatica.put_record("Case", {"CaseID": "C1", "Subject": "Pump"})
    body = {"id": case, **custom(True, "UsrSynced", "CaseCurrent", "CustomBooleanField")}
    assert signed_in.put(f"{ENDPOINT}/Case", json=body).status_code == 200
    schema = signed_in.get(f"{ENDPOINT}/Case/$adHocSchema").json()
    assert schema["custom"]["CaseCurrent"]["UsrSynced"]["type"] == "CustomBooleanField"
    assert schema["Subject"] == {}


def test_attributes_are_details_that_stay_beside_each_other(acumatica: FakeAcumatica, signed_in: Client) -> None:
    acumatica.attributes.add("COLOUR")
    note_id = opportunity(acumatica)
    for name, value in (("CALEVT", "AAMk"), ("COLOUR", "red"), ("CALEVT", "AAMk2")):
        row = {"AttributeID": {"value": name}, "Value": {"value": value}}
        assert signed_in.patch(f"{ENDPOINT}/Opportunity", json={"id": note_id, "Attributes": [row]}).status_code == 200
    assert "Attributes" not in signed_in.get(f"{ENDPOINT}/Opportunity/{note_id}").json()
    rows = signed_in.get(f"{ENDPOINT}/Opportunity/{note_id}?$expand=Attributes").json()["Attributes"]
    assert [(row["AttributeID"]["value"], row["Value"]["value"]) for row in rows] == [("CALEVT", "AAMk2"), ("COLOUR", "red")]


def test_fields_depend_on_the_version(acumatica: FakeAcumatica, signed_in: Client) -> None:
    meeting = acumatica.put_record("Event", {"Summary": "Visit"})
    for version, good, bad in (("24.200.001", "EndDate", "EndDateTime"), ("25.200.001", "EndDateTime", "EndDate")):
        where, moment = f"/entity/Default/{version}/Event", {"value": "2026-02-03T10:00:00"}
        assert signed_in.put(where, json={"id": meeting, good: moment}).status_code == 200
        assert signed_in.put(where, json={"id": meeting, bad: moment}).status_code == 400


def test_records_are_read_by_id_and_by_key(acumatica: FakeAcumatica, signed_in: Client) -> None:
    note_id = opportunity(acumatica)
    acumatica.change_record("Opportunity", note_id, {"custom.Opportunity.AttributeCALEVT": "AAMk", "Stage": "Won"})
    by_id = signed_in.get(f"{ENDPOINT}/Opportunity/{note_id}?$custom=Opportunity.AttributeCALEVT").json()
    assert by_id["custom"]["Opportunity"]["AttributeCALEVT"]["value"] == "AAMk"
    by_key = signed_in.get(f"{ENDPOINT}/Opportunity/op000123?$select=Stage").json()
    assert (by_key["id"], by_key["Stage"], "Subject" in by_key) == (note_id, {"value": "Won"}, False)
    assert by_key["_links"]["self"].endswith(f"/Opportunity/{note_id}")
    missing = signed_in.get(f"{ENDPOINT}/Opportunity/OP9")
    assert (missing.status_code, "NoEntitySatisfiesTheCondition" in missing.json()["exceptionType"]) == (500, True)


def test_a_list_can_be_filtered_and_cut(acumatica: FakeAcumatica, signed_in: Client) -> None:
    ids = [opportunity(acumatica, f"OP{n}") for n in range(3)]
    found = signed_in.get(f"{ENDPOINT}/Opportunity?$filter=OpportunityID eq 'OP1'").json()
    assert [record["id"] for record in found] == [ids[1]]
    assert [record["id"] for record in signed_in.get(f"{ENDPOINT}/Opportunity?$top=1&$skip=1").json()] == [ids[1]]
    assert signed_in.get(f"{ENDPOINT}/Opportunity?$filter=Stage gt 'A'").status_code == 400


def test_a_deleted_record_is_gone(acumatica: FakeAcumatica, signed_in: Client) -> None:
    first, second = opportunity(acumatica, "OP1"), opportunity(acumatica, "OP2")
    assert signed_in.delete(f"{ENDPOINT}/Opportunity/{first}").status_code == 204
    acumatica.delete_record("Opportunity", second)
    assert acumatica.records("Opportunity") == []
    assert acumatica.record("Opportunity", first) is None
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json={"id": second}, headers=UPDATE_ONLY).status_code == 412


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/entity/Default/17.200.001/Opportunity", 404),
        ("/entity/Custom/24.200.001/Opportunity", 404),
        ("/entity/Default/24.200.001/Customer", 404),
        ("/entity/Default/24.200.001/Task", 403),
        ("/somewhere", 404),
        ("/entity", 200),
    ],
)
def test_only_what_the_site_has_can_be_reached(acumatica: FakeAcumatica, site: Client, path: str, status: int) -> None:
    acumatica.switches.forbidden = {"Task"}
    signed_in = sign_in(acumatica, site)
    assert signed_in.get(path).status_code == status
    assert signed_in.post(f"{ENDPOINT}/Opportunity", json={}).status_code == 405


def test_a_role_without_write_rights_gets_the_old_value_and_no_error(acumatica: FakeAcumatica, site: Client) -> None:
    note_id = opportunity(acumatica)
    acumatica.change_record("Opportunity", note_id, {"Stage": "Open", "custom.Opportunity.AttributeCALEVT": "old"})
    before = acumatica.record("Opportunity", note_id)
    body = {"id": note_id, "Stage": {"value": "Won"}, **custom("new")}
    acumatica.switches.read_only = {"Opportunity"}
    sign_in(acumatica, site)
    asked = f"{ENDPOINT}/Opportunity?$custom=Opportunity.AttributeCALEVT"
    for answer in (site.put(asked, json=body, headers=UPDATE_ONLY), site.patch(asked, json=body)):
        assert (answer.status_code, answer.json()["Stage"]) == (200, {"value": "Open"})
        assert answer.json()["custom"]["Opportunity"]["AttributeCALEVT"]["value"] == "old"
    assert site.put(f"{ENDPOINT}/Opportunity", json={"Subject": {"value": "New"}}).status_code == 403
    assert site.delete(f"{ENDPOINT}/Opportunity/{note_id}").status_code == 403
    assert acumatica.record("Opportunity", note_id) == before
    assert len(acumatica.records("Opportunity")) == 1


def test_rights_count_from_the_sign_in_on(acumatica: FakeAcumatica, signed_in: Client) -> None:
    note_id = opportunity(acumatica)
    acumatica.switches.forbidden, acumatica.switches.read_only = {"Case"}, {"Opportunity"}
    assert signed_in.get(f"{ENDPOINT}/Case").status_code == 200
    write = {"id": note_id, "Stage": {"value": "Won"}}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=write).json()["Stage"] == {"value": "Won"}
    sign_in(acumatica, signed_in)
    assert signed_in.get(f"{ENDPOINT}/Case").status_code == 403
    write["Stage"] = {"value": "Lost"}
    assert signed_in.put(f"{ENDPOINT}/Opportunity", json=write).json()["Stage"] == {"value": "Won"}


@pytest.mark.parametrize(("missing", "status"), [("precondition", 412), ("no_entity", 500)])
@pytest.mark.parametrize("hidden", [False, True])
def test_what_an_update_of_a_record_that_is_not_there_answers_can_be_chosen(
    acumatica: FakeAcumatica, signed_in: Client, missing: Any, status: int, *, hidden: bool
) -> None:
    acumatica.switches.missing = missing
    note_id = opportunity(acumatica)
    body = {"id": note_id if hidden else str(uuid.uuid4()), "Subject": {"value": "x"}}
    if hidden:
        acumatica.switches.hidden = {note_id}
    answer = signed_in.put(f"{ENDPOINT}/Opportunity", json=body, headers=UPDATE_ONLY)
    assert (answer.status_code, "NoEntitySatisfiesTheCondition" in answer.text) == (status, status == 500)
    assert signed_in.patch(f"{ENDPOINT}/Opportunity", json=body).status_code == 404
    assert signed_in.get(f"{ENDPOINT}/Opportunity/OP000123").status_code == (500 if hidden else 200)
    assert len(signed_in.get(f"{ENDPOINT}/Opportunity").json()) == (not hidden)
    assert [record["Subject"]["value"] for record in acumatica.records("Opportunity")] == ["Site visit"]


def test_a_write_that_changes_a_record_is_echoed_once() -> None:
    seen: list[tuple[Any, ...]] = []
    ran_in: list[str] = []

    def echo(*change: Any) -> None:
        seen.append(change)
        ran_in.append(threading.current_thread().name)

    with FakeAcumatica(echo=echo) as acumatica, Client(acumatica.url) as site:
        headers = {"Authorization": f"Bearer {ask(acumatica, site).json()['access_token']}"}
        note_id = opportunity(acumatica)
        for value in ("AAMk", "AAMk", "x" * 300):
            site.put(f"{ENDPOINT}/Opportunity", json={"id": note_id, **custom(value)}, headers=headers)
        created = site.put(f"{ENDPOINT}/Opportunity", json={"Subject": {"value": "New"}}, headers=headers).json()["id"]
        eventually(lambda: len(seen) == 2)
        assert all(future.result(5) is None for future in acumatica.echoes)
    (entity, record, before, after), insertion = sorted(seen, key=lambda change: change[1] != note_id)
    assert (entity, record) == ("Opportunity", note_id)
    assert [state["custom"]["Opportunity"]["AttributeCALEVT"]["value"] for state in (before, after)] == [None, "AAMk"]
    assert insertion[1:3] == (created, None)
    assert all(name.startswith("acumatica-echo") for name in ran_in)


@pytest.mark.parametrize(("kind", "written"), [("reset_before", False), ("reset_after", True), ("status", False)])
def test_a_write_fails_before_or_after_it_is_carried_out(
    acumatica: FakeAcumatica, signed_in: Client, kind: Any, *, written: bool
) -> None:
    note_id = opportunity(acumatica)
    acumatica.faults.add(Fault(kind, method="PUT", entity="Opportunity", status=409, times=1))
    body = {"id": note_id, "Stage": {"value": "Won"}}
    if kind == "status":
        answer = signed_in.put(f"{ENDPOINT}/Opportunity", json=body)
        assert (answer.status_code, "exceptionMessage" in answer.json()) == (409, True)
    else:
        with pytest.raises(requests.ConnectionError):
            signed_in.put(f"{ENDPOINT}/Opportunity", json=body)
    record = acumatica.record("Opportunity", note_id)
    assert record
    assert (record["Stage"] == {"value": "Won"}) == written
    assert acumatica.calls[-1].entity == "Opportunity"
