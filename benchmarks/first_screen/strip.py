"""Pictures of the demo: target images, the predictions before and after, the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from benchmarks.first_screen.theme import Theme, letters, page
from msl_jax.data.images import resize_label
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.evaluation.pictures import colorize
from msl_jax.report.networks import open_networks, predicting
from msl_jax.runs.workdir import RESULTS, saved_config
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, read_json
from msl_jax.tasks.registry import task_of

# Drawn by this software: pictures of other data sets are not ours to publish.
DRAWN = "demo/"
# Which images are shown: the places of their gains among those of all images.
QUANTILES = (0.75, 0.5, 0.25)
_SCALE = 2  # picture points for a pixel of the images
GAP, HEAD, _LINE = 8, 84, 34


class Shown(NamedTuple):
    """An image of the target, all uint8.

    Attributes:
        image: `[H, W, 3]`.
        before: prediction of the source-only network `[H, W]`.
        after: of the adapted one.
        label: `[H, W]`, 255 where ignored.
    """

    image: np.ndarray
    before: np.ndarray
    after: np.ndarray
    label: np.ndarray

    @property
    def gain(self) -> float:
        """By how much the share of the labelled pixels that are right grows, in [-1, 1]."""
        counted = self.label != IGNORE
        right = [(found == self.label)[counted].mean() for found in (self.before, self.after)]
        return float(right[1] - right[0])


class Strip(NamedTuple):
    """What the pictures show.

    Attributes:
        images: those at `QUANTILES` of the gain.
        miou: of all images of the split, before and after, in [0, 1].
        label_set: classes and colours.
    """

    images: list[Shown]
    miou: tuple[float, float]
    label_set: LabelSet


def read_strip(workdir: Path) -> Strip:
    """Predicts all images of the target's evaluation split, and keeps a few.

    Args:
        workdir: of a finished run of the demo that adapts.

    Raises:
        UserError: it is something else.
    """
    config = saved_config(workdir)
    if config is None or not config.target_eval.startswith(DRAWN):
        found = config.target_eval if config else "no run"
        raise UserError(
            f"--workdir {workdir}: expected a finished run of the demo (python train.py --workdir"
            f" {workdir}), whose images are drawn and may be published; found {found}"
        )
    results, networks = read_json(workdir / RESULTS), open_networks(workdir)
    if not results["source_only"] or len(networks.variables) != 2:
        raise UserError(
            f"--workdir {workdir}: expected a run that adapts, with the source-only network that"
            f" it began with; found {'; '.join(networks.described + networks.notes)}"
        )
    predict = task_of(config).prediction(networks.config, networks.model)

    def shown(record: dict) -> Shown:
        image = record["image"]
        before, after = (predict(each, image[None])[0][0] for each in networks.variables.values())
        return Shown(image, before, after, resize_label(record["label"], image.shape[:2]))

    split = networks.split
    count = len(split.records)
    images = [shown(record) for record in predicting(split.records.spread(count), count)]
    before, after = (results[stage]["target"]["miou"] for stage in ("source_only", "final"))
    return Strip(at_quantiles(images), (before, after), split.label_set)


def at_quantiles(images: Sequence[Shown]) -> list[Shown]:
    """Those whose gain is at `QUANTILES` of all gains."""
    ordered = sorted(images, key=lambda shown: shown.gain)
    return [ordered[round(place * (len(ordered) - 1))] for place in QUANTILES]


def draw(strip: Strip, theme: Theme) -> Figure:
    """Four columns with captions, and the colours of the classes below."""
    height, width = (_SCALE * side for side in strip.images[0].label.shape)
    before, after = (f"target mIoU {100 * value:.1f} %" for value in strip.miou)
    columns = (
        ("Target image", "no labels used in training"),
        ("Before: source only", before),
        ("After adaptation", after),
        ("Label", "used only to measure"),
    )
    rows, total = len(strip.images), len(columns) * (width + GAP) - GAP
    legend = 2 * _LINE + 2 * GAP
    bottom = HEAD + rows * (height + GAP)
    figure, axes = page(theme, total, bottom + legend)
    for column, (title, note) in enumerate(columns):
        left = column * (width + GAP)
        axes.text(left, 28, title, **letters(27, theme.text, weight="bold"))
        axes.text(left, 62, note, **letters(22, theme.muted))
    for row, shown in enumerate(strip.images):
        top = HEAD + row * (height + GAP)
        for column, picture in enumerate(_pictures(shown, strip.label_set.palette)):
            left = column * (width + GAP)
            # Pixel by pixel, without resampling; counted from below.
            figure.figimage(picture, left, bottom + legend - top - height)
    _legend(axes, strip.label_set, theme, total, bottom + GAP)
    return figure


def _pictures(shown: Shown, palette: np.ndarray) -> list[np.ndarray]:
    maps = [colorize(found, palette) for found in (shown.before, shown.after, shown.label)]
    # Pixels stay pixels, in the photo too: smoothed, it would take twice the bytes.
    return [each.repeat(_SCALE, 0).repeat(_SCALE, 1) for each in (shown.image, *maps)]


def _legend(axes: Axes, label_set: LabelSet, theme: Theme, total: float, top: float) -> None:
    """Colours and names of the classes in two lines."""
    entries = [*((c.name, c.color) for c in label_set.classes), ("not counted", (0, 0, 0))]
    columns = -(-len(entries) // 2)
    for place, (name, color) in enumerate(entries):
        row, column = divmod(place, columns)
        left, middle = column * total / columns, top + (row + 0.5) * _LINE
        face = tuple(value / 255 for value in color)
        box = Rectangle((left, middle - 11), 22, 22, facecolor=face, edgecolor=theme.line)
        axes.add_patch(box)
        axes.text(left + 32, middle, name, **letters(21, theme.muted))


def write(figure: Figure, path: Path) -> None:
    """Writes a PNG."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    with atomic_write(path) as partial:
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba()))
        picture.save(partial, format="PNG", optimize=True)
