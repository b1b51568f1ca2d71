"""The records of a site, and its custom fields."""

import copy
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from local.fakes.acumatica import records
from local.fakes.acumatica.records import KEYS, SCHEMAS, VERSIONS, CustomField, Fields, Record, bad_request, http_error
from local.fakes.acumatica.switches import AcumaticaSwitches
from local.fakes.calls import Refused


class Records:
    """Records by entity and id, found by their keys as well. Values are plain; `custom.View.Field` names a custom field."""

    lock: threading.RLock
    switches: AcumaticaSwitches

    def __init__(self) -> None:
        self.attributes = {"CALEVT"}
        self.custom_fields = {
            "Opportunity": [CustomField("Opportunity", "AttributeCALEVT"), CustomField("Opportunity", "UsrCalendarEventId")],
            "Case": [CustomField("Case", "AttributeCALEVT"), CustomField("Case", "UsrCalendarEventId")],
            "Event": [CustomField("Events", "UsrCalendarEventId")],
            "Task": [CustomField("Tasks", "UsrCalendarEventId")],
            "Appointment": [CustomField("AppointmentRecords", "UsrCalendarEventId")],
        }
        self._records: dict[str, dict[str, Record]] = {entity: {} for entity in KEYS}
        self._keys: dict[tuple[str, tuple[str, ...]], str] = {}
        self._numbers = 0

    # -- for tests and demos -------------------------------------------------------------------------------------------

    def declare(self, entity: str, view: str, name: str, type_: str = "CustomStringField", max_length: int = 255) -> None:
        """Add a custom field."""
        self.custom_fields[entity].append(CustomField(view, name, type_, max_length))

    def put_record(self, entity: str, fields: Mapping[str, Any], id: str | None = None) -> str:  # noqa: A002
        """Make a record, or replace it; returns its id."""
        with self.lock:
            record = Record(entity, (id or str(uuid.uuid4())).lower())
            if record.id in self._records[entity]:
                self.delete_record(entity, record.id)
            _assign(record, fields)
            self._store(record)
            return record.id

    def change_record(self, entity: str, id: str, fields: Mapping[str, Any]) -> None:  # noqa: A002
        """Change some fields of a record."""
        with self.lock:
            record = self._records[entity][id.lower()]
            self._keys.pop((entity, record.key()), None)
            _assign(record, fields)
            self._store(record)

    def delete_record(self, entity: str, id: str) -> None:  # noqa: A002
        """Delete a record."""
        with self.lock:
            record = self._records[entity].pop(id.lower())
            self._keys.pop((entity, record.key()), None)

    def record(self, entity: str, id: str) -> Fields | None:  # noqa: A002
        """A record in the contract's shape, with all its details and custom fields; None if there is none."""
        with self.lock:
            record = self._records[entity].get(id.lower())
            return self.whole(record) if record else None

    def records(self, entity: str) -> list[Fields]:
        """All records of an entity."""
        with self.lock:
            return [self.whole(record) for record in self._records[entity].values()]

    # -- for the API ---------------------------------------------------------------------------------------------------

    def whole(self, record: Record) -> Fields:
        """All that a record holds."""
        everything = {"select": set[str](), "custom": {"*"}, "expand": set(SCHEMAS[record.entity, VERSIONS[-1]])}
        shown = records.shown(record, VERSIONS[-1], self.custom_fields[record.entity], everything)
        older = {name: {"value": value} for name, value in record.fields.items() if name not in shown}
        return copy.deepcopy({**shown, **older})

    def all(self, entity: str) -> list[Record]:
        """The records that the endpoint finds."""
        return [record for record in self._records[entity].values() if record.id not in self.switches.hidden]

    def find(self, entity: str, record_id: Any, fields: Fields) -> Record | None:
        """By `id`, else by all key fields."""
        if record_id is not None:
            if not records.is_guid(record_id):
                raise bad_request("id", f"Error converting value '{record_id}' to type 'System.Guid'.")
            return self._by_id(entity, record_id)
        if not set(KEYS[entity]) <= fields.keys():
            return None
        return self._by_key(entity, [fields[name].get("value") for name in KEYS[entity]])

    def get(self, entity: str, keys: list[str] | tuple[str, ...]) -> Record:
        """By id or key values. Raises 500, not 404, where there is none."""
        record = self._by_id(entity, keys[0]) if len(keys) == 1 else None
        record = record or self._by_key(entity, keys)
        if record is None:
            raise no_entity()
        return record

    def new(self, entity: str) -> Record:
        """A record that is not stored yet, with the keys that numbering gives it."""
        self._numbers += 1
        record = Record(entity, str(uuid.uuid4()))
        record.fields = {name: record.id if name == "NoteID" else f"NEW{self._numbers:06}" for name in KEYS[entity]}
        return record

    def write(self, record: Record, fields: Fields, custom: Fields) -> bool:
        """Write what differs, and store the record; True if anything did. Raises Refused."""
        key = record.entity, record.key()
        changed = records.apply(record, fields, custom, self.custom_fields[record.entity], self.attributes)
        if self._keys.get(key) == record.id:
            del self._keys[key]
        self._store(record)
        return changed

    def _by_key(self, entity: str, values: list[Any] | tuple[Any, ...]) -> Record | None:
        key = tuple(records.folded(value) for value in values)
        return self._by_id(entity, self._keys.get((entity, key), ""))

    def _by_id(self, entity: str, record_id: str) -> Record | None:
        record = self._records[entity].get(record_id.lower())
        return None if record and record.id in self.switches.hidden else record

    def _store(self, record: Record) -> None:
        record.fields.setdefault("NoteID", record.id)
        self._records[record.entity][record.id] = record
        self._keys[record.entity, record.key()] = record.id


def no_entity() -> Refused:
    """What Acumatica says of a record that it does not find."""
    return http_error(
        500, "No entity satisfies the condition.", "PX.Api.ContractBased.NoEntitySatisfiesTheConditionException"
    )


def _assign(record: Record, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name.startswith("custom."):
            _, view, custom = name.split(".")
            record.custom[view, custom] = value
        else:
            record.fields[name] = value
