"""Labels in plots cover neither each other nor dots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from msl_jax.analysis.plots import class_scatter, label_heights, spread_labels

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


@pytest.mark.parametrize("seed", range(3))
def test_names_are_apart_in_a_finished_figure(seed: int) -> None:
    """Titles and labels of the other axes have moved these in the meantime."""
    rng, names = np.random.default_rng(seed), ["bicyclist", "car", "sky", "traffic sign"] * 3
    figure = Figure(figsize=(11, 8), layout="constrained")
    for axes in figure.subplots(2, 2).flat:
        class_scatter(axes, rng.uniform(size=12), rng.uniform(size=12), names, "confidence")
        axes.set_title(f"source-only:\n{axes.get_title()}")
    spread_labels(figure)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 12
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
