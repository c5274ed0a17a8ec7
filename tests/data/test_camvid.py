"""CamVid: which frames belong to which domain, and the errors of a wrong tree."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msl_jax.data.datasets.camvid import CamVid
from msl_jax.runtime.errors import UserError


def _keys(dataset: CamVid, split: str) -> list[str]:
    return [example.key for example in dataset.examples(split)]


def test_splits_follow_the_drive(camvid_tree: Path) -> None:
    dataset = CamVid(camvid_tree)
    assert _keys(dataset, "train_dusk") == ["0001TP_006690", "0001TP_7"]
    assert len(_keys(dataset, "train_day")) == 8
    assert _keys(dataset, "train_day")[0] == "0006R0_f00930"
    assert _keys(dataset, "val_day") == ["0016E5_07959", "0016E5_07961"]
    assert len(_keys(dataset, "test_dusk")) == 5


def test_labels_are_train_ids_with_void_ignored(camvid_tree: Path) -> None:
    ids = np.arange(12, dtype=np.uint8).repeat(256).reshape(48, 64)
    Image.fromarray(ids).save(camvid_tree / "valannot" / "0016E5_07959.png")
    example = pickle.loads(pickle.dumps(CamVid(camvid_tree).examples("val_day")[0]))
    image, label = example.read()
    assert image.shape == (48, 64, 3)
    np.testing.assert_array_equal(label, np.where(ids == 11, 255, ids))


def test_unknown_id(camvid_tree: Path) -> None:
    path = camvid_tree / "valannot" / "0016E5_07959.png"
    Image.fromarray(np.full((48, 64), 12, np.uint8)).save(path)
    with pytest.raises(UserError, match=r"0016E5_07959\.png: unknown label id 12; .* 0-11"):
        CamVid(camvid_tree).examples("val_day")[0].read()


def test_size_mismatch(camvid_tree: Path) -> None:
    path = camvid_tree / "valannot" / "0016E5_07959.png"
    Image.fromarray(np.zeros((48, 63), np.uint8)).save(path)
    with pytest.raises(UserError, match=r"64x48 pixels .*63x48"):
        CamVid(camvid_tree).examples("val_day")[0].read()


def test_wrong_roots(camvid_tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder.*trainannot"):
        CamVid(tmp_path / "nowhere")
    shutil.rmtree(camvid_tree / "testannot")
    with pytest.raises(UserError, match="lacks the folders testannot"):
        CamVid(camvid_tree)


def test_empty_split(camvid_tree: Path) -> None:
    for path in (camvid_tree / "test").glob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match=r"nothing of test_dusk among .* begin with 0001TP"):
        CamVid(camvid_tree).examples("test_dusk")


def test_missing_label(camvid_tree: Path) -> None:
    (camvid_tree / "trainannot" / "0001TP_7.png").unlink()
    with pytest.raises(UserError, match=r"1 of 2 examples .*0001TP_7\.png"):
        CamVid(camvid_tree).examples("train_dusk")


def test_unknown_drive_and_split(camvid_tree: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'train'; choose one of.*train_day"):
        CamVid(camvid_tree).examples("train")
    (camvid_tree / "val" / "0016E5_07961.png").rename(camvid_tree / "val" / "frame_1.png")
    with pytest.raises(UserError, match=r"frame_1\.png has an unknown drive"):
        CamVid(camvid_tree).examples("val_day")


def test_litter_is_passed_over(camvid_tree: Path) -> None:
    for folder in ("train", "trainannot"):
        (camvid_tree / folder / "._0001TP_006690.png").write_bytes(b"x")
        (camvid_tree / folder / "Thumbs.db").write_bytes(b"x")
    dataset = CamVid(camvid_tree)
    assert _keys(dataset, "train_dusk") == ["0001TP_006690", "0001TP_7"]
    assert dataset.remarks() == []


def test_fingerprint_follows_root_and_files(camvid_tree: Path, tmp_path: Path) -> None:
    first = CamVid(camvid_tree).fingerprint
    assert first == CamVid(camvid_tree).fingerprint
    other = shutil.copytree(camvid_tree, tmp_path / "copy")
    assert first != CamVid(other).fingerprint
    label = camvid_tree / "valannot" / "0016E5_07961.png"
    os.utime(label, (1, 1))
    assert first != CamVid(camvid_tree).fingerprint


def test_real_frames(camvid_root: Path) -> None:
    dataset = CamVid(camvid_root)
    counts = {split: len(dataset.examples(split)) for split in dataset.splits}
    assert counts == {"train_day": 203, "train_dusk": 62, "val_day": 26, "test_dusk": 31}
    brightness = {}
    for split in ("train_day", "train_dusk"):
        pairs = [example.read() for example in dataset.examples(split)[:8]]
        brightness[split] = np.mean([image.mean() for image, _ in pairs])
        assert all(label.shape == (360, 480) for _, label in pairs)
        road = dataset.label_set.names.index("road")
        # Most of what lies ahead of the car, in the lower middle of the picture, is street.
        assert np.mean([label[300:, 200:280] == road for _, label in pairs]) > 0.5
    assert brightness["train_dusk"] < 80 < brightness["train_day"]
