"""What a check says."""

from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["ok", "note", "fails"]


@dataclass(frozen=True)
class Check:
    """One check: what was looked at, how it is, what was seen, and what to do about it."""

    what: str
    verdict: Verdict
    seen: str
    remedy: str = ""
