"""Where mappings are active, which no mapping file says: for which site, in a trial, or (at the end) nowhere."""

from dataclasses import dataclass

from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping

# Its condition cannot hold: empty, and not empty. (An attribute that was never received is no reason to wait for it.)
_NO_ROW = """
query = "-"
key = ["Key"]
mailbox = "nobody@example.com"
time_zone = "UTC"
attributes = ["Key"]
[event]
subject = "-"
start = "2000-01-01"
[when]
Key = { empty = true, not = "" }
"""


@dataclass(frozen=True)
class Scope:
    """The site that links lead to, and for a trial the mailbox that all events go to, inviting nobody.

    A row without a usable mailbox of its own still fails then, so that the trial shows it.
    """

    site: str = ""  # address of the Acumatica site
    test_mailbox: str = ""


def emptied(name: str) -> Mapping:
    """A mapping of this name under which every event is to be removed, whatever the mapping of that name says."""
    return load_mapping(name, _NO_ROW)
