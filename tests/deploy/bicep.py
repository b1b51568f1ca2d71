"""Bicep files as trees: just what the tests ask of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True)
class Parameter:
    """A parameter; `default` is Bicep text, None where it is required; `decorators` by name, with their arguments."""

    name: str
    type: str
    default: str | None
    decorators: dict[str, str]


@dataclass(frozen=True)
class Module:
    """A use of another file, with the text of each parameter."""

    symbol: str
    path: str
    arguments: dict[str, str]


@dataclass
class Bicep:
    """One file."""

    path: Path
    source: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.source = self.path.read_bytes()

    @property
    def text(self) -> str:
        return self.source.decode()

    @cached_property
    def root(self) -> Node:
        return _PARSER.parse(self.source).root_node

    def _declared(self, kind: str) -> Iterator[tuple[Node, dict[str, str]]]:
        """Declarations of a kind, with their decorators, which precede them in the tree."""
        decorators: dict[str, str] = {}
        for node in self.root.named_children:
            if node.type == "decorators":
                decorators = dict(_decorator(child) for child in node.named_children)
                continue
            if node.type == kind:
                yield node, decorators
            if node.type != "comment":
                decorators = {}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        found = {}
        for node, decorators in self._declared("parameter_declaration"):
            name, kind, *default = [child for child in node.named_children if child.type != "comment"]
            text = _text(default[0]) if default else None
            found[_text(name)] = Parameter(_text(name), _text(kind), text, decorators)
        return found

    @cached_property
    def outputs(self) -> dict[str, str]:
        return {
            _text(node.named_children[0]): _text(node.named_children[-1]) for node, _ in self._declared("output_declaration")
        }

    @cached_property
    def variables(self) -> dict[str, Node]:
        return {_text(node.named_children[0]): node.named_children[-1] for node, _ in self._declared("variable_declaration")}

    @cached_property
    def resources(self) -> dict[str, str]:
        """Type with API version by symbol."""
        return {
            _text(node.named_children[0]): _text(node.named_children[1]).strip("'")
            for node, _ in self._declared("resource_declaration")
        }

    def body(self, symbol: str) -> dict[str, Node]:
        """The properties of a resource."""
        for node, _ in self._declared("resource_declaration"):
            if _text(node.named_children[0]) == symbol:
                return properties(_first(node, "object"))
        raise KeyError(symbol)

    @cached_property
    def modules(self) -> list[Module]:
        found = []
        for node, _ in self._declared("module_declaration"):
            arguments = properties(properties(_first(node, "object"))["params"])
            symbol, path = _text(node.named_children[0]), _text(node.named_children[1]).strip("'")
            found.append(Module(symbol, path, {name: _text(value) for name, value in arguments.items()}))
        return found


def properties(node: Node) -> dict[str, Node]:
    """The properties of an object by name, in order."""
    found = {}
    for child in node.named_children:
        if child.type == "object_property":
            key, *value = child.named_children
            if value:
                found[_text(key).strip("'")] = value[-1]
    return found


def literal(node: Node) -> Any:
    """The value of a tree of literals; expressions stay text."""
    match node.type:
        case "object":
            return {name: literal(value) for name, value in properties(node).items()}
        case "array":
            return [literal(child) for child in node.named_children if child.type != "comment"]
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case "string":
            return _text(node)[1:-1].replace("\\'", "'")
        case _:
            return _text(node)


def objects(node: Node) -> Iterator[Node]:
    """All objects within a node."""
    for child in node.named_children:
        if child.type == "object":
            yield child
        yield from objects(child)


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every property within a value, as (path, literal); the literal is None where it is an expression.

    Both branches of a condition, all arguments of `union`, and what a loop makes of each item, count as there.
    """
    match node.type:
        case "object":
            for name, value in properties(node).items():
                yield from leaves(value, f"{path}.{name}" if path else name)
        case "array":
            for child in node.named_children:
                if child.type != "comment":
                    yield from leaves(child, f"{path}[]")
        case "for_statement":
            yield from leaves(_body(node), f"{path}[]")
        case "string" if b"${" not in (node.text or b""):
            yield path, literal(node)
        case "number" | "boolean":
            yield path, literal(node)
        case _:
            yield path, None
            for child in _values(node):
                yield from leaves(child, path)


def _values(node: Node) -> Iterator[Node]:
    """The objects and arrays of an expression."""
    for child in node.named_children:
        if child.type in {"object", "array"}:
            yield child
        else:
            yield from _values(child)


def _body(node: Node) -> Node:
    """What a loop makes of an item: its last part."""
    return node.named_children[-1]


def _decorator(node: Node) -> tuple[str, str]:
    call = node.named_children[0]
    name, arguments = call.named_children
    return _text(name), _text(arguments)[1:-1]


def _first(node: Node, kind: str) -> Node:
    queue = list(node.named_children)
    while queue:
        child = queue.pop(0)
        if child.type == kind:
            return child
        queue += child.named_children
    raise LookupError(kind)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
