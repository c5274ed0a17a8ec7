"""Damaged checkpoints, one kind of damage at a time: which one is used, and what is said."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from saved_states import (
    INPUT,
    assert_identical,
    cut_short,
    flip_byte,
    make_metrics,
    make_state,
    save_stage,
)

from msl_jax.config import base_config
from msl_jax.runs.checkpoint_path import find_checkpoint
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.checksums import NAME as CHECKSUMS
from msl_jax.runs.resume import StageCheckpoints
from msl_jax.runs.workdir import claim_workdir
from msl_jax.runtime.errors import UserError


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of the steps 10 (the best), 20 and 30."""
    workdir = tmp_path_factory.mktemp("saved") / "run"
    claim_workdir(workdir, base_config("demo"), base_config("demo"))
    save_stage(workdir / "adapt", 0.5, 0.3, 0.4)
    return workdir


@pytest.fixture
def workdir(saved_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(saved_run, tmp_path / "run")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _make_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _drop_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


# What happens to a checkpoint's folder, and the reason that is given.
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "array cut short": (lambda f: cut_short(f / "variables"), r"variables/.*: has changed"),
    "byte of a variable": (lambda f: flip_byte(f / "variables"), r"variables/.*: has changed"),
    "byte of the optimizer": (lambda f: flip_byte(f / "optimizer"), r"optimizer/.*: has changed"),
    "byte of the metrics": (lambda f: flip_byte(f / "metrics/metrics"), r"metrics/metrics: has"),
    "byte of the best": (lambda f: flip_byte(f / "metrics/best"), r"metrics/best: has changed"),
    "byte of the input": (lambda f: flip_byte(f / "input/metadata"), r"input/metadata: has ch"),
    "byte of the checksums": (lambda f: flip_byte(f / CHECKSUMS), r"SHA256SUMS: has changed"),
    "checksum dropped": (lambda f: _drop_line(f / CHECKSUMS), r"SHA256SUMS: has changed"),
    "checksums deleted": (lambda f: (f / CHECKSUMS).unlink(), r"SHA256SUMS: No such file"),
    "metrics deleted": (lambda f: (f / "metrics/metrics").unlink(), r"metrics/metrics: No such"),
    "input deleted": (lambda f: shutil.rmtree(f / "input"), r"input/metadata: No such file"),
    "variables deleted": (lambda f: shutil.rmtree(f / "variables"), r"variables/.*: No such"),
    "metadata deleted": (lambda f: (f / "variables/_METADATA").unlink(), r"_METADATA: No such"),
    "item replaced": (lambda f: _make_file(f / "input"), r"input/metadata: Not a directory"),
    "empty folder": (_empty, r"SHA256SUMS: No such file"),
    "file instead": (_make_file, r"SHA256SUMS: Not a directory"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_training_falls_back_to_the_newest_whole_one(
    workdir: Path, capfd, snapshot, damage: str
) -> None:
    stage = workdir / "adapt"
    break_it, reason = DAMAGES[damage]
    break_it(stage / "30")
    broken, others = snapshot(stage / "30"), [snapshot(stage / name) for name in ("10", "20")]

    checkpoints = Checkpoints(stage)
    restored = checkpoints.restore_newest(make_state())
    assert restored is not None
    assert_identical(restored[0], make_state(20, seed=2))
    assert restored[1] == INPUT
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"checkpoint {stage / '30'} is damaged (")
    assert line.endswith("); kept as 30.damaged, resuming from step 20")
    assert re.search(reason, line)
    assert sorted(path.name for path in stage.iterdir()) == ["10", "20", "30.damaged"]
    assert snapshot(stage / "30.damaged") == broken
    assert [snapshot(stage / name) for name in ("10", "20")] == others

    # Training comes to the same step again.
    assert checkpoints.best() == (10, make_metrics(0.5))
    checkpoints.save(make_state(30, seed=3), INPUT, make_metrics(0.4))
    assert checkpoints.steps == checkpoints.intact() == [10, 20, 30]
    assert snapshot(stage / "30.damaged") == broken


@pytest.mark.parametrize("damage", DAMAGES)
def test_evaluation_takes_no_other_but_names_them(workdir: Path, snapshot, damage: str) -> None:
    break_it, reason = DAMAGES[damage]
    break_it(workdir / "adapt" / "30")
    before = snapshot(workdir)
    for path in (workdir, f"{workdir}:30", f"{workdir}:best"):  # the latest knows the best
        choices = rf"use {workdir}:10 or {workdir}:20, or copy it again$"
        with pytest.raises(UserError, match=rf"adapt/30 is damaged \(.*{reason}.*\); {choices}"):
            find_checkpoint(path)
    assert find_checkpoint(f"{workdir}:20").step == 20
    assert snapshot(workdir) == before


def test_damage_to_the_best_does_not_change_which_it_is(workdir: Path, capfd) -> None:
    flip_byte(workdir / "adapt" / "10" / "metrics" / "metrics")
    checkpoints = Checkpoints(workdir / "adapt")
    assert checkpoints.restore_newest(make_state()) is not None
    assert checkpoints.best() == (10, make_metrics(0.5))
    assert capfd.readouterr().err == ""
    message = rf"adapt/10 is damaged .*; use {workdir}:20 or {workdir}:30, or copy it again"
    with pytest.raises(UserError, match=message):
        find_checkpoint(f"{workdir}:best")


def test_best_that_is_damaged_is_not_best_after_falling_back(tmp_path: Path) -> None:
    checkpoints = save_stage(tmp_path / "stage", 0.3, 0.2, 0.5)
    flip_byte(tmp_path / "stage" / "30" / "variables")
    checkpoints.restore_newest(make_state())
    assert checkpoints.best() == (10, make_metrics(0.3))


def test_several_damaged_ones(workdir: Path, capfd) -> None:
    stage = workdir / "adapt"
    (stage / "30.damaged").mkdir()  # from another time
    _empty(stage / "30")
    flip_byte(stage / "20" / "input" / "metadata")
    restored = Checkpoints(stage).restore_newest(make_state())
    assert restored is not None
    assert int(restored[0].step) == 10
    first, second = capfd.readouterr().err.splitlines()
    assert "adapt/30 is damaged" in first
    assert first.endswith("; kept as 30.damaged-2, resuming from step 10")
    assert "adapt/20 is damaged" in second
    names = sorted(path.name for path in stage.iterdir())
    assert names == ["10", "20.damaged", "30.damaged", "30.damaged-2"]


def test_nothing_whole_is_an_error_that_changes_nothing(workdir: Path, snapshot, capfd) -> None:
    stage = workdir / "adapt"
    for step in ("10", "20", "30"):
        flip_byte(stage / step / "variables")
    before = snapshot(workdir)
    with pytest.raises(UserError) as caught:
        Checkpoints(stage).restore_newest(make_state())
    message = str(caught.value)
    assert message.startswith(f"no intact checkpoint is left in {stage}:\n")
    for step in (10, 20, 30):
        assert f"adapt/{step} is damaged (variables/" in message
    assert "move the folder away to train this stage from its beginning" in message
    with pytest.raises(UserError, match="no other of this run is intact; copy it again"):
        find_checkpoint(workdir)
    assert snapshot(workdir) == before
    assert capfd.readouterr().err == ""


def test_source_stage_is_named_too(workdir: Path) -> None:
    save_stage(workdir / "source", 0.1, 0.2)
    flip_byte(workdir / "adapt" / "30" / "variables")
    flip_byte(workdir / "adapt" / "20" / "variables")
    with pytest.raises(UserError, match=rf"use {workdir}:10 or {workdir}:source, or copy"):
        find_checkpoint(workdir)
    flip_byte(workdir / "source" / "20" / "variables")
    with pytest.raises(UserError, match=rf"source/20 is damaged .*; use {workdir}:10, or copy"):
        find_checkpoint(f"{workdir}:source")


# What lies beside or in a checkpoint and does it no harm: path, whether it is a folder, whether the
# next save removes it.
LEFTOVERS = {
    "saving was killed": (".40.0000000a.partial", True, True),
    "removal was killed": (".10.0000000a.partial", True, True),
    "damaged before": ("30.damaged", True, False),
    "number in other writing": ("030", True, False),
    "notes": ("notes.txt", False, False),
    "file of a file manager": ("30/.DS_Store", False, False),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_leftover_is_no_checkpoint(workdir: Path, snapshot, capfd, leftover: str) -> None:
    name, is_folder, goes = LEFTOVERS[leftover]
    path = workdir / "adapt" / name
    if is_folder:
        shutil.copytree(workdir / "adapt" / "30", path)
    else:
        path.write_text("")
    before = snapshot(workdir)
    checkpoints = Checkpoints(workdir / "adapt")
    restored = checkpoints.restore_newest(make_state())
    assert restored is not None
    assert_identical(restored[0], make_state(30, seed=3))
    assert find_checkpoint(workdir).step == 30
    assert snapshot(workdir) == before
    assert capfd.readouterr().err == ""

    checkpoints.save(make_state(40), INPUT, make_metrics(0.4))
    assert checkpoints.steps == [10, 30, 40]
    assert path.exists() != goes


@pytest.mark.parametrize("damage", ["changed", "cut off"])
def test_damage_to_the_best_behind_a_stop(tmp_path: Path, capsys, damage: str) -> None:
    """The state of the stop is intact, but the next evaluation would be compared with rubbish."""
    save_stage(tmp_path / "adapt", 0.5, 0.3)
    stage = StageCheckpoints(tmp_path, "adapt")
    stage.save_stopped(make_state(25), INPUT, [])
    path = tmp_path / "adapt" / "20" / "metrics" / "best"
    path.write_text(path.read_text().replace("0.5", "0.9") if damage == "changed" else "")
    assert int(stage.restore(make_state()).state.step) == 10
    said = capsys.readouterr().err
    assert "adapt/20 is damaged (metrics/best: has changed); what a stop has left is kept" in said
    stage.save(make_state(20), INPUT, make_metrics(0.3))
    assert stage.results()[1] == {"target": make_metrics(0.5)["target"], "step": 10}
