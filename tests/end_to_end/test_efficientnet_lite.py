"""DeepLabv2 on an EfficientNet-Lite through the commands, on a thin version of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from PIL import Image
from safetensors.numpy import save_file

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.config.presets import complete
from msl_jax.convert import to_torch
from msl_jax.convert.command import convert
from msl_jax.experiment.run import Experiment
from msl_jax.models import ImageClassifier, initial_variables
from msl_jax.models.backbones import efficientnet_lite
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.report.command import write_report
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find
from msl_jax.weights.registry import NAMES

KEYS = {
    "model.backbone": "efficientnet_lite9",
    "model.output_stride": 16,
    "source_learning_rate": 1e-20,  # what a run begins with is still there after this stage
}


class Thin(efficientnet_lite.EfficientNetLite):
    version = 9


@pytest.fixture(scope="module", autouse=True)
def thin() -> Iterator[None]:
    """Version 9: one block a stage, of a quarter of the channels."""
    name = KEYS["model.backbone"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(efficientnet_lite.SCALING, 9, (0.25, 0.2))
        patch.setitem(BACKBONES, name, Thin)
        patch.setitem(NAMES, name, NAMES["efficientnet_lite0"])
        yield


@pytest.fixture(scope="module")
def imagenet(thin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published file: a classifier of 1,000 classes."""
    model = ImageClassifier(1000, Thin(**Thin.PUBLISHED))
    arrays = to_torch(initial_variables(model, seed=7))
    path = tmp_path_factory.mktemp("imagenet") / "lite.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    return path


@pytest.fixture(scope="module")
def run(imagenet: Path, start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both stages, begun from the published file."""
    config = tiny_config(init_from=str(imagenet), **KEYS)
    return start(config, tmp_path_factory.mktemp("lite") / "run")


def _identical(found: Any, expected: Any) -> bool:
    return bool(jax.tree.all(jax.tree.map(np.array_equal, found, expected)))


def test_run_begins_from_the_published_weights(run, imagenet: Path) -> None:
    start = find(imagenet).for_config(run.config)
    assert start.title == (
        "EfficientNet-Lite9; 1000 classes; input efficientnet_lite (RGB, (x - 127) / 128);"
        " classifier skipped: segmentation has heads of its own"
    )
    first, source, final = (
        flatten_dict(variables["params"]["backbone"], sep="/")
        for variables in (
            start.load(build_model(run.config)),
            run.variables(":source"),
            run.variables(),
        )
    )
    for name, leaf in first.items():
        if name.endswith("kernel"):  # biases of 0 have taken up some of that rate
            np.testing.assert_array_equal(source[name], leaf)
        assert not np.array_equal(final[name], leaf), name
    config = json.loads((run.workdir / "config.json").read_text())
    assert config["input_convention"] == "efficientnet_lite"
    assert run.results["final"]["step"] == run.config.steps


def test_checkpoint_says_what_it_is(run) -> None:
    found = find(run.workdir).network
    assert found.model["backbone"] == "efficientnet_lite9"
    assert found.model["output_stride"] == 16
    assert not {"depth", "width", "stride_placement"} & found.model.keys()


def test_evaluation_prediction_and_report(run, tmp_path: Path) -> None:
    assert (
        evaluate(run.config, str(run.workdir), str(tmp_path / "e"))["final"]
        == (run.results["final"])
    )
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    (label,) = predict(
        run.config, str(run.workdir), str(tmp_path / "photo.png"), str(tmp_path / "labels")
    )
    with Image.open(label) as written:
        assert written.size == (50, 40)
    write_report(str(run.workdir), str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "efficientnet_lite9" in page


def test_interrupted_run_continues(
    run, imagenet: Path, tiny_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, and without the file that it began with."""

    class Stopped(Exception):
        pass

    train_stage, stages = Experiment._train, []

    def stop_before_the_second(self: Experiment, *given: Any) -> Any:
        stages.append(given)
        if len(stages) == 2:
            raise Stopped
        return train_stage(self, *given)

    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(imagenet.read_bytes())
    config = tiny_config(init_from=str(moved), **KEYS)
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_train", stop_before_the_second)
        with pytest.raises(Stopped):
            train(config, str(tmp_path / "run"))
    moved.unlink()
    assert train(config, str(tmp_path / "run")) == run.results
    found = find(tmp_path / "run").load(build_model(config))
    assert _identical(found, run.variables())


@pytest.mark.parametrize("name", ["out.safetensors", "out.pth", "folder"])
def test_converted_network(run, tmp_path: Path, name: str, capsys) -> None:
    pytest.importorskip("torch", reason="writes .pth files, which needs the extra `convert`")
    convert(str(run.workdir), str(tmp_path / name))
    assert ("expects RGB, (x - 127) / 128" in capsys.readouterr().out) == (name != "folder")
    found = find(tmp_path / name)
    assert found.network == find(run.workdir).network
    assert _identical(found.load(build_model(run.config)), run.variables())


def test_converted_backbone(imagenet: Path, tmp_path: Path, tiny_config) -> None:
    """A classifier stays one; it begins a segmentation from the folder too."""
    convert(str(imagenet), str(tmp_path / "folder"))
    model = find(imagenet).network.build()
    assert _identical(*(find(path).load(model) for path in (imagenet, tmp_path / "folder")))


def test_shrunk_run_keeps_the_weights_size(imagenet: Path, tiny_config) -> None:
    start = find(imagenet).for_config(tiny_config())
    config = complete(tiny_config(shrink=True, **KEYS), start.network)
    assert config.model.backbone == "efficientnet_lite9"
    assert _identical(
        start.load(build_model(config))["params"]["backbone"],
        start.load(build_model(tiny_config(**KEYS)))["params"]["backbone"],
    )
