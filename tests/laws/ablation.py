"""Switching one rule off in the real code."""

import inspect
import textwrap
from typing import Any


def getter(owner: type, name: str) -> Any:
    """The function of a property."""
    return vars(owner)[name].fget


def without(function: Any, old: str, new: str) -> Any:
    """The code of a function with something else in one place."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} has changed: bring this ablation up to date with it"
    if source.startswith("@property"):
        source = source.removeprefix("@property\n")
    at = source.index(old)
    indent = source[source.rfind("\n", 0, at) + 1 : at]
    indent = indent[: len(indent) - len(indent.lstrip())]
    source = source.replace(old, new.replace("\n", f"\n{indent}"))
    module: dict[str, Any] = {}
    exec(compile(source, f"<{function.__qualname__} without {old!r}>", "exec"), dict(function.__globals__), module)  # noqa: S102
    return module[function.__name__].__code__
