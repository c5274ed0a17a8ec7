from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.data.labels import LABEL_SETS


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_evaluation_gives_the_numbers_of_training(whole) -> None:
    results = evaluate(whole.config, str(whole.workdir))
    written = _read(whole.workdir / "eval" / "results.json")
    assert written == results
    assert results == {
        "config": "camvid",
        "variant": "max_square_iw_multi",
        "seed": 0,
        "final": whole.results["final"],
        "eval_size": "network",
        "flip": False,
        "scales": [1.0],
    }


def test_evaluation_of_other_checkpoints(whole, tmp_path: Path) -> None:
    best = evaluate(whole.config, f"{whole.workdir}:best", str(tmp_path / "best"))
    assert {key: best["final"][key] for key in ("target", "step")} == whole.results["best"]
    baseline = evaluate(whole.config, f"{whole.workdir}:source", str(tmp_path / "source"))
    assert baseline["final"] == {**whole.results["source_only"], "step": 4}
    assert _read(tmp_path / "source" / "results.json") == baseline


def test_evaluation_at_full_size_with_flip_and_scales(whole, tmp_path: Path) -> None:
    keys = {"eval_size": "full", "flip": True, "scales": (0.75, 1.0)}
    results = evaluate(whole.config, str(whole.workdir), str(tmp_path), keys)
    assert {key: results[key] for key in keys} == {**keys, "scales": [0.75, 1.0]}
    assert results["final"] != whole.results["final"]


def test_evaluation_takes_the_newest_run(
    source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/camvid-source-seed0").symlink_to(source.workdir)
    results = evaluate(source.config, output="here")
    assert results["final"] == source.results["final"]
    assert _read(tmp_path / "here" / "results.json") == results


# Prediction.


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    (folder / "deep" / "er").mkdir(parents=True)
    noise = rng.integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(folder / "street.png")
    Image.fromarray(noise[:33, :21]).save(folder / "deep" / "street.JPG")
    Image.fromarray(noise[:17, :45, 0]).save(folder / "deep" / "er" / "grey.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_prediction_of_a_folder(whole, photos: Path, tmp_path: Path, snapshot) -> None:
    before = snapshot(photos)
    output = tmp_path / "out"
    written = predict(whole.config, str(whole.workdir), str(photos), str(output))
    expected = {
        "deep/er/grey.png": ("deep/er/grey.png", (17, 45)),
        "deep/street_jpg.png": ("deep/street.JPG", (33, 21)),
        "street.png": ("street.png", (40, 50)),
    }
    assert written == [output / "labels" / name for name in expected]
    palette = LABEL_SETS["camvid"].palette
    for name, (original, size) in expected.items():
        labels, colors, overlay = (
            _pixels(output / kind / name) for kind in ("labels", "colors", "overlays")
        )
        assert labels.shape == size
        assert labels.max() < len(LABEL_SETS["camvid"].names)
        np.testing.assert_array_equal(colors, palette[labels])
        photo = _pixels(photos / original)
        photo = photo if photo.ndim == 3 else photo[..., None]
        np.testing.assert_allclose(overlay, (photo / 2 + colors / 2), atol=0.5)
    assert sum(path.is_file() for path in output.rglob("*")) == 9
    assert snapshot(photos) == before


def test_default_folder_of_a_relative_path(whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the path is written, results go beside the run, apart for each checkpoint."""
    monkeypatch.chdir(whole.workdir.parent)
    for path, folder in (
        (f"./{whole.workdir.name}/", "eval"),
        (f"./{whole.workdir.name}:best", "eval-best"),
    ):
        evaluate(whole.config, path)
        assert (whole.workdir / folder / "results.json").is_file()
