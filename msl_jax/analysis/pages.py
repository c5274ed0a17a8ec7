"""The figures of a study, put together, and the numbers that stand in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from msl_jax.analysis import plots, shares
from msl_jax.analysis.study import Study
from msl_jax.evaluation import iou


def figures(study: Study) -> dict[str, Figure]:
    """All figures, by file name."""
    return {
        "gradients": _gradients(len(study.names)),
        "gradient_shares": _gradient_shares(study),
        "class_balance": _class_balance(study),
        "difficulty": _difficulty(study),
    }


def _gradients(num_classes: int) -> Figure:
    figure = Figure(figsize=(14, 4), layout="constrained")
    left, *others = figure.subplots(1, 3)
    plots.gradient_curves(left)
    left.set_title("two classes, with respect to p (Fig. 1)")
    for axes, classes in zip(others, (2, num_classes), strict=True):
        plots.logit_gradient_curves(axes, classes)
        axes.set_title(f"{classes} classes, with respect to the logits")
    return figure


def _gradient_shares(study: Study) -> Figure:
    figure = Figure(figsize=(11, 4 * len(study.states)), layout="constrained")
    rows = figure.subplots(len(study.states), 2, squeeze=False)
    for (left, right), (title, state) in zip(rows, study.states.items(), strict=True):
        plots.gradient_by_confidence(left, state.pixels)
        left.set_title(title)
        plots.gradient_by_class(right, state.pixels, study.names)
        right.set_title(title)
    return figure


def _class_balance(study: Study) -> Figure:
    figure = Figure(figsize=(11, 4 * len(study.states)), layout="constrained")
    rows = figure.subplots(len(study.states), 2, squeeze=False)
    for (left, right), (title, state) in zip(rows, study.states.items(), strict=True):
        table = shares.class_table(state.pixels)
        plots.class_scatter(left, table.confidence, table.iou, study.names, "mean confidence")
        plots.class_scatter(right, _log(table.frequency), table.iou, study.names, "log10 frequency")
        left.set_title(f"{title}: {left.get_title()}")
        right.set_title(f"{title}: {right.get_title()}")
    return figure


def _difficulty(study: Study) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    points = [state.accuracy for state in study.states.values()]
    plots.accuracy_curves(axes, range(len(points)), {study.variant: points})
    axes.set_xticks(range(len(points)), list(study.states))
    axes.set_xlabel("")
    return figure


def numbers(study: Study) -> dict[str, Any]:
    """What the figures show, JSON-able; shares and IoU in [0, 1], None where undefined."""
    return {
        "variant": study.variant,
        "classes": list(study.names),
        "states": {
            title: {
                "accuracy": state.accuracy,
                **_balance(state.pixels),
                "gradient_share_by_class": {
                    loss: _plain(shares.shares(sizes))
                    for loss, sizes in state.pixels.gradient_by_class.items()
                },
                "gradient_share_above_confidence_0.9": {
                    loss: float(shares.coarser(shares.shares(sizes), 10)[-1])
                    for loss, sizes in state.pixels.gradient_by_bin.items()
                },
                "pixels_above_confidence_0.9": float(
                    shares.coarser(shares.shares(state.pixels.pixels_by_bin), 10)[-1]
                ),
                "guidance": {
                    "share": float(state.guidance.passed / state.guidance.pixels),
                    "accuracy": _accuracy(state.guidance.guidance),
                    "final_accuracy": _accuracy(state.guidance.final),
                    "low_accuracy": _accuracy(state.guidance.low),
                    "low_iou": _plain(iou(state.guidance.low)),
                },
            }
            for title, state in study.states.items()
        },
    }


def _balance(pixels: Any) -> dict[str, Any]:
    table = shares.class_table(pixels)
    return {
        "iou": _plain(table.iou),
        "confidence": _plain(table.confidence),
        "frequency": _plain(table.frequency),
        "correlation": {
            "confidence, iou": shares.correlation(table.confidence, table.iou),
            "log frequency, iou": shares.correlation(_log(table.frequency), table.iou),
        },
    }


def _log(frequency: np.ndarray) -> np.ndarray:
    return np.log10(np.where(frequency > 0, frequency, np.nan))


def _accuracy(confusion: np.ndarray) -> float | None:
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else None


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
