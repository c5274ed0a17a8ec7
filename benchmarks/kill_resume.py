"""Kills a training run again and again, and compares its outcome with that of an undisturbed run.

    python -m benchmarks.kill_resume --kills 20

Trains once without interruption and once more as a control, which shows how long a run takes and
that two runs are equal. Then starts the same command in another folder, kills it (SIGKILL) at a
random time, restarts it, and so on until it finishes; then moves on to the next folder, until the
number of kills is reached. Some kills wait until a checkpoint is being written. Without `--config`
it trains on the demo with fewer steps.

Prints one JSON object: when each kill happened, and for each run what is bit-identical to the run
without interruption. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.support.measuring import compilation_cache, progress
from benchmarks.support.reporting import at_least_one, surroundings
from benchmarks.support.training_process import TrainingProcess
from msl_jax.runs.arrays import read_tree

SHORT_DEMO = ("source_steps=40", "steps=40", "eval_every=8", "log_every=2")

_STAGES = ("source", "adapt")
_FILES = ("config.json", "config_as_given.json", "source_only.json", "results.json")
_SAVING = 0.3  # seconds within which a checkpoint of the demo is written


def identical(expected: Path, found: Path) -> dict[str, bool]:
    """What is identical in two workdirs, by its name."""
    same = {name: _bytes(expected / name) == _bytes(found / name) for name in _FILES}
    pictures = sorted(path.relative_to(expected) for path in expected.glob("pictures/*"))
    same["pictures"] = all(_bytes(expected / name) == _bytes(found / name) for name in pictures)
    same["labels"] = _labels(expected) == _labels(found)
    steps = _checkpoints(expected)
    same["checkpoints"] = steps == _checkpoints(found)
    for item, read in {
        "parameters": lambda folder: read_tree(folder / "variables")["params"],
        "statistics": lambda folder: read_tree(folder / "variables")["batch_stats"],
        "optimizer": lambda folder: read_tree(folder / "optimizer"),
        "input": lambda folder: _contents(folder / "input"),
        "metrics": lambda folder: _contents(folder / "metrics"),
    }.items():
        same[item] = same["checkpoints"] and all(
            _identical(read(expected / step), read(found / step)) for step in steps
        )
    return same


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _labels(workdir: Path) -> dict[Path, bytes]:
    """All files of the labels of a run in rounds."""
    files = [path for path in workdir.glob("labels/**/*") if path.is_file()]
    return {path.relative_to(workdir): path.read_bytes() for path in files}


def _checkpoints(workdir: Path) -> list[str]:
    folders = [path for stage in _STAGES for path in (workdir / stage).glob("*")]
    return sorted(str(path.relative_to(workdir)) for path in folders)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _identical(a: Any, b: Any) -> bool:
    a, b = flatten_dict(a), flatten_dict(b)
    if list(a) != list(b):
        return False
    leaves = ([np.asarray(leaf) for leaf in tree.values()] for tree in (a, b))
    pairs = zip(*leaves, strict=True)
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in pairs)


class Trainings:
    """Runs of one command in several folders."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        """Sets up runs that share compiled programs; nothing is started yet.

        Args:
            arguments: of `train.py`, without the workdir.
            folder: for everything that is written.
        """
        self._arguments, self.folder = arguments, folder
        self._environment = compilation_cache(folder / "compilation")

    def start(self, name: str) -> TrainingProcess:
        """Starts or continues a run."""
        workdir = f"--workdir={self.folder / name}"
        return TrainingProcess([*self._arguments, workdir], self._environment)

    def finish(self, name: str) -> float:
        """Runs to the end; returns how many seconds that took."""
        with self.start(name) as process:
            process.expect_success(process.wait())
            return time.monotonic() - process.started

    def kill(self, name: str, seconds: float, *, saving: float | None) -> dict[str, Any] | None:
        """Starts a run and kills it; returns when that happened, None if it had already finished.

        Args:
            name: of the run.
            seconds: from the start to the kill.
            saving: if given, then waits for the next checkpoint, and these seconds more.
        """
        begun = time.time()
        with self.start(name) as process:
            status = process.wait(seconds)
            while saving is not None and status is None and not self._unfinished(name, begun):
                status = process.wait(0.001)
            if saving is not None and status is None:
                status = process.wait(saving)
            if status is not None:
                process.expect_success(status)
                return None
        last = process.progress[-1] if process.progress else None
        return {
            "run": name,
            "after_seconds": round(time.monotonic() - process.started, 3),
            "stage": last and last.stage,
            "after_step": last and last.step,
            "while_saving": self._unfinished(name, begun),
        }

    def _unfinished(self, name: str, since: float) -> bool:
        """Whether there is an unfinished checkpoint that was started after a given time."""
        for stage in _STAGES:
            for path in (self.folder / name / stage).glob("*"):
                try:
                    if not path.name.isdigit() and path.stat().st_mtime > since:
                        return True
                except FileNotFoundError:  # it has just been renamed
                    pass
        return False


def measure(
    arguments: Sequence[str],
    folder: Path,
    *,
    kills: int,
    seed: int = 0,
    aimed: float = 0.4,
    control: bool = True,
) -> dict[str, Any]:
    """Does all of this and returns the JSON object.

    Args:
        arguments: of `train.py`, without the workdir.
        folder: empty; the runs' workdirs are created in it.
        kills: number of kills.
        seed: for their times.
        aimed: share of kills that wait until a checkpoint is being written.
        control: train a second time without interruption.
    """
    begun, random_numbers = time.monotonic(), random.Random(seed)
    trainings = Trainings(arguments, folder)
    whole = trainings.finish("whole")
    progress(f"without interruption: {whole:.1f} s")
    runs: dict[str, Mapping[str, bool]] = {}
    if control:
        whole = trainings.finish("control")
        runs["control"] = identical(folder / "whole", folder / "control")
        progress(f"control: {whole:.1f} s")
    fallen: list[dict[str, Any]] = []
    while len(fallen) < kills:
        name = f"run{len(runs)}"
        ended = False
        while not ended and len(fallen) < kills:
            waits = random_numbers.random() < aimed
            kill = trainings.kill(
                name,
                random_numbers.uniform(0, whole),
                saving=random_numbers.uniform(0, _SAVING) if waits else None,
            )
            ended = kill is None
            if kill is not None:
                fallen.append(kill)
                progress(f"kill {len(fallen)}: {kill}")
        if not ended:
            trainings.finish(name)
        runs[name] = identical(folder / "whole", folder / name)
        progress(f"{name}: {'identical' if all(runs[name].values()) else runs[name]}")
    return {
        "benchmark": "kill_resume",
        "identical": all(all(same.values()) for same in runs.values()),
        "kills": len(fallen),
        "while_saving": sum(kill["while_saving"] for kill in fallen),
        "runs": runs,
        "fallen": fallen,
        "seconds": time.monotonic() - begun,
        "seconds_of_a_run": whole,
        "sizes": {"arguments": list(arguments), "seed": seed},
        **surroundings(("jax", "orbax-checkpoint", "grain", "numpy")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill_resume",
        description="Kills a training run at random times and compares it with an undisturbed one.",
    )
    parser.add_argument("--kills", type=at_least_one, default=20, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="for the times of the kills")
    parser.add_argument("--config", metavar="FILE[:VARIANT]", help="default: the demo, shortened")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the configuration"
    )
    parser.add_argument(
        "--folder", type=Path, help="an empty one, which is kept; default: a temporary one"
    )
    options = parser.parse_args(arguments)
    if options.folder and options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"--folder {options.folder} is not empty")
    keys = options.set if options.config else [*SHORT_DEMO, *options.set]
    training = [f"--config={options.config}"] if options.config else []
    training += [f"--config.{key}" for key in keys]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report = measure(training, folder, kills=options.kills, seed=options.seed)
    print(json.dumps(report))
    return 0 if report["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
