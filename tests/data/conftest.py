"""Small trees of files that look like CamVid, and records prepared from one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msl_jax.data.camvid import CamVid
from msl_jax.data.records import Records, prepare

FRAMES = {
    "train": [*(f"0016E5_{i:05}" for i in range(7)), "0006R0_f00930", "0001TP_006690", "0001TP_7"],
    "val": ["0016E5_07959", "0016E5_07961"],
    "test": [f"0001TP_0080{i}" for i in range(5)],
}
SIZE = (24, 32)


def _write_camvid(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, names in FRAMES.items():
        for name in names:
            for folder in (part, f"{part}annot"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (48, 64, 3), np.uint8)
            label = rng.integers(0, 12, (12, 16), np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(image).save(root / part / f"{name}.png")
            Image.fromarray(label).save(root / f"{part}annot" / f"{name}.png")
    return root


@pytest.fixture
def camvid_tree(tmp_path: Path) -> Path:
    """A fresh tree that a test may damage."""
    return _write_camvid(tmp_path / "camvid")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Records]:
    """Function that prepares a split of one shared tree."""
    dataset = CamVid(_write_camvid(tmp_path_factory.mktemp("tree")))
    records_dir = tmp_path_factory.mktemp("records")

    def make(split: str, **kwargs: object) -> Records:
        return prepare(dataset, split, SIZE, records_dir, **kwargs)

    return make
