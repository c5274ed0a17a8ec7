"""Label maps, overlays and rows of pictures that a person can look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_STRIP = 256  # rows
_GAP = 4  # white pixels between the pictures of a row


def colorize(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Label map in colours.

    Args:
        labels: uint8 `[H, W]`.
        palette: uint8 `[256, 3]`.

    Returns:
        uint8 `[H, W, 3]`.
    """
    return palette[labels]


def overlay(image: np.ndarray, colors: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """`colors` over `image`, both uint8 `[H, W, 3]`."""
    result = np.empty_like(image)
    for top in range(0, len(image), _STRIP):  # floats of a large photo would take gigabytes
        rows = slice(top, top + _STRIP)
        mixed = (1 - opacity) * image[rows].astype(np.float32)
        mixed += opacity * colors[rows].astype(np.float32)
        result[rows] = np.rint(mixed).astype(np.uint8)
    return result


def confidence_map(confidence: np.ndarray) -> np.ndarray:
    """Probability of the predicted class as grey: [0, 1] `[H, W]` -> uint8 `[H, W, 3]`."""
    grey = np.rint(255 * np.clip(confidence, 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 `[H, W, 3]` of one size side by side, white between them."""
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def column(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of one size below each other, white between them."""
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for picture in rows for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=0)
