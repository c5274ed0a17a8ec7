"""Checkpoints of a training stage: orbax behind one small interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from msl_jax.errors import UserError
from msl_jax.training.state import TrainState


class Checkpoints:
    """The latest and the best checkpoint of one stage, in folders named by the step.

    Each holds the network's variables, the optimizer's state, the place of the input iterator and
    the metrics of the evaluation made at that step. A folder gets its name when it is complete.
    """

    def __init__(self, folder: str | Path) -> None:
        """Opens the checkpoints in `folder`, which need not exist yet."""
        self.folder = Path(folder).absolute()
        self._manager: ocp.CheckpointManager | None = None
        if self.folder.is_dir():
            self._open()

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            policy = preservation.AnyPreservationPolicy(
                [
                    preservation.LatestN(1),
                    preservation.BestN(get_metric_fn=_target_miou, n=1),
                ]
            )
            options = ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=_target_miou,
                # Synchronous: the next step reuses the state's memory.
                enable_async_checkpointing=False,
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            handlers = {
                "variables": ocp.StandardCheckpointHandler(),
                "optimizer": ocp.StandardCheckpointHandler(),
                "input": ocp.JsonCheckpointHandler(),
            }
            self._manager = ocp.CheckpointManager(
                self.folder, options=options, item_handlers=handlers
            )
        return self._manager

    def close(self) -> None:
        """Frees what orbax holds."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None

    @property
    def steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return [] if self._manager is None else sorted(self._manager.all_steps())

    @property
    def latest(self) -> int | None:
        """Newest step, None where there is no checkpoint."""
        return max(self.steps, default=None)

    def best(self) -> tuple[int, dict[str, Any]] | None:
        """Step and metrics of the checkpoint with the highest target mIoU."""
        if self._manager is None or not self.steps:
            return None
        step = self._manager.best_step()
        return None if step is None else (step, self._manager.metrics(step))

    def save(self, state: TrainState, input_state: Any, metrics: dict[str, Any]) -> None:
        """Keeps `state` at its step; older ones that are neither latest nor best go.

        Args:
            state: replicated state.
            input_state: place of the input iterator, JSON-able.
            metrics: ``{"target": M, ...}``, JSON-able; the mIoU in `M` decides which is best.
        """
        manager = self._open()
        manager.save(
            int(state.step),
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(state.variables),
                optimizer=ocp.args.StandardSave({"step": state.step, "state": state.opt_state}),
                input=ocp.args.JsonSave(input_state),
            ),
            metrics=metrics,
        )
        manager.wait_until_finished()

    def metrics(self, step: int) -> dict[str, Any]:
        """Metrics that were saved with `step`."""
        return self._open().metrics(step)

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, Any]:
        """State and place of the input iterator at `step`; `like` gives the structure."""
        manager = self._open()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        restored = manager.restore(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardRestore(abstract.variables),
                optimizer=ocp.args.StandardRestore(
                    {"step": abstract.step, "state": abstract.opt_state}
                ),
                input=ocp.args.JsonRestore(),
            ),
        )
        state = TrainState(
            step=restored.optimizer["step"],
            params=restored.variables["params"],
            batch_stats=restored.variables["batch_stats"],
            opt_state=restored.optimizer["state"],
        )
        return state, restored.input


def write_tree(folder: Path, tree: Any) -> None:
    """Writes a tree of arrays into a folder of its own, which does not exist yet."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), tree)


def read_tree(folder: Path) -> Any:
    """Reads a tree of arrays with the shapes and dtypes it was saved with.

    Args:
        folder: written by `write_tree`, or ``STAGE/STEP/variables`` of a `Checkpoints`.

    Raises:
        UserError: damaged or incomplete.
    """
    handler = ocp.StandardCheckpointHandler()  # a checkpointer would warn about a manager's folder
    try:
        saved = handler.metadata(folder.absolute()).tree
        abstract = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), saved)
        return handler.restore(folder.absolute(), args=ocp.args.StandardRestore(abstract))
    except Exception as error:  # orbax and tensorstore raise nearly anything on damaged files
        raise UserError(
            f"checkpoint {folder} is damaged or incomplete ({type(error).__name__}); copy it again"
            " or take another"
        ) from error
    finally:
        handler.close()


def _target_miou(metrics: dict[str, Any]) -> float:
    """What decides which is best; in 16-class runs the 13-class mIoU, as in the official code."""
    target = metrics["target"]
    return target.get("miou_13", target["miou"])
