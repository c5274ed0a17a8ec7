"""GTA5: palette labels, the published splits, and partial downloads."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import SIZE, all_ids, mapped, write_gta5, write_ids, write_image

from msl_jax.data.datasets.gta5 import GTA5, _numbers
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
TRAIN_IDS |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
TRAIN_IDS_16 = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 23: 9, 24: 10}
TRAIN_IDS_16 |= {25: 11, 26: 12, 28: 13, 32: 14, 33: 15}

TRAIN = (1, 2, 10, 16)  # of the published training split; 11 is of another one


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_gta5(tmp_path / "gta5", (*TRAIN, 11))


def test_published_split() -> None:
    numbers = _numbers()
    assert {split: len(numbers[split]) for split in numbers} == {
        split: GTA5.expected[split] for split in ("train", "val", "test", "all")
    }
    faulty = {15188, 17705, *range(20801, 20861)}
    assert numbers["all"] == [n for n in range(1, 24967) if n not in faulty]
    assert sorted(n for s in ("train", "val", "test") for n in numbers[s]) == numbers["all"]
    assert all(split == sorted(split) for split in numbers.values())
    assert set(TRAIN) <= set(numbers["train"])
    assert 11 not in numbers["train"]


def test_first_of_val(tmp_path: Path) -> None:
    numbers = _numbers()["val"]
    root = write_gta5(tmp_path, [*numbers[:2], numbers[499], numbers[500]])
    keys = [int(example.key) for example in GTA5(root).pairs("val_500")]
    assert keys == [*numbers[:2], numbers[499]]
    assert len(GTA5(root).pairs("val")) == 4


def test_some_of_the_parts_are_enough(tree: Path, capsys) -> None:
    dataset = GTA5(tree)
    assert [e.key for e in dataset.examples("train")] == ["00001", "00002", "00010", "00016"]
    assert capsys.readouterr().err == (
        "gta5/train: 4 of the 12402 published images are there; only these are used\n"
    )
    keys = [example.key for example in dataset.examples("all")]
    assert keys == ["00001", "00002", "00010", "00011", "00016"]
    (tree / "images" / "00002.png").unlink()  # the labels of all parts are small, the images not
    assert len(GTA5(tree).examples("train")) == 3
    for split in ("val", "test"):
        (tree / "images" / "00011.png").unlink(missing_ok=True)
        with pytest.raises(UserError, match=f"nothing of {split} among .*images/NNNNN.png"):
            GTA5(tree).examples(split)


@pytest.mark.parametrize(("num_classes", "train_ids"), [(19, TRAIN_IDS), (16, TRAIN_IDS_16)])
def test_palette_indices_are_the_ids(
    tree: Path, num_classes: int, train_ids: dict[int, int]
) -> None:
    _, label = GTA5(tree, num_classes).examples("train")[0].read()
    np.testing.assert_array_equal(label, mapped(all_ids(range(35)), train_ids))


def test_missing_labels(tree: Path) -> None:
    for number in (2, 16):
        (tree / "labels" / f"{number:05}.png").unlink()
    with pytest.raises(
        UserError, match=r"2 of 4 examples of train have no label; .*00002\.png \(found there"
    ):
        GTA5(tree).examples("train")
    assert len(GTA5(tree).pairs("train")) == 4  # what a check goes through


def test_wrong_roots(tree: Path) -> None:
    with pytest.raises(UserError, match=r"seem to be in .*/gta5: give that folder"):
        GTA5(tree.parent)
    shutil.rmtree(tree / "labels")
    with pytest.raises(UserError, match="gta5 lacks the folders labels"):
        GTA5(tree)


def test_unknown_ids_and_colours(tree: Path) -> None:
    path = write_ids(tree / "labels" / "00001.png", np.full(SIZE, 35), palette=True)
    with pytest.raises(UserError, match=r"00001\.png: unknown label id 35; known ids are 0-34"):
        GTA5(tree).examples("train")[0].read()
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(UserError, match=r"00001\.png: ids expected, found an RGB image"):
        GTA5(tree).examples("train")[0].read()


def test_records_leave_out_pairs_of_two_sizes(tree: Path, tmp_path: Path) -> None:
    write_image(tree / "images" / "00002.png", (13, 20))
    with pytest.raises(UserError, match=r"00002\.png has 20x13 pixels"):
        prepare(GTA5(tree), "train", (6, 10), tmp_path / "records")
    records = prepare(GTA5(tree), "train", (6, 10), tmp_path / "records", on_bad_example="skip")
    assert [records[i]["key"] for i in range(len(records))] == ["00001", "00010", "00016"]
    assert len(records.skipped) == 1
    # Nearest neighbour at half the size takes the odd rows and columns.
    wanted = mapped(all_ids(range(35)), TRAIN_IDS)[1::2, 1::2]
    np.testing.assert_array_equal(records[2]["label"], wanted)


def test_records_leave_out_pairs_without_a_label(tree: Path, tmp_path: Path) -> None:
    (tree / "labels" / "00010.png").unlink()
    records = prepare(GTA5(tree), "train", (6, 10), tmp_path / "records", on_bad_example="skip")
    assert [records[i]["key"] for i in range(len(records))] == ["00001", "00002", "00016"]
    assert records.skipped == (f"{tree / 'labels' / '00010.png'}: no such file.",)
    with pytest.raises(UserError, match="1 of 4 examples of train have no label"):
        prepare(GTA5(tree), "train", (6, 10), tmp_path / "records")


def test_pairs_that_are_known_to_be_faulty(tmp_path: Path) -> None:
    """Of two sizes; public loaders skip them."""
    root = write_gta5(tmp_path, (*TRAIN, 15188, 17705, 20801, 20860))
    for number in (15188, 17705, 20801, 20860):
        write_image(root / "images" / f"{number:05}.png", (13, 20))
    assert [e.key for e in GTA5(root).examples("train")] == ["00001", "00002", "00010", "00016"]
    assert [e.key for e in GTA5(root).examples("all")] == ["00001", "00002", "00010", "00016"]
    assert GTA5(root).remarks() == [
        "gta5: 4 pairs known to be faulty left out: images/15188.png, images/17705.png,"
        " images/20801.png, ..."
    ]
