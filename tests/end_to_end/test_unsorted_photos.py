"""A classification adapted to photos that nobody has sorted, one of which cannot be read."""

from __future__ import annotations

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from trees import write_domains, write_image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import LeftOut, predict
from msl_jax.config.presets import complete
from msl_jax.report.command import write_report
from msl_jax.runtime.errors import UserError

from .conftest import CONFIGS, Run

CLASSES = ("bike", "mug", "pen")


@pytest.fixture(scope="module")
def run(start, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = write_domains(tmp_path_factory.mktemp("photos"), ("shop",), CLASSES)
    for name in "abcd":
        write_image(root / "home" / f"{name}.jpg")
    (root / "home" / "broken.jpg").write_bytes(b"no photo")
    config = runpy.run_path(str(CONFIGS / "pacs.py"))["get_config"]("max_square")
    keys: dict[str, Any] = {
        **{"source": "shop", "target": "home", "data_root": str(root), "num_classes": 3},
        **{"records_dir": str(root.parent / "records"), "on_bad_example": "skip"},
        **{"source_size": (32, 32), "target_size": (32, 32), "model.depth": 14, "model.width": 4},
        **{"source_augmentation.crop": (24, 24), "target_augmentation.crop": (24, 24)},
        **{"batch_size": 1, "eval_batch_size": 2, "source_steps": 2, "steps": 2, "eval_every": 2},
    }
    config.update_from_flattened_dict(keys)
    return start(config, root.parent / "run")


def _root(run: Run) -> Path:
    return Path(run.config.data_root)


def test_it_trains_without_an_accuracy_of_the_target(run: Run) -> None:
    assert run.results["final"]["target"] is None
    assert run.results["best"] is None
    assert 0 <= run.results["final"]["source"]["accuracy"] <= 1
    data = json.loads((run.workdir / "data.json").read_text())
    assert data["target_train"]["examples"] == 4  # of five


def test_what_is_read_is_predicted_and_the_rest_named(run: Run, tmp_path: Path) -> None:
    photos, out = _root(run) / "home", tmp_path / "out"
    with pytest.raises(LeftOut, match=r"(?s)1 photo left out:.*broken\.jpg: not a readable image"):
        predict(complete(run.config), str(run.workdir), str(photos), str(out))
    with (out / "predictions.csv").open(newline="") as file:
        rows = {row["file"]: row["class"] for row in csv.DictReader(file)}
    assert list(rows) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert set(rows.values()) <= set(CLASSES)


def test_it_has_a_report(run: Run, tmp_path: Path) -> None:
    page = write_report(run.workdir, tmp_path / "report.html", images=2).read_text()
    assert "data:image/" in page
    assert all(name in page for name in CLASSES)


def test_a_folder_renamed_after_the_training_is_another_class(run: Run, tmp_path: Path) -> None:
    folder = _root(run) / "shop" / "mug"
    folder.rename(folder.with_name("cup"))
    try:
        with pytest.raises(UserError) as caught:
            evaluate(complete(run.config), str(run.workdir), str(tmp_path / "eval"))
        assert "bike, mug, pen" in str(caught.value)
        assert "bike, cup, pen" in str(caught.value)
        files = predict(
            complete(run.config),
            str(run.workdir),
            str(folder.with_name("pen")),
            str(tmp_path / "o"),
        )
        assert [file.name for file in files] == ["predictions.csv"]
        with files[0].open(newline="") as file:
            assert {row["class"] for row in csv.DictReader(file)} <= set(CLASSES)
    finally:
        folder.with_name("cup").rename(folder)
