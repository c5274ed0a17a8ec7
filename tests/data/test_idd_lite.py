"""IDD-Lite: frames of sequences, seven classes, labels that may be absent."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import SIZE, all_ids, write_idd_lite, write_ids

from msl_jax.data import check, prepare
from msl_jax.data.check import check_pair
from msl_jax.data.datasets.idd_lite import IDDLite
from msl_jax.data.prepared.records import prepare as prepare_records
from msl_jax.runtime.errors import UserError

NAMES = (
    *("drivable", "non-drivable", "living things", "vehicles"),
    *("roadside objects", "far objects", "sky"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_idd_lite(tmp_path / "idd")


@pytest.fixture
def label(root: Path) -> Path:
    return root / "gtFine" / "val" / "7" / "1_label.png"


def _run(*arguments: object) -> int:
    try:
        prepare.main(["idd_lite", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_splits(root: Path, capsys) -> None:
    dataset = IDDLite(root)
    assert dataset.expected == {"train": 1403, "val": 204, "test": 404}
    assert [e.key for e in dataset.examples("train")] == ["0/024541", "0/frame9", "12/024541"]
    assert [e.key for e in dataset.examples("val")] == ["7/1", "7/2"]
    (test,) = dataset.examples("test")
    assert test.label_path is None
    assert test.read()[1] is None
    assert "idd_lite/val: 2 of the 204 published images" in capsys.readouterr().err
    assert dataset.labels_without_image() == []
    (root / "leftImg8bit" / "val" / "7" / "1_image.jpg").unlink()
    assert dataset.labels_without_image() == [root / "gtFine" / "val" / "7" / "1_label.png"]


def test_labels(root: Path) -> None:
    dataset = IDDLite(root)
    assert dataset.label_set.names == NAMES
    image, label = pickle.loads(pickle.dumps(dataset.examples("val")[0])).read()
    assert image.shape == (*SIZE, 3)
    np.testing.assert_array_equal(label, all_ids([*range(7), 255]))


def test_frames_of_one_name_in_two_sequences(root: Path) -> None:
    """Image and label of one sequence belong together, whatever frames are called elsewhere."""
    for sequence, label_id in (("0", 1), ("12", 2)):
        path = root / "gtFine" / "train" / sequence / "024541_label.png"
        write_ids(path, np.full(SIZE, label_id))
    labels = {e.key: int(e.read()[1][0, 0]) for e in IDDLite(root).examples("train")}
    assert (labels["0/024541"], labels["12/024541"]) == (1, 2)


def test_train_needs_no_labels(root: Path) -> None:
    before = IDDLite(root).fingerprint
    shutil.rmtree(root / "gtFine" / "train")
    dataset = IDDLite(root)
    assert not dataset.labelled("train")
    assert dataset.examples("train")[0].read()[1] is None
    assert dataset.fingerprint != before


def test_missing_labels(root: Path, tmp_path: Path, capsys) -> None:
    shutil.rmtree(root / "gtFine" / "train" / "12")
    with pytest.raises(UserError, match=r"1 of 3 examples of train have no label; .*12/024541_lab"):
        IDDLite(root).examples("train")
    shutil.rmtree(root / "gtFine")
    records = tmp_path / "records"
    with pytest.raises(UserError, match=r"IDD-Lite: 2 of 2 examples of val have no label; .*7/1_"):
        prepare_records(IDDLite(root), "val", (6, 10), records)
    assert _run("--data_root", root, "--records_dir", records, "--strict") == 1
    out, err = capsys.readouterr()
    assert "idd_lite/val: 2 images of 204 expected, 0 labels, 2 with a problem" in out
    assert "missing label: 2\n" in out
    assert err.startswith("error: 2 pairs have a problem")
    assert not records.exists()


def test_wrong_roots(root: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder; it should have leftImg8bit"):
        IDDLite(root / "nowhere")
    with pytest.raises(UserError, match=r"seem to be in .*/idd: give that folder instead"):
        IDDLite(root.parent)
    shutil.rmtree(root / "leftImg8bit" / "val")
    with pytest.raises(
        UserError, match=r"nothing of val among .*leftImg8bit/SPLIT/SEQUENCE/FRAME_"
    ):
        IDDLite(root).examples("val")
    with pytest.raises(UserError, match="cannot be read with 19 classes"):
        IDDLite(root, 19)


@pytest.mark.parametrize(
    ("pixels", "message", "kind"),
    [
        (np.full(SIZE, 7, np.uint8), "unknown label id 7; known ids are 0-6, 255", "UNKNOWN_IDS"),
        (np.zeros((12, 19), np.uint8), "20x12 pixels .* 19x12", "SIZE_MISMATCH"),
        (np.zeros((*SIZE, 3), np.uint8), "ids expected, found an RGB image", "WRONG_FORMAT"),
    ],
)
def test_bad_labels(root: Path, label: Path, pixels: np.ndarray, message: str, kind: str) -> None:
    Image.fromarray(pixels).save(label)
    pair = IDDLite(root).examples("val")[0]
    with pytest.raises(UserError, match=rf"7/1.*{message}"):
        pair.read()
    assert [problem.kind for problem in check_pair(pair).problems] == [getattr(check, kind)]


def test_damaged_files(root: Path, label: Path) -> None:
    label.write_bytes(label.read_bytes()[:-20])
    image = root / "leftImg8bit" / "val" / "7" / "2_image.jpg"
    image.write_bytes(image.read_bytes()[:200])
    for pair, name in zip(
        IDDLite(root).examples("val"), ("1_label.png", "2_image.jpg"), strict=True
    ):
        with pytest.raises(UserError, match=rf"{name}: not a readable image"):
            pair.read()


def test_test_is_checked_but_not_prepared(root: Path, tmp_path: Path, capsys) -> None:
    records = tmp_path / "records"
    assert _run("--data_root", root, "--records_dir", records, "--size", "6,10") == 0
    out = capsys.readouterr().out
    assert "idd_lite/test" not in out
    assert "idd_lite/val: 2 records of 6x10" in out
    assert _run("--data_root", root, "--check_only") == 0
    assert "idd_lite/test: 1 images of 404 expected, no labels" in capsys.readouterr().out


def test_real_frames(shared_data) -> None:
    dataset = IDDLite(shared_data("idd_lite"))
    assert [len(dataset.examples(split)) for split in ("train", "test")] == [1403, 404]
    pairs = [example.read() for example in dataset.examples("val")[::10]]
    assert {label.shape for _, label in pairs} == {(227, 320)}
    labels = np.stack([label for _, label in pairs])
    drivable, sky = dataset.label_set.indices(["drivable", "sky"])
    assert np.mean(labels[:, 190:210, 140:180] == drivable) > 0.8  # ahead of the car
    assert np.mean(labels[:, :20] == sky) > 0.3
    assert np.mean(labels == 255) < 0.01
