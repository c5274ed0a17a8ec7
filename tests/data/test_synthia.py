"""SYNTHIA: ids of its 16-bit labels, of which both bytes count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import SIZE, all_ids, mapped, write_ids, write_rgb16, write_synthia

from msl_jax.data.datasets.synthia import SYNTHIA
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

# SYNTHIA's id -> Cityscapes train id of the 19, of the 16 and of the 13 classes.
TRAIN_IDS = {1: 10, 2: 2, 3: 0, 4: 1, 5: 4, 6: 8, 7: 5, 8: 13, 9: 7, 10: 11, 11: 18, 12: 17}
TRAIN_IDS |= {15: 6, 16: 9, 17: 12, 18: 14, 19: 15, 20: 16, 21: 3}
TRAIN_IDS_16 = {1: 9, 2: 2, 3: 0, 4: 1, 5: 4, 6: 8, 7: 5, 8: 12, 9: 7, 10: 10, 11: 15, 12: 14}
TRAIN_IDS_16 |= {15: 6, 17: 11, 19: 13, 21: 3}
TRAIN_IDS_13 = {1: 6, 2: 2, 3: 0, 4: 1, 6: 5, 8: 9, 9: 4, 10: 7, 11: 12, 12: 11, 15: 3, 17: 8}
TRAIN_IDS_13 |= {19: 10}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_synthia(tmp_path / "RAND_CITYSCAPES", (0, 7, 8999, 9000, 9399))


def test_splits(tree: Path, capsys) -> None:
    assert SYNTHIA.expected == {"train": 9000, "val": 400, "all": 9400}
    dataset = SYNTHIA(tree)
    keys = {split: [example.key for example in dataset.examples(split)] for split in SYNTHIA.splits}
    assert keys["train"] == ["0000000", "0000007", "0008999"]
    assert keys["val"] == ["0009000", "0009399"]
    assert keys["all"] == keys["train"] + keys["val"]
    assert "synthia/val: 2 of the 400 published images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("num_classes", "train_ids"),
    [(None, TRAIN_IDS_16), (16, TRAIN_IDS_16), (13, TRAIN_IDS_13), (19, TRAIN_IDS)],
)
def test_ids(tree: Path, num_classes: int | None, train_ids: dict[int, int]) -> None:
    dataset = SYNTHIA(tree, num_classes)
    assert dataset.label_set.num_classes == len(set(train_ids.values()))
    _, label = dataset.examples("train")[0].read()
    np.testing.assert_array_equal(label, mapped(all_ids(range(23)), train_ids))


def test_wrong_root(tree: Path) -> None:
    with pytest.raises(UserError, match=r"lacks the folders RGB, GT/LABELS.*RAND_CITYSCAPES: give"):
        SYNTHIA(tree.parent)


def test_missing_label(tree: Path) -> None:
    (tree / "GT" / "LABELS" / "0000007.png").unlink()
    with pytest.raises(UserError, match=r"1 of 3 examples of train have no label; .*0000007\.png"):
        SYNTHIA(tree).examples("train")


def test_labels_that_lost_a_byte(tree: Path) -> None:
    path = tree / "GT" / "LABELS" / "0000000.png"
    Image.open(path).convert("RGB").save(path)  # what Pillow makes of the original
    with pytest.raises(UserError, match=r"0000000\.png: a 16-bit RGB PNG .* found an 8-bit RGB"):
        SYNTHIA(tree).examples("train")[0].read()
    write_ids(path, all_ids(range(23)))
    with pytest.raises(UserError, match=r"found an image of mode 'L'"):
        SYNTHIA(tree).examples("train")[0].read()


@pytest.mark.parametrize("unknown", [23, 255, 256 + 3])
def test_unknown_ids(tree: Path, unknown: int) -> None:
    write_rgb16(tree / "GT" / "LABELS" / "0000000.png", np.full((*SIZE, 3), unknown))
    with pytest.raises(UserError, match=f"unknown label id {unknown}; known ids are 0-22"):
        SYNTHIA(tree).examples("train")[0].read()


def test_label_of_another_size(tree: Path) -> None:
    write_rgb16(tree / "GT" / "LABELS" / "0000000.png", np.zeros((5, 6, 3)))
    with pytest.raises(UserError, match=r"20x12 pixels .* 6x5"):
        SYNTHIA(tree).examples("train")[0].read()


def test_records(tree: Path, tmp_path: Path) -> None:
    records = prepare(SYNTHIA(tree, 13), "train", (6, 10), tmp_path / "records")
    assert len(records) == 3
    wanted = mapped(all_ids(range(23)), TRAIN_IDS_13)[1::2, 1::2]
    np.testing.assert_array_equal(records[1]["label"], wanted)
    other = prepare(SYNTHIA(tree, 16), "train", (6, 10), tmp_path / "records")
    assert other.folder != records.folder
    assert other[1]["label"].max() == 255
    assert other[1]["label"][other[1]["label"] < 255].max() == 15
