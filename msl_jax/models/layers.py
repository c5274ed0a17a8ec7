"""Layers that the networks need and Flax lacks: convolutions, batch norm, pooling, resize."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.models.convolution import conv2d
from msl_jax.models.depthwise import Padding, depthwise_conv2d
from msl_jax.models.normalization import batch_norm, clip, normalize

Initializer = Callable[..., Any]

# He initialisation by fan-in, as for networks trained from scratch (He et al. 2015).
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class Conv(nn.Module):
    """Convolution layer with a kernel `[k, k, C, features]`; `k` is odd where `padding` is "same".

    Computes in the dtype of its input; parameters are kept in `param_dtype`.

    Attributes:
        features: channels of the result.
        size: `k`.
        stride: step of the window.
        dilation: distance between the taps of the window.
        padding: where zeros are added: the same number on every side (``"even"``, as in PyTorch),
            or as TensorFlow does, see `same_padding` (``"same"``).
        use_bias: whether a bias is added.
    """

    features: int
    size: int = 1
    stride: int = 1
    dilation: int = 1
    padding: Literal["even", "same"] = "even"
    use_bias: bool = False
    kernel_init: Initializer = he_normal
    bias_init: Initializer = nn.initializers.zeros
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[B, H, W, C]` -> `[B, H', W', features]`, H' = ceil(H / stride) for odd `k`."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        padding = self.dilation * (self.size - 1) // 2
        if self.padding == "same" and self.stride > 1:
            sides = same_padding(x.shape[1:3], self.size, self.stride, self.dilation)
            x, padding = jnp.pad(x, ((0, 0), *sides, (0, 0))), 0
        y = conv2d(
            x,
            kernel.astype(x.dtype),
            stride=self.stride,
            dilation=self.dilation,
            padding=padding,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
            y = y + bias.astype(x.dtype)[None, None, None]
        return y


class DepthwiseConv(nn.Module):
    """A convolution of each channel with a kernel of its own, `[k, k, 1, C]`, padded as TensorFlow.

    Computes in the dtype of its input; parameters are kept in `param_dtype`.
    """

    size: int
    stride: int = 1
    dilation: int = 1
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), C]`."""
        shape = (self.size, self.size, 1, x.shape[-1])
        kernel = self.param("kernel", he_normal, shape, self.param_dtype)
        return depthwise_conv2d(
            x,
            kernel.astype(x.dtype),
            stride=self.stride,
            dilation=self.dilation,
            padding=same_padding(x.shape[1:3], self.size, self.stride, self.dilation),
        )


def same_padding(sizes: Sequence[int], taps: int, stride: int, dilation: int) -> Padding:
    """Zeros before and after rows and columns for ceil(size / stride) results, as TensorFlow.

    Half of what the last window needs stands in front, rounded down, so that at a stride the
    windows' centres depend on whether the size is even.

    >>> same_padding((224, 225), taps=3, stride=2, dilation=1)
    ((0, 1), (1, 1))
    """

    def sides(size: int) -> tuple[int, int]:
        reach = dilation * (taps - 1) + 1
        missing = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
        return missing // 2, missing - missing // 2

    height, width = sizes
    return sides(height), sides(width)


class BatchNorm(nn.Module):
    """Batch normalisation over `[B, H, W]` with PyTorch's conventions.

    The batch is normalised by its biased variance; the running variance keeps the unbiased one,
    `n / (n - 1)` times as large (`flax.linen.BatchNorm` keeps the biased one). Statistics are
    computed in float32 or better whatever the input's dtype.

    Attributes:
        momentum: share of the old running value in the new one: PyTorch's 0.1 is 0.9 here.
        epsilon: added to the variance.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Array,
        *,
        use_running_average: bool,
        relu: bool = False,
        ceiling: float | None = None,
    ) -> Array:
        """Normalises `[B, H, W, C]`, by the running statistics or by the batch's own.

        Args:
            x: features.
            use_running_average: normalise by the running statistics and leave them alone.
            relu: set negative results to 0.
            ceiling: set larger results to this; ReLU6 has 6.
        """
        features, dtype = (x.shape[-1],), self.param_dtype
        scale = self.param("scale", nn.initializers.ones, features, dtype)
        bias = self.param("bias", nn.initializers.zeros, features, dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, dtype)
        compute = np.promote_types(x.dtype, np.float32)
        scale, bias = scale.astype(compute), bias.astype(compute)
        if use_running_average:
            mean, var = running_mean.value.astype(compute), running_var.value.astype(compute)
            y = normalize(x, mean, var, scale, bias, self.epsilon)
            return clip(y, relu, ceiling)
        y, mean, var = batch_norm(x, scale, bias, self.epsilon, relu, ceiling)
        if not self.is_initializing():
            count = math.prod(x.shape[:3])
            unbiased = var * (count / max(count - 1, 1))
            for running, new in ((running_mean, mean), (running_var, unbiased)):
                kept = self.momentum * running.value
                running.value = kept + (1 - self.momentum) * new.astype(dtype)
        return y


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


def interpolation_matrix(source: int, target: int) -> np.ndarray:
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


def resize_align_corners(
    x: Array, size: tuple[int, int], rows: tuple[ArrayLike, int] | None = None
) -> Array:
    """Bilinear resize with the corner cells' centres aligned (PyTorch ``align_corners=True``).

    Separable, so it is two small matrix products: exact, differentiable, fast on every platform.

    Args:
        x: `[B, h, w, C]`.
        size: `(height, width)` of the result.
        rows: first and number of the result's rows that are wanted; default is all of them.

    Returns:
        `[B, height, width, C]` in the dtype of `x`; only the rows that are wanted.
    """
    height, width = size
    if (height, width) == x.shape[1:3] and rows is None:
        return x
    weights = jnp.asarray(interpolation_matrix(x.shape[1], height), x.dtype)
    if rows is not None:
        weights = lax.dynamic_slice_in_dim(weights, *rows)
    columns = jnp.asarray(interpolation_matrix(x.shape[2], width), x.dtype)
    exact = lax.Precision.HIGHEST  # no TF32 or bfloat16 passes: pixels near a border would flip
    x = jnp.einsum("oh,bhwc->bowc", weights, x, precision=exact)
    return jnp.einsum("pw,bowc->bopc", columns, x, precision=exact)
