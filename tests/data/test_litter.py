"""What systems and programs leave beside files changes no data set, wherever it lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import (
    all_ids,
    write_cityscapes,
    write_cityscapes_pix2pix,
    write_crosscity,
    write_domains,
    write_folders,
    write_gta5,
    write_idd_lite,
    write_synthia,
)

from msl_jax.data.datasets.office31 import CLASSES
from msl_jax.data.datasets.registry import open_dataset
from msl_jax.runtime.errors import UserError

FOLDERS = ("__MACOSX", ".ipynb_checkpoints", "@eaDir")


def _write_folders(root: Path) -> Path:
    write_folders(root, all_ids([0, 1]).astype(np.uint8))
    (root / "classes.yaml").write_text(
        "classes: [{id: 0, name: a, color: [1, 1, 1]}, {id: 1, name: b, color: [2, 2, 2]}]"
    )
    return root


TREES: dict[str, Callable[[Path], Path]] = {
    "cityscapes": write_cityscapes,
    "cityscapes_pix2pix": write_cityscapes_pix2pix,
    "class_folders": lambda root: write_domains(root, ("shop", "home"), ("mug", "pen")),
    "crosscity": write_crosscity,
    "folders": _write_folders,
    "gta5": lambda root: write_gta5(root, [1, 2, 3]),
    "idd_lite": write_idd_lite,
    "office31": lambda root: write_domains(root, ("amazon",), CLASSES, 1, "images"),
    "synthia": lambda root: write_synthia(root, [0, 1, 9000]),
}


def _seen(name: str, root: Path) -> Any:
    dataset = open_dataset(name, root)
    keys: dict[str, list[str]] = {}
    for split in dataset.splits:
        try:
            keys[split] = [example.key for example in dataset.examples(split, missing_ok=True)]
        except UserError as error:  # a domain or a split that the tree does not have
            keys[split] = [str(error)]
    return keys, dataset.remarks(), dataset.fingerprint


@pytest.mark.parametrize("name", [*TREES, "camvid"])
def test_data_sets_are_the_same(name: str, tmp_path: Path, camvid_tree: Path) -> None:
    root = TREES[name](tmp_path / "data") if name in TREES else camvid_tree
    before = _seen(name, root)
    assert any(len(keys) > 1 for keys in before[0].values())
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        files = [path for path in folder.iterdir() if path.is_file()]
        for litter in (".DS_Store", "Thumbs.db", "desktop.ini", *(f"._{p.name}" for p in files)):
            (folder / litter).write_bytes(b"litter")
        for litter in FOLDERS:
            (folder / litter).mkdir()
            for path in files:
                shutil.copyfile(path, folder / litter / path.name)
    assert _seen(name, root) == before
