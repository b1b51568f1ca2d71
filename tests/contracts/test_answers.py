"""Shapes of answers that Graph and Acumatica are known to give, one file each: every one is classed as it has to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from handlers.sync import answers

FOLDER = Path(__file__).parent / "answers"
CASES = [
    pytest.param(service, case, id=f"{service}: {case['name']}")
    for service in ("graph", "acumatica")
    for case in json.loads((FOLDER / f"{service}.json").read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("service", "case"), CASES)
def test_answers(service: str, case: dict[str, Any]) -> None:
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    classify = getattr(answers, f"{service}_error")
    error = classify(case["status"], case.get("headers", {}), body.encode())
    assert type(error).__name__ == case["class"]
    for name in ("delay", "event_id"):
        if name in case:
            assert getattr(error, name) == case[name]
    assert case.get("says", "") in str(error)
