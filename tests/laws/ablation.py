"""Switching one rule off: a small function is replaced, or what goes into or comes out of it is changed on the way."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.laws.judge import simulate
from tests.laws.story import ANY, Plot, Story

type Switch = Callable[[pytest.MonkeyPatch], None]
_OURS = ("handlers", "tests.laws")


@dataclass(frozen=True)
class Ablation:
    """A rule, what switches it off, and the stories of which one breaks a law then; `first` is the seed to begin with."""

    rule: str
    off: Switch
    plot: Plot = ANY
    law: Callable[[Story], list[str]] = simulate
    first: int = 0

    def __str__(self) -> str:
        return self.rule.replace(" ", "-")


def everywhere(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Put `new` in the place of a function in every module that has imported it by name."""
    places = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.startswith(_OURS)
        for name, value in vars(module).items()
        if value is function
    ]
    assert places, f"{function.__qualname__} is nowhere: bring this ablation up to date"
    for module, name in places:
        monkeypatch.setattr(module, name, new)


def instead(function: Callable[..., Any], make: Callable[[Any], Callable[..., Any]]) -> Switch:
    """`make(function)` in the place of a function, wherever it is used."""
    return lambda monkeypatch: everywhere(monkeypatch, function, make(function))


def within(owner: type, name: str, make: Callable[[Any], Callable[..., Any]]) -> Switch:
    """`make(method)` in the place of a method or a property."""
    old = vars(owner)[name]
    new = property(make(old.fget)) if isinstance(old, property) else make(old)
    return lambda monkeypatch: monkeypatch.setattr(owner, name, new)
