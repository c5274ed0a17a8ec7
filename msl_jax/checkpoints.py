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
            metrics: ``{"target": M, ...}``, JSON-able; `M["miou"]` decides which is best.
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

    def restore_variables(self, step: int, like: Any) -> Any:
        """The network's variables at `step`.

        Raises:
            UserError: they are those of another network than `like`; lists what differs.
        """
        manager = self._open()
        expected = _shapes(like)
        try:
            found = _shapes(manager.item_metadata(step).variables)
        except Exception as error:
            raise self._damaged(step, error) from error
        if found != expected:
            raise UserError(_mismatch(self.folder / str(step), expected, found))
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(variables=ocp.args.StandardRestore(abstract))
        try:
            return manager.restore(step, args=args).variables
        except Exception as error:
            raise self._damaged(step, error) from error

    def _damaged(self, step: int, error: Exception) -> UserError:
        return UserError(
            f"checkpoint {self.folder / str(step)} is damaged or incomplete"
            f" ({type(error).__name__}); copy it again or take another"
        )


def _target_miou(metrics: dict[str, Any]) -> float:
    return metrics["target"]["miou"]


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    tree = getattr(tree, "tree", tree)
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(key.key) for key in path): tuple(leaf.shape) for path, leaf in leaves}


def _mismatch(path: Path, expected: dict[str, Any], found: dict[str, Any]) -> str:
    """One message that lists every difference between two networks, at most ten of a kind."""

    def listing(title: str, lines: list[str]) -> list[str]:
        more = [f"    ... and {len(lines) - 10} more"] if len(lines) > 10 else []
        return [f"  {title}:", *(f"    {line}" for line in lines[:10]), *more] if lines else []

    both = sorted(expected.keys() & found.keys())
    shapes = [f"{k}: expected {expected[k]}, found {found[k]}" for k in both]
    shapes = [line for k, line in zip(both, shapes, strict=True) if expected[k] != found[k]]
    return "\n".join(
        [
            f"checkpoint {path} holds another network than the configuration describes.",
            *listing("missing in the checkpoint", sorted(expected.keys() - found.keys())),
            *listing("left over in the checkpoint", sorted(found.keys() - expected.keys())),
            *listing("of another shape", shapes),
            "Set config.model.* and config.num_classes as they were in training (its config.json"
            " lists them).",
        ]
    )
