"""Predictions in windows, against those of the whole image."""

from __future__ import annotations

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msl_jax.evaluation import windows
from msl_jax.evaluation.segmentation import Predictor, view_logits
from msl_jax.evaluation.windows import _starts, window_logits
from msl_jax.models.inputs import CAFFE, InputConvention


@dataclasses.dataclass(frozen=True)
class Formula:
    """Logits of every eighth pixel, which depend on `reach` more pixels around it."""

    reach: int = 0
    input_convention: InputConvention = CAFFE

    def apply(self, variables, images, *, train: bool, low_head: bool):
        reach = self.reach
        padded = jnp.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
        height, width = images.shape[1:3]
        total = sum(
            padded[:, dy : dy + height : 8, dx : dx + width : 8]
            for dy in (0, reach, 2 * reach)
            for dx in (0, reach, 2 * reach)
        )
        return total * variables["factor"] + variables["constant"], None


def _variables(factor: float, constant: float = 0.0) -> dict[str, np.ndarray]:
    return {"factor": np.float32(factor), "constant": np.float32(constant)}


def _image(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def _both(
    predictor: Predictor, variables, size: tuple[int, int], window: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    image = _image(size)
    whole = view_logits(predictor, variables, image[None])
    found = window_logits(predictor, variables, image, window, batch_size=3)
    assert len(found) == len(whole)
    return [(np.asarray(a), b) for a, b in zip(whole, found, strict=True)]


_SIDE = st.integers(65, 300)


@settings(max_examples=15, deadline=None)
@given(size=st.tuples(_SIDE, _SIDE), window=st.tuples(st.integers(64, 200), st.integers(64, 200)))
def test_constant_logits_stay_constant(size, window) -> None:
    predictor = Predictor(Formula(), flip=True, scales=(0.75, 1.0))
    for whole, found in _both(predictor, _variables(0.0, 1.5), size, window):
        assert found.shape == whole.shape
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, 1.5, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(cells=st.tuples(*2 * (st.integers(9, 40),)), window=st.tuples(*2 * (st.integers(8, 20),)))
def test_windows_of_a_network_that_sees_no_further_equal_the_whole(cells, window) -> None:
    """Where the cells of both lie on each other."""
    size, part = (tuple(8 * n + 1 for n in side) for side in (cells, window))
    predictor = Predictor(Formula(), flip=True)
    for whole, found in _both(predictor, _variables(0.01), size, part):
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("window", [(121, 97), (1000, 1000)])
def test_one_window_is_the_whole_image(window) -> None:
    for whole, found in _both(Predictor(Formula(4)), _variables(0.01), (121, 97), window):
        np.testing.assert_array_equal(found, whole)


def test_no_more_windows_in_the_network_than_there_are(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        windows,
        "view_logits",
        lambda p, v, images: seen.append(len(images)) or view_logits(p, v, images),
    )
    predictor, image = Predictor(Formula()), _image((65, 200))
    for batch_size in (2, 8):
        window_logits(predictor, _variables(0.01), image, (65, 97), batch_size)
    assert seen == [2, 2, 3]


def test_edges_count_little() -> None:
    """There a window sees padding in the place of the image."""
    ((whole, found),) = _both(Predictor(Formula(8)), _variables(0.01), (257, 97), (129, 97))
    difference = np.abs(found - whole).max(axis=(0, 2, 3))
    alone = np.abs(whole).mean()
    assert difference.max() < 0.05 * alone
    assert (difference < 1e-4).mean() > 0.8


@given(length=st.integers(64, 5000), window=st.integers(64, 700))
def test_windows_cover_a_side_and_overlap(length: int, window: int) -> None:
    window = min(window, length)
    starts = _starts(length, window)
    assert starts[0] == 0
    assert starts[-1] + window == length
    for first, second in itertools.pairwise(starts):
        assert first < second <= first + window - window // 3 + 8
