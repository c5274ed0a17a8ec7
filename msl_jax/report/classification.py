"""The report of a classification: accuracy overall and by class, confusions, images."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.data.prepared.records import evenly_spaced
from msl_jax.evaluation.classification import Classified, classify_all
from msl_jax.report.classification_gallery import ClassifiedImage, class_cards, order_of
from msl_jax.report.classification_sections import class_sections
from msl_jax.report.html import enlarged
from msl_jax.report.networks import Networks, predicting
from msl_jax.report.results import Results
from msl_jax.report.tables import Row, comparison_table
from msl_jax.report.task_report import DOMAINS, Predictions, Section, columns, evaluation_content
from msl_jax.runs.metrics import NOT_MEASURED
from msl_jax.tasks.classification import build_classifier


class ClassificationReport:
    """See `TaskReport`."""

    task = "classification"
    metric = "accuracy"
    metrics = "accuracy"
    predicted = "accuracy by class, confusion matrix or gallery"

    def values(self, measured: dict[str, Any]) -> list[float]:
        """See `TaskReport`."""
        return [] if measured["accuracy"] is None else [measured["accuracy"]]

    def evaluation(self, results: Results, label_set: LabelSet | None) -> Section:
        """See `TaskReport`: one table of both domains."""
        del label_set
        table = _accuracy_table(results)
        return Section(
            "accuracy", "Accuracy", evaluation_content(results, [] if table is None else [table])
        )

    def predictions(self, networks: Networks, count: int) -> Predictions:
        """See `TaskReport`: predicts all images, so that they can be counted by class."""
        config, split = networks.config, networks.split
        size, total = config.eval_batch_size, len(split.records)
        batches = evaluation_batches(split.records, size)
        found = classify_all(
            build_classifier(config, networks.model),
            networks.variables,
            predicting(batches, -(-total // size), unit="step"),
        )
        if not split.labelled:
            found = found._replace(labels=np.full_like(found.labels, IGNORE))
        pair = len(networks.variables) == 2
        order = order_of(pair, split.labelled)
        even = evenly_spaced(total, count)
        more = [place for place in notable(found) if place not in set(even)]
        more = [more[index] for index in evenly_spaced(len(more), count)]
        images = [_image(split.records[place], found, place) for place in sorted([*even, *more])]
        about = f"{len(even)} of {total:,} images, evenly spaced"
        if more:
            why = "whose prediction changed" if pair else "that are misclassified"
            about += f", and {len(more)} more {why}"
        about += f"; {order}. The number after a prediction is its probability."
        return Predictions(
            class_sections(found, split.label_set.names),
            class_cards(images, split.label_set, order),
            about,
        )


def _accuracy_table(results: Results) -> Element | None:
    """Accuracy on each domain; None where nothing has been measured."""
    networks = columns(results, *DOMAINS)
    if not networks:
        return None
    measured = [domain for domain in DOMAINS if networks[-1].metrics.get(domain)]
    best = results.best.metrics if results.best else {}

    def accuracy(metrics: dict[str, Any], domain: str) -> float | None:
        return (metrics.get(domain) or {}).get("accuracy")

    rows = [
        Row(
            domain,
            [accuracy(network.metrics, domain) for network in networks],
            accuracy(best, domain),
            missing=NOT_MEASURED,
        )
        for domain in measured
    ]
    titles = [network.title for network in networks]
    chosen = f"{results.best.title}*" if results.best else None
    return comparison_table("accuracy in %", "domain", titles, rows, best=chosen)


def notable(found: Classified) -> list[int]:
    """Indices of the images that are worth a look.

    With two networks, those whose prediction the adaptation changed; with one, those that it
    misclassifies.
    """
    first, *others = (prediction.classes for prediction in found.networks.values())
    if others:
        return np.flatnonzero(first != others[0]).tolist()
    return np.flatnonzero((found.labels != IGNORE) & (first != found.labels)).tolist()


def _image(record: dict[str, Any], found: Classified, place: int) -> ClassifiedImage:
    """An image of the gallery; `record` is the one at index `place` of the split."""
    label = int(found.labels[place])
    return ClassifiedImage(
        record["key"],
        enlarged("image", record["image"]),
        None if label == IGNORE else label,
        {
            name: (int(prediction.classes[place]), float(prediction.probabilities[place]))
            for name, prediction in found.networks.items()
        },
    )
