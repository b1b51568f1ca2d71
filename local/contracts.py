"""Hold recorded requests against the services' OpenAPI documents: `python -m local.contracts FOLDER RECORD [RECORD …]`.

FOLDER holds graph-calendar.v1.0.strict.yaml and openapi_subset.Default_*.json; a RECORD has one JSON object per line, as the
stand-ins write it when FAKES_RECORD names a file. Every request whose path a document has must satisfy it; the others are
listed. The exit status is 1 with any violation, and where nothing could be checked.
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

import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest

GRAPH = "graph-calendar.v1.0.strict.yaml"
ACUMATICA = "openapi_subset.Default_*.json"


@dataclass(frozen=True)
class Contract:
    """One document, and the part of a request's path that comes before its own paths."""

    name: str
    prefix: re.Pattern[str]
    api: OpenAPI
    paths: tuple[re.Pattern[str], ...]

    def path_of(self, path: str) -> str | None:
        """The path as the document has it, if it has it."""
        match = self.prefix.match(path)
        rest = path[match.end() :] if match else ""
        return rest if any(pattern.fullmatch(rest) for pattern in self.paths) else None


def load(folder: Path) -> list[Contract]:
    """All documents of the folder. An Acumatica request is held against every version of its endpoint."""
    found = [(GRAPH, re.compile(r"/v1\.0(?=/)"), yaml.safe_load((folder / GRAPH).read_text(encoding="utf-8")))]
    for file in sorted(folder.glob(ACUMATICA)):
        document = json.loads(file.read_text(encoding="utf-8"))
        found.append((file.name, re.compile(r"(?:/[^/]+)?/entity/Default/[\d.]+(?=/)"), document))
    if len(found) < 2:
        raise FileNotFoundError(f"{folder} has no {ACUMATICA}")
    return [_contract(name, prefix, document) for name, prefix, document in found]


def _contract(name: str, prefix: re.Pattern[str], document: dict[str, Any]) -> Contract:
    document.setdefault("openapi", "3.0.3")
    document["servers"] = [{"url": "http://contract"}]
    for extra in ("security", "source"):
        document.pop(extra, None)
    known = {f"#/components/parameters/{name}" for name in document["components"].get("parameters", {})}
    for item in document["paths"].values():
        for operation in (part for part in item.values() if isinstance(part, dict)):
            operation.pop("security", None)  # the stand-ins check the token themselves
            # Excerpts may lack what is shared: answers, which are not looked at here, and general parameters.
            operation["responses"] = {"default": {"description": "any"}}
            parameters = operation.get("parameters", [])
            operation["parameters"] = [p for p in parameters if "$ref" not in p or p["$ref"] in known]
    paths = tuple(re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path))) for path in document["paths"])
    return Contract(name, prefix, OpenAPI.from_dict(document), paths)


def problems(contract: Contract, path: str, request: dict[str, Any]) -> Iterator[str]:
    """Violations of one request."""
    query = dict(part.split("=", 1) for part in filter(None, request.get("query", "").split("&")))
    body = request.get("body")
    headers = {name: value for name, value in request.get("headers", {}).items() if name.lower() != "content-type"}
    mock = MockRequest(
        "http://contract",
        request["method"].lower(),
        path,
        args={name: unquote(value) for name, value in query.items()},
        headers=headers,
        data=json.dumps(body).encode() if body is not None else b"",
        content_type="application/json",
    )
    for error in contract.api.iter_request_errors(mock):
        schema = getattr(error.__cause__, "schema_errors", None) or getattr(error, "schema_errors", None) or ()
        detail = "; ".join(f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in schema)
        yield f"{error}{': ' + detail if detail else ''}"


def main() -> int:
    """Check records; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m local.contracts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("record", type=Path, nargs="+")
    arguments = parser.parse_args()
    contracts = load(arguments.folder)
    checked: Counter[str] = Counter()
    others: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    for line in (line for file in arguments.record for line in file.read_text(encoding="utf-8").splitlines()):
        request = json.loads(line)
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
    missing = [contract.name for contract in contracts if not checked[contract.name]]
    if missing:
        print(f"No request was held against {', '.join(missing)}: is the record complete?")
    print(f"{sum(violations.values())} violations")
    return 1 if violations or missing else 0


if __name__ == "__main__":
    sys.exit(main())
