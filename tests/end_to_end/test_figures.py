"""The paper's figures for a run, and the numbers in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msl_jax.analysis import figures
from msl_jax.analysis.adaptation import watched_adaptation
from msl_jax.runtime.errors import UserError

NAMES = ("gradients", "gradient_shares", "class_balance", "difficulty", "guidance")


@pytest.fixture(scope="module")
def written(whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("figures") / "new"
    figures.main([f"--workdir={whole.workdir}", f"--output={output}"])
    return output


def test_files(written: Path) -> None:
    for name in NAMES:
        with Image.open(written / f"{name}.png") as picture:
            assert min(picture.size) > 300
            assert len(picture.convert("L").getcolors() or []) > 20
        assert "</svg>" in (written / f"{name}.svg").read_text()


def test_numbers_are_those_of_the_results(written: Path, whole) -> None:
    """The same network on the same images, by another way."""
    found = json.loads((written / "figures.json").read_text())
    before, after = found["states"].values()
    assert list(found["accuracy"]) == ["0", "2", "4"]  # the latest two checkpoints
    first, *_, last = found["accuracy"].values()
    for state, accuracy, results in (
        (before, first, whole.results["source_only"]),
        (after, last, whole.results["final"]),
    ):
        expected = results["target"]
        assert accuracy["all"] == pytest.approx(expected["pixel_accuracy"], abs=1e-12)
        assert state["iou"] == [
            None if iou is None else pytest.approx(iou, abs=1e-12)
            for iou in expected["iou"].values()
        ]
        for shares in state["gradient_share_by_class"].values():
            assert sum(shares) == pytest.approx(1)
        frequency = [value for value in state["frequency"] if value is not None]
        assert sum(frequency) == pytest.approx(1)
        assert 0 <= state["guidance"]["share"] <= 1
        final = state["guidance"]["final_accuracy"]
        assert final == pytest.approx(expected["pixel_accuracy"], abs=1e-12)
    assert first != last
    assert np.isfinite([first[name] for name in ("all", "top", "bottom")]).all()


def test_run_that_began_with_another(written: Path, whole, tmp_path: Path) -> None:
    """The state before lies in the other run."""
    workdir = Path(shutil.copytree(whole.workdir, tmp_path / "run"))
    shutil.rmtree(workdir / "source")
    config = json.loads((workdir / "config.json").read_text())
    config["init_from"] = f"{whole.workdir}:source"
    (workdir / "config.json").write_text(json.dumps(config))
    found = figures.write_figures(str(workdir), tmp_path / "figures")
    assert json.dumps(found) == json.dumps(json.loads((written / "figures.json").read_text()))


def test_run_without_an_adaptation(source, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an adapted run"):
        figures.write_figures(str(source.workdir), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_adaptation_on_the_way(written: Path, whole, tiny_config) -> None:
    """It starts where the run's adaptation starts, and makes its steps."""
    config = tiny_config(init_from=f"{whole.workdir}:source")
    course = watched_adaptation(config, every=3)
    assert course.steps == [0, 3, 4]
    first, *_, last = json.loads((written / "figures.json").read_text())["accuracy"].values()
    assert course.accuracy[0] == first
    for name, value in last.items():
        assert course.accuracy[-1][name] == pytest.approx(value, abs=0.02)


@pytest.fixture(scope="module")
def kept(start, whole, tiny_config, tmp_path_factory: pytest.TempPathFactory):
    """An adaptation with every checkpoint."""
    keys = {"init_from": f"{whole.workdir}:source", "eval_every": 1, "keep_every": 1}
    return start(tiny_config("max_square", **keys), tmp_path_factory.mktemp("kept") / "run")


def test_every_checkpoint_that_was_kept_is_a_point(kept, tmp_path: Path) -> None:
    """And the figure stops at the one that was asked for."""
    numbers = figures.write_figures(str(kept.workdir), tmp_path / "all")
    assert not any("guidance" in state for state in numbers["states"].values())  # no Multi
    assert not list((tmp_path / "all").glob("guidance*"))
    found = numbers["accuracy"]
    assert list(found) == ["0", "1", "2", "3", "4"]
    course = watched_adaptation(kept.config, every=1)
    for accuracy, expected in zip(found.values(), course.accuracy, strict=True):
        assert accuracy == pytest.approx(expected, abs=0.02)
    part = figures.write_figures(f"{kept.workdir}:2", tmp_path / "part")["accuracy"]
    assert part == {step: found[step] for step in ("0", "1", "2")}


def test_another_loss_compared(start, whole, kept, tiny_config, tmp_path: Path) -> None:
    other = start(tiny_config("minent", init_from=f"{whole.workdir}:source"), tmp_path / "minent")
    first, second = str(kept.workdir), str(other.workdir)
    found = figures.write_figures(first, tmp_path / "both", [second])
    assert list(found["accuracy"]) == ["0", "1", "2", "3", "4"]
    assert list(found["compared"]["minent"]) == ["0", "2", "4"]
    assert found["compared"]["minent"]["0"] == found["accuracy"]["0"]
    last = found["compared"]["minent"]["4"]["all"]
    assert last == pytest.approx(other.results["final"]["target"]["pixel_accuracy"], abs=1e-12)
    with pytest.raises(UserError, match=r"--compare .* \(max_square\): expected another variant"):
        figures.write_figures(first, tmp_path / "out", [first])
    assert not (tmp_path / "out").exists()


def test_run_that_is_not_adapted_yet(whole, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an adapted run: found run "):
        figures.write_figures(f"{whole.workdir}:source", tmp_path / "out")
