"""Made-up results for a few rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.tables.files import result_file
from benchmarks.tables.runs import Run

# Target mIoU by row and seed: before (None if the row adapts nothing), after.
MIOU = {
    "source": {0: (None, 0.20), 1: (None, 0.30)},
    "target_statistics": {0: (0.20, 0.24), 1: (0.30, 0.36)},
    "max_square": {0: (0.20, 0.30), 1: (0.30, 0.35)},
    "target_statistics_multi": {1: (0.25, 0.37)},
    "max_square_multi": {1: (0.25, 0.40)},
    "oracle": {0: (None, 0.60), 1: (None, 0.50)},
}


def metrics_of(miou: float) -> dict[str, Any]:
    return {"miou": miou, "iou": {"road": 1 - miou, "train": None}, "pixel_accuracy": 0.5}


def results_of(row: str, seed: int, before: float | None, after: float) -> dict[str, Any]:
    return {
        "config": "camvid",
        "variant": row.partition("-")[0],
        "seed": seed,
        "source_only": before and {"target": metrics_of(before), "source": metrics_of(0.7)},
        "final": {"target": metrics_of(after), "source": metrics_of(0.6), "step": 9},
        "best": {"target": metrics_of(after + 0.01), "step": 8},
    }


# The same for rows with other values of a parameter.
SENSITIVITY = {
    "max_square-lambda_target=2": {0: (0.2, 0.31), 1: (0.3, 0.33)},
    "max_square-lambda_target=0.8": {0: (0.2, 0.22)},
}


def write_results(folder: Path, miou: Any = MIOU, **other: Any) -> Path:
    """Writes results of rows into a folder and returns it."""
    folder.mkdir(exist_ok=True)
    for row, seeds in miou.items():
        for seed, pair in seeds.items():
            text = json.dumps({**results_of(row, seed, *pair), **other})
            result_file(folder, Run(row, seed)).write_text(text)
    return folder
