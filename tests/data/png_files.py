"""PNG files written by hand, of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE = 0, 2, 3
# First row and column, and the steps, of each pass of Adam7.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
_LAST_PASS = (1, 0, 2, 1)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and data of all chunks of a file."""
    found, place = [], len(SIGNATURE)
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def joined(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A file of these chunks."""
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in parts)


def png(pixels: np.ndarray, color: int, bits: int = 8, *, interlaced: bool = False) -> bytes:
    """A PNG of `[H, W]` or `[H, W, channels]` numbers, each of `bits` bits; no filters."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    passes = [pixels]
    if interlaced:
        passes = [pixels[y::dy, x::dx] for y, x, dy, dx in (*_PASSES, _LAST_PASS)]
    rows = b"".join(b"\0" + _row(row, bits) for part in passes if part.size for row in part)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if color == PALETTE:
        parts.insert(1, (b"PLTE", bytes(range(255, -1, -1)) * 3))
    return joined(parts)


def _row(row: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    if bits == 8:
        return row.astype(np.uint8).tobytes()
    expanded = (row.reshape(-1, 1) >> np.arange(bits)[::-1]) & 1
    return np.packbits(expanded.astype(np.uint8)).tobytes()
