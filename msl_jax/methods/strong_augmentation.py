"""Strong augmentation of images on the device: colour jitter and Gaussian blur.

Pure functions of arrays; `draws` makes what is random from keys. As DACS has it of kornia: see
`color_jitter`. Whether red or blue comes first changes nothing but the sign of the turn of the hue,
so images may have either order.

Reference: the code of Tranheden et al. "DACS: Domain Adaptation via Cross-Domain Mixed Sampling",
WACV 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

JITTER_CHANCE, BLUR_CHANCE = 0.8, 0.5
SIGMA = (0.15, 1.15)  # pixels

# Of a Gaussian with the largest sigma, 1e-13 lies beyond.
_FARTHEST = 9


class Draws(NamedTuple):
    """What is random in the augmentation of B images.

    Attributes:
        jitters: whether they are jittered, a boolean scalar.
        blurs: whether they are blurred, a boolean scalar.
        order: `[B, 4]` permutations of 0 .. 3, see `color_jitter`.
        factors: `[B, 4]`, see there.
        sigma: `[B]` of the blur, in pixels.
    """

    jitters: Array
    blurs: Array
    order: Array
    factors: Array
    sigma: Array


def draws(step: Array, images: Array, jitter: float, *, blur: bool) -> Draws:
    """Draws of the official ranges; images of a step are jittered all or none, and so blurred.

    Args:
        step: a key.
        images: `[B]` keys.
        jitter: strength of the colour jitter, in [0, 0.5]; 0 for none.
        blur: whether there is any.
    """

    def of_image(key: Array) -> tuple[Array, Array, Array]:
        order, factor, blur = jax.random.split(key, 3)
        factors = jax.random.uniform(factor, (4,), jnp.float32, -jitter, jitter)
        sigma = jax.random.uniform(blur, (), jnp.float32, *SIGMA)
        # The hue's is an angle, the others are factors around 1.
        return jax.random.permutation(order, 4), factors.at[:3].add(1), sigma

    chances = jax.random.uniform(step, (2,), jnp.float32)
    return Draws(
        (chances[0] < JITTER_CHANCE) & (jitter > 0),
        (chances[1] < BLUR_CHANCE) & blur,
        *jax.vmap(of_image)(images),
    )


def augmented(images: Array, draws: Draws) -> Array:
    """Images `[B, H, W, 3]` of values in 0..255, jittered and blurred as drawn, not rounded."""
    x = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32)
    order, factors, sigma = draws.order, draws.factors.astype(x.dtype), draws.sigma.astype(x.dtype)
    x = jnp.where(draws.jitters, 255 * color_jitter(x / 255, order, factors), x)
    return jnp.where(draws.blurs, gaussian_blur(x, sigma), x)


def color_jitter(images: Array, order: Array, factors: Array) -> Array:
    """Brightness, contrast, saturation and hue of each image, in its order.

    As in kornia 0.5.8: brightness adds its factor - 1 (it multiplies nothing), contrast multiplies
    (no mean is involved), saturation multiplies that of HSV; each is clipped to [0, 1]. The hue is
    turned.

    Args:
        images: `[B, H, W, 3]` of values in [0, 1].
        order: `[B, 4]` permutations: 0 is brightness, 1 contrast, 2 saturation, 3 hue.
        factors: `[B, 4]` of brightness, contrast, saturation, and the hue's turn, 1 being all
            around.

    Returns:
        `[B, H, W, 3]`.
    """

    def one(image: Array, order: Array, factors: Array) -> Array:
        for place in range(len(_CHANGES)):
            # All four, of which one is taken: a branch would make a GPU wait for its host.
            changed = [change(image, factors[i]) for i, change in enumerate(_CHANGES)]
            image = lax.select_n(order[place].astype(jnp.int32), *changed)
        return image

    return jax.vmap(one)(images, order, factors)


def _brightness(image: Array, factor: Array) -> Array:
    return jnp.clip(image + (factor - 1), 0, 1)


def _contrast(image: Array, factor: Array) -> Array:
    return jnp.clip(image * factor, 0, 1)


def _saturation(image: Array, factor: Array) -> Array:
    hue, saturation, value = _hsv(image)
    return _rgb(hue, jnp.clip(saturation * factor, 0, 1), value)


def _hue(image: Array, turn: Array) -> Array:
    hue, saturation, value = _hsv(image)
    return _rgb(hue + turn, saturation, value)


_CHANGES = (_brightness, _contrast, _saturation, _hue)


def _hsv(image: Array) -> tuple[Array, Array, Array]:
    """Hue in turns, saturation and value of an image `[H, W, 3]`, `[H, W]` each."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value = jnp.max(image, axis=-1)
    spread = value - jnp.min(image, axis=-1)
    divisor = jnp.where(spread > 0, spread, 1)
    sixths = jnp.where(
        red == value,
        (green - blue) / divisor,
        jnp.where(green == value, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    return sixths / 6, spread / (value + 1e-6), value  # kornia's guard against black


def _rgb(hue: Array, saturation: Array, value: Array) -> Array:
    def channel(offset: int) -> Array:
        sixths = jnp.mod(offset + 6 * hue, 6)
        return value * (1 - saturation * jnp.clip(jnp.minimum(sixths, 4 - sixths), 0, 1))

    return jnp.stack([channel(offset) for offset in (5, 3, 1)], axis=-1)


def kernel_size(length: int) -> int:
    """Side of the blur's kernel along so many pixels: the largest odd number up to a tenth.

    >>> [kernel_size(length) for length in (10, 40, 64, 512)]
    [1, 3, 7, 51]
    """
    tenth = -(-length // 10)
    return tenth - (tenth + 1) % 2


def gaussian_blur(images: Array, sigma: Array) -> Array:
    """Gaussian blur of each image with a kernel of `kernel_size`; the border is reflected.

    Args:
        images: `[B, H, W, C]`.
        sigma: `[B]`, pixels.

    Returns:
        `[B, H, W, C]`.
    """
    for axis in (1, 2):
        length = images.shape[axis]
        reach = min(kernel_size(length) // 2, _FARTHEST)
        offsets = jnp.arange(-reach, reach + 1, dtype=sigma.dtype)
        weights = jnp.exp(-jnp.square(offsets[None] / sigma[:, None]) / 2)
        weights = weights / jnp.sum(weights, axis=1, keepdims=True)
        around = [(reach, reach) if i == axis else (0, 0) for i in range(images.ndim)]
        padded = jnp.pad(images, around, mode="reflect")
        shifted = [
            weights[:, i, None, None, None] * lax.slice_in_dim(padded, i, i + length, axis=axis)
            for i in range(2 * reach + 1)
        ]
        images = sum(shifted[1:], start=shifted[0])
    return images
