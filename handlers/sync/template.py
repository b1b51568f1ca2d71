"""Text with `{Column}` placeholders, and how the columns of a row are found and read."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeIs

type Row = dict[str, Any]

_EXACT = 2**53  # below it a float is exactly one whole number
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class MissingColumns(Exception):
    """The row lacks columns that the mapping needs: the inquiry and the mapping do not fit each other."""


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
        for match in PLACEHOLDER.finditer(source):
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

    @property
    def column(self) -> str | None:
        """The column that is all of the text, where one is."""
        around = "".join(text for text, _ in self.parts).strip()
        return self.parts[0][1] if len(self.parts) == 2 and not around else None

    def render(self, row: Row, quote: Callable[[str], str] = str) -> str:
        """Text with the columns in it, each through `quote`: null as nothing, outer blanks (Acumatica pads keys) removed."""
        return "".join(text + (quote(as_text(row.get(column))) if column else "") for text, column in self.parts).strip()


def pick(row: Row, columns: tuple[str, ...] | list[str]) -> Row:
    """Find columns in a row as it arrived; captions lose blanks and punctuation on the way, and may change case.

    Raises MissingColumns, naming those that did arrive.
    """
    names: dict[str, str] | None = None
    found, missing = {}, []
    for column in columns:
        if column in row:
            found[column] = row[column]
            continue
        names = {folded(name): name for name in row} if names is None else names
        if (name := names.get(folded(column))) is not None:
            found[column] = row[name]
        else:
            missing.append(column)
    if missing:
        arrived = ", ".join(sorted(row)[:50]) or "none"
        raise MissingColumns(f"The inquiry's rows have no column {', '.join(missing)}. Columns that arrived: {arrived}.")
    return found


def folded(name: str) -> str:
    """A column's name as it is compared."""
    return "".join(filter(str.isalnum, name)).casefold()


def as_text(value: Any) -> str:
    """A value of a row as text: null is nothing, true and false are as in JSON, a whole number is without decimals."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def compared(value: Any) -> str:
    """A value as [when] and [values] compare it: numbers by their exact value, text without regard to case."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else as_text(value).casefold()


def is_number(value: Any) -> TypeIs[int | float]:
    """Whether a value is a number of JSON (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def kind_of(value: Any) -> str:
    """What a value is, for a reason that must not show it."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a list or an object"
