"""The data sets by their names in configurations."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from msl_jax.data.datasets.dataset import (
    BuiltIn,
    ClassList,
    LabelIds,
    RegisteredDataset,
    expect_original,
)
from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.registration import register

# Name in configurations -> module, class. Modules are imported when they are needed.
_DATASETS = {
    "camvid": ("msl_jax.data.datasets.camvid", "CamVid"),
    "cityscapes": ("msl_jax.data.datasets.cityscapes", "Cityscapes"),
    "cityscapes_pix2pix": ("msl_jax.data.datasets.cityscapes_pix2pix", "CityscapesPix2pix"),
    "class_folders": ("msl_jax.data.datasets.class_folders", "ClassFolders"),
    "crosscity": ("msl_jax.data.datasets.crosscity", "CrossCity"),
    "demo": ("msl_jax.data.demo.dataset", "Demo"),
    "digits": ("msl_jax.data.datasets.digits", "Digits"),
    "drawn": ("msl_jax.data.datasets.drawn", "Drawn"),
    "folders": ("msl_jax.data.datasets.folders", "Folders"),
    "gta5": ("msl_jax.data.datasets.gta5", "GTA5"),
    "idd_lite": ("msl_jax.data.datasets.idd_lite", "IDDLite"),
    "office31": ("msl_jax.data.datasets.office31", "Office31"),
    "synthia": ("msl_jax.data.datasets.synthia", "SYNTHIA"),
}
_OWN: dict[str, Any] = {}  # classes of users' own files


def register_dataset(dataset: Any) -> None:
    """Adds a data set of one's own by its `name`.

    Args:
        dataset: a class of `RegisteredDataset`s, a `FileDataset` or a `BuiltIn`.

    Raises:
        UserError: there is one of this name already.
    """
    register({**_DATASETS, **_OWN}, "data set", dataset.name, dataset)
    _OWN[dataset.name] = dataset


def names() -> list[str]:
    """Of all data sets, one's own too."""
    return sorted({**_DATASETS, **_OWN})


def reads_files(name: str) -> bool:
    """Whether a data set needs a data root; `name` is one of `names`."""
    return not issubclass(_class(name), BuiltIn)


def open_split(
    name: str,
    data_root: str | Path | None = None,
    num_classes: int | None = None,
    classes_file: ClassList = None,
    label_ids: LabelIds = "original",
) -> tuple[RegisteredDataset, str]:
    """Opens the data set of a split named in a configuration.

    Args:
        name: "DATASET/SPLIT", e.g. "camvid/train_day".
        data_root: folder of the data set's files; not needed if it comes without (demo, digits).
        num_classes: number of classes that the labels are read as, if the data set leaves a choice.
        classes_file: lists the classes of `folders`; default is its `classes.yaml`. Or what was
            once read there.
        label_ids: "train" if the label files are a copy in train ids.

    Returns:
        The data set and the name of the split in it.

    Raises:
        UserError: no such data set or split, labels that cannot be read as this number of classes,
            no data root though one is needed, or one without the data set.
    """
    cls, split = _find(name)
    return _open(cls, name, data_root, num_classes, classes_file, label_ids), split


def open_dataset(
    name: str,
    data_root: str | Path | None = None,
    num_classes: int | None = None,
    classes_file: ClassList = None,
    label_ids: LabelIds = "original",
) -> RegisteredDataset:
    """Opens a data set.

    Args:
        name: one of `names`.
        data_root: as in `open_split`.
        num_classes: as in `open_split`.
        classes_file: as in `open_split`.
        label_ids: as in `open_split`.

    Raises:
        UserError: as in `open_split`.
    """
    if name not in names():
        raise UserError(f"Unknown data set {name!r}; choose one of {names()}.")
    return _open(_class(name), name, data_root, num_classes, classes_file, label_ids)


def open_label_set(
    name: str, num_classes: int | None = None, classes_file: ClassList = None
) -> LabelSet:
    """The classes of a split named in a configuration; needs no images.

    Args:
        name: "DATASET/SPLIT".
        num_classes: number of classes; default is the data set's own.
        classes_file: as in `open_split`; must be given for `folders`.

    Raises:
        UserError: no such data set or split, or no label set with this number of classes.
    """
    cls, _ = _find(name)
    return cls.find_label_set(num_classes, classes_file)


def dataset_class(name: str) -> Any:
    """Class of the data set of a split named in a configuration, a `RegisteredDataset`.

    Raises:
        UserError: no such data set or split.
    """
    return _find(name)[0]


def default_size(name: str) -> tuple[int, int]:
    """(height, width) of a data set's records where none is given; `name` is one of `names`."""
    return _class(name).default_size


def summary(name: str) -> str:
    """What a data set is, in one line; `name` is one of `names`."""
    return (_class(name).__doc__ or "").partition("\n")[0].replace("`", "")


def _open(
    cls: Any,
    name: str,
    data_root: str | Path | None,
    num_classes: int | None,
    classes_file: ClassList,
    label_ids: LabelIds,
) -> RegisteredDataset:
    """Opens the data set of a class; `name` is for messages."""
    if issubclass(cls, BuiltIn):
        cls.find_label_set(num_classes, None)
        expect_original(cls.name, label_ids)
        return cls()
    if not data_root:
        raise UserError(
            f"{name} is read from files: give their folder with --config.data_root=DIR, or with"
            " --config.source_root and --config.target_root"
        )
    return cls.open(data_root, num_classes, classes_file, label_ids)


def _find(name: str) -> tuple[Any, str]:
    """Class of the data set and split."""
    dataset_name, _, split = name.partition("/")
    if dataset_name not in names():
        raise UserError(
            f"Unknown data set in {name!r}; expected DATASET/SPLIT with one of the data sets"
            f" {names()}."
        )
    cls = _class(dataset_name)
    if cls.splits and split not in cls.splits:  # without any, they are known once a root is opened
        choices = [f"{dataset_name}/{valid}" for valid in cls.splits]
        raise UserError(f"Unknown split {name!r}; choose one of {choices}.")
    return cls, split


def _class(dataset_name: str) -> Any:
    if dataset_name in _OWN:
        return _OWN[dataset_name]
    module, class_name = _DATASETS[dataset_name]
    return getattr(importlib.import_module(module), class_name)
