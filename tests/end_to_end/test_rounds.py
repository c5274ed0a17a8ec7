"""Runs in rounds of their own labels: what they leave, and kills and faults at every turn."""

from __future__ import annotations

import json
import os
import shutil
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
from msl_jax.commands.prior import make_prior
from msl_jax.commands.train import train
from msl_jax.config import IN_ROUNDS
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.prepared.records import prepare
from msl_jax.experiment import rounds
from msl_jax.experiment.labeller import Labeller
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.stage import StageRun
from msl_jax.methods.class_balanced import balanced_labels, class_confidences, thresholds
from msl_jax.runtime import stopping
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.tasks.segmentation import Segmentation
from msl_jax.weights.find import find

from .test_several_processes import arrays, assert_close, train_together

pytestmark = pytest.mark.usefixtures("shared_steps")

CLASSES = 11
# Two rounds: of two steps, with an evaluation within and one at its end, and of three.
KEYS: dict[str, Any] = {
    **{"steps": 5, "eval_every": 1, "log_every": 1, "learning_rate": 0.01},
    **{"target_augmentation.crop": (16, 24), "method.rounds": 2, "method.portion": 0.4},
    **{"method.threshold_every": 2, "method.mining_share": 0.05},
}
each = pytest.mark.parametrize("variant", IN_ROUNDS)


@pytest.fixture(scope="module")
def prior(tiny_config, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A spatial prior of the tiny source."""
    path = tmp_path_factory.mktemp("prior") / "prior.npz"
    return str(make_prior(tiny_config("source"), str(path), 1.0))


@pytest.fixture(scope="module")
def config(whole, tiny_config, prior: str) -> Callable[..., Any]:
    """Function that gives the configuration of a variant, from a trained network."""

    def make(variant: str, **keys: Any) -> Any:
        # A network that has hardly learned is sure of nothing: soft labels nearly hard ones, or all
        # pixels would have some.
        own = {"cbst_sp": {"method.spatial_prior": prior}, "crst_lrent": {"method.alpha": 0.02}}
        start = {"init_from": f"{whole.workdir}:source"}
        return tiny_config(variant, **{**KEYS, **start, **own.get(variant, {}), **keys})

    return make


@pytest.fixture(scope="module")
def adapted(start, config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Function that gives the run of a variant, made once."""
    runs: dict[str, Any] = {}

    def run(variant: str) -> Any:
        if variant not in runs:
            runs[variant] = start(config(variant), tmp_path_factory.mktemp(variant) / "run")
        return runs[variant]

    return run


def _round(workdir: Path, number: int) -> dict[str, Any]:
    return json.loads((workdir / "labels" / f"round_{number:02}" / "round.json").read_text())


def _files(workdir: Path) -> dict[str, bytes]:
    """All files of all rounds."""
    folder = workdir / "labels"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _records(config: Any) -> Any:
    size = tuple(config.target_size)
    return prepare(CamVid(config.data_root), "train_dusk", size, config.records_dir)


@each
def test_what_a_run_leaves(adapted, variant: str) -> None:
    """Labels of every target image and round in the classes' colours, and what was counted."""
    run = adapted(variant)
    records = _records(run.config)
    assert sorted(path.name for path in (run.workdir / "labels").iterdir()) == [
        "round_00",
        "round_01",
    ]
    for number, (step, portion) in enumerate([(0, 0.4), (2, 0.45)]):
        found = _round(run.workdir, number)
        assert (found["round"], found["step"]) == (number, step)
        assert found["portion"] == pytest.approx(portion)
        assert [image["key"] for image in found["images"]] == [record["key"] for record in records]
        labelled = np.zeros(256, int)
        folder = run.workdir / "labels" / f"round_{number:02}"
        for image in found["images"]:
            with Image.open(folder / "labels" / f"{image['key']}.png") as picture:
                assert (picture.mode, picture.size) == ("P", (32, 16))
                label = np.array(picture)
            labelled += np.bincount(label.ravel(), minlength=256)
            if variant == "crst_lrent":
                with Image.open(folder / "soft" / f"{image['key']}.png") as picture:
                    np.testing.assert_array_equal(np.array(picture)[..., 0], label)
        counts = [of_class["labelled"] for of_class in found["classes"].values()]
        assert labelled[:CLASSES].tolist() == counts
        assert 0.1 < sum(counts) / found["pixels"] < 0.9
        pixels = sum(of_class["predicted"] for of_class in found["classes"].values())
        assert pixels == found["pixels"] == 16 * 32 * len(records)
        for of_class in found["classes"].values():
            assert variant == "cbst_sp" or 0 < of_class["threshold"] <= 1
        assert (folder / "soft").is_dir() == (variant == "crst_lrent")
    logged = run.logged("adapt")
    terms = {"source/final", "target/final", "target/labelled_share"}
    assert set(logged) == terms | ({"target/kld"} if variant == "crst_mrkld" else set())
    assert all(0 < share < 1 for share in logged["target/labelled_share"].values())
    assert run.results["final"]["step"] == 5
    assert run.results["source_only"] is not None


def test_labels_are_those_of_the_network_at_the_start_of_the_round(adapted, whole) -> None:
    """Worked out from its predictions on whole images, with the mirrored ones."""
    run = adapted("cbst")
    config = run.config.copy_and_resolve_references()
    config.flip, config.scales = True, (0.9,)
    model = build_model(config)
    probabilities = jax.jit(Segmentation().probabilities(config, model))
    records = _records(config)
    for number, variables in enumerate([whole.variables(":source"), run.variables(":2")]):
        images = np.stack([record["image"] for record in records])
        p = np.asarray(probabilities(variables, images))
        lists = [class_confidences(q.argmax(-1), q.max(-1), CLASSES, 2) for q in p]
        portion = _round(run.workdir, number)["portion"]
        k = thresholds([np.concatenate(found) for found in zip(*lists, strict=True)], portion)
        found = [
            of_class["threshold"] for of_class in _round(run.workdir, number)["classes"].values()
        ]
        np.testing.assert_allclose(found, k, rtol=1e-4)
        expected = np.asarray(balanced_labels(jax.numpy.asarray(p), jax.numpy.asarray(k)))
        folder = run.workdir / "labels" / f"round_{number:02}" / "labels"
        made = np.stack([np.array(Image.open(folder / f"{r['key']}.png")) for r in records])
        assert (made == expected).mean() > 0.995


class Killed(Exception):
    """Stands for a kill."""


def _kill_in_step(patch: pytest.MonkeyPatch, step: int) -> None:
    def kill(log: StageLog, made: int) -> None:
        if made == step:
            raise Killed

    patch.setattr(StageLog, "advance", kill)


def _kill_in_labelling(patch: pytest.MonkeyPatch, number: int, then: Callable[[], None]) -> None:
    """After the first image's labels of a round have been written."""
    labels, begun = Labeller.labels, [0]

    def killing(self: Labeller, *arguments: Any) -> Any:
        begun[0] += 1
        for place, found in enumerate(labels(self, *arguments)):
            if begun[0] == number + 1 and place == 1:
                then()
            yield found

    patch.setattr(Labeller, "labels", killing)


def _raise() -> None:
    raise Killed


KILLS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "labelling of the first round": lambda patch: _kill_in_labelling(patch, 0, _raise),
    "first step of the first round": lambda patch: _kill_in_step(patch, 1),
    "last step of the first round": lambda patch: _kill_in_step(patch, 2),
    "labelling of the second round": lambda patch: _kill_in_labelling(patch, 1, _raise),
    "first step of the second round": lambda patch: _kill_in_step(patch, 3),
    "last step": lambda patch: _kill_in_step(patch, 5),
}


@pytest.mark.parametrize("kill", KILLS)
def test_killed_run_continues_as_if_it_had_not_been(adapted, tmp_path: Path, kill: str) -> None:
    """CRST-LRENT's, whose labels are files of two kinds."""
    run, workdir = adapted("crst_lrent"), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        KILLS[kill](patch)
        with pytest.raises(Killed):
            train(run.config, str(workdir))
    kept = _files(workdir)
    assert train(run.config, str(workdir)) == run.results
    assert all(identical(run.workdir, workdir).values())
    assert kept.items() <= _files(workdir).items()


@pytest.mark.parametrize(("number", "told"), [(0, ""), (1, "")])
def test_stop_in_labelling(adapted, tmp_path: Path, number: int, told: str) -> None:
    """At once, and nothing of unfinished labels stays."""
    run, workdir = adapted("cbst_sp"), tmp_path / "run"

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        _kill_in_labelling(patch, number, stop)
        with pytest.raises(stopping.Stopped), stopping.handled(), stopping.at_once():
            train(run.config, str(workdir))
    names = sorted(path.name for path in (workdir / "labels").iterdir())
    assert names == ["round_00"][:number]
    assert train(run.config, str(workdir)) == run.results
    assert all(identical(run.workdir, workdir).values())


def test_stop_in_the_evaluation_that_ends_a_round(
    adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint without metrics is evaluated first, with the labels of its own round."""
    from msl_jax.experiment.evaluation import DomainEvaluation

    run, workdir, measure, count = adapted("cbst"), tmp_path / "run", DomainEvaluation.__call__, [0]

    def signalled(self: DomainEvaluation, variables: Any) -> Any:
        count[0] += 1
        if count[0] == 3:  # the baseline is the first
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, variables)

    stopped = pytest.raises(stopping.Stopped, match="after step 2")
    with monkeypatch.context() as patch:
        patch.setattr(DomainEvaluation, "__call__", signalled)
        with stopped, stopping.handled(), stopping.at_once():
            train(run.config, str(workdir))
    assert (workdir / "stopped" / "adapt" / "2").is_dir()
    assert not (workdir / "labels" / "round_01").exists()
    assert train(run.config, str(workdir)) == run.results
    assert all(identical(run.workdir, workdir).values())


def _killed(run: Any, workdir: Path, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _kill_in_step(patch, step)
        with pytest.raises(Killed):
            train(run.config, str(workdir))


def test_damaged_labels_at_the_beginning_of_a_round_are_made_again(
    adapted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, workdir = adapted("cbst"), tmp_path / "run"
    _killed(run, workdir, 1)
    next((workdir / "labels" / "round_00" / "labels").iterdir()).unlink()
    assert train(run.config, str(workdir)) == run.results
    assert "missing or have changed" in capsys.readouterr().err
    aside = workdir / "labels" / "round_00.aside-1"
    assert (aside / "round.json").is_file()
    shutil.rmtree(aside)
    assert all(identical(run.workdir, workdir).values())


def test_labels_of_another_network_are_not_used(adapted, config, tmp_path: Path) -> None:
    """Left by a run whose checkpoints somebody has moved away."""
    run, workdir = adapted("cbst"), tmp_path / "run"
    _killed(run, workdir, 1)
    path = workdir / "labels" / "round_00" / "round.json"
    path.write_text(path.read_text().replace(_round(workdir, 0)["network"], "0" * 64))
    assert train(run.config, str(workdir)) == run.results
    assert (workdir / "labels" / "round_00.aside-1").is_dir()


@pytest.mark.parametrize("damage", ["changed", "missing", "no json"])
def test_damaged_labels_within_a_round(adapted, tmp_path: Path, damage: str) -> None:
    run, workdir = adapted("cbst"), tmp_path / "run"
    _killed(run, workdir, 4)
    folder = workdir / "labels" / "round_01"
    path = sorted((folder / "labels").iterdir())[0]
    if damage == "changed":
        Image.fromarray(np.zeros((16, 32), np.uint8)).save(path)
    (folder / "round.json" if damage == "no json" else path).unlink(missing_ok=damage == "x")
    message = r"round\.json is damaged" if damage == "no json" else r"\.png are missing or have"
    with pytest.raises(UserError, match=message) as caught:
        train(run.config, str(workdir))
    assert "train again in another --workdir" in str(caught.value)
    assert (workdir / "adapt" / "3").is_dir()


def test_round_that_labels_nothing_ends_the_run(config, adapted, tmp_path: Path) -> None:
    """With the class histogram; the network and the labels of the round before are kept."""
    workdir = tmp_path / "run"
    keys = {"method.portion": 0.4, "method.portion_step": 0.0, "method.portion_limit": 0.4}
    nothing = config("cbst", **keys)
    with pytest.MonkeyPatch.context() as patch:
        confidences, calls = Labeller.confidences, [0]

        def collapsing(self: Labeller, *arguments: Any) -> Any:
            found, calls[0] = confidences(self, *arguments), calls[0] + 1
            empty = [values[:1] for values in found.confidences]  # floor(0.4 * 1) = 0
            return found._replace(confidences=empty) if calls[0] == 2 else found

        patch.setattr(Labeller, "confidences", collapsing)
        with pytest.raises(UserError, match=r"round 2 of 2 labels no pixel") as caught:
            train(nothing, str(workdir))
    message = str(caught.value)
    found = _round(adapted("cbst").workdir, 1)
    most = max(found["classes"], key=lambda name: found["classes"][name]["predicted"])
    assert f"{most} " in message
    assert "config.method.portion" in message
    assert sorted(path.name for path in (workdir / "labels").iterdir()) == ["round_00"]
    assert evaluate(nothing, str(workdir), str(tmp_path / "out"))["final"]["step"] == 2


def test_images_that_the_network_is_most_sure_of(start, config, tmp_path: Path) -> None:
    """The same ones in all rounds."""
    run = start(config("cbst", **{"method.image_share": 0.5}), tmp_path / "run")
    first, second = (
        [image["key"] for image in _round(run.workdir, number)["images"]] for number in (0, 1)
    )
    assert first == second
    assert len(first) == round(0.5 * len(_records(run.config)))


def test_momentum_is_lost_between_the_rounds(
    adapted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of steps, on which the schedule depends, is not."""
    config = adapted("cbst").config  # made before its rounds are watched
    begun, fit = [], StageRun.fit

    def seen(self: StageRun, step: Any, point: Any, *arguments: Any) -> Any:
        begun.append(jax.tree.leaves(jax.device_get(point.state.opt_state)))
        after = fit(self, step, point, *arguments)
        begun.append(jax.tree.leaves(jax.device_get(after.state.opt_state)))
        return after

    monkeypatch.setattr(StageRun, "fit", seen)
    train(config, str(tmp_path / "run"))
    _, before, after, _ = begun
    moved = [leaf.dtype == np.float32 for leaf in before]
    assert any(np.any(leaf) for leaf, floats in zip(before, moved, strict=True) if floats)
    assert not any(np.any(leaf) for leaf, floats in zip(after, moved, strict=True) if floats)
    assert all(leaf == 2 for leaf, floats in zip(after, moved, strict=True) if not floats)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method.rounds": 6}, r"method\.rounds: expected at most config\.steps=5, found 6"),
        ({"method.portion": 1.5}, r"method\.portion: expected a number in \[0, 1\], found 1\.5"),
        (
            {"method.portion": 0.6},
            r"portion: expected at most method\.portion_limit=0\.5, found 0\.6",
        ),
    ],
)
def test_wrong_keys(config, tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(config("cbst", **keys), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_wrong_priors(config, tiny_config, prior: str, tmp_path: Path) -> None:
    """Refused before anything is trained or written."""
    other = make_prior(tiny_config("source", target_size=(24, 32)), str(tmp_path / "size"), 1.0)
    with np.load(prior) as arrays:
        content = dict(arrays)
    content["names"] = np.array(["x", *content["names"][1:]])
    with (tmp_path / "classes.npz").open("wb") as file:
        np.savez(file, **content)
    (tmp_path / "text.npz").write_text("x")
    for path, message in {
        str(tmp_path / "nothing"): "nothing: cannot be read",
        str(tmp_path / "text.npz"): "expected a spatial prior, found something else",
        str(tmp_path / "classes.npz"): "expected the classes sky, .*, found x, ",
        str(other): r"expected a prior of 16x32 .* found 24x32",
    }.items():
        with pytest.raises(UserError, match=message):
            train(config("cbst_sp", **{"method.spatial_prior": path}), str(tmp_path / "run"))
        assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="exists; give another name"):
        make_prior(tiny_config("source"), prior)


def test_prior_that_the_run_counts(
    start, config, prior: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept, and is that of the command, which smooths as much."""
    thresholded: list[np.ndarray] = []

    def seen(confidences: Any, portion: float, prior: np.ndarray) -> np.ndarray:
        thresholded.append(prior)
        return thresholds(confidences, portion, prior)

    monkeypatch.setattr(rounds, "thresholds", seen)
    run = start(config("cbst_sp", **{"method.spatial_prior": ""}), tmp_path / "run")
    own = run.workdir / "labels" / "spatial_prior.npz"
    made = make_prior(run.config, str(tmp_path / "prior.npz"))
    with np.load(own) as found, np.load(made) as expected, np.load(prior) as other:
        np.testing.assert_array_equal(found["values"], expected["values"])
        assert not np.array_equal(found["values"], other["values"])
        assert str(found["origin"]) == "camvid/train_day"
        np.testing.assert_allclose(found["values"].mean((0, 1)), 1, rtol=1e-4)
        for limits in thresholded:  # what is not predicted is measured by it too
            np.testing.assert_array_equal(limits, found["values"])
    assert len(thresholded) == 2


def test_prior_that_changes_is_noticed(adapted, prior: str, tmp_path: Path) -> None:
    run, workdir = adapted("cbst_sp"), tmp_path / "run"
    own = tmp_path / "prior.npz"
    shutil.copy(prior, own)
    config = run.config.copy_and_resolve_references()
    config.method.spatial_prior = str(own)
    with pytest.MonkeyPatch.context() as patch:
        _kill_in_step(patch, 3)
        with pytest.raises(Killed):
            train(config, str(workdir))
    with np.load(own) as arrays:
        content = dict(arrays)
    content["values"] = content["values"] * np.float32(2)
    with own.open("wb") as file:
        np.savez(file, **content)
    with pytest.raises(UserError, match=r"spatial_prior .*: other content"):
        train(config, str(workdir))


def test_two_processes_are_one_with_two_devices(adapted, tmp_path: Path) -> None:
    """The first one labels, both train on what it has written."""
    run = adapted("cbst")
    for process in train_together(2, run, tmp_path / "run"):
        assert process.code == 0, process.err
    found, expected = (arrays(workdir / "adapt", 5) for workdir in (tmp_path / "run", run.workdir))
    assert_close(found, expected)
    for number in (0, 1):
        labels = [_round(workdir, number)["classes"] for workdir in (tmp_path / "run", run.workdir)]
        assert labels[0].keys() == labels[1].keys()


def test_weights_are_found_as_of_any_run(adapted) -> None:
    assert find(str(adapted("crst_mrkld").workdir)).classifies
