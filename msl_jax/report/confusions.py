"""Which classes are taken for which, and what the adaptation has changed in that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msl_jax.evaluation.confusion import class_accuracy


class Pair(NamedTuple):
    """Images of one class that are taken for another one.

    Attributes:
        label: train id.
        prediction: another train id.
        before: number of images by the source-only network; None where there is none.
        after: by the other network.
    """

    label: int
    prediction: int
    before: int | None
    after: int


def accuracy_by_class(confusion: np.ndarray) -> list[float | None]:
    """Share of each class's images that are predicted as such; None for a class without images.

    Args:
        confusion: counts `[C, C]`, row = label, column = prediction.

    >>> accuracy_by_class(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    [0.75, 1.0, None]
    """
    return [None if np.isnan(share) else share for share in class_accuracy(confusion).tolist()]


def pairs(before: np.ndarray | None, after: np.ndarray, most: int) -> list[Pair]:
    """The confusions whose number has changed, or those that there are.

    Args:
        before: counts `[C, C]` of the source-only network; None where there is none.
        after: of the other one.
        most: how many are wanted.

    Returns:
        Largest change first, of one network most images first; then in the order of the classes.

    >>> pairs(np.array([[5, 2], [4, 1]]), np.array([[6, 1], [0, 5]]), 9)
    [Pair(label=1, prediction=0, before=4, after=0), Pair(label=0, prediction=1, before=2, after=1)]
    """
    weights = after if before is None else np.abs(after - before)
    weights = np.where(np.eye(len(after), dtype=bool), 0, weights)
    places = np.argsort(-weights, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(places, weights.shape)
    return [
        Pair(r, c, None if before is None else int(before[r, c]), int(after[r, c]))
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
        if weights[r, c]
    ]
