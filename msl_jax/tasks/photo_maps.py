"""What predict.py writes for a segmentation: maps of each photo, and tables of all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from msl_jax.data.datasets.class_file import class_file_text
from msl_jax.data.label_encoding import file_ids, id_table
from msl_jax.data.labels import LabelSet
from msl_jax.data.photos import CLASSES_FILE
from msl_jax.evaluation import pictures
from msl_jax.evaluation.segmentation import Predictor, view_logits, winners
from msl_jax.evaluation.windows import window_logits
from msl_jax.runtime.files import atomic_write, write_json, write_text
from msl_jax.tasks.photos import PhotoOptions, Size, no_formula, write_csv

_MAPS = ("labels", "colors", "overlays", "confidence")
_TABLES = {
    "shares": ("shares.csv", "shares.json"),
    "legend": ("legend.svg",),
    "classes": (CLASSES_FILE,),
}
# How hard zlib tries, where it takes most of the time of a prediction: photographs take a fifth of
# the time at level 1, and 12 % more room.
_PACKING = {"overlays": 1}


class Prediction(NamedTuple):
    """Of one photo.

    Attributes:
        labels: train ids, uint8 `[H, W]`.
        confidence: their probabilities, uint8 `[H, W]`, 255 for 1; None where nobody asks for them.
    """

    labels: np.ndarray
    confidence: np.ndarray | None


class PhotoMaps:
    """Label maps, colours and overlays of photos, each written whole or not at all.

    See `PhotoResults`. A row is the number of pixels of each class.
    """

    def __init__(
        self,
        predictor: Predictor,
        label_set: LabelSet,
        options: PhotoOptions,
        batch_size: int,
        output: Path,
    ) -> None:
        """Writes nothing yet.

        Args:
            predictor: gives the probabilities.
            label_set: the classes.
            options: what is to be written.
            batch_size: windows in the network at a time.
            output: folder for the results.

        Raises:
            UserError: the classes have no ids as the options ask for them.
        """
        self._predictor, self._options, self._output = predictor, options, output
        self._label_set, self._batch_size = label_set, batch_size
        self._ids = file_ids(label_set, options.label_ids)

    def files(self, name: Path) -> tuple[Path, ...]:
        """See `PhotoResults`."""
        return tuple(self._output / kind / name for kind in self._kinds())

    def tables(self) -> tuple[Path, ...]:
        """See `PhotoResults`."""
        wanted = self._options.write
        return tuple(
            self._output / file
            for kind, files in _TABLES.items()
            if kind in wanted
            for file in files
        )

    def predict(self, variables: Any, images: np.ndarray, sizes: Sequence[Size]) -> list[Any]:
        """See `PhotoResults`."""
        window = self._options.window
        if window is None:
            # On the host, where taking one of them compiles nothing.
            batch = [np.asarray(view) for view in view_logits(self._predictor, variables, images)]
            views = [[view[i : i + 1] for view in batch] for i in range(len(sizes))]
            return [self._prediction(view, size) for view, size in zip(views, sizes, strict=True)]
        return [
            self._prediction(
                window_logits(self._predictor, variables, image, window, self._batch_size), size
            )
            for image, size in zip(images, sizes, strict=False)
        ]

    def write(self, name: Path, image: np.ndarray, prediction: Prediction) -> list[int]:
        """See `PhotoResults`."""
        colors = pictures.colorize(prediction.labels, self._label_set.palette)
        for kind, file in zip(self._kinds(), self.files(name), strict=True):
            if os.path.lexists(file):
                continue  # written before a kill
            if kind == "labels":
                result = id_table(self._ids)[prediction.labels]
            elif kind == "colors":
                result = colors
            elif kind == "overlays":
                result = pictures.overlay(image, colors, self._options.opacity)
            else:
                result = prediction.confidence
            with atomic_write(file) as partial:
                Image.fromarray(result).save(partial, "PNG", compress_level=_PACKING.get(kind, 6))
        return np.bincount(prediction.labels.ravel(), minlength=len(self._ids)).tolist()

    def close(self, rows: Mapping[str, Any], names: Sequence[Path]) -> tuple[list[Path], str]:
        """See `PhotoResults`; the main files are those of the first kind of map, or the tables."""
        wanted, classes = self._options.write, self._label_set
        if "shares" in wanted:
            self._write_shares(rows)
        if "legend" in wanted:
            colors = [label.color for label in classes.classes]
            self._write_once("legend.svg", pictures.legend(classes.names, colors))
        if "classes" in wanted:
            self._write_once(CLASSES_FILE, class_file_text(classes, self._ids))
        files = [self.files(name)[0] for name in names] if self._kinds() else [*self.tables()]
        named = {"labels": "label maps", "colors": "colours", "classes": CLASSES_FILE}
        *most, last = (named.get(kind, kind) for kind in wanted)
        listed = f"{', '.join(most)} and {last}" if most else last
        return files, f"{listed} are in {self._output}"

    def _kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in _MAPS if kind in self._options.write)

    def _prediction(self, views: Sequence[np.ndarray], size: Size) -> Prediction:
        (labels,), (confidence,) = winners(views, size)
        if "confidence" not in self._options.write:
            return Prediction(labels, None)
        return Prediction(labels, pictures.confidence_grey(confidence))

    def _write_once(self, name: str, text: str) -> None:
        """What depends on the settings alone is not written again: a user may have changed it."""
        if not os.path.lexists(self._output / name):
            write_text(self._output / name, text)

    def _write_shares(self, rows: Mapping[str, Any]) -> None:
        names = self._label_set.names
        shares = {
            photo: [number / sum(numbers) for number in numbers] for photo, numbers in rows.items()
        }
        table = [
            (no_formula(photo, "./"), *(f"{share:.6f}" for share in found))
            for photo, found in shares.items()
        ]
        csv_file, json_file = (self._output / file for file in _TABLES["shares"])
        write_csv(csv_file, [("file", *(no_formula(name, "'") for name in names)), *table])
        write_json(
            json_file,
            {photo: dict(zip(names, found, strict=True)) for photo, found in shares.items()},
        )
