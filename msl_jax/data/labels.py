"""Classes: names, indices and colours of what a network predicts, and how ids of files become them.

Networks and metrics count classes from 0 (the *train id*, the index into `LabelSet.classes`); files
on disk have ids of their own. `IGNORE` marks pixels that count nowhere.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from msl_jax.runtime.text import has_controls

Color = tuple[int, int, int]  # red, green, blue, 0 to 255

IGNORE = 255
UNKNOWN = -1


class LabelClass(NamedTuple):
    """A class that a network predicts; its index in a `LabelSet` is its train id.

    Attributes:
        name: name of the class.
        color: RGB, for pictures.
        parts: names of the finer classes that it joins, if any.
        id: in label files, where the user's own list of classes gives it one.
    """

    name: str
    color: Color
    parts: tuple[str, ...] = ()
    id: int | None = None


def spaced_color(place: int, count: int) -> Color:
    """One of `count` evenly spaced hues."""
    red, green, blue = colorsys.hsv_to_rgb(place / count, 0.65, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclass(frozen=True)
class LabelSet:
    """The classes of one task, in the order of the network's outputs.

    Attributes:
        name: of the set.
        classes: in order.
        ignored: ids and colours in label files that do not count, where the user lists them.
    """

    name: str
    classes: tuple[LabelClass, ...]
    ignored: tuple[int | Color, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of the network's outputs."""
        return tuple(label.name for label in self.classes)

    @property
    def num_classes(self) -> int:
        """Number of the network's outputs."""
        return len(self.classes)

    @property
    def palette(self) -> np.ndarray:
        """RGB colour of each train id, uint8 `[256, 3]`; ignored and unused ids are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = [label.color for label in self.classes]
        return palette

    def to_json(self) -> dict[str, Any]:
        """The classes as JSON keeps them."""
        classes = [label._asdict() for label in self.classes]
        return {"name": self.name, "classes": classes, "ignored": self.ignored}

    @classmethod
    def from_json(cls, values: Any) -> LabelSet:
        """What `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        classes = []
        for entry in values["classes"]:
            label_id = None if entry["id"] is None else _byte(entry["id"])
            name, parts = _name(entry["name"]), tuple(map(_name, entry["parts"]))
            classes.append(LabelClass(name, _color(entry["color"]), parts, label_id))
        if not 1 <= len(classes) < IGNORE:
            raise ValueError(f"{len(classes)} classes")
        ignored = (
            _byte(value) if isinstance(value, int) else _color(value)
            for value in values.get("ignored", ())
        )
        return cls(_name(values["name"]), tuple(classes), tuple(ignored))

    def indices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Returns the train ids of `names`, e.g. to average the IoU over a subset of classes.

        Args:
            names: class names of this set.

        Raises:
            ValueError: a name is not in this set.
        """
        train_ids = {name: index for index, name in enumerate(self.names)}
        unknown = [name for name in names if name not in train_ids]
        if unknown:
            raise ValueError(f"{self.name} has no classes {unknown}; it has {self.names}")
        return tuple(train_ids[name] for name in names)


def _name(value: Any) -> str:
    if has_controls(name := str(value)):
        raise ValueError(f"the name {name!r} has control characters")
    return name


def _byte(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"{value!r} is neither an id nor part of a colour")
    return value


def _color(values: Any) -> Color:
    red, green, blue = map(_byte, values)
    return red, green, blue


def id_lookup(mapping: Mapping[int, int], size: int = 256) -> np.ndarray:
    """Returns a table from ids in files to train ids, with unknown ids apart from ignored ones.

    Args:
        mapping: `{id: train id or IGNORE}`; all other ids are unknown.
        size: number of possible ids, 256 in 8-bit and 65536 in 16-bit labels.

    Returns:
        int16 `[size]` of train ids; `IGNORE` where ignored, `UNKNOWN` (-1) where not in `mapping`.
    """
    table = np.full(size, UNKNOWN, np.int16)
    for label_id, train_id in mapping.items():
        table[label_id] = train_id
    return table
