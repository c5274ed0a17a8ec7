"""Convolution, written for each platform as that platform computes it fastest.

GPUs get real convolutions, in a form for which XLA finds cuDNN's kernels; so do other accelerators,
on which nothing was measured. On the CPU matrix products run about as fast as a core can, so
whatever can be written as one product, or a few, is. Measured figures are in docs/performance.md.
The choice is made when a program is lowered for its platform, not when it is traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from msl_jax.runtime.xla_ordering import after, where_known

Lowering = Literal["native", "products"]


class Window(NamedTuple):
    """How a kernel moves over the features; the same in both directions.

    Attributes:
        stride: step of the window.
        dilation: distance between the taps of the window.
        padding: zeros added on every side.
    """

    stride: int = 1
    dilation: int = 1
    padding: int = 0


def conv2d(
    x: Array,
    kernel: Array,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
    lowering: Lowering | None = None,
) -> Array:
    """Two-dimensional cross-correlation with symmetric zero padding, as PyTorch's ``conv2d``.

    Differentiable once, in reverse mode: its gradients are written for the platform too.

    Args:
        x: features `[B, H, W, C]`.
        kernel: `[kh, kw, C, K]`, of the same dtype as `x`.
        stride: step of the window in both directions.
        dilation: distance between the taps of the window.
        padding: zeros added on every side (a 1x1 kernel takes none).
        lowering: ``"native"`` for XLA's convolution, ``"products"`` for matrix products where they
            win on the CPU; default: what is faster on the platform that the program is for.

    Returns:
        `[B, H', W', K]` with ``H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1``.
    """
    return _conv2d(x, kernel, Window(stride, dilation, padding), lowering)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _differentiable(x: Array, kernel: Array, window: Window, lowering: Lowering | None) -> Array:
    return by_lowering(lowering, _native, _products, window, x, kernel)


def _forward(x: Array, kernel: Array, window: Window, lowering: Lowering | None):
    return _differentiable(x, kernel, window, lowering), (x, kernel)


def _backward(window: Window, lowering: Lowering | None, kept: tuple[Array, Array], g: Array):
    return by_lowering(lowering, _native_gradients, _product_gradients, window, *kept, g)


_differentiable.defvjp(_forward, _backward)

# Compiled as a function of its own, so that blocks of the same shapes are traced once.
_conv2d = jax.jit(_differentiable, static_argnums=(2, 3))


def by_lowering(
    lowering: str | None,
    native: Callable[..., Any],
    on_cpu: Callable[..., Any],
    window: Any,
    *arrays: Array,
) -> Any:
    """Computes in the given lowering, or in that of the platform that the program is for.

    Args:
        lowering: ``"native"``, the name of the one for CPUs, or None for the platform's.
        native: computes with XLA's own convolution.
        on_cpu: computes as is faster on CPUs.
        window: their first argument.
        arrays: their others.

    Raises:
        ValueError: they are sharded over an explicit axis of a mesh.
    """
    if any(any(jax.typeof(array).sharding.spec) for array in arrays):
        raise ValueError(
            "the convolutions of msl_jax do not say how their results are sharded over an explicit"
            f" axis of a mesh (found {' and '.join(str(jax.typeof(a)) for a in arrays)}). Run the"
            " step under jax.shard_map with axis_name, or make the mesh with axes of"
            " jax.sharding.AxisType.Auto."
        )
    native, on_cpu = (functools.partial(function, window) for function in (native, on_cpu))
    if lowering is not None:
        return (native if lowering == "native" else on_cpu)(*arrays)
    return lax.platform_dependent(*arrays, cpu=on_cpu, default=native)


def _plain(window: Window, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (window.stride,) * 2,
        [(window.padding,) * 2] * 2,
        rhs_dilation=(window.dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _plain_gradients(window: Window, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    gradients: tuple[Array, Array] = jax.vjp(functools.partial(_plain, window), x, kernel)[1](g)
    return gradients


def _native(window: Window, x: Array, kernel: Array) -> Array:
    return _plain(window, x, _aligned(kernel))[..., : kernel.shape[3]]


def _native_gradients(window: Window, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    wide, g, features = _aligned(kernel), _aligned(g), kernel.shape[3]
    if window.dilation == 1 or window.stride > 1 or kernel.shape[0] * kernel.shape[1] == 1:
        dx, dkernel = _plain_gradients(window, x, wide, g)
    else:
        (dx,) = jax.vjp(lambda x: _plain(window, x, wide), x)[1](g)
        dkernel = _dilated_kernel_gradient(window, x, wide, g)
    return dx, dkernel[..., :features]


def _dilated_kernel_gradient(window: Window, x: Array, kernel: Array, g: Array) -> Array:
    """That of a convolution without dilation, of the pixels at distances of the dilation d.

    Pixels (i d + a, j d + b) of x meet those of the same a and b in g alone. So these d^2 phases
    are images of a batch, and the kernel's taps are neighbours in them. As JAX writes the gradient,
    it is a convolution with the stride d and a kernel as large as the image, which XLA does not
    recognise: on an H100 it took two thirds of the adaptation step.
    """
    distance, taps = window.dilation, kernel.shape[:2]
    inside = window.padding // distance  # cells of padding within the phases
    phases = []
    for axis, size in enumerate(x.shape[1:3]):
        results = -(-g.shape[axis + 1] // distance)
        cells = results + taps[axis] - 1 - 2 * inside
        near = window.padding - inside * distance
        phases.append(((near, cells * distance - size - near), results * distance))
    x = jnp.pad(x, ((0, 0), phases[0][0], phases[1][0], (0, 0)))
    far = [(0, length - size) for (_, length), size in zip(phases, g.shape[1:3], strict=True)]
    g = jnp.pad(g, ((0, 0), *far, (0, 0)))
    x, g = (_split_phases(array, distance) for array in (x, g))
    undilated = functools.partial(_plain, Window(padding=inside), x)
    (dkernel,) = jax.vjp(undilated, kernel)[1](g)
    return dkernel


def _split_phases(x: Array, distance: int) -> Array:
    """`[B, H d, W d, C]` -> `[d d B, H, W, C]`."""
    batch, height, width, channels = x.shape
    rows, columns = height // distance, width // distance
    cells = x.reshape(batch, rows, distance, columns, distance, channels)
    return cells.transpose(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels)


def _aligned(x: Array) -> Array:
    """The last axis padded with 0 to a multiple of 8: tensor cores need one (19 is not)."""
    missing = -x.shape[-1] % 8
    return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),)) if missing else x


def _products(window: Window, x: Array, kernel: Array) -> Array:
    taps, features = kernel.shape[0] * kernel.shape[1], kernel.shape[3]
    if taps == 1:
        return _product(x[:, :: window.stride, :: window.stride], kernel[0, 0])
    if _is_classifier(window, kernel):
        # One product for all taps, then a sum of shifted results: the large array is read once,
        # and only the small one is shifted.
        results = _product(x, _taps_last(kernel))
        results = _padded(results, window.padding)
        height, width = _size(window, x, kernel)
        shifted = (
            results[:, top : top + height, left : left + width, i * features : (i + 1) * features]
            for i, (top, left) in enumerate(_offsets(window, kernel))
        )
        return functools.reduce(jnp.add, shifted)
    return _plain(window, x, kernel)


def _product_gradients(window: Window, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    if kernel.shape[0] * kernel.shape[1] > 1 and window.stride > 1:
        return _plain_gradients(window, x, kernel, g)
    dx = _product_input_gradient(window, x, kernel, g)
    # One after the other: two products at a time share the cores' caches and both lose.
    dkernel = after(dx, functools.partial(_product_kernel_gradient, window), x, kernel, g)
    return where_known(dkernel, dx), dkernel


def _product_input_gradient(window: Window, x: Array, kernel: Array, g: Array) -> Array:
    if kernel.shape[0] * kernel.shape[1] == 1:
        dx = _product(g, kernel[0, 0].T)
        if window.stride == 1:
            return dx
        rows, columns = (
            (0, size - (window.stride * (reduced - 1) + 1), window.stride - 1)
            for size, reduced in zip(x.shape[1:3], g.shape[1:3], strict=True)
        )
        return lax.pad(dx, jnp.zeros((), g.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))
    if _is_classifier(window, kernel):
        shifted = jnp.concatenate(_shifted_gradients(window, x, kernel, g), axis=-1)
        return _product(shifted, _taps_last(kernel).T)
    (dx,) = jax.vjp(lambda x: _plain(window, x, kernel), x)[1](g)
    return dx


def _product_kernel_gradient(window: Window, x: Array, kernel: Array, g: Array) -> Array:
    """The gradient of one tap is x^T g, with g shifted against x by the tap's offset."""
    kh, kw, channels, features = kernel.shape
    if kh * kw == 1:
        return (_columns(x[:, :: window.stride, :: window.stride]) @ _rows(g))[None, None]
    turned, shifted = _columns(x), _shifted_gradients(window, x, kernel, g)
    if _is_classifier(window, kernel):
        taps = turned @ _rows(jnp.concatenate(shifted, axis=-1))
        return taps.reshape(channels, kh, kw, features).transpose(1, 2, 0, 3)
    return jnp.stack([turned @ _rows(tap) for tap in shifted]).reshape(kernel.shape)


def _shifted_gradients(window: Window, x: Array, kernel: Array, g: Array) -> list[Array]:
    """`g` as each tap's product with `x` needs it: `[B, H, W, K]`, zero where the tap saw none."""
    far = [window.dilation * (taps - 1) for taps in kernel.shape[:2]]
    height, width = x.shape[1:3]
    margins = ((reach - window.padding, reach + window.padding) for reach in far)
    padded = jnp.pad(g, ((0, 0), *margins, (0, 0)))
    return [
        padded[:, far[0] - top : far[0] - top + height, far[1] - left : far[1] - left + width]
        for top, left in _offsets(window, kernel)
    ]


def _is_classifier(window: Window, kernel: Array) -> bool:
    """Whether there are few output channels for the number of input channels."""
    return window.stride == 1 and kernel.shape[2] >= 8 * kernel.shape[3]


def _size(window: Window, x: Array, kernel: Array) -> tuple[int, int]:
    height, width = (
        (side + 2 * window.padding - window.dilation * (taps - 1) - 1) // window.stride + 1
        for side, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    )
    return height, width


def _offsets(window: Window, kernel: Array) -> list[tuple[int, int]]:
    """(top, left) of each tap in the padded features, row by row."""
    kh, kw = kernel.shape[:2]
    return [(i * window.dilation, j * window.dilation) for i in range(kh) for j in range(kw)]


def _taps_last(kernel: Array) -> Array:
    """`[kh, kw, C, K]` -> `[C, kh kw K]`."""
    return kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)


def _padded(x: Array, padding: int) -> Array:
    return jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _rows(x: Array) -> Array:
    """`[B, H, W, C]` -> `[B H W, C]`: XLA's products of more dimensions are slow."""
    return x.reshape(-1, x.shape[-1])


def _columns(x: Array) -> Array:
    """`[B, H, W, C]` -> `[C, B H W]`, transposed in memory.

    XLA would otherwise read the original by columns, and that product is up to twice as slow.
    """
    return lax.optimization_barrier(_rows(x).T)


def _product(x: Array, matrix: Array) -> Array:
    """`[B, H, W, C]` times `[C, K]`."""
    return (_rows(x) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])
