"""Mappings: which inquiry becomes which event in whose calendar, as data (one TOML file each).

Columns, templates and conditions only: nothing computes here, since the Generic Inquiry can. How a row is rendered stands in
event.py. `python -m local.docs` makes docs/mapping.schema.json of these models, for editors.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    field_validator,
)
from tzlocal.windows_tz import tz_win, win_tz

from handlers.sync.template import PLACEHOLDER, MissingColumns, Row, Template, as_text, folded, pick

# Graph takes a Windows name everywhere; of the IANA names only some (https://learn.microsoft.com/graph/api/resources/datetimetimezone).
_WINDOWS_NAMES = {name.casefold(): name for name in win_tz} | {"utc": "UTC"}
_SYSTEM_FIELDS = {"id", "rowNumber", "delete", "custom", "Attributes", "note"}  # of an entity in JSON; no plain fields
EVENT_ID = "event_id"
RESULTS = {EVENT_ID, "webLink", "iCalUId", "reason"}  # what write_back can write, and nothing else can use
LINK = "link"  # the one placeholder of `footer`
ELSE = "*"  # in [values]: every other label
NOT_KEYS = {"name", "site", "test_mailbox"}  # of a mapping; told by its file's name and by settings


class MappingProblems(Exception):
    """Everything that is wrong with mapping files."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def windows_zone(zone: str) -> str:
    """The Windows name of a time zone. Raises ValueError with the nearest name."""
    if known := _WINDOWS_NAMES.get(zone.casefold()):
        return known
    if zone and zone in tz_win:  # (it has a name for nothing)
        return str(tz_win[zone])
    near = difflib.get_close_matches(zone, [*_WINDOWS_NAMES.values(), *tz_win], 1, 0.6)
    raise ValueError(f"{zone!r} is no Windows or IANA time zone{f'; did you mean {near[0]!r}?' if near else ''}")


def _zone(template: Template) -> Template:
    return template if template.columns else Template.parse(windows_zone(template.render({})))


def _literal(value: Any, kind: type, words: str) -> Template:
    """A value that is a `{Column}`, or a literal of a kind."""
    if isinstance(value, Template):
        return value
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        if isinstance(value, int) and value < 0:
            raise ValueError("cannot be negative")
        return Template.parse(as_text(value))
    if not isinstance(value, str) or not Template.parse(value).columns:
        raise ValueError(f"has to be {words} or a {{Column}}")
    return Template.parse(value)


def _among(names: tuple[str, ...]) -> AfterValidator:
    """For a template whose text is one of Graph's names."""

    def check(template: Template) -> Template:
        if not template.columns and template.source not in names:
            near = difflib.get_close_matches(template.source, names, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{template.source!r} is none of {', '.join(names)}{meant}")
        return template

    return AfterValidator(check)


def _literal_or_column(literal: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [literal, {"type": "string", "pattern": r"\{.+\}"}]})


type _Template = Annotated[Template, BeforeValidator(Template.parse), WithJsonSchema({"type": "string"})]
type _Zone = Annotated[Template, BeforeValidator(Template.parse), AfterValidator(_zone), WithJsonSchema({"type": "string"})]
type _Flag = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, bool, "true, false")),
    _literal_or_column({"type": "boolean"}),
]
type _Minutes = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, int, "a whole number")),
    _literal_or_column({"type": "integer", "minimum": 0}),
]

SHOW_AS = ("free", "tentative", "busy", "oof", "workingElsewhere", "unknown")
SENSITIVITY = ("normal", "personal", "private", "confidential")
IMPORTANCE = ("low", "normal", "high")
ATTENDEE_TYPES = ("required", "optional", "resource")
_AsText = BeforeValidator(Template.parse)
type _ShowAs = Annotated[Template, _AsText, _among(SHOW_AS), _literal_or_column({"enum": list(SHOW_AS)})]
type _Sensitivity = Annotated[Template, _AsText, _among(SENSITIVITY), _literal_or_column({"enum": list(SENSITIVITY)})]
type _Importance = Annotated[Template, _AsText, _among(IMPORTANCE), _literal_or_column({"enum": list(IMPORTANCE)})]
type _AttendeeType = Annotated[Template, _AsText, _among(ATTENDEE_TYPES), _literal_or_column({"enum": list(ATTENDEE_TYPES)})]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        str_strip_whitespace=True,
        strict=True,
        defer_build=True,  # not before the first request
    )


class DateAndTime(_Model):
    """A date and a time in columns of their own."""

    date: _Template = Field(description="Column with the date.")
    time: _Template = Field(description="Column with the time; its date, if it has one, does not count.")


class Duration(_Model):
    """An end that is told by a length."""

    minutes: _Minutes = Field(description="Length in minutes (or as `1:30`), a number or a column.")


class Body(_Model):
    """https://learn.microsoft.com/graph/api/resources/itembody."""

    contentType: Literal["text", "html"] = Field("text", description="`text` or `html`.")
    content: _Template = Field(description="Template; in HTML, what columns hold is escaped.")


class Attendee(_Model):
    """https://learn.microsoft.com/graph/api/resources/attendee."""

    address: _Template = Field(description="One e-mail address, or several with `;` between them.")
    name: _Template | None = Field(None, description="Name that is shown; counts where there is one address.")
    type: _AttendeeType = Field(Template.parse("required"), description="`required`, `optional` or `resource`.")


def _form(value: Any) -> str:
    if isinstance(value, Duration) or (isinstance(value, dict) and "minutes" in value):
        return "length"
    return "table" if isinstance(value, dict | DateAndTime) else "text"


type _Start = Annotated[
    Annotated[_Template, Tag("text")] | Annotated[DateAndTime, Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, dict | DateAndTime) else "text"),
]
type _End = Annotated[
    Annotated[_Template, Tag("text")] | Annotated[DateAndTime, Tag("table")] | Annotated[Duration, Tag("length")],
    Discriminator(_form),
]
type _Body = Annotated[
    Body,
    BeforeValidator(
        lambda value: {"content": value} if isinstance(value, str) else value, json_schema_input_type=str | Body
    ),
]
type _Attendee = Annotated[
    Attendee,
    BeforeValidator(
        lambda value: {"address": value} if isinstance(value, str) else value, json_schema_input_type=str | Attendee
    ),
]


class EventTemplate(_Model):
    """Properties of Graph's event (https://learn.microsoft.com/graph/api/resources/event), by Graph's names."""

    subject: _Template = Field(description="At most 255 characters; longer ones are cut.")
    body: _Body | None = Field(None, description='Text, or `{ contentType = "html", content = "…" }`.')
    start: _Start = Field(description="Date and time column, or `{ date = …, time = … }`.")
    end: _End | None = Field(
        None, description="The same, or `{ minutes = … }`. Without one (or where it is empty), `default_minutes` counts."
    )
    isAllDay: _Flag = Field(
        Template.parse("false"), description="`true`: only the dates of start and end count; the end's day is the last one."
    )
    location: _Template | None = Field(None, description="Its display name.")
    attendees: list[_Attendee] = Field(
        default_factory=list,
        description="Who is invited: addresses or `{ address = …, name = …, type = … }`. **Outlook mails them; nothing can "
        "suppress that.**",
    )
    showAs: _ShowAs | None = Field(None, description=f"`{'`, `'.join(SHOW_AS)}`.")
    sensitivity: _Sensitivity | None = Field(None, description=f"`{'`, `'.join(SENSITIVITY)}`.")
    importance: _Importance | None = Field(None, description=f"`{'`, `'.join(IMPORTANCE)}`.")
    categories: list[_Template] = Field(
        default_factory=list, description="Names of categories; those that the mailbox has show in their colour."
    )
    isReminderOn: _Flag | None = Field(None, description="`true` or `false`.")
    reminderMinutesBeforeStart: _Minutes | None = Field(None, description="A whole number.")
    hideAttendees: _Flag | None = Field(None, description="`true`: attendees do not see each other.")


_SCALAR_SCHEMA = WithJsonSchema({"type": ["string", "boolean", "number"]})


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float):
        raise ValueError("has to be text, true, false or a number")  # noqa: TRY004  (what pydantic turns into a problem)
    return value


def _as_field(value: Any) -> Any:
    return value if isinstance(value, dict) else {"value": value}


def _field_value(value: Any) -> Any:
    return Template.parse(value) if isinstance(value, str) else _scalar(value)


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


class WrittenField(_Model):
    """What one field of the record gets."""

    value: Annotated[Any, BeforeValidator(_field_value), _SCALAR_SCHEMA] = Field(
        description="Template of `{event_id}`, `{webLink}`, `{iCalUId}`, `{reason}`; or true, false, a number."
    )
    type: Literal[_CUSTOM_TYPES] | None = Field(  # type: ignore[valid-type]
        None, description="Type of a custom field, where it does not follow from the value; `$adHocSchema` tells it."
    )


class WriteBackTemplate(_Model):
    """Which record of Acumatica's contract-based API is told of its event, and in which fields."""

    endpoint: str = Field(
        pattern=r"^[A-Za-z0-9_.-]+/[0-9]+\.[0-9]+\.[0-9]+$", description="Contract-based endpoint with its version."
    )
    entity: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Entity of that endpoint.")
    id: _Template = Field(description="Column with the record's `NoteID`.")
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
        if problems:
            raise ValueError("; ".join(problems))
        return fields


type _Scalar = Annotated[Any, BeforeValidator(_scalar), _SCALAR_SCHEMA]  # text, true, false or a number


def _as_condition(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("not"), list | None):
        return value
    if isinstance(value, dict):
        return value | {"not": [value["not"]]}
    return {"one_of": value if isinstance(value, list) else [value]}


class Condition(_Model):
    """What a column has to hold; several members have to be true together. Text is compared without regard to case."""

    one_of: list[_Scalar] | None = Field(None, min_length=1, description="One of these.")
    none_of: list[_Scalar] | None = Field(None, alias="not", min_length=1, description="None of these.")
    empty: bool | None = Field(None, description="`true`: has to be empty; `false`: must not be.")

    def holds(self, value: Any) -> bool:
        """Whether a column's value fulfils the condition."""
        text = _compared(value)
        return (
            (self.one_of is None or text in map(_compared, self.one_of))
            and (self.none_of is None or text not in map(_compared, self.none_of))
            and (self.empty is None or self.empty == (not text))
        )


class On(_Model):
    """What changes and removals of a row lead to."""

    update: Literal["update", "ignore"] = Field(
        "update", description="`ignore`: once an event is made, later changes of the row leave it as it is."
    )
    delete: Literal["delete", "cancel", "keep"] = Field(
        "delete", description="`cancel`: attendees are told `comment`; `keep`: the event stays."
    )
    comment: str = Field("Cancelled in Acumatica.", description="What a cancellation says.")
    clear: bool = Field(default=False, description="`true`: when a row is removed, the fields of `write_back` are emptied.")


_TEXT_OR_TABLE = WithJsonSchema(
    {
        "anyOf": [
            {"type": ["string", "boolean", "number"]},
            {"type": "array", "items": {"type": ["string", "boolean", "number"]}, "minItems": 1},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "not": {"type": ["string", "boolean", "number", "array"]},
                    "one_of": {"type": "array"},
                    "empty": {"type": "boolean"},
                },
            },
        ]
    }
)


class Mapping(_Model):
    """One mapping file. Its name is the file's; it is part of every event's identity."""

    name: str
    site: str = ""  # the address of the Acumatica site, for deep links
    test_mailbox: str = ""  # for a trial: where all events go, without attendees
    query: str = Field(
        min_length=1, description="Title of the Generic Inquiry (or class name of the built-in definition) that this is for."
    )
    key: list[str] = Field(min_length=1, description="Columns that together identify a row; tied to the file's name.")
    mailbox: _Template = Field(
        description="E-mail address (user principal name) or object id of the mailbox; it may be a shared one."
    )
    calendar: _Template | None = Field(
        None, description="Name or id of a calendar in the mailbox; without it, the default one."
    )
    time_zone: _Zone = Field(description="Zone of the date columns, as a Windows or IANA name, or a column with one.")
    attributes: list[str] = Field(
        default_factory=list, description="Columns that are attributes (user-defined fields): null keeps the known value."
    )
    default_minutes: int = Field(60, ge=1, le=14 * 1440, description="Length of an event without an end (all day: one day).")
    adopt: _Template | None = Field(
        None,
        description="Column with the id of an event that an earlier integration made; it is taken over, not made again.",
    )
    link: _Template | None = Field(
        None, description="Address of the record, for `footer`; from the site's root, such as `Main?ScreenId=CR306000&…`."
    )
    footer: _Template | None = Field(None, description="Last line of the body; `{link}` is the address of the record.")
    event: EventTemplate
    when: dict[str, Annotated[Condition, BeforeValidator(_as_condition), _TEXT_OR_TABLE]] = Field(
        default_factory=dict, description="Which rows are in the calendar: a condition per column; all have to hold."
    )
    values: dict[str, dict[str, _Scalar]] = Field(
        default_factory=dict,
        description='Per column: what its labels stand for. `"*"` stands for every other label, `""` for an empty one.',
    )
    on: On = Field(default_factory=On, description="What changes and removals lead to.")
    write_back: WriteBackTemplate | None = None

    @field_validator("key")
    @classmethod
    def _distinct_key(cls, key: list[str]) -> list[str]:
        if len({folded(column) for column in key}) < len(key) or not all(map(folded, key)):
            raise ValueError("has to name each key column once")
        return key

    @cached_property
    def results(self) -> set[str]:
        """What of an event, or of a failure, is written back: placeholders of RESULTS."""
        fields = self.write_back.fields.values() if self.write_back else ()
        return {name for f in fields if isinstance(f.value, Template) for name in f.value.columns}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns that the mapping reads, each once, the key columns first."""
        parts = (self.mailbox, self.event, self.write_back and self.write_back.id, self.calendar, self.time_zone)
        templates = [template for part in (*parts, self.adopt, self.link) for template in _templates(part)]
        return tuple(dict.fromkeys([*self.key, *(column for t in templates for column in t.columns), *self.when]))

    def key_of(self, row: Row) -> tuple[str, ...]:
        """The row's key values, trimmed, since Acumatica pads segmented keys. Raises MissingColumns."""
        values = pick(row, self.key)
        empty = [column for column in self.key if not as_text(values[column])]
        if empty:
            raise MissingColumns(f"The key column {empty[0]} is empty in this row.")
        return tuple(as_text(values[column]) for column in self.key)

    def pick(self, row: Row) -> Row:
        """The columns that the mapping reads. Raises MissingColumns."""
        return pick(row, self.columns)

    def matches(self, row: Row) -> bool:
        """Whether a row (of picked columns) belongs into the calendar."""
        return all(condition.holds(row.get(column)) for column, condition in self.when.items())


def load_mapping(name: str, text: str, site: str = "") -> Mapping:
    """Read one mapping file. Raises MappingProblems with all of them: file, line, key, what is wrong, and the remedy."""
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingProblems([f"{name}.toml: no TOML: {error}"]) from None
    try:
        problems: list[tuple[tuple[str, ...], str]] = [((), problem) for problem in _joint_problems(data)]
    except RecursionError:
        raise MappingProblems([f"{name}.toml: it is nested too deeply"]) from None
    try:
        mapping = Mapping(**{**data, "name": name, "site": site})
    except ValidationError as error:
        problems = [*_explain(error), *problems]
    else:
        if not problems:
            return mapping
    raise MappingProblems([f"{name}.toml{_line(text, keys)}: {problem}" for keys, problem in problems])


def load_mappings(files: Iterable[tuple[str, str]], site: str = "") -> dict[str, Mapping]:
    """Read (name, text) of all mapping files. Raises MappingProblems with those of all files, and those between files."""
    mappings: dict[str, Mapping] = {}
    problems: list[str] = []
    for name, text in files:
        try:
            mappings[name] = load_mapping(name, text, site)
        except MappingProblems as error:
            problems += error.problems
    names = Counter(name.casefold() for name in mappings)
    problems += [f"{name}.toml: another file has this name" for name in mappings if names[name.casefold()] > 1]
    unconditional: dict[str, str] = {}
    for name, mapping in mappings.items():
        if mapping.when:
            continue
        other = unconditional.setdefault(mapping.query.strip().casefold(), name)
        if other != name:
            problems.append(
                f"{name}.toml: query: {other}.toml is for the same inquiry, and neither has a [when]: every row would get an"
                " event of each; say with [when] which rows each of them is for"
            )
    if problems:
        raise MappingProblems(problems)
    return mappings


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


def _compared(value: Any) -> str:
    """A value as conditions compare it: numbers by their value, text without regard to case."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.15g}" if number else as_text(value).casefold()


def _joint_problems(data: Row) -> Iterator[str]:
    """What is wrong between the keys of a file, told from its raw values, so that it is found beside all else."""
    for name in sorted(NOT_KEYS & data.keys()):
        yield f"{name}: unknown key (a mapping's name is its file's; addresses are settings)"
    others = {name: value for name, value in data.items() if name not in {"write_back", "footer", "when", "values"}}
    texts = [*_texts(others), *_texts(_member(data.get("write_back"), "id"))]
    used = {match[1].strip() for text in texts for match in PLACEHOLDER.finditer(text) if match[1]}
    for result in sorted(RESULTS & used):
        yield f"{{{result}}} stands only in write_back.fields: elsewhere it would feed an event from its own id"
    yield from _footer_problems(data)
    attributes, key = data.get("attributes"), data.get("key")
    used |= set(map(str, key if isinstance(key, list) else []))
    used |= set(data["when"]) if isinstance(data.get("when"), dict) else set()
    for attribute in attributes if isinstance(attributes, list) else []:
        if str(attribute) not in used:
            yield f"attributes: {attribute!r} is not used by any template"
    for column in data["values"] if isinstance(data.get("values"), dict) else ():
        if column not in used:
            yield f"values: {column!r} is not used by any template"
    on = data.get("on")
    if _member(on, "clear") is True and "write_back" not in data:
        yield "on.clear: there is no write_back, so nothing to empty"
    if _member(on, "comment") is not None and _member(on, "delete") != "cancel":
        yield 'on.comment: counts only with delete = "cancel"'


def _footer_problems(data: Row) -> Iterator[str]:
    footer = data.get("footer")
    if footer is None:
        return
    used = {match[1].strip() for match in PLACEHOLDER.finditer(str(footer)) if match[1]}
    for other in sorted(used - {LINK}):
        yield f"footer: only {{link}} can stand in it, not {{{other}}}"
    if LINK in used and "link" not in data:
        yield "footer: {link} needs the key link, the address of the record"


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _member(table: Any, name: str) -> Any:
    return table.get(name) if isinstance(table, dict) else None


_TAGS = {"text", "table", "length"}  # of the forms of start and end; no key is called so
_NESTED: dict[str, type[BaseModel]] = {
    "event": EventTemplate,
    "write_back": WriteBackTemplate,
    "on": On,
    "body": Body,
    "attendees": Attendee,
    "fields": WrittenField,
    "when": Condition,
    "length": Duration,
    "table": DateAndTime,
}


def _explain(error: ValidationError) -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys that lead to each problem, and the problem in words."""
    for problem in error.errors():
        places = [str(part) for part in problem["loc"]]
        keys = tuple(part for part in places if part not in _TAGS)
        key = ".".join(f'"{part}"' if "." in part else part for part in keys)
        match problem["type"]:
            case "missing":
                yield keys[:-1], f"{key}: missing"
            case "extra_forbidden":
                level: Any = Mapping
                for part in places[:-1]:
                    level = _NESTED.get(part, level)
                known = [f.alias or n for n, f in level.model_fields.items() if level is not Mapping or n not in NOT_KEYS]
                near = difflib.get_close_matches(keys[-1], known, 1)
                yield keys, f"{key}: unknown key{f'; did you mean {near[0]}?' if near else ''} (known: {', '.join(known)})"
            case _:
                yield keys, f"{key}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _line(text: str, keys: tuple[str, ...]) -> str:
    """Where a key stands in a file, as `:7`; nothing where that cannot be told from the text alone."""
    table: list[str] = []
    best, depth = 0, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]+", line):
            table = _parts(header[1])
            path = table
        elif assignment := re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*'|\s*\.\s*)+)\s*=", line):
            path = [*table, *_parts(assignment[1])]
        else:
            continue
        if len(path) > depth and list(keys[: len(path)]) == path:
            best, depth = number, len(path)
    return f":{best}" if best else ""


def _parts(dotted: str) -> list[str]:
    return [match[1] or match[2] or match[3] for match in re.finditer(r'"([^"]*)"|\'([^\']*)\'|([\w-]+)', dotted)]
