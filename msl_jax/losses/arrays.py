"""Operations on arrays of class scores and labels that losses and guidance labels share."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

IGNORE = 255  # the label of a pixel that does not count


def argmax_class(x: jax.Array, class_axis: int = -1) -> jax.Array:
    """Returns the argmax over classes as int32: the first of several maxima, C where one is NaN.

    Two plain reductions: on the CPU XLA's own argmax reduces pairs, one class after the other.
    """
    axis = class_axis % x.ndim
    wins = x == jnp.max(x, axis=axis, keepdims=True)
    classes = lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.min(jnp.where(wins, classes, x.shape[axis]), axis=axis)


def is_class(labels: jax.Array, num_classes: int, class_axis: int = -1) -> jax.Array:
    """Returns whether the label is c, for c along a new axis: one-hot booleans.

    Selecting a label's entry by comparison cannot index out of range, and unlike a gather's its
    gradient is not a scatter, which XLA runs slowly on the CPU.
    """
    labels = jnp.expand_dims(labels, class_axis)
    shape = list(labels.shape)
    shape[class_axis] = num_classes
    classes = lax.broadcasted_iota(labels.dtype, shape, class_axis % labels.ndim)
    return labels == classes


def at_least_float32(x: ArrayLike) -> jax.Array:
    """Returns x in float64 if it is float64, else in float32."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def check_num_classes(logits: jax.Array, class_axis: int = -1) -> None:
    """Raises a ValueError unless the classes leave 255 free to mean "ignored"."""
    num_classes = logits.shape[class_axis]
    if num_classes > IGNORE:
        raise ValueError(
            f"Labels mark ignored pixels with {IGNORE}, so at most {IGNORE} classes are possible; "
            f"found {num_classes} on axis {class_axis} of logits {logits.shape}."
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises a ValueError that lists the choices, unless value is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}.")
