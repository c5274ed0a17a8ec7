"""Variables that a run or the converter has saved by orbax, read into a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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

Shapes = Mapping[tuple[str, ...], tuple[int, ...]]


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
        # Heads of another task have no place in it.
        unread = {*left_out, *(heads if reinit_heads else ())}

        def choose(found: Shapes) -> Iterable[tuple[str, ...]]:
            kept = {path: shape for path, shape in found.items() if not unread & set(path[1:2])}
            expect_same_shapes(
                _named(kept),
                _named(
                    {p: leaf.shape for p, leaf in flatten_dict(shapes).items() if p[1] not in new}
                ),
                title="the checkpoint holds another network than the configuration describes.",
                advice="Set config.model.* and config.num_classes as they were in training.",
            )
            return kept

        tree = read_tree(folder, choose)
        broken = [name for name, leaf in flatten_dict(tree, sep="/").items() if not _finite(leaf)]
        if broken:
            raise UserError(
                "arrays with values other than finite floating-point numbers"
                f" ({len(broken)}): {', '.join(broken)}"
            )
        variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, model.param_dtype), tree)
        if new:
            drawn = initial_heads(model, seed)
            variables["params"].update({head: drawn[head] for head in new})
        return variables

    return read


def _finite(leaf: np.ndarray) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.floating) and np.isfinite(leaf).all())


def _named(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {"/".join(path): shape for path, shape in shapes.items()}
