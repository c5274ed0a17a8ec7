"""Sums over pixels and over batches; over batches exact: int64 and float64 on the host."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TypeVar

import jax
import numpy as np
from jax import Array

Sums = TypeVar("Sums")


def sum_by(values: Array, place: Array, number: int) -> Array:
    """Sums of values that have the same place, `[number]`.

    Row by row first: a single float32 sum over the two million pixels of an image loses what is
    added to it (measured: 1.3 % too much where all pixels are of one class).

    Args:
        values: `[..., W]`.
        place: `[..., W]`, integers from 0.
        number: of places.
    """
    width = values.shape[-1]

    def row(values: Array, place: Array) -> Array:
        return jax.ops.segment_sum(values, place, number)

    return jax.vmap(row)(values.reshape(-1, width), place.reshape(-1, width)).sum(0)


def add_up(batches: Iterable[Sums]) -> Sums:
    """Adds trees of arrays of the same structure.

    Raises:
        ValueError: there is no batch.
    """
    total = None
    for batch in batches:
        wide = jax.tree.map(_wide, batch)
        total = wide if total is None else jax.tree.map(operator.add, total, wide)
    if total is None:
        raise ValueError("there is nothing to add up")
    return total


def _wide(values: jax.Array) -> np.ndarray:
    exact = np.asarray(values)
    return exact.astype(np.int64 if np.issubdtype(exact.dtype, np.integer) else np.float64)
