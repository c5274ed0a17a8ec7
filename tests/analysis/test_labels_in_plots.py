"""Labels in plots cover neither each other nor dots."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from msl_jax.analysis.plots import class_scatter, label_offsets, spread_labels

SIZE = np.array([9 * 4.6, 9.0])  # of "bicyclist"


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one[:2] < other[2:] - 1e-6).all() and (other[:2] + 1e-6 < one[2:]).all())


def _boxes(places: np.ndarray, inside: np.ndarray) -> np.ndarray:
    feet = places + label_offsets(places, ["bicyclist"] * len(places), inside)
    return np.concatenate([feet, feet + SIZE], axis=1)


def _nearest(box: np.ndarray, places: np.ndarray) -> int:
    outside = np.maximum(box[:2] - places, 0) + np.maximum(places - box[2:], 0)
    return int(np.hypot(*outside.T).argmin())


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_covered_and_each_is_at_its_own_dot(seed: int) -> None:
    places = np.random.default_rng(seed).uniform(0, 240, (20, 2))
    boxes = _boxes(places, np.array([-40.0, -20.0, 280.0, 260.0]))
    dots = np.concatenate([places - 3, places + 3], axis=1)
    assert not any(_overlap(label, dot) for label, dot in itertools.product(boxes, dots))
    assert not any(_overlap(*pair) for pair in itertools.combinations(boxes, 2))
    assert [_nearest(box, places) for box in boxes] == list(range(20))
    assert (boxes[:, :2] >= [-40, -20]).all()
    assert (boxes[:, 2:] <= [280, 260]).all()


def test_label_of_a_lonely_dot_is_at_its_right() -> None:
    (offset,) = label_offsets(np.array([[50.0, 50.0]]), ["car"], np.array([0, 0, 100, 100]))
    assert 0 < offset[0] < 6
    assert -9 < offset[1] < 6


def test_labels_stay_within_the_axes() -> None:
    inside = np.array([0.0, 0.0, 60.0, 30.0])
    (box,) = _boxes(np.array([[57.0, 27.0]]), inside)
    assert (box[:2] >= 0).all()
    assert (box[2:] <= inside[2:]).all()


def test_crowd_without_room_still_has_its_labels() -> None:
    offsets = label_offsets(np.zeros((30, 2)), ["bicyclist"] * 30, np.array([-9.0, -9.0, 9.0, 9.0]))
    assert np.isfinite(offsets).all()


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
        boxes = [Text.get_window_extent(text) for text in axes.texts]  # without their lines
        assert len(boxes) == 12
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
