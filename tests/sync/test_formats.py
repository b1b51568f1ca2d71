"""Dates and amounts in texts."""

import random
import shutil
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.event import calendar_event
from handlers.sync.formats import find_locale
from handlers.sync.template import FORMATS, Template, placeholder
from tests.sync.least import SHORT, SITE, body, least

ROOT = Path(__file__).resolve().parents[2]


def shown(template: str, locale: str = "en-US", **columns: Any) -> str:
    mapping = least(f'location = "{template}"', f'locale = "{locale}"')
    return str(body(mapping, **columns)["location"]["displayName"]).replace("\u202f", " ").replace("\xa0", " ")


@pytest.mark.parametrize(
    ("template", "locale", "text"),
    [
        ("{Due:date}", "en-US", "Feb 3, 2026"),
        ("{Due:date}", "en-GB", "3 Feb 2026"),
        ("{Due:date}", "de-DE", "03.02.2026"),
        ("{Due:longdate}", "en-US", "February 3, 2026"),
        ("{Due:longdate}", "fr_FR", "3 février 2026"),
        ("{Due:weekday}", "de", "Dienstag"),
        ("{Due:time}", "en-US", "5:30 PM"),
        ("{Due:time}", "de-DE", "17:30"),
        ("{Due:datetime}", "en-GB", "3 Feb 2026 17:30"),
        ("{Amount:0}", "en-US", "1235"),
        ("{Amount:0.00}", "en-US", "1234.50"),
        ("{Amount:0.00}", "de-DE", "1234,50"),
        ("{Amount:#,##0.00}", "en-US", "1,234.50"),
        ("{Amount:#,##0.00}", "de-CH", "1'234.50"),
        ("{Amount:#,##0}", "hi-IN", "1,235"),
        ("from {Due:date} for {Amount:0.00} EUR", "de", "from 03.02.2026 for 1234,50 EUR"),
        ("{ Due :date}", "de", "03.02.2026"),
        ("{Empty:date}{Empty:0.00}", "en-US", ""),
    ],
)
def test_forms_by_locale(template: str, locale: str, text: str) -> None:
    """CLDR's, and in numbers the mapping's own digits behind the point."""
    assert shown(template, locale, Due="2026-02-03T17:30:00", Amount=1234.5, Empty=None) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5.00"),
        (-5.005, "-5.01"),
        ("1250.5", "1250.50"),
        ("-3", "-3.00"),
        (1e15, "1000000000000000.00"),
        (1e-7, "0.00"),
        (0.1 + 0.2, "0.30"),
    ],
)
def test_numbers_as_they_are_sent(value: Any, text: str) -> None:
    assert shown("{A:0.00}", A=value) == text


@pytest.mark.parametrize("value", ["soon", "1,250.50", "1e5", True, [1], 10**400, 1e300, float("inf"), "٣", "2026-02-03"])
def test_what_is_no_number_is_shown_as_it_is_with_a_note(value: Any) -> None:
    """A text that looks odd is no reason to miss a meeting."""
    found = calendar_event(least('location = "{A:0.00}"'), SHORT | {"A": value}, SITE)
    assert "A is shown as it is: it holds no number." in found.notes


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("date", "soon"),
        ("date", 20260203),
        ("date", "03.02.2026"),
        ("time", "2026-02-03"),
        ("datetime", "2026-02-30T10:00:00"),
    ],
)
def test_what_is_no_date_is_shown_as_it_is(shape: str, value: Any) -> None:
    assert shown(f"{{A:{shape}}}", A=value) == str(value)


def test_an_offset_is_shown_in_the_zone_of_the_mapping() -> None:
    assert shown("{A:datetime}", "en-GB", A="2026-02-03T02:30:00Z") == "2 Feb 2026 21:30"
    assert shown("{A:date}", "en-GB", A="2026-02-03") == "3 Feb 2026"


def test_what_columns_hold_is_still_escaped_and_translated() -> None:
    mapping = least('body = { contentType = "html", content = "<b>{A:0.00}</b>{B:date}" }', tables="[values.A]\n'x' = 5")
    assert body(mapping, A="x", B="<i>")["body"]["content"] == "<b>5.00</b>&lt;i&gt;"


def test_formats_count_in_every_text() -> None:
    event = 'categories = ["Due {D:date}"]\nattendees = [{ address = "a@x.com", name = "A {D:weekday}" }]'
    found = (
        body(least(event, start='subject = "{D:date}"\nstart = "{Start}"').model_copy(), D="2026-02-03") if False else None
    )
    found = body(least(event), D="2026-02-03")
    assert found["categories"] == ["Due Feb 3, 2026"]
    assert found["attendees"][0]["emailAddress"]["name"] == "A Tuesday"


def test_a_colon_with_a_blank_behind_it_belongs_to_the_caption() -> None:
    assert placeholder("Inventory Item: Last Modified") == ("Inventory Item: Last Modified", "")
    assert placeholder("Item: date") == ("Item: date", "")
    assert placeholder("Item: Due:date") == ("Item: Due", "date")
    assert Template.parse("{Item: Due:date}").columns == ("Item: Due",)


@pytest.mark.parametrize("name", ["en", "de-AT", "zh-Hant-TW", "pt_BR", "sr-Latn"])
def test_locales(name: str) -> None:
    assert find_locale(name).language == name[:2]


@pytest.mark.parametrize("name", ["", "-", "../../etc/passwd", "xx-YY", "en-US-x-y-z", "e" * 10_000, "en\0", "root\\"])
def test_what_is_no_locale(name: str) -> None:
    with pytest.raises(ValueError, match="is no locale"):
        find_locale(name)


def test_any_text_between_braces_is_a_column_a_format_or_refused() -> None:
    chance = random.Random(1)
    letters = string.printable.replace("{", "").replace("}", "") + ":::00##,,.é\u2028"
    for _ in range(5000):
        inside = "".join(chance.choices(letters, k=chance.randint(1, 8)))
        try:
            parsed = Template.parse(f"{{{inside}}}")
        except ValueError:
            continue
        (column,) = parsed.columns
        (part,) = parsed.formatted or (parsed.parts[0],)
        assert column
        assert column == column.strip()
        assert part.shown == "" or part.shown in FORMATS or set(part.shown) <= set("#,0.")


def test_babel_is_not_imported_unless_a_mapping_asks_for_it(tmp_path: Path) -> None:
    """It takes as long as the rest of the core: no cold start pays for what is not used."""
    shutil.copy(ROOT / "ready-made/opportunity-meetings.toml", tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom handlers.operations import preview\n"
        f"preview.read(Path('tests/fixtures/new_event.json').read_bytes(), Path({str(tmp_path)!r}))\n"
        "print('babel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
