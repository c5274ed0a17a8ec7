"""Records whose labels lie in files of their own, as a network has made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msl_jax.data import decoding
from msl_jax.data.prepared.records import Records
from msl_jax.runtime.errors import UserError


class Mining(NamedTuple):
    """Which pixels crops are laid round.

    Attributes:
        classes: whose pixels.
        chance: how often, of the images that have some.
    """

    classes: tuple[int, ...] = ()
    chance: float = 0.0

    def draw(self, rng: np.random.Generator, label: np.ndarray) -> tuple[int, int] | None:
        """A random pixel of a random one of the classes, (row, column); None for any crop.

        Args:
            rng: advanced by three draws, whatever comes out.
            label: `[H, W]`, or `[H, W, 3]` whose first layer it is.
        """
        chance, which, where = rng.random(3).tolist()
        label = label if label.ndim == 2 else label[..., 0]
        counts = np.bincount(label.ravel(), minlength=256)
        present = [number for number in self.classes if counts[number]]
        if not present or chance >= self.chance:
            return None
        places = np.flatnonzero(label == present[int(which * len(present))])
        row, column = divmod(int(places[int(where * len(places))]), label.shape[1])
        return row, column


class Chosen:
    """Some of the records, by their numbers."""

    def __init__(self, records: Records, numbers: Sequence[int]) -> None:
        """Reads nothing yet."""
        self.folder, self.numbers = records.folder, tuple(numbers)
        self._records = records

    def __len__(self) -> int:
        """Number of those chosen."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """As `Records`; the index counts those chosen."""
        return self._records[self.numbers[index]]


class LabelledRecords(Chosen):
    """Chosen records with labels from files.

    Attributes:
        mining: for the crops of the training.
    """

    def __init__(
        self,
        records: Records,
        numbers: Sequence[int],
        files: Sequence[Path],
        mining: Mining | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            records: with the images.
            numbers: of the records chosen.
            files: PNG of each, train ids or three layers, of the image's size.
            mining: default is none.
        """
        super().__init__(records, numbers)
        self._files, self.mining = tuple(files), mining or Mining()

    def __getitem__(self, index: int) -> dict[str, Any]:
        """As `Records`, with the label from its file.

        Returns:
            The label is uint8 `[H, W]`, or `[H, W, 3]` where the files have three layers.

        Raises:
            UserError: the file is missing, damaged, or of another size.
        """
        record, file = super().__getitem__(index), self._files[index]
        label = decoding.decode(file, np.array, formats=("PNG",))
        size = record["image"].shape[:2]
        if label.shape[:2] != size or label.dtype != np.uint8:
            raise UserError(
                f"{file}: expected labels of {size[1]}x{size[0]} pixels, found {label.dtype} of"
                f" shape {label.shape}; put the file back as the run has written it"
            )
        return {**record, "label": label}
