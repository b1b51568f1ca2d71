"""Nothing that version 0.1.0 deployed is lost: its resources and properties, held against the Bicep files.

fixtures/resources.json is what Azure Resource Manager would have got from 0.1.0 with two sets of parameters, as the Bicep
compiler evaluated it: names with {token} for the hash; values that were expressions are left out. Nothing is evaluated
here: a property has to be there, and where Bicep has a literal, it has to be the one of then.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.bicep import Bicep, leaves, literal

ROOT = Path(__file__).resolve().parent.parent.parent
KNOWN: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures/resources.json").read_text(encoding="utf-8"))
FILES = [Bicep(path) for path in (ROOT / "infra/main.bicep", *sorted((ROOT / "infra/modules").glob("*.bicep")))]
LINES_MAX = 1500

# What has been changed on purpose since, by type.
CHANGED = {
    "Microsoft.Insights/scheduledQueryRules": {
        # two looks in a row, for what may pass by itself
        "properties.criteria.allOf[].failingPeriods.minFailingPeriodsToAlert",
        "properties.criteria.allOf[].failingPeriods.numberOfEvaluationPeriods",
        "properties.actions.actionGroups",  # once an empty list, once one of a group
    },
    "Microsoft.KeyVault/vaults": {"properties.networkAcls.ipRules"},  # an empty list
    "Microsoft.Storage/storageAccounts": {"properties.networkAcls.ipRules"},
    "Microsoft.Web/sites": {"properties.siteConfig.ipSecurityRestrictions"},
}


def declared(kind: str) -> list[tuple[Bicep, str]]:
    """The declarations of a type: file and symbol."""
    return [(file, symbol) for file in FILES for symbol, name in file.resources.items() if name.partition("@")[0] == kind]


def found(kind: str) -> dict[str, set[str | None]]:
    """Literals (as JSON; None for an expression) by path, of all declarations of a type."""
    values: dict[str, set[str | None]] = {}
    for file, symbol in declared(kind):
        for name, node in file.body(symbol).items():
            for path, value in leaves(file.variables.get((node.text or b"").decode(), node), name):
                values.setdefault(path, set()).add(None if value is None else json.dumps(value))
    return values


def names(kind: str) -> Iterator[str]:
    """Names of the resources of a type, as far as they are written down: those of a loop by what it goes over."""
    for file, symbol in declared(kind):
        text = (file.body(symbol)["name"].text or b"").decode()
        loop = re.search(
            rf"resource {symbol} [^\n]*\n? *(?:\[\s*)?for (?:\((\w+), \w+\)|(\w+)) in (\[[^\n]*\]|[\w()]+):", file.text
        )
        shown = text.strip("'").replace("${common.token}", "{token}")
        if not loop:
            yield shown
            continue
        item, over = loop[1] or loop[2], loop[3]
        over = {"newZones": "endpoints", "recorded": "endpoints"}.get(over, over)
        if over.startswith("["):
            items: list[Any] = re.findall(r"'([^']+)'", over)
        else:
            known = file.variables.get(over)
            while known is not None and known.type not in {"array", "object"}:
                known = known.named_children[-1]
            items = literal(known) if known is not None else []
        for each in items:
            name = shown.replace(f"any({item})", str(each)) if isinstance(each, str) else shown
            if isinstance(each, dict):
                for key, value in each.items():
                    name = name.replace(f"${{{item}.{key}}}", value) if isinstance(value, str) else name
                    name = value if name == f"{item}.{key}" else name
            yield (str(each) if name == item else name).replace("${storageSuffix}", "core.windows.net")


@pytest.mark.parametrize("kind", [kind for kind in KNOWN if kind != "Microsoft.Web/sites/config"])
def test_every_property_that_was_set_is_set(kind: str) -> None:
    assert declared(kind), "no resource of this type is left"
    values = found(kind)
    for path, wanted in KNOWN[kind]["properties"].items():
        if path in CHANGED.get(kind, set()):
            continue
        assert path in values, path
        if None not in values[path]:
            assert {json.dumps(value) for value in wanted} <= values[path], path


@pytest.mark.parametrize("kind", [kind for kind in KNOWN if KNOWN[kind]["names"]])
def test_every_resource_has_the_name_that_it_had(kind: str) -> None:
    """Another name would be another resource: a second storage account, with no data in it."""
    assert set(KNOWN[kind]["names"]) <= set(names(kind))


def test_the_hash_in_the_names_is_made_of_the_same() -> None:
    assert "token: toLower(uniqueString(resourceGroup().id, environmentName, location))" in FILES[0].text


def test_every_app_setting_can_still_be_set() -> None:
    main = FILES[0]
    own = {path.partition(".")[2] for path, _ in leaves(main.body("appSettings")["properties"], "properties")}
    secret = {path for path, _ in leaves(main.variables["secretNames"])}
    parameters = json.loads((ROOT / "infra/main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert set(KNOWN["Microsoft.Web/sites/config"]["properties"]) <= {*parameters["settings"]["value"], *secret, *own}


def test_every_alert_has_the_title_and_the_severity_that_it_had() -> None:
    alerts = literal(Bicep(ROOT / "infra/modules/alerts.bicep").variables["alerts"])
    now = {f"alert-{alert['name']}-{{token}}": [alert["severity"], alert["title"]] for alert in alerts}
    assert now == KNOWN["Microsoft.Insights/scheduledQueryRules"]["alerts"]


def test_every_tile_of_the_workbook_is_there() -> None:
    workbook = json.loads((ROOT / "infra/workbook.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in workbook["items"]] == KNOWN["Microsoft.Insights/workbooks"]["tiles"]


def test_infra_stays_short() -> None:
    files = [path for path in (ROOT / "infra").rglob("*") if path.is_file() and "_env" not in str(path.parent)]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files if "__pycache__" not in path.parts)
    assert lines < LINES_MAX
