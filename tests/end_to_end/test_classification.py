"""Whole runs of classification on made-up digits: the same loop, checkpoints and commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.kill_resume import identical
from msl_jax.analysis.adaptation import watched_classification
from msl_jax.analysis.before_after import study
from msl_jax.analysis.figures import write_figures
from msl_jax.analysis.unlabelled import signs
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.convert.command import convert
from msl_jax.data.splits import load_split
from msl_jax.evaluation.classification import classify
from msl_jax.experiment.log import StageLog
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.classification import build_classifier
from msl_jax.tasks.photo_classes import PREDICTIONS
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find

pytestmark = pytest.mark.usefixtures("made_digits")


@pytest.fixture(scope="module")
def dann(start, made_digits, digits_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both stages, without interruption."""
    return start(digits_config("dann"), tmp_path_factory.mktemp("dann") / "run")


def test_results(dann) -> None:
    written = json.loads((dann.workdir / "results.json").read_text())
    assert written == dann.results
    assert (written["config"], written["variant"]) == ("digits-mnist-uci", "dann")
    for metrics in (written["source_only"], written["final"]):
        for domain in ("target", "source"):
            assert set(metrics[domain]) == {"accuracy"}
            assert 0 <= metrics[domain]["accuracy"] <= 1
    assert set(written["best"]["target"]) == {"accuracy"}
    pictures = {path.name for path in (dann.workdir / "pictures").iterdir()}
    assert pictures == {f"{s}_{d}.png" for s in ("source", "adapt") for d in ("source", "target")}


def test_table(dann, capsys: pytest.CaptureFixture[str]) -> None:
    train(dann.config, str(dann.workdir))
    printed = capsys.readouterr().out
    assert "digits-mnist-uci:dann, seed 0: accuracy in %" in printed
    assert "IoU" not in printed
    assert f"{100 * dann.results['final']['source']['accuracy']:.1f}" in printed
    assert "Best target accuracy" in printed


@pytest.mark.parametrize("step", [1, 3])
def test_continued_run_equals_one_without_interruption(dann, tmp_path: Path, step: int) -> None:
    """The discriminator and its velocity go on as well."""

    class Stopped(Exception):
        pass

    advance = StageLog.advance

    def stopping(self: StageLog, made: int) -> None:
        advance(self, made)
        if (self._title, made) == ("dann", step):
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageLog, "advance", stopping)
        with pytest.raises(Stopped):
            train(dann.config, str(tmp_path / "run"))
    assert train(dann.config, str(tmp_path / "run")) == dann.results
    same = identical(tmp_path / "run", dann.workdir)
    assert same
    assert all(same.values()), same


def test_evaluation_needs_no_discriminator(dann, tmp_path: Path) -> None:
    variables = find(dann.workdir).load(build_model(dann.config))
    assert "discriminator" not in variables["params"]
    results = evaluate(dann.config, str(dann.workdir), str(tmp_path))
    assert results["final"] == dann.results["final"]


@pytest.mark.parametrize("variant", ["max_square", "target_statistics"])
def test_adaptation_of_another_run(dann, digits_config, variant: str, tmp_path: Path) -> None:
    """Any run's network can be the start of any variant."""
    config = digits_config(variant, init_from=f"{dann.workdir}:source")
    results = train(config, str(tmp_path / "run"))
    assert results["source_only"] == dann.results["source_only"]
    assert not (tmp_path / "run" / "source").exists()


def test_watched_adaptation_ends_as_the_run_does(dann, digits_config, tmp_path: Path) -> None:
    config = digits_config("minent", init_from=f"{dann.workdir}:source")
    results = train(config, str(tmp_path / "run"))
    course = watched_classification(config, every=3)
    assert course.steps == [0, 3, 4]
    found = [accuracy["all"] for accuracy in course.accuracy]
    assert found[0] == results["source_only"]["target"]["accuracy"]
    assert found[-1] == results["final"]["target"]["accuracy"]
    assert set(course.accuracy[0]) == {"all", "top", "bottom"}


def test_study(dann) -> None:
    """Images take the place of pixels; there is no weighting within them, and no guidance."""
    found = study(str(dann.workdir))
    assert (found.task, list(found.states)) == ("classification", ["source-only", "dann"])
    assert list(found.accuracy) == [0, 2, 4]  # those that have a checkpoint
    ends = (found.accuracy[0]["all"], found.accuracy[4]["all"])
    for state, accuracy, key in zip(
        found.states.values(), ends, ("source_only", "final"), strict=True
    ):
        assert accuracy == dann.results[key]["target"]["accuracy"]
        assert state.pixels.confusion.sum() == state.pixels.pixels_by_bin.sum()
        assert set(state.pixels.gradient_by_bin) == {"entropy", "max_square"}
        right = np.trace(state.pixels.confusion) / state.pixels.confusion.sum()
        assert right == pytest.approx(accuracy)
        assert state.guidance is None


def test_figures(dann, tmp_path: Path) -> None:
    found = write_figures(str(dann.workdir), tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        f"{name}.png" for name in ("gradients", "gradient_shares", "class_balance", "difficulty")
    }
    for state in found["states"].values():
        assert len(state["class_accuracy"]) == len(found["classes"]) == 10
        assert "iou" not in state
        assert "guidance" not in state


def test_signs_without_labels(dann) -> None:
    found = signs(str(dann.workdir))
    assert found.source == dann.results["final"]["source"]["accuracy"]
    records = load_split(dann.config, "target_train", evaluation=False).records
    images = np.stack([records[i]["image"] for i in range(len(records))])
    classifier = build_classifier(dann.config, build_model(dann.config))
    classes, confidence = map(np.asarray, classify(classifier, dann.variables(), images))
    assert found.confidence == pytest.approx(confidence.mean(), rel=1e-5)
    np.testing.assert_allclose(found.predicted, np.bincount(classes, minlength=10) / len(images))
    source = load_split(dann.config, "source_train", evaluation=False).records
    labels = [int(source[i]["label"]) for i in range(len(source))]
    np.testing.assert_allclose(found.labelled, np.bincount(labels, minlength=10) / len(labels))


def test_oracle_learns_from_target_labels(digits_config, tmp_path: Path) -> None:
    results = train(digits_config("oracle", source_steps=2), str(tmp_path / "run"))
    assert results["source_only"] is None


def test_photos_are_classified(dann, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(photos / "a, b.png")
    Image.fromarray(noise[..., 0]).save(photos / "deep" / "grey.jpg")
    written = predict(dann.config, str(dann.workdir), str(photos), str(tmp_path / "out"))
    assert written == [tmp_path / "out" / PREDICTIONS]
    with written[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a, b.png", "deep/grey.jpg"]
    for row in rows:
        assert row["class"] in "0123456789"
        assert 0.1 <= float(row["probability"]) <= 1
    before = written[0].read_bytes()
    with pytest.raises(UserError, match=r"predictions\.csv exists already"):
        predict(dann.config, str(dann.workdir), str(photos), str(tmp_path / "out"))
    assert written[0].read_bytes() == before


def test_weights_of_another_width_are_refused(dann, digits_config, tmp_path: Path) -> None:
    config = digits_config("max_square", init_from=str(dann.workdir), **{"model.width": 8})
    with pytest.raises(UserError, match=r"model\.width is 8, the weights need 4"):
        train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_is_for_segmentation_alone(dann, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'small_resnet', a network of this project for small im"):
        convert(str(dann.workdir), str(tmp_path / "weights.safetensors"))
    assert not list(tmp_path.iterdir())
