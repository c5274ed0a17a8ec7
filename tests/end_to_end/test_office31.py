"""A whole small run of configs/office31.py, from the command's own function, on made photos."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from trees import write_domains

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.config.presets import complete
from msl_jax.convert import to_torch
from msl_jax.convert.command import convert
from msl_jax.data.datasets.office31 import CLASSES
from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.classifier import ImageClassifier
from msl_jax.models.initial import initial_variables

CONFIG = Path(__file__).parents[2] / "configs" / "office31.py"


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A file like torchvision's, with a classifier of 1,000 classes."""
    variables = initial_variables(ImageClassifier(1000, ResNet(14, 4, **ResNet.PUBLISHED)), 0)
    path = tmp_path / "imagenet.safetensors"
    save_file({name: np.asarray(value) for name, value in to_torch(variables).items()}, path)
    return path


def test_run(imagenet: Path, tmp_path: Path) -> None:
    root = write_domains(tmp_path / "office31", ("amazon", "webcam"), CLASSES, 1, "images")
    config = runpy.run_path(str(CONFIG))["get_config"]("max_square")
    small = {
        **{"data_root": str(root), "records_dir": str(tmp_path / "records")},
        **{"init_from": str(imagenet), "model.depth": 14, "model.width": 4},
        **{"source_size": (32, 32), "target_size": (32, 32)},
        **{"source_augmentation.crop": (24, 24), "target_augmentation.crop": (24, 24)},
        **{"batch_size": 2, "eval_batch_size": 8, "source_steps": 2, "steps": 2, "eval_every": 2},
    }
    config.update_from_flattened_dict(small)
    workdir = tmp_path / "run"
    results = train(config, str(workdir))
    assert results["config"] == "office31-amazon-webcam"
    assert (workdir / "source").is_dir()  # the 31 classes are new, so they are trained first
    assert 0 <= results["final"]["target"]["accuracy"] <= 1
    assert results["source_only"] is not None

    found = evaluate(complete(config), str(workdir), str(tmp_path / "eval"))
    assert found["final"] == results["final"]

    # The same network from a file with torchvision's names, and an adaptation that begins with it.
    file = tmp_path / "trained.safetensors"
    convert(str(workdir), str(file))
    found = evaluate(complete(config), str(file), str(tmp_path / "eval-file"))
    assert found["final"] == {**results["final"], "step": None}
    config.init_from = str(file)
    again = train(config, str(tmp_path / "again"))
    assert not (tmp_path / "again" / "source").exists()
    assert again["source_only"]["target"] == results["final"]["target"]

    photos = root / "webcam" / "images" / CLASSES[0]
    (written,) = predict(complete(config), str(workdir), str(photos), str(tmp_path / "out"))
    with written.open(newline="") as file:
        assert all(row["class"] in CLASSES for row in csv.DictReader(file))
