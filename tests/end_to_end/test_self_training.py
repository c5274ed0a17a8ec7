"""Runs with a teacher: which network counts, exact continuation, pictures, other precisions."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks.kill_resume import identical
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.experiment.log import StageLog
from msl_jax.runs.arrays import read_tree
from msl_jax.runs.scalars import read_scalars
from msl_jax.runtime import stopping
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import find

from .test_several_processes import arrays, assert_close, train_together

pytestmark = pytest.mark.usefixtures("shared_steps")

KEYS = {
    "target_augmentation.crop": (16, 24),
    "log_every": 1,
    "method.confidence": 0.12,
    "method.teacher_decay": 0.5,
}
# Every ingredient at once.
ALL = {
    "method.target_loss": "max_square",
    "method.image_weights": True,
    "method.max_square_below": True,
    "method.lambda_masked": 1.0,
    "method.mask_cell": 8,
    "optimizer": "adamw",
    "warmup_steps": 3,
    "method.rare_class_temperature": 0.1,
    "method.rare_class_share": 0.013,
    "learning_rate": 1e-3,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "dacs": {},
    "mic": {"method.mask_cell": 8},
    "self_training": {},
    "self_training_multi": ALL,
}
TERMS = {
    "dacs": {"source/final", "mixed/final"},
    "mic": {"source/final", "mixed/final", "masked/final"},
    "self_training": {"source/final", "mixed/final"},
    "self_training_multi": {
        *("source/final", "source/low", "mixed/final", "mixed/low"),
        *("mixed/max_square", "masked/final", "target/max_square"),
    },
}
with_teacher = pytest.mark.parametrize("variant", ["self_training", "self_training_multi"])
each = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def config(whole, tiny_config) -> Callable[..., Any]:
    """Function that gives the configuration of a variant, from a trained network."""
    start = {"init_from": f"{whole.workdir}:source"}
    return lambda variant, **keys: tiny_config(
        variant, **{**KEYS, **start, **VARIANTS[variant], **keys}
    )


@pytest.fixture(scope="module")
def adapted(start, config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Function that gives the run of a variant, made once."""
    runs: dict[str, Any] = {}

    def run(variant: str) -> Any:
        if variant not in runs:
            runs[variant] = start(config(variant), tmp_path_factory.mktemp(variant) / "run")
        return runs[variant]

    return run


def _carried(run: Any) -> dict[str, Any]:
    """What the last checkpoint holds besides the network's variables."""
    return read_tree(run.workdir / "adapt" / "4" / "optimizer")["carried"]


def _distance(a: Any, b: Any) -> float:
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(np.abs(x - y).max()), a, b)))


@each
def test_terms(adapted, variant: str) -> None:
    logged = adapted(variant).logged("adapt")
    classes = [f"teacher/labels/{name}_share" for name in LABEL_SETS["camvid"].names]
    assert set(logged) == {*TERMS[variant], "teacher/confident_share", *classes}
    assert all(0 < share < 1 for share in logged["teacher/confident_share"].values())
    for step in logged[classes[0]]:
        assert sum(logged[name][step] for name in classes) == pytest.approx(1, abs=1e-5)
    for name in TERMS[variant]:
        assert all(value != 0 for value in logged[name].values()), name


@each
def test_recommended_network_is_what_counts(adapted, variant: str, tmp_path: Path) -> None:
    """Its figures are those of the run, and its weights are what every command loads."""
    run = adapted(variant)
    carried, recommended = _carried(run), run.variables()
    other = "teacher" if variant in ("dacs", "mic") else "student"
    assert set(carried) == {other}
    assert _distance(carried[other]["params"], recommended["params"]) > 1e-5
    assert _distance(carried[other]["batch_stats"], recommended["batch_stats"]) > 1e-4
    found = evaluate(run.config, str(run.workdir), str(tmp_path / "out"))
    assert found["final"] == run.results["final"]
    scalars = read_scalars(run.workdir / "logs" / "adapt")
    assert scalars["miou/target"][4] == pytest.approx(run.results["final"]["target"]["miou"])
    # Before the first step there is one network.
    assert {0, *scalars[f"{other}/miou/target"]} == scalars["miou/target"].keys()


@each
def test_killed_run_continues_as_if_it_had_not_been(
    adapted, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def kill(log: StageLog, made: int) -> None:
        if made == 3:
            raise Killed

    run, workdir = adapted(variant), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(StageLog, "advance", kill)
        with pytest.raises(Killed):
            train(run.config, str(workdir))
    assert train(run.config, str(workdir)) == run.results
    assert all(identical(run.workdir, workdir).values())


@with_teacher
def test_stopped_run_continues_as_if_it_had_not_been(adapted, variant: str, tmp_path: Path) -> None:
    """Between two evaluations, where student and teacher are kept without metrics."""
    run, workdir, advance = adapted(variant), tmp_path / "run", StageLog.advance

    def signalled(log: StageLog, made: int) -> None:
        if made == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(log, made)

    stopped = pytest.raises(stopping.Stopped, match="after step 3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageLog, "advance", signalled)
        with stopped, stopping.handled(), stopping.at_once():
            train(run.config, str(workdir))
    assert (workdir / "stopped" / "adapt" / "3").is_dir()
    assert train(run.config, str(workdir)) == run.results
    assert all(identical(run.workdir, workdir).values())


@each
def test_pictures_of_what_is_trained_on(adapted, variant: str) -> None:
    """Rows of image, label and weight, for the images of a device."""
    masked = variant in ("mic", "self_training_multi")
    folder = adapted(variant).workdir / "pictures"
    kinds = {"source", "target", "mixed", *(("masked",) if masked else ())}
    assert {path.name for path in folder.iterdir()} == {f"adapt_{kind}.png" for kind in kinds}
    picture = np.array(Image.open(folder / "adapt_mixed.png"))
    assert picture.shape == (16, 3 * 24 + 2 * 4, 3)
    weights = picture[:, -24:]
    assert (weights == 255).any()
    assert (weights < 255).any()
    if masked:
        image = np.array(Image.open(folder / "adapt_masked.png"))[:, :24]
        assert 0.1 < (image == 0).all(axis=-1).mean() < 1


@pytest.mark.parametrize("variant", ["dacs", "self_training_multi"])
@pytest.mark.parametrize(
    "keys", [{"compute_dtype": "bfloat16"}, {"accumulate": 2}, {"frozen_batch_norm": True}], ids=str
)
def test_trains_otherwise(
    start, config, adapted, variant: str, keys: dict[str, Any], tmp_path: Path
) -> None:
    run = start(config(variant, **keys), tmp_path / "run")
    found, usual = run.logged("adapt"), adapted(variant).logged("adapt")
    assert set(found) == set(usual)
    assert found["mixed/final"] != usual["mixed/final"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.variables()))


def test_low_head_is_trained_without_source_labels_too(adapted) -> None:
    """On mixed images; before that it has learned nothing."""
    weights = find(str(adapted("self_training_multi").workdir))
    config = {**weights.run.config, "lambda_source_low": 0.0}
    for stage, trained in (("adapt", True), ("source", False)):
        place = weights.run._replace(config=config, folder=weights.run.folder.with_name(stage))
        assert dataclasses.replace(weights, run=place).two_heads == trained


def test_frozen_affine(adapted, whole) -> None:
    """Scales and offsets of batch norm stay in DACS, and move in the variant of our own."""
    before = whole.variables(":source")["params"]["backbone"]["layer1_0"]
    for variant, stays in (("dacs", True), ("self_training", False)):
        after = adapted(variant).variables()["params"]["backbone"]["layer1_0"]
        assert (_distance(before["bn2"], after["bn2"]) == 0) == stays
        assert _distance(before["conv2"], after["conv2"]) > 0


def test_images_of_two_sizes_are_refused_before_anything_is_trained(
    tiny_config, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"target_augmentation\.crop: expected .*\(16, 24\)"):
        train(tiny_config("dacs"), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_two_processes_are_one_with_two_devices(adapted, tmp_path: Path) -> None:
    """Draws, the share, and the teacher with its statistics."""
    run = adapted("mic")
    for process in train_together(2, run, tmp_path / "run"):
        assert process.code == 0, process.err
    found, expected = (arrays(workdir / "adapt", 4) for workdir in (tmp_path / "run", run.workdir))
    assert_close(found, expected)
