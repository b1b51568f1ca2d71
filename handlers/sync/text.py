"""Text as Outlook can keep and show it."""

import re

# Line ends and tabs may stay in bodies. What else has no sign of its own is no part of XML either, which Exchange keeps.
_LINE_ENDS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def without_controls(text: str) -> str:
    """The text without control characters but line ends and tabs."""
    return _CONTROL.sub("", text)


def one_line(text: str) -> str:
    """The same on one line."""
    return without_controls(_LINE_ENDS.sub(" ", text)).strip()


def cut(text: str, most: int) -> str:
    """At most so many characters as Exchange counts: UTF-16 units, of which an emoji takes two, and none is cut in half."""
    units = text.encode("utf-16-le")
    return text if len(units) <= 2 * most else units[: 2 * (most - 1)].decode("utf-16-le", "ignore") + "…"
