"""Labels in plots cover neither each other nor dots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from msl_jax.analysis.plots import label_heights

Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[1]
        and other[0] < one[1]
        and one[2] < other[3] - 1e-6
        and other[2] + 1e-6 < one[3]
    )


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_covered(seed: int) -> None:
    places = np.random.default_rng(seed).uniform(0, 120, (25, 2))
    heights = label_heights(places, ["bicyclist"] * 25)
    dots = [(x - 3, x + 3, y - 3, y + 3) for x, y in places.tolist()]
    labels = [
        (x + 4, x + 4 + 9 * 4.6, y + height, y + height + 9)
        for (x, y), height in zip(places.tolist(), heights, strict=True)
    ]
    assert not any(_overlap(label, dot) for label, dot in itertools.product(labels, dots))
    assert not any(_overlap(*pair) for pair in itertools.combinations(labels, 2))
    assert all(height >= 3 for height in heights)
