"""Entities of Acumatica's endpoint Default, and how a record is read, changed and refused.

Fields: https://help.acumatica.com, "Contract-Based REST API Reference" (the endpoint's swagger.json).
"""

import copy
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.fakes.calls import Refused, Reply

type Fields = dict[str, Any]

VERSIONS = ("24.200.001", "25.200.001")

KEYS = {
    "Opportunity": ("OpportunityID",),
    "Case": ("CaseID",),
    "Event": ("NoteID",),
    "Task": ("NoteID",),
    "Appointment": ("ServiceOrderType", "AppointmentNbr"),
}
_REQUIRED = {"Opportunity": "Subject", "Case": "Subject", "Event": "Summary", "Task": "Summary"}

# Field names by kind of value; `list` are details, `record` linked entities. {24} and {25} stand for one version's own.
_ACTIVITY = """
    string: Body Category Priority Status Summary CreatedByID RelatedEntityType RelatedEntityDescription
    date: StartDate CreatedDateTime LastModifiedDateTime
    bool: Internal
    guid: NoteID RelatedEntityNoteID
    record: Reminder TimeActivity
"""
_SCHEMAS = {
    "Opportunity": """
        string: Branch BusinessAccount ClassID ContactDisplayName ConvertedLeadDisplayName CurrencyID Details Location
        string: OpportunityID Owner OwnerEmployeeName ParentAccount Project Reason Source SourceCampaign Stage Status Subject
        string: TaxZone WorkgroupDescription WorkgroupID
        number: Amount Discount Total WeightTotal
        int: ContactID ConvertedLeadID
        bool: CurrencyViewState ManualAmount Override
        date: Estimation LastModifiedDateTime
        guid: NoteID
        list: Activities Attributes Discounts Products Relations TaxDetails
        record: Address ContactInformation
    """,
    "Case": """
        string: BillableOvertime BillableTime BusinessAccount BusinessAccountName CaseID ClassID ContactDisplayName Contract
        string: Description InitialResponse Location OvertimeSpent Owner OwnerEmployeeName Priority Reason ResolutionTime
        string: Severity Status Subject TimeSpent Workgroup WorkgroupDescription
        date: ClosingDate DateReported LastActivityDate LastIncomingActivity LastOutgoingActivity SLA LastModifiedDateTime
        int: ContactID
        bool: Billable ManualOverride
        guid: NoteID
        list: Activities Attributes RelatedCases Relations
    """,
    "Event": _ACTIVITY
    + """
        string: Location ShowAs
        date24: EndDate EndTime
        date25: EndDateTime
        bool: AllDay
        list: Attendees RelatedActivities
    """,
    "Task": _ACTIVITY
    + """
        string: Owner ParentSummary WorkgroupID
        date: CompletedAt DueDate
        int: CompletionPercentage
        guid: Parent
        list: RelatedActivities RelatedTasks
    """,
    "Appointment": """
        string: ActualDuration ActualServiceDuration AppointmentNbr BranchLocation Customer DefaultProjectTask Description
        string: EstimatedServiceDuration Location OptimizationResult Project ScheduledDuration ServiceOrderNbr
        string: ServiceOrderType Status WorkflowStage
        date: ActualEndDate ActualEndTime ActualStartDate ActualStartTime LastModifiedDateTime
        date: ScheduledEndDate ScheduledEndTime ScheduledStartDate ScheduledStartTime
        bool: ActualHandleManually Confirmed Finished Hold Override ScheduledHandleManually UnreachedCustomer
        bool: ValidatedbyDispatcher WaitingforPurchasedItems
        number: AppointmentTotal CostTotal Profit TaxTotal
        list: Attributes Details Logs Prepayments Profitability ResourceEquipment Staff TaxDetails
        record: FinancialSettings OtherInformation Totals
    """,
}
_SYSTEM = {"id", "rowNumber", "note", "custom", "error", "files", "_links", "delete"}

# Type of a custom field in JSON, by its name in the contract.
_CUSTOM_KINDS = {
    "CustomStringField": "string",
    "CustomBooleanField": "bool",
    "CustomDateTimeField": "date",
    "CustomDecimalField": "number",
    "CustomDoubleField": "number",
    "CustomIntField": "int",
    "CustomShortField": "int",
    "CustomLongField": "int",
    "CustomByteField": "int",
    "CustomGuidField": "guid",
}


def _is_date(value: Any) -> bool:
    try:
        return bool(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        return False


def is_guid(value: Any) -> bool:
    """Whether a value is a GUID in its usual form."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) is not None


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "date": _is_date,
    "guid": is_guid,
}


def _schema(entity: str, version: str) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for line in _SCHEMAS[entity].strip().splitlines():
        kind, _, names = line.strip().partition(": ")
        own = kind[-2:] if kind[-2:].isdecimal() else ""
        if own in {"", version[:2]}:
            kinds |= dict.fromkeys(names.split(), kind.removesuffix(own))
    return kinds


SCHEMAS = {(entity, version): _schema(entity, version) for entity in _SCHEMAS for version in VERSIONS}


@dataclass(frozen=True)
class CustomField:
    """A user-defined field (`Attribute` + its id) or a `Usr` field of a customization."""

    view: str
    name: str
    type: str = "CustomStringField"
    max_length: int = 255


@dataclass
class Record:
    """A record; `id` is its NoteID. Values stand without the `{"value": …}` around them, details as they were sent."""

    entity: str
    id: str
    fields: Fields = field(default_factory=dict)
    custom: dict[tuple[str, str], Any] = field(default_factory=dict)

    def key(self) -> tuple[str, ...]:
        """The key values, as they are compared: keys of segments are padded, and case does not matter."""
        return tuple(folded(self.fields.get(name)) for name in KEYS[self.entity])


def folded(value: Any) -> str:
    """A key value as it is compared."""
    return str(value or "").strip().casefold()


def http_error(status: int, message: str, kind: str = "PX.Data.PXException") -> Refused:
    """HttpError of the contract-based API."""
    body = {
        "message": "An error has occurred.",
        "exceptionMessage": message,
        "exceptionType": kind,
        "stackTrace": "   at PX",
    }
    return Refused(Reply(status, body))


def bad_request(name: str, message: str) -> Refused:
    """400 for a body that is no entity of the contract."""
    return Refused(Reply(400, {"message": "The request is invalid.", "modelState": {f"entity.{name}": [message]}}))


def parse(entity: str, version: str, body: Any) -> tuple[Fields, Fields]:
    """The fields and the custom fields of a body, as they were sent. Raises 400 where it does not follow the contract."""
    if not isinstance(body, dict):
        raise bad_request("", "An entity is required in the body.")
    schema = SCHEMAS[entity, version]
    fields = {name: value for name, value in body.items() if name not in _SYSTEM}
    for name, value in fields.items():
        kind = schema.get(name)
        if kind is None:
            raise bad_request(name, f"Entity {entity} of endpoint Default {version} has no field {name}.")
        if kind in {"list", "record"}:
            if not isinstance(value, list if kind == "list" else dict):
                raise bad_request(name, "Unexpected form of a detail or linked entity.")
        elif not isinstance(value, dict) or not value.keys() <= {"value", "error"}:
            raise bad_request(name, 'Unexpected form of a field; expected {"value": …}.')
        elif value.get("value") is not None and not _KINDS[kind](value["value"]):
            raise bad_request(name, f"Could not convert the value to {kind}.")
    custom = body.get("custom", {})
    if not isinstance(custom, dict) or not all(isinstance(view, dict) for view in custom.values()):
        raise bad_request("custom", "Unexpected form of custom fields.")
    return fields, custom


def apply(record: Record, fields: Fields, custom: Fields, declared: Iterable[CustomField], attributes: set[str]) -> bool:
    """Write what differs; True if anything did. Raises 422 (the entity and its errors) or 500, with nothing written."""
    known = {(item.view, item.name): item for item in declared}
    errors: Fields = {}
    new = copy.deepcopy(record)
    for name, value in fields.items():
        if name == "Attributes":
            new.fields[name] = _attributes(new.fields.get(name, []), value, attributes, errors)
        elif "value" in value:
            new.fields[name] = value["value"]
        else:
            new.fields[name] = value
    for view, members in custom.items():
        for name, value in members.items():
            _set_custom(new, known.get((view, name)), f"{view}.{name}", value, errors)
    required = _REQUIRED.get(record.entity)
    if required and not new.fields.get(required):
        errors[required] = {"value": None, "error": f"'{required}' cannot be empty."}
    if errors:
        # The entity comes back, with `error` on it and on what is wrong.
        message = f"Updating '{record.entity}' record raised at least one error. Please review the errors."
        raise Refused(Reply(422, {"id": record.id, "rowNumber": 1, "error": message, **errors}))
    changed = new != record
    if changed:
        new.fields["LastModifiedDateTime"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}+00:00"
    record.fields, record.custom = new.fields, new.custom
    return changed


def shown(record: Record, version: str, declared: Iterable[CustomField], wanted: Mapping[str, set[str]]) -> Fields:
    """A record in the contract's shape: details only where expanded, custom fields only where asked for."""
    schema = SCHEMAS[record.entity, version]
    body: Fields = {"id": record.id, "rowNumber": 1, "note": {"value": ""}}
    for name, kind in schema.items():
        if kind in {"list", "record"}:
            if name in wanted["expand"]:
                body[name] = record.fields.get(name, [] if kind == "list" else {})
        elif not wanted["select"] or name in wanted["select"]:
            value = _answered(kind, record.fields.get(name))
            body[name] = {} if value is None else {"value": value}
    body["custom"] = {}
    for item in declared:
        if wanted["custom"] & {f"{item.view}.{item.name}", "*"}:
            value = _answered(_CUSTOM_KINDS[item.type], record.custom.get((item.view, item.name)))
            body["custom"].setdefault(item.view, {})[item.name] = {"type": item.type, "value": value}
    return body


def _answered(kind: str, value: Any) -> Any:
    """A value as answers have it: dates carry an offset, whatever form they were sent in (topic DateTimeValue)."""
    if kind != "date" or value is None:
        return value
    moment = datetime.fromisoformat(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _attributes(old: list[Fields], new: list[Fields], known: set[str], errors: Fields) -> list[Fields]:
    """Class attributes are details, found by AttributeID (Attribute in appointments)."""
    rows = {_attribute_id(row): row for row in old}
    for row in new:
        name = _attribute_id(row)
        if name not in known:
            message = f"Attribute '{name}' cannot be found in the system."
            errors.setdefault("Attributes", []).append({"AttributeID": {"value": name, "error": message}})
        rows[name] = rows.get(name, {"id": str(uuid.uuid4()), "rowNumber": len(rows) + 1}) | row
    return list(rows.values())


def _attribute_id(row: Fields) -> str:
    return str((row.get("AttributeID") or row.get("Attribute") or {}).get("value"))


def _set_custom(record: Record, known: CustomField | None, name: str, sent: Any, errors: Fields) -> None:
    """Views and fields that do not exist are an error of the request; a value that does not fit is one of the record."""
    if known is None:
        kind = "System.Collections.Generic.KeyNotFoundException"
        raise http_error(500, f"The custom field {name} does not exist; see $adHocSchema of the entity.", kind)
    if not isinstance(sent, dict) or sent.get("type", known.type) != known.type:
        raise bad_request(f"custom.{name}", f"The field is a {known.type}.")
    value = sent.get("value")
    if value is not None and not _KINDS[_CUSTOM_KINDS[known.type]](value):
        raise bad_request(f"custom.{name}", f"Could not convert the value to {known.type}.")
    if isinstance(value, str) and len(value) > known.max_length:
        message = f"The string value provided exceeds the field '{known.name}' length."
        field_error = {"type": known.type, "value": value, "error": message}
        errors.setdefault("custom", {}).setdefault(known.view, {})[known.name] = field_error
    record.custom[known.view, known.name] = value
