"""The file for support: versions, settings, mapping files, counts, last errors; no secrets and no row contents."""

import importlib.metadata
import json
import platform
import re
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from handlers import __version__
from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError
from handlers.operations import dead_letters
from handlers.operations.check import Check
from handlers.services import ROOT, Factory, NotReady
from handlers.settings import PageSettings, Settings, StorageSettings
from handlers.sync.slots import slot_to_state

_ADDRESS = re.compile(r"[^\s@<>\"'(]+@[^\s@<>\"')]+")


def write(factory: Factory, environ: Mapping[str, str], file: Path, checks: Sequence[Check]) -> None:
    """Write a file for support: versions, settings without secrets, mapping files, counts and last errors.

    No row contents: addresses are taken out of texts, and of a reason what follows a colon, which may be about the row.
    """
    about = {
        "app": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": _packages(),
    }
    parts = {
        "about.json": about,
        "settings.json": _settings(environ),
        "checks.json": [{name: _redacted(text) for name, text in asdict(check).items()} for check in checks],
    }
    try:
        parts["state.json"] = _state(factory.storage())
    except (NotReady, StorageError) as error:
        parts["state.json"] = {"storage": type(error).__name__}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(content, indent=2, ensure_ascii=False))
        folder = ROOT / (environ.get("MAPPINGS_DIR", "").strip() or "mappings")
        for mapping in sorted(folder.glob("*.toml")):
            archive.writestr(f"mappings/{mapping.name}", mapping.read_bytes())


def _packages() -> dict[str, str]:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    found = {}
    for name in pinned:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Every setting; secrets and addresses only as set or not."""
    shown = {}
    models: tuple[type[BaseModel], ...] = (Settings, PageSettings, StorageSettings)
    for model in models:
        for name, field in model.model_fields.items():
            alias = field.alias or name
            value = environ.get(alias, "").strip()
            secret = SecretStr in _types(field.annotation)
            shown[alias] = "(not set)" if not value else "(set)" if secret else _redacted(value)
    return shown


def _types(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))


def _state(storage: Storage) -> dict[str, Any]:
    links: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for link in storage.links.all():
        links[f"{link.mapping}: {'present' if link.present else 'removed'}"] += 1
        if link.last_error:
            errors[_reason(link.last_error)] += 1
    letters = Counter(letter.facts.code or _reason(letter.facts.reason) for letter in dead_letters.find(storage))
    count, since = storage.queue.waiting()
    return {
        "links": dict(links),
        "last_errors": dict(errors.most_common(50)),
        "dead_letters": dict(letters.most_common(50)),
        "queue": {"messages": count, "oldest": since.isoformat() if since else None},
        "slots": {name: slot_to_state(slot)["state"] for name, (slot, _) in storage.slots.all().items()},
    }


def _reason(text: str) -> str:
    return _redacted(text.partition(":")[0])


def _redacted(text: str) -> str:
    return _ADDRESS.sub("<address>", text)
