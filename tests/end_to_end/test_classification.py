"""Whole runs of classification on made-up digits: the same loop, checkpoints and commands."""

from __future__ import annotations

import csv
import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from PIL import Image

from benchmarks.kill_resume import identical
from msl_jax.analysis.classified import watched_classification
from msl_jax.analysis.study import study
from msl_jax.commands.convert import convert
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.data import digits
from msl_jax.errors import UserError
from msl_jax.logs import StageLog
from msl_jax.parts import build_model
from msl_jax.presets import complete
from msl_jax.tasks.classification_task import PREDICTIONS
from msl_jax.weights import find

CONFIG = Path(__file__).parents[2] / "configs" / "digits.py"
TINY: dict[str, Any] = {
    "model.width": 4,
    "model.discriminator_width": 8,
    "batch_size": 2,
    "eval_batch_size": 8,
    "source_steps": 4,
    "steps": 4,
    "eval_every": 2,
}


@pytest.fixture(scope="module", autouse=True)
def made_digits() -> Iterator[None]:
    """A few images of noise in the place of the packages'."""
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.integers(0, 256, (30, *size), np.uint8), np.arange(30, dtype=np.uint8) % 10)
        for name, size in (("mnist", (28, 28)), ("uci", (8, 8)))
    }
    domains = {name: domain._replace(images=30) for name, domain in digits._DOMAINS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "_arrays", arrays.__getitem__)
        patch.setattr(digits, "_DOMAINS", domains)
        patch.setattr(digits.Digits, "fingerprint", "made")
        yield


@pytest.fixture(scope="module")
def make_config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ConfigDict]:
    records = str(tmp_path_factory.getbasetemp() / "records")
    get_config = runpy.run_path(str(CONFIG))["get_config"]

    def make(variant: str, **keys: Any) -> ConfigDict:
        config = get_config(variant)
        config.update_from_flattened_dict({**TINY, "records_dir": records, **keys})
        return complete(config)

    return make


@pytest.fixture(scope="module")
def dann(start, make_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both stages, without interruption."""
    return start(make_config("dann"), tmp_path_factory.mktemp("dann") / "run")


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
def test_adaptation_of_another_run(dann, make_config, variant: str, tmp_path: Path) -> None:
    """Any run's network can be the start of any variant."""
    config = make_config(variant, init_from=f"{dann.workdir}:source")
    results = train(config, str(tmp_path / "run"))
    assert results["source_only"] == dann.results["source_only"]
    assert not (tmp_path / "run" / "source").exists()


def test_watched_adaptation_ends_as_the_run_does(dann, make_config, tmp_path: Path) -> None:
    config = make_config("minent", init_from=f"{dann.workdir}:source")
    results = train(config, str(tmp_path / "run"))
    course = watched_classification(config, every=3)
    assert course.steps == [0, 3, 4]
    found = [accuracy["all"] for accuracy in course.accuracy]
    assert found[0] == results["source_only"]["target"]["accuracy"]
    assert found[-1] == results["final"]["target"]["accuracy"]
    assert set(course.accuracy[0]) == {"all", "top", "bottom"}


def test_oracle_learns_from_target_labels(make_config, tmp_path: Path) -> None:
    results = train(make_config("oracle", source_steps=2), str(tmp_path / "run"))
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


def test_weights_of_another_width_are_refused(dann, make_config, tmp_path: Path) -> None:
    config = make_config("max_square", init_from=str(dann.workdir), **{"model.width": 8})
    with pytest.raises(UserError, match=r"model\.width is 8, the weights need 4"):
        train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_is_for_segmentation_alone(dann, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'small_resnet', a network of this project for small im"):
        convert(str(dann.workdir), str(tmp_path / "weights.safetensors"))
    with pytest.raises(UserError, match="is a run of classification"):
        study(str(dann.workdir))
    assert not list(tmp_path.iterdir())
