"""The published figures that ours are compared with, in percent.

Those of segmentation come from checkpoints chosen on target labels; the oracle is AdaptSegNet's.
The paper's tables quote AdaptSegNet, ADVENT's MinEnt, CBST and CBST-SP from their authors; those of
CBST are of another network, a wider ResNet-38.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.tables.runs import TASKS

# Rows whose published figures are of a wider ResNet-38 in place of a ResNet-101.
WIDER_ROWS = ("cbst", "cbst_sp")
# A mean with its standard deviation where the paper prints one.
Cell = tuple[float | None, float | None]


class Published(NamedTuple):
    """The target's main metric in an experiment.

    Attributes:
        title: of the experiment, "" if there is none.
        cells: by row and task; the task is "" in segmentation, "mean" for the mean over tasks.
        same: whether this is the configuration's own experiment, so that its figures can share an
            axis with ours.
        alone: systems of the same table that are no rows here, by their names there.
    """

    title: str
    cells: Mapping[str, Mapping[str, Cell]]
    same: bool = True
    alone: Mapping[str, float] = MappingProxyType({})

    def cell(self, row: str, figure: str = "target", task: str = "") -> Cell:
        """A figure of a row, None if missing."""
        if figure == "gap_closed":
            return self.gap_closed(row), None
        cells = self.cells.get(row, {}) if figure == "target" else {}
        return cells.get(task, (None, None))

    def gap_closed(self, row: str) -> float | None:
        """Share of the way from source-only to the oracle.

        None if a figure is missing, or is of another network than these two.
        """
        source, oracle, found = (self.cell(name)[0] for name in ("source", "oracle", row))
        if source is None or oracle is None or found is None:
            return None
        if row in ("source", "oracle", *WIDER_ROWS):
            return None
        return 100 * (found - source) / (oracle - source)


def _miou(
    title: str, rows: Sequence[str], *miou: float | None, alone: Mapping[str, float]
) -> Published:
    cells = {row: {"": (x, None)} for row, x in zip(rows, miou, strict=True)}
    return Published(title, cells, alone=alone)


def _table_1(mean: float, *tasks: Cell) -> dict[str, Cell]:
    return {**dict(zip(TASKS["office31"], tasks, strict=True)), "mean": (mean, None)}


_WIDER, _ENSEMBLE = "source only on a wider ResNet-38", "AdvEnt+MinEnt"
_TABLES_2_AND_4 = (
    *("source", "minent", "minent_iw", "max_square", "max_square_iw"),
    *("max_square_multi", "max_square_iw_multi", "oracle", "adaptsegnet", "minent_advent"),
    *("cbst", "cbst_sp"),
)
_TABLE_3 = (
    *("source", "minent", "max_square", "max_square_iw", "max_square_iw_multi"),
    *("minent_advent", "adaptsegnet", "cbst"),
)
_TABLE_6 = ("source", "max_square", "max_square_iw", "adaptsegnet", "cbst")
GTA5 = _miou(
    "GTA5 to Cityscapes, Tables 2 and 4",
    _TABLES_2_AND_4,
    *(36.9, 42.2, 43.5, 44.3, 45.2, 45.2, 46.4, 65.1, 42.4, 42.3, 45.2, 46.2),
    alone={_WIDER: 35.4, _ENSEMBLE: 44.8},
)
# Accuracy, of the tasks in the order of `TASKS`.
OFFICE31 = Published(
    "Office-31, Table 1",
    {
        "source": _table_1(
            76.1, (68.4, 0.2), (96.7, 0.1), (99.3, 0.1), (68.9, 0.2), (62.5, 0.3), (60.7, 0.3)
        ),
        "dann": _table_1(
            82.2, (82.0, 0.4), (96.9, 0.2), (99.1, 0.1), (79.7, 0.4), (68.2, 0.4), (67.4, 0.5)
        ),
        "minent": _table_1(
            84.1, (89.0, 0.1), (99.0, 0.1), (100.0, None), (86.3, 0.3), (67.5, 0.2), (63.0, 0.1)
        ),
        "max_square": _table_1(
            85.6, (92.4, 0.5), (99.1, 0.1), (100.0, None), (90.0, 0.2), (68.1, 0.4), (64.2, 0.2)
        ),
    },
)


def _synthia(classes: int, *miou: float | None) -> Published:
    alone = {_WIDER: 29.2, _ENSEMBLE: 41.2} if classes == 16 else {_WIDER: 33.6, _ENSEMBLE: 48.0}
    title = f"SYNTHIA to Cityscapes, {classes} classes, Table 3"
    return _miou(title, _TABLE_3, *miou, alone=alone)


# By the configuration's name and the metric.
_PUBLISHED = {
    ("gta5", "miou"): GTA5,
    ("synthia", "miou"): _synthia(16, 30.1, 38.0, 39.3, 40.4, 41.4, 38.1, None, 42.5),
    ("synthia", "miou_13"): _synthia(13, 34.3, 44.5, 45.8, 46.9, 48.2, 44.2, 46.7, 48.4),
    **{
        (f"crosscity-{city}", "miou"): _miou(
            f"Cityscapes to {city}, Table 6", _TABLE_6, *miou, alone={"Cross city": cross_city}
        )
        for city, cross_city, *miou in (
            ("Rome", 42.9, 51.0, 53.9, 54.5, 53.8, 53.6),
            ("Rio", 42.5, 48.9, 52.0, 53.3, 51.6, 52.2),
            ("Tokyo", 42.8, 47.8, 49.7, 50.5, 49.9, 48.8),
            ("Taipei", 39.6, 46.3, 49.8, 50.6, 49.1, 50.3),
        )
    },
    ("office31", "accuracy"): OFFICE31,
}


def published(config: str, metric: str) -> Published:
    """The paper's figures for a configuration.

    If it has none: those of its main experiment for segmentation, nothing for classification.
    """
    other = GTA5._replace(title=f"{GTA5.title}, another experiment", same=False, alone={})
    none = Published("", {})
    return _PUBLISHED.get((config, metric), none if metric == "accuracy" else other)
