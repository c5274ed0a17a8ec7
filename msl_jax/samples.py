"""A few evaluation images with what the network makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msl_jax.data.images import resize_label
from msl_jax.data.records import Records
from msl_jax.evaluation import pictures
from msl_jax.evaluation.segmentation import Predictor, predict


class Samples:
    """Rows of image, label, prediction and confidence, for a few images of each domain."""

    def __init__(
        self,
        predictor: Predictor,
        palette: np.ndarray,
        records: Mapping[str, Records],
        count: int = 4,
    ) -> None:
        """Reads the images, evenly spaced over the records.

        Args:
            predictor: gives the predictions.
            palette: colours of the train ids, uint8 `[256, 3]`.
            records: of each domain.
            count: images of each domain.
        """
        self._predictor, self._palette = predictor, palette
        self._rows: dict[str, list[dict[str, Any]]] = {}
        for domain, source in records.items():
            places = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
            self._rows[domain] = [source[int(place)] for place in places]

    def __call__(self, variables: Any) -> dict[str, np.ndarray]:
        """One picture uint8 `[H, W, 3]` a domain: image, label, prediction, confidence (grey)."""
        return {domain: self._picture(variables, rows) for domain, rows in self._rows.items()}

    def _picture(self, variables: Any, rows: list[dict[str, Any]]) -> np.ndarray:
        images = np.stack([record["image"] for record in rows])
        size = images.shape[1:3]
        labels, confidence = predict(self._predictor, variables, images, size)
        return pictures.column(
            [
                pictures.row(
                    [
                        record["image"],
                        pictures.colorize(resize_label(record["label"], size), self._palette),
                        pictures.colorize(labels[i], self._palette),
                        pictures.confidence_map(confidence[i]),
                    ]
                )
                for i, record in enumerate(rows)
            ]
        )

    def save(self, variables: Any, folder: Path, name: str) -> None:
        """Writes ``NAME_DOMAIN.png`` for each domain into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for domain, picture in self(variables).items():
            Image.fromarray(picture).save(folder / f"{name}_{domain}.png")
