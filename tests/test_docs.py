"""What the README promises exists, and what exists is in the README."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from handlers.settings import Settings, StorageSettings
from handlers.sync.mapping import EventTemplate, Mapping, WriteBackTemplate, load_mapping

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def settings_rows() -> dict[str, tuple[str, str]]:
    """Default and meaning by setting, from the README's table."""
    return {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `(\w+)` \| (.*?) ?\| (.*?) \|$", README, re.MULTILINE)}


@pytest.mark.parametrize("model", [Settings, StorageSettings])
def test_every_setting_is_listed_with_its_default_and_meaning(model: type[BaseModel]) -> None:
    rows = settings_rows()
    for field in model.model_fields.values():
        assert field.alias
        default = field.default
        if field.is_required():
            shown = "required"
        else:
            shown = "" if default is None or default == "" or isinstance(default, SecretStr) else f"`{default}`"
        assert rows[field.alias] == (shown, field.description), field.alias


def test_no_setting_is_listed_that_does_not_exist() -> None:
    known = {field.alias for model in (Settings, StorageSettings) for field in model.model_fields.values()}
    assert {name for name in settings_rows() if name.isupper() or "__" in name} <= known


def test_every_key_of_a_mapping_is_explained() -> None:
    table = README[README.index("| Key | Meaning |") :]
    keys = [name for name in Mapping.model_fields if name not in {"name", "event", "write_back"}]
    keys += [f"event.{name}" for name in EventTemplate.model_fields]
    keys += [f"write_back.{name}" for name in WriteBackTemplate.model_fields]
    missing = [key for key in keys if f"`{key}`" not in table]
    assert missing == []


def test_the_mapping_in_the_readme_is_the_one_that_ships() -> None:
    shown = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert len(shown) == 1
    load_mapping("readme", shown[0])
    assert tomllib.loads(shown[0]) == tomllib.loads(
        (ROOT / "mappings/opportunity-meetings.toml").read_text(encoding="utf-8")
    )


def test_every_make_target_is_explained_and_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    assert set(re.findall(r"`make (\w+)`", README)) == targets


def test_every_file_that_the_documentation_links_to_exists() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
