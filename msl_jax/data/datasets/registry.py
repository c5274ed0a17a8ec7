"""The data sets by their names in configurations; modules are imported when asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from msl_jax.data.datasets.dataset import Dataset
from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError

# Name in configurations -> module, class, whether it reads files below a data root. Modules are
# imported when asked for.
_DATASETS = {
    "camvid": ("msl_jax.data.datasets.camvid", "CamVid", True),
    "cityscapes": ("msl_jax.data.datasets.cityscapes", "Cityscapes", True),
    "class_folders": ("msl_jax.data.datasets.class_folders", "ClassFolders", True),
    "crosscity": ("msl_jax.data.datasets.crosscity", "CrossCity", True),
    "demo": ("msl_jax.data.demo.dataset", "Demo", False),
    "digits": ("msl_jax.data.datasets.digits", "Digits", False),
    "folders": ("msl_jax.data.datasets.folders", "Folders", True),
    "gta5": ("msl_jax.data.datasets.gta5", "GTA5", True),
    "office31": ("msl_jax.data.datasets.office31", "Office31", True),
    "synthia": ("msl_jax.data.datasets.synthia", "SYNTHIA", True),
}
DATASETS = tuple(_DATASETS)
WITHOUT_FILES = tuple(name for name, (*_, needs_root) in _DATASETS.items() if not needs_root)


def open_split(
    name: str,
    data_root: str | Path | None = None,
    num_classes: int | None = None,
    classes_file: str | Path | None = None,
) -> tuple[Dataset, str]:
    """Opens the data set of a split named in a configuration.

    Args:
        name: "DATASET/SPLIT", e.g. "camvid/train_day".
        data_root: folder of the data set's files; not needed where they are generated (demo).
        num_classes: number of classes that the labels are read as, where the data set leaves a
            choice; default is its own.
        classes_file: names the classes of `folders`; default is its `classes.yaml`.

    Returns:
        The data set and the name of the split in it.

    Raises:
        UserError: no such data set or split, labels that cannot be read as so many classes, no data
            root where one is needed, or one that does not hold the data set.
    """
    cls, split = _find(name)
    return _open(cls, name, data_root, num_classes, classes_file), split


def open_dataset(
    name: str,
    data_root: str | Path | None = None,
    num_classes: int | None = None,
    classes_file: str | Path | None = None,
) -> Dataset:
    """Opens a data set.

    Args:
        name: one of `DATASETS`.
        data_root: as in `open_split`.
        num_classes: as in `open_split`.
        classes_file: as in `open_split`.

    Raises:
        UserError: as in `open_split`.
    """
    if name not in DATASETS:
        raise UserError(f"Unknown data set {name!r}; choose one of {sorted(DATASETS)}.")
    return _open(_class(name), name, data_root, num_classes, classes_file)


def open_label_set(
    name: str, num_classes: int | None = None, classes_file: str | Path | None = None
) -> LabelSet:
    """The classes of a split named in a configuration; needs no images.

    Args:
        name: "DATASET/SPLIT".
        num_classes: number of classes wanted; default is the data set's own.
        classes_file: as in `open_split`; must be given for `folders`.

    Raises:
        UserError: no such data set or split, or none of so many classes.
    """
    cls, _ = _find(name)
    return cls.find_label_set(num_classes, classes_file)


def _open(
    cls: Any,
    name: str,
    data_root: str | Path | None,
    num_classes: int | None,
    classes_file: str | Path | None,
) -> Dataset:
    """Opens the data set of a class; `name` is for messages."""
    _, _, needs_root = _DATASETS[cls.name]
    if not needs_root:
        cls.find_label_set(num_classes, None)
        return cls()
    if not data_root:
        raise UserError(
            f"{name} is read from files: give their folder with --config.data_root=DIR, or with"
            " --config.source_root and --config.target_root"
        )
    return cls.open(data_root, num_classes, classes_file)


def _find(name: str) -> tuple[Any, str]:
    """Class of the data set and split."""
    dataset_name, _, split = name.partition("/")
    if dataset_name not in _DATASETS:
        raise UserError(
            f"Unknown data set in {name!r}; expected DATASET/SPLIT with one of the data sets"
            f" {sorted(_DATASETS)}."
        )
    cls = _class(dataset_name)
    if cls.splits and split not in cls.splits:  # without any: a root tells, once it is opened
        choices = [f"{dataset_name}/{valid}" for valid in cls.splits]
        raise UserError(f"Unknown split {name!r}; choose one of {choices}.")
    return cls, split


def _class(dataset_name: str) -> Any:
    module, class_name, _ = _DATASETS[dataset_name]
    return getattr(importlib.import_module(module), class_name)
