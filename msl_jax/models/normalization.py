"""Batch normalisation as a function, with a gradient that stores no more than it needs."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from msl_jax.runtime.xla_ordering import after


def normalize(x: Array, mean: Array, var: Array, scale: Array, bias: Array, epsilon: float):
    """(x - mean) / sqrt(var + epsilon) * scale + bias, over the last axis.

    Args:
        x: `[B, H, W, C]`.
        mean: `[C]`, in float32 or better, as are all that follow.
        var: `[C]`.
        scale: `[C]`.
        bias: `[C]`.
        epsilon: added to the variance.

    Returns:
        `[B, H, W, C]` in the dtype of `x`.
    """
    factor = lax.rsqrt(var + epsilon) * scale
    offset = bias - mean * factor
    # Rounded once, at the end: in bfloat16 x * factor and an offset of several units cancel badly.
    exact = x.astype(np.promote_types(x.dtype, factor.dtype))
    return (exact * _along(factor, exact.dtype) + _along(offset, exact.dtype)).astype(x.dtype)


def clip(x: Array, relu: bool, ceiling: float | None) -> Array:
    """`x` with negative values set to 0, and those above the ceiling to it, where asked for."""
    if relu:
        x = jax.nn.relu(x)
    # Unlike that of a minimum, the gradient at the ceiling itself is 0, as in PyTorch.
    return x if ceiling is None else jnp.where(x >= ceiling, jnp.asarray(ceiling, x.dtype), x)


# Compiled as a function of its own, so that blocks of the same shapes are traced once.
@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def batch_norm(
    x: Array,
    scale: Array,
    bias: Array,
    epsilon: float,
    relu: bool,
    ceiling: float | None = None,
) -> tuple[Array, Array, Array]:
    """Normalises by the batch's own statistics, with an optional ReLU after it.

    The gradient with xh = (x - mean) / sqrt(var + epsilon) and n pixels is
    dx = scale / sqrt(var + epsilon) (g - mean_n g - xh mean_n (g xh)), where automatic
    differentiation would store x - mean and the sign before the ReLU as well as x.

    Args:
        x: `[B, H, W, C]`.
        scale: `[C]`, in float32 or better, as all statistics are.
        bias: `[C]`.
        epsilon: added to the variance.
        relu: whether negative results become 0.
        ceiling: what larger results become; None leaves them. ReLU6 has 6.

    Returns:
        The result `[B, H, W, C]` in the dtype of `x`, mean and biased variance of the batch `[C]`;
        no gradient flows through mean and variance.
    """
    y, mean, var = _batch_norm(x, scale, bias, epsilon, relu, ceiling)
    return y, lax.stop_gradient(mean), lax.stop_gradient(var)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _batch_norm(
    x: Array, scale: Array, bias: Array, epsilon: float, relu: bool, ceiling: float | None
):
    exact = x.astype(scale.dtype)
    mean = exact.mean((0, 1, 2))
    var = jnp.square(exact - _along(mean)).mean((0, 1, 2))
    y = normalize(x, mean, var, scale, bias, epsilon)
    return clip(y, relu, ceiling), mean, var


def _forward(
    x: Array, scale: Array, bias: Array, epsilon: float, relu: bool, ceiling: float | None
):
    y, mean, var = _batch_norm(x, scale, bias, epsilon, relu, ceiling)
    return (y, mean, var), (x, scale, bias, mean, var)


def _backward(
    epsilon: float,
    relu: bool,
    ceiling: float | None,
    kept: tuple[Array, ...],
    cotangents: tuple[Array, ...],
):
    x, scale, bias, mean, var = kept
    g = cotangents[0]
    if relu or ceiling is not None:
        y = normalize(x, mean, var, scale, bias, epsilon)
        inside = y > 0 if relu else jnp.ones((), bool)
        if ceiling is not None:
            inside &= y < ceiling
        g = jnp.where(inside, g, jnp.zeros((), g.dtype))
    # Written as sums and products with g alone: XLA would compute an array of x alone, such as
    # x - mean, as soon as the forward pass knows x, and keep it.
    rstd = lax.rsqrt(var + epsilon)
    wide, exact, count = g.astype(scale.dtype), x.astype(scale.dtype), math.prod(x.shape[:3])
    dbias = wide.sum((0, 1, 2))
    dscale = ((wide * exact).sum((0, 1, 2)) - mean * dbias) * rstd
    factor, slope = rstd * scale, rstd * dscale / count
    offset = dbias / count - mean * slope
    dx = _along(factor) * (wide - exact * _along(slope) - _along(offset))
    return dx.astype(x.dtype), dscale, dbias


_batch_norm.defvjp(_forward, _backward)


@jax.custom_vjp
def add_relu(x: Array, y: Array) -> Array:
    """max(x + y, 0); its gradient stores only the result, which the next layer stores anyway."""
    return after(y, lambda x, y: jnp.maximum(x + y, jnp.zeros((), x.dtype)), x, y)


def _add_relu_forward(x: Array, y: Array) -> tuple[Array, Array]:
    result = add_relu(x, y)
    return result, result


def _add_relu_backward(result: Array, g: Array) -> tuple[Array, Array]:
    g = jnp.where(result > 0, g, jnp.zeros((), g.dtype))
    return g, g


add_relu.defvjp(_add_relu_forward, _add_relu_backward)


def _along(values: Array, dtype: np.dtype | None = None) -> Array:
    """`[C]` -> `[1, 1, 1, C]`."""
    return (values if dtype is None else values.astype(dtype))[None, None, None]
