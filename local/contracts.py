"""Hold recorded calls against the services' OpenAPI documents: `python -m local.contracts FOLDER RECORD [RECORD …]`.

FOLDER holds graph-calendar.v1.0.strict.yaml, graph-calendar.v1.0.yaml and openapi_subset.Default_*.json; a RECORD has one
JSON object per line, as the fakes write it when FAKES_RECORD names a file. Every request whose path a document has must
satisfy it, and so must what a fake answered of its own accord; the others are listed. CloudEvents (structured, binary) must
satisfy cloudevents.json of their specification, where FOLDER holds it. The exit status is 1 with any violation, and where
nothing could be checked.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

GRAPH = "graph-calendar.v1.0.strict.yaml"
GRAPH_ANSWERS = "graph-calendar.v1.0.yaml"  # the strict one knows only what a client may write
ACUMATICA = "openapi_subset.Default_*.json"
EVENTS = "cloudevents.json"  # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json


@dataclass(frozen=True)
class Contract:
    """One document, the part of a request's path that comes before its own paths, and what is held against it."""

    name: str
    requests: bool
    answers: bool
    prefix: re.Pattern[str]
    api: OpenAPI
    paths: tuple[re.Pattern[str], ...]

    def path_of(self, path: str) -> str | None:
        """The path as the document has it, if it has it."""
        match = self.prefix.match(path)
        rest = path[match.end() :] if match else ""
        return rest if any(pattern.fullmatch(rest) for pattern in self.paths) else None


def load(folder: Path) -> list[Contract]:
    """All documents of the folder. A call of Acumatica is held against every version of its endpoint that it may be for."""
    graph = re.compile(r"/v1\.0(?=/)")
    found = [
        _contract(GRAPH, graph, yaml.safe_load((folder / GRAPH).read_text(encoding="utf-8")), answers=False),
        _contract(
            GRAPH_ANSWERS, graph, yaml.safe_load((folder / GRAPH_ANSWERS).read_text(encoding="utf-8")), requests=False
        ),
    ]
    for file in sorted(folder.glob(ACUMATICA)):
        prefix = re.compile(r"(?:/[^/]+)?/entity/Default/[\d.]+(?=/)")
        found.append(_contract(file.name, prefix, json.loads(file.read_text(encoding="utf-8"))))
    if len(found) < 3:
        raise FileNotFoundError(f"{folder} has no {ACUMATICA}")
    return found


def _contract(
    name: str, prefix: re.Pattern[str], document: dict[str, Any], *, requests: bool = True, answers: bool = True
) -> Contract:
    document.setdefault("openapi", "3.0.3")
    document["servers"] = [{"url": "http://contract"}]
    for extra in ("security", "source"):
        document.pop(extra, None)
    # Excerpts may lack what is shared: general answers and parameters.
    known = {f"#/components/{kind}/{item}" for kind, items in document["components"].items() for item in items}
    for path in document["paths"].values():
        for operation in (part for part in path.values() if isinstance(part, dict)):
            operation.pop("security", None)  # the fakes check the token themselves
            operation["responses"] = {
                status: answer for status, answer in operation["responses"].items() if answer.get("$ref", "") in {"", *known}
            }
            operation["responses"].setdefault("default", {"description": "any"})
            parameters = operation.get("parameters", [])
            operation["parameters"] = [p for p in parameters if "$ref" not in p or p["$ref"] in known]
    paths = tuple(re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))) for path in document["paths"])
    return Contract(name, requests, answers, prefix, OpenAPI.from_dict(document), paths)


def problems(contract: Contract, path: str, call: dict[str, Any]) -> Iterator[str]:
    """Violations of one call."""
    query = dict(part.split("=", 1) for part in filter(None, call.get("query", "").split("&")))
    body = call.get("body")
    headers = {name: value for name, value in call.get("headers", {}).items() if name.lower() != "content-type"}
    request = MockRequest(
        "http://contract",
        call["method"].lower(),
        path,
        args={name: unquote(value) for name, value in query.items()},
        headers=headers,
        data=json.dumps(body).encode() if body is not None else b"",
        content_type="application/json",
    )
    errors = [(f"{error}", error) for error in contract.api.iter_request_errors(request)] if contract.requests else []
    if contract.answers and call.get("answer") is not None:
        answer = MockResponse(json.dumps(call["answer"]).encode(), call["status"], content_type="application/json")
        found = contract.api.iter_response_errors(request, answer)
        errors += [(f"the fake's answer {call['status']}: {error}", error) for error in found]
    for text, error in errors:
        schema = getattr(error.__cause__, "schema_errors", None) or getattr(error, "schema_errors", None) or ()
        detail = "; ".join(f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in schema)
        yield f"{text}{': ' + detail if detail else ''}"


def cloud_event(call: dict[str, Any]) -> dict[str, Any] | None:
    """The CloudEvent of a call in the JSON format, whichever way it was sent; None where it is none."""
    headers = call.get("headers", {})
    kind = headers.get("content-type", "")
    if kind.startswith("application/cloudevents+json"):
        return dict(call["body"])
    if "ce-specversion" not in headers:
        return None
    attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    return attributes | {"datacontenttype": kind, "data": call["body"]}


def event_problems(schema: Any, event: dict[str, Any]) -> Iterator[str]:
    """Violations of one CloudEvent; names are of small letters and digits, which the schema does not say."""
    for name in event:
        if not re.fullmatch(r"[a-z0-9]+|data_base64", name):
            yield f"{name} is no name of an attribute"
    for error in jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker()).iter_errors(event):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def main() -> int:
    """Check records; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m local.contracts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("record", type=Path, nargs="+")
    arguments = parser.parse_args()
    contracts, of_events = load(arguments.folder), arguments.folder / EVENTS
    schema = json.loads(of_events.read_text(encoding="utf-8")) if of_events.exists() else None
    checked: Counter[str] = Counter()
    others: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    for line in (line for file in arguments.record for line in file.read_text(encoding="utf-8").splitlines()):
        request = json.loads(line)
        if (event := cloud_event(request)) and schema:
            checked[EVENTS] += 1
            violations.update(f"{EVENTS}: {problem}" for problem in event_problems(schema, event))
            continue
        path = urlsplit(request["path"]).path
        held = [(contract, rest) for contract in contracts if (rest := contract.path_of(path)) is not None]
        if not held:
            others[f"{request['method']} {re.sub(r'/(users|events|calendars)/[^/]+', r'/\1/…', path)}"] += 1
        for contract, rest in held:
            checked[contract.name] += 1
            for problem in problems(contract, rest, request):
                violations[f"{contract.name}: {request['method']} {re.sub(r'/[^/]{12,}', '/…', rest)}: {problem}"] += 1
    for name, count in sorted(checked.items()):
        print(f"{count} requests held against {name}")
    print("Not in any document: " + (", ".join(f"{what} ({count})" for what, count in sorted(others.items())) or "none"))
    for what, count in violations.most_common(20):
        print(f"VIOLATION ({count} times) {what}")
    if schema is None:
        print(f"NOT CHECKED: CloudEvents, since {arguments.folder} has no {EVENTS}.")
    missing = [name for name in (*(c.name for c in contracts), *([EVENTS] if schema else [])) if not checked[name]]
    if missing:
        print(f"No request was held against {', '.join(missing)}: is the record complete?")
    print(f"{sum(violations.values())} violations")
    return 1 if violations or missing else 0


if __name__ == "__main__":
    sys.exit(main())
