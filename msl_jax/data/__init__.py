"""From files on disk to batches: data sets, labels, prepared records, augmentation, pipeline."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from msl_jax.data.dataset import Dataset, choose_label_set
from msl_jax.data.labels import LabelSet
from msl_jax.errors import UserError

# Name in configurations -> module, class, whether it reads files below a data root. Modules are
# imported when asked for.
_DATASETS = {
    "camvid": ("msl_jax.data.camvid", "CamVid", True),
    "cityscapes": ("msl_jax.data.cityscapes", "Cityscapes", True),
    "crosscity": ("msl_jax.data.crosscity", "CrossCity", True),
    "demo": ("msl_jax.data.demo", "Demo", False),
    "gta5": ("msl_jax.data.gta5", "GTA5", True),
    "synthia": ("msl_jax.data.synthia", "SYNTHIA", True),
}


def open_split(
    name: str, data_root: str | Path | None = None, num_classes: int | None = None
) -> tuple[Dataset, str]:
    """Opens the data set of a split named in a configuration.

    Args:
        name: "DATASET/SPLIT", e.g. "camvid/train_day".
        data_root: folder of the data set's files; not needed where they are generated (demo).
        num_classes: number of classes that the labels are read as, where the data set leaves a
            choice; default is its own.

    Returns:
        The data set and the name of the split in it.

    Raises:
        UserError: no such data set or split, labels that cannot be read as so many classes, no data
            root where one is needed, or one that does not hold the data set.
    """
    cls, split, needs_root = _find(name)
    label_set = choose_label_set(cls.name, cls.label_sets, num_classes)
    if not needs_root:
        return cls(), split
    if not data_root:
        raise UserError(f"{name} is read from files: give their folder with --config.data_root=DIR")
    return cls(data_root, label_set.num_classes), split


def open_label_set(name: str, num_classes: int | None = None) -> LabelSet:
    """The classes of a split named in a configuration; needs no files.

    Args:
        name: "DATASET/SPLIT".
        num_classes: number of classes wanted; default is the data set's own.

    Raises:
        UserError: no such data set or split, or none of so many classes.
    """
    cls, _, _ = _find(name)
    return choose_label_set(cls.name, cls.label_sets, num_classes)


def _find(name: str) -> tuple[Any, str, bool]:
    """Class of the data set, split, and whether it reads files below a data root."""
    dataset_name, _, split = name.partition("/")
    if dataset_name not in _DATASETS:
        raise UserError(
            f"Unknown data set in {name!r}; expected DATASET/SPLIT with one of the data sets"
            f" {sorted(_DATASETS)}."
        )
    module, class_name, needs_root = _DATASETS[dataset_name]
    cls = getattr(importlib.import_module(module), class_name)
    if split not in cls.splits:
        choices = [f"{dataset_name}/{valid}" for valid in cls.splits]
        raise UserError(f"Unknown split {name!r}; choose one of {choices}.")
    return cls, split, needs_root
