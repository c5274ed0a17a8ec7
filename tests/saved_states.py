"""What tests of checkpoints share: small states of training, and stages that hold some."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.training.optimizer import FROZEN, Group, sgd
from msl_jax.training.state import TrainState

INPUT = {"examples": 2**40 + 3}


def _optimizer():
    groups = {"backbone": {"kernel": "backbone", "scale": FROZEN}, "head": {"kernel": "head"}}
    settings = {"backbone": Group(), "head": Group(rate=10.0)}
    return sgd(groups, settings, lambda step: 0.1, momentum=0.9, weight_decay=0.1)


def make_state(step: int = 0, seed: int = 0) -> TrainState:
    """A state as in training, with values that decimal text would round."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape).astype(np.float32))

    params = {
        "backbone": {"kernel": draw(3, 4), "scale": draw(4)},
        "head": {"kernel": draw(4, 2)},
    }
    variables = {"params": params, "batch_stats": {"backbone": {"mean": draw(4), "var": draw(4)}}}
    state = TrainState.create(variables, _optimizer())
    momenta = jax.tree.map(
        lambda leaf: draw(*leaf.shape) if leaf.dtype == jnp.float32 else leaf + step,
        state.opt_state,
    )
    return state.replace(step=jnp.asarray(step, jnp.int32), opt_state=momenta)


def make_wide_state(step: int) -> TrainState:
    """A state of 200 kB in many arrays, which are written and read side by side."""
    state = make_state(step)
    noise = np.random.default_rng(0).normal(size=(30, 40, 40)).astype(np.float32)
    wide = {f"layer{index}": jnp.asarray(layer) for index, layer in enumerate(noise)}
    return state.replace(params={**state.params, "wide": wide})


def make_metrics(miou: float) -> dict:
    return {"target": {"miou": miou, "iou": {"sky": None}}, "source": {"miou": 1 - miou}}


def save_stage(folder: Path, *mious: float) -> Checkpoints:
    """Checkpoints of steps 10, 20, ... with these target mIoUs; the state's seed is 1, 2, ..."""
    checkpoints = Checkpoints(folder)
    for index, miou in enumerate(mious, 1):
        checkpoints.save(make_state(10 * index, seed=index), INPUT, make_metrics(miou))
    return checkpoints


def assert_identical(found, expected) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def cut_short(folder: Path) -> None:
    """Halves the large files, which hold the numbers: some arrays stay intact and some do not.

    Not the largest alone: arrays that are written side by side leave files behind that later ones
    have taken the place of.
    """
    sizes = {path: path.stat().st_size for path in folder.rglob("d/*")}
    for path, size in sizes.items():
        if 2 * size >= max(sizes.values()):
            path.write_bytes(path.read_bytes()[: size // 2])


def flip_byte(path: Path) -> None:
    """Changes a byte in the middle of a file, or of the largest file in a folder."""
    if path.is_dir():
        path = max(path.rglob("d/*"), key=lambda inside: inside.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
