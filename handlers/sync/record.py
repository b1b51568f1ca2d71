"""What an Acumatica record is told of its event: the write-back, and the ids that rows hold."""

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

from handlers.sync.errors import Code, Permanent
from handlers.sync.mapping import DETAILS, EVENT_ID, OUTLOOK, Mapping
from handlers.sync.template import Row, Template, as_text
from handlers.sync.text import one_line

MAYBE = "(not known)"  # in place of a reason that may stand in a record
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENT_ID = re.compile(r"[A-Za-z0-9_=+/-]{20,1000}")
_REASON_MAX = 250


@dataclass(frozen=True)
class RecordUpdate:
    """A PUT to Acumatica: the path below /entity/ and the body in the shape of the contract-based REST API."""

    path: str
    body: dict[str, Any]

    @property
    def target(self) -> str:
        """The path with what makes the answer show all that was written: custom fields and details come where asked for."""
        custom = [f"{view}.{member}" for view, members in self.body.get("custom", {}).items() for member in members]
        asked = [f"$custom={','.join(custom)}"] if custom else []
        asked += ["$expand=Attributes"] if "Attributes" in self.body else []
        return self.path + (f"?{'&'.join(asked)}" if asked else "")


def adopted_id(mapping: Mapping, row: Row) -> str | None:
    """The id of an event that an earlier integration has made for the row."""
    found = mapping.adopt.render(row) if mapping.adopt else ""
    return found if _EVENT_ID.fullmatch(found) else None


def record_id(mapping: Mapping, row: Row) -> str:
    """The id (NoteID) of the record that write-back goes to; empty where nothing is written back."""
    return mapping.write_back.id.render(row) if mapping.write_back else ""


def names_record(text: str | None) -> bool:
    """Whether a text can be the id of a record."""
    return bool(text and _GUID.fullmatch(text))


def reports(mapping: Mapping) -> bool:
    """Whether failures are written into the record."""
    return "reason" in mapping.results


def tells_of_outlook(mapping: Mapping) -> bool:
    """Whether what people did to the event is written into the record."""
    return bool(OUTLOOK & mapping.results)


def wants_details(mapping: Mapping) -> bool:
    """Whether the record is told more of the event than its id."""
    return bool(DETAILS & mapping.results)


def record_update(mapping: Mapping, record: str, results: MappingOf[str, str] | None) -> RecordUpdate:
    """The write-back of `results` (by placeholder) into a record; fields that need others are let alone; None empties all.

    Raises Permanent without a usable record id.
    """
    target = mapping.write_back
    if not target:
        raise ValueError("this mapping writes nothing back")
    if not names_record(record):
        wrong = "is empty" if not record else "is no GUID"
        made = f", made of {' and '.join(target.id.columns)}," if target.id.columns else ""
        raise Permanent(
            Code.ROW_UNUSABLE,
            f"The mapping's write_back.id{made} {wrong} in this row.",
            "Use the column with the record's NoteID.",
        )
    body: dict[str, Any] = {"id": record}
    for name, field in target.fields.items():
        template = field.value if isinstance(field.value, Template) else None
        needed = (template and template.columns) or (EVENT_ID,)
        if results is not None and not set(needed) <= results.keys():
            continue
        kind, value = field.type or _custom_type(field.value), field.value
        if template:
            value = template.render(dict(results)) if results is not None else ""
        elif results is None:
            value = None
        match name.split("."):
            case ["custom", view, member]:
                empty = template is not None and not value and kind != "CustomStringField"
                body.setdefault("custom", {}).setdefault(view, {})[member] = {
                    "type": kind,
                    "value": None if empty else value,
                }
            case ["Attributes", attribute]:
                # Appointments name it otherwise: swagger.json of the endpoint Default
                key = "Attribute" if target.entity == "Appointment" else "AttributeID"
                text = value if isinstance(value, str) else as_text(value)
                body.setdefault("Attributes", []).append({key: {"value": attribute}, "Value": {"value": text}})
            case _:
                body[name] = {"value": value}
    return RecordUpdate(f"{target.endpoint}/{target.entity}", body)


def short_reason(reason: str) -> str:
    """A reason that fits a field of Acumatica."""
    reason = one_line(reason)
    return reason if len(reason) <= _REASON_MAX else reason[: _REASON_MAX - 1] + "…"


def _custom_type(value: Any) -> str:
    if isinstance(value, bool):
        return "CustomBooleanField"
    if isinstance(value, int):
        return "CustomIntField"
    return "CustomDecimalField" if isinstance(value, float) else "CustomStringField"
