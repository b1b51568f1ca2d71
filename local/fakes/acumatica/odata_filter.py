"""What of $filter the fake understands: `and`, `or`, parentheses, and `Column eq literal`, as a database compares."""

import re
from collections.abc import Callable, Mapping
from typing import Any

type Row = dict[str, Any]
type Test = Callable[[Row], bool]

_TOKEN = re.compile(r"\s*(\(|\)|(?:guid|datetime)?'(?:[^']|'')*'|[^\s()']+)")
_LITERALS = {
    "string": {"3": r"'(?:[^']|'')*'", "4": r"'(?:[^']|'')*'"},
    "guid": {"3": r"guid'[0-9a-fA-F-]{36}'", "4": r"[0-9a-fA-F-]{36}"},
    "int": {"3": r"-?\d+L?", "4": r"-?\d+"},
    "number": {"3": r"-?\d+(?:\.\d+)?M?", "4": r"-?\d+(?:\.\d+)?"},
    "bool": {"3": "true|false", "4": "true|false"},
    "datetime": {"3": r"datetime'[^']*'", "4": r"\d{4}-\d\d-\d\dT[\d:.]+Z"},
}
_LITERALS["date"] = _LITERALS["datetime"]


class NotUnderstood(Exception):
    """The filter is none, or names what is not there, or compares what cannot be compared."""


def parse(text: str, kinds: Mapping[str, str], version: str) -> tuple[Test, set[str]]:
    """What a row has to be, and the columns that the filter names. Raises NotUnderstood."""
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    if "".join(tokens) != re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", text):
        raise NotUnderstood(f"Syntax error in '{text}'.")
    parser = _Parser(tokens, kinds, version)
    test = parser.any()
    if parser.tokens:
        raise NotUnderstood(f"Syntax error at '{parser.tokens[0]}'.")
    return test, parser.columns


class _Parser:
    def __init__(self, tokens: list[str], kinds: Mapping[str, str], version: str) -> None:
        self.tokens, self.kinds, self.version = tokens, kinds, version
        self.columns: set[str] = set()

    def any(self) -> Test:
        tests = [self.all()]
        while self.tokens[:1] == ["or"]:
            self.take()
            tests.append(self.all())
        return lambda row: any(test(row) for test in tests)

    def all(self) -> Test:
        tests = [self.one()]
        while self.tokens[:1] == ["and"]:
            self.take()
            tests.append(self.one())
        return lambda row: all(test(row) for test in tests)

    def one(self) -> Test:
        name = self.take()
        if name == "(":
            test = self.any()
            self.take(")")
            return test
        if name not in self.kinds:
            raise NotUnderstood(f"Could not find a property named '{name}'.")
        self.columns.add(name)
        self.take("eq")
        kind, literal = self.kinds[name], self.take()
        if not re.fullmatch(_LITERALS[kind][self.version], literal):
            raise NotUnderstood("A binary operator with incompatible types was detected for operator kind 'Equal'.")
        wanted = _compared(kind, _value(kind, literal))
        return lambda row: _compared(kind, row.get(name)) == wanted

    def take(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.tokens[0] != wanted):
            raise NotUnderstood(f"Syntax error: {wanted or 'an expression'} is expected.")
        return self.tokens.pop(0)


def _value(kind: str, literal: str) -> str:
    quoted = re.fullmatch(r"(?:guid|datetime)?'(.*)'", literal, re.DOTALL)
    text = quoted[1].replace("''", "'") if quoted else literal
    return text.rstrip("LM") if kind in {"int", "number"} else text


def _compared(kind: str, value: Any) -> Any:
    """As SQL Server compares: without regard to case, and to blanks at the end."""
    if value is None:
        return None
    if kind in {"int", "number"}:
        return float(value)
    return str(value).rstrip().casefold()
