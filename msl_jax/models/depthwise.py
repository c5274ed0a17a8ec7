"""Depthwise convolution: a kernel for each channel, written for each platform.

XLA's grouped convolution is what GPUs want, for which it finds cuDNN's kernels. On the CPU it takes
many times as long as the shifted products below, and its gradients still more. The choice is made
when a program is lowered for its platform.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from msl_jax.models.convolution import by_lowering
from msl_jax.runtime.xla_ordering import after, where_known

Lowering = Literal["native", "shifts"]
# Zeros before and after the rows, and before and after the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]


class DepthwiseWindow(NamedTuple):
    """How the kernels move over the features.

    Attributes:
        stride: step of the window in both directions.
        dilation: distance between the taps of the window.
        padding: zeros on each side.
    """

    stride: int
    dilation: int
    padding: Padding


def depthwise_conv2d(
    x: Array,
    kernel: Array,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: Padding = ((0, 0), (0, 0)),
    lowering: Lowering | None = None,
) -> Array:
    """Cross-correlation of each channel with a kernel of its own.

    Differentiable once, in reverse mode: its gradients are written for the platform too.

    Args:
        x: features `[B, H, W, C]`.
        kernel: `[kh, kw, 1, C]`, of the same dtype as `x`.
        stride: step of the window in both directions.
        dilation: distance between the taps of the window.
        padding: zeros before and after the rows, and before and after the columns.
        lowering: ``"native"`` for XLA's grouped convolution, ``"shifts"`` for sums of shifted
            products; default: what is faster on the platform that the program is for.

    Returns:
        `[B, H', W', C]` with ``H' = (H + top + bottom - dilation (kh - 1) - 1) // stride + 1``.
    """
    return _depthwise(x, kernel, DepthwiseWindow(stride, dilation, padding), lowering)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _differentiable(
    x: Array, kernel: Array, window: DepthwiseWindow, lowering: Lowering | None
) -> Array:
    return by_lowering(lowering, _native, _shifts, window, x, kernel)


def _forward(x: Array, kernel: Array, window: DepthwiseWindow, lowering: Lowering | None):
    return _differentiable(x, kernel, window, lowering), (x, kernel)


def _backward(window: DepthwiseWindow, lowering: Lowering | None, kept: tuple[Array, Array], g):
    return by_lowering(lowering, _native_gradients, _shift_gradients, window, *kept, g)


_differentiable.defvjp(_forward, _backward)

# Compiled as a function of its own, so that blocks of the same shapes are traced once.
_depthwise = jax.jit(_differentiable, static_argnums=(2, 3))


def _native(window: DepthwiseWindow, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (window.stride,) * 2,
        window.padding,
        rhs_dilation=(window.dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _native_gradients(window: DepthwiseWindow, x: Array, kernel: Array, g: Array):
    return jax.vjp(functools.partial(_native, window), x, kernel)[1](g)


def _shifts(window: DepthwiseWindow, x: Array, kernel: Array) -> Array:
    """The sum over the taps of the shifted features times the tap's value in each channel."""
    height, width = _size(window, x, kernel)
    dtype, wide = x.dtype, np.promote_types(x.dtype, np.float32)
    x, kernel = jnp.pad(x, ((0, 0), *window.padding, (0, 0))), kernel.astype(wide)
    total = jnp.zeros((), wide)
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            rows = _along(i * window.dilation, height, window.stride)
            columns = _along(j * window.dilation, width, window.stride)
            product = x[:, rows, columns].astype(wide) * kernel[i, j][None, None]
            total = total + product if total.ndim else product
    return total.astype(dtype)


def _shift_gradients(window: DepthwiseWindow, x: Array, kernel: Array, g: Array):
    dx = _input_gradient(window, x, kernel, g)
    # One after the other: two loops at a time share the cores' caches and both lose.
    dkernel = after(dx, functools.partial(_kernel_gradient, window), x, kernel, g)
    return where_known(dkernel, dx), dkernel


def _input_gradient(window: DepthwiseWindow, x: Array, kernel: Array, g: Array) -> Array:
    """The convolution of `g`, with zeros between its cells for a stride, with the turned kernel."""
    margins = []
    for axis in (0, 1):
        reach = window.dilation * (kernel.shape[axis] - 1)
        near = reach - window.padding[axis][0]
        cells = window.stride * (g.shape[axis + 1] - 1) + 1
        far = x.shape[axis + 1] + reach - near - cells
        margins.append((near, far, window.stride - 1))
    spread = lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *margins, (0, 0, 0)))
    plain = DepthwiseWindow(1, window.dilation, ((0, 0), (0, 0)))
    return _shifts(plain, spread, kernel[::-1, ::-1])


def _kernel_gradient(window: DepthwiseWindow, x: Array, kernel: Array, g: Array) -> Array:
    """Row by row of `g`, which meets as many rows of `x` as the kernel has, all in the cache."""
    taps, (height, width) = kernel.shape[:2], g.shape[1:3]
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    wide = np.promote_types(x.dtype, np.float32)

    def add_row(row: Array, total: Array) -> Array:
        g_row = lax.dynamic_index_in_dim(g, row, 1, keepdims=False).astype(wide)
        sums = []
        for i in range(taps[0]):
            place = row * window.stride + i * window.dilation
            x_row = lax.dynamic_index_in_dim(x, place, 1, keepdims=False).astype(wide)
            for j in range(taps[1]):
                columns = _along(j * window.dilation, width, window.stride)
                sums.append((x_row[:, columns] * g_row).sum((0, 1)))
        return total + jnp.stack(sums)

    zeros = jnp.zeros((taps[0] * taps[1], x.shape[-1]), wide)
    total = lax.fori_loop(0, height, add_row, zeros)
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _along(start: int, count: int, stride: int) -> slice:
    return slice(start, start + stride * (count - 1) + 1, stride)


def _size(window: DepthwiseWindow, x: Array, kernel: Array) -> tuple[int, int]:
    height, width = (
        (x.shape[axis + 1] + sum(window.padding[axis]) - window.dilation * (taps - 1) - 1)
        // window.stride
        + 1
        for axis, taps in enumerate(kernel.shape[:2])
    )
    return height, width
