"""handlers/sync decides and does nothing else: no I/O, no clock, no randomness, no SDK."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "handlers/sync").glob("*.py"))

# Whatever is not listed here needs a reason: none of these reads a file, a socket, the clock or the environment.
ALLOWED = {
    "babel",  # tables
    "collections",
    "contextlib",
    "dataclasses",
    "decimal",
    "datetime",
    "difflib",
    "email.utils",
    "enum",
    "functools",
    "hashlib",
    "html",
    "idna",  # tables
    "itertools",
    "json",
    "pydantic",
    "pydantic_core",
    "re",
    "tomllib",
    "types",
    "typing",
    "urllib.parse",
    "tzlocal.windows_tz",  # two tables
    "zoneinfo",  # tables
    "handlers.sync",
}
CLOCK_AND_IO = {
    "now",
    "utcnow",
    "today",
    "monotonic",
    "localtime",
    "formatdate",
    "open",
    "print",
    "input",
    "exec",
    "eval",
    "__import__",
    "read_text",
    "write_text",
    "get_localzone",
    "environ",
    "getenv",
    "uuid4",
}


def test_there_are_files_to_look_at() -> None:
    """The checks below would pass on an empty list."""
    expected = {"__init__.py", "errors.py", "event.py", "link.py", "mapping.py", "notification.py", "plan.py", "template.py"}
    assert {file.name for file in FILES} >= expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_imports_are_on_the_list(file: Path) -> None:
    """Every import, also one inside a function, is of a module that only computes."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            modules.append(node.module or "")
    strangers = [m for m in modules if not any(m == a or m.startswith(a + ".") for a in ALLOWED)]
    assert strangers == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_call_of_a_clock_or_of_io(file: Path) -> None:
    """What allowed modules offer of the clock (datetime.now) and what Python has built in (open) stays unused."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert (called | attributes) & CLOCK_AND_IO == set()


def test_a_fresh_interpreter_loads_no_sdk() -> None:
    """Importing the core brings in no Azure SDK, no HTTP library, no msal, none of the other parts of the app."""
    code = (
        "import sys, importlib\n"
        f"for name in {[file.stem for file in FILES if file.stem != '__init__']!r}:\n"
        "    importlib.import_module('handlers.sync.' + name)\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    forbidden = ("azure", "babel", "requests", "msal", "urllib3", "http.client", "socket", "ssl", "asyncio", "subprocess")
    found = [m for m in loaded if m.startswith(tuple(f + "." for f in forbidden)) or m in forbidden]
    assert "handlers.sync.plan" in loaded
    assert found == []
    assert [m for m in loaded if m.startswith("handlers.") and not m.startswith("handlers.sync")] == []


def test_a_whole_run_touches_nothing() -> None:
    """From body to plan without opening a file, a socket or a process, as Python's audit events tell."""
    code = """
import sys
from datetime import UTC, datetime
from handlers.sync.answers import acumatica_error, graph_error
from handlers.sync.link import (merge, new_link)
from handlers.sync.link_state import (from_state, to_state)
from handlers.sync.mapping_file import load_mapping
from handlers.sync.notification import parse_notification, row_changes
from handlers.sync.plan import intend, plan, wanted_event
from handlers.sync.scope import Scope

text = open("ready-made/opportunity-meetings.toml", encoding="utf-8").read()
body = open("tests/fixtures/new_event.json", "rb").read().replace(b":00\\"", b":00Z\\"")
seen = []

def run():
    mapping = load_mapping("m", text)
    note = parse_notification(body, company="Production", queries=[mapping.query], now=datetime(2026, 2, 2, tzinfo=UTC))
    (change,), _ = row_changes(note, [mapping], 0.0)
    link = merge(new_link(change, 0.0), change, mapping)
    wanted = wanted_event(link, mapping, Scope())
    link = from_state(to_state(intend(link, wanted, mapping, 0.0)))
    graph_error(404, {}, b"{}"), acumatica_error(422, {}, b"{}")
    return plan(link, wanted, mapping, 0.0)

assert len(run()) == 1  # zones and regular expressions are cached from here on
watching = True
sys.addaudithook(lambda event, args: seen.append(event) if watching else None)
run()
watching = False
print(*sorted({e for e in seen if e.split(".")[0] in {"open", "socket", "os", "subprocess", "import", "urllib"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
