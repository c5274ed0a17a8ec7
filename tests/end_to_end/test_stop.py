"""Runs that a signal stops, and that then end as if nothing had been."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kill_resume import identical
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.experiment.evaluation import DomainEvaluation
from msl_jax.experiment.log import StageLog
from msl_jax.runs.checkpoint_path import find_checkpoint
from msl_jax.runs.lock import workdir_lock
from msl_jax.runtime import stopping
from msl_jax.runtime.errors import UserError

ADAPT = "max_square_iw_multi"


def _at_step(patch: pytest.MonkeyPatch, title: str, step: int) -> None:
    """Sends the signal while a step is in progress."""
    advance = StageLog.advance

    def signalled(self: StageLog, made: int) -> None:
        if (self._title, made) == (title, step):
            signal.raise_signal(signal.SIGTERM)
        advance(self, made)

    patch.setattr(StageLog, "advance", signalled)


def _at_evaluation(patch: pytest.MonkeyPatch, number: int) -> None:
    """Sends it in the run's evaluation of that number; the third is the baseline."""
    measure, count = DomainEvaluation.__call__, [0]

    def signalled(self: DomainEvaluation, variables: Any) -> Any:
        count[0] += 1
        if count[0] == number:
            signal.raise_signal(signal.SIGTERM)
        return measure(self, variables)

    patch.setattr(DomainEvaluation, "__call__", signalled)


STOPS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, str | None]] = {
    "first step": (lambda p: _at_step(p, "source-only", 1), "after step 1 of", "source/1"),
    "at an evaluation": (lambda p: _at_step(p, "source-only", 2), "after step 2 of", "source/2"),
    "between evaluations": (lambda p: _at_step(p, ADAPT, 3), "after step 3 of", "adapt/3"),
    "in an evaluation": (lambda p: _at_evaluation(p, 1), "after step 2 of", "source/2"),
    "in the baseline": (lambda p: _at_evaluation(p, 3), "", None),
    "in the last evaluation": (lambda p: _at_evaluation(p, 5), "after step 4 of", "adapt/4"),
}


def _stop(config: Any, workdir: Path, arrange: Callable[[pytest.MonkeyPatch], None]) -> str:
    with pytest.MonkeyPatch.context() as patch:
        arrange(patch)
        with pytest.raises(stopping.Stopped) as stopped, stopping.handled(), stopping.at_once():
            train(config, str(workdir))
    return str(stopped.value)


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_run_continues_as_if_it_had_not_been(whole, tmp_path: Path, stop: str) -> None:
    arrange, told, kept = STOPS[stop]
    workdir = tmp_path / "run"
    message = _stop(whole.config, workdir, arrange)
    assert message.startswith(told)
    found = [str(p.relative_to(workdir / "stopped")) for p in workdir.glob("stopped/*/*")]
    assert found == ([kept] if kept else [])
    assert not (workdir / "results.json").exists()
    assert train(whole.config, str(workdir)) == whole.results
    same = identical(whole.workdir, workdir)
    assert all(same.values()), same
    assert sorted(p.name for p in workdir.iterdir()) == sorted(
        p.name for p in whole.workdir.iterdir() if not p.name.startswith("eval")
    )


def test_stopped_twice_in_a_row(whole, tmp_path: Path) -> None:
    for step in (1, 3):
        _stop(whole.config, tmp_path / "run", lambda p, s=step: _at_step(p, ADAPT, s))
    assert train(whole.config, str(tmp_path / "run")) == whole.results
    same = identical(whole.workdir, tmp_path / "run")
    assert all(same.values()), same


def test_stop_is_no_evaluation(whole, tmp_path: Path) -> None:
    """What reads a stopped run sees the checkpoints that have metrics."""
    workdir = tmp_path / "run"
    _stop(whole.config, workdir, lambda patch: _at_step(patch, ADAPT, 3))
    for which in ("", ":best"):
        assert find_checkpoint(f"{workdir}{which}").step == 2


def test_damaged_stop_falls_back_on_the_last_evaluation(whole, tmp_path: Path, capsys) -> None:
    workdir = tmp_path / "run"
    _stop(whole.config, workdir, lambda patch: _at_step(patch, ADAPT, 3))
    for path in (workdir / "stopped" / "adapt" / "3" / "optimizer").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert train(whole.config, str(workdir)) == whole.results
    assert "is damaged (optimizer/" in (said := capsys.readouterr().err)
    assert "; what a stop has left is kept as 3.damaged" in said
    assert all(identical(whole.workdir, workdir).values())


def test_workdir_in_training_is_refused_but_can_be_read(whole, tmp_path: Path, snapshot) -> None:
    other = whole.config.copy_and_resolve_references()
    other.seed = 1
    _stop(other, tmp_path / "run", lambda patch: _at_step(patch, "source-only", 3))
    with workdir_lock(tmp_path / "run"):
        before = snapshot(tmp_path / "run")
        with pytest.raises(UserError, match=rf"in use: process {os.getpid()} on .*--workdir"):
            train(other, str(tmp_path / "run"))
        assert snapshot(tmp_path / "run") == before
        evaluate(other, str(tmp_path / "run"), str(tmp_path / "out"))
    assert (tmp_path / "out" / "results.json").is_file()
