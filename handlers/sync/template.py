"""Text with `{Column}` placeholders, and how the columns of a row are found and read."""

import difflib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeIs

type Row = dict[str, Any]

_EXACT = 2**53  # below it a float is exactly one whole number
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


# How a column may be shown: `{Column:format}`, without a blank behind the colon. What else has a colon is a caption.
FORMATS = ("date", "longdate", "weekday", "time", "datetime")
_NUMBER = re.compile(r"(#,##)?0(\.0{1,6})?", re.ASCII)
_FORMATTED = re.compile(r"(.*\S)\s*:(\S+)", re.DOTALL)


class MissingColumns(Exception):
    """The row lacks columns that the mapping needs: the inquiry and the mapping do not fit each other."""


class Part(NamedTuple):
    """Literal text, the column behind it (or none), and how that is shown (empty: as it is)."""

    text: str
    column: str | None = None
    shown: str = ""


@dataclass(frozen=True)
class Template:
    """Text with `{Column}` placeholders; `{{` and `}}` stand for the braces themselves."""

    source: str
    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, source: Any) -> "Template":
        """Raises ValueError where a brace is unbalanced, a placeholder is empty, or its format is not known."""
        if isinstance(source, Template):
            return source
        if not isinstance(source, str):
            raise ValueError("has to be text in quotes")  # noqa: TRY004  (what pydantic turns into a problem)
        parts: list[Part] = []
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
                parts.append(Part(literal, *placeholder(match[1])))
                literal = ""
        return cls(source, (*parts, Part(literal + source[at:])))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of their use."""
        return tuple(part.column for part in self.parts if part.column)

    @property
    def column(self) -> str | None:
        """The column that is all of the text, where one is."""
        around = "".join(part.text for part in self.parts).strip()
        return self.parts[0].column if len(self.parts) == 2 and not around else None

    @property
    def formatted(self) -> tuple[Part, ...]:
        """The columns that are not shown as they are."""
        return tuple(part for part in self.parts if part.shown)

    def render(
        self, row: Row, quote: Callable[[str], str] = str, show: Callable[[Any, Part], str] = lambda value, _: as_text(value)
    ) -> str:
        """Text with the columns in it, each through `show` and `quote`.

        Null is nothing, and outer blanks (Acumatica pads keys) are removed.
        """
        return "".join(
            part.text + (quote(show(row.get(part.column), part)) if part.column else "") for part in self.parts
        ).strip()


def placeholder(inside: str) -> tuple[str, str]:
    """Column and format of what stands between braces. Raises ValueError where the format is not known."""
    match = _FORMATTED.fullmatch(inside)
    if not match:
        return inside.strip(), ""
    column, shown = match.groups()
    if shown not in FORMATS and not _NUMBER.fullmatch(shown):
        near = difflib.get_close_matches(shown.casefold(), FORMATS, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"{{{inside.strip()}}}: {shown!r} is no format{meant} (known: {', '.join(FORMATS)}, and for numbers 0, 0.00, "
            "#,##0.00 and the like; if the colon belongs to the caption, leave it out)"
        )
    return column.strip(), shown


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
    """A name as it is compared: without its case, blanks and marks."""
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
