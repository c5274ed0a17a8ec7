from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.pipeline import example_keys
from msl_jax.data.prepared.records import prepare
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.previews import Samples
from msl_jax.losses.upsampled import LossSum
from msl_jax.methods import method
from msl_jax.runs.checkpoint_path import find_checkpoint
from msl_jax.runs.workdir import claim_workdir
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.parallel import AXIS
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


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


def test_labels_of_the_targets_training_images_do_not_count(
    source, tiny_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not read: records that another run has prepared with them serve as well."""
    keys = {"init_from": f"{source.workdir}:source", "records_dir": str(tmp_path / "records")}
    config = tiny_config("target_statistics", **keys)
    with monkeypatch.context() as patch:
        _stop_in(patch, "target_statistics", 1)
        with pytest.raises(Stopped):
            train(config, str(tmp_path / "run"))
    size = tuple(config.target_size)
    records = prepare(CamVid(config.data_root), "train_dusk", size, config.records_dir)
    assert "label" in records[0]
    data = _read(tmp_path / "run" / "data.json")
    assert "labels" not in data["target_train"]
    assert data["source_train"]["labels"]
    results = train(config, str(tmp_path / "run"))
    assert results["final"]["step"] == config.steps


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_continued_run_equals_one_without_interruption(
    whole, tmp_path: Path, interruption: str
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
    for name in ("results.json", "source_only.json", "config.json", "config_as_given.json"):
        assert (workdir / name).read_bytes() == (whole.workdir / name).read_bytes()


def test_finished_run_prints_its_table_again(whole, snapshot, capsys) -> None:
    before = snapshot(whole.workdir)
    assert train(whole.config, str(whole.workdir)) == whole.results
    printed = capsys.readouterr()
    # The console breaks lines where they end, which depends on how long the folder's name is.
    assert "holds a finished run; here is its table again" in " ".join(printed.err.split())
    assert "bicyclist" in printed.out
    assert f"{100 * whole.results['final']['target']['miou']:.1f}" in printed.out
    assert snapshot(whole.workdir) == before


def test_another_configuration_on_the_workdir_is_refused(whole, snapshot) -> None:
    other = whole.config.copy_and_resolve_references()
    other.lambda_target = 0.25
    before = snapshot(whole.workdir)
    with pytest.raises(UserError, match=r"differs in\n  lambda_target: 4\.0 -> 0\.25\n"):
        train(other, str(whole.workdir))
    assert snapshot(whole.workdir) == before


def test_loss_that_is_not_finite_keeps_the_last_checkpoint(
    whole, tiny_config: Callable[..., ConfigDict], tmp_path: Path
) -> None:
    config = tiny_config("target_statistics", learning_rate=1e30, eval_every=4, seed=3)
    workdir = tmp_path / "run"
    claim_workdir(workdir, config, config)
    shutil.copytree(whole.workdir / "source", workdir / "source")
    kept = _checkpoints(workdir)
    for _ in range(2):  # continuing does not hide it
        with pytest.raises(UserError) as caught:
            train(config, str(workdir))
        message = str(caught.value)
        assert "target_statistics: the loss is not finite at step 2: source/final = nan" in message
        assert re.search(r"\n  source: 0016E5_\d+, \S+\n  target: 0001TP_\S+, \S+\n", message)
        for domain, split in (("source", "train_day"), ("target", "train_dusk")):
            size = config[f"{domain}_size"]
            records = prepare(CamVid(config.data_root), split, size, config.records_dir)
            # Two examples a step, and it is the second one.
            keys = example_keys(records, domain, 2, 2, seed=3)
            assert f"\n  {domain}: {keys[0]}, {keys[1]}\n" in message
        assert "checkpoint is kept" in message
        assert "config.learning_rate" in message
        assert not (workdir / "results.json").exists()
        assert find_checkpoint(workdir)[:2] == (workdir / "source", 4)
        found = _checkpoints(workdir)
        assert list(found) == list(kept)
        for place, value in kept.items():
            np.testing.assert_array_equal(found[place], value, err_msg=place)
    find(workdir).load(build_model(config))
    config = tiny_config("target_statistics", learning_rate=1e30, eval_every=4, seed=3, debug=True)
    with pytest.raises(
        UserError, match=r"begins with: .*\(nan\) encountered in \w+ at msl_jax/\w+"
    ):
        train(config, str(workdir))


def test_gradient_that_is_not_finite_ends_the_run_before_its_evaluation(
    tiny_config: Callable[..., ConfigDict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a loss that is finite, in the first step: no checkpoint is there to be kept."""
    share = method.share

    def with_root(loss: LossSum, axis_name: str | None = AXIS) -> Any:
        return share(loss, axis_name) + jnp.sqrt(0 * loss.total)

    monkeypatch.setattr(method, "share", with_root)
    for keys in ({}, {"debug": True}):
        config = tiny_config("source", **keys)
        with pytest.raises(UserError, match=r"new parameters are not finite at step 1: ") as caught:
            train(config, str(tmp_path / "run"))
        message = str(caught.value)
        assert "checkpoint is kept" not in message
        assert "\nStart again in another --workdir" in message
        assert not (tmp_path / "run" / "source").exists()
    assert "begins with: invalid value (nan) encountered in mul" in message


def test_run_of_an_earlier_version_is_continued_and_evaluated(whole, tmp_path: Path) -> None:
    """Its configuration lacks keys that came later."""
    shutil.copytree(whole.workdir, tmp_path / "run")
    names = ("config.json", "config_as_given.json")
    saved = _read(tmp_path / "run" / "config.json")

    def save() -> None:
        for name in names:  # what was given was complete
            (tmp_path / "run" / name).write_text(json.dumps(saved))

    for key in ("accumulate", "rematerialize"):
        del saved[key]
    save()
    evaluated = evaluate(whole.config, str(tmp_path / "run"), str(tmp_path / "out"))
    assert evaluated["final"] == whole.results["final"]
    (tmp_path / "run" / "results.json").unlink()
    shutil.rmtree(tmp_path / "run" / "adapt")
    assert train(whole.config, str(tmp_path / "run")) == whole.results
    saved["frobnicate"] = 1
    save()
    with pytest.raises(UserError, match=r"another configuration; it differs in\n  frobnicate: 1"):
        train(whole.config, str(tmp_path / "run"))
    evaluated = evaluate(whole.config, str(tmp_path / "run"), str(tmp_path / "out"))
    assert evaluated["final"] == whole.results["final"]
