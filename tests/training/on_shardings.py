"""One step in each way of dividing a batch over 2 and 4 devices, in a process that has four.

python tests/training/on_shardings.py RESULTS.npz
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from on_devices import batch, named
from test_objective_step import MODEL, MULTI, _optimizer, _variables

from msl_jax.methods.segmentation import forward, passes
from msl_jax.methods.teacher import TEACHER, following
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context, TrainStep, parallel, train_step

COUNTS = (2, 4)
# By name, whether `jax.shard_map` checks what varies, and the kind of the mesh's axis.
SHARD_MAPS = {
    "shard_map": (True, AxisType.Auto),
    "shard_map, explicit mesh": (True, AxisType.Explicit),
    "shard_map, unchecked": (False, AxisType.Auto),
}
# A step whose carried state and statistics go from micro-batch to micro-batch.
TEACHING = "a teacher and micro-batches, "


def state() -> TrainState:
    variables, teacher = (jax.tree.map(jax.numpy.array, _variables()) for _ in range(2))
    return TrainState.create(variables, _optimizer(), {TEACHER: dict(teacher)})


def _prepare(batch: Any, context: Context) -> tuple[Any, Any]:
    """A teacher that sees the target images: its statistics differ from device to device."""
    teacher = context.carried[TEACHER]
    images = batch["target"]["image"]
    *_, stats = forward(MODEL, True, teacher["params"], teacher["batch_stats"], images)
    return batch, {TEACHER: {**teacher, "batch_stats": stats}}


def on_device(axis_name: str | None, *, teaching: bool = False) -> TrainStep:
    terms = passes(MODEL, MULTI, adapt=True, axis_name=axis_name)
    options: dict[str, Any] = {}
    if teaching:
        carry = following(0.5, axis_name=axis_name)
        options = {"prepare": _prepare, "carry": carry, "accumulate": 2}
    return functools.partial(train_step, terms, _optimizer(), axis_name=axis_name, **options)


def mapped(count: int, name: str, *, teaching: bool = False) -> Any:
    """What `jax.shard_map` makes of the step and the whole batch `[count * BATCH, ...]`."""
    check, kind = SHARD_MAPS[name]
    mesh = jax.make_mesh((count,), (AXIS,), axis_types=(kind,), devices=jax.devices()[:count])
    step = jax.shard_map(
        on_device(AXIS, teaching=teaching),
        mesh=mesh,
        in_specs=(P(), P(AXIS)),
        out_specs=(P(), P()),
        check_vma=check,
    )
    with jax.set_mesh(mesh):
        return jax.jit(step)(*_placed(mesh, whole(count)))


def sharded(count: int, kind: AxisType) -> Any:
    """What `jax.jit` makes of the step and a sharded batch."""
    mesh = jax.make_mesh((count,), (AXIS,), axis_types=(kind,), devices=jax.devices()[:count])
    with jax.set_mesh(mesh):
        return jax.jit(on_device(None))(*_placed(mesh, whole(count)))


def _placed(mesh: Any, batch: Any) -> tuple[TrainState, Any]:
    everywhere, divided = (NamedSharding(mesh, spec) for spec in (P(), P(AXIS)))
    return jax.device_put(state(), everywhere), jax.device_put(batch, divided)


def whole(count: int) -> Any:
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), batch(count, 0))


def main(path: str) -> None:
    results: dict[str, np.ndarray] = {}
    for count in COUNTS:
        found = {
            "pmap": parallel(on_device(AXIS))(state(), batch(count, 0)),
            **{name: mapped(count, name) for name in SHARD_MAPS},
            "one device": jax.jit(on_device(None))(state(), whole(count)),
            "jit": sharded(count, AxisType.Auto),
        }
        for name, result in found.items():
            results |= named(*result, f"{count}, {name}")
    taught = {
        "pmap": parallel(on_device(AXIS, teaching=True))(state(), batch(2, 0)),
        **{name: mapped(2, name, teaching=True) for name in SHARD_MAPS},
    }
    for name, result in taught.items():
        results |= named(*result, f"2, {TEACHING}{name}")
    try:
        sharded(2, AxisType.Explicit)
    except ValueError as error:
        results["refused"] = np.asarray(str(error))
    np.savez(path, **results)


if __name__ == "__main__":
    with jax.enable_x64(True):
        main(sys.argv[1])
