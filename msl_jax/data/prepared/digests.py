"""Digests of what records hold, by which a run knows its data again."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from msl_jax.data.prepared.encoding import Row


class ContentDigests:
    """SHA-256 of the keys, images and labels of records, in their order.

    They depend on what the records hold alone, not on the files they were made from, nor on where
    they are or how they are compressed.
    """

    def __init__(self) -> None:
        """Of no records."""
        self._of = {name: hashlib.sha256() for name in ("key", "image", "label")}

    def add(self, row: Row) -> None:
        """Adds a record."""
        for name, digest in self._of.items():
            value = row[name]
            if isinstance(value, str):
                digest.update(os.fsencode(value) + b"\0")
            else:
                digest.update(f"{value.shape}".encode())
                digest.update(np.ascontiguousarray(value))

    def result(self) -> dict[str, str]:
        """The digests: ``{"keys": ..., "images": ..., "labels": ...}``."""
        return {f"{name}s": digest.hexdigest() for name, digest in self._of.items()}


def joined(digests: list[dict[str, str]]) -> dict[str, str]:
    """The digests of a set, from those of its shards in their order."""
    return {
        name: hashlib.sha256("".join(part[name] for part in digests).encode()).hexdigest()
        for name in digests[0]
    }
