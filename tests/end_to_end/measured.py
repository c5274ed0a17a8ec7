"""What metrics of CamVid look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from msl_jax.data.label_sets import LABEL_SETS

NAMES = LABEL_SETS["camvid"].names


def assert_metrics(metrics: dict[str, Any]) -> None:
    assert set(metrics) == {"miou", "iou", "pixel_accuracy"}
    assert tuple(metrics["iou"]) == NAMES
    present = [value for value in metrics["iou"].values() if value is not None]
    assert all(0 <= value <= 1 for value in present)
    assert metrics["miou"] == pytest.approx(np.mean(present), abs=1e-12)
    assert 0 < metrics["pixel_accuracy"] <= 1
