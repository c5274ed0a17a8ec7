"""The predictions on a whole split of classified images, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.data.labels import IGNORE
from msl_jax.evaluation.classification import Classified, Prediction
from msl_jax.evaluation.confusion import confusion_matrix
from msl_jax.report.classification_tables import (
    MOST_CLASSES,
    accuracy_table,
    matrix_table,
    pairs,
    pairs_table,
    predicted_table,
)
from msl_jax.report.html import element
from msl_jax.report.tables import percent
from msl_jax.report.task_report import Section, bars_key

_PAIRS = 12


def class_sections(found: Classified, names: Sequence[str]) -> list[Section]:
    """Accuracy by class and confusions; without labels, how often each class is predicted.

    Args:
        found: predictions of one network, or of two with the source-only network first; all labels
            are 255 where there are none.
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
    right = {t: p.classes == found.labels for t, p in found.networks.items()}
    content = []
    if len(matrices) == 2:
        old, new = right.values()
        content.append(element("p", _moved(old, new, int(labelled.sum())), class_="headline"))
        content.append(bars_key(*matrices))
    content.append(_scrolled(accuracy_table(matrices, names)))
    for title, prediction in found.networks.items():
        text = _confidence(title, prediction, right[title], labelled)
        content.append(element("p", text, class_="muted"))
    return [
        Section("classes", "Accuracy by class", content),
        Section("confusions", "Confusions", _confusions(matrices, names)),
    ]


def _confusions(matrices: Mapping[str, np.ndarray], names: Sequence[str]) -> list[Element]:
    """The confusions that changed most, and the matrix of each network, the first one folded."""
    *before, (title, after) = matrices.items()
    if before:
        caption, nothing = "confusions that changed most (images)", "No confusion changed."
    else:
        caption, nothing = "most frequent confusions (images)", "No image is misclassified."
    changes = pairs(before[0][1] if before else None, after, _PAIRS)
    heads = ("label", "predicted as")
    listed = element("p", nothing)
    if changes:
        listed = pairs_table(changes, names, list(matrices), caption, heads)

    def matrix(name: str, counts: np.ndarray) -> Element:
        about = f"{name}: images by label (rows) and prediction (columns)"
        return matrix_table(counts, names, about, "{row} predicted as {column}")

    content = _beside(listed, matrix(title, after), names)
    if len(names) <= MOST_CLASSES:
        for name, counts in before:
            summary = element("summary", f"the same matrix for {name}")
            content.append(element("details", summary, _scrolled(matrix(name, counts))))
    return content


def _without_labels(found: Classified, names: Sequence[str]) -> list[Section]:
    predicted = {title: prediction.classes for title, prediction in found.networks.items()}
    text = "The target has no labels: these are the predictions, right or wrong."
    content = [element("p", text)]
    if len(predicted) == 2:
        content.append(bars_key(*predicted))
    content.append(_scrolled(predicted_table(predicted, names)))
    for title, prediction in found.networks.items():
        mean = percent(float(prediction.probabilities.mean()))
        text = f"{title}: the predicted class has a mean probability of {mean} %."
        content.append(element("p", text, class_="muted"))
    sections = [Section("classes", "Predicted classes", content)]
    if len(predicted) == 2:
        sections.append(Section("confusions", "Predictions that changed", _moves(predicted, names)))
    return sections


def _moves(predicted: Mapping[str, np.ndarray], names: Sequence[str]) -> list[Element]:
    """How the images predicted as each class by the first network are predicted by the second."""
    (old, before), (new, after) = predicted.items()
    counts = _counts(before, after, len(names))
    changes = pairs(None, counts, _PAIRS)
    listed = element("p", "No prediction changed.")
    if changes:
        listed = pairs_table(
            changes, names, ["images"], "most frequent changes (images)", (old, new)
        )
    about = f"images by prediction: {old} (rows), {new} (columns)"
    tip = f"{old} {{row}}, {new} {{column}}"
    return _beside(listed, matrix_table(counts, names, about, tip, judged=False), names)


def _beside(listed: Element, matrix: Element, names: Sequence[str]) -> list[Element]:
    """The list of pairs, with the matrix next to it unless that is too large to read."""
    if len(names) > MOST_CLASSES:
        text = f"A matrix of {len(names)} classes would be too large to read and is left out."
        return [listed, element("p", text, class_="muted")]
    return [element("div", listed, _scrolled(matrix), class_="confusions")]


def _scrolled(table: Element) -> Element:
    return element("div", table, class_="scroll")


def _counts(rows: np.ndarray, columns: np.ndarray, num_classes: int) -> np.ndarray:
    return np.asarray(confusion_matrix(rows, columns, num_classes), np.int64)


def _moved(before: np.ndarray, after: np.ndarray, images: int) -> str:
    fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
    return (
        f"Fixed (wrong before, right now): {fixed:,} of {images:,} images; broken (right before,"
        f" wrong now): {broken:,}."
    )


def _confidence(title: str, prediction: Prediction, right: np.ndarray, labelled: np.ndarray) -> str:
    """How confident the network is where it is right, and where it is wrong."""
    parts = []
    for name, chosen in (("right", right & labelled), ("wrong", ~right & labelled)):
        if chosen.any():
            mean = percent(float(prediction.probabilities[chosen].mean()))
            parts.append(f"{mean} % where it is {name}")
    return f"{title}: the predicted class has a mean probability of {' and '.join(parts)}."
