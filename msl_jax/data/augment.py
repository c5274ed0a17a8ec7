"""Random changes of training images: mirror, blur, scale and crop, colour jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from msl_jax.data.labels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """Which changes are drawn; the defaults are the official code's (mirror and blur).

    Attributes:
        mirror: flip left and right, with probability 1/2.
        blur: Gaussian blur of a radius of U(0, 1) pixels, with probability 1/2.
        scale: range of the magnification s ~ U(low, high), followed by a random crop (s > 1) or
            random padding (s < 1) to the old size; None leaves the size alone.
        jitter: strength j in [0, 1] of the photometric change: brightness, contrast and saturation
            times U(1 - j, 1 + j), and gamma = exp(U(-j, j)); 0 leaves the colours alone.
    """

    mirror: bool = True
    blur: bool = True
    scale: tuple[float, float] | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must lie in [0, 1], got {self.jitter}")


def augment(
    rng: np.random.Generator,
    image: np.ndarray,
    label: np.ndarray | None,
    options: Augmentation,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws and applies the changes of `options`; pixels keep their labels.

    Always takes the same draws from `rng`, so that switching one change on does not alter another.

    Args:
        rng: source of randomness, advanced by ten draws.
        image: uint8 `[H, W, 3]`.
        label: uint8 `[H, W]` of train ids, or None.
        options: the changes.

    Returns:
        Image uint8 `[H, W, 3]` and label uint8 `[H, W]` or None, new arrays.

    Raises:
        ValueError: image and label differ in size.
    """
    if label is not None and label.shape != image.shape[:2]:
        raise ValueError(f"label {label.shape} and image {image.shape[:2]} differ in size")
    flips, blurs, radius, zoom, top, left, *colors = rng.random(10).tolist()
    picture = Image.fromarray(image)
    mask = None if label is None else Image.fromarray(label)

    if options.scale is not None:
        low, high = options.scale
        factor = low + (high - low) * zoom
        picture, mask = _rescale(picture, mask, factor, top, left)
    if options.mirror and flips < 0.5:
        picture = ImageOps.mirror(picture)
        mask = None if mask is None else ImageOps.mirror(mask)
    if options.jitter:
        picture = _jitter(picture, options.jitter * (2 * np.array(colors) - 1))
    if options.blur and blurs < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    return np.array(picture), None if mask is None else np.array(mask)


def _rescale(
    image: Image.Image, label: Image.Image | None, factor: float, top: float, left: float
) -> tuple[Image.Image, Image.Image | None]:
    """Magnifies by `factor` and crops or pads; `top`, `left` in [0, 1) place the window."""
    width, height = image.size
    if factor >= 1:
        # The crop comes first: the same pixels as cropping after the resize, at a fraction of it.
        w, h = width / factor, height / factor
        x, y = left * (width - w), top * (height - h)
        box = (x, y, x + w, y + h)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
        if label is not None:
            label = label.resize((width, height), Image.Resampling.NEAREST, box=box)
        return image, label

    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    corner = (round(left * (width - size[0])), round(top * (height - size[1])))
    mean = tuple(round(value) for value in np.asarray(image).mean(axis=(0, 1)))
    canvas = Image.new("RGB", (width, height), mean)
    canvas.paste(image.resize(size, Image.Resampling.BICUBIC), corner)
    if label is not None:
        empty = Image.new("L", (width, height), IGNORE)
        empty.paste(label.resize(size, Image.Resampling.NEAREST), corner)
        label = empty
    return canvas, label


def _jitter(image: Image.Image, strength: np.ndarray) -> Image.Image:
    """Changes gamma, brightness, contrast and saturation.

    Args:
        image: RGB.
        strength: `[4]` signed strengths of brightness, contrast, saturation and log gamma.
    """
    brightness, contrast, saturation, log_gamma = strength
    # All but the saturation depend on one value alone, so one table of 256 entries does them.
    table = np.linspace(0, 1, 256) ** math.exp(log_gamma) * (1 + brightness)
    counts = np.array(image.convert("L").histogram())
    mean = counts @ table / counts.sum()
    table = (table - mean) * (1 + contrast) + mean
    table = np.clip(np.rint(255 * table), 0, 255).astype(int).tolist()
    image = image.point(table * 3)
    grey = image.convert("L").convert("RGB")
    return Image.blend(grey, image, 1 + saturation)
