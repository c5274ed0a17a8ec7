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
        scale: range of the magnification s ~ U(low, high), followed by a random crop or random
            padding to the size of `crop`; None leaves the size alone.
        crop: (height, width) of the result; None keeps the image's size.
        jitter: strength j in [0, 1] of the photometric change: brightness, contrast and saturation
            times U(1 - j, 1 + j), and gamma = exp(U(-j, j)); 0 leaves the colours alone.
    """

    mirror: bool = True
    blur: bool = True
    scale: tuple[float, float] | None = None
    crop: tuple[int, int] | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop must be a positive (height, width), got {self.crop}")
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

    if options.scale is not None or options.crop is not None:
        low, high = options.scale or (1.0, 1.0)
        factor = low + (high - low) * zoom
        size = options.crop or image.shape[:2]
        picture, mask = _scale_and_crop(picture, mask, size, factor, (top, left))
    if options.mirror and flips < 0.5:
        picture = ImageOps.mirror(picture)
        mask = None if mask is None else ImageOps.mirror(mask)
    if options.jitter:
        picture = _jitter(picture, options.jitter * (2 * np.array(colors) - 1))
    if options.blur and blurs < 0.5:
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    return np.array(picture), None if mask is None else np.array(mask)


def _scale_and_crop(
    image: Image.Image,
    label: Image.Image | None,
    size: tuple[int, int],
    factor: float,
    place: tuple[float, float],
) -> tuple[Image.Image, Image.Image | None]:
    """Magnifies by `factor`, then crops or pads to `size` (height, width).

    `place` in [0, 1) says where the window lies in the image, or the image in the window. What is
    needed is cut out first: the same pixels as after the resize, at a fraction of the work.
    """
    box, corner = [0.0] * 4, [0, 0]
    inner = list(size)
    for axis in (0, 1):
        length = image.size[1 - axis]
        window = size[axis] / factor
        if window <= length:
            box[axis] = place[axis] * (length - window)
            box[axis + 2] = box[axis] + window
        else:
            box[axis + 2] = length
            inner[axis] = max(1, min(size[axis], round(length * factor)))
            corner[axis] = round(place[axis] * (size[axis] - inner[axis]))
    (y0, x0, y1, x1), (height, width) = box, inner

    def cut(picture: Image.Image, resample: Image.Resampling) -> Image.Image:
        return picture.resize((width, height), resample, box=(x0, y0, x1, y1))

    whole = (size[1], size[0])
    part = cut(image, Image.Resampling.BICUBIC)
    mask = None if label is None else cut(label, Image.Resampling.NEAREST)
    if part.size == whole:
        return part, mask
    mean = tuple(round(value) for value in np.asarray(part).mean(axis=(0, 1)))
    canvas = Image.new("RGB", whole, mean)
    canvas.paste(part, (corner[1], corner[0]))
    if mask is not None:
        empty = Image.new("L", whole, IGNORE)
        empty.paste(mask, (corner[1], corner[0]))
        mask = empty
    return canvas, mask


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
