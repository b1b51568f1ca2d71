"""Everything on one machine: host, storage, fakes of the services, judge, demo. Never deployed."""

import importlib.util
import sys

# `python3 -m local.demo` with a Python that was not set up: one sentence instead of a traceback.
if sys.version_info < (3, 13) or not all(map(importlib.util.find_spec, ("aiohttp", "pydantic", "requests"))):
    raise SystemExit(
        "This Python (%s) is not the one that `make setup` (or `python3 local/setup.py`) makes. "  # noqa: UP031
        "Run that, then .venv/bin/python -m local.… (Windows: .venv\\Scripts\\python)." % sys.executable
    )
