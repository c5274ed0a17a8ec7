"""Makes runs one after the other, each in a process of its own, and goes on where it stopped."""

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
from msl_jax.commands.train import prepared
from msl_jax.config import presets
from msl_jax.runs import workdir as runs
from msl_jax.runs.lock import expect_free
from msl_jax.runtime import stopping

TRAIN = (sys.executable, str(Path(__file__).parents[2] / "train.py"))
_STOPPED = {-number for number in stopping.SIGNALS} | {128 + number for number in stopping.SIGNALS}


class Experiment(NamedTuple):
    """What all runs share.

    Attributes:
        config_file: ``configs/NAME.py``.
        keys: of the configuration, as the user set them.
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
        """What the rows themselves have for the parameters of Table 5, by key."""
        return {
            parameter.key: presets.complete(self.config(Run(parameter.row, 0)))[parameter.key]
            for parameter in PARAMETERS
        }

    def finished(self, run: Run) -> bool:
        """Whether a run has its results.

        Raises:
            UserError: they are those of another configuration; the keys that differ are listed.
        """
        folder = run.folder(self.workdir)
        if not (folder / runs.RESULTS).exists():
            return False
        config, _ = prepared(self.config(run), folder)
        return runs.finished_results(folder, config) is not None

    def steps(self, run: Run) -> int:
        """How long a run is, in passes of a batch: a step of the adaptation makes two."""
        config = presets.complete(self.config(run))
        steps = 2 * config.steps if run.kind.adapt else 0
        return steps + (config.source_steps if run.start is None else 0)

    def seconds_left(self, left: Sequence[Run], finished: Sequence[Run]) -> float | None:
        """An estimate by what finished runs took, None where there is none yet."""
        rates = []
        for run in finished:
            folder = run.folder(self.workdir)
            begun, ended = ((folder / n).stat().st_mtime for n in (runs.CONFIG, runs.RESULTS))
            if ended > begun:  # else they are copies
                rates.append((ended - begun) / self.steps(run))
        # The median: a run that was stopped seems to have taken all the time until it went on.
        return statistics.median(rates) * sum(map(self.steps, left)) if rates else None

    def _keys(self, run: Run) -> dict[str, Any]:
        return {**self.keys, **run.keys(self.workdir)}


def run_all(
    experiment: Experiment,
    planned: Sequence[Run],
    after: Callable[[], object],
    program: Sequence[str] = TRAIN,
) -> dict[Run, str]:
    """Makes all runs that are not finished.

    Args:
        experiment: what they share.
        planned: in their order.
        after: is called after each that has finished.
        program: trains, with the arguments of ``train.py``.

    Returns:
        The runs that failed, or that could not begin because another had failed, and why. Such a
        run does not keep others from being made.

    Raises:
        UserError: a finished run is one of another configuration, or somebody trains in a run.
        Stopped: a signal asked for it, or ended a run; the same call goes on.
    """
    done = [run for run in planned if experiment.finished(run)]
    left = [run for run in planned if run not in done]
    failed: dict[Run, str] = {}
    for index, run in enumerate(left):
        if run.start in failed:
            failed[run] = f"not begun: it begins from {run.start.row}"
            progress(f"{run.title}: {failed[run]}, which failed")
            continue
        expect_free(run.folder(experiment.workdir))
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
            progress(f"{run.title}: {failed[run]}; its message stands above")
    return failed


def _ending(status: int) -> str:
    """How a process failed.

    >>> _ending(-9)
    'ended by SIGKILL'
    """
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def show(experiment: Experiment, planned: Sequence[Run]) -> None:
    """Prints the command of each run, and an estimate; writes nothing.

    Raises:
        UserError: a finished run is one of another configuration.
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
    """For people.

    >>> _duration(9000)
    'about 2 h 30 min'
    """
    if seconds is None:
        return "no estimate before the first has ended"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {max(1, minutes)} min"


def _finish(command: Sequence[str]) -> int:
    """Runs a command to its end and returns its exit status; it gets the signals that we get.

    Its process group is its own: at a terminal, Ctrl-C would reach it twice, which ends it at once.

    Raises:
        Stopped: a signal asked for it; the command has ended by then.
    """
    with stopping.delayed():
        # What it prints is progress: tables alone go to the standard output.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
        try:
            with stopping.at_once():
                return process.wait()
        except stopping.Stopped:
            process.send_signal(signal.Signals[stopping.name()])
            process.wait()
            raise
