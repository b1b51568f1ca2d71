"""Every shape that was ever stored is kept as a file, and understood by each later version.

A new shape gets a new file (and, where an older app would misread it, a new version number); none is ever changed.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.sync.change import MESSAGE_VERSION, NotARowChange, RowChange
from handlers.sync.link import Claim, Column, Entry, EventLink, Past, Version
from handlers.sync.link_state import STATE_VERSION, from_state, to_state
from local import fuzz

STORED = Path(__file__).resolve().parents[1] / "fixtures/stored"
LINKS = sorted(STORED.glob("link-*.json"))
MESSAGES = sorted(STORED.glob("message-*.json"))
LINK = EventLink(
    company="production",
    mapping="opportunity-meetings",
    row_key=("OP000123",),
    version=Version(639055764123456780, present=True, row_hash="a" * 64),
    columns={"Subject": Column(639055764123456780, "Site visit"), "Room": Column(639055764000000000, None)},
    entries=(
        Entry("ann@example.com", 2, "AAMk=", "f" * 32),
        Entry("bob@example.com", 1, None, None, leaving=True, unsure=True),
    ),
    generation=2,
    written_back="AAMk=",
    claim=Claim("c" * 32, 1764547560.5),
    last_effect="CreateEvent, WriteBack",
    last_error="",
    repairs=1,
    history=(
        Past(1764547200.5, "5f0c7a3e-8f57-4d0e-9d0a-3f7f0b8e21c4", 639055764123456780, "CreateEvent, WriteBack", "done"),
        Past(1764547500.0, "0b1c", 639055764123456790, "", "Graph answered 503", 3),
    ),
)
CHANGE = RowChange(
    company="production",
    mapping="opportunity-meetings",
    key=("OP000123",),
    timestamp=639055764123456780,
    row={"OpportunityID": "OP000123 ", "Subject": "Site visit", "Amount": 1250.5, "Confirmed": True, "Room": None},
    notification="5f0c7a3e-8f57-4d0e-9d0a-3f7f0b8e21c4",
    first_sent=1764547200.25,
    tries=3,
    run="r8235452799999-" + "d" * 64,
    tried_for=62.5,
    tried_at=1764547262.75,
    new=False,
)
BEFORE_HISTORY = {"link-v1-a", "link-v1-b"}
BEFORE_RUNS = {"message-v1-a"}


def content(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", [*LINKS, *MESSAGES], ids=lambda file: file.stem)
def test_what_older_versions_stored_is_understood(file: Path) -> None:
    stored = content(file)
    if file in LINKS:
        assert from_state(stored) == (replace(LINK, history=()) if file.stem in BEFORE_HISTORY else LINK)
    else:
        change = replace(CHANGE, run="", tried_for=0.0, tried_at=0.0) if file.stem in BEFORE_RUNS else CHANGE
        assert RowChange.decode(stored) == change
        assert fuzz.message(json.dumps(stored).encode()) == change


def test_what_is_stored_now_has_a_file() -> None:
    assert json.loads(json.dumps(to_state(LINK))) in map(content, LINKS)
    assert CHANGE.encode() in map(content, MESSAGES)


def test_what_a_newer_version_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="newer version"):
        from_state(to_state(LINK) | {"v": STATE_VERSION + 1})
    with pytest.raises(NotARowChange, match="version"):
        RowChange.decode(CHANGE.encode() | {"v": MESSAGE_VERSION + 1})


@pytest.mark.parametrize("member", ["v", "company", "mapping", "key", "timestamp", "row", "first_sent", "tries"])
def test_a_message_that_lacks_something_is_no_row_change(member: str) -> None:
    message = CHANGE.encode()
    del message[member]
    with pytest.raises(NotARowChange):
        RowChange.decode(message)


@pytest.mark.parametrize(
    "spoilt", [{"timestamp": 10**30}, {"timestamp": -1}, {"first_sent": 10**400}, {"tries": -(10**400)}, {"tried_for": -1}]
)
def test_numbers_that_could_not_be_reckoned_with_are_no_row_change(spoilt: dict[str, Any]) -> None:
    """Each of them made `apply` fail five times before it became a dead letter with a reason that says nothing."""
    with pytest.raises(NotARowChange, match=next(iter(spoilt))):
        RowChange.decode(CHANGE.encode() | spoilt)
