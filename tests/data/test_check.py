"""What a check finds in pairs of files: each kind of problem, in each kind of label."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import (
    SIZE,
    all_ids,
    write_cityscapes,
    write_crosscity,
    write_gta5,
    write_ids,
    write_image,
    write_synthia,
)

from msl_jax.data import check
from msl_jax.data.check import PairCheck, SplitCheck, check_pair, describe, summarize
from msl_jax.data.datasets.cityscapes import Cityscapes
from msl_jax.data.datasets.crosscity import CrossCity
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.gta5 import GTA5
from msl_jax.data.datasets.synthia import SYNTHIA

TRAIN = (1, 2, 10, 16)  # of GTA5's training split


@pytest.fixture
def gta5(tmp_path: Path) -> Path:
    return write_gta5(tmp_path / "gta5", TRAIN)


def _check(dataset: FileDataset, split: str) -> SplitCheck:
    pairs = dataset.pairs(split)
    title = f"{dataset.name}/{split}"
    expected = dataset.expected.get(split)
    return summarize(title, pairs, map(check_pair, pairs), dataset.label_set, expected)


def _found(result: SplitCheck) -> list[tuple[str, str]]:
    return [(problem.key, problem.kind) for problem in result.problems]


def test_nothing_wrong(gta5: Path) -> None:
    result = _check(GTA5(gta5), "train")
    assert (result.num_images, result.num_labels, result.expected) == (4, 4, 12402)
    assert (result.problems, result.num_bad) == ((), 0)
    assert dict(result.pixels) == {i: 4 * np.sum(all_ids(range(35)) == i) for i in range(35)}
    assert result.labels == dict.fromkeys(range(35), 4)
    assert [result.meanings[i] for i in (6, 7, 34)] == ["ignored", "road", "ignored"]


def _remove_label(label: Path) -> None:
    label.unlink()


def _enlarge_label(label: Path) -> None:
    write_ids(label, all_ids(range(35), (13, 20)), palette=True)


def _truncate_label(label: Path) -> None:
    label.write_bytes(label.read_bytes()[:-40])


def _colour_label(label: Path) -> None:
    Image.open(label).convert("RGB").save(label)


def _unknown_id(label: Path) -> None:
    write_ids(label, np.where(np.arange(SIZE[1]) < 5, 35, np.full(SIZE, 7)), palette=True)


def _truncate_image(label: Path) -> None:
    image = label.parents[1] / "images" / label.name
    image.write_bytes(image.read_bytes()[:100])


def _deepen_image(label: Path) -> None:
    image = label.parents[1] / "images" / label.name
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(image)


@pytest.mark.parametrize(
    ("damage", "kind", "text"),
    [
        (_remove_label, check.MISSING_LABEL, "labels/00002.png: no such file"),
        (_enlarge_label, check.SIZE_MISMATCH, "20x12 pixels but its label"),
        (_truncate_label, check.UNREADABLE, "labels/00002.png: not a readable image"),
        (_colour_label, check.WRONG_FORMAT, "ids expected, found an RGB image"),
        (_unknown_id, check.UNKNOWN_IDS, "label id 35; .* file: 7 (75.0%), 35 (25.0%)."),
        (_truncate_image, check.UNREADABLE, "images/00002.png: not a readable image"),
        (_deepen_image, check.WRONG_FORMAT, "images/00002.png: 8 bits a channel expected"),
    ],
)
def test_each_kind_of_problem(gta5: Path, damage, kind: str, text: str) -> None:
    damage(gta5 / "labels" / "00002.png")
    result = _check(GTA5(gta5), "train")
    assert _found(result) == [("00002", kind)]
    for part in text.split(".*"):
        assert part in result.problems[0].message
    assert result.num_labels == 4 - (kind == check.MISSING_LABEL)
    assert f"1 with a problem\n  {kind}: 1\n    {result.problems[0].message}" in describe(result)


def test_all_that_is_wrong_with_a_pair_is_found(gta5: Path) -> None:
    label = gta5 / "labels" / "00002.png"
    write_ids(label, np.full((13, 20), 40), palette=True)
    _truncate_image(gta5 / "labels" / "00001.png")
    _colour_label(gta5 / "labels" / "00001.png")
    result = _check(GTA5(gta5), "train")
    assert _found(result) == [
        ("00001", check.UNREADABLE),
        ("00001", check.WRONG_FORMAT),
        ("00002", check.SIZE_MISMATCH),
        ("00002", check.UNKNOWN_IDS),
    ]
    assert result.num_bad == 2
    assert result.meanings[40] == "UNEXPECTED"
    assert "   40  UNEXPECTED" in describe(result)


def test_synthia_with_8_bits(tmp_path: Path) -> None:
    root = write_synthia(tmp_path / "synthia", (0, 1))
    assert _check(SYNTHIA(root), "train").meanings[3] == "road"
    write_image(root / "GT" / "LABELS" / "0000001.png")
    result = _check(SYNTHIA(root), "train")
    assert _found(result) == [("0000001", check.WRONG_FORMAT)]
    assert "lost the ids" in result.problems[0].message


def test_crosscity_with_train_ids_and_missing_files(tmp_path: Path) -> None:
    root = write_crosscity(tmp_path / "crosscity")
    result = _check(CrossCity(root), "Rome_train")
    assert (result.num_images, result.num_labels, result.problems) == (3, None, ())
    assert (
        describe(result)
        == "crosscity/Rome_train: 3 images of 3,200 expected, no labels, no problem"
    )
    write_ids(root / "Rome" / "Labels" / "Test" / "pano_9_0_eval.png", all_ids(range(13)))
    (root / "Rome" / "Images" / "Test" / "pano_8_0.jpg").unlink()
    result = _check(CrossCity(root), "Rome_test")
    assert _found(result) == [
        ("pano_9_0", check.UNKNOWN_IDS),
        ("pano_8_0", check.MISSING_IMAGE),
    ]
    assert (result.num_images, result.num_labels) == (1, 2)


def test_labels_without_an_image(tmp_path: Path, gta5: Path) -> None:
    root = write_cityscapes(tmp_path / "cityscapes")
    assert Cityscapes(root).labels_without_image() == []
    (root / "leftImg8bit" / "val" / "lindau" / "lindau_000000_000019_leftImg8bit.png").unlink()
    (found,) = Cityscapes(root).labels_without_image()
    assert found.name == "lindau_000000_000019_gtFine_labelIds.png"
    (gta5 / "images" / "00010.png").unlink()
    assert GTA5(gta5).labels_without_image() == [gta5 / "labels" / "00010.png"]


def test_checks_are_picklable(gta5: Path) -> None:
    found = check_pair(GTA5(gta5).pairs("train")[0])
    assert isinstance(found, PairCheck)
    assert pickle.loads(pickle.dumps(found)) == found


def test_no_pairs() -> None:
    result = summarize("none/train", [], [], GTA5.label_sets[0], 10)
    assert describe(result) == "none/train: 0 images of 10 expected, no labels, no problem"
