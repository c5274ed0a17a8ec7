"""The comparison of input pipelines: both do the same work, and the report has the figures."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.input_pipeline import enlarge, main, measure
from benchmarks.support import official_loader
from msl_jax.data.prepared.records import prepare

ORIGINAL, RECORD = (60, 90), (40, 64)


def test_report(shared_camvid_tree: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    report = measure(
        shared_camvid_tree, 3, rounds=2, original_size=ORIGINAL, record_size=RECORD, blur=False
    )
    assert report["benchmark"] == "input_pipeline"
    for name in ("ours", "official"):
        low, high = report[name]["spread"]
        assert 0 < low <= report[name]["seconds"] <= high
        rate = report[name]["images_per_second"]
        assert rate["median"] == pytest.approx(1 / report[name]["seconds"])
    ratio, size = report["ratio"], report["bytes_per_image"]
    assert ratio["images_per_second"] == pytest.approx(1 / ratio["seconds"])
    assert ratio["bytes_per_image"] == pytest.approx(size["records"] / size["original"], rel=0.01)


def test_both_ways_give_the_same_pixels(
    shared_camvid_tree: Path, tmp_path: Path, monkeypatch
) -> None:
    dataset = enlarge(shared_camvid_tree, tmp_path, 4, ORIGINAL)
    records = prepare(dataset, "train", RECORD, tmp_path / "records")
    official = official_loader.SourceExamples(dataset.pairs, RECORD, blur=True)
    monkeypatch.setattr(random, "random", lambda: 0.9)  # neither flip nor blur
    for index in range(4):
        image, label = official[index]
        expected = records[index]["image"][..., ::-1] - official_loader.BGR_MEAN
        np.testing.assert_array_equal(image, expected.transpose(2, 0, 1))
        counted = records[index]["label"] != 255  # CamVid's void is a class for the official loader
        np.testing.assert_array_equal(label[counted], records[index]["label"][counted])


def test_no_frames(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main([f"--camvid={tmp_path}"])
    assert "0 frames in" in capsys.readouterr().err
