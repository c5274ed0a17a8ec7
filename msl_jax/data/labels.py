"""Label table: the one place where classes get their names, ids, indices and colours.

Networks and metrics count classes from 0 (the *train id*, the index into `LabelSet.classes`); files
on disk use ids of their own. `IGNORE` marks pixels that count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

IGNORE = 255
UNKNOWN = -1


class LabelClass(NamedTuple):
    """A class as the network knows it; its place in a `LabelSet` is its train id."""

    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """The classes of one task, in the order of the network's outputs."""

    name: str
    classes: tuple[LabelClass, ...]

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

    def indices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Returns the train ids of `names`, e.g. to average the IoU over a subset of classes.

        Args:
            names: class names of this set.

        Raises:
            ValueError: a name is not of this set.
        """
        train_ids = {name: index for index, name in enumerate(self.names)}
        unknown = [name for name in names if name not in train_ids]
        if unknown:
            raise ValueError(f"{self.name} has no classes {unknown}; it has {self.names}")
        return tuple(train_ids[name] for name in names)


class CityscapesLabel(NamedTuple):
    """A row of the Cityscapes table: `id` in files, `train_id` in the 19-class benchmark."""

    name: str
    id: int
    train_id: int
    color: tuple[int, int, int]


# cityscapesscripts, helpers/labels.py. Only evaluated classes need a colour here.
_BLACK = (0, 0, 0)
CITYSCAPES_LABELS = (
    CityscapesLabel("unlabeled", 0, IGNORE, _BLACK),
    CityscapesLabel("ego vehicle", 1, IGNORE, _BLACK),
    CityscapesLabel("rectification border", 2, IGNORE, _BLACK),
    CityscapesLabel("out of roi", 3, IGNORE, _BLACK),
    CityscapesLabel("static", 4, IGNORE, _BLACK),
    CityscapesLabel("dynamic", 5, IGNORE, _BLACK),
    CityscapesLabel("ground", 6, IGNORE, _BLACK),
    CityscapesLabel("road", 7, 0, (128, 64, 128)),
    CityscapesLabel("sidewalk", 8, 1, (244, 35, 232)),
    CityscapesLabel("parking", 9, IGNORE, _BLACK),
    CityscapesLabel("rail track", 10, IGNORE, _BLACK),
    CityscapesLabel("building", 11, 2, (70, 70, 70)),
    CityscapesLabel("wall", 12, 3, (102, 102, 156)),
    CityscapesLabel("fence", 13, 4, (190, 153, 153)),
    CityscapesLabel("guard rail", 14, IGNORE, _BLACK),
    CityscapesLabel("bridge", 15, IGNORE, _BLACK),
    CityscapesLabel("tunnel", 16, IGNORE, _BLACK),
    CityscapesLabel("pole", 17, 5, (153, 153, 153)),
    CityscapesLabel("polegroup", 18, IGNORE, _BLACK),
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
    CityscapesLabel("caravan", 29, IGNORE, _BLACK),
    CityscapesLabel("trailer", 30, IGNORE, _BLACK),
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
    )
}


def cityscapes_ids(label_set: LabelSet) -> dict[int, int]:
    """Returns `{id in Cityscapes label files: train id in label_set, or IGNORE}` for every id.

    Args:
        label_set: a set of Cityscapes classes, e.g. `LABEL_SETS["cityscapes16"]`; classes that it
            lacks are ignored.
    """
    return _train_ids({label.id: label.name for label in CITYSCAPES_LABELS}, label_set)


def synthia_ids(label_set: LabelSet) -> dict[int, int]:
    """Returns `{id in SYNTHIA label files: train id in label_set, or IGNORE}` for every id.

    Args:
        label_set: a set of Cityscapes classes; classes that it lacks are ignored.
    """
    return _train_ids(SYNTHIA_NAMES, label_set)


def _train_ids(names: Mapping[int, str], label_set: LabelSet) -> dict[int, int]:
    train_ids = {name: index for index, name in enumerate(label_set.names)}
    return {label_id: train_ids.get(name, IGNORE) for label_id, name in names.items()}


def id_lookup(mapping: Mapping[int, int], size: int = 256) -> np.ndarray:
    """Returns a table from ids in files to train ids that tells unknown ids from ignored ones.

    Args:
        mapping: `{id: train id or IGNORE}`; ids that are missing here are unknown.
        size: number of ids a file can hold, 256 for 8-bit and 65536 for 16-bit labels.

    Returns:
        int16 `[size]` of train ids; `IGNORE` where ignored, `UNKNOWN` (-1) where not in `mapping`.
    """
    table = np.full(size, UNKNOWN, np.int16)
    for label_id, train_id in mapping.items():
        table[label_id] = train_id
    return table
