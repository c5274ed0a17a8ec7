"""Training images of a target: their labels are neither read nor asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trees import SIZE, write_cityscapes, write_ids, write_image

from msl_jax.data import splits
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.datasets.cityscapes import Cityscapes
from msl_jax.data.datasets.registry import open_dataset
from msl_jax.data.datasets.unlabelled import without_labels
from msl_jax.data.labels import IGNORE
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError


def _labels(root: Path) -> list[Path]:
    return sorted((root / "gtFine" / "train").glob("*/*_labelIds.png"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path / "cityscapes")


@pytest.fixture
def config(root: Path, tiny_config, tmp_path: Path):
    """A configuration whose target is a small Cityscapes."""
    keys = {"target_train": "cityscapes/train", "target_root": str(root), "num_classes": 19}
    return tiny_config("max_square", **keys, records_dir=str(tmp_path / "records"))


def test_labels_may_be_missing_or_wrong(root: Path, config) -> None:
    _labels(root)[0].unlink()
    write_ids(_labels(root)[0], np.full(SIZE, 200))
    with pytest.raises(UserError, match="1 of 3 examples of train have no label"):
        splits.load_split(config, "target_train", evaluation=False)
    split = splits.load_unlabelled(config, "target_train")
    assert (len(split.records), split.labelled) == (3, False)
    assert (split.records[0]["label"] == IGNORE).all()
    assert not [text for text in split.remarks if "ignored" in text or "no label" in text]


def test_images_are_still_asked_for(root: Path) -> None:
    next((root / "leftImg8bit" / "train" / "ulm").iterdir()).unlink()
    assert len(without_labels(Cityscapes(root)).examples("train")) == 2
    write_image(root / "leftImg8bit" / "train" / "ulm" / "x_leftImg8bit.png").unlink()
    path = root / "leftImg8bit" / "train" / "ulm" / "x_leftImg8bit.png"
    path.symlink_to("nowhere.png")
    with pytest.raises(UserError, match="1 of 3 examples of train have no image"):
        without_labels(Cityscapes(root)).examples("train")


def test_records_with_labels_serve_as_well(root: Path, config, tmp_path: Path) -> None:
    """Of the prepare command, or of an oracle; but not if they lack examples."""
    whole = prepare(Cityscapes(root), "train", config.target_size, tmp_path / "records")
    assert splits.load_unlabelled(config, "target_train").records.folder == whole.folder
    _labels(root)[0].unlink()
    _labels(root)[1].touch()
    skipping = prepare(
        Cityscapes(root), "train", config.target_size, tmp_path / "records", on_bad_example="skip"
    )
    assert len(skipping) == 2
    assert len(splits.load_unlabelled(config, "target_train").records) == 3


def test_labels_do_not_change_the_records(root: Path, config) -> None:
    before = splits.load_unlabelled(config, "target_train").records.folder
    write_ids(_labels(root)[0], np.full(SIZE, 7))
    assert splits.load_unlabelled(config, "target_train").records.folder == before
    write_image(root / "leftImg8bit" / "train" / "ulm" / "y_leftImg8bit.png")
    assert splits.load_unlabelled(config, "target_train").records.folder != before


def test_data_sets_without_label_files(shared_camvid_tree: Path) -> None:
    demo = open_dataset("demo")
    assert without_labels(demo) is demo
    camvid = CamVid(shared_camvid_tree)
    keys = [example.key for example in camvid.examples("train_dusk")]
    assert [e.key for e in without_labels(camvid).examples("train_dusk")] == keys
