"""Checkpoints of a training stage: orbax behind one small interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from flax.traverse_util import unflatten_dict
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from msl_jax import parallel
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
                create=False,
                multiprocessing_options=parallel.alone(),
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
        """Step and metrics of the checkpoint with the highest mIoU on a target with labels."""
        if self._manager is None or not self.steps:
            return None
        step = self._manager.best_step()
        metrics = None if step is None else self._manager.metrics(step)
        return (step, metrics) if metrics and metrics["target"] else None

    def save(self, state: TrainState, input_state: Any, metrics: dict[str, Any]) -> None:
        """Keeps `state` at its step; older ones that are neither latest nor best go.

        All processes call it, process 0 writes; it returns when the checkpoint is complete.

        Args:
            state: replicated state.
            input_state: place of the input iterator, JSON-able.
            metrics: ``{"target": M, ...}``, JSON-able; the mIoU in `M` decides which is best.
        """

        def write() -> None:
            # On the host: with several processes orbax refuses the devices' arrays of one of them.
            kept = jax.device_get(state)
            manager = self._open()
            manager.save(
                int(kept.step),
                args=ocp.args.Composite(
                    variables=ocp.args.StandardSave(kept.variables),
                    optimizer=ocp.args.StandardSave({"step": kept.step, "state": kept.opt_state}),
                    input=ocp.args.JsonSave(input_state),
                ),
                metrics=metrics,
            )
            manager.wait_until_finished()

        parallel.by_first(write)

    def metrics(self, step: int) -> dict[str, Any]:
        """Metrics that were saved with `step`."""
        return self._open().metrics(step)

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, Any]:
        """State and place of the input iterator at `step`; `like` gives the structure.

        Raises:
            UserError: the checkpoint is damaged.
        """
        folder = self.folder / str(step)
        like_optimizer = {"step": like.step, "state": like.opt_state}
        variables = _arrays_like(like.variables, folder / "variables")
        optimizer = _arrays_like(like_optimizer, folder / "optimizer")
        state = TrainState(
            step=optimizer["step"],
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            opt_state=optimizer["state"],
        )
        args = ocp.args.Composite(input=ocp.args.JsonRestore())
        return state, self._open().restore(step, args=args).input


def write_tree(folder: Path, tree: Any) -> None:
    """Writes a tree of arrays into a folder of its own, which does not exist yet.

    Raises:
        OSError: the disk is full or the like.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(folder.absolute(), tree)
    except Exception as error:  # orbax and tensorstore have their own for each of the system's
        raise OSError(f"{folder}: cannot be written ({error})") from error


def read_tree(folder: Path) -> Any:
    """Reads nested dicts of arrays with the shapes and dtypes they were saved with.

    Args:
        folder: written by `write_tree`, or ``STAGE/STEP/variables`` of a `Checkpoints`.

    Raises:
        UserError: damaged or incomplete.
    """
    return unflatten_dict(_read_arrays(folder))


def _arrays_like(like: Any, folder: Path) -> Any:
    """Arrays that orbax wrote, in the structure of `like`.

    Raises:
        UserError: damaged, or of another structure.
    """
    found = _read_arrays(folder)
    try:
        # Copies: the next step reuses the state's memory, which must not be NumPy's.
        return jax.tree.map(jnp.array, ocp.tree.from_flat_dict(found, target=like))
    except (KeyError, ValueError) as error:
        raise UserError(f"checkpoint {folder} belongs to another network ({error})") from error


def _read_arrays(folder: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Arrays that orbax wrote, by their paths.

    Not by orbax's own reading: where one array is damaged, it closes the event loop that the
    arrays still on their way report to, and each of them prints an error, whenever it comes.

    Raises:
        UserError: damaged or incomplete.
    """
    try:
        metadata = json.loads((folder / "_METADATA").read_text())
        kind = "zarr3" if metadata["use_zarr3"] else "zarr"
        opening = {}
        for entry in metadata["tree_metadata"].values():
            path = tuple(key["key"] for key in entry["key_metadata"])
            if not entry["value_metadata"]["skip_deserialize"]:  # an empty branch
                spec = _storage(folder, kind, ".".join(path))
                opening[path] = tensorstore.open(spec, open=True, read=True)
        # All at once: each future starts when it is made.
        reading = {path: store.result().read() for path, store in opening.items()}
        return {path: array.result() for path, array in reading.items()}
    except Exception as error:  # tensorstore raises nearly anything on damaged files
        raise UserError(
            f"checkpoint {folder} is damaged or incomplete ({type(error).__name__}); copy it again"
            " or take another"
        ) from error


def _storage(folder: Path, kind: str, name: str) -> dict[str, Any]:
    """Where tensorstore finds an array that orbax wrote."""
    base = {"driver": "file", "path": f"{folder.absolute()}/"}
    return {
        "driver": kind,
        "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"},
        "fill_missing_data_reads": False,  # an array that lacks a part is damaged, not zero there
    }


def _target_miou(metrics: dict[str, Any]) -> float:
    """What decides which is best; in 16-class runs the 13-class mIoU, as in the official code."""
    target = metrics["target"]
    return target.get("miou_13", target["miou"]) if target else 0.0
