"""What is wrong with a mapping file, in words: what was found, what has to stand there, and where it belongs."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from handlers.sync.near import nearest
from handlers.sync.template import folded

type Models = dict[str, type[BaseModel]]

_CURLY = re.compile("[\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb]")
_WHERE = re.compile(r"\(at (?:line (\d+), column \d+|end of document)\)$")
_KEY = r"""\s*(?P<key>[\w."'-]+)\s*"""
_ENDINGS = ("toml", "tml", "tom", "txt")


# -- files -------------------------------------------------------------------------------------------------------------


def decoded(name: str, data: bytes) -> str:
    """A file's text. Raises ValueError with the remedy where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            found = "it is UTF-16"
        else:
            found = f"line {data[: error.start].count(b'\n') + 1} has a character in another encoding, such as ANSI"
        raise ValueError(f"{name}: {found}; save it as UTF-8 (in Notepad: Save as, Encoding)") from None


def misnamed(names: list[str]) -> list[str]:
    """Files of a folder that were probably meant to be mappings, and are none because of their names."""
    found = []
    for name in sorted(names):
        stem, _, ending = name.rpartition(".")
        if name.casefold() == "readme.txt" or not stem or name.endswith(".toml"):
            continue
        if ending.casefold() in _ENDINGS or ".toml" in name.casefold():
            right = re.split(r"(?i)\.(?:toml|tml|tom|txt)\b", name)[0] + ".toml"
            found.append(f"{name}: is no mapping because of its ending; rename it to {right} (Windows hides known endings)")
    return found


def toml_problem(text: str, message: str) -> str:
    """Why a text is no TOML, by what people write instead; the parser's own words where that is not known."""
    where = _WHERE.search(message)
    lines = text.splitlines()
    line = lines[int(where[1]) - 1] if where and where[1] and int(where[1]) <= len(lines) else (lines or [""])[-1]
    words = next(_hints(line, message), message[: where.start()].strip() if where else message)
    return f"{words} {where[0]}" if where else words


def _hints(line: str, message: str) -> Iterator[str]:
    unquoted = re.match(rf"{_KEY}=\s*(?P<value>\{{\s*[\w .:#-]+\}}.*|[^\s\"'\[{{\d+-].*)$", line)
    value = unquoted["value"].partition("#")[0].strip().strip("\"'") if unquoted else ""
    empty = re.match(rf"{_KEY}=\s*(#.*)?$", line)
    colon = re.match(rf"{_KEY}:\s*(?P<value>\S.*)", line)
    odd = line.count('"') % 2 or (line.count("'") % 2 and '"' not in line)
    cases = (
        (re.match(rf"{_KEY}=\s*[<>!]", line), "greater, less and the like are conditions of the inquiry, not of a mapping"),
        (_CURLY.search(line), 'curly quotes; texts stand in straight ones: "…"'),
        (message.startswith("Cannot "), "this key or table stands in the file already: bring the two together"),
        (unquoted and value not in {"true", "false"}, f'text stands in quotes: {unquoted and unquoted["key"]} = "{value}"'),
        (empty, f'there is no value: {empty and empty["key"]} = "…"'),
        (
            "\\" in line and "escape" in message.casefold(),
            "a backslash in a text is written twice, or the text stands in single quotes",
        ),
        (odd, "a quote is missing: texts begin and end with one"),
        (colon, f"between key and value stands =: {colon and colon['key']} = {colon and colon['value'].strip()}"),
        (line.lstrip().startswith("[") and "]" not in line, "the ] of a [table] is missing"),
        (line.count("{") > line.count("}"), "a table in braces has to end on its line: { … }"),
    )
    return (words for holds, words in cases if holds)


# -- keys and values ---------------------------------------------------------------------------------------------------


def known_keys(model: type[BaseModel], hidden: set[str]) -> dict[str, FieldInfo]:
    """A table's keys, as they are written."""
    return {field.alias or name: field for name, field in model.model_fields.items() if name not in hidden}


def tables(root: type[BaseModel]) -> Models:
    """The models of a file's own tables, by name; its top is the empty name."""
    found: Models = {"": root}
    for name, field in root.model_fields.items():
        kinds = () if get_origin(field.annotation) is list else (field.annotation, *get_args(field.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def unknown_key(key: str, word: str, table: str, known: list[str], homes: dict[str, list[str]]) -> str:
    """What is said of a key that its table does not have: where it belongs, or what was probably meant.

    `table`: the file's table that it was found in, by its name. `homes`: the keys of each of the file's tables.
    """
    by_form = {folded(name): name for name in known}
    if "when" in key.split(".")[:-1]:
        near = nearest(word, known)
        meant = f"did you mean {near}? (known" if near else "greater, less and the like are conditions of the inquiry (known"
        return f"{key}: unknown key; {meant}: {', '.join(known)})"
    meant = by_form.get(folded(word), "")
    if not meant and (elsewhere := _home(word, table, homes, exact=True)):
        return f"{key}: {elsewhere}"
    meant = meant or nearest(word, known)
    if not meant and "." not in key and (elsewhere := _home(word, table, homes, exact=False)):
        return f"{key}: {elsewhere}"
    return f"{key}: unknown key{f'; did you mean {meant}?' if meant else ''} (known: {', '.join(known)})"


def home_of(word: str, homes: dict[str, list[str]]) -> set[tuple[str, str]]:
    """The tables that have such a key, with its right name."""
    return {(table, name) for table, names in homes.items() for name in names if folded(name) == folded(word)}


def _home(word: str, table: str, homes: dict[str, list[str]], *, exact: bool) -> str:
    for home, names in homes.items():
        found = next((name for name in names if folded(name) == folded(word)), "") if exact else nearest(word, names)
        if home == table or not found:
            continue
        meant = "" if found == word else f"did you mean {found}? "
        if home:
            return f"{meant}it belongs under [{home}]"
        if found in homes:
            return f"{meant}it is a table of its own: [{found}]"
        return f"{meant}it belongs above the first [table], at the top of the file"
    return ""


def wrong_value(problem: ErrorDetails, field: FieldInfo | None) -> str:
    """What has to stand there, in TOML's own forms, made of what stands there where that can be told."""
    value, limits = problem["input"], problem.get("ctx", {})
    where = ".".join(map(str, problem["loc"]))
    match problem["type"]:
        case "list_type":
            return _not_a_list(value, where)
        case "string_type":
            return _not_text(value)
        case "bool_type":
            return "has to be true or false" + (" (without quotes)" if value in {"true", "false"} else "")
        case "int_type" | "int_from_float" | "float_type":
            number = isinstance(value, str) and re.fullmatch(r"-?\d+", value)
            return "has to be a whole number" + (f" (without quotes): {value}" if number else "")
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"has to be a table: [{where}], or {{ … }}"
        case "literal_error":
            names = re.findall(r"'([^']*)'", str(limits.get("expected")))
            near = nearest(str(value), names)
            return f"{str(value)[:100]!r} is none of {', '.join(names)}" + (f"; did you mean {near!r}?" if near else "")
        case "string_pattern_mismatch":
            return _wrong_form(str(value), str(limits.get("pattern")), field)
        case kind if kind in _SENTENCES:
            return _SENTENCES[kind].format(**limits)
    return problem["msg"].removeprefix("Value error, ")


_SENTENCES = {
    "string_too_short": "must not be empty",
    "too_short": "has to hold at least one",
    "greater_than_equal": "has to be at least {ge}",
    "less_than_equal": "has to be at most {le}",
}


def _not_a_list(value: Any, where: str) -> str:
    if isinstance(value, dict):
        return f"has to be a list; a table of it stands in double brackets: [[{where}]]"
    return f"has to be a list: [{_toml(value) if isinstance(value, str | int | float) else ' … '}]"


def _not_text(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return f"has to be one text, without brackets: {_toml(value[0])}"
    return "has to be text in quotes" + (f': "{_toml(value)}"' if isinstance(value, int | float) else "")


def _wrong_form(value: str, pattern: str, field: FieldInfo | None) -> str:
    closed = re.sub(r"[\s\\]+", "", value)
    if closed != value and re.search(pattern, closed):
        return f"blanks cannot stand in it: {_toml(closed)}"
    example = next(iter(field.examples or ()), "") if field else ""
    return f"{value[:100]!r} does not have the form of {_toml(example)}"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
