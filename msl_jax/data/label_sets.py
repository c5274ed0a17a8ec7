"""The published classes: tables of Cityscapes and SYNTHIA, and the sets that networks predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msl_jax.data.labels import IGNORE, Color, LabelClass, LabelSet


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
