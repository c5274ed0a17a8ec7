"""Names of classes and files as text: whatever they hold, a terminal only shows it."""

from __future__ import annotations

import re

# Control characters, of which terminals take sequences for commands, and what is not Unicode.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def has_controls(name: str) -> bool:
    """Whether a name has line breaks or other control characters.

    Such names of files are refused where they enter: shown in the midst of a message they would
    look like lines of this program, and a picture of that name would be hard to get rid of.
    """
    return _CONTROL.search(name) is not None


def one_line(text: str) -> str:
    """The text with control characters, line breaks among them, as backslash escapes."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def lines(text: str) -> str:
    """As `one_line`, but line breaks stay."""
    return "\n".join(map(one_line, text.split("\n")))
