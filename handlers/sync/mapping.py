"""Mappings: which inquiry becomes which event in whose calendar, as data (one TOML file each), and how a row is rendered.

Columns, templates and conditions only: nothing computes here, since the Generic Inquiry can.
"""

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from tzlocal.windows_tz import tz_win, win_tz

from handlers.sync.errors import Permanent

# Graph takes a Windows name everywhere; of the IANA names only some (https://learn.microsoft.com/graph/api/resources/datetimetimezone).
_WINDOWS_NAMES = {name.casefold(): name for name in win_tz} | {"utc": "UTC"}
_MAILBOX = re.compile(
    r"[^@\s/\\?%<>\x00-\x1f]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SUBJECT_MAX = 255  # https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
_SYSTEM_FIELDS = {"id", "rowNumber", "delete", "custom"}  # members of an entity in JSON that are no fields of the record
EVENT_ID = "event_id"  # the one placeholder that is no column: what write_back writes


class MissingColumns(Exception):
    """The row lacks columns that the mapping needs: the inquiry and the mapping do not fit each other."""


class MappingProblems(Exception):
    """Everything that is wrong with one mapping file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Template:
    """Text with `{Column}` placeholders; `{{` and `}}` stand for the braces themselves."""

    source: str
    parts: tuple[tuple[str, str | None], ...]  # literal text, then the column behind it (or none)

    @classmethod
    def parse(cls, source: Any) -> "Template":
        """Raises ValueError where a brace is unbalanced or a placeholder is empty."""
        if isinstance(source, Template):
            return source
        if not isinstance(source, str):
            raise ValueError("has to be text in quotes")  # noqa: TRY004  (what pydantic turns into a problem)
        parts: list[tuple[str, str | None]] = []
        literal, at = "", 0
        for match in _PLACEHOLDER.finditer(source):
            literal, at = literal + source[at : match.start()], match.end()
            if match[0] in {"{{", "}}"}:
                literal += match[0][0]
            elif match[1] is None or not match[1].strip():
                raise ValueError(
                    f"the brace at position {match.start() + 1} is not part of a {{Column}} (write {{{{ for a brace)"
                )
            else:
                parts.append((literal, match[1].strip()))
                literal = ""
        return cls(source, (*parts, (literal + source[at:], None)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of their use."""
        return tuple(column for _, column in self.parts if column)

    def render(self, row: dict[str, Any]) -> str:
        """Text with the columns put in: null as nothing, outer blanks (Acumatica pads keys) removed."""
        return "".join(text + (_as_text(row.get(column)) if column else "") for text, column in self.parts).strip()


type _Template = Annotated[Template, BeforeValidator(Template.parse)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        str_strip_whitespace=True,
        strict=True,
        defer_build=True,  # not before the first request
    )


class EventTemplate(_Model):
    """Properties of Graph's event (https://learn.microsoft.com/graph/api/resources/event), by Graph's names."""

    subject: _Template
    start: _Template
    end: _Template
    location: _Template | None = None


class WriteBackTemplate(_Model):
    """Which record of Acumatica's contract-based API gets the event's id, and into which fields."""

    endpoint: str = Field(pattern=r"^[A-Za-z0-9_.-]+/[0-9]+\.[0-9]+\.[0-9]+$")
    entity: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    id: _Template
    fields: dict[str, _Template] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _known_form(cls, fields: dict[str, Template]) -> dict[str, Template]:
        form = 'has to be "custom.<View>.<Field>" (user-defined and Usr fields) or a field of the entity'
        problems = []
        for name, template in fields.items():
            if not re.fullmatch(r"custom\.\w+\.\w+|\w+", name) or name in _SYSTEM_FIELDS:
                problems.append(f'"{name}": {form}')
            unknown = [column for column in template.columns if column != EVENT_ID]
            problems += [f'"{name}": only {{event_id}} can be written back, not {{{column}}}' for column in unknown]
        if problems:
            raise ValueError("; ".join(problems))
        return fields


@dataclass(frozen=True)
class CalendarEvent:
    """What should stand in a calendar: a Graph `event` body (without ids) and the mailbox that it belongs to."""

    mailbox: str
    body: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of the content; write-back and audit columns are not part of it."""
        text = json.dumps(self.body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class RecordUpdate:
    """A PUT to Acumatica: the path below /entity/ and the body in the shape of the contract-based REST API."""

    path: str
    body: dict[str, Any]


class Mapping(_Model):
    """One mapping file. Its name is the file's; it is part of every event's identity."""

    name: str
    query: str = Field(min_length=1)
    key: list[str] = Field(min_length=1)
    mailbox: _Template
    time_zone: str
    attributes: list[str] = Field(default_factory=list)
    event: EventTemplate
    write_back: WriteBackTemplate | None = None

    @field_validator("time_zone")
    @classmethod
    def _windows_zone(cls, zone: str) -> str:
        if known := _WINDOWS_NAMES.get(zone.casefold()):
            return known
        if zone in tz_win:
            return str(tz_win[zone])
        near = difflib.get_close_matches(zone, [*_WINDOWS_NAMES.values(), *tz_win], 1, 0.6)
        raise ValueError(f"{zone!r} is no Windows or IANA time zone{f'; did you mean {near[0]!r}?' if near else ''}")

    @field_validator("key")
    @classmethod
    def _distinct_key(cls, key: list[str]) -> list[str]:
        if len({_folded(column) for column in key}) < len(key) or not all(map(_folded, key)):
            raise ValueError("has to name each key column once")
        return key

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns that the mapping reads, each once, the key columns first."""
        event = self.event
        templates = [
            self.mailbox,
            event.subject,
            event.start,
            event.end,
            event.location,
            self.write_back and self.write_back.id,
        ]
        return tuple(dict.fromkeys([*self.key, *(c for t in templates if t for c in t.columns)]))

    @cached_property
    def zone(self) -> ZoneInfo:
        """The zone of the date columns, for times that carry an offset."""
        return ZoneInfo("UTC" if self.time_zone == "UTC" else win_tz[self.time_zone])

    def key_of(self, row: dict[str, Any]) -> tuple[str, ...]:
        """The row's key values, trimmed, since Acumatica pads segmented keys. Raises MissingColumns."""
        values = pick(row, self.key)
        empty = [column for column in self.key if not _as_text(values[column])]
        if empty:
            raise MissingColumns(f"The key column {empty[0]} is empty in this row.")
        return tuple(_as_text(values[column]) for column in self.key)

    def pick(self, row: dict[str, Any]) -> dict[str, Any]:
        """The columns that the mapping reads. Raises MissingColumns."""
        return pick(row, self.columns)

    def calendar_event(self, row: dict[str, Any]) -> CalendarEvent:
        """Render picked columns. Raises Permanent, naming the column and the rule, never the value of a text column."""
        mailbox = self.mailbox.render(row).lower()
        if not _MAILBOX.fullmatch(mailbox):
            empty = "is empty" if not mailbox else "is no e-mail address"
            raise _unusable(
                "mailbox", self.mailbox, empty, "Give the row an owner with an e-mail address, or filter such rows out."
            )
        start, end = self._moment("start", self.event.start, row), self._moment("end", self.event.end, row)
        if end < start:
            raise _unusable("end", self.event.end, "is before the start", "Correct the dates in Acumatica.")
        zoned = {"timeZone": self.time_zone}
        body: dict[str, Any] = {
            "subject": _shortened(self.event.subject.render(row)),
            "start": {"dateTime": start.isoformat(timespec="seconds"), **zoned},
            "end": {"dateTime": end.isoformat(timespec="seconds"), **zoned},
        }
        if self.event.location:
            body["location"] = {"displayName": self.event.location.render(row)}
        return CalendarEvent(mailbox, body)

    def record_id(self, row: dict[str, Any]) -> str:
        """The id (NoteID) of the record that write-back goes to; empty where nothing is written back."""
        return self.write_back.id.render(row) if self.write_back else ""

    def record_update(self, row: dict[str, Any], event_id: str) -> RecordUpdate:
        """The write-back of an event id, for a mapping with `write_back`. Raises Permanent without a usable record id."""
        if not self.write_back:
            raise ValueError("this mapping writes nothing back")
        record_id = self.record_id(row)
        if not _GUID.fullmatch(record_id):
            remedy = "Use the column with the record's NoteID."
            raise _unusable("write_back.id", self.write_back.id, "is no GUID", remedy)
        body: dict[str, Any] = {"id": record_id}
        for name, template in self.write_back.fields.items():
            value = template.render({EVENT_ID: event_id})
            if name.startswith("custom."):
                _, view, field = name.split(".")
                body.setdefault("custom", {}).setdefault(view, {})[field] = {
                    "type": "CustomStringField",
                    "value": value,
                }
            else:
                body[name] = {"value": value}
        return RecordUpdate(f"{self.write_back.endpoint}/{self.write_back.entity}", body)

    def _moment(self, what: str, template: Template, row: dict[str, Any]) -> datetime:
        """A wall-clock time in the mapping's zone: as Acumatica sends it, or converted where it carries an offset."""
        text = template.render(row)
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(self.zone).replace(tzinfo=None) if moment.tzinfo else moment
        except (ValueError, OverflowError):
            wrong = "is empty" if not text else "is no ISO date and time"
            remedy = "Use a date-time column, and filter rows without one out of the inquiry."
            raise _unusable(what, template, wrong, remedy) from None
        return moment.replace(microsecond=0)


def load_mapping(name: str, text: str) -> Mapping:
    """Read one mapping file. Raises MappingProblems with all of them: key, what is wrong, and the remedy."""
    try:
        data = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingProblems([f"{name}.toml: no TOML: {error}"]) from None
    problems = list(_joint_problems(data))
    try:
        mapping = Mapping(**{**data, "name": name})
    except ValidationError as error:
        problems = [*_explain(error), *problems]
    else:
        if not problems:
            return mapping
    raise MappingProblems([f"{name}.toml: {problem}" for problem in problems])


def pick(row: dict[str, Any], columns: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """Find columns in a row as it arrived; captions lose blanks and punctuation on the way, and may change case.

    Raises MissingColumns, naming those that did arrive.
    """
    folded: dict[str, str] | None = None
    found, missing = {}, []
    for column in columns:
        if column in row:
            found[column] = row[column]
            continue
        folded = {_folded(name): name for name in row} if folded is None else folded
        if (name := folded.get(_folded(column))) is not None:
            found[column] = row[name]
        else:
            missing.append(column)
    if missing:
        arrived = ", ".join(sorted(row)[:50]) or "none"
        raise MissingColumns(f"The inquiry's rows have no column {', '.join(missing)}. Columns that arrived: {arrived}.")
    return found


def _joint_problems(data: dict[str, Any]) -> Iterator[str]:
    """What is wrong between the keys of a file, told from its raw values, so that it is found beside all else."""
    if "name" in data:
        yield "name: unknown key (a mapping's name is its file's)"
    texts = [data.get("mailbox"), *_values(data.get("event")), _member(data.get("write_back"), "id")]
    used = {match[1].strip() for text in texts for match in _PLACEHOLDER.finditer(str(text)) if match[1]}
    if EVENT_ID in used:
        yield "{event_id} stands only in write_back.fields: elsewhere it would feed an event from its own id"
    attributes, key = data.get("attributes"), data.get("key")
    used |= set(map(str, key if isinstance(key, list) else []))
    for attribute in attributes if isinstance(attributes, list) else []:
        if str(attribute) not in used:
            yield f"attributes: {attribute!r} is not used by any template"


def _values(table: Any) -> list[Any]:
    return list(table.values()) if isinstance(table, dict) else []


def _member(table: Any, name: str) -> Any:
    return table.get(name) if isinstance(table, dict) else None


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(f'"{part}"' if "." in str(part) else str(part) for part in problem["loc"])
        match problem["type"]:
            case "missing":
                yield f"{key}: missing"
            case "extra_forbidden":
                level: Any = Mapping
                for part in problem["loc"][:-1]:
                    level = {"event": EventTemplate, "write_back": WriteBackTemplate}.get(str(part), level)
                known = [name for name in level.model_fields if name != "name"]
                near = difflib.get_close_matches(str(problem["loc"][-1]), known, 1)
                yield f"{key}: unknown key{f'; did you mean {near[0]}?' if near else ''} (known: {', '.join(known)})"
            case _:
                yield f"{key}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _unusable(what: str, template: Template, wrong: str, remedy: str) -> Permanent:
    columns = " and ".join(template.columns) or "no column"
    return Permanent(f"The mapping's {what} ({columns}) {wrong} in this row.", remedy)


def _shortened(subject: str) -> str:
    """Exchange counts UTF-16 units, of which an emoji takes two; none is cut in half."""
    units = subject.encode("utf-16-le")
    if len(units) <= 2 * _SUBJECT_MAX:
        return subject
    return units[: 2 * (_SUBJECT_MAX - 1)].decode("utf-16-le", "ignore") + "…"


def _folded(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else json.dumps(value, ensure_ascii=False)
