"""Every family of experiments, shrunk, through train and eval on files of the real formats."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from trees import (
    all_ids,
    write_cityscapes,
    write_crosscity,
    write_gta5,
    write_ids,
    write_image,
    write_synthia,
)

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.data.gta5 import _numbers

ROOT = Path(__file__).parents[2]
# Smaller still than `shrink` makes them: two steps of each stage.
QUICK = {"source_steps": 2, "steps": 2, "eval_every": 2, "log_every": 1}


def _config(name: str, variant: str, tmp_path: Path, **keys: Any):
    config = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"](variant)
    config.update_from_flattened_dict(
        {"shrink": True, "records_dir": str(tmp_path / "records"), **keys}
    )
    return config


def _write_folders(root: Path) -> Path:
    for i in range(11):
        write_image(root / "images" / f"{i:02}.png")
        write_ids(root / "labels" / f"{i:02}.png", all_ids([4, 2, 0]))
    entries = [("road", 4), ("sky", 2)]
    classes = [{"id": i, "name": name, "color": [i, i, i]} for name, i in entries]
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": classes, "ignored": [0]}))
    return root


def _write_source(name: str, root: Path) -> Path:
    if name == "gta5":
        numbers = _numbers()
        return write_gta5(root, [*numbers["train"][:3], *numbers["val"][:2]])
    if name == "synthia":
        return write_synthia(root, [0, 1, 2, 9000])
    return write_cityscapes(root)


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from msl_jax import presets

    steps = {**QUICK, "source_poly_steps": 2, "poly_steps": 2}
    monkeypatch.setattr(presets, "_SHRUNK_STEPS", steps)


@pytest.mark.parametrize(
    ("name", "variant", "target", "classes"),
    [
        ("gta5", "max_square_iw_multi", write_cityscapes, 19),
        # Once through the adaptation is enough: what differs here are the data.
        ("synthia", "source", write_cityscapes, 16),
        ("crosscity", "source", write_crosscity, 13),
    ],
)
def test_published_experiments(name, variant, target, classes, tmp_path: Path) -> None:
    roots = {
        "source_root": str(_write_source(name, tmp_path / "source")),
        "target_root": str(target(tmp_path / "target")),
    }
    config = _config(name, variant, tmp_path, **roots)
    workdir = tmp_path / "run"
    results = train(config, str(workdir))
    for domain in ("target", "source"):
        metrics = results["final"][domain]
        assert len(metrics["iou"]) == classes
        assert ("miou_13" in metrics) == (classes == 16)
    again = evaluate(config, str(workdir), str(tmp_path / "eval"))
    assert again["final"] == results["final"]
    written = json.loads((workdir / "config.json").read_text())
    assert written["num_classes"] == classes
    assert written["lambda_target"] == (0.09 if name == "gta5" else 0.1)


def test_folders_with_unlabelled_photos(tmp_path: Path, capsys) -> None:
    labelled, photos = _write_folders(tmp_path / "labelled"), tmp_path / "photos"
    for i in range(3):
        write_image(photos / f"{i}.jpg")
    roots = {"source_root": str(labelled), "target_root": str(photos)}
    config = _config("folders", "max_square_iw", tmp_path, **roots, batch_size=1)
    config.source_augmentation.crop = config.target_augmentation.crop = ()
    workdir = tmp_path / "run"
    results = train(config, str(workdir))
    assert results["best"] is None
    assert results["final"]["target"] is None
    assert list(results["final"]["source"]["iou"]) == ["road", "sky"]
    assert (workdir / "pictures" / "adapt_target.png").is_file()  # to be looked at, at least
    assert "target" not in capsys.readouterr().out
    assert evaluate(config, str(workdir), str(tmp_path / "eval"))["final"] == results["final"]
    written = predict(config, str(workdir), str(photos), str(tmp_path / "predicted"))
    assert [path.name for path in written] == ["0_jpg.png", "1_jpg.png", "2_jpg.png"]


def test_shrunk_runs_have_a_folder_of_their_own(tmp_path: Path) -> None:
    from msl_jax.runs import default_workdir

    config = _config("crosscity", "source", tmp_path, city="Rio")
    assert default_workdir(config) == Path("runs/small/crosscity-Rio-source-seed0")
    config.shrink = False
    assert default_workdir(config) == Path("runs/crosscity-Rio-source-seed0")
