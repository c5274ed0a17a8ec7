"""The layers against loops in NumPy, and against PyTorch where it is installed."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import AgainstPyTorch

from msl_jax.models.layers import Conv, max_pool_ceil, resize_align_corners

POOLED_SIZES = [(1, 1), (2, 3), (4, 5), (5, 4), (6, 9), (8, 7)]

# (size before, size after): up, down, both, one pixel on either side, unchanged.
RESIZES = [
    ((3, 4), (7, 10)),
    ((7, 9), (3, 4)),
    ((5, 3), (2, 8)),
    ((1, 1), (4, 5)),
    ((1, 3), (2, 1)),
    ((5, 6), (1, 1)),
    ((4, 5), (4, 9)),
    ((4, 5), (4, 5)),
]


def _max_pool_loops(x: np.ndarray, size=3, stride=2, padding=1) -> np.ndarray:
    def starts(length: int) -> list[int]:
        count = math.ceil((length + 2 * padding - size) / stride) + 1
        # A window must start in the image or in the near padding.
        return [s - padding for s in range(0, count * stride, stride) if s < length + padding]

    rows, columns = starts(x.shape[1]), starts(x.shape[2])
    result = np.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            result[:, i, j] = window.max((1, 2))
    return result


def _resize_loops(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    def place(index: int, source: int, target: int) -> tuple[int, int, float]:
        position = index * (source - 1) / (target - 1) if target > 1 else 0.0
        low = min(int(position), source - 1)
        return low, min(low + 1, source - 1), position - low

    result = np.empty((x.shape[0], *size, x.shape[3]))
    for i in range(size[0]):
        top, bottom, down = place(i, x.shape[1], size[0])
        for j in range(size[1]):
            left, right, across = place(j, x.shape[2], size[1])
            upper = (1 - across) * x[:, top, left] + across * x[:, top, right]
            lower = (1 - across) * x[:, bottom, left] + across * x[:, bottom, right]
            result[:, i, j] = (1 - down) * upper + down * lower
    return result


class TestConv:
    @pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (3, 5), (7, 1)])
    def test_keeps_the_size(self, size, dilation):
        layer = Conv(4, size=size, dilation=dilation)
        shape = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.zeros((1, 5, 6, 3)))
        assert shape[0].shape == (1, 5, 6, 4)
        assert shape[1]["params"]["kernel"].shape == (size, size, 3, 4)

    def test_adds_its_bias(self, rng):
        x = rng.normal(size=(1, 2, 3, 2)).astype(np.float32)
        kernel, bias = np.eye(2, dtype=np.float32)[None, None], np.array([1.0, -2.0], np.float32)
        found = Conv(2, use_bias=True).apply({"params": {"kernel": kernel, "bias": bias}}, x)
        np.testing.assert_allclose(found, x + bias, rtol=1e-6)

    def test_computes_in_the_input_dtype(self):
        layer, x = Conv(4, size=3, use_bias=True), jnp.ones((1, 4, 4, 2), jnp.bfloat16)
        result, variables = layer.init_with_output(jax.random.key(0), x)
        assert result.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


class TestMaxPoolCeil:
    @pytest.mark.parametrize("size", POOLED_SIZES)
    def test_matches_loops(self, rng, size):
        x = rng.normal(-5, 1, (2, *size, 3)).astype(np.float32)  # zero padding would show
        np.testing.assert_array_equal(max_pool_ceil(jnp.asarray(x)), _max_pool_loops(x))

    @pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 3, 1)])
    def test_other_windows(self, rng, size, stride, padding):
        x = rng.normal(-5, 1, (1, 7, 8, 2)).astype(np.float32)
        found = max_pool_ceil(jnp.asarray(x), size, stride, padding)
        np.testing.assert_array_equal(found, _max_pool_loops(x, size, stride, padding))

    @pytest.mark.parametrize(("length", "expected"), [(64, 33), (65, 33), (66, 34), (3, 2)])
    def test_size_is_rounded_up(self, length, expected):
        found = jax.eval_shape(max_pool_ceil, jnp.zeros((1, length, length, 1)))
        assert found.shape == (1, expected, expected, 1)

    def test_bfloat16(self):
        found = max_pool_ceil(jnp.full((1, 4, 4, 1), -2.0, jnp.bfloat16))
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(found, np.float32), -2)


class TestResizeAlignCorners:
    @pytest.mark.parametrize(("before", "after"), RESIZES)
    def test_matches_loops(self, x64, rng, before, after):
        x = rng.normal(size=(2, *before, 3))
        found = resize_align_corners(jnp.asarray(x), after)
        np.testing.assert_allclose(found, _resize_loops(x, after), atol=1e-12)

    @pytest.mark.parametrize("after", [(7, 11), (2, 3), (65, 97)])
    def test_corners_are_exact(self, rng, after):
        x = rng.normal(size=(1, 5, 6, 2)).astype(np.float32)
        found = np.asarray(resize_align_corners(jnp.asarray(x), after))
        np.testing.assert_array_equal(found[:, :: after[0] - 1, :: after[1] - 1], x[:, ::4, ::5])

    def test_every_eighth_pixel_of_the_upsampled_logits_is_a_logit(self, rng):
        x = rng.normal(size=(1, 5, 7, 2)).astype(np.float32)
        found = np.asarray(resize_align_corners(jnp.asarray(x), (33, 49)))
        np.testing.assert_allclose(found[:, ::8, ::8], x, rtol=1e-6)

    def test_is_linear(self, rng):
        x, y = (jnp.asarray(a) for a in rng.normal(size=(2, 1, 4, 5, 2)).astype(np.float32))
        size = (9, 7)
        mixed = resize_align_corners(2 * x - 3 * y, size)
        parts = 2 * resize_align_corners(x, size) - 3 * resize_align_corners(y, size)
        np.testing.assert_allclose(mixed, parts, atol=1e-5)

    def test_keeps_the_dtype(self):
        found = resize_align_corners(jnp.ones((1, 2, 2, 1), jnp.bfloat16), (3, 5))
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(found, np.float32), 1)


class TestAgainstPyTorch(AgainstPyTorch):
    """The same on PyTorch's own functions, in float64."""

    @pytest.mark.parametrize("size", POOLED_SIZES)
    def test_max_pool(self, rng, size):
        # Few different values: PyTorch gives the gradient of equal ones to the first.
        x = rng.integers(-4, 0, (2, *size, 3)).astype(np.float64)
        x_torch = self._tensor(x, gradient=True)
        expected = self.torch.nn.functional.max_pool2d(x_torch, 3, 2, 1, ceil_mode=True)
        expected.square().sum().backward()
        found, gradient = jax.jit(
            lambda x: (max_pool_ceil(x), jax.grad(lambda x: (max_pool_ceil(x) ** 2).sum())(x))
        )(x)
        np.testing.assert_array_equal(found, self._array(expected))
        np.testing.assert_array_equal(gradient, self._array(x_torch.grad))

    @pytest.mark.parametrize(("before", "after"), RESIZES)
    def test_resize(self, rng, before, after):
        x, weights = rng.normal(size=(2, *before, 3)), rng.normal(size=(2, *after, 3))
        x_torch = self._tensor(x, gradient=True)
        expected = self.torch.nn.functional.interpolate(
            x_torch, size=after, mode="bilinear", align_corners=True
        )
        (expected * self._tensor(weights)).sum().backward()
        found = resize_align_corners(jnp.asarray(x), after)
        gradient = jax.grad(lambda x: (resize_align_corners(x, after) * weights).sum())(x)
        np.testing.assert_allclose(found, self._array(expected), atol=1e-12)
        np.testing.assert_allclose(gradient, self._array(x_torch.grad), atol=1e-12)
