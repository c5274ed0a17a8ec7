"""NTHU CrossCity: four cities, lists, and the two encodings of its labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from trees import CROSSCITY_IDS, SIZE, all_ids, mapped, write_crosscity, write_ids, write_image

from msl_jax.data.datasets.crosscity import CrossCity
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

TRAIN_IDS = {7: 0, 8: 1, 11: 2, 19: 3, 20: 4, 21: 5, 23: 6, 24: 7, 25: 8, 26: 9, 28: 10}
TRAIN_IDS |= {32: 11, 33: 12}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_crosscity(tmp_path / "NTHU")


@pytest.fixture
def label(tree: Path) -> Path:
    return tree / "Rome" / "Labels" / "Test" / "pano_9_0_eval.png"


def _keys(root: Path, split: str) -> list[str]:
    return [example.key for example in CrossCity(root).examples(split)]


def test_splits() -> None:
    assert len(CrossCity.splits) == 8
    assert (CrossCity.expected["Rome_train"], CrossCity.expected["Taipei_test"]) == (3200, 100)


def test_lists_give_the_order(tree: Path, capsys) -> None:
    assert _keys(tree, "Rome_train") == ["pano_2_0", "pano_1_180", "pano_3_0"]
    assert "Rome_train: 3 of the 3200 published images" in capsys.readouterr().err
    assert _keys(tree, "Rome_test") == ["pano_9_0", "pano_8_0"]
    write_image(tree / "Rome" / "Images" / "Train" / "pano_0_0.jpg")
    assert len(_keys(tree, "Rome_train")) == 3  # not in the list, which is said
    (remark,) = CrossCity(tree).remarks()
    assert remark.startswith("crosscity: 1 image in no list below ")
    assert remark.endswith(": Rome/Images/Train/pano_0_0.jpg")


def test_folders_without_lists(tree: Path) -> None:
    shutil.rmtree(tree / "Rome" / "List")
    folder = tree / "Rome" / "Images" / "Train"
    write_image(folder / "pano_0_0.png")
    write_image(folder / "pano_3_0.png")  # beside the JPEG of that name
    (folder / "Thumbs.db").touch()
    assert _keys(tree, "Rome_train") == ["pano_0_0", "pano_1_180", "pano_2_0", "pano_3_0"]
    paths = [example.image_path.suffix for example in CrossCity(tree).examples("Rome_train")]
    assert paths == [".png", ".jpg", ".jpg", ".jpg"]


def test_labels(tree: Path) -> None:
    assert CrossCity(tree).examples("Rome_train")[0].read()[1] is None
    _, label = CrossCity(tree).examples("Rome_test")[0].read()
    np.testing.assert_array_equal(label, mapped(all_ids(CROSSCITY_IDS), TRAIN_IDS))


def test_unlabelled_pixels_and_other_classes_are_ignored(tree: Path, label: Path) -> None:
    ids = all_ids([*CROSSCITY_IDS, 0, 13, 17, 22, 27, 31, 255])
    write_ids(label, ids)
    found = CrossCity(tree).examples("Rome_test")[0].read()[1]
    np.testing.assert_array_equal(found, mapped(ids, TRAIN_IDS))


@pytest.mark.parametrize("found", [range(13), (0, 1, 2, 5, 255), (2, 7)])
def test_converted_labels_are_refused(tree: Path, label: Path, found) -> None:
    write_ids(label, all_ids(found))
    with pytest.raises(UserError, match=r"pano_9_0_eval\.png: .* which are train ids 0-12"):
        CrossCity(tree).examples("Rome_test")[0].read()


@pytest.mark.parametrize(("wrong", "named"), [((7, 34, 11), "34"), (range(19), "1-6, 9-10, 12")])
def test_unknown_ids(tree: Path, label: Path, wrong, named: str) -> None:
    write_ids(label, all_ids(wrong))
    with pytest.raises(UserError, match=rf"pano_9_0_eval\.png: unknown label id {named};"):
        CrossCity(tree).examples("Rome_test")[0].read()


def test_label_of_another_size(tree: Path, label: Path) -> None:
    write_ids(label, all_ids([7], (SIZE[0], SIZE[1] + 1)))
    with pytest.raises(UserError, match=r"20x12 pixels .* 21x12"):
        CrossCity(tree).examples("Rome_test")[0].read()


def test_missing_partners(tree: Path, label: Path) -> None:
    label.unlink()
    with pytest.raises(UserError, match=r"1 of 2 examples of Rome_test have no label; .*pano_9_0_"):
        CrossCity(tree).examples("Rome_test")
    (tree / "Rome" / "Images" / "Train" / "pano_1_180.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 3 examples of Rome_train have no image; .*pano_1_1"):
        CrossCity(tree).examples("Rome_train")


def test_wrong_roots(tree: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder; it should have .*Rome"):
        CrossCity(tree / "nowhere")
    with pytest.raises(UserError, match=r"nothing of Tokyo_test among .*Images/\{Train,Test\}"):
        CrossCity(tree).examples("Tokyo_test")
    with pytest.raises(UserError, match=r"no split 'rome'; choose one of.*'Rome_train'"):
        CrossCity(tree).examples("rome")


def test_damaged_list(tree: Path) -> None:
    (tree / "Rome" / "List" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"train\.txt: not a readable list"):
        CrossCity(tree).examples("Rome_train")
    (tree / "Rome" / "List" / "train.txt").write_text("\n")
    with pytest.raises(UserError, match="nothing of Rome_train among"):
        CrossCity(tree).examples("Rome_train")


def test_records(tree: Path, tmp_path: Path) -> None:
    dataset = CrossCity(tree)
    records = prepare(dataset, "Rome_test", (6, 10), tmp_path / "records")
    wanted = mapped(all_ids(CROSSCITY_IDS), TRAIN_IDS)[1::2, 1::2]
    np.testing.assert_array_equal(records[0]["label"], wanted)
    unlabelled = prepare(dataset, "Rome_train", (6, 10), tmp_path / "records")
    assert len(unlabelled) == 3
    assert (unlabelled[0]["label"] == 255).all()


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a\\b", "\x1b[2J"])
def test_list_of_paths_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing outside of the folder is read, whatever a list says."""
    root = write_crosscity(tmp_path / "crosscity")
    (root / "Rome" / "List" / "test.txt").write_text(f"pano_9_0\n{name}\n")
    with pytest.raises(
        UserError, match=r"List/test\.txt: expected names of images.*without folders"
    ):
        CrossCity(root).pairs("Rome_test")
