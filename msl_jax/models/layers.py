"""Layers that DeepLabv2 needs and Flax lacks: convolution by platform, norms, pooling, resize."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax

Lowering = Literal["native", "products"]
Initializer = Callable[..., Any]

# He initialisation by fan-in, as for networks trained from scratch (He et al. 2015).
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


def default_lowering() -> Lowering:
    """How convolutions are written for the platform that computations run on.

    On the CPU 1x1 convolutions and classifiers are faster as matrix products, forward and backward,
    by a factor of 1.5 to 3; all others, and all on GPUs and TPUs, do best as real convolutions.
    """
    return "products" if jax.default_backend() == "cpu" else "native"


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

    Args:
        x: features `[B, H, W, C]`.
        kernel: `[kh, kw, C, K]`, of the same dtype as `x`.
        stride: step of the window in both directions.
        dilation: distance between the taps of the window.
        padding: zeros added on every side (a 1x1 kernel takes none).
        lowering: ``"native"`` for XLA's convolution, ``"products"`` for matrix products where they
            win on the CPU; default: what is faster on this platform.

    Returns:
        `[B, H', W', K]` with ``H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1``.
    """
    taps = kernel.shape[0] * kernel.shape[1]
    if (lowering or default_lowering()) == "products":
        if taps == 1:
            return _matrix_product(x[:, ::stride, ::stride], kernel[0, 0])
        if stride == 1 and kernel.shape[2] >= 8 * kernel.shape[3]:
            return _conv2d_shifted_outputs(x, kernel, dilation, padding)
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _matrix_product(x: Array, matrix: Array) -> Array:
    """`[B, H, W, C]` times `[C, K]`; two plain dimensions, or the weights' gradient is slow."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _conv2d_shifted_outputs(x: Array, kernel: Array, dilation: int, padding: int) -> Array:
    """One matrix product for all taps, then a sum of shifted results.

    For classifiers, whose results are few against their input channels: the large array is read
    once and only the small one is shifted.
    """
    kh, kw, channels, features = kernel.shape
    matrix = kernel.transpose(2, 0, 1, 3).reshape(channels, kh * kw * features)
    results = _matrix_product(x, matrix)
    results = jnp.pad(results, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    out_h = results.shape[1] - dilation * (kh - 1)
    out_w = results.shape[2] - dilation * (kw - 1)
    total = jnp.zeros((x.shape[0], out_h, out_w, features), results.dtype)
    for tap in range(kh * kw):
        top, left = (tap // kw) * dilation, (tap % kw) * dilation
        channel = tap * features
        total += results[:, top : top + out_h, left : left + out_w, channel : channel + features]
    return total


class Conv(nn.Module):
    """Convolution layer with a kernel `[k, k, C, features]` and "same" padding for odd `k`.

    Computes in the dtype of its input; parameters are kept in `param_dtype`.
    """

    features: int
    size: int = 1
    stride: int = 1
    dilation: int = 1
    use_bias: bool = False
    kernel_init: Initializer = he_normal
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), features]`."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        y = conv2d(
            x,
            kernel.astype(x.dtype),
            stride=self.stride,
            dilation=self.dilation,
            padding=self.dilation * (self.size - 1) // 2,
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
            y = y + bias.astype(x.dtype)[None, None, None]
        return y


class BatchNorm(nn.Module):
    """Batch normalisation over `[B, H, W]` with PyTorch's conventions.

    The batch is normalised by its biased variance; the running variance keeps the unbiased one,
    `n / (n - 1)` times as large (`flax.linen.BatchNorm` keeps the biased one). Statistics are
    computed in float32 or better whatever the input's dtype.

    Attributes:
        momentum: share of the old running value that is kept: PyTorch's 0.1 is 0.9 here.
        epsilon: added to the variance.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_running_average: bool) -> Array:
        """Normalises `[B, H, W, C]`, by the running statistics or by the batch's own."""
        features, dtype = (x.shape[-1],), self.param_dtype
        scale = self.param("scale", nn.initializers.ones, features, dtype)
        bias = self.param("bias", nn.initializers.zeros, features, dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, dtype)
        compute = np.promote_types(x.dtype, np.float32)
        if use_running_average:
            mean, var = running_mean.value.astype(compute), running_var.value.astype(compute)
        else:
            exact = x.astype(compute)
            mean = exact.mean((0, 1, 2))
            var = jnp.square(exact - mean[None, None, None]).mean((0, 1, 2))
            if not self.is_initializing():
                count = math.prod(x.shape[:3])
                unbiased = var * (count / max(count - 1, 1))
                for running, new in ((running_mean, mean), (running_var, unbiased)):
                    kept = self.momentum * running.value
                    running.value = kept + (1 - self.momentum) * new.astype(dtype)
        factor = lax.rsqrt(var + self.epsilon) * scale.astype(compute)
        offset = bias.astype(compute) - mean * factor
        return (
            x * factor.astype(x.dtype)[None, None, None] + offset.astype(x.dtype)[None, None, None]
        )


def max_pool_ceil(x: Array, size: int = 3, stride: int = 2, padding: int = 1) -> Array:
    """Max pooling with the output size rounded up, as PyTorch's ``ceil_mode=True``.

    Args:
        x: `[B, H, W, C]`.
        size: side of the window.
        stride: step of the window.
        padding: cells of minus infinity on the near side; on the far side as many as the last
            window needs. As in PyTorch no window starts in the far padding.

    Returns:
        `[B, H', W', C]`, 65 cells become 33 and 64 also become 33.
    """

    def far_padding(length: int) -> int:
        windows = math.ceil((length + 2 * padding - size) / stride) + 1
        if (windows - 1) * stride >= length + padding:
            windows -= 1
        return (windows - 1) * stride + size - length - padding

    return lax.reduce_window(
        x,
        np.array(-np.inf, x.dtype),
        lax.max,
        (1, size, size, 1),
        (1, stride, stride, 1),
        ((0, 0), (padding, far_padding(x.shape[1])), (padding, far_padding(x.shape[2])), (0, 0)),
    )


def _interpolation_matrix(source: int, target: int) -> np.ndarray:
    """Weights `[target, source]` of linear interpolation with the corner cells aligned."""
    step = (source - 1) / (target - 1) if target > 1 else 0.0
    positions = np.arange(target, dtype=np.float64) * step
    low = np.minimum(np.floor(positions).astype(int), max(source - 2, 0))
    fraction = positions - low
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    matrix[rows, low] += 1 - fraction
    matrix[rows, np.minimum(low + 1, source - 1)] += fraction
    return matrix


def resize_align_corners(x: Array, size: tuple[int, int]) -> Array:
    """Bilinear resize with the corner cells' centres aligned (PyTorch ``align_corners=True``).

    Separable, so it is two small matrix products: exact, differentiable, fast on every platform.

    Args:
        x: `[B, h, w, C]`.
        size: `(height, width)` of the result.

    Returns:
        `[B, height, width, C]` in the dtype of `x`.
    """
    height, width = size
    if (height, width) == x.shape[1:3]:
        return x
    rows = jnp.asarray(_interpolation_matrix(x.shape[1], height), x.dtype)
    columns = jnp.asarray(_interpolation_matrix(x.shape[2], width), x.dtype)
    exact = lax.Precision.HIGHEST  # no TF32 or bfloat16 passes: pixels near a border would flip
    x = jnp.einsum("oh,bhwc->bowc", rows, x, precision=exact)
    return jnp.einsum("pw,bowc->bopc", columns, x, precision=exact)
