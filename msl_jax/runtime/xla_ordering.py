"""Order between parts of a program that XLA's CPU compiler would otherwise interleave.

It ignores `lax.optimization_barrier` when it fuses and schedules: it recomputes cheap arrays
wherever they are used, starts whatever has its operands, and so keeps more arrays at a time than
needed. A condition that only the finished value can decide holds it back. The results are the same
with and without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def after(done: Any, function: Callable[..., Any], *arrays: Any) -> Any:
    """`function(*arrays)`; on the CPU started when all of `done` is computed, its result kept.

    Elsewhere there is no condition: a GPU would have to ask its host to decide each of them.

    Args:
        done: a tree of floating-point arrays.
        function: what to compute.
        arrays: its arguments.
    """

    def conditional(done: Any, *arrays: Any) -> Any:
        return lax.cond(_known(done), function, function, *arrays)

    def plain(done: Any, *arrays: Any) -> Any:
        return function(*arrays)

    return lax.platform_dependent(done, *arrays, cpu=conditional, default=plain)


def where_known(done: Any, tree: Any) -> Any:
    """`tree`, not before all of `done` is computed; fused into whatever reads it.

    Args:
        done: a tree of floating-point arrays. If one of them begins with NaN, the result is 0:
            what is computed from a NaN is lost in any case.
        tree: a tree of arrays.
    """
    known = _known(done)
    return jax.tree.map(lambda leaf: jnp.where(known, leaf, jnp.zeros_like(leaf)), tree)


def _known(done: Any) -> Array:
    """True unless NaN, which XLA cannot know before it has the values."""
    first = [leaf[(0,) * leaf.ndim] for leaf in jax.tree.leaves(done)]
    total = first[0] if len(first) == 1 else jnp.sum(jnp.stack(first))
    return total == total
