"""Executes runs one after the other, each in its own process, and continues where it stopped."""

from __future__ import annotations

import runpy
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections.config_dict import ConfigDict

from benchmarks.support.measuring import progress
from benchmarks.tables.runs import PARAMETERS, Run
from msl_jax.config import presets
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.runs.lock import check_unlocked
from msl_jax.runs.workdir import CONFIG, RESULTS, finished_results
from msl_jax.runtime import stopping

TRAIN = (sys.executable, str(Path(__file__).parents[2] / "train.py"))
_STOPPED = {-number for number in stopping.SIGNALS} | {128 + number for number in stopping.SIGNALS}


class Experiment(NamedTuple):
    """What all runs have in common.

    Attributes:
        config_file: ``configs/NAME.py``.
        keys: of the configuration, as set by the user.
        workdir: of all runs, absolute.
    """

    config_file: str
    keys: Mapping[str, Any]
    workdir: Path

    def config(self, run: Run) -> ConfigDict:
        """The configuration of a run, as its command gives it."""
        config = runpy.run_path(self.config_file)["get_config"](run.variant)
        config.update_from_flattened_dict(self._keys(run))
        return config

    def arguments(self, run: Run) -> list[str]:
        """The arguments of ``train.py``."""
        keys = [f"--config.{key}={value}" for key, value in self._keys(run).items()]
        folder = run.folder(self.workdir)
        return [f"--config={self.config_file}:{run.variant}", *keys, f"--workdir={folder}"]

    def own_values(self) -> dict[str, float]:
        """The rows' own values of the parameters of Table 5, by key."""
        return {
            parameter.key: presets.complete(self.config(Run(parameter.row, 0)))[parameter.key]
            for parameter in PARAMETERS
        }

    def joint_rows(self) -> set[str]:
        """Rows that train on both domains from the start, as this configuration has them."""
        task = self.config(Run("source", 0)).task
        return {
            row
            for row, kind in VARIANTS_OF[task].items()
            if kind.adapt and presets.complete(self.config(Run(row, 0))).source_steps == 0
        }

    def finished(self, run: Run) -> bool:
        """Whether a run has its results.

        Raises:
            UserError: they belong to another configuration; lists the keys that differ.
        """
        folder = run.folder(self.workdir)
        if not (folder / RESULTS).exists():
            return False
        return finished_results(folder, self.config(run)) is not None

    def steps(self, run: Run) -> int:
        """Length of a run in passes over a batch; an adaptation step makes two."""
        config = presets.complete(self.config(run))
        steps = 2 * config.steps if run.kind.adapt else 0
        return steps + (config.source_steps if run.start is None else 0)

    def seconds_left(self, left: Sequence[Run], finished: Sequence[Run]) -> float | None:
        """An estimate from the durations of finished runs, None if there are none yet."""
        rates = []
        for run in finished:
            folder = run.folder(self.workdir)
            begun, ended = ((folder / n).stat().st_mtime for n in (CONFIG, RESULTS))
            if ended > begun:  # else the files are copies
                rates.append((ended - begun) / self.steps(run))
        # The median, because a run that was stopped seems to have lasted until it was resumed.
        return statistics.median(rates) * sum(map(self.steps, left)) if rates else None

    def _keys(self, run: Run) -> dict[str, Any]:
        return {**self.keys, **run.keys(self.workdir)}


def run_all(
    experiment: Experiment,
    planned: Sequence[Run],
    after: Callable[[], object],
    program: Sequence[str] = TRAIN,
) -> dict[Run, str]:
    """Executes all runs that are not finished.

    Args:
        experiment: what they have in common.
        planned: the runs in order.
        after: called after each run that succeeds.
        program: the training command, which takes the arguments of ``train.py``.

    Returns:
        The runs that failed, or that could not start because another one failed, and why. The
        remaining runs are executed all the same.

    Raises:
        UserError: a finished run has another configuration, or a run is in use by another process.
        Stopped: on a signal to this process or to a run; the same call continues.
    """
    done = [run for run in planned if experiment.finished(run)]
    left = [run for run in planned if run not in done]
    failed: dict[Run, str] = {}
    for index, run in enumerate(left):
        if run.start in failed:
            failed[run] = f"not started: it starts from {run.start.row}"
            progress(f"{run.title}: {failed[run]}, which failed")
            continue
        check_unlocked(run.folder(experiment.workdir))
        estimate = _duration(experiment.seconds_left(left[index:], done))
        progress(
            f"{run.title}: run {len(planned) - len(left) + index + 1} of {len(planned)};"
            f" {len(left) - index} left, {estimate}"
        )
        status = _finish([*program, *experiment.arguments(run)])
        if status in _STOPPED:
            raise stopping.Stopped(f"in {run.folder(experiment.workdir)}")
        if status == 0:
            done.append(run)
            after()
        else:
            failed[run] = _ending(status)
            progress(f"{run.title}: {failed[run]}; see its message above")
    return failed


def _ending(status: int) -> str:
    """Says how a process failed.

    >>> _ending(-9)
    'ended by SIGKILL'
    """
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def show(experiment: Experiment, planned: Sequence[Run]) -> None:
    """Prints the command of each run, and an estimate; writes nothing.

    Raises:
        UserError: a finished run has another configuration.
    """
    done = [run for run in planned if experiment.finished(run)]
    left = [run for run in planned if run not in done]
    for run in planned:
        if run in done:
            print(f"# {run.title} is finished")
        else:
            print(shlex.join(["python", "train.py", *experiment.arguments(run)]))
    estimate = f", {_duration(experiment.seconds_left(left, done))}" if left else ""
    print(f"# {len(left)} of {len(planned)} left{estimate}")


def _duration(seconds: float | None) -> str:
    """Formats a duration for display.

    >>> _duration(9000)
    'about 2 h 30 min'
    """
    if seconds is None:
        return "no estimate until the first has finished"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {max(1, minutes)} min"


def _finish(command: Sequence[str]) -> int:
    """Runs a command to its end and returns its exit status; passes our signals on to it.

    It gets its own process group: at a terminal, Ctrl-C would otherwise reach it twice, which ends
    it at once.

    Raises:
        Stopped: on a signal; the command has ended by then.
    """
    with stopping.delayed():
        # What it prints is progress: only tables go to standard output.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
        try:
            with stopping.at_once():
                return process.wait()
        except stopping.Stopped:
            process.send_signal(signal.Signals[stopping.name()])
            process.wait()
            raise
