"""What a record's answer to a write-back shows: a role without the right to write gets a success, and the old values.

Then clients/acumatica.py raises Permanent with the code record-not-written: a dead letter, since only a person can help.
"""

import re
from typing import Any

from handlers.sync.record import RecordUpdate
from handlers.sync.template import as_text

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(T|$)")


def not_written(update: RecordUpdate, echo: dict[str, Any]) -> list[str]:
    """Names of the fields that the answer shows with another value than was sent; what it does not show is written."""
    found = []
    for name, sent in update.body.items():
        match name:
            case "id":
                continue
            case "custom":
                shown = echo.get("custom")
                found += [
                    f"custom.{view}.{member}"
                    for view, members in sent.items()
                    for member, value in members.items()
                    if _differs(value, _member(_member(shown, view), member))
                ]
            case "Attributes":
                found += [f"Attributes.{_named(line)}" for line in sent if _differs(line["Value"], _shown_line(line, echo))]
            case _:
                found += [name] if _differs(sent, echo.get(name)) else []
    return found


def _differs(sent: dict[str, Any], shown: Any) -> bool:
    if not isinstance(shown, dict) or "value" not in shown:
        return False
    texts = as_text(sent["value"]), as_text(shown["value"])
    if all(map(_MOMENT.match, texts)):  # shown in a form and a zone of Acumatica's choice
        return False
    return texts[0].casefold() != texts[1].casefold()


def _named(line: dict[str, Any]) -> str:
    return str(next(value["value"] for name, value in line.items() if name != "Value"))


def _shown_line(line: dict[str, Any], echo: dict[str, Any]) -> Any:
    """The detail row of the same attribute."""
    shown = echo.get("Attributes")
    for other in shown if isinstance(shown, list) else []:
        ids = [_member(other, name) for name in ("AttributeID", "Attribute")]
        if any(str(_member(each, "value")).casefold() == _named(line).casefold() for each in ids):
            return _member(other, "Value")
    return None


def _member(tree: Any, name: str) -> Any:
    return tree.get(name) if isinstance(tree, dict) else None
