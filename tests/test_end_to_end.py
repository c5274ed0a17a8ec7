"""Whole runs in one process, on two devices, with the configuration `TINY` of conftest.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import config_dict
from PIL import Image

from msl_jax import runs
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.config import VARIANTS
from msl_jax.data.labels import LABEL_SETS
from msl_jax.errors import UserError
from msl_jax.logs import StageLog
from msl_jax.parts import build_model, load_variables
from msl_jax.samples import Samples

Config = config_dict.ConfigDict
NAMES = LABEL_SETS["camvid"].names
ADAPTING = [name for name, variant in VARIANTS.items() if variant.adapt]


class Run:
    """Configuration, folder and returned results of a run."""

    config: Config
    workdir: Path
    results: dict[str, Any]

    def __init__(self, config: Config, workdir: Path) -> None:
        self.config, self.workdir = config, workdir
        self.results = train(config, str(workdir))


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Compiles in half the time; what the optimised programs compute is tested elsewhere."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def whole(tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both stages, with both heads, without interruption."""
    return Run(tiny_config(), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def source(tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The source-only stage alone."""
    return Run(tiny_config("source"), tmp_path_factory.mktemp("source") / "run")


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _assert_metrics(metrics: dict[str, Any]) -> None:
    assert set(metrics) == {"miou", "iou", "pixel_accuracy"}
    assert tuple(metrics["iou"]) == NAMES
    present = [value for value in metrics["iou"].values() if value is not None]
    assert all(0 <= value <= 1 for value in present)
    assert metrics["miou"] == pytest.approx(np.mean(present), abs=1e-12)
    assert 0 < metrics["pixel_accuracy"] <= 1


# What a run leaves.


def test_results_of_both_stages(whole: Run) -> None:
    results = _read(whole.workdir / "results.json")
    assert results == whole.results
    assert set(results) == {"config", "variant", "seed", "source_only", "final", "best"}
    assert (results["config"], results["variant"], results["seed"]) == (
        "camvid",
        "max_square_iw_multi",
        0,
    )
    assert set(results["source_only"]) == {"target", "source"}
    assert set(results["final"]) == {"target", "source", "step"}
    assert set(results["best"]) == {"target", "step"}
    assert results["final"]["step"] == 4
    assert results["best"]["step"] in (2, 4)
    assert results["best"]["target"]["miou"] >= results["final"]["target"]["miou"]
    for metrics in (
        *results["source_only"].values(),
        results["final"]["target"],
        results["final"]["source"],
        results["best"]["target"],
    ):
        _assert_metrics(metrics)


def test_a_run_leaves_configuration_logs_and_pictures(whole: Run) -> None:
    assert _read(whole.workdir / "config.json")["steps"] == 4
    for stage in ("source", "adapt"):
        assert len(list((whole.workdir / "logs" / stage).glob("events.*"))) == 1
        for domain, (height, width) in {"source": (24, 32), "target": (16, 32)}.items():
            with Image.open(whole.workdir / "pictures" / f"{stage}_{domain}.png") as picture:
                rows = {"source": 2, "target": 4}[domain]  # of at most four images
                assert picture.size == (4 * width + 3 * 4, rows * height + (rows - 1) * 4)


def test_stages_start_from_each_other(whole: Run) -> None:
    """The adaptation changes what the source-only stage learned, and leaves that as it was."""
    before, after = _variables(whole, ":source"), _variables(whole)
    low = {run: tree["params"]["low_head"]["conv0"] for run, tree in enumerate((before, after))}
    assert not np.array_equal(low[0]["kernel"], low[1]["kernel"])  # trained by the guidance
    frozen = [tree["params"]["final_head"]["conv1"]["kernel"] for tree in (before, after)]
    np.testing.assert_array_equal(*frozen)  # of a rate that is not summed
    assert not np.array_equal(
        *(t["batch_stats"]["backbone"]["bn1"]["mean"] for t in (before, after))
    )


def _variables(run: Run, which: str = "") -> Any:
    return load_variables(f"{run.workdir}{which}", build_model(run.config))


# Interruption.


class Stopped(Exception):
    """Stands for a kill in the middle of a run."""


def _stop_in(monkeypatch: pytest.MonkeyPatch, title: str, step: int) -> None:
    advance = StageLog.advance

    def stopping(self: StageLog, made: int) -> None:
        advance(self, made)
        if (self._title, made) == (title, step):
            raise Stopped

    monkeypatch.setattr(StageLog, "advance", stopping)


def _stop_before_results(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    save = Samples.save

    def stopping(self: Samples, variables: Any, folder: Path, name: str) -> None:
        if name == stage:
            raise Stopped
        save(self, variables, folder, name)

    monkeypatch.setattr(Samples, "save", stopping)


def _arrays(folder: Path) -> Any:
    checkpointer = ocp.PyTreeCheckpointer()
    shapes = checkpointer.metadata(folder).item_metadata.tree
    as_arrays = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return checkpointer.restore(folder, restore_args=as_arrays)


def _checkpoints(workdir: Path) -> dict[str, Any]:
    """All arrays and values of all checkpoints by their place."""
    found: dict[str, Any] = {}
    for folder in sorted(workdir.glob("*/[0-9]*")):
        place = str(folder.relative_to(workdir))
        for item in ("variables", "optimizer"):
            tree = _arrays(folder / item)
            for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
                found[f"{place}/{item}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
        for item, name in (("input", "metadata"), ("metrics", "metrics")):
            found[f"{place}/{item}"] = np.array(_read(folder / item / name))
    return found


INTERRUPTIONS = {
    "before the first checkpoint": lambda patch: _stop_in(patch, "source-only", 1),
    "in the source stage": lambda patch: _stop_in(patch, "source-only", 3),
    "between the stages": lambda patch: _stop_before_results(patch, "source"),
    "in the adaptation": lambda patch: _stop_in(patch, "max_square_iw_multi", 3),
    "at the end": lambda patch: _stop_before_results(patch, "adapt"),
}


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_continued_run_equals_one_without_interruption(
    whole: Run, tmp_path: Path, interruption: str
) -> None:
    workdir = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        INTERRUPTIONS[interruption](patch)
        with pytest.raises(Stopped):
            train(whole.config, str(workdir))
    assert not (workdir / "results.json").exists()
    assert train(whole.config, str(workdir)) == whole.results
    expected, found = _checkpoints(whole.workdir), _checkpoints(workdir)
    assert list(found) == list(expected)
    for place, value in expected.items():
        assert found[place].dtype == value.dtype, place
        np.testing.assert_array_equal(found[place], value, err_msg=place)
    for name in ("results.json", "source_only.json", "config.json"):
        assert (workdir / name).read_bytes() == (whole.workdir / name).read_bytes()


def test_finished_run_prints_its_table_again(whole: Run, snapshot, capsys) -> None:
    before = snapshot(whole.workdir)
    assert train(whole.config, str(whole.workdir)) == whole.results
    printed = capsys.readouterr()
    assert "finished run" in printed.err
    assert "bicyclist" in printed.out
    assert f"{100 * whole.results['final']['target']['miou']:.1f}" in printed.out
    assert snapshot(whole.workdir) == before


def test_another_configuration_on_the_workdir_is_refused(whole: Run, snapshot) -> None:
    other = whole.config.copy_and_resolve_references()
    other.lambda_target = 0.25
    before = snapshot(whole.workdir)
    with pytest.raises(UserError, match=r"differs in\n  lambda_target: 0\.1 -> 0\.25\n"):
        train(other, str(whole.workdir))
    assert snapshot(whole.workdir) == before


# Evaluation.


def test_evaluation_gives_the_numbers_of_training(whole: Run) -> None:
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


def test_evaluation_of_other_checkpoints(whole: Run, tmp_path: Path) -> None:
    best = evaluate(whole.config, f"{whole.workdir}:best", str(tmp_path / "best"))
    assert {key: best["final"][key] for key in ("target", "step")} == whole.results["best"]
    baseline = evaluate(whole.config, f"{whole.workdir}:source", str(tmp_path / "source"))
    assert baseline["final"] == {**whole.results["source_only"], "step": 4}
    assert _read(tmp_path / "source" / "results.json") == baseline


def test_evaluation_at_full_size_with_flip_and_scales(whole: Run, tmp_path: Path) -> None:
    keys = {"eval_size": "full", "flip": True, "scales": (0.75, 1.0)}
    results = evaluate(whole.config, str(whole.workdir), str(tmp_path), keys)
    assert {key: results[key] for key in keys} == {**keys, "scales": [0.75, 1.0]}
    _assert_metrics(results["final"]["target"])
    assert results["final"] != whole.results["final"]


def test_evaluation_takes_the_newest_run(
    source: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_prediction_of_a_folder(whole: Run, photos: Path, tmp_path: Path, snapshot) -> None:
    before = snapshot(photos)
    output = tmp_path / "out"
    written = predict(str(whole.workdir), str(photos), str(output))
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
        assert labels.max() < len(NAMES)
        np.testing.assert_array_equal(colors, palette[labels])
        photo = _pixels(photos / original)
        photo = photo if photo.ndim == 3 else photo[..., None]
        np.testing.assert_allclose(overlay, (photo / 2 + colors / 2), atol=0.5)
    assert sum(path.is_file() for path in output.rglob("*")) == 9
    assert snapshot(photos) == before


def test_prediction_overwrites_nothing(whole: Run, photos: Path, tmp_path: Path, snapshot) -> None:
    output = tmp_path / "out"
    (output / "colors").mkdir(parents=True)
    (output / "colors" / "street.png").write_text("mine")
    before = snapshot(output)
    with pytest.raises(UserError, match=r"--output: .*colors/street\.png.*nothing is overwritten"):
        predict(str(whole.workdir), str(photos / "street.png"), str(output))
    assert snapshot(output) == before


# Variants.


@pytest.mark.parametrize("variant", ADAPTING)
def test_variant_starts_from_another_run(
    whole: Run, tiny_config: Callable[..., Config], tmp_path: Path, variant: str
) -> None:
    run = Run(tiny_config(variant, init_from=f"{whole.workdir}:source"), tmp_path / "run")
    assert run.results["source_only"] == whole.results["source_only"]
    assert run.results["final"]["step"] == 4
    _assert_metrics(run.results["final"]["target"])
    assert not (run.workdir / "source").exists()
    before, after = _variables(whole, ":source")["params"], _variables(run)["params"]
    moved = {
        head: not np.array_equal(before[head]["conv0"]["kernel"], after[head]["conv0"]["kernel"])
        for head in ("final_head", "low_head")
    }
    assert moved == {"final_head": True, "low_head": VARIANTS[variant].multi}


@pytest.mark.parametrize("variant", ["source", "oracle"])
def test_variant_of_one_stage(
    source: Run, tiny_config: Callable[..., Config], tmp_path: Path, variant: str
) -> None:
    run = source
    if variant == "oracle":
        run = Run(tiny_config("oracle"), tmp_path / "run")
        assert run.results["final"] != source.results["final"]
    assert run.results["source_only"] is None
    assert run.results["final"]["step"] == 4
    assert not (run.workdir / "adapt").exists()


# Failure.


def test_loss_that_is_not_finite_keeps_the_last_checkpoint(
    whole: Run, tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny_config("target_statistics", learning_rate=1e30, eval_every=4)
    workdir = tmp_path / "run"
    runs.claim_workdir(workdir, config)
    shutil.copytree(whole.workdir / "source", workdir / "source")
    kept = _checkpoints(workdir)
    for _ in range(2):  # continuing does not hide it
        with pytest.raises(UserError, match=r"not finite at step [23]: .*config\.learning_rate"):
            train(config, str(workdir))
        assert not (workdir / "results.json").exists()
        assert runs.find_checkpoint(workdir)[:2] == (workdir / "source", 4)
        found = _checkpoints(workdir)
        assert list(found) == list(kept)
        for place, value in kept.items():
            np.testing.assert_array_equal(found[place], value, err_msg=place)
    load_variables(workdir, build_model(config))


def test_checkpoint_of_another_network_leaves_nothing(
    source: Run, tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny_config("minent", init_from=str(source.workdir), **{"model.width": 8})
    with pytest.raises(UserError, match="of another shape"):
        train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
