"""Random changes of training images: mirror, blur, scale and crop, colour jitter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from msl_jax.data.blur import gaussian_blur
from msl_jax.data.labels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """The augmentations to use; the defaults are the official code's (mirror and blur).

    Attributes:
        mirror: flip left and right, with probability 1/2.
        blur: Gaussian blur with a radius of U(0, 1) pixels, with probability 1/2.
        scale: range of the scale factor s ~ U(low, high), followed by a random crop or random
            padding to the size of `crop`; None keeps the scale.
        crop: (height, width) of the result; None keeps the image's size.
        jitter: strength j in [0, 1] of the photometric changes: brightness, contrast and saturation
            times U(1 - j, 1 + j), and gamma = exp(U(-j, j)); 0 keeps the colours.
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
    centre: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draws and applies the augmentations of `options`; pixels keep their labels.

    Always takes the same draws from `rng`, so that switching one augmentation on does not change
    another.

    Args:
        rng: source of randomness, advanced by ten draws.
        image: uint8 `[H, W, 3]`.
        label: uint8 `[H, W]` of train ids, or `[H, W, 3]` layers of such; or None.
        options: the augmentations.
        centre: row and column of the pixel that a crop is laid round, as far as the image reaches;
            None draws where it lies.

    Returns:
        Image uint8 `[H, W, 3]` and label as given, of the new size, or None; the arguments
        themselves if nothing changes.

    Raises:
        ValueError: image and label differ in size.
    """
    if label is not None and label.shape[:2] != image.shape[:2]:
        raise ValueError(f"label {label.shape} and image {image.shape[:2]} differ in size")
    flips, blurs, radius, zoom, top, left, *colors = rng.random(10).tolist()
    if options.scale is not None or options.crop is not None:
        low, high = options.scale or (1.0, 1.0)
        factor = low + (high - low) * zoom
        size = options.crop or image.shape[:2]
        image, label = _scale_and_crop(image, label, size, factor, (top, left), centre)
    if options.mirror and flips < 0.5:
        image, label = _mirror(image), None if label is None else _mirror(label)
    if options.jitter:
        strength = options.jitter * (2 * np.array(colors) - 1)
        image = np.array(_jitter(Image.fromarray(image), strength))
    if options.blur and blurs < 0.5:
        image = gaussian_blur(image, radius)
    return image, label


def _mirror(array: np.ndarray) -> np.ndarray:
    # Takes a third of the time of copying `array[:, ::-1]`, whose pixels are runs of three bytes.
    return np.array(ImageOps.mirror(Image.fromarray(array)))


def _scale_and_crop(
    image: np.ndarray,
    label: np.ndarray | None,
    size: tuple[int, int],
    factor: float,
    place: tuple[float, float],
    centre: tuple[int, int] | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scales by `factor`, then crops or pads to `size` (height, width).

    `place` in [0, 1) says where the window lies in the image unless there is a `centre`, or the
    image in the window. Only the window is resized: the same pixels as when cropping after the
    resize, for a fraction of the work.
    """
    box, corner = [0.0] * 4, [0, 0]
    inner = list(size)
    for axis in (0, 1):
        length = image.shape[axis]
        window = size[axis] / factor
        if window <= length:
            box[axis] = place[axis] * (length - window)
            if centre is not None:
                box[axis] = min(max(centre[axis] + 0.5 - window / 2, 0.0), length - window)
            box[axis + 2] = box[axis] + window
        else:
            box[axis + 2] = length
            inner[axis] = max(1, min(size[axis], round(length * factor)))
            corner[axis] = round(place[axis] * (size[axis] - inner[axis]))
    (y0, x0, y1, x1), (height, width) = box, inner

    def cut(array: np.ndarray, resample: Image.Resampling) -> np.ndarray:
        picture = Image.fromarray(array)
        return np.array(picture.resize((width, height), resample, box=(x0, y0, x1, y1)))

    def pad(array: np.ndarray, fill: ArrayLike) -> np.ndarray:
        if array.shape[:2] == tuple(size):
            return array
        padded = np.full((*size, *array.shape[2:]), fill, np.uint8)
        padded[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = array
        return padded

    image = cut(image, Image.Resampling.BICUBIC)
    image = pad(image, np.rint(image.mean(axis=(0, 1))))
    return image, None if label is None else pad(cut(label, Image.Resampling.NEAREST), IGNORE)


def _jitter(image: Image.Image, strength: np.ndarray) -> Image.Image:
    """Changes gamma, brightness, contrast and saturation.

    Args:
        image: RGB.
        strength: `[4]` signed strengths of brightness, contrast, saturation and log gamma.
    """
    brightness, contrast, saturation, log_gamma = strength
    # All but the saturation depend on a single value, so a table of 256 entries applies them.
    table = np.linspace(0, 1, 256) ** math.exp(log_gamma) * (1 + brightness)
    counts = np.array(image.convert("L").histogram())
    mean = counts @ table / counts.sum()
    table = (table - mean) * (1 + contrast) + mean
    table = np.clip(np.rint(255 * table), 0, 255).astype(int).tolist()
    image = image.point(table * 3)
    grey = image.convert("L").convert("RGB")
    return Image.blend(grey, image, 1 + saturation)
