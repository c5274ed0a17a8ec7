"""What a pickle of plain data may say, and how it is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

# Long or clever keys can make a dictionary slow.
_LONGEST_KEY = 4096
_LARGEST_INTEGER_KEY = 2**60


class Refused(Exception):
    """A pickle asks for what is not allowed; the message says for what."""


class Malformed(ValueError):
    """Not a pickle, or one that is damaged or of an unusual kind; the message says how."""


@dataclasses.dataclass(frozen=True)
class Function:
    """What a pickle may call; ``call`` raises TypeError or ValueError for wrong arguments."""

    call: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a pickle may say.

    Attributes:
        names: full name (``"module.attribute"``) -> what stands for it, a `Function` or a value.
        build: puts a state (second argument) into an object that a function has made.
        persistent: the object that stands for a persistent id.
    """

    names: Mapping[str, Any]
    build: Callable[[Any, Any], None]
    persistent: Callable[[Any], Any]


def printable(text: str) -> str:
    """The text for a message: short, and without characters that a terminal obeys."""
    text = text if len(text) <= 200 else f"{text[:200]}..."
    return text if text.isprintable() else ascii(text)


def expect_key(value: Any) -> None:
    """Checks a key of a dictionary, or an element of a set.

    Raises:
        Malformed: of another type, or so large that finding it could take forever.
    """
    if type(value) is str and len(value) <= _LONGEST_KEY:  # almost always
        return
    # Hashes of numbers in tuples are not randomized, so that many with one hash can be made.
    parts = value if type(value) is tuple and len(value) <= 8 else (value,)
    types = (str,) if parts is value else (str, bytes, int, float, bool, type(None))
    if any(type(part) not in types for part in parts):
        raise Malformed(f"a key of the type {type(value).__name__}")
    if any(isinstance(part, (str, bytes)) and len(part) > _LONGEST_KEY for part in parts):
        raise Malformed(f"a key longer than {_LONGEST_KEY} characters")
    if type(value) is int and abs(value) > _LARGEST_INTEGER_KEY:
        raise Malformed("an integer key beyond 2^60")
