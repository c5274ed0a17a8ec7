"""Tables of classified images: accuracy by class, confusion matrix, confusions that changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.evaluation.confusion import class_accuracy
from msl_jax.report.html import element
from msl_jax.report.tables import Row, comparison_table

# A larger matrix would make the page slow and could not be read.
MOST_CLASSES = 100
_DARKEST = 50  # percent of the accent colour: text on it can still be read


def accuracy_by_class(confusion: np.ndarray) -> list[float | None]:
    """Share of each class's images that are predicted as such; None for a class without images.

    Args:
        confusion: counts `[C, C]`, row = label, column = prediction.

    >>> accuracy_by_class(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    [0.75, 1.0, None]
    """
    return [None if np.isnan(share) else share for share in class_accuracy(confusion).tolist()]


def accuracy_table(confusions: dict[str, np.ndarray], names: Sequence[str]) -> Element:
    """Accuracy of each class, its number of images, and means.

    Args:
        confusions: counts `[C, C]` of each network by its title, row = label.
        names: of the classes.
    """
    images = next(iter(confusions.values())).sum(1).tolist()
    columns = [accuracy_by_class(confusion) for confusion in confusions.values()]
    rows = [
        Row(name, values, images=count)
        for name, values, count in zip(names, zip(*columns, strict=True), images, strict=True)
    ]
    known = [[value for value in column if value is not None] for column in columns]
    means = [_ratio(sum(values), len(values)) for values in known]
    totals = [_ratio(int(np.trace(c)), int(c.sum())) for c in confusions.values()]
    foot = [Row("class mean", means), Row("all images", totals, images=sum(images))]
    return comparison_table("target: accuracy in %", "class", list(confusions), rows, foot)


def predicted_table(predicted: dict[str, np.ndarray], names: Sequence[str]) -> Element:
    """The share of the images that each network predicts as each class.

    Args:
        predicted: train ids `[N]` of each network by its title.
        names: of the classes.
    """
    shares = [np.bincount(p, minlength=len(names)) / len(p) for p in predicted.values()]
    rows = [
        Row(name, values)
        for name, *values in zip(names, *(s.tolist() for s in shares), strict=True)
    ]
    return comparison_table(
        "target: predictions by class, in %", "class", list(predicted), rows, judged=False
    )


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def matrix_table(
    counts: np.ndarray, names: Sequence[str], caption: str, tip: str, *, judged: bool = True
) -> Element:
    """A matrix of counts. The larger its share of the row, the darker a cell; zeros are left out.

    Args:
        counts: `[C, C]`.
        names: of the classes.
        caption: of the table.
        tip: describes a cell, with the fields ``row`` and ``column``; its count is added.
        judged: whether the cells off the diagonal are errors.
    """
    heads = (element("th", element("span", name), scope="col", title=name) for name in names)
    rows = []
    for index, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        cells = [element("th", name, scope="row", title=name)]
        for column, count in enumerate(row):
            if not count:
                cells.append(element("td", class_="same") if column == index else element("td"))
                continue
            share = f"--share:{_DARKEST * math.sqrt(count / sum(row)):.0f}%"
            text = tip.format(row=name, column=names[column])
            cells.append(
                element(
                    "td",
                    str(count),
                    class_="same" if column == index else "other",
                    style=share,
                    title=f"{text}: {count:,} of {sum(row):,} images",
                )
            )
        rows.append(element("tr", *cells))
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", element("td"), *heads)),
        element("tbody", *rows),
        class_="confusion" if judged else "confusion moves",
    )


class Pair(NamedTuple):
    """How many images of one class are predicted as another.

    Attributes:
        label: train id.
        prediction: another train id.
        before: number of images with the source-only network; None where there is none.
        after: with the other network.
    """

    label: int
    prediction: int
    before: int | None
    after: int


def pairs(before: np.ndarray | None, after: np.ndarray, most: int) -> list[Pair]:
    """The confusions that changed most; of one network, the most frequent ones.

    Args:
        before: counts `[C, C]` of the source-only network; None where there is none.
        after: of the other one.
        most: the largest number of pairs.

    Returns:
        The largest change, or count, first; ties in the order of the classes. Zeros are left out.

    >>> pairs(np.array([[5, 2], [4, 1]]), np.array([[6, 1], [0, 5]]), 9)
    [Pair(label=1, prediction=0, before=4, after=0), Pair(label=0, prediction=1, before=2, after=1)]
    """
    weights = after if before is None else np.abs(after - before)
    weights = np.where(np.eye(len(after), dtype=bool), 0, weights)
    places = np.argsort(-weights, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(places, weights.shape)
    return [
        Pair(r, c, None if before is None else int(before[r, c]), int(after[r, c]))
        for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
        if weights[r, c]
    ]


def pairs_table(
    found: Sequence[Pair],
    names: Sequence[str],
    networks: Sequence[str],
    caption: str,
    heads: tuple[str, str],
) -> Element:
    """Pairs of classes with their numbers of images.

    Args:
        found: see `pairs`.
        names: of the classes.
        networks: titles of the columns, one or two.
        caption: of the table.
        heads: of the columns of classes.
    """
    titles = [*heads, *networks, *(["change"] if len(networks) == 2 else [])]
    rows = []
    for pair in found:
        cells = [element("td", names[pair.prediction])]
        if pair.before is not None:
            moved = pair.after - pair.before
            cells.append(element("td", f"{pair.before:,}"))
            cells.append(element("td", f"{pair.after:,}"))
            # Fewer confusions are better.
            cells.append(element("td", f"{moved:+,}", class_="up" if moved < 0 else "down"))
        else:
            cells.append(element("td", f"{pair.after:,}"))
        rows.append(element("tr", element("th", names[pair.label], scope="row"), *cells))
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *(element("th", t, scope="col") for t in titles))),
        element("tbody", *rows),
        class_="pairs",
    )
