"""Random numbers and noise of the demo scenes, the same on every platform and NumPy version."""

from __future__ import annotations

import numpy as np

TILE = 64  # side of the periodic noise tile, a power of two


class Dice:
    """Random numbers drawn from `Generator.random` alone, whose stream NumPy keeps stable."""

    def __init__(self, seed: np.random.SeedSequence):
        """Starts a PCG64 stream; named so that NumPy's choice of default does not matter."""
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._generator.random()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._generator.random() < probability

    def integer(self, count: int) -> int:
        """A number in 0..count-1."""
        return int(self._generator.random() * count)

    def sign(self) -> float:
        """-1 or 1."""
        return -1.0 if self._generator.random() < 0.5 else 1.0

    def tint(self) -> tuple[float, float, float]:
        """Three numbers in [0, 1), see `Surface`."""
        a, b, c = self._generator.random(3).tolist()
        return a, b, c

    def array(self, *shape: int) -> np.ndarray:
        """float32 array in [0, 1)."""
        return self._generator.random(shape, np.float32)


def tile_noise(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth periodic noise in [0, 1): `tile` interpolated bilinearly at x, y (one cell a unit)."""
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    column, row = x0.astype(np.int32), y0.astype(np.int32)
    left, right = column & (TILE - 1), (column + 1) & (TILE - 1)
    upper, lower = (row & (TILE - 1)) * TILE, ((row + 1) & (TILE - 1)) * TILE
    flat = tile.ravel()
    top, bottom = flat.take(upper + left), flat.take(lower + left)
    top += fx * (flat.take(upper + right) - top)
    bottom += fx * (flat.take(lower + right) - bottom)
    return top + fy * (bottom - top)


def cell_hash(i: np.ndarray, j: np.ndarray, salt: int) -> np.ndarray:
    """A number in [0, 1) for every integer cell (i, j), the same on every platform."""
    mixed = (i.astype(np.int64) * 73856093) ^ (j.astype(np.int64) * 19349663) ^ (salt * 83492791)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0x7FFFFFFF
    return ((mixed >> 8) & 0xFFFF).astype(np.float32) / np.float32(65536.0)
