"""What README and docs promise exists, and what exists is in them."""

import json
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from handlers.settings import PageSettings, Settings, StorageSettings
from handlers.sync import mapping, mapping_conditions, mapping_event, mapping_relay
from handlers.sync.mapping import NOT_KEYS, RESULTS
from handlers.sync.mapping_event import EventChanges
from handlers.sync.mapping_file import MappingProblems, load_mapping
from handlers.sync.mapping_values import Table
from local import docs

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
LOCAL = (ROOT / "docs/local.md").read_text(encoding="utf-8")
MAPPING = (ROOT / "docs/mapping.md").read_text(encoding="utf-8")
PAGES = [page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]]
READY_MADE = sorted(ROOT.glob("ready-made/*.toml"))
MINIMAL: dict[str, Any] = {
    "query": "Calendar - Visits",
    "key": ["VisitID"],
    "mailbox": "{OwnerEmail}",
    "time_zone": "UTC",
    "event": {"subject": "{Subject}", "start": "{Start}"},
}


UNITS = {
    "SECONDS": "seconds", "HOURS": "hours", "DAYS": "days", "MIB": "MiB", "ROWS": "rows", "SESSIONS": "sessions",
    "MINUTES": "minutes", "MAX": "rows",
}  # fmt: skip


def settings_rows() -> dict[str, tuple[str, str, str]]:
    """Default, unit and meaning by setting, from the tables of docs/settings.md."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| (.*?) ?\| (.*?) \|$", SETTINGS, re.MULTILINE)
    assert len(rows) == len({row[0] for row in rows}), "each is listed once"
    return {name: (default, unit, meaning) for name, default, unit, meaning in rows}


def unit_and_bounds(field: FieldInfo) -> str:
    """As `seconds, 0 to 300`; nothing for what is no number."""
    limits = {type(limit): limit for limit in field.metadata}
    if not limits.keys() & {Ge, Gt}:
        return ""
    assert field.alias
    unit = UNITS[field.alias.rpartition("_")[2]]
    low = f"over {limits[Gt].gt}" if Gt in limits else f"{limits[Ge].ge}"
    return f"{unit}, {low} to {limits[Le].le}" if Le in limits else f"{unit}, {low} or more"


@pytest.mark.parametrize("model", [Settings, StorageSettings, PageSettings])
def test_every_setting_is_listed_with_its_default_unit_and_meaning(model: type[BaseModel]) -> None:
    rows = settings_rows()
    for field in model.model_fields.values():
        assert field.alias
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default  # as it is written
        if field.is_required():
            shown = "required"
        else:
            shown = "" if default is None or default == "" or isinstance(default, SecretStr) else f"`{default}`"
        assert rows[field.alias] == (shown, unit_and_bounds(field), field.description), field.alias


def test_no_setting_is_listed_that_does_not_exist() -> None:
    known = {field.alias for model in (Settings, StorageSettings, PageSettings) for field in model.model_fields.values()}
    assert settings_rows().keys() == known


def test_every_key_of_a_mapping_is_listed_with_its_default_and_meaning() -> None:
    table = MAPPING[MAPPING.index("<!-- keys -->") :]
    rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `(.+?)` \| (.*?) ?\| (.*) \|$", table, re.MULTILINE)}
    known = {
        prefix + (field.alias or name): field
        for prefix, model in docs.TABLES.items()
        for name, field in model.model_fields.items()
        if (prefix or name not in NOT_KEYS) and model is not EventChanges  # whose keys are those of [event]
    }
    section = table[: table.index("<!-- end -->")]
    assert {key for key in rows if f"| `{key}` |" in section} == known.keys() | {"shape.event.…"}
    for key, field in known.items():
        default, meaning = rows[key]
        assert (default == "required") == field.is_required(), key
        assert meaning == field.description or (not field.description and meaning), key


def test_no_table_of_a_mapping_is_forgotten() -> None:
    models = {
        model
        for module in (mapping, mapping_conditions, mapping_event, mapping_relay)
        for model in vars(module).values()
        if isinstance(model, type)
    }
    assert {model for model in models if issubclass(model, BaseModel)} - {BaseModel, Table} == set(docs.TABLES.values())


def test_every_placeholder_of_write_back_is_explained() -> None:
    recipe = MAPPING[MAPPING.index("### Write-back") : MAPPING.index("### What happens on changes")]
    assert set(re.findall(r"^\| `\{([\w.]+)\}` \|", recipe, re.MULTILINE)) == RESULTS


def test_what_is_made_is_in_step() -> None:
    """Previews, the table of keys, the JSON Schema."""
    made = docs.files()
    assert {path.name for path in made} == {"mapping.schema.json", "mapping.md", "ready-made.md", "relay.md"}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


def test_every_made_block_has_its_end() -> None:
    for page in PAGES:
        marks = re.findall(r"^<!-- (\w+)", page, re.MULTILINE)
        assert marks[1::2] == ["end"] * (len(marks) // 2)
        assert set(marks[::2]) <= {"preview", "file", "keys", "run", "sent", "bench"}
        assert len(marks) % 2 == 0


def test_each_ready_made_mapping_has_its_preview_and_its_inquiry() -> None:
    page = (ROOT / "docs/ready-made.md").read_text(encoding="utf-8")
    for file in READY_MADE:
        parts = re.split(r"^## ", page, flags=re.MULTILINE)
        (section,) = [part for part in parts if part.startswith(f"{file.stem}\n")]
        assert f"<!-- preview tests/fixtures/ready-made/{file.stem}.notification.json --mappings ready-made -->" in section
        assert "DEAD LETTER" not in section
        assert "problem" not in section
        captions = set(re.findall(r"^\| .* \| `(\w+)` \|", section, re.MULTILINE))
        assert captions == set(load_mapping(file.stem, file.read_text(encoding="utf-8")).columns), file.stem


def test_every_piece_of_toml_in_the_pages_is_a_mapping_or_fits_into_one() -> None:
    pieces = [piece for page in PAGES for piece in re.findall(r"^ *```toml\n(.*?)```", page, re.DOTALL | re.MULTILINE)]
    assert len(pieces) > 12
    validator = jsonschema.Draft7Validator(docs.schema())
    for piece in pieces:
        given = tomllib.loads(textwrap.dedent(piece))
        of_relay = {name: value for name, value in MINIMAL.items() if name not in docs.OF_EVENTS}
        whole = (of_relay if "relay" in given else MINIMAL) | given
        if "footer" not in given and "link" not in given and "values" in given:  # its columns have to be used somewhere
            whole["event"] = whole["event"] | {"location": " ".join(f"{{{column}}}" for column in given["values"])}
        load_mapping("piece", as_toml(whole))
        assert [error.message for error in validator.iter_errors(whole)] == [], piece


@pytest.mark.parametrize("file", READY_MADE, ids=lambda file: file.stem)
def test_the_schema_accepts_the_ready_made_mappings_which_name_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    directive = text.partition("\n")[0]
    assert directive.startswith("#:schema ")
    target = (file.parent / directive.removeprefix("#:schema ")).resolve()
    schema = json.loads(target.read_text(encoding="utf-8"))
    assert "draft-07" in schema["$schema"]
    jsonschema.Draft7Validator.check_schema(schema)
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"calender": "Visits"},
        {"name": "another"},
        {"event": MINIMAL["event"] | {"showAs": "Busy"}},
        {"event": MINIMAL["event"] | {"begin": "{Start}"}},
        {"event": MINIMAL["event"] | {"end": {"minutes": -5}}},
        {"event": MINIMAL["event"] | {"end": {"minutes": 5, "hours": 1}}},
        {"event": MINIMAL["event"] | {"end": {"time_span": "0130"}}},
        {"values": {"Subject": {"A": "{Start}"}}},
        {"event": {"subject": "{Subject}"}},
        {"on": {"delete": "remove"}},
        {"when": {"Status": {"is": "Open"}}},
        {"write_back": {"endpoint": "Default", "entity": "Case", "id": "{NoteID}", "fields": {"A": "{event_id}"}}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_app_refuses(wrong: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(docs.schema())
    assert not list(validator.iter_errors(MINIMAL))
    assert list(validator.iter_errors(MINIMAL | wrong))
    load_mapping("right", as_toml(MINIMAL))
    with pytest.raises(MappingProblems):
        load_mapping("wrong", as_toml(MINIMAL | wrong))


def as_toml(data: dict[str, Any]) -> str:
    """A file with everything in inline tables."""

    def inline(value: Any) -> str:
        match value:
            case dict():
                return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + "}"
            case list():
                return "[" + ", ".join(map(inline, value)) + "]"
            case _:
                return json.dumps(value)

    return "\n".join(f"{key} = {inline(value)}" for key, value in data.items())


def test_the_mapping_in_the_readme_is_the_one_that_ships() -> None:
    shown = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert len(shown) == 1
    load_mapping("readme", shown[0])
    assert tomllib.loads(shown[0]) == tomllib.loads(
        (ROOT / "ready-made/opportunity-meetings.toml").read_text(encoding="utf-8")
    )


def test_every_make_target_is_explained_and_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    assert set(re.findall(r"^\| `make (\w+)` \|", LOCAL, re.MULTILINE)) == targets
    for page in (README, LOCAL):
        assert set(re.findall(r"(?m)(?:`|^)make (\w+)", page)) <= targets


def test_the_readme_is_short_and_its_first_screen_has_what_a_newcomer_asks() -> None:
    assert len(README.splitlines()) <= 140
    first = README[: README.index("\n## ")]
    assert first.count("\n") < 30
    asked = [
        "2017 R2",
        "Exchange Online",
        "Azure subscription",
        "US dollars a month",
        "architecture.svg",
        "make demo",
        "make test",
    ]
    assert [word for word in asked if word not in first] == []


def test_every_file_that_the_documentation_links_to_exists() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_section_that_the_documentation_links_to_exists() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target, section in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert section in anchors, f"{page.name}: {target}#{section}"
