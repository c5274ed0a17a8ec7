"""What the tests of the report share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.report.classification import ClassificationReport
from msl_jax.report.classification_gallery import ClassifiedImage, class_cards, order_of
from msl_jax.report.curves import StageCurves
from msl_jax.report.html import enlarged
from msl_jax.report.page import Report
from msl_jax.report.results import Measured, Results
from msl_jax.report.segmentation import SegmentationReport
from msl_jax.report.segmentation_gallery import GalleryImage, gallery_image, gallery_images
from msl_jax.report.settings import Setting

# Names that would break a page that does not escape them, and an address that does not.
NASTY = "<b>a & \"b\"</b> + 'c'#d%"
CLASSES = LabelSet(
    "four",
    (
        LabelClass("road", (128, 64, 128)),
        LabelClass(NASTY, (0, 0, 142)),
        LabelClass("sky", (70, 130, 180)),
        LabelClass("train", (0, 80, 100)),
    ),
)


def metrics(road: float, car: float, sky: float | None) -> dict[str, Any]:
    """Metrics of one domain; the class "train" does not occur."""
    found = [value for value in (road, car, sky) if value is not None]
    return {
        "miou": sum(found) / len(found),
        "iou": {"road": road, NASTY: car, "sky": sky, "train": None},
        "pixel_accuracy": 0.75,
    }


RESULTS = Results(
    "Finished after step 30.",
    Measured(
        "source-only",
        None,
        {"target": metrics(0.4, 0.125, None), "source": metrics(0.9, 0.8, 0.7)},
    ),
    Measured(
        "final", 30, {"target": metrics(0.512, 0.1, None), "source": metrics(0.85, 0.8, 0.75)}
    ),
    Measured("best", 20, {"target": metrics(0.6, 0.3, None)}),
)


def image(key: str, label: list[int], **predictions: list[int]) -> GalleryImage:
    """An image of one row of pixels, with what each network says of them."""

    def predicted(pixels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {
            name: (np.array([classes], np.uint8), np.full((1, len(classes)), 0.5, np.float32))
            for name, classes in predictions.items()
        }

    record = {
        "key": key,
        "image": np.full((1, len(label), 3), 99, np.uint8),
        "label": np.array([label], np.uint8),
    }
    return gallery_image(record, True, predicted, CLASSES)


@pytest.fixture
def report() -> Report:
    """A page with all that it can hold."""
    source, adapted = "source-only", "adapted"
    images = [
        image("one", [0, 0, 1, 255], **{source: [0, 0, 0, 0], adapted: [0, 0, 1, 0]}),
        image("two", [2, 2, 2, 2], **{source: [2, 2, 2, 2], adapted: [2, 2, 2, 2]}),
        image(NASTY, [0, 1, 1, 1], **{source: [1, 0, 0, 1], adapted: [0, 1, 1, 1]}),
    ]
    return Report(
        title=f"camvid:max_square {NASTY}",
        place=f"/runs/{NASTY}",
        task=SegmentationReport(),
        results=RESULTS,
        curves=[
            StageCurves(
                "max_square",
                30,
                {"target": {0: 0.25, 30: 0.31}, "source": {0: 0.8, 30: 0.79}},
                {"target/final": {10: -0.5, 20: -0.75}},
                {"target/guided_share": {10: 0.5, 20: 0.75}},
            )
        ],
        settings={"Run": [Setting("seed", "0", "0"), Setting("name", NASTY, "demo")]},
        label_set=CLASSES,
        gallery=gallery_images(images, CLASSES),
        about=["3 of 9 images."],
        notes=[f"Something is missing: {NASTY}"],
    )


def card(key: str, label: int | None, before: int, after: int) -> ClassifiedImage:
    """A grey image that is predicted as `before` and then as `after`."""
    picture = enlarged("image", np.full((4, 4, 3), 99, np.uint8))
    predictions = {"source-only": (before, 0.6), "adapted": (after, 0.9)}
    return ClassifiedImage(key, picture, label, predictions)


@pytest.fixture
def class_report() -> Report:
    """The page of a classification, without the sections on the whole split."""
    cards = [
        card("same", 0, 0, 0),
        card("fixed", 0, 1, 0),
        card("bare", None, 2, 2),
        card("broken", 0, 0, 3),
        card("other", 3, 0, 1),
    ]
    return Report(
        title="digits:dann",
        place="/runs/digits",
        task=ClassificationReport(),
        results=Results(
            "Finished after step 30.",
            Measured("source-only", None, _accuracies(0.4, 0.9)),
            Measured("final", 30, _accuracies(0.512, 0.85)),
            Measured("best", 20, {"target": {"accuracy": 0.6}, "source": None}),
        ),
        curves=[StageCurves("dann", 30, {"target": {0: 0.25, 30: 0.31}}, {}, {})],
        settings={"Run": [Setting("seed", "0", "0")]},
        label_set=CLASSES,
        gallery=class_cards(cards, CLASSES, order_of(True, True)),
    )


def _accuracies(target: float, source: float) -> dict[str, Any]:
    return {"target": {"accuracy": target}, "source": {"accuracy": source}}
