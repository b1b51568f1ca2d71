"""What the host is told: app settings, and host.json."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self


class ConfigError(Exception):
    """The host cannot start like this; the message names the value and the remedy."""


def read_settings(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the app settings: the "Values" of a local.settings.json, overridden by the environment. Raises ConfigError.

    https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
    """
    values: dict[str, str] = {}
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text.strip():
        known = _json_object(file, text).get("Values")
        if not isinstance(known, dict):
            raise ConfigError(f'{file}: "Values" is missing; the settings stand in it.')
        values = {name: str(value) for name, value in known.items()}
    return values | dict(environment)


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """Replace `%NAME%` in a property of a binding by the app setting NAME.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns#binding-expressions---app-settings
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise ConfigError(f"The app setting {match[1]} is missing; a binding refers to it as {match[0]}.")
        return settings[match[1]]

    return re.sub("%([^%]+)%", value, text)


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """How queue triggers behave; durations in seconds.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#host-json
    """

    batch_size: int = 16
    new_batch_threshold: int | None = None
    max_polling_interval: float = 60
    visibility_timeout: float = 0
    max_dequeue_count: int = 5
    base64: bool = True

    @property
    def threshold(self) -> int:
        """The number of messages in flight at which the next batch is fetched."""
        if self.new_batch_threshold is not None:
            return self.new_batch_threshold
        return self.batch_size // 2 * (os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class HostJson:
    """The parts of host.json that matter here; durations in seconds.

    https://learn.microsoft.com/azure/azure-functions/functions-host-json
    """

    route_prefix: str = "api"
    function_timeout: float = 1800
    queues: QueueOptions = QueueOptions()

    @classmethod
    def read(cls, file: Path, settings: Mapping[str, str]) -> Self:
        """Read a host.json; app settings named AzureFunctionsJobHost__section__key override it.

        https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values
        """
        document = _json_object(file, file.read_text(encoding="utf-8")) if file.exists() else {}
        for name, value in settings.items():
            if name.startswith("AzureFunctionsJobHost__"):
                _override(document, name.split("__")[1:], value)
        extensions = document.get("extensions", {})
        try:
            return cls(
                route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
                function_timeout=_timeout(document.get("functionTimeout", "00:30:00")),
                queues=_queue_options(extensions.get("queues", {})),
            )
        except ValueError as error:
            raise ConfigError(f"{file}: {error}") from error


def _queue_options(queues: Mapping[str, Any]) -> QueueOptions:
    known: dict[str, Any] = {}
    for key, field in (
        ("batchSize", "batch_size"),
        ("newBatchThreshold", "new_batch_threshold"),
        ("maxDequeueCount", "max_dequeue_count"),
    ):
        if key in queues:
            known[field] = int(queues[key])
    for key, field in (("maxPollingInterval", "max_polling_interval"), ("visibilityTimeout", "visibility_timeout")):
        if key in queues:
            known[field] = seconds(queues[key])
    options = QueueOptions(**known, base64=queues.get("messageEncoding", "base64").lower() == "base64")
    if not 1 <= options.batch_size <= 32:
        raise ValueError(f"extensions.queues.batchSize is {options.batch_size}; it must be from 1 to 32.")
    if options.max_dequeue_count < 1:
        raise ValueError("extensions.queues.maxDequeueCount must be 1 or more.")
    return options


def seconds(text: str) -> float:
    """Read a .NET time span: `[d.]hh:mm:ss[.fff]`."""
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)", str(text))
    if not match:
        raise ValueError(f"{text!r} is no duration; write hh:mm:ss.")
    days, hours, minutes, rest = match.groups(default="0")
    return timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(rest)).total_seconds()


def _timeout(text: str) -> float:
    return float("inf") if str(text) == "-1" else seconds(text)


def _override(document: dict[str, Any], path: list[str], value: str) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value


def _json_object(file: Path, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file} must hold a JSON object.")
    return document
