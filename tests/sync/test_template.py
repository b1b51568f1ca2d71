"""Templates, and how columns are found in rows."""

import pytest

from handlers.sync.template import MissingColumns, Template, pick


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("Visit", "Visit"),
        ("{A}", "x"),
        ("{A}{B}", "xy"),
        ("{ A }", "x"),
        ("{A}: {B}!", "x: y!"),
        ("{{A}}", "{A}"),
        ("{{{A}}}", "{x}"),
        ("a }} b {{ c", "a } b { c"),
        ("{Null}", ""),
        ("{A} {Null}", "x"),
        ("{Absent}", ""),
        ("{Padded}/{A}", "z/x"),
        ("{Flag} {Number} {Float} {Whole}", "true 7 12.5 12"),
        ("{Odd}", "{A}"),
        ("{Größe (m²)}", "groß"),
    ],
)
def test_rendering(source: str, text: str) -> None:
    """Columns are put in trimmed and once only; double braces are braces; null and nothing are nothing."""
    row = {
        "A": "x",
        "B": "y",
        "Null": None,
        "Padded": " z  ",
        "Flag": True,
        "Number": 7,
        "Float": 12.5,
        "Whole": 12.0,
        "Odd": "{A}",
    }
    assert Template.parse(source).render(row | {"Größe (m²)": "groß", "Whole": 12.0}) == text


@pytest.mark.parametrize(
    ("source", "position"),
    [("{", 1), ("}", 1), ("a{", 2), ("{A", 1), ("A}", 2), ("{}", 1), ("{ }", 1), ("{A}}", 4), ("{a{b}", 1)],
)
def test_unbalanced_braces(source: str, position: int) -> None:
    """The position is told."""
    with pytest.raises(ValueError, match=f"^the brace at position {position} is not part of a {{Column}}"):
        Template.parse(source)


def test_columns_in_the_order_of_their_use() -> None:
    """With repetitions; literal braces name none."""
    assert Template.parse("{B} {{C}} {A}{B}").columns == ("B", "A", "B")


# -- columns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrived", "asked"),
    [
        ("MeetingStart", "MeetingStart"),
        ("MeetingStart", "Meeting Start"),
        ("meetingstart", "MeetingStart"),
        ("MeetingStart", "Meeting-Start."),
        ("InventoryItem_lastModifiedDateTime", "Inventory Item: Last Modified DateTime"),
        ("STRASSE", "Straße"),
        ("ÄNDERUNG", "änderung"),
        ("Nr_1", "Nr. 1"),
    ],
)
def test_captions_lose_blanks_and_punctuation(arrived: str, asked: str) -> None:
    """A column is found by its letters and digits, under the name that the mapping has for it."""
    assert pick({"Other": 0, arrived: 1}, [asked]) == {asked: 1}


def test_an_exact_name_comes_first() -> None:
    """Also when another one folds to the same."""
    assert pick({"start": 1, "Start": 2, "S t a r t": 3}, ["Start"]) == {"Start": 2}


def test_missing_columns_are_named() -> None:
    """All of them, and those that arrived; null is not missing."""
    with pytest.raises(MissingColumns) as caught:
        pick({"B": None, "A": 1}, ["B", "C", "D"])
    assert str(caught.value) == "The inquiry's rows have no column C, D. Columns that arrived: A, B."
    with pytest.raises(MissingColumns, match=r"Columns that arrived: none\."):
        pick({}, ["A"])
