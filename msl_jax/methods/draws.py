"""What is random in a step of self-training; no matter where a run was interrupted or cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from msl_jax.methods import strong_augmentation
from msl_jax.methods.masking import cells
from msl_jax.training.step import Context


class Draws(NamedTuple):
    """What is random for the B images of a micro-batch.

    Attributes:
        classes: `[B, C + 1]`, see `chosen_classes`.
        mixed: of the mixed images' augmentation.
        masked: of the masked images'.
        cells: `[B, rows, columns]`, see `kept_pixels`.
    """

    classes: Array
    mixed: strong_augmentation.Draws
    masked: strong_augmentation.Draws
    cells: Array


# (context, (B, H, W) of the images) -> what is drawn for them.
Draw = Callable[[Context, tuple[int, int, int]], Draws]


def drawing(seed: int, num_classes: int, *, jitter: float, blur: bool, cell: int) -> Draw:
    """Draws that depend on the seed, the step, and the number of an image in its step alone.

    Args:
        seed: any integer >= 0.
        num_classes: C.
        jitter: strength of the colour jitter, 0 for none.
        blur: whether images are blurred at all.
        cell: side of a masked cell, in pixels.
    """

    def draw(context: Context, shape: tuple[int, int, int]) -> Draws:
        count, height, width = shape
        key = jax.random.fold_in(jax.random.key(seed % 2**32), context.step)
        step, images = jax.random.split(key)
        numbers = jnp.asarray(context.part, jnp.int32) * count + jnp.arange(count, dtype=jnp.int32)
        of_image = jax.vmap(lambda number: jax.random.split(jax.random.fold_in(images, number), 4))
        classes, mixing, masking, grid = of_image(numbers).T
        of_step = jax.random.split(step)

        def uniform(keys: Array, shape: tuple[int, ...]) -> Array:
            return jax.vmap(lambda key: jax.random.uniform(key, shape, jnp.float32))(keys)

        return Draws(
            uniform(classes, (num_classes + 1,)),
            strong_augmentation.draws(of_step[0], mixing, jitter, blur=blur),
            strong_augmentation.draws(of_step[1], masking, jitter, blur=blur),
            uniform(grid, cells((height, width), cell)),
        )

    return draw
