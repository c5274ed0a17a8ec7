"""The figures of a study, put together, and the numbers shown in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from msl_jax.analysis import class_statistics, plots
from msl_jax.analysis.before_after import Study
from msl_jax.analysis.guidance import GuidanceSums
from msl_jax.analysis.pixel_statistics import PixelSums
from msl_jax.evaluation import iou


def figures(study: Study, compared: Sequence[Study] = ()) -> dict[str, Figure]:
    """All figures, by file name; that of the guidance only if there is any.

    Args:
        study: of the run.
        compared: of further runs, for Fig. 5.
    """
    found = {
        "gradients": _gradients(len(study.names)),
        "gradient_shares": _gradient_shares(study),
        "class_balance": _class_balance(study),
        "difficulty": _difficulty([study, *compared]),
    }
    before, after = (state.guidance for state in study.states.values())
    if before is not None and after is not None:
        found["guidance"] = _guided(study.names, before, after)
    return found


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
    counted = "pixels" if study.task == "segmentation" else "images"
    for (left, right), (title, state) in zip(rows, study.states.items(), strict=True):
        plots.gradient_by_confidence(left, state.pixels, counted=counted)
        left.set_title(title)
        plots.gradient_by_class(right, state.pixels, study.names, counted=counted)
        right.set_title(title)
    return figure


def _class_balance(study: Study) -> Figure:
    figure = Figure(figsize=(11, 4 * len(study.states)), layout="constrained")
    rows = figure.subplots(len(study.states), 2, squeeze=False)
    for (left, right), (title, state) in zip(rows, study.states.items(), strict=True):
        table = class_statistics.class_table(state.pixels)
        name, measure = _measure(study, table)
        for axes, values, label in (
            (left, table.confidence, "mean confidence"),
            (right, _log(table.frequency), "log10 frequency"),
        ):
            plots.class_scatter(axes, values, measure, study.names, label, name)
        left.set_title(f"{title}: {left.get_title()}")
        right.set_title(f"{title}: {right.get_title()}")
    plots.spread_labels(figure)
    return figure


def _measure(study: Study, table: class_statistics.ClassTable) -> tuple[str, np.ndarray]:
    """The metric of a class and its values `[C]`: in segmentation IoU, as in the paper."""
    return ("IoU", table.iou) if study.task == "segmentation" else ("accuracy", table.accuracy)


def _difficulty(studies: Sequence[Study]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    plots.accuracy_curves(axes, {study.variant: study.accuracy for study in studies})
    axes.set_xlabel("step of the adaptation; 0 is source-only")
    return figure


def _guided(names: Sequence[str], before: GuidanceSums, after: GuidanceSums) -> Figure:
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots()
    plots.guidance_by_class(axes, names, before, after)
    passed, right = before.passed / before.pixels, _accuracy(before.guidance)
    axes.set_title(
        f"source-only: {passed:.1%} of the pixels pass"
        + ("" if right is None else f", {right:.1%} rightly")
    )
    return figure


def numbers(study: Study, compared: Sequence[Study] = ()) -> dict[str, Any]:
    """The numbers in the figures, JSON-able; shares and IoU in [0, 1], None if undefined."""
    others = {other.variant: _accuracies(other) for other in compared}
    return {
        "variant": study.variant,
        "classes": list(study.names),
        "accuracy": _accuracies(study),
        **({"compared": others} if others else {}),
        "states": {
            title: {
                **_balance(study, state.pixels),
                "gradient_share_by_class": {
                    loss: _plain(class_statistics.shares(sizes))
                    for loss, sizes in state.pixels.gradient_by_class.items()
                },
                "gradient_share_above_confidence_0.9": {
                    loss: float(class_statistics.coarser(class_statistics.shares(sizes), 10)[-1])
                    for loss, sizes in state.pixels.gradient_by_bin.items()
                },
                "pixels_above_confidence_0.9": float(
                    class_statistics.coarser(
                        class_statistics.shares(state.pixels.pixels_by_bin), 10
                    )[-1]
                ),
                **({} if state.guidance is None else {"guidance": _guidance(state.guidance)}),
            }
            for title, state in study.states.items()
        },
    }


def _accuracies(study: Study) -> dict[str, dict[str, float | None]]:
    return {
        str(step): {part: _number(value) for part, value in found.items()}
        for step, found in study.accuracy.items()
    }


def _guidance(sums: GuidanceSums) -> dict[str, Any]:
    return {
        "share": float(sums.passed / sums.pixels),
        "accuracy": _accuracy(sums.guidance),
        "final_accuracy": _accuracy(sums.final),
        "low_accuracy": _accuracy(sums.low),
        "low_iou": _plain(iou(sums.low)),
    }


def _balance(study: Study, pixels: PixelSums) -> dict[str, Any]:
    table = class_statistics.class_table(pixels)
    name, measure = _measure(study, table)
    key = {"IoU": "iou", "accuracy": "class_accuracy"}[name]
    return {
        key: _plain(measure),
        "confidence": _plain(table.confidence),
        "frequency": _plain(table.frequency),
        "correlation": {
            f"confidence, {key}": _number(class_statistics.correlation(table.confidence, measure)),
            f"log frequency, {key}": _number(
                class_statistics.correlation(_log(table.frequency), measure)
            ),
        },
    }


def _log(frequency: np.ndarray) -> np.ndarray:
    return np.log10(np.where(frequency > 0, frequency, np.nan))


def _accuracy(confusion: np.ndarray) -> float | None:
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else None


def _plain(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return float(value) if np.isfinite(value) else None
