"""What the networks make of a whole split of classified images, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.data.labels import IGNORE
from msl_jax.evaluation.classification import Classified, Prediction
from msl_jax.evaluation.confusion import confusion_matrix
from msl_jax.evaluation.report.class_tables import (
    MOST_CLASSES,
    accuracy_table,
    matrix_table,
    pairs_table,
    predicted_table,
)
from msl_jax.evaluation.report.confusions import Pair, pairs
from msl_jax.evaluation.report.elements import element
from msl_jax.evaluation.report.evaluation_section import bars_key
from msl_jax.evaluation.report.tables import percent
from msl_jax.evaluation.report.task_report import Section

_PAIRS = 12


def class_sections(found: Classified, names: Sequence[str]) -> list[Section]:
    """Accuracy by class and confusions; without labels, how often each class is predicted.

    Args:
        found: predictions of one network or of two, the source-only network first; labels are all
            255 where there are none.
        names: of the classes.
    """
    labelled = found.labels != IGNORE
    if labelled.any():
        return _with_labels(found, labelled, names)
    return _without_labels(found, names)


def _with_labels(found: Classified, labelled: np.ndarray, names: Sequence[str]) -> list[Section]:
    matrices = {
        title: _counts(found.labels, prediction.classes, len(names))
        for title, prediction in found.networks.items()
    }
    *before, (title, after) = matrices.items()
    right = {t: p.classes == found.labels for t, p in found.networks.items()}
    content = []
    if before:
        old, new = right.values()
        content.append(element("p", _moved(old, new, int(labelled.sum())), class_="headline"))
        content.append(bars_key(*matrices))
    content.append(element("div", accuracy_table(matrices, names), class_="scroll"))
    for network, prediction in found.networks.items():
        text = _confidence(network, prediction, right[network], labelled)
        content.append(element("p", text, class_="muted"))
    changes = pairs(before[0][1] if before else None, after, _PAIRS)
    caption = "most frequent confusions, images"
    if before:
        caption = "confusions that changed most, images"
    listed = pairs_table(changes, names, list(matrices), caption, ("label", "taken for"))
    tip = "{row} taken for {column}"
    axes = "rows: label, columns: prediction, numbers of images"
    other = [(name, matrix_table(m, names, f"{name}; {axes}", tip)) for name, m in before]
    matrix = matrix_table(after, names, f"{title}; {axes}", tip)
    return [
        Section("classes", "Accuracy by class", content),
        Section("confusions", "Confusions", _confusions(changes, listed, matrix, other, names)),
    ]


def _without_labels(found: Classified, names: Sequence[str]) -> list[Section]:
    predicted = {title: prediction.classes for title, prediction in found.networks.items()}
    text = "The target has no labels: this is what the images are taken for, right or wrong."
    content = [element("p", text)]
    if len(predicted) == 2:
        content.append(bars_key(*predicted))
    content.append(element("div", predicted_table(predicted, names), class_="scroll"))
    for title, prediction in found.networks.items():
        mean = percent(float(prediction.probabilities.mean()))
        text = f"{title}: the predicted class has {mean} % probability on average."
        content.append(element("p", text, class_="muted"))
    sections = [Section("classes", "Predicted classes", content)]
    if len(predicted) == 2:
        (old, before), (new, after) = predicted.items()
        moves = _counts(before, after, len(names))
        changes = pairs(None, moves, _PAIRS)
        caption = "changes, images"
        listed = pairs_table(changes, names, ["images"], caption, (old, new))
        matrix = matrix_table(
            moves,
            names,
            f"rows: {old}, columns: {new}, numbers of images",
            f"{old} {{row}}, {new} {{column}}",
            judged=False,
        )
        content = _confusions(changes, listed, matrix, [], names)
        sections.append(Section("confusions", "Predictions that changed", content))
    return sections


def _confusions(
    changes: Sequence[Pair],
    listed: Element,
    matrix: Element,
    other: Sequence[tuple[str, Element]],
    names: Sequence[str],
) -> list[Element]:
    """The list of pairs, the matrix, and further matrices to be opened, with their titles."""
    parts = [listed if changes else element("p", "None.")]
    if len(names) > MOST_CLASSES:
        text = f"A matrix of {len(names)} classes is too large to be read; it is left out."
        return [*parts, element("p", text, class_="muted")]
    content: list[Element] = [element("div", *parts, _scrolled(matrix), class_="confusions")]
    for title, table in other:
        summary = element("summary", f"the same matrix, {title}")
        content.append(element("details", summary, _scrolled(table)))
    return content


def _scrolled(table: Element) -> Element:
    return element("div", table, class_="scroll")


def _counts(rows: np.ndarray, columns: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(confusion_matrix(rows, columns, num_classes), np.int64)


def _moved(before: np.ndarray, after: np.ndarray, images: int) -> str:
    mended, spoilt = int((~before & after).sum()), int((before & ~after).sum())
    return (
        f"Of {images:,} images {mended:,} were wrong and are right now, {spoilt:,} were right and"
        " are wrong now."
    )


def _confidence(title: str, prediction: Prediction, right: np.ndarray, labelled: np.ndarray) -> str:
    """How sure the network is where it is right, and where it is wrong."""
    parts = []
    for name, chosen in (("right", right & labelled), ("wrong", ~right & labelled)):
        if chosen.any():
            mean = percent(float(prediction.probabilities[chosen].mean()))
            parts.append(f"{mean} % where it is {name}")
    return f"{title}: mean probability of the predicted class {', '.join(parts)}."
