"""Mapping files: read, with everything that is wrong with them, each with its file, line, key and remedy."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from handlers.sync.mapping import (
    ANSWER_ID,
    LINK,
    NOT_KEYS,
    OUTLOOK,
    RESULTS,
    Backfill,
    Days,
    Mapping,
    On,
    Shape,
    Sweep,
    WriteBackTemplate,
    WrittenField,
)
from handlers.sync.mapping_conditions import Condition
from handlers.sync.mapping_event import Attendee, Body, DateAndTime, Duration, EventTemplate
from handlers.sync.mapping_relay import RelayTemplate
from handlers.sync.mapping_words import decoded, home_of, known_keys, tables, toml_problem, unknown_key, wrong_value
from handlers.sync.template import PLACEHOLDER, Row, placeholder

_TAGS = {"text", "table", "length", "since"}  # of the forms of start, end and rows; no key is called so
_NESTED: dict[str, type[BaseModel]] = {
    "event": EventTemplate,
    "relay": RelayTemplate,
    "write_back": WriteBackTemplate,
    "on": On,
    "shape": Shape,
    "sweep": Sweep,
    "backfill": Backfill,
    "rows": Days,
    "body": Body,
    "attendees": Attendee,
    "fields": WrittenField,
    "when": Condition,
    "length": Duration,
    "table": DateAndTime,
}


_NO_EVENT = {"mailbox": "", "event": {"subject": "", "start": ""}}
_OF_EVENTS = ("event", "mailbox", "calendar", "default_minutes", "adopt", "footer", "shape", "on")


class MappingProblems(Exception):
    """Everything that is wrong with mapping files."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_mapping(name: str, text: str) -> Mapping:
    """Read one mapping file. Raises MappingProblems with all of them: file, line, key, what is wrong, and the remedy."""
    text = text.removeprefix("\ufeff")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MappingProblems([f"{name}.toml: no TOML: {toml_problem(text, str(error))}"]) from None
    try:
        problems: list[tuple[tuple[str, ...], str]] = [((), problem) for problem in _joint_problems(data)]
    except RecursionError:
        raise MappingProblems([f"{name}.toml: it is nested too deeply"]) from None
    try:
        mapping = Mapping(**{**_unsaid(data), **data, "name": name})
    except ValidationError as error:
        problems = [*_explain(error, data), *problems]
    else:
        if not problems:
            return mapping
    raise MappingProblems([f"{name}.toml{_line(text, keys)}: {problem}" for keys, problem in problems])


def load_mappings(files: Iterable[tuple[str, str | bytes]]) -> dict[str, Mapping]:
    """Read (name, content) of all mapping files. Raises MappingProblems with those of all files, and those between files."""
    mappings: dict[str, Mapping] = {}
    problems: list[str] = []
    for name, text in files:
        try:
            mappings[name] = load_mapping(name, text if isinstance(text, str) else decoded(f"{name}.toml", text))
        except MappingProblems as error:
            problems += error.problems
        except ValueError as error:
            problems.append(str(error))
    names = Counter(name.casefold() for name in mappings)
    problems += [f"{name}.toml: another file has this name" for name in mappings if names[name.casefold()] > 1]
    unconditional: dict[str, str] = {}
    for name, mapping in mappings.items():
        if mapping.when or mapping.relay:
            continue
        other = unconditional.setdefault(mapping.query.strip().casefold(), name)
        if other != name:
            problems.append(
                f"{name}.toml: query: {other}.toml is for the same inquiry, and neither has a [when]: every row would get an"
                " event of each; say with [when] which rows each of them is for"
            )
    if problems:
        raise MappingProblems(problems)
    return mappings


def _joint_problems(data: Row) -> Iterator[str]:
    """What is wrong between the keys of a file, told from its raw values, so that it is found beside all else."""
    for name in sorted(NOT_KEYS & data.keys()):
        yield f"{name}: unknown key (a mapping's name is its file's; addresses are settings)"
    others = {name: value for name, value in data.items() if name not in {"write_back", "footer", "when", "values"}}
    texts = [*_texts(others), *_texts(_member(data.get("write_back"), "id"))]
    used = {column for text in texts for column in _columns(text)}
    for result in sorted(RESULTS & used):
        yield f"{{{result}}} stands only in write_back.fields: elsewhere it would feed an event from its own id"
    yield from _footer_problems(data)
    yield from _relay_problems(data)
    if "relay" in data and not _member(data["relay"], "fields"):
        yield from _on_problems(data)
        return  # the whole row is told, so any column may be an attribute or have values
    attributes, key = data.get("attributes"), data.get("key")
    used |= set(map(str, key if isinstance(key, list) else []))
    for table in [data, *(data["shape"] if isinstance(data.get("shape"), list) else [])]:
        used |= set(when) if isinstance(when := _member(table, "when"), dict) else set()
    for attribute in attributes if isinstance(attributes, list) else []:
        if str(attribute) not in used:
            yield f"attributes: {attribute!r} is not used by any template"
    for column in data["values"] if isinstance(data.get("values"), dict) else ():
        if column not in used:
            yield f"values: {column!r} is not used by any template"
    yield from _on_problems(data)


def _on_problems(data: Row) -> Iterator[str]:
    on = data.get("on")
    if _member(on, "clear") is True and "write_back" not in data:
        yield "on.clear: there is no write_back, so nothing to empty"
    if _member(on, "comment") is not None and _member(on, "delete") != "cancel":
        yield 'on.comment: counts only with delete = "cancel"'
    if _member(data.get("backfill"), "invite") is True and not _member(data.get("event"), "attendees"):
        yield "backfill.invite: the event has no attendees, so nobody to invite"
    yield from _outlook_problems(data, on)


def _unsaid(data: Row) -> Row:
    """What a mapping with a [relay] is read with. OData may name columns otherwise, so a whole row is not swept."""
    if "relay" not in data:
        return {}
    return _NO_EVENT if _member(data["relay"], "fields") else _NO_EVENT | {"sweep": {"mode": "off"}}


def _relay_problems(data: Row) -> Iterator[str]:
    written = _written(data)
    if "relay" not in data:
        if ANSWER_ID in written:
            yield f"write_back.fields: {{{ANSWER_ID}}} is of the answer to a [relay], and this mapping has none"
        return
    for name in sorted((RESULTS - {ANSWER_ID, "reason"}) & written):
        yield f"write_back.fields: {{{name}}} is of events; with a [relay], {{{ANSWER_ID}}} and {{reason}} can be written"
    for name in _OF_EVENTS:
        if name in data:
            yield f"{name}: is of events, and this mapping has a [relay]; what has both is two files, with a [when] each"
    if _member(data.get("backfill"), "rows") not in {None, "all"} or _member(data.get("backfill"), "invite"):
        yield 'backfill: with a [relay] it can only say rows = "all"; without that, rows that never came are left out'
    if "sweep" in data and _member(data["sweep"], "mode") != "off" and not _member(data["relay"], "fields"):
        yield 'sweep: needs relay.fields (or mode = "off"): by OData, columns that nobody names may be called otherwise'
    if _member(data["relay"], "audience") is not None and _member(data["relay"], "auth") != "entra":
        yield 'relay.audience: counts only with auth = "entra"'


def _outlook_problems(data: Row, on: Any) -> Iterator[str]:
    if _member(on, "moved") == "restore" and _member(on, "update") == "ignore":
        yield 'on.moved: with update = "ignore" nothing writes the event\'s times again'
    used = _written(data)
    if "report" in {_member(on, "moved"), _member(on, "deleted")}:
        return
    for name in sorted(OUTLOOK & used):
        yield f'write_back.fields: {{{name}}} is written only with on.moved = "report" or on.deleted = "report"'


def _written(data: Row) -> set[str]:
    """What the fields of write_back hold."""
    fields = _texts(_member(data.get("write_back"), "fields"))
    return {match[1].strip() for text in fields for match in PLACEHOLDER.finditer(text) if match[1]}


def _footer_problems(data: Row) -> Iterator[str]:
    footer = data.get("footer")
    if footer is None:
        return
    used = set(_columns(str(footer)))
    for other in sorted(used - {LINK}):
        yield f"footer: only {{link}} can stand in it, not {{{other}}}"
    if LINK in used and "link" not in data:
        yield "footer: {link} needs the key link, the address of the record"


def _columns(text: str) -> Iterator[str]:
    for match in PLACEHOLDER.finditer(text):
        if match[1]:
            try:
                yield placeholder(match[1])[0]
            except ValueError:  # said where the text is read
                yield match[1].partition(":")[0].strip()


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, item in value.items():
                if name != "when":  # what stands there is taken as it is
                    yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _member(table: Any, name: str) -> Any:
    return table.get(name) if isinstance(table, dict) else None


def _explain(error: ValidationError, data: Row) -> Iterator[tuple[tuple[str, ...], str]]:
    """The keys that lead to each problem, and the problem in words."""
    homes = {table: list(known_keys(model, NOT_KEYS)) for table, model in tables(Mapping).items()}
    homes |= {name: [] for name, field in Mapping.model_fields.items() if field.default_factory is dict}
    stray = {
        (home, name)
        for table in homes
        for word in (data if not table else data[table] if isinstance(data.get(table), dict) else ())
        for home, name in home_of(word, homes)
        if home != table
    }
    for problem in error.errors():
        places = [str(part) for part in problem["loc"]]
        keys = tuple(part for part in places if part not in _TAGS)
        key = ".".join(f'"{part}"' if "." in part else part for part in keys)
        level: Any = Mapping
        for part in places[:-1]:
            level = _NESTED.get(part, level)
        known = known_keys(level, NOT_KEYS if level is Mapping else set())
        match problem["type"]:
            case "missing" if (".".join(keys[:-1]), keys[-1]) in stray:
                continue  # it is there, in another table: that is said of it
            case "missing":
                yield keys[:-1], f"{key}: missing"
            case "extra_forbidden":
                yield keys, unknown_key(key, keys[-1], ".".join(keys[:-1]), list(known), homes)
            case _:
                yield keys, f"{key}: {wrong_value(problem, known.get(keys[-1]) if keys else None)}".removeprefix(": ")


def _line(text: str, keys: tuple[str, ...]) -> str:
    """Where a key stands in a file, as `:7`; nothing where that cannot be told from the text alone."""
    table: list[str] = []
    best, depth = 0, 0
    lists: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]+", line):
            table = _parts(header[1])
            if line.lstrip().startswith("[["):
                lists[header[1]] += 1
                table = [*table, str(lists[header[1]] - 1)]
            path = table
        elif assignment := re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*'|\s*\.\s*)+)\s*=", line):
            path = [*table, *_parts(assignment[1])]
        else:
            continue
        if len(path) > depth and list(keys[: len(path)]) == path:
            best, depth = number, len(path)
    return f":{best}" if best else ""


def _parts(dotted: str) -> list[str]:
    return [match[1] or match[2] or match[3] for match in re.finditer(r'"([^"]*)"|\'([^\']*)\'|([\w-]+)', dotted)]
