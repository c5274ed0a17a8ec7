"""Checkpoints of a training stage: whole ones only, with something to fall back to."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msl_jax.runs import checksums
from msl_jax.runs.arrays import read_like, write_tree
from msl_jax.runs.metrics import deciding
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import remove_partial, remove_whole, written_whole
from msl_jax.training.state import TrainState

VARIABLES, OPTIMIZER = "variables", "optimizer"
INPUT, METRICS, BEST = "input/metadata", "metrics/metrics", "metrics/best"
KEPT = 2  # one to fall back to where the latest is damaged
# In the folders of orbax's CheckpointManager, which wrote them before they had checksums.
_WITHOUT_CHECKSUMS = "_CHECKPOINT_METADATA"


class Checkpoints:
    """The latest two and the best checkpoint of one stage, or more, in folders named by the step.

    Each holds the network's variables, the optimizer's state, the place of the input iterator, the
    metrics of the evaluation made at that step and those of the best one so far, and checksums of
    all its files. A folder gets its name when it is complete and on the disk. Three of them, and a
    fourth while it is written, are all the room that a stage takes, unless more are to stay.
    """

    def __init__(self, folder: str | Path, *, keep_every: int = 0) -> None:
        """Looks at the checkpoints in `folder`, which need not exist yet.

        Args:
            folder: of the stage.
            keep_every: those at multiples of this number of steps stay too; 0 for none.
        """
        self.folder = Path(folder).absolute()
        self._keep_every = keep_every

    @property
    def steps(self) -> list[int]:
        """Steps that have a checkpoint, whole or damaged, ascending."""
        if not self.folder.is_dir():
            return []
        names = (path.name for path in self.folder.iterdir())
        return sorted(int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name))

    @property
    def latest(self) -> int | None:
        """Newest step, None where there is no checkpoint."""
        return max(self.steps, default=None)

    def whole(self) -> list[int]:
        """Steps whose checkpoints pass `check`, ascending."""
        found = []
        for step in self.steps:
            with contextlib.suppress(DamagedError):
                self.check(step)
                found.append(step)
        return found

    def check(self, step: int) -> None:
        """Compares the files of a checkpoint with its checksums.

        Of a checkpoint from before there were checksums only reading the arrays will tell.

        Raises:
            DamagedError: files are missing or have changed.
        """
        folder = self._at(step)
        if (folder / checksums.NAME).exists() or not (folder / _WITHOUT_CHECKSUMS).exists():
            checksums.check(folder)
        else:
            for name in (INPUT, METRICS):
                self._read(step, name)

    def best(self) -> tuple[int, dict[str, Any]] | None:
        """Step and metrics of the evaluation that is best on a target with labels.

        The latest checkpoint knows it, so that damage to an older one does not change the answer.
        """
        latest = self.latest
        if latest is None:
            return None
        if (self._at(latest) / BEST).exists():
            found = self._read(latest, BEST)
            return found and (found["step"], found["metrics"])
        best = None  # from before it was kept: of those that are left
        for step in self.steps:
            with contextlib.suppress(DamagedError):
                best = _better(best, (step, self.metrics(step)))
        return best

    def save(self, state: TrainState, input_state: Any, metrics: dict[str, Any]) -> None:
        """Keeps `state` at its step; older ones that need not stay go.

        Args:
            state: replicated state.
            input_state: place of the input iterator, JSON-able.
            metrics: ``{"target": M, ...}``, JSON-able; `deciding` finds in `M` which is best.

        Raises:
            UserError: an array is not finite, or the files cannot be written. Nothing is kept of
                this step then, and the older checkpoints stay.
        """
        step = int(state.step)
        trees = jax.device_get(
            {
                VARIABLES: state.variables,
                OPTIMIZER: {"step": state.step, "state": state.opt_state},
            }
        )
        _expect_finite(step, trees)
        best = _better(self.best(), (step, metrics))
        known = best and {"step": best[0], "metrics": best[1]}
        try:
            self.folder.mkdir(exist_ok=True)  # not its parents: a lost workdir is not made anew
            self._remove_leftovers()
            with written_whole(self._at(step)) as partial:
                partial.mkdir()
                for name, tree in trees.items():
                    write_tree(partial / name, tree)
                for name, value in ((INPUT, input_state), (METRICS, metrics), (BEST, known)):
                    (partial / name).parent.mkdir(exist_ok=True)
                    (partial / name).write_text(json.dumps(value))
                checksums.write(partial)
        except OSError as error:
            raise self._cannot_write(step, error) from error
        for old in set(self.steps[:-KEPT]) - {best and best[0]}:
            if self._keep_every and old % self._keep_every == 0:
                continue
            with contextlib.suppress(OSError):  # the next save tries again
                remove_whole(self._at(old))

    def metrics(self, step: int) -> dict[str, Any]:
        """Metrics that were saved with `step`."""
        return self._read(step, METRICS)

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, Any]:
        """State and place of the input iterator at `step`; `like` gives the structure.

        Raises:
            DamagedError: the checkpoint is damaged.
            UserError: it belongs to another network.
        """
        self.check(step)
        folder = self._at(step)
        variables = read_like(folder / VARIABLES, like.variables)
        optimizer = read_like(folder / OPTIMIZER, {"step": like.step, "state": like.opt_state})
        state = TrainState(
            step=optimizer["step"],
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            opt_state=optimizer["state"],
        )
        return state, self._read(step, INPUT)

    def restore_newest(self, like: TrainState) -> tuple[TrainState, Any] | None:
        """What `restore` gives of the newest whole checkpoint, None where there is none at all.

        Newer ones, which are damaged, are renamed to make room for those that training will write
        again. A line on stderr says so.

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
                print(f"{reason}; kept as {aside.name}, going on from step {step}", file=sys.stderr)
            return restored
        if damaged:
            reasons = "\n".join(f"  {error}" for error in damaged.values())
            raise UserError(
                f"no whole checkpoint is left in {self.folder}:\n{reasons}\nNothing has been"
                " changed. Copy one of them there again, or move the folder away to train this"
                " stage from its beginning; then give the same command."
            )
        return None

    def _at(self, step: int) -> Path:
        return self.folder / str(step)

    def _read(self, step: int, name: str) -> Any:
        try:
            return json.loads((self._at(step) / name).read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise DamagedError(f"checkpoint {self._at(step)} is damaged ({name})") from error

    def _cannot_write(self, step: int, error: OSError) -> UserError:
        workdir = self.folder.parent
        if not workdir.is_dir():
            return UserError(f"{workdir} is gone, so nothing can be kept of step {step}")
        return UserError(
            f"checkpoint {self._at(step)} cannot be written ({error.strerror or error}); the older"
            " ones are kept, and the same command continues from them once that is mended"
        )

    def set_aside(self, step: int) -> Path:
        """Renames a checkpoint to ``STEP.damaged``, with a number where that exists; returns it."""
        aside = self._at(step).with_suffix(".damaged")
        for count in itertools.count(2):
            if not aside.exists():
                break
            aside = self._at(step).with_suffix(f".damaged-{count}")
        return self._at(step).rename(aside)

    def _remove_leftovers(self) -> None:
        """Removes what savings that were killed have left."""
        remove_partial(self.folder)
        for path in self.folder.glob("*.orbax-checkpoint-tmp*"):  # of orbax's CheckpointManager
            shutil.rmtree(path, ignore_errors=True)


def _expect_finite(step: int, trees: Any) -> None:
    """Looks at the very arrays that are to be written.

    Raises:
        UserError: one of them holds values that are not finite.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        if not np.isfinite(leaf).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(
                f"{name} is not finite at step {step}. The last checkpoint is kept. Start again in"
                " another --workdir with a lower config.learning_rate or"
                " config.source_learning_rate; --config.debug=true names the operation."
            )


def _better(
    old: tuple[int, dict[str, Any]] | None, new: tuple[int, dict[str, Any]]
) -> tuple[int, dict[str, Any]] | None:
    """The one of two evaluations, step and metrics, that is better on a target with labels."""
    if not new[1]["target"]:
        return old
    if old is None:
        return new
    before, after = (deciding(metrics["target"]).value for _, metrics in (old, new))
    return new if after >= before else old
