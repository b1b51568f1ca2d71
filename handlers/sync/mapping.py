"""Mappings: which inquiry becomes which event in whose calendar, or which messages to whom, as data (one TOML file each).

Columns, templates and conditions only: nothing computes here, since the Generic Inquiry can. How a file is read stands in
mapping_file.py, how a row is rendered in event.py, where a mapping is active in scope.py. `python -m local.docs` makes
docs/mapping.schema.json of these models, for editors.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, field_validator

from handlers.sync.change import KEY_MAX
from handlers.sync.mapping_conditions import Conditions
from handlers.sync.mapping_event import EventChanges, EventTemplate
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.mapping_values import (
    SCALAR_SCHEMA,
    LocaleName,
    PlainText,
    Scalar,
    Table,
    Text,
    ZoneName,
    as_it_is,
    scalar,
)
from handlers.sync.template import MissingColumns, Row, Template, as_text, folded, pick

_SYSTEM_FIELDS = {"id", "rowNumber", "delete", "custom", "Attributes", "note"}  # of an entity in JSON; no plain fields
EVENT_ID = "event_id"
ANSWER_ID = "answer.id"  # of a relay: in the receiver's answer
DETAILS = {"webLink", "iCalUId", "joinUrl"}  # of an event; Graph has to be asked for them
OUTLOOK = {"outlook_status", "outlook_start", "outlook_end", "responses"}  # what a look at the calendar shows
RESULTS = {EVENT_ID, ANSWER_ID, "reason", *DETAILS, *OUTLOOK}  # what write_back can write, and nothing else can use
LINK = "link"  # the one placeholder of `footer`
ELSE = "*"  # in [values]: every other label
NOT_KEYS = {"name"}  # of a mapping; told by its file's name


def _as_field(value: Any) -> Any:
    return value if isinstance(value, dict) else {"value": value}


def _field_value(value: Any) -> Any:
    return Template.parse(value) if isinstance(value, str) else scalar(value)


_CUSTOM_TYPES = (
    "CustomStringField",
    "CustomBooleanField",
    "CustomDateTimeField",
    "CustomDecimalField",
    "CustomDoubleField",
    "CustomIntField",
    "CustomShortField",
    "CustomLongField",
    "CustomByteField",
    "CustomGuidField",
)


class WrittenField(Table):
    """What one field of the record gets."""

    value: Annotated[Any, BeforeValidator(_field_value), SCALAR_SCHEMA] = Field(
        description="Template of `{event_id}`, `{webLink}`, `{iCalUId}`, `{joinUrl}`, `{reason}`; or of what people did in "
        "Outlook: `{outlook_status}`, `{outlook_start}`, `{outlook_end}`, `{responses}`; of a relay, `{answer.id}` and "
        "`{reason}`; or true, false, a number."
    )
    type: Literal[_CUSTOM_TYPES] | None = Field(  # type: ignore[valid-type]
        None, description="Type of a custom field, where it does not follow from the value; `$adHocSchema` tells it."
    )


class WriteBackTemplate(Table):
    """Which record of Acumatica's contract-based API is told of its event, and in which fields."""

    endpoint: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+/[0-9]+\.[0-9]+\.[0-9]+$",
        description="Contract-based endpoint with its version.",
        examples=["Default/24.200.001"],
    )
    entity: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Entity of that endpoint.", examples=["SalesOrder"])
    id: Text = Field(description="Column with the record's `NoteID`.")
    fields: dict[
        str, Annotated[WrittenField, BeforeValidator(_as_field, json_schema_input_type=str | bool | float | WrittenField)]
    ] = Field(
        min_length=1,
        description="`custom.<View>.Attribute<ID>` (user-defined field), `custom.<View>.Usr…` (custom field), "
        "`Attributes.<ID>` (class attribute) or a field of the entity.",
    )

    @field_validator("fields")
    @classmethod
    def _known_form(cls, fields: dict[str, WrittenField]) -> dict[str, WrittenField]:
        form = (
            'has to be "custom.<View>.<Field>" (user-defined and Usr fields), "Attributes.<ID>" (class attributes)'
            " or a field of the entity"
        )
        problems = []
        for name, field in fields.items():
            if not re.fullmatch(r"custom\.\w+\.\w+|Attributes\.\w+|\w+", name) or name in _SYSTEM_FIELDS:
                problems.append(f'"{name}": {form}')
            if field.type and not name.startswith("custom."):
                problems.append(f'"{name}": only custom fields have a type')
            known = ", ".join(f"{{{result}}}" for result in sorted(RESULTS))
            used = field.value.columns if isinstance(field.value, Template) else ()
            problems += [
                f'"{name}": {{{column}}} cannot be written back; what can: {known}'
                for column in used
                if column not in RESULTS
            ]
            if OUTLOOK.intersection(used) and not OUTLOOK.issuperset(used):
                problems.append(f'"{name}": what is seen in Outlook has to stand alone')
        if problems:
            raise ValueError("; ".join(problems))
        return fields


class On(Table):
    """What changes and removals of a row lead to."""

    update: Literal["update", "ignore"] = Field(
        "update", description="`ignore`: once an event is made, later changes of the row leave it as it is."
    )
    delete: Literal["delete", "cancel", "keep"] = Field(
        "delete", description="`cancel`: attendees are told `comment`; `keep`: the event stays."
    )
    past: Literal["delete", "keep"] = Field(
        "delete", description="`keep`: an event that is over when its row leaves stays, whatever `delete` says."
    )
    comment: PlainText = Field("Cancelled in Acumatica.", description="What a cancellation says.")
    moved: Literal["restore", "report", "ignore"] = Field(
        "ignore",
        description="Someone moves the event in Outlook. `restore`: it gets its times again; `report`: its record is told.",
    )
    deleted: Literal["restore", "report", "ignore"] = Field(
        "ignore", description="Someone deletes it in Outlook. `restore`: it is made again; `report`: its record is told."
    )
    clear: bool = Field(default=False, description="`true`: when a row is removed, the fields of `write_back` are emptied.")


class Sweep(Table):
    """What a sweep, a complete read of the inquiry, may do."""

    mode: Literal["off", "report", "upsert", "full"] = Field(
        "report", description="`report`: say what differs; `upsert`: add and change events; `full`: remove them, too."
    )
    inquiry: PlainText | None = Field(None, description="The inquiry's name in OData, where it is not `query`.")


class Days(Table):
    """How far back."""

    days: int = Field(ge=0, le=3660, description="Events that began so many days ago at most, and all to come.")


type _Rows = Annotated[
    Annotated[Literal["future", "all"], Tag("text")] | Annotated[Days, Tag("since")],
    Discriminator(lambda value: "since" if isinstance(value, dict | Days) else "text"),
]


class Backfill(Table):
    """Which rows that never came in a notification get an event by a sweep."""

    rows: _Rows = Field("future", description="`future`: whose event is not over; `all`; or `{ days = … }`.")
    invite: bool = Field(default=False, description="`true`: events with attendees are made, too. Outlook mails them.")


class Shape(Table):
    """How an event is shown for some of the rows."""

    when: Conditions = Field(min_length=1, description="Which rows: a condition per column; all have to hold.")
    event: EventChanges = Field(description="Properties of `[event]` that are other ones for these rows.")


class Mapping(Table):
    """One mapping file. Its name is the file's; it is part of every event's identity."""

    name: str
    query: str = Field(
        min_length=1, description="Title of the Generic Inquiry (or class name of the built-in definition) that this is for."
    )
    key: list[str] = Field(min_length=1, description="Columns that together identify a row; tied to the file's name.")
    mailbox: Text = Field(
        description="E-mail address (user principal name) or object id of the mailbox; it may be a shared one."
    )
    calendar: Text | None = Field(None, description="Name or id of a calendar in the mailbox; without it, the default one.")
    time_zone: ZoneName = Field(description="Zone of the date columns, as a Windows or IANA name, or a column with one.")
    locale: LocaleName = Field("en-US", description="Language and country of dates and numbers in texts, such as `de-DE`.")
    attributes: list[str] = Field(
        default_factory=list, description="Columns that are attributes (user-defined fields): null keeps the known value."
    )
    default_minutes: int = Field(60, ge=1, le=14 * 1440, description="Length of an event without an end (all day: one day).")
    adopt: Text | None = Field(
        None,
        description="Column with the id of an event that an earlier integration made; it is taken over, not made again.",
    )
    link: Text | None = Field(
        None,
        description="Address of the record, for `footer` and the runs page; from the site's root, such as "
        "`Main?ScreenId=CR306000&…`.",
    )
    footer: Text | None = Field(None, description="Last line of the body; `{link}` is the address of the record.")
    event: EventTemplate
    relay: RelayTemplate | None = None
    when: Conditions = Field(
        default_factory=dict, description="Which rows are in the calendar: a condition per column; all have to hold."
    )
    values: dict[str, dict[str, Scalar]] = Field(
        default_factory=dict,
        description='Per column: what its labels stand for. `"*"` stands for every other label, `""` for an empty one.',
    )
    shape: list[Shape] = Field(
        default_factory=list,
        description="What of `[event]` is another way for some rows; of several `[[shape]]`, the first that fits counts.",
    )
    on: On = Field(default_factory=On, description="What changes and removals lead to.")
    sweep: Sweep = Field(default_factory=Sweep, description="What a sweep may do.")
    backfill: Backfill = Field(default_factory=Backfill, description="Which existing rows get an event.")
    write_back: WriteBackTemplate | None = None

    @field_validator("key")
    @classmethod
    def _distinct_key(cls, key: list[str]) -> list[str]:
        if len({folded(column) for column in key}) < len(key) or not all(map(folded, key)):
            raise ValueError("has to name each key column once")
        for column in key:
            as_it_is(column)
        return key

    @cached_property
    def results(self) -> set[str]:
        """What of an event, or of a failure, is written back: placeholders of RESULTS."""
        fields = self.write_back.fields.values() if self.write_back else ()
        return {name for f in fields if isinstance(f.value, Template) for name in f.value.columns}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns that the mapping reads, each once, the key columns first."""
        shapes = [shape.event for shape in self.shape]
        parts = (self.mailbox, self.event, shapes, self.write_back and self.write_back.id, self.calendar, self.time_zone)
        templates = [template for part in (*parts, self.adopt, self.link, self.relay) for template in _templates(part)]
        conditions = [*self.when, *(column for shape in self.shape for column in shape.when)]
        named = [*self.attributes, *self.values] if self.whole else []
        return tuple(dict.fromkeys([*self.key, *(column for t in templates for column in t.columns), *conditions, *named]))

    @property
    def whole(self) -> bool:
        """Whether every column of the row is read, since a relay tells of all of them."""
        return self.relay is not None and not self.relay.fields

    def key_of(self, row: Row) -> tuple[str, ...]:
        """The row's key values, trimmed, since Acumatica pads segmented keys. Raises MissingColumns."""
        values = pick(row, self.key)
        empty = [column for column in self.key if not as_text(values[column])]
        if empty:
            raise MissingColumns(f"The key column {empty[0]} is empty in this row.")
        key = tuple(as_text(values[column]) for column in self.key)
        if sum(map(len, key)) > KEY_MAX:
            raise MissingColumns(f"The key ({', '.join(self.key)}) has more than {KEY_MAX} characters.")
        return key

    def pick(self, row: Row) -> Row:
        """The columns that the mapping reads; a relay without fields reads all that there are. Raises MissingColumns."""
        picked = pick(row, self.columns)
        if not self.whole:
            return picked
        named = set(map(folded, picked))
        return picked | {name: value for name, value in row.items() if folded(name) not in named}

    def matches(self, row: Row) -> bool:
        """Whether a row (of picked columns) belongs into the calendar."""
        return _hold(self.when, row)

    def shaped(self, row: Row) -> "Mapping":
        """The mapping with the event of the shape that fits a row (of picked columns, not translated yet)."""
        return next((mapping for conditions, mapping in self._shapes if _hold(conditions, row)), self)

    @cached_property
    def _shapes(self) -> "list[tuple[Conditions, Mapping]]":
        if not self.shape:
            return []
        said = {name for shape in self.shape for name in shape.event.model_fields_set} | self.event.model_fields_set
        changes = [*((shape.when, shape.event) for shape in self.shape), ({}, EventChanges())]
        return [(when, self.model_copy(update={"event": self.event.changed(event, said)})) for when, event in changes]


def _hold(conditions: Conditions, row: Row) -> bool:
    return all(condition.holds(row.get(column)) for column, condition in conditions.items())


def _templates(part: Any) -> Iterator[Template]:
    """All templates in a part of a mapping."""
    match part:
        case Template():
            yield part
        case BaseModel():
            for name in type(part).model_fields:
                yield from _templates(getattr(part, name))
        case list():
            for item in part:
                yield from _templates(item)
        case dict():
            yield from _templates([*part.values()])
