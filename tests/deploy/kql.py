"""The part of KQL that infra/queries uses, evaluated on rows in memory. Whatever is not known here raises.

https://learn.microsoft.com/kusto/query/
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

type Row = dict[str, Any]

_TOKEN = re.compile(r'\s*(?:("[^"\\]*(?:\\.[^"\\]*)*")|(\d+[smhd]\b)|(\d+(?:\.\d+)?)|(\w+)|(==|!=|>=|<=|[-+*/<>=(),.|]))')
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class KqlError(Exception):
    """The query is none, or uses what is not known here."""


@dataclass(frozen=True)
class Token:
    """`kind` is text, span, number, word, symbol or end."""

    kind: str
    value: str


def run(query: str, rows: list[Row]) -> list[Row]:
    """The result of a query over the table `traces`."""
    tokens = list(_tokens(re.sub(r"(?m)^\s*//.*$", "", query)))
    steps = _split(tokens, "|")
    if [token.value for token in steps[0]] != ["traces"]:
        raise KqlError("a query begins with the table traces")
    result = [dict(row) for row in rows]
    for step in steps[1:]:
        result = _OPERATORS.get(step[0].value, _unknown)(step[1:], result)
    return result


# -- operators ----------------------------------------------------------------------------------------------------------


def _unknown(step: list[Token], rows: list[Row]) -> list[Row]:
    raise KqlError(f"unknown operator before {step[:3]} ({len(rows)} rows)")


def _where(step: list[Token], rows: list[Row]) -> list[Row]:
    condition = _Parser(step).whole()
    return [row for row in rows if condition(row, None) is True]


def _extend(step: list[Token], rows: list[Row]) -> list[Row]:
    columns = _named(step)
    return [row | {name: value(row, None) for name, value in columns} for row in rows]


def _project(step: list[Token], rows: list[Row]) -> list[Row]:
    columns = _named(step)
    return [{name: value(row, None) for name, value in columns} for row in rows]


def _summarize(step: list[Token], rows: list[Row]) -> list[Row]:
    what, by = _cut(step, "by")
    keys = _named(by) if by else []
    groups: dict[str, tuple[Row, list[Row]]] = {}
    if not keys:
        groups[""] = ({}, rows)
    for row in rows if keys else []:
        key = {name: value(row, None) for name, value in keys}
        groups.setdefault(repr(key), (key, []))[1].append(row)
    return [key | {name: value({}, group) for name, value in _named(what)} for key, group in groups.values()]


def _order(step: list[Token], rows: list[Row]) -> list[Row]:
    words = [token.value for token in step]
    if len(words) != 3 or words[0] != "by" or words[2] not in {"asc", "desc"}:
        raise KqlError(f"order {words}")
    return sorted(rows, key=lambda row: row[words[1]], reverse=words[2] == "desc")


def _take(step: list[Token], rows: list[Row]) -> list[Row]:
    return rows[: int(step[0].value)]


_OPERATORS: dict[str, Callable[[list[Token], list[Row]], list[Row]]] = {
    "where": _where,
    "extend": _extend,
    "project": _project,
    "summarize": _summarize,
    "order": _order,
    "take": _take,
}

# -- expressions --------------------------------------------------------------------------------------------------------

# What an expression is: of a row, and inside an aggregate's neighbourhood of the group's rows.
type Expression = Callable[[Row, list[Row] | None], Any]


def _number(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list | bool) else str(value)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _bin(value: Any, size: timedelta) -> Any:
    if not isinstance(value, datetime):
        raise KqlError("bin of something else than a time")
    zero = datetime.min.replace(tzinfo=value.tzinfo)
    return zero + (value - zero) // size * size


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tostring": _to_text,
    "todouble": _number,
    "parse_json": _parse_json,
    "substring": lambda text, start: text[int(start) :],
    "indexof": lambda text, part: text.find(part),
    "iff": lambda condition, yes, no: yes if condition is True else no,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "round": lambda value, digits: None if value is None else round(value, int(digits)),
    "bin": _bin,
}


def _percentile(values: list[float], percent: float) -> float | None:
    """The nearest rank, as Kusto does it."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)) - 1, 0)] if ordered else None


_AGGREGATES: dict[str, Callable[..., Any]] = {
    "count": len,
    "countif": lambda group, condition: sum(condition(row, None) is True for row in group),
    "max": lambda group, value: max((v for row in group if (v := value(row, None)) is not None), default=None),
    "percentile": lambda group, value, percent: _percentile(
        [v for row in group if (v := value(row, None)) is not None], percent({}, None)
    ),
}


def _compare(name: str, left: Any, right: Any) -> bool:
    match name:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "startswith":
            return str(left).lower().startswith(right.lower())
        case "contains":
            return right.lower() in str(left).lower()
        case "has":  # whole terms: runs of letters and digits
            return bool(re.search(rf"(?i)(?<![a-z0-9]){re.escape(right)}(?![a-z0-9])", str(left)))
        case _:
            if left is None or right is None:
                return False
            return bool({">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[name])


def _calculate(name: str, left: Any, right: Any) -> float | None:
    if left is None or right is None or (name == "/" and right == 0):
        return None
    return float({"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else 0}[name])


class _Parser:
    """Precedence: or, and, comparison, + -, * /, member, atom."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = [*tokens, Token("end", "")]
        self.at = 0

    def whole(self) -> Expression:
        expression = self._either()
        if self._next.kind != "end":
            raise KqlError(f"unexpected {self._next.value!r}")
        return expression

    @property
    def _next(self) -> Token:
        return self.tokens[self.at]

    def _take(self, *values: str) -> str | None:
        if self._next.kind in {"word", "symbol"} and self._next.value in values:
            self.at += 1
            return self.tokens[self.at - 1].value
        return None

    def _either(self) -> Expression:
        left = self._both()
        while self._take("or"):
            left = _lift(lambda a, b: a is True or b is True, left, self._both())
        return left

    def _both(self) -> Expression:
        left = self._comparison()
        while self._take("and"):
            left = _lift(lambda a, b: a is True and b is True, left, self._comparison())
        return left

    def _comparison(self) -> Expression:
        left = self._sum()
        if name := self._take("==", "!=", ">=", "<=", ">", "<", "startswith", "contains", "has"):
            return _lift(lambda a, b: _compare(name, a, b), left, self._sum())
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while name := self._take("+", "-"):
            left = _lift(lambda a, b, name=name: _calculate(name, a, b), left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._member()
        while name := self._take("*", "/"):
            left = _lift(lambda a, b, name=name: _calculate(name, a, b), left, self._member())
        return left

    def _member(self) -> Expression:
        left = self._atom()
        while self._take("."):
            name = self._next.value
            self.at += 1
            left = _lift(lambda value, name=name: value.get(name) if isinstance(value, dict) else None, left)
        return left

    def _atom(self) -> Expression:
        token = self._next
        self.at += 1
        match token.kind:
            case "text":
                text = json.loads(token.value)
                return lambda _row, _group: text
            case "number":
                number = float(token.value) if "." in token.value else int(token.value)
                return lambda _row, _group: number
            case "span":
                span = timedelta(**{_UNITS[token.value[-1]]: int(token.value[:-1])})
                return lambda _row, _group: span
            case "word" if self._take("("):
                return self._call(token.value)
            case "word":
                return lambda row, _group: _column(row, token.value)
            case "symbol" if token.value == "(":
                inner = self._either()
                if not self._take(")"):
                    raise KqlError("a bracket is not closed")
                return inner
        raise KqlError(f"unexpected {token.value!r}")

    def _call(self, name: str) -> Expression:
        arguments: list[Expression] = []
        while not self._take(")"):
            arguments.append(self._either())
            if not self._take(",") and not self._next.value == ")":
                raise KqlError(f"unexpected {self._next.value!r} in {name}(…)")
        if name in _AGGREGATES:
            aggregate = _AGGREGATES[name]

            def over_the_group(_row: Row, group: list[Row] | None) -> Any:
                if group is None:
                    raise KqlError(f"{name}() stands outside of summarize")
                return aggregate(group, *arguments)

            return over_the_group
        if name not in _FUNCTIONS:
            raise KqlError(f"unknown function {name}")
        return _lift(_FUNCTIONS[name], *arguments)


def _lift(function: Callable[..., Any], *arguments: Expression) -> Expression:
    return lambda row, group: function(*(argument(row, group) for argument in arguments))


def _column(row: Row, name: str) -> Any:
    if name not in row:
        raise KqlError(f"there is no column {name}")
    return row[name]


# -- text ---------------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise KqlError(f"cannot read {text[at : at + 20]!r}")
        at = match.end()
        kinds = ("text", "span", "number", "word", "symbol")
        yield next(Token(kind, value) for kind, value in zip(kinds, match.groups(), strict=True) if value is not None)


def _split(tokens: list[Token], separator: str) -> list[list[Token]]:
    """The parts between separators that stand outside of brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "symbol":
            depth += {"(": 1, ")": -1}.get(token.value, 0)
            if token.value == separator and depth == 0:
                parts.append([])
                continue
        parts[-1].append(token)
    return parts


def _cut(tokens: list[Token], word: str) -> tuple[list[Token], list[Token]]:
    places = [i for i, token in enumerate(tokens) if token == Token("word", word)]
    return (tokens[: places[0]], tokens[places[0] + 1 :]) if places else (tokens, [])


def _named(tokens: list[Token]) -> list[tuple[str, Expression]]:
    """`name = expression, …`; a column, or bin(column, …), is named by itself."""
    found = []
    for part in _split(tokens, ","):
        if len(part) > 1 and part[1] == Token("symbol", "="):
            found.append((part[0].value, _Parser(part[2:]).whole()))
        else:
            name = part[2].value if part[0].value == "bin" else part[0].value
            found.append((name, _Parser(part).whole()))
    return found
