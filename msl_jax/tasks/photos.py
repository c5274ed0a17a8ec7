"""What predict.py asks of a task: how photos enter the network, and which files come of them."""

from __future__ import annotations

import csv
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ml_collections.config_dict import ConfigDict

from msl_jax.data.limits import MAX_PIXELS
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write

Size = tuple[int, int]

# What --write takes; a classification writes its table alone.
KINDS = ("labels", "colors", "overlays", "confidence", "shares", "legend", "classes")
DEFAULT_KINDS = ("labels", "colors", "overlays")
_SMALLEST_WINDOW = 64


@dataclasses.dataclass(frozen=True)
class PhotoOptions:
    """What is to be written of photos, for segmentation.

    Attributes:
        write: some of `KINDS`.
        label_ids: the ids in label maps, one of `label_encoding.ENCODINGS`.
        opacity: of the colours in overlays.
        window: (height, width) of the windows in which photos are predicted; None for whole photos.

    Raises:
        UserError: a value that cannot be.
    """

    write: tuple[str, ...] = DEFAULT_KINDS
    label_ids: str = "train"
    opacity: float = 0.5
    window: Size | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if not self.write or not set(self.write) <= set(KINDS):
            raise UserError(
                f"--write={','.join(self.write)}: expected some of {', '.join(KINDS)}, with commas"
                " between them"
            )
        if not 0 <= self.opacity <= 1:
            raise UserError(f"--opacity={self.opacity}: expected a number in [0, 1]")
        if self.window is not None and min(self.window) < _SMALLEST_WINDOW:
            raise UserError(
                f"--window={','.join(map(str, self.window))}: expected HEIGHT,WIDTH in pixels, at"
                f" least {_SMALLEST_WINDOW} each"
            )


class PhotoResults(Protocol):
    """The files that a task writes about photos.

    A row is what is noted of a photo that is done, a JSON value; a prediction that goes on later
    has the rows of what was done before.
    """

    def files(self, name: Path) -> tuple[Path, ...]:
        """The files of one photo; `name` is that of its PNG files."""
        ...

    def tables(self) -> tuple[Path, ...]:
        """The files that are written at the end."""
        ...

    def predict(self, variables: Any, images: np.ndarray, sizes: Sequence[Size]) -> list[Any]:
        """Predicts a batch.

        Args:
            variables: of the network.
            images: uint8 `[B, h, w, 3]`, as they enter the network.
            sizes: (height, width) of the photos themselves, B or less: the rest is padding.

        Returns:
            A prediction for each of `sizes`.
        """
        ...

    def write(self, name: Path, image: np.ndarray, prediction: Any) -> Any:
        """Writes the files of a photo that are not there yet; in any thread.

        Args:
            name: as for `files`.
            image: the photo, uint8 `[H, W, 3]`.
            prediction: of it.

        Returns:
            Its row.
        """
        ...

    def close(self, rows: Mapping[str, Any], names: Sequence[Path]) -> tuple[list[Path], str]:
        """Writes the tables.

        Args:
            rows: of the photos, by their paths below the input.
            names: of their PNG files, in the same order.

        Returns:
            The main files, in order, and a line that says where they are.
        """
        ...


def network_size(config: ConfigDict, size: Size) -> Size:
    """(height, width) at which a photo enters the network: the key `photo_size`.

    Args:
        config: complete.
        size: (height, width) of the photo.

    Raises:
        UserError: more pixels than are read of a photo.
    """
    target, how = tuple(config.target_size), config.photo_size
    if how == "target":
        return target
    side = min if how == "shorter" else max
    factor = 1.0 if how == "own" else side(target) / side(size)
    height, width = (max(16, round(factor * length)) for length in size)
    if height * width > MAX_PIXELS:
        raise UserError(
            f"a photo of {size[1]}x{size[0]} pixels would enter the network as {width}x{height};"
            " set config.photo_size=target or longer"
        )
    return height, width


def expect_new(files: Iterable[Path]) -> None:
    """Checks that no file is there already.

    Raises:
        UserError: one is.
    """
    existing = [file for file in files if os.path.lexists(file)]
    if existing:
        others = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UserError(
            f"--output: {existing[0]} exists already{others}; nothing is overwritten, give another"
            " folder or remove what is there"
        )


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes a table, completely or not at all."""
    with (
        atomic_write(path) as partial,
        # File names need not be valid UTF-8.
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)


def no_formula(text: str, before: str) -> str:
    """A cell that spreadsheets do not execute: `before` stands before what they would."""
    return before + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
