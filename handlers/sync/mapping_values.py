"""What the keys of a mapping file hold: templates, and the literals that may stand in place of a column."""

import re
from types import NoneType, UnionType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from handlers.sync.formats import find_locale
from handlers.sync.near import nearest
from handlers.sync.template import Template, as_text
from handlers.sync.zones import find_zone

SHOW_AS = ("free", "tentative", "busy", "oof", "workingElsewhere", "unknown")
SENSITIVITY = ("normal", "personal", "private", "confidential")
IMPORTANCE = ("low", "normal", "high")
LONGEST = 999_999  # minutes (or hours): nearly two years
ATTENDEE_TYPES = ("required", "optional", "resource")


class Table(BaseModel):
    """A table of a mapping file: unknown keys are refused, text is trimmed, nothing is converted."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        str_strip_whitespace=True,
        strict=True,
        defer_build=True,  # not before the first request
    )


def _zone(template: Template) -> Template:
    if not template.columns:
        find_zone(template.render({}))
    return template


def _plain(template: Template) -> Template:
    """Refuse formats where what a column holds is read by rules, and not by people."""
    for part in template.formatted:
        raise ValueError(
            f"{{{part.column}:{part.shown}}}: a format counts in texts only (subject, body, location, categories, names of "
            f"attendees); here it is {{{part.column}}}"
        )
    return template


def _locale(name: str) -> str:
    find_locale(name)
    return name


def _literal(value: Any, kind: type | UnionType, words: str, least: int = 0) -> Template:
    """A value that is a `{Column}`, or a literal of a kind."""
    if isinstance(value, Template):
        return value
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        if isinstance(value, int | float) and not least <= value <= LONGEST:
            bound = f"less than {least}" if least else "negative"
            raise ValueError(f"cannot be {bound}" if value < least else f"cannot be more than {LONGEST}")
        return Template.parse(as_text(value))
    if not isinstance(value, str) or not Template.parse(value).columns:
        without = " (without quotes)" if isinstance(value, str) and _reads_as(value, kind) else ""
        raise ValueError(f"has to be {words}a {{Column}}{without}")
    return _plain(Template.parse(value))


def _reads_as(text: str, kind: type | UnionType) -> bool:
    """Whether a text in quotes would be a literal of the kind without them."""
    return text in {"true", "false"} if kind is bool else kind is not NoneType and bool(_NUMBER.fullmatch(text))


def _among(names: tuple[str, ...]) -> AfterValidator:
    """For a template whose text is one of Graph's names."""

    def check(template: Template) -> Template:
        if not template.columns and template.source not in names:
            near = nearest(template.source, names)
            meant = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"{template.source!r} is none of {', '.join(names)}{meant}")
        return template

    return AfterValidator(check)


def _literal_or_column(literal: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [literal, {"type": "string", "pattern": r"\{.+\}"}]})


_AsText = BeforeValidator(Template.parse)
_Plain = AfterValidator(_plain)
type Shown = Annotated[Template, _AsText, WithJsonSchema({"type": "string"})]  # for people: columns may have formats
type Text = Annotated[Template, _AsText, _Plain, WithJsonSchema({"type": "string"})]
type ZoneName = Annotated[Template, _AsText, _Plain, AfterValidator(_zone), WithJsonSchema({"type": "string"})]
type LocaleName = Annotated[str, AfterValidator(_locale)]
type Flag = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, bool, "true, false or ")),
    _literal_or_column({"type": "boolean"}),
]
type Minutes = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, int, "a whole number or ")),
    _literal_or_column({"type": "integer", "minimum": 0, "maximum": LONGEST}),
]
type Shift = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, int, "a whole number or ", -LONGEST)),
    _literal_or_column({"type": "integer", "minimum": -LONGEST, "maximum": LONGEST}),
]
type Hours = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, int | float, "a number or ")),
    _literal_or_column({"type": "number", "minimum": 0, "maximum": LONGEST}),
]
type Column = Annotated[
    Template,
    BeforeValidator(lambda value: _literal(value, NoneType, "")),
    WithJsonSchema({"type": "string", "pattern": r"\{.+\}"}),
]

type ShowAs = Annotated[Template, _AsText, _Plain, _among(SHOW_AS), _literal_or_column({"enum": list(SHOW_AS)})]
type Sensitivity = Annotated[Template, _AsText, _Plain, _among(SENSITIVITY), _literal_or_column({"enum": list(SENSITIVITY)})]
type Importance = Annotated[Template, _AsText, _Plain, _among(IMPORTANCE), _literal_or_column({"enum": list(IMPORTANCE)})]
type AttendeeType = Annotated[
    Template, _AsText, _Plain, _among(ATTENDEE_TYPES), _literal_or_column({"enum": list(ATTENDEE_TYPES)})
]

SCALAR_SCHEMA = WithJsonSchema({"type": ["string", "boolean", "number"]})
_AS_IT_IS = WithJsonSchema({"type": ["string", "boolean", "number"], "not": {"type": "string", "pattern": r"\{[^{}]+\}"}})
_COLUMN = re.compile(r"\{[^{}]+\}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def as_it_is(value: Any) -> Any:
    """Refuse a {Column} where text is taken as it is: it would stand in calendars with its braces. Raises ValueError."""
    if isinstance(value, str) and (found := _COLUMN.search(value)):
        raise ValueError(f"{found[0]} cannot stand here: this text is taken as it is")
    return value


def scalar(value: Any) -> Any:
    """Text, true, false or a number as it is. Raises ValueError."""
    if not isinstance(value, str | bool | int | float):
        raise ValueError("has to be text, true, false or a number")  # noqa: TRY004  (what pydantic turns into a problem)
    return value


type Scalar = Annotated[Any, BeforeValidator(scalar), AfterValidator(as_it_is), _AS_IT_IS]  # text, true, false or a number
type PlainText = Annotated[str, AfterValidator(as_it_is)]
