"""docs/guarantees.md promises nothing without a test."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)


def test_promises_are_numbered() -> None:
    assert [int(number) for number, _, _ in PROMISES] == list(range(1, len(PROMISES) + 1))


@pytest.mark.parametrize(("number", "tests"), [(number, tests) for number, _, tests in PROMISES])
def test_every_promise_names_tests_that_exist(number: str, tests: str) -> None:
    names = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests)
    assert names, f"promise {number} names no test"
    for file, name in names:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_there_is_a_diagram_of_each_of_five_failures() -> None:
    assert len(re.findall(r"^### \d\. .+\n\n```mermaid\nsequenceDiagram\n", TEXT, re.MULTILINE)) == 5
