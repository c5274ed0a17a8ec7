"""Label table: the one place that defines names, ids, indices and colours of classes.

Networks and metrics count classes from 0 (the *train id*, the index into `LabelSet.classes`); files
on disk have ids of their own. `IGNORE` marks pixels that count nowhere.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

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
            label_id = entry.get("id")  # runs of earlier versions have none
            label_id = None if label_id is None else _byte(label_id)
            parts = tuple(map(str, entry["parts"]))
            classes.append(LabelClass(str(entry["name"]), _color(entry["color"]), parts, label_id))
        if not 1 <= len(classes) < IGNORE:
            raise ValueError(f"{len(classes)} classes")
        ignored = (
            _byte(value) if isinstance(value, int) else _color(value)
            for value in values.get("ignored", ())
        )
        return cls(str(values["name"]), tuple(classes), tuple(ignored))

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


def _byte(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"{value!r} is neither an id nor part of a colour")
    return value


def _color(values: Any) -> Color:
    red, green, blue = map(_byte, values)
    return red, green, blue


class CityscapesLabel(NamedTuple):
    """A row of the Cityscapes table: `id` in files, `train_id` in the 19-class benchmark."""

    name: str
    id: int
    train_id: int
    color: Color


# cityscapesscripts, helpers/labels.py. Colours are not unique: polegroup has that of pole.
_BLACK = (0, 0, 0)
CITYSCAPES_LABELS = (
    CityscapesLabel("unlabeled", 0, IGNORE, _BLACK),
    CityscapesLabel("ego vehicle", 1, IGNORE, _BLACK),
    CityscapesLabel("rectification border", 2, IGNORE, _BLACK),
    CityscapesLabel("out of roi", 3, IGNORE, _BLACK),
    CityscapesLabel("static", 4, IGNORE, _BLACK),
    CityscapesLabel("dynamic", 5, IGNORE, (111, 74, 0)),
    CityscapesLabel("ground", 6, IGNORE, (81, 0, 81)),
    CityscapesLabel("road", 7, 0, (128, 64, 128)),
    CityscapesLabel("sidewalk", 8, 1, (244, 35, 232)),
    CityscapesLabel("parking", 9, IGNORE, (250, 170, 160)),
    CityscapesLabel("rail track", 10, IGNORE, (230, 150, 140)),
    CityscapesLabel("building", 11, 2, (70, 70, 70)),
    CityscapesLabel("wall", 12, 3, (102, 102, 156)),
    CityscapesLabel("fence", 13, 4, (190, 153, 153)),
    CityscapesLabel("guard rail", 14, IGNORE, (180, 165, 180)),
    CityscapesLabel("bridge", 15, IGNORE, (150, 100, 100)),
    CityscapesLabel("tunnel", 16, IGNORE, (150, 120, 90)),
    CityscapesLabel("pole", 17, 5, (153, 153, 153)),
    CityscapesLabel("polegroup", 18, IGNORE, (153, 153, 153)),
    CityscapesLabel("traffic light", 19, 6, (250, 170, 30)),
    CityscapesLabel("traffic sign", 20, 7, (220, 220, 0)),
    CityscapesLabel("vegetation", 21, 8, (107, 142, 35)),
    CityscapesLabel("terrain", 22, 9, (152, 251, 152)),
    CityscapesLabel("sky", 23, 10, (70, 130, 180)),
    CityscapesLabel("person", 24, 11, (220, 20, 60)),
    CityscapesLabel("rider", 25, 12, (255, 0, 0)),
    CityscapesLabel("car", 26, 13, (0, 0, 142)),
    CityscapesLabel("truck", 27, 14, (0, 0, 70)),
    CityscapesLabel("bus", 28, 15, (0, 60, 100)),
    CityscapesLabel("caravan", 29, IGNORE, (0, 0, 90)),
    CityscapesLabel("trailer", 30, IGNORE, (0, 0, 110)),
    CityscapesLabel("train", 31, 16, (0, 80, 100)),
    CityscapesLabel("motorcycle", 32, 17, (0, 0, 230)),
    CityscapesLabel("bicycle", 33, 18, (119, 11, 32)),
)
_BY_NAME = {label.name: label for label in CITYSCAPES_LABELS}

# Ids of SYNTHIA-RAND-CITYSCAPES, with the names that Cityscapes gives the same classes.
SYNTHIA_NAMES = {
    0: "void",
    1: "sky",
    2: "building",
    3: "road",
    4: "sidewalk",
    5: "fence",
    6: "vegetation",
    7: "pole",
    8: "car",
    9: "traffic sign",
    10: "person",
    11: "bicycle",
    12: "motorcycle",
    13: "parking slot",
    14: "road work",
    15: "traffic light",
    16: "terrain",
    17: "rider",
    18: "truck",
    19: "bus",
    20: "train",
    21: "wall",
    22: "lane marking",
}


def _classes(names: Iterable[str]) -> tuple[LabelClass, ...]:
    return tuple(LabelClass(name, _BY_NAME[name].color) for name in names)


def _joined(name: str, *parts: str) -> LabelClass:
    """A class that joins Cityscapes classes, in the colour of the first."""
    return LabelClass(name, _BY_NAME[parts[0]].color, parts)


def _cityscapes_names(without: tuple[str, ...] = ()) -> tuple[str, ...]:
    evaluated = sorted(
        (label for label in CITYSCAPES_LABELS if label.train_id != IGNORE),
        key=lambda label: label.train_id,
    )
    return tuple(label.name for label in evaluated if label.name not in without)


# SYNTHIA shares 16 classes with Cityscapes; mIoU* leaves out the three hard, thin ones as well.
_NOT_IN_16 = ("terrain", "truck", "train")
_NOT_IN_13 = (*_NOT_IN_16, "wall", "fence", "pole")

LABEL_SETS: dict[str, LabelSet] = {
    label_set.name: label_set
    for label_set in (
        LabelSet(
            "camvid",
            (
                *_classes(("sky", "building", "pole", "road", "sidewalk", "vegetation")),
                *_classes(("traffic sign", "fence", "car", "person")),
                LabelClass("bicyclist", _BY_NAME["rider"].color),
            ),
        ),
        LabelSet(
            "demo",
            (
                *_classes(("road", "sidewalk", "building", "pole", "traffic sign")),
                *_classes(("vegetation", "sky", "person", "car", "bicycle")),
            ),
        ),
        LabelSet("cityscapes19", _classes(_cityscapes_names())),
        LabelSet("cityscapes16", _classes(_cityscapes_names(_NOT_IN_16))),
        LabelSet("cityscapes13", _classes(_cityscapes_names(_NOT_IN_13))),
        # The coarsest level of IDD's hierarchy, with Cityscapes' evaluated classes.
        LabelSet(
            "idd_lite",
            (
                _joined("drivable", "road"),
                _joined("non-drivable", "sidewalk", "terrain"),
                _joined("living things", "person", "rider"),
                _joined("vehicles", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
                _joined(
                    "roadside objects", "fence", "wall", "pole", "traffic light", "traffic sign"
                ),
                _joined("far objects", "building", "vegetation"),
                _joined("sky", "sky"),
            ),
        ),
    )
}


def cityscapes_ids(label_set: LabelSet) -> dict[int, int]:
    """Returns `{id in Cityscapes label files: train id in label_set, or IGNORE}` for every id.

    Args:
        label_set: a set of Cityscapes classes, e.g. `LABEL_SETS["cityscapes16"]`, or of classes
            that join some of them; all other classes are ignored.
    """
    return _train_ids({label.id: label.name for label in CITYSCAPES_LABELS}, label_set)


def synthia_ids(label_set: LabelSet) -> dict[int, int]:
    """Returns `{id in SYNTHIA label files: train id in label_set, or IGNORE}` for every id.

    Args:
        label_set: a set of Cityscapes classes; all other classes are ignored.
    """
    return _train_ids(SYNTHIA_NAMES, label_set)


def copied_ids(copies: LabelSet, label_set: LabelSet) -> dict[int, int]:
    """Returns `{train id in label files: train id in label_set, or IGNORE}`.

    Args:
        copies: the classes whose train ids are in copies of a data set's labels; their number, and
            255, stand for everything else there.
        label_set: as in `cityscapes_ids`.
    """
    names = dict(enumerate(copies.names))
    return {**_train_ids(names, label_set), len(names): IGNORE, IGNORE: IGNORE}


def are_train_ids(pixels: Mapping[int, int], road: int, copies: LabelSet) -> bool:
    """Whether the ids of some labels can only be train ids.

    Args:
        pixels: number of pixels of each id that occurs.
        road: id that road has in the data set's own labels; as a train id it is 0.
        copies: as in `copied_ids`.
    """
    void, found = copies.num_classes, set(pixels)
    named = found - {0, void, IGNORE}  # labels that are all 0 may be empty
    fits = named <= set(range(void))
    return bool(named) and fits and pixels.get(0, 0) > pixels.get(road, 0)


def _train_ids(names: Mapping[int, str], label_set: LabelSet) -> dict[int, int]:
    train_ids = {
        name: index
        for index, label in enumerate(label_set.classes)
        for name in label.parts or (label.name,)
    }
    return {label_id: train_ids.get(name, IGNORE) for label_id, name in names.items()}


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
