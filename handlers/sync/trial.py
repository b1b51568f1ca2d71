"""Mappings for special times: a safe trial (all events go to one mailbox, and invite nobody), and the end (no events)."""

from handlers.sync.mapping import Mapping, load_mapping

# Its condition cannot hold: empty, and not empty.
_NO_ROW = """
query = "-"
key = ["Key"]
mailbox = "nobody@example.com"
time_zone = "UTC"
[event]
subject = "-"
start = "2000-01-01"
[when]
Key = { empty = true, not = "" }
"""


def emptied(name: str) -> Mapping:
    """A mapping of this name under which every event is to be removed, whatever the mapping of that name says."""
    return load_mapping(name, _NO_ROW)


def redirected(mapping: Mapping, mailbox: str) -> Mapping:
    """The mapping for a trial: a row without a usable mailbox of its own still fails, so that the trial shows it."""
    return mapping.model_copy(update={"test_mailbox": mailbox})
