"""Keys of a configuration; those of the group `model` are fields of modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Key(NamedTuple):
    """One key; of the group `model`, named as the field of the module that has it in its `KEYS`.

    Attributes:
        kind: type of its values.
        expected: which values are valid, for messages.
        accepts: whether a value is one of them.
        default: None where the weights decide it, or else `from_scratch` or the preset.
        from_scratch: value of a key left open where no weights decide it.
        small: value of a network that is tried on a CPU (`shrink`); None: as it is.
        of_weights: whether a backbone's weights need their value; otherwise they fit any, so that
            only a network with trained heads has one.
        meaning: in a few words, for `msl-jax list keys`.
    """

    kind: type
    expected: str
    accepts: Callable[[Any], bool]
    default: Any = None
    from_scratch: Any = None
    small: Any = None
    of_weights: bool = True
    meaning: str = ""


def choice(values: Sequence[Any], **settings: Any) -> Key:
    """A key with one of a few values.

    >>> choice(("caffe", "torchvision")).expected
    "one of 'caffe', 'torchvision'"
    """
    expected = "one of " + ", ".join(map(repr, values))
    return Key(type(values[0]), expected, lambda value: value in values, **settings)


def flag(**settings: Any) -> Key:
    """A key that is true or false."""
    return Key(bool, "true or false", lambda value: isinstance(value, bool), **settings)


def count(default: int | None = None, *, most: int | None = None, **settings: Any) -> Key:
    """A key with a positive integer.

    Args:
        default: see `Key`.
        most: the greatest one, where a greater one would only ask for more memory than there is.
        **settings: further ones of `Key`.

    >>> count(most=4096).expected
    'at least 1, at most 4,096'
    """

    def accepts(value: Any) -> bool:
        return isinstance(value, int) and value >= 1 and (most is None or value <= most)

    bound = "" if most is None else f", at most {most:,}"
    return Key(int, f"at least 1{bound}", accepts, default, **settings)


def counts(most: int, **settings: Any) -> Key:
    """A key with one or more positive integers, none of them greater than `most`."""

    def accepts(values: Any) -> bool:
        return isinstance(values, tuple) and len(values) > 0 and all(map(one.accepts, values))

    one = count(most=most)
    return Key(tuple, f"integers of {one.expected}; one or more", accepts, **settings)
