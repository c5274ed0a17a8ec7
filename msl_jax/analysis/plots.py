"""The figures, each drawn into given axes; their numbers are computed elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from msl_jax.analysis import class_statistics, gradients
from msl_jax.analysis.guidance import GuidanceSums
from msl_jax.analysis.pixel_statistics import PixelSums
from msl_jax.evaluation import iou
from msl_jax.runtime.files import atomic_write

# One colour for each loss in all figures; the weighted losses are dashed.
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
    axes.legend(loc="upper center")  # "best" warns where it takes a second to find


def logit_gradient_curves(axes: Axes, num_classes: int = 19) -> None:
    """The same for many classes: the gradient of the logits against the confidence.

    Args:
        axes: to draw into.
        num_classes: C; all classes but the most probable one are equally probable.
    """
    confidence = np.linspace(1 / num_classes, 0.9995, 1000)[:-1]
    logits = gradients.one_sure_class(confidence, num_classes)
    for name, colour in COLOURS.items():
        sizes = np.linalg.norm(gradients.logit_gradients(name, logits), axis=-1)
        peak = confidence[sizes.argmax()]
        label = f"{LABELS[name]} (largest at {peak:.2f})"
        axes.plot(confidence, sizes / sizes.max(), color=colour, label=label)
    axes.set(xlabel="confidence", ylabel="gradient, relative to its largest", xlim=(0, 1))
    axes.set_ylim(0, 1.3)  # room for the legend
    axes.legend(loc="upper left")


def gradient_by_confidence(
    axes: Axes, sums: PixelSums, bins: int = 20, *, counted: str = "pixels"
) -> None:
    """Share of the gradient that comes from pixels of each confidence, and share of such pixels.

    Args:
        axes: to draw into.
        sums: of a sweep.
        bins: number of bars, a divisor of the bins of `sums`.
        counted: what the sums count.
    """
    edges = np.linspace(0, 1, bins + 1)

    def percent(by_bin: np.ndarray) -> np.ndarray:
        return 100 * class_statistics.shares(class_statistics.coarser(by_bin, bins))

    axes.stairs(percent(sums.pixels_by_bin), edges, fill=True, color="0.85", label=counted)
    for name, sizes in sums.gradient_by_bin.items():
        axes.stairs(percent(sizes), edges, **_line(name))
    axes.set(xlabel="confidence", ylabel="share, %", xlim=(0, 1))
    axes.legend(loc="upper left")


def gradient_by_class(
    axes: Axes, sums: PixelSums, names: Sequence[str], *, counted: str = "pixels"
) -> None:
    """Share of the gradient of each predicted class, ordered by its share of the pixels.

    Args:
        axes: to draw into.
        sums: of a sweep.
        names: of the classes.
        counted: what the sums count.
    """
    pixels = 100 * class_statistics.shares(sums.pixels_by_class)
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
        shares = 100 * class_statistics.shares(sizes)[order]
        axes.plot(places, shares, markers[name], fillstyle=filled, **style)
    axes.set_xticks(places, [names[i] for i in order], rotation=60, ha="right")
    axes.set(ylabel="share, %", yscale="log")
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
    """Fig. 2 or Fig. 4: a statistic of each class against its IoU, with their correlation.

    Once the figure is complete, `spread_labels` moves the names apart.

    Args:
        axes: to draw into.
        values: `[C]`, NaN for a class without one.
        measure: `[C]`, in [0, 1], NaN likewise.
        names: of the classes.
        label: name of the values.
        measured: name of the measure.
    """
    axes.scatter(values, 100 * measure, color=COLOURS["max_square"])
    axes.margins(x=0.15)  # room for the names
    for name, value, found in zip(names, values, 100 * measure, strict=True):
        if np.isfinite([value, found]).all():
            line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
            axes.annotate(
                name,
                (value, found),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=8,
                arrowprops=line,
                bbox={"boxstyle": "square,pad=0", "facecolor": "none", "edgecolor": "none"},
            )
    found = class_statistics.correlation(values, measure)
    title = f"correlation {found:.2f}" if np.isfinite(found) else "no correlation"
    axes.set(xlabel=label, ylabel=f"{measured}, %", title=title)


def spread_labels(figure: Figure) -> None:
    """Moves the names that `class_scatter` gave, so that none covers another or a dot."""
    figure.draw_without_rendering()  # until then the places are those of an empty figure
    for axes in figure.axes:
        labels = [text for text in axes.texts if isinstance(text, Annotation)]
        points = np.array([label.xy for label in labels]).reshape(-1, 2)
        places = axes.transData.transform(points) * 72 / figure.dpi
        inside = np.asarray(axes.bbox.extents) * 72 / figure.dpi
        offsets = label_offsets(places, [label.get_text() for label in labels], inside)
        for label, offset in zip(labels, offsets, strict=True):
            label.xyann = offset


def label_offsets(places: np.ndarray, names: Sequence[str], inside: np.ndarray) -> np.ndarray:
    """Where each label begins, seen from its dot: `[N, 2]` in points, of its left lower corner.

    A label stands as near its dot as it can without covering a dot or another label or leaving the
    axes, and nearer to it than to any other if there is such a place at all.

    Args:
        places: `[N, 2]` of the dots, x to the right and y upwards, in points.
        names: what the labels say, in letters of 8 points.
        inside: left, foot, right and top of the axes, in points.
    """
    height, letter, radius = 9.0, 4.6, 3.0
    angles = np.radians(sorted(range(-165, 181, 15), key=abs))  # to the right first
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    steps = np.arange(radius + 1, 150, 3)[:, None, None] * around
    taken = np.concatenate([places - radius, places + radius], axis=1)
    offsets = np.zeros_like(places)
    between = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag([np.inf] * len(places))
    nearest = between.min(axis=1, initial=np.inf)
    for index in np.argsort(nearest, kind="stable"):  # where it is crowded first
        size = np.array([letter * len(names[index]), height])
        feet = (places[index] + steps + (around - 1) * size / 2).reshape(-1, 2)
        tops = feet + size
        covers = (feet[:, None] < taken[:, 2:]) & (taken[:, :2] < tops[:, None])
        leaves = (feet < inside[:2]) | (inside[2:] < tops)
        gaps = np.maximum(feet[:, None] - places, 0) + np.maximum(places - tops[:, None], 0)
        gaps = np.linalg.norm(gaps, axis=-1)
        own = gaps[:, index]
        cost = own + 200.0 * (own > gaps.min(axis=1))
        cost += 1e4 * (covers.all(axis=-1).any(axis=1) | leaves.any(axis=1))
        best = cost.round(1).argmin()
        offsets[index] = feet[best] - places[index]
        taken = np.concatenate([taken, [[*feet[best], *tops[best]]]])
    return offsets


def guidance_by_class(
    axes: Axes, names: Sequence[str], before: GuidanceSums, after: GuidanceSums
) -> None:
    """Share of each class that gets guidance labels, how many are right, and the low head's IoU.

    Args:
        axes: to draw into.
        names: of the classes.
        before: sums of the source-only network, whose guidance is shown.
        after: sums of the adapted network.
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
    """Fig. 5: accuracy of the top set, of all pixels and of the bottom set during training.

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
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def save(figure: Figure, folder: Path, name: str, kinds: Sequence[str] = ("png", "svg")) -> None:
    """Writes ``NAME.png`` and ``NAME.svg``, or those of `kinds`, replacing earlier ones.

    Equal figures give equal files: without a date, and without random names inside.
    """
    for kind in kinds:
        metadata = {"Date": None} if kind == "svg" else {}
        with (
            matplotlib.rc_context({"svg.hashsalt": name}),
            atomic_write(folder / f"{name}.{kind}") as path,
        ):
            figure.savefig(path, format=kind, dpi=150, metadata=metadata)


def _line(name: str) -> dict[str, Any]:
    return {
        "color": COLOURS[name.removesuffix("_iw")],
        "linestyle": "--" if name.endswith("_iw") else "-",
        "label": LABELS[name],
    }
