"""Variables that a run or the converter has saved by orbax, read into a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from msl_jax.models.initial import HEADS, abstract_variables, initial_heads
from msl_jax.runs.arrays import read_tree
from msl_jax.runtime.errors import UserError
from msl_jax.weights.mismatch import expect_same_shapes
from msl_jax.weights.state_dict import Model


def tree_reader(
    folder: Path, heads: tuple[str, ...], left_out: tuple[str, ...] = ()
) -> Callable[[Model, bool, int], dict[str, Any]]:
    """Function that reads variables saved by orbax into a network.

    Args:
        folder: of the variables.
        heads: those that they hold.
        left_out: parts of all collections that are none of the network's.
    """

    def read(model: Model, reinit_heads: bool, seed: int) -> dict[str, Any]:
        shapes = abstract_variables(model)
        new = [h for h in HEADS if h in shapes["params"] and (reinit_heads or h not in heads)]
        tree = read_tree(folder)
        for part in left_out:
            for collection in tree.values():
                collection.pop(part, None)
        for head in heads if reinit_heads else ():  # those of another task have no place in it
            tree["params"].pop(head, None)
        tree = {name: collection for name, collection in tree.items() if collection}
        expect_same_shapes(
            _shapes(tree),
            _shapes(shapes, new),
            title="the checkpoint holds another network than the configuration describes.",
            advice="Set config.model.* and config.num_classes as they were in training.",
        )
        broken = [name for name, leaf in flatten_dict(tree, sep="/").items() if not _finite(leaf)]
        if broken:
            raise UserError(
                f"arrays with numbers that are not finite ({len(broken)}): {', '.join(broken)}"
            )
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, model.param_dtype), tree)
        if new:
            drawn = initial_heads(model, seed)
            variables["params"].update({head: drawn[head] for head in new})
        return variables

    return read


def _finite(leaf: np.ndarray) -> bool:
    return bool(np.isfinite(leaf).all())


def _shapes(tree: Any, without: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    return {
        "/".join(path): tuple(leaf.shape)
        for path, leaf in flatten_dict(tree).items()
        if path[1] not in without
    }
