"""What the losses and the guidance labels share about arrays of class scores and labels."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

IGNORE = 255  # the label of a pixel that does not count


def argmax_class(x: jax.Array) -> jax.Array:
    """Returns the argmax over classes as int32 in every precision mode."""
    return lax.argmax(x, axis=x.ndim - 1, index_dtype=jnp.int32)


def at_least_float32(x: ArrayLike) -> jax.Array:
    """Returns x as float64 if it is that, else as float32."""
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def check_num_classes(logits: jax.Array) -> None:
    """Raises a ValueError unless the classes leave 255 free to mean "ignored"."""
    num_classes = logits.shape[-1]
    if num_classes > IGNORE:
        raise ValueError(
            f"Labels mark ignored pixels with {IGNORE}, so at most {IGNORE} classes are possible; "
            f"found {num_classes} on the last axis of logits {logits.shape}."
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raises a ValueError that lists the choices, unless value is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; found {value!r}.")
