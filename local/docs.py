"""Writes what of the documentation is made by running the product: `python -m local.docs`.

- docs/mapping.schema.json, the JSON Schema of mapping files, of the models in handlers/sync/mapping.py.
- The blocks of docs/*.md that end with `<!-- end -->` and begin with `<!-- preview ARGUMENTS -->` (what the preview prints),
  `<!-- file NAME -->` (that file), `<!-- keys -->` (the table of a mapping's keys), or `<!-- sent KEYS -->` (what a receiver
  is sent).
"""

import contextlib
import io
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from handlers.console import main as command
from handlers.sync.mapping import NOT_KEYS, Backfill, Days, Mapping, On, Shape, Sweep, WriteBackTemplate, WrittenField
from handlers.sync.mapping_conditions import Condition
from handlers.sync.mapping_event import Attendee, Body, DateAndTime, Duration, EventChanges, EventTemplate
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.template import Template
from local.docs_relay import sent

type Schema = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "docs/mapping.schema.json"
# What the TOML extensions of editors know: https://taplo.tamasfe.dev/configuration/using-schemas.html
DRAFT = "http://json-schema.org/draft-07/schema#"
OF_EVENTS = {"event", "mailbox"}  # required where there is no [relay]
_BLOCK = re.compile(r"(<!-- (preview|file|keys|sent)(?: ([^\n]+?))? -->\n)(?:(?!<!--).)*(<!-- end -->)", re.DOTALL)

# The keys of a mapping file by the table that they stand in.
TABLES: dict[str, type[BaseModel]] = {
    "": Mapping,
    "event.": EventTemplate,
    "event.body.": Body,
    "event.start.": DateAndTime,  # and event.end
    "event.end.": Duration,
    "event.attendees.": Attendee,
    "relay.": RelayTemplate,
    "when.<Column>.": Condition,
    "shape.": Shape,
    "shape.event.": EventChanges,
    "on.": On,
    "sweep.": Sweep,
    "backfill.": Backfill,
    "backfill.rows.": Days,
    "write_back.": WriteBackTemplate,
    "write_back.fields.<Field>.": WrittenField,
}


def schema() -> Schema:
    """The JSON Schema of a mapping file: without references, and without what TOML cannot say (null)."""
    made = Mapping.model_json_schema()
    found = _plain(made, made["$defs"])
    for name in NOT_KEYS:
        del found["properties"][name]
    found["required"] = [name for name in found["required"] if name not in NOT_KEYS | OF_EVENTS]
    found["anyOf"] = [{"required": sorted(OF_EVENTS)}, {"required": ["relay"]}]
    return {
        "$schema": DRAFT,
        "title": "Mapping",
        "description": "Which rows of an Acumatica inquiry become which events in whose Outlook calendar.",
        **{key: value for key, value in found.items() if key != "description"},
    }


def _plain(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    found: Schema = {}
    for key, value in node.items():
        match key:
            case "$defs" | "title":
                continue
            case "$ref":
                found = _plain(definitions[value.removeprefix("#/$defs/")], definitions) | found
            case "properties":
                found[key] = {name: _plain(member, definitions) for name, member in value.items()}
            case "anyOf" | "oneOf":
                forms = [_plain(form, definitions) for form in value if form != {"type": "null"}]
                found |= {"anyOf": forms} if len(forms) > 1 else forms[0]
            case "default" if value is None:
                continue
            case "default" if isinstance(value, dict) and "source" in value:  # a Template
                found[key] = {"true": True, "false": False}.get(value["source"], value["source"])
            case _:
                found[key] = _plain(value, definitions)
    return found


def page(text: str) -> str:
    """A page of the documentation with its blocks made anew."""

    def made(block: re.Match[str]) -> str:
        make = {"preview": _preview, "file": _file, "keys": _keys, "sent": sent}[block[2]]
        return f"{block[1]}{make(block[3])}{block[4]}"

    return _BLOCK.sub(made, text)


def _preview(arguments: str) -> str:
    shown, site = io.StringIO(), os.environ.pop("ACUMATICA_URL", None)
    words = [str(ROOT / word) if (ROOT / word).exists() else word for word in shlex.split(arguments)]
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            command(["preview", *words])
    finally:
        if site is not None:
            os.environ["ACUMATICA_URL"] = site
    return f"```console\n$ python -m handlers preview {arguments}\n{shown.getvalue()}```\n"


def _file(name: str) -> str:
    content = (ROOT / name).read_text(encoding="utf-8")
    return f"```{Path(name).suffix[1:]}\n{content}```\n"


def _keys(_: str) -> str:
    rows = [
        f"| `{table}{field.alias or name}` | {_default(field)} | {_meaning(field)} |\n"
        for table, model in TABLES.items()
        for name, field in model.model_fields.items()
        if not (model is Mapping and name in NOT_KEYS) and model is not EventChanges
    ]
    rows.append("| `shape.event.…` |  | Every key of `event`, and none is required. |\n")
    return f"| Key | Default | Meaning |\n|---|---|---|\n{''.join(rows)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default.source if isinstance(field.default, Template) else field.default
    if default is None or field.default_factory:
        return ""
    return f"`{json.dumps(default).strip(chr(34))}`"


def _meaning(field: FieldInfo) -> str:
    if field.description:
        return field.description
    kind = field.annotation
    models = [model for model in (kind, *get_args(kind)) if isinstance(model, type) and issubclass(model, BaseModel)]
    return f"A table: {_first_line(models[0])}"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").partition("\n")[0]


def files() -> dict[Path, str]:
    """Every file that is made or holds a made block, and what it should hold."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
    return {ROOT / SCHEMA: json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"} | {
        path: page(text) for path, text in pages.items() if _BLOCK.search(text)
    }


def main() -> int:
    """Write them; says which have changed."""
    for path, text in files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
