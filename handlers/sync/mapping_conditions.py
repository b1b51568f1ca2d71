"""Conditions of a mapping file: what columns have to hold, in `[when]` and in a `[[shape]]`."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from handlers.sync.mapping_values import Scalar, Table
from handlers.sync.template import compared

_COMPARISON = re.compile(r"\s*(?:[<>=!]=?|<>)\s*-?[\d{]")


def _as_condition(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("not"), list | None):
        return value
    if isinstance(value, dict):
        return value | {"not": [value["not"]]}
    return {"one_of": value if isinstance(value, list) else [value]}


class Condition(Table):
    """What a column has to hold; several members have to be true together. Text is compared without regard to case."""

    one_of: list[Scalar] | None = Field(None, min_length=1, description="One of these.")
    none_of: list[Scalar] | None = Field(None, alias="not", min_length=1, description="None of these.")
    empty: bool | None = Field(None, description="`true`: has to be empty; `false`: must not be.")

    @field_validator("one_of", "none_of")
    @classmethod
    def _compares_nothing(cls, values: list[Scalar] | None) -> list[Scalar] | None:
        if found := next((value for value in values or () if isinstance(value, str) and _COMPARISON.match(value)), ""):
            raise ValueError(f"{found!r} would be compared as text: greater, less are conditions of the inquiry")
        return values

    def holds(self, value: Any) -> bool:
        """Whether a column's value fulfils the condition."""
        text = compared(value)
        return (
            (self.one_of is None or text in map(compared, self.one_of))
            and (self.none_of is None or text not in map(compared, self.none_of))
            and (self.empty is None or self.empty == (not text))
        )


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

type Conditions = dict[str, Annotated[Condition, BeforeValidator(_as_condition), _TEXT_OR_TABLE]]
