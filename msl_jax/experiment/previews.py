"""A few evaluation images with what the network makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msl_jax.data.prepared.records import Records
from msl_jax.tasks.task import Draw


class Samples:
    """One picture of a few images of each domain, with what the network makes of them."""

    def __init__(self, draw: Draw, records: Mapping[str, Records], count: int) -> None:
        """Reads the images, evenly spaced over the records.

        Args:
            draw: shows variables and images.
            records: of each domain.
            count: images of each domain.
        """
        self._draw = draw
        self._rows = {domain: list(source.spread(count)) for domain, source in records.items()}

    def __call__(self, variables: Any) -> dict[str, np.ndarray]:
        """One picture uint8 `[H, W, 3]` of each domain."""
        return {domain: self._draw(variables, rows) for domain, rows in self._rows.items()}

    def save(self, variables: Any, folder: Path, name: str) -> None:
        """Writes ``NAME_DOMAIN.png`` for each domain into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for domain, picture in self(variables).items():
            Image.fromarray(picture).save(folder / f"{name}_{domain}.png")
