"""Names of splits in configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from msl_jax.data import open_split
from msl_jax.errors import UserError


def test_camvid(camvid_tree: Path) -> None:
    dataset, split = open_split("camvid/train_day", camvid_tree)
    assert (dataset.name, split) == ("camvid", "train_day")
    assert len(dataset.examples(split)) == 8


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        ("kitti/train", ".", "Unknown data set in 'kitti/train'.*camvid.*demo"),
        ("camvid", ".", "Unknown split 'camvid'; choose one of .*camvid/train_day"),
        ("camvid/train", ".", "Unknown split 'camvid/train'; choose one of .*camvid/train_day"),
        ("camvid/train_day", None, "--config.data_root"),
        ("camvid/train_day", "nowhere", "nowhere is not a folder"),
    ],
)
def test_wrong_names(name: str, root: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_split(name, root)
