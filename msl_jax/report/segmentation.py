"""The report of a segmentation: IoU by class, and label maps in the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.data.labels import LabelSet
from msl_jax.report.networks import Networks, predicting
from msl_jax.report.results import Results
from msl_jax.report.segmentation_gallery import gallery_image, gallery_images
from msl_jax.report.tables import Color, Row, comparison_table
from msl_jax.report.task_report import DOMAINS, Predictions, Section, columns, evaluation_content
from msl_jax.runs.metrics import NOT_MEASURED
from msl_jax.tasks.registry import task_of


class SegmentationReport:
    """See `TaskReport`."""

    task = "segmentation"
    metric = "miou"
    metrics = "mIoU, IoU by class and pixel accuracy"
    predicted = "gallery"

    def values(self, measured: dict[str, Any]) -> list[float]:
        """See `TaskReport`."""
        found = [measured["miou"], measured["pixel_accuracy"], *measured["iou"].values()]
        return [value for value in found if value is not None]

    def evaluation(self, results: Results, label_set: LabelSet | None) -> Section:
        """See `TaskReport`: a table for each domain that has labels."""
        colors = {c.name: c.color for c in label_set.classes} if label_set else {}
        found = (_iou_table(results, domain, colors) for domain in DOMAINS)
        tables = [table for table in found if table is not None]
        return Section("iou", "IoU by class", evaluation_content(results, tables))

    def predictions(self, networks: Networks, count: int) -> Predictions:
        """See `TaskReport`: label, prediction of each network, confidence of the last one."""
        config, split = networks.config, networks.split
        prediction = task_of(config).prediction(config, networks.model)

        def predicted(image: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
            found = {
                name: prediction(variables, image[None])
                for name, variables in networks.variables.items()
            }
            return {name: (labels[0], share[0]) for name, (labels, share) in found.items()}

        images = [
            gallery_image(record, split.labelled, predicted, split.label_set)
            for record in predicting(split.records.spread(count), min(count, len(split.records)))
        ]
        about = (
            f"{len(images)} of {len(split.records)} images, evenly spaced. Confidence is the"
            " probability that the last network gives to its predicted class: black 0, white 1."
        )
        return Predictions((), gallery_images(images, split.label_set), about)


def _iou_table(results: Results, domain: str, colors: Mapping[str, Color]) -> Element | None:
    """IoU of each class in percent: source-only, the final network, the change, the best network.

    Args:
        results: of the run.
        domain: "target" or "source".
        colors: of the classes by name; a class that is missing is shown without a colour.

    Returns:
        An element ``table``; None where nothing has been measured on the domain.
    """
    networks = columns(results, domain)
    if not networks:
        return None
    measured = [network.metrics[domain] for network in networks]
    best = results.best if results.best and results.best.metrics.get(domain) else None

    def mean(name: str, key: str) -> Row:
        chosen = best and best.metrics[domain].get(key)
        return Row(name, [m.get(key) for m in measured], chosen, missing=NOT_MEASURED)

    rows = [
        Row(
            name,
            [m["iou"].get(name) for m in measured],
            best and best.metrics[domain]["iou"].get(name),
            colors.get(name),
        )
        for name in measured[-1]["iou"]
    ]
    means = [mean("mIoU", "miou")]
    if "miou_13" in measured[-1]:
        means.append(mean("mIoU* (13 classes)", "miou_13"))
    means.append(mean("pixel accuracy", "pixel_accuracy"))
    titles = [network.title for network in networks]
    caption, chosen = f"{domain}: IoU in %", best and f"{best.title}*"
    return comparison_table(caption, "class", titles, rows, means, chosen)
