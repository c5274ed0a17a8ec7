"""The published figures that stand beside ours, in percent.

Those of segmentation come from checkpoints that were chosen on target labels; the oracle is
AdaptSegNet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.tables.runs import TASKS


class Published(NamedTuple):
    """Target mIoU of an experiment.

    Attributes:
        title: of the experiment.
        miou: by row.
        same: whether it is the configuration's own, so that its figures belong on the same scale.
    """

    title: str
    miou: Mapping[str, float]
    same: bool = True

    def gap_closed(self, row: str) -> float | None:
        """Share of the way from source-only to the oracle, None where a figure is missing."""
        source, oracle, found = (self.miou.get(name) for name in ("source", "oracle", row))
        if source is None or oracle is None or found is None or row in ("source", "oracle"):
            return None
        return 100 * (found - source) / (oracle - source)


GTA5 = Published(
    "GTA5 to Cityscapes, Tables 2 and 4",
    {
        "source": 36.9,
        "minent": 42.2,
        "minent_iw": 43.5,
        "max_square": 44.3,
        "max_square_iw": 45.2,
        "max_square_multi": 45.2,
        "max_square_iw_multi": 46.4,
        "oracle": 65.1,
    },
)


def _synthia(classes: str, *miou: float) -> Published:
    rows = ("source", "minent", "max_square", "max_square_iw", "max_square_iw_multi")
    return Published(
        f"SYNTHIA to Cityscapes, {classes} classes, Table 3", dict(zip(rows, miou, strict=True))
    )


def _city(name: str, *miou: float) -> Published:
    rows = ("source", "max_square", "max_square_iw")
    return Published(f"Cityscapes to {name}, Table 6", dict(zip(rows, miou, strict=True)))


# By the configuration's name and the metric.
_PUBLISHED = {
    ("gta5", "miou"): GTA5,
    ("synthia", "miou"): _synthia("16", 30.1, 38.0, 39.3, 40.4, 41.4),
    ("synthia", "miou_13"): _synthia("13", 34.3, 44.5, 45.8, 46.9, 48.2),
    ("crosscity-Rome", "miou"): _city("Rome", 51.0, 53.9, 54.5),
    ("crosscity-Rio", "miou"): _city("Rio", 48.9, 52.0, 53.3),
    ("crosscity-Tokyo", "miou"): _city("Tokyo", 47.8, 49.7, 50.5),
    ("crosscity-Taipei", "miou"): _city("Taipei", 46.3, 49.8, 50.6),
}


def published(config: str, metric: str) -> Published:
    """The paper's figures of a configuration; where it has none, those of its main experiment."""
    other = GTA5._replace(title=f"{GTA5.title}, another experiment", same=False)
    return _PUBLISHED.get((config, metric), other)


# A mean with its standard deviation where the paper prints one.
Accuracy = tuple[float, float | None]


def _table_1(*cells: Accuracy, mean: float) -> dict[str, Accuracy]:
    return {**dict(zip(TASKS["office31"], cells, strict=True)), "mean": (mean, None)}


# Table 1, accuracy on Office-31: by row and task, and the mean over the tasks.
OFFICE31: dict[str, dict[str, Accuracy]] = {
    "source": _table_1(
        (68.4, 0.2), (96.7, 0.1), (99.3, 0.1), (68.9, 0.2), (62.5, 0.3), (60.7, 0.3), mean=76.1
    ),
    "dann": _table_1(
        (82.0, 0.4), (96.9, 0.2), (99.1, 0.1), (79.7, 0.4), (68.2, 0.4), (67.4, 0.5), mean=82.2
    ),
    "minent": _table_1(
        (89.0, 0.1), (99.0, 0.1), (100.0, None), (86.3, 0.3), (67.5, 0.2), (63.0, 0.1), mean=84.1
    ),
    "max_square": _table_1(
        (92.4, 0.5), (99.1, 0.1), (100.0, None), (90.0, 0.2), (68.1, 0.4), (64.2, 0.2), mean=85.6
    ),
}


def published_accuracy(config: str) -> Mapping[str, Mapping[str, Accuracy]]:
    """Table 1 for Office-31, nothing for other configurations; "mean" stands for all tasks."""
    return OFFICE31 if config == "office31" else {}
