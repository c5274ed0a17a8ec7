"""Runs of several real processes with one device each, over the loopback network.

What the optimised programs compute is tested elsewhere: these runs compile with few optimisations,
like all of this folder.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import Ended, run_together

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.runs.arrays import read_tree

# Trains as train.py does; with a step and a signal behind the workdir, the last process gets that
# signal in that step of the adaptation.
SCRIPT = """
import os, runpy, signal, sys
import jax
from pathlib import Path
from msl_jax.config import presets
from msl_jax.runtime.files import read_json
from msl_jax.runtime.command_line import guard
from msl_jax.commands.train import train
from msl_jax.experiment.log import StageLog

workdir, *asked = sys.argv[1:]
advance = StageLog.advance
def signalled(self, made):
    advance(self, made)
    if asked and (self._title, made) == ("max_square_iw_multi", int(asked[0])):
        if jax.process_index() == jax.process_count() - 1:
            os.kill(os.getpid(), int(asked[1]))
StageLog.advance = signalled
config = presets.restored(read_json(Path(workdir).with_suffix(".json")), workdir)
guard(lambda: train(config, workdir), "stopped")
"""


def train_together(count: int, whole, workdir: Path, *asked: int, devices: int = 1) -> list[Ended]:
    workdir.parent.mkdir(exist_ok=True)
    shutil.copyfile(whole.workdir / "config.json", workdir.with_suffix(".json"))
    return run_together(count, "-c", SCRIPT, workdir, *asked, devices=devices)


def arrays(stage: Path, step: int) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint by their place."""
    import jax

    trees = {item: read_tree(stage / str(step) / item) for item in ("variables", "optimizer")}
    leaves = jax.tree_util.tree_leaves_with_path(trees)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _place(stage: Path, step: int) -> Any:
    return json.loads((stage / str(step) / "input" / "metadata").read_text())


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        error = np.abs(found[place] - value).max() / max(np.abs(value).max(), 1e-6)
        assert error < 1e-6, (place, error)


@pytest.fixture(scope="module")
def pair(whole, tmp_path_factory) -> tuple[Path, list[Ended]]:
    """The run `whole`, by two processes."""
    workdir = tmp_path_factory.mktemp("pair") / "run"
    ended = train_together(2, whole, workdir)
    for process in ended:
        assert process.code == 0, process.err
    return workdir, ended


@pytest.fixture(scope="module")
def broken(whole, tmp_path_factory) -> tuple[Path, list[Ended]]:
    """The same, until one of them is killed in the third step of the adaptation."""
    workdir = tmp_path_factory.mktemp("broken") / "run"
    return workdir, train_together(2, whole, workdir, 3, signal.SIGKILL)


def test_two_processes_are_one_with_two_devices(whole, pair) -> None:
    workdir, _ = pair
    for stage in ("source", "adapt"):
        found, expected = (arrays(run / stage, 4) for run in (workdir, whole.workdir))
        assert_close(found, expected)
        assert _place(workdir / stage, 4) == _place(whole.workdir / stage, 4) == {"examples": 8}
    assert (workdir / "config.json").read_bytes() == (whole.workdir / "config.json").read_bytes()
    found = json.loads((workdir / "results.json").read_text())
    assert found["final"]["target"]["miou"] == pytest.approx(
        whole.results["final"]["target"]["miou"], abs=0.005
    )


def test_the_first_process_alone_prints_and_writes(pair) -> None:
    workdir, (first, second) = pair
    assert "camvid_scratch:max_square_iw_multi, seed 0" in first.out
    assert "max_square_iw_multi 4/4" in first.err
    assert second.err == ""
    assert re.sub(r"\[Gloo\].*\n", "", second.out) == ""
    assert len(list((workdir / "logs" / "adapt").glob("events.*"))) == 1
    assert {path.name for path in workdir.iterdir()} == {
        *("config.json", "config_as_given.json", "results.json", "source_only.json"),
        *("classes.json", "data.json"),
        *("source", "adapt", "logs", "pictures"),
    }


def test_evaluation_is_that_of_one_process(whole, tmp_path: Path) -> None:
    """To the last digit; 3 processes share 2 and 5 images, at two sizes of labels."""
    for size, count in (("network", 2), ("full", 3)):
        arguments = [f"--checkpoint={whole.workdir}", f"--config.eval_size={size}"]
        output = tmp_path / size
        ended = run_together(count, "eval.py", *arguments, f"--output={output}")
        for process in ended:
            assert process.code == 0, process.err
        assert ["Results: " in process.out for process in ended] == [True] + [False] * (count - 1)
        alone = evaluate(
            whole.config, str(whole.workdir), str(tmp_path / "one"), {"eval_size": size}
        )
        assert json.loads((output / "results.json").read_text()) == alone


def test_process_that_dies_ends_the_others(broken) -> None:
    workdir, (first, second) = broken
    assert second.code == -9
    assert first.code == 1
    assert "error: process 0 has lost contact with another process" in first.err
    assert "Traceback" not in first.err
    assert not (workdir / "results.json").exists()
    assert (workdir / "adapt" / "2").is_dir()


def test_processes_go_on_where_they_were(whole, pair, broken, tmp_path: Path) -> None:
    """Bit for bit as the run that was never interrupted."""
    workdir = tmp_path / "run"
    shutil.copytree(broken[0], workdir)
    for process in train_together(2, whole, workdir):
        assert process.code == 0, process.err
    for stage in ("source", "adapt"):
        found, expected = (arrays(run / stage, 4) for run in (workdir, pair[0]))
        assert found.keys() == expected.keys()
        for place, value in expected.items():
            np.testing.assert_array_equal(found[place], value, err_msg=place)
    for name in ("results.json", "source_only.json"):
        assert (workdir / name).read_bytes() == (pair[0] / name).read_bytes()


@pytest.mark.long
def test_stop_asked_of_one_process_stops_all(whole, pair, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    for process in train_together(2, whole, workdir, 2, signal.SIGTERM):
        assert process.code == 143, process.err
        assert "after step 3 of max_square_iw_multi" in process.err
        assert "Traceback" not in process.err
    assert (workdir / "stopped" / "adapt" / "3").is_dir()
    for process in train_together(2, whole, workdir):
        assert process.code == 0, process.err
    assert not (workdir / "stopped").exists()
    found, expected = (arrays(run / "adapt", 4) for run in (workdir, pair[0]))
    for place, value in expected.items():
        np.testing.assert_array_equal(found[place], value, err_msg=place)
    assert (workdir / "results.json").read_bytes() == (pair[0] / "results.json").read_bytes()


@pytest.mark.long
def test_three_processes_go_on_with_the_run_of_two(whole, broken, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(broken[0], workdir)
    for process in train_together(3, whole, workdir):
        assert process.code == 0, process.err
    # Two steps of two processes, then two of three.
    assert _place(workdir / "adapt", 4) == {"examples": 10}
    assert json.loads((workdir / "results.json").read_text())["final"]["step"] == 4


def test_one_process_goes_on_with_the_run_of_two(whole, broken, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(broken[0], workdir)
    train(whole.config, str(workdir))  # on two devices
    found, expected = (arrays(run / "adapt", 4) for run in (workdir, whole.workdir))
    assert_close(found, expected)


@pytest.mark.long
@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4)])
def test_run_goes_on_with_other_devices(whole, tmp_path: Path, before: int, after: int) -> None:
    workdir = tmp_path / "run"
    workdir.mkdir()
    for name in ("config.json", "config_as_given.json"):
        shutil.copyfile(whole.workdir / name, workdir / name)
    shutil.copytree(whole.workdir / "source", workdir / "source")
    (killed,) = train_together(1, whole, workdir, 3, signal.SIGKILL, devices=before)
    assert killed.code == -9
    assert _place(workdir / "adapt", 2) == {"examples": 2 * before}
    (ended,) = train_together(1, whole, workdir, devices=after)
    assert ended.code == 0, ended.err
    assert "continuing after step 2" in ended.err
    assert _place(workdir / "adapt", 4) == {"examples": 2 * before + 2 * after}
