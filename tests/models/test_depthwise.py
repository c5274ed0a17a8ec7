"""Depthwise convolution in both lowerings, and which of them each platform gets."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from msl_jax.models.depthwise import depthwise_conv2d

# Rows, columns, kernel, stride, dilation, padding.
CASES = {
    "plain": (9, 12, 3, 1, 1, ((1, 1), (1, 1))),
    "wide": (9, 12, 5, 1, 1, ((2, 2), (2, 2))),
    "dilated": (9, 12, 3, 1, 4, ((4, 4), (4, 4))),
    "wide and dilated": (5, 6, 5, 1, 2, ((4, 4), (4, 4))),
    "stride": (9, 12, 3, 2, 1, ((1, 1), (0, 1))),
    "wide stride": (10, 7, 5, 2, 1, ((1, 2), (2, 2))),
    "cells left over": (10, 9, 3, 3, 1, ((0, 0), (0, 0))),
    "no padding": (9, 12, 3, 1, 2, ((0, 0), (0, 0))),
    "much padding": (3, 4, 3, 1, 1, ((5, 3), (4, 6))),
    "one place": (1, 1, 3, 2, 1, ((1, 1), (1, 1))),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_lowering = pytest.mark.parametrize("lowering", ["native", "shifts"])


def _plain(x, kernel, stride: int, dilation: int, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@each_lowering
@each_case
def test_value_and_gradients(x64, rng: np.random.Generator, case, lowering) -> None:
    height, width, taps, stride, dilation, padding = case
    x, kernel = rng.normal(size=(2, height, width, 6)), rng.normal(size=(taps, taps, 1, 6))
    plain = functools.partial(_plain, stride=stride, dilation=dilation, padding=padding)
    ours = functools.partial(
        depthwise_conv2d, stride=stride, dilation=dilation, padding=padding, lowering=lowering
    )
    expected, expected_vjp = jax.vjp(plain, x, kernel)
    found, vjp = jax.vjp(jax.jit(ours), x, kernel)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-12)
    g = rng.normal(size=expected.shape)
    for gradient, right in zip(vjp(g), expected_vjp(g), strict=True):
        np.testing.assert_allclose(gradient, right, atol=1e-11)


@pytest.mark.parametrize("lowering", ["native", "shifts"])
def test_bfloat16_stays_so_and_gradients_add_up_in_float32(lowering, rng) -> None:
    """A kernel's gradient sums over all places: in bfloat16, 4,096 ones would make 256."""
    x = jnp.ones((1, 64, 64, 2), jnp.bfloat16)
    kernel = jnp.ones((1, 1, 1, 2), jnp.bfloat16)
    convolve = functools.partial(depthwise_conv2d, lowering=lowering)
    found, vjp = jax.vjp(convolve, x, kernel)
    dx, dkernel = vjp(jnp.ones_like(found))
    assert found.dtype == dx.dtype == dkernel.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(dkernel, np.float32), 4096)


def test_lowering_by_platform() -> None:
    """GPUs get XLA's grouped convolutions, forward and in both gradients; the CPU gets none."""
    x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 1, 4))

    def step(x, kernel):
        y, vjp = jax.vjp(functools.partial(depthwise_conv2d, padding=((1, 1), (1, 1))), x, kernel)
        return vjp(y)

    def convolutions(platform: str) -> int:
        traced = jax.jit(step).trace(x, kernel)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return text.count("stablehlo.convolution")

    assert convolutions("cuda") == 3
    assert convolutions("cpu") == 0
