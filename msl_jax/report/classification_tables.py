"""Tables of classified images: by class, the confusion matrix, and the confusions that changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.report.confusions import Pair, accuracy_by_class
from msl_jax.report.html import element
from msl_jax.report.tables import Row, comparison_table

# Larger matrices than this would make the page slow, and nobody reads them.
MOST_CLASSES = 100
_DARKEST = 50  # percent of the accent colour, on which text can still be read


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
    """How many of the images each network takes for each class.

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
        "target: images predicted, in %", "class", list(predicted), rows, judged=False
    )


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def matrix_table(
    counts: np.ndarray, names: Sequence[str], caption: str, tip: str, *, judged: bool = True
) -> Element:
    """A matrix of counts, the more of its row a cell has the darker; a zero is left out.

    Args:
        counts: `[C, C]`.
        names: of the classes.
        caption: of the table.
        tip: what is said of a cell, with the fields ``row`` and ``column``; numbers are added.
        judged: whether what is off the diagonal is wrong.
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


def pairs_table(
    found: Sequence[Pair],
    names: Sequence[str],
    networks: Sequence[str],
    caption: str,
    heads: tuple[str, str],
) -> Element:
    """Pairs of classes with their numbers of images.

    Args:
        found: see `confusions.pairs`.
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
