"""Two steps on 1, 2 and 4 devices, to be run in a process that has four.

python tests/training/on_devices.py RESULTS.npz
"""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np
from test_objective_step import BATCH, CLASSES, MODEL, MULTI, SIZE, _optimizer, _variables

from msl_jax.losses import IGNORE
from msl_jax.methods.segmentation import passes
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step

STEPS = 2
COUNTS = (1, 2, 4)
# Labels without any ignored pixel, with ignored pixels alone, and in between.
IGNORED = (0.0, 1.0, 0.1, 0.8)


def batch(count: int, step: int) -> dict[str, Any]:
    """What the first `count` devices get in a step, `[count, BATCH, ...]`."""
    rng = np.random.default_rng(step)
    shape = (max(COUNTS), BATCH, *SIZE)
    labels = rng.integers(0, CLASSES, shape).astype(np.uint8)
    labels[rng.random(shape) < np.reshape(IGNORED, (-1, 1, 1, 1))] = IGNORE
    images = rng.integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    images[1, :, 1, :, :18] = 90  # flat: fewer sure predictions in one image of each device
    whole = {"source": {"image": images[0], "label": labels}, "target": {"image": images[1]}}
    return jax.tree.map(lambda array: array[:count], whole)


def named(state: TrainState, metrics: Any, prefix: str) -> dict[str, np.ndarray]:
    """All arrays by their place."""
    leaves = jax.tree_util.tree_leaves_with_path((state, metrics))
    return {f"{prefix}{jax.tree_util.keystr(path)}": np.asarray(leaf) for path, leaf in leaves}


def main(path: str) -> None:
    assert jax.local_device_count() == max(COUNTS)
    results: dict[str, np.ndarray] = {}
    for adapt in (False, True):
        step = parallel_train_step(passes(MODEL, MULTI, adapt=adapt), _optimizer())
        for count in COUNTS:
            state = TrainState.create(jax.tree.map(jax.numpy.array, _variables()), _optimizer())
            for number in range(STEPS):
                state, metrics = step(state, batch(count, number))
            results |= named(state, metrics, f"{adapt}, {count}")
    np.savez(path, **results)


if __name__ == "__main__":
    with jax.enable_x64(True):
        main(sys.argv[1])
