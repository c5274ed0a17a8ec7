"""Segmentation of large images in overlapping windows, of which none is larger than asked for.

Each window's logits are laid on the grid of cells that the network would give for the whole image,
and the mean of all windows is taken in each cell. A window counts less towards its edges, where it
knows least, so that no seam shows. Up-sampling and softmax follow, as for whole images.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from msl_jax.evaluation.segmentation import Predictor, Size, view_logits

# Of a window's side, the least that it shares with the next one.
OVERLAP = 1 / 3
# Windows begin at its multiples, so that their cells lie on those of the whole image: the output
# stride of most networks. With another one the cells are interpolated.
_STRIDE = 8


def window_logits(
    predictor: Predictor, variables: Any, image: np.ndarray, window: Size, batch_size: int
) -> tuple[np.ndarray, ...]:
    """Logits of every view of an image, as `Predictor.logits` gives them for the whole.

    Windows give what the whole image gives if each cell depends on no more of the image than the
    window holds, and the cells of both lie on each other: with a stride of 8, where the sides of
    image and window are 8 n + 1.

    Args:
        predictor: gives the logits.
        variables: of the network.
        image: uint8 `[H, W, 3]`.
        window: (height, width), cut down to the image's.
        batch_size: windows in the network at a time.

    Returns:
        float32 `[1, h, w, C]` each.
    """
    size = image.shape[:2]
    window = (min(window[0], size[0]), min(window[1], size[1]))
    if window == size:
        return tuple(map(np.asarray, view_logits(predictor, variables, image[None])))
    shapes = [view.shape[1:] for view in _abstract(predictor, variables, (1, *image.shape))]
    sums = [np.zeros(shape, np.float32) for shape in shapes]
    weights = [np.zeros((*shape[:2], 1), np.float32) for shape in shapes]
    corners = list(itertools.product(*map(_starts, size, window)))
    batch_size = min(batch_size, len(corners))
    for part in _batches(corners, batch_size):
        cuts = [image[top : top + window[0], left : left + window[1]] for top, left in part]
        cuts += cuts[-1:] * (batch_size - len(cuts))  # one program for all batches
        views = map(np.asarray, view_logits(predictor, variables, np.stack(cuts)))
        for total, weight, logits in zip(sums, weights, views, strict=True):
            for corner, cells in zip(part, logits, strict=False):
                (rows, down), (columns, across) = (
                    _placed(total.shape[axis], cells.shape[axis], size[axis], window[axis], start)
                    for axis, start in enumerate(corner)
                )
                total[rows, columns] += np.einsum(
                    "Hh,hwc,Ww->HWc", down, cells, across, optimize=True
                )
                weight[rows, columns] += np.outer(down.sum(1), across.sum(1))[..., None]
    return tuple(total[None] / weight for total, weight in zip(sums, weights, strict=True))


def _abstract(
    predictor: Predictor, variables: Any, shape: tuple[int, ...]
) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Shapes of the logits of whole images, of which none is computed."""
    return jax.eval_shape(predictor.logits, variables, jax.ShapeDtypeStruct(shape, jnp.uint8))


def _starts(length: int, window: int) -> list[int]:
    """Where windows begin along a side: as few as overlap enough, evenly spread.

    >>> _starts(100, 100), _starts(101, 50)
    ([0], [0, 24, 51])
    """
    free, step = length - window, window - max(1, round(OVERLAP * window))
    count = -(-free // step)  # of those after the first
    return [0] + [
        free if i == count else i * free // count // _STRIDE * _STRIDE for i in range(1, count + 1)
    ]


@functools.lru_cache(maxsize=256)
def _placed(
    whole: int, cells: int, length: int, window: int, start: int
) -> tuple[slice, np.ndarray]:
    """Lays the cells of a window on those of the whole, along one side.

    Corner cells lie on corner pixels, as in `resize_align_corners`.

    Args:
        whole: number of cells of the whole side.
        cells: of the window's.
        length: pixels of the whole side.
        window: of the window's.
        start: the window's first pixel.

    Returns:
        The whole's cells that lie in the window, n of them, and their weighted shares of the
        window's cells, float32 `[n, cells]`.
    """
    pixels = np.arange(whole) * ((length - 1) / max(whole - 1, 1)) - start
    inside = np.flatnonzero((pixels > -1e-6) & (pixels < window - 1 + 1e-6))
    places = np.clip(pixels[inside] * ((cells - 1) / (window - 1)), 0, cells - 1)
    shares = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    # Hann's window: next to nothing at the edges, where the network sees its padding.
    weights = np.sin(np.pi * (places + 0.5) / cells) ** 2
    return slice(inside[0], inside[-1] + 1), (shares * weights[:, None]).astype(np.float32)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
