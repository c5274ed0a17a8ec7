"""Sums over batches, exact: int64 and float64 on the host."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TypeVar

import jax
import numpy as np

Sums = TypeVar("Sums")


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
