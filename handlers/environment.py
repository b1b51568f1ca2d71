"""Settings are read from an environment; all problems are reported at once, by name and never with a value."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from handlers.settings import NIGHTLY, SCHEDULE, UNRESOLVED, Model


class SettingsProblems(Exception):
    """Everything that is wrong with the app settings."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_settings[M: Model](model: type[M], environ: Mapping[str, str]) -> M:
    """Read the settings of `model` from an environment. Raises SettingsProblems; empty values count as not set."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    values = {name: environ[name].strip() for name in names if environ.get(name, "").strip()}
    unresolved = [name for name, value in values.items() if value.startswith(UNRESOLVED)]
    problems = [
        f"{name}: its Key Vault reference did not resolve; does the secret exist, may the app read it?"
        for name in unresolved
    ]
    problems += model.joint_problems(values)
    try:
        settings = model(**values)
    except ValidationError as error:
        problems += [problem for problem in _explain(error) if problem.split(":")[0] not in unresolved]
    else:
        if not problems:
            return settings
    raise SettingsProblems(problems)


def _explain(error: ValidationError) -> list[str]:
    problems = []
    for item in error.errors(include_input=False, include_context=False):
        message = "missing" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        problems.append(f"{'.'.join(map(str, item['loc']))}: {message}".removeprefix(": "))
    return problems


def paused(environ: Mapping[str, str]) -> bool:
    """Whether SYNC_PAUSED is on, told before (and whether or not) all settings can be read."""
    return environ.get("SYNC_PAUSED", "").strip().lower() in {"1", "true", "t", "yes", "y", "on"}


def on_trial(environ: Mapping[str, str]) -> bool:
    """Whether TEST_MAILBOX is set, told before (and whether or not) all settings can be read."""
    return bool(environ.get("TEST_MAILBOX", "").strip())


def sweep_schedule(environ: Mapping[str, str]) -> str:
    """When sweeps begin, told before all settings can be read; the default in the place of what is no schedule."""
    told = environ.get("SWEEP_SCHEDULE", "").strip()
    return told if re.fullmatch(SCHEDULE, told) else NIGHTLY
