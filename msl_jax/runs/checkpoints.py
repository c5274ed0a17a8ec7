"""Checkpoints of a training stage: complete or not there, with others to fall back on."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msl_jax.runs import checksums
from msl_jax.runs.arrays import read_like, write_tree
from msl_jax.runs.metrics import are_metrics, selection_metric
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import atomic_remove, atomic_write, read_text, remove_partial
from msl_jax.runtime.paths import storable
from msl_jax.training.state import TrainState

VARIABLES, OPTIMIZER = "variables", "optimizer"
INPUT, METRICS, BEST = "input/metadata", "metrics/metrics", "metrics/best"
_MOST_EXAMPLES = 2**60  # which no run reads
KEPT = 2  # one to fall back on if the latest is damaged


class Checkpoints:
    """The latest two checkpoints of a stage and the best one, in folders named by their steps.

    Each holds the network's variables, the rest of the training state, the position of the input
    iterator, the metrics of the evaluation at that step, those of the best one so far, and
    checksums of all its files. A folder gets its name when it is complete and on the disk. A stage
    takes the room of three checkpoints, and of a fourth while it is written, unless `keep_every`
    keeps more.
    """

    def __init__(self, folder: str | Path, *, keep_every: int = 0) -> None:
        """Writes nothing; `folder` need not exist yet.

        Args:
            folder: of the stage.
            keep_every: checkpoints at multiples of this number of steps are kept too; 0 for none.

        Raises:
            UserError: arrays cannot be stored at this path.
        """
        self.folder = storable(folder, "checkpoint")
        self._keep_every = keep_every

    @property
    def steps(self) -> list[int]:
        """Steps that have a checkpoint, intact or damaged, ascending."""
        if not self.folder.is_dir():
            return []
        names = (path.name for path in self.folder.iterdir())
        return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name))

    @property
    def latest(self) -> int | None:
        """Newest step, None if there is no checkpoint."""
        return max(self.steps, default=None)

    def intact(self) -> list[int]:
        """Steps whose checkpoints pass `check`, ascending."""
        found = []
        for step in self.steps:
            with contextlib.suppress(DamagedError):
                self.check(step)
                found.append(step)
        return found

    def check(self, step: int) -> None:
        """Compares the files of a checkpoint with its checksums.

        Raises:
            DamagedError: files are missing or have changed.
        """
        checksums.check(self._at(step))

    def check_best(self) -> None:
        """Compares the file that `best` reads with its checksum.

        Raises:
            DamagedError: it is missing or has changed.
        """
        if self.latest is not None:
            checksums.check(self._at(self.latest), BEST)

    def best(self) -> tuple[int, dict[str, Any]] | None:
        """Step and metrics of the evaluation with the best result on the target, if labelled.

        They are read from the latest checkpoint, so damage to an older one does not change them.

        Raises:
            DamagedError: they are something else.
        """
        latest = self.latest
        if latest is None:
            return None
        found = self._read(latest, BEST)
        if found is None:
            return None
        # A stranger's file may name any folder.
        if isinstance(found, dict) and type(found.get("step")) is int:
            metrics = self._expect_metrics(latest, BEST, found.get("metrics"))
            if metrics["target"] is not None:
                return found["step"], metrics
        raise DamagedError(f"checkpoint {self._at(latest)} is damaged ({BEST}: not a step)")

    def save(self, state: TrainState, input_state: Any, metrics: dict[str, Any]) -> None:
        """Writes the checkpoint of a state; deletes older ones that are not to be kept.

        Args:
            state: replicated state.
            input_state: position of the input iterator, ``{"examples": number}``.
            metrics: ``{"target": M, ...}``, JSON-able; the best one has the highest
                `selection_metric` of M.

        Raises:
            UserError: an array is not finite, or the files cannot be written. Then nothing of this
                step is kept, and the older checkpoints remain.
        """
        step = int(state.step)
        trees = jax.device_get({VARIABLES: state.variables, OPTIMIZER: state.rest})
        _expect_finite(step, trees, kept=self.latest is not None)
        best = _better(self.best(), (step, metrics))
        known = best and {"step": best[0], "metrics": best[1]}
        try:
            self.folder.mkdir(exist_ok=True)  # not its parents: a lost workdir stays lost
            remove_partial(self.folder)  # of processes that were killed
            with atomic_write(self._at(step)) as partial:
                partial.mkdir()
                for name, tree in trees.items():
                    write_tree(partial / name, tree)
                for name, value in ((INPUT, input_state), (METRICS, metrics), (BEST, known)):
                    (partial / name).parent.mkdir(exist_ok=True)
                    (partial / name).write_text(json.dumps(value))
                checksums.write(partial)
        except OSError as error:
            raise self._cannot_write(step, error) from error
        self.remove_old()

    def remove_old(self) -> None:
        """Removes the checkpoints that are not to be kept, and what killed processes have left.

        A process alone in the run calls it after each save, and when it takes up the stage.

        Raises:
            DamagedError: the newest checkpoint, which says which one is best, cannot be read. Then
                nothing is removed.
        """
        best = self.best()
        remove_partial(self.folder)
        for old in set(self.steps[:-KEPT]) - {best and best[0]}:
            if self._keep_every and old % self._keep_every == 0:
                continue
            with contextlib.suppress(OSError):  # the next save tries again
                self.remove(old)

    def remove(self, step: int) -> None:
        """Removes a checkpoint.

        Raises:
            OSError: it cannot be renamed, which comes first.
        """
        atomic_remove(self._at(step))

    def metrics(self, step: int) -> dict[str, Any]:
        """The metrics saved at `step`.

        Raises:
            DamagedError: they are something else.
        """
        return self._expect_metrics(step, METRICS, self._read(step, METRICS))

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, Any]:
        """State and position of the input iterator at `step`; `like` gives the structure.

        Raises:
            DamagedError: the checkpoint is damaged.
            UserError: it belongs to another network.
        """
        self.check(step)
        folder = self._at(step)
        variables = read_like(folder / VARIABLES, like.variables)
        rest = read_like(folder / OPTIMIZER, like.rest)
        return dataclasses.replace(like, **variables, **rest), self._position(step)

    def restore_newest(self, like: TrainState) -> tuple[TrainState, Any] | None:
        """Restores the newest intact checkpoint; None if there is none at all.

        Newer ones, which are damaged, are renamed, since training will write them again. A line on
        stderr says so.

        Raises:
            UserError: all are damaged, or they belong to another network. Nothing is changed.
        """
        damaged: dict[int, DamagedError] = {}
        for step in reversed(self.steps):
            try:
                restored = self.restore(step, like)
            except DamagedError as error:
                damaged[step] = error
                continue
            for newer, reason in damaged.items():
                aside = self.set_aside(newer)
                print(f"{reason}; kept as {aside.name}, resuming from step {step}", file=sys.stderr)
            return restored
        if damaged:
            reasons = "\n".join(f"  {error}" for error in damaged.values())
            raise UserError(
                f"no intact checkpoint is left in {self.folder}:\n{reasons}\nNothing has been"
                " changed. Copy one of them there again, or move the folder away to train this"
                " stage from its beginning; then run the same command."
            )
        return None

    def _at(self, step: int) -> Path:
        return self.folder / str(step)

    def _read(self, step: int, name: str) -> Any:
        try:
            return json.loads(read_text(self._at(step) / name))
        except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError) as error:
            raise DamagedError(f"checkpoint {self._at(step)} is damaged ({name})") from error

    def _position(self, step: int) -> dict[str, Any]:
        """Position of the input iterator, which is empty where nothing has been read."""
        found = self._read(step, INPUT)
        examples = found.get("examples", 0) if isinstance(found, dict) else None
        if type(examples) is not int or not 0 <= examples < _MOST_EXAMPLES:
            raise DamagedError(f"checkpoint {self._at(step)} is damaged ({INPUT}: no position)")
        return found

    def _expect_metrics(self, step: int, name: str, found: Any) -> dict[str, Any]:
        """Checks that metrics of a file are such as `save` takes."""
        if not are_metrics(found):
            raise DamagedError(f"checkpoint {self._at(step)} is damaged ({name}: not metrics)")
        return found

    def _cannot_write(self, step: int, error: OSError) -> UserError:
        workdir = self.folder.parent
        if not workdir.is_dir():
            return UserError(f"{workdir} is gone, so the checkpoint of step {step} is lost")
        return UserError(
            f"checkpoint {self._at(step)} cannot be written ({error.strerror or error}); the older"
            " ones are kept, and the same command continues from them once that is fixed"
        )

    def set_aside(self, step: int) -> Path:
        """Renames a checkpoint to ``STEP.damaged``, or ``STEP.damaged-2`` and so on; returns it."""
        aside = self._at(step).with_suffix(".damaged")
        for count in itertools.count(2):
            if not aside.exists():
                break
            aside = self._at(step).with_suffix(f".damaged-{count}")
        return self._at(step).rename(aside)


def _expect_finite(step: int, trees: Any, *, kept: bool) -> None:
    """Checks the very arrays that will be written; `kept`: whether there are earlier ones.

    Raises:
        UserError: one of them has values that are not finite.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        if not np.isfinite(leaf).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            last = "The last checkpoint is kept. " if kept else ""
            raise UserError(
                f"{name} is not finite at step {step}. {last}Start again in"
                " another --workdir with a lower config.learning_rate or"
                " config.source_learning_rate; --config.debug=true names the first such operation."
            )


def _better(
    old: tuple[int, dict[str, Any]] | None, new: tuple[int, dict[str, Any]]
) -> tuple[int, dict[str, Any]] | None:
    """The better of two evaluations (step and metrics), where the target was measured."""
    if not new[1]["target"]:
        return old
    after = selection_metric(new[1]["target"]).value
    if after is None or old is None:
        return old if after is None else new
    before = selection_metric(old[1]["target"]).value
    return new if before is None or after >= before else old
