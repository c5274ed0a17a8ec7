"""Cityscapes: ids of every class set, optional labels, and the errors of a wrong tree."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import all_ids, mapped, write_cityscapes, write_ids

from msl_jax.data.datasets.cityscapes import Cityscapes
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
TRAIN_IDS |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
TRAIN_IDS_16 = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 23: 9, 24: 10}
TRAIN_IDS_16 |= {25: 11, 26: 12, 28: 13, 32: 14, 33: 15}
TRAIN_IDS_13 = {7: 0, 8: 1, 11: 2, 19: 3, 20: 4, 21: 5, 23: 6, 24: 7, 25: 8, 26: 9, 28: 10}
TRAIN_IDS_13 |= {32: 11, 33: 12}

VAL_LABEL = Path("gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path / "cityscapes")


def test_published_sizes() -> None:
    assert Cityscapes.expected == {"train": 2975, "val": 500, "test": 1525}


def test_splits(tree: Path) -> None:
    dataset = Cityscapes(tree)
    assert [example.key for example in dataset.examples("train")] == [
        "aachen_000000_000019",
        "aachen_000001_000019",
        "ulm_000002_000019",
    ]
    assert [example.label_path is None for example in dataset.examples("val")] == [False]
    # The label files of test are dummies.
    assert [example.label_path for example in dataset.examples("test")] == [None]
    with pytest.raises(UserError, match="no split 'trainval'; choose one of"):
        dataset.examples("trainval")


@pytest.mark.parametrize(
    ("num_classes", "train_ids"), [(19, TRAIN_IDS), (16, TRAIN_IDS_16), (13, TRAIN_IDS_13)]
)
def test_ids(tree: Path, num_classes: int, train_ids: dict[int, int]) -> None:
    dataset = Cityscapes(tree, num_classes)
    assert dataset.label_set.num_classes == num_classes
    _, label = pickle.loads(pickle.dumps(dataset.examples("val")[0])).read()
    np.testing.assert_array_equal(label, mapped(all_ids(range(34)), train_ids))


def test_class_sets_never_share_records(tree: Path) -> None:
    assert len({Cityscapes(tree, number).fingerprint for number in (None, 16, 13)}) == 3
    assert Cityscapes(tree).fingerprint == Cityscapes(tree, 19).fingerprint
    with pytest.raises(UserError, match=r"with 18 classes; .*: 19 \(road.* 16 \(.* 13 \("):
        Cityscapes(tree, 18)


def test_train_needs_no_labels(tree: Path) -> None:
    before = Cityscapes(tree).fingerprint
    shutil.rmtree(tree / "gtFine" / "train")
    dataset = Cityscapes(tree)
    assert [example.label_path for example in dataset.examples("train")] == [None] * 3
    assert dataset.examples("train")[0].read()[1] is None
    assert dataset.fingerprint != before


def test_missing_labels(tree: Path) -> None:
    shutil.rmtree(tree / "gtFine" / "train" / "aachen")
    with pytest.raises(UserError, match=r"2 of 3 examples of train have no label; .*/aachen_00000"):
        Cityscapes(tree).examples("train")
    shutil.rmtree(tree / "gtFine")
    with pytest.raises(UserError, match="1 of 1 examples of val have no label"):
        Cityscapes(tree).examples("val")


def test_wrong_roots(tree: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder; it should have leftImg8bit"):
        Cityscapes(tree / "nowhere")
    with pytest.raises(UserError, match=r"val lacks the folders leftImg8bit.* as data_root"):
        Cityscapes(tree / "leftImg8bit" / "val")
    with pytest.raises(UserError, match=r"seem to be in .*/cityscapes: give that folder"):
        Cityscapes(tree.parent)
    shutil.rmtree(tree / "leftImg8bit" / "val")
    with pytest.raises(UserError, match=r"nothing of val among .*leftImg8bit/SPLIT/CITY/NAME"):
        Cityscapes(tree).examples("val")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros((12, 19), np.uint8), "20x12 pixels .* 19x12"),
        (np.full((12, 20), 34, np.uint8), "unknown label id 34; known ids are 0-33"),
        (np.zeros((12, 20, 3), np.uint8), "ids expected, found an RGB image"),
        (np.zeros((12, 20), np.uint16), "ids expected, found an image of mode 'I;16'"),
    ],
)
def test_bad_labels(tree: Path, label: np.ndarray, message: str) -> None:
    Image.fromarray(label).save(tree / VAL_LABEL)
    with pytest.raises(UserError, match=message):
        Cityscapes(tree).examples("val")[0].read()


def test_records_at_the_published_size(tmp_path: Path, capsys) -> None:
    tree = write_cityscapes(tmp_path / "full")
    image = tree / "leftImg8bit" / "val" / "lindau" / "lindau_000000_000019_leftImg8bit.png"
    quarters = np.kron(np.array([[7, 23], [26, 0]]), np.ones((512, 1024), int))
    Image.fromarray(np.zeros((1024, 2048, 3), np.uint8)).save(image)
    write_ids(tree / VAL_LABEL, quarters)
    dataset = Cityscapes(tree)
    wanted = np.kron(np.array([[0, 10], [13, 255]]), np.ones((16, 32), int))
    record = prepare(dataset, "val", (32, 64), tmp_path / "records")[0]
    assert record["key"] == "lindau_000000_000019"
    assert record["image"].shape == (32, 64, 3)
    np.testing.assert_array_equal(record["label"], wanted)
    full = prepare(dataset, "val", (32, 64), tmp_path / "records", keep_label_size=True)[0]
    np.testing.assert_array_equal(full["label"], mapped(quarters, TRAIN_IDS))
    assert "cityscapes/val: 1 of the 500 published images are there" in capsys.readouterr().err
    unlabelled = prepare(dataset, "test", (32, 64), tmp_path / "records")[0]
    assert (unlabelled["label"] == 255).all()
