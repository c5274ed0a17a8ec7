"""What predict.py writes for a classification: one table of all photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from msl_jax.evaluation.classification import Classifier, classify
from msl_jax.tasks.photos import Size, no_formula, write_csv

PREDICTIONS = "predictions.csv"


class PhotoClasses:
    """``predictions.csv``: file, class and probability of each photo; see `PhotoResults`."""

    def __init__(self, classifier: Classifier, names: tuple[str, ...], output: Path) -> None:
        """Writes nothing yet.

        Args:
            classifier: gives the probabilities.
            names: of the classes.
            output: folder for the table.
        """
        self._classifier, self._names = classifier, names
        self._file = output / PREDICTIONS

    def files(self, name: Path) -> tuple[Path, ...]:
        """None: the table has all."""
        del name
        return ()

    def tables(self) -> tuple[Path, ...]:
        """See `PhotoResults`."""
        return (self._file,)

    def predict(self, variables: Any, images: np.ndarray, sizes: Sequence[Size]) -> list[Any]:
        """See `PhotoResults`: classes and their probabilities."""
        found = classify(self._classifier, variables, images)
        return list(zip(*(values[: len(sizes)].tolist() for values in found), strict=True))

    def write(self, name: Path, image: np.ndarray, prediction: tuple[int, float]) -> list[Any]:
        """See `PhotoResults`: writes nothing."""
        del name, image
        return list(prediction)

    def close(self, rows: Mapping[str, Any], names: Sequence[Path]) -> tuple[list[Path], str]:
        """See `PhotoResults`; the one file is the table."""
        del names
        cells = [
            (no_formula(photo, "./"), no_formula(self._names[index], "'"), f"{probability:.6f}")
            for photo, (index, probability) in rows.items()
        ]
        write_csv(self._file, [("file", "class", "probability"), *cells])
        where = f"their classes are in {self._file}"
        if any(name.startswith("'") for _, name, _ in cells):
            where += "; an apostrophe stands before names that spreadsheets take for formulas"
        return [self._file], where
