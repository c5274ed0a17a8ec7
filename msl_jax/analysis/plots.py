"""The figures, each drawn into axes that are given; what they show is computed elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from msl_jax.analysis import class_statistics, gradients
from msl_jax.analysis.guidance import GuidanceSums
from msl_jax.analysis.pixel_statistics import PixelSums
from msl_jax.evaluation import iou

# One colour for each loss in all figures; the weighted forms are dashed.
COLOURS = {"entropy": "tab:orange", "max_square": "tab:blue"}
LABELS = {
    "entropy": "entropy",
    "entropy_iw": "entropy, image-wise",
    "max_square": "maximum squares",
    "max_square_iw": "maximum squares, image-wise",
}
GAMMAS = (0.01, 0.05, 0.1)


def gradient_curves(axes: Axes, gammas: Sequence[float] = GAMMAS) -> None:
    """Fig. 1: |dH/dp|, |dMS/dp| and the scaled entropy, two classes, by automatic differentiation.

    Args:
        axes: to draw into.
        gammas: scale ratios of the scaled entropy.
    """
    p = np.linspace(0.001, 0.999, 999)

    def draw(curve: gradients.Curve, label: str, **style: Any) -> None:
        axes.plot(p, gradients.gradient_size(curve, p), label=label, **style)

    draw(gradients.binary_entropy, "H", color=COLOURS["entropy"])
    draw(gradients.binary_max_square, "MS", color=COLOURS["max_square"])
    for gamma, shade in zip(gammas, np.linspace(0.45, 0.75, len(gammas)), strict=True):
        scaled = functools.partial(gradients.binary_scaled_entropy, gamma=gamma)
        draw(scaled, rf"scaled H, $\gamma$ = {gamma:g}", color=str(shade), linestyle="--")
    axes.set(xlabel="probability p", ylabel="size of the gradient", ylim=(0, 6.5), xlim=(0, 1))
    axes.legend()


def logit_gradient_curves(axes: Axes, num_classes: int = 19) -> None:
    """The same for many classes, with respect to the logits, against the confidence.

    Args:
        axes: to draw into.
        num_classes: C; the classes beside the most probable one are equally probable.
    """
    confidence = np.linspace(1 / num_classes, 0.9995, 1000)[:-1]
    logits = gradients.one_sure_class(confidence, num_classes)
    for name, colour in COLOURS.items():
        sizes = np.linalg.norm(gradients.logit_gradients(name, logits), axis=-1)
        peak = confidence[sizes.argmax()]
        label = f"{LABELS[name]} (largest at {peak:.2f})"
        axes.plot(confidence, sizes / sizes.max(), color=colour, label=label)
    axes.set(xlabel="confidence", ylabel="gradient, relative to its largest", xlim=(0, 1))
    axes.legend()


def gradient_by_confidence(
    axes: Axes, sums: PixelSums, bins: int = 20, *, counted: str = "pixels"
) -> None:
    """Which share of the gradient pixels of each confidence send, and how many they are.

    Args:
        axes: to draw into.
        sums: of a sweep.
        bins: bars; must divide the bins of `sums`.
        counted: what the sums count.
    """
    edges = np.linspace(0, 1, bins + 1)
    pixels = class_statistics.shares(class_statistics.coarser(sums.pixels_by_bin, bins))
    axes.stairs(pixels, edges, fill=True, color="0.85", label=counted)
    for name, sizes in sums.gradient_by_bin.items():
        axes.stairs(
            class_statistics.shares(class_statistics.coarser(sizes, bins)), edges, **_line(name)
        )
    axes.set(xlabel="confidence", ylabel="share", xlim=(0, 1))
    axes.legend()


def gradient_by_class(
    axes: Axes, sums: PixelSums, names: Sequence[str], *, counted: str = "pixels"
) -> None:
    """Which share of the gradient each predicted class gets, ordered by its share of the pixels.

    Args:
        axes: to draw into.
        sums: of a sweep.
        names: of the classes.
        counted: what the sums count.
    """
    pixels = class_statistics.shares(sums.pixels_by_class)
    order = np.argsort(-pixels)
    places = np.arange(len(names))
    axes.bar(places, pixels[order], color="0.85", label=counted)
    markers = {"entropy": "o", "entropy_iw": "^", "max_square": "s", "max_square_iw": "v"}
    for name, sizes in sums.gradient_by_class.items():
        style: dict[str, Any] = {
            "color": COLOURS[name.removesuffix("_iw")],
            "label": LABELS[name],
        }
        filled = "none" if name.endswith("_iw") else "full"
        axes.plot(
            places, class_statistics.shares(sizes)[order], markers[name], fillstyle=filled, **style
        )
    axes.set_xticks(places, [names[i] for i in order], rotation=60, ha="right")
    axes.set(ylabel="share", yscale="log")
    lowest, highest = axes.get_ylim()
    axes.set_ylim(top=highest * (highest / lowest) ** 0.4)  # room for the legend
    axes.legend(loc="upper right", fontsize=8)


def class_scatter(
    axes: Axes,
    values: np.ndarray,
    measure: np.ndarray,
    names: Sequence[str],
    label: str,
    measured: str = "IoU",
) -> None:
    """Fig. 2 or Fig. 4: a figure of each class against its IoU, with their correlation.

    Args:
        axes: to draw into.
        values: `[C]`, NaN where a class has none.
        measure: `[C]`, in [0, 1], NaN likewise.
        names: of the classes.
        label: what the values are.
        measured: what the measure is.
    """
    axes.scatter(values, 100 * measure, color=COLOURS["max_square"])
    for x, y, name in zip(values, 100 * measure, names, strict=True):
        if np.isfinite(x) and np.isfinite(y):
            axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8)
    found = class_statistics.correlation(values, measure)
    axes.margins(x=0.15)  # room for the names
    title = f"correlation {found:.2f}" if np.isfinite(found) else "no correlation"
    axes.set(xlabel=label, ylabel=f"{measured}, %", title=title)


def guidance_by_class(
    axes: Axes, names: Sequence[str], before: GuidanceSums, after: GuidanceSums
) -> None:
    """Which share of each class the guidance labels, how rightly, and the low head's IoU.

    Args:
        axes: to draw into.
        names: of the classes.
        before: sums of the source-only network, whose guidance is shown.
        after: sums of the adapted one.
    """
    labelled, passed = before.final.sum(axis=1), before.guidance.sum(axis=1)
    columns = {
        "passes": passed / np.maximum(labelled, 1),
        "right where it passes": np.diagonal(before.guidance) / np.maximum(passed, 1),
        "low head IoU, before": iou(before.low),
        "low head IoU, after": iou(after.low),
    }
    places = np.arange(len(names))
    for index, (title, values) in enumerate(columns.items()):
        heights = 100 * np.nan_to_num(values)
        axes.bar(places + 0.2 * (index - 1.5), heights, 0.2, label=title)
    axes.set_xticks(places, names, rotation=60, ha="right")
    axes.set(ylabel="%", ylim=(0, 100))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def accuracy_curves(axes: Axes, accuracy: Mapping[str, Mapping[int, Mapping[str, float]]]) -> None:
    """Fig. 5: accuracy of the top set, of all and of the bottom set over training.

    Args:
        axes: to draw into.
        accuracy: for each loss (a key of `LABELS`, or any title), by step, `accuracies`.
    """
    styles = {"top": ":", "all": "-", "bottom": "--"}
    for index, (name, points) in enumerate(accuracy.items()):
        colour = COLOURS.get("entropy" if name == "minent" else name, f"C{index + 4}")
        for part, style in styles.items():
            label = f"{LABELS.get(name, name)}, {part}"
            values = [100 * point[part] for point in points.values()]
            axes.plot(list(points), values, style, marker=".", color=colour, label=label)
    axes.set(xlabel="step", ylabel="accuracy, %")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def _line(name: str) -> dict[str, Any]:
    return {
        "color": COLOURS[name.removesuffix("_iw")],
        "linestyle": "--" if name.endswith("_iw") else "-",
        "label": LABELS[name],
    }
