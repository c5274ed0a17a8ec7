"""The one metric that a task is judged by."""

from __future__ import annotations

from typing import Any, NamedTuple


class Metric(NamedTuple):
    """A metric with its value.

    Attributes:
        key: in the metrics M of `results.json`.
        title: for the console.
        value: in [0, 1]; None if it was not measured.
    """

    key: str
    title: str
    value: float | None

    @property
    def percent(self) -> str:
        """The value for the console.

        >>> Metric("miou", "mIoU", 0.5).percent, Metric("miou", "mIoU", None).percent
        ('50.0', 'not measured')
        """
        return NOT_MEASURED if self.value is None else f"{100 * self.value:.1f}"


NOT_MEASURED = "not measured"

# By the key in M.
TITLES = {"miou": "mIoU", "miou_13": "mIoU*", "accuracy": "accuracy"}


def main_metric(metrics: dict[str, Any]) -> Metric:
    """The metric shown while a network is trained: mIoU, or accuracy in classification.

    Raises:
        KeyError: there is neither.

    >>> main_metric({"miou": 0.5, "iou": {}, "pixel_accuracy": 0.9}).title
    'mIoU'
    >>> main_metric({"accuracy": 0.75}).value
    0.75
    """
    return _first(metrics, "miou", "accuracy")


def selection_metric(metrics: dict[str, Any]) -> Metric:
    """The metric that decides which checkpoint is best.

    With 16 classes it is mIoU over 13 of them, as in the official code.

    Raises:
        KeyError: there is none.
    """
    return _first(metrics, "miou_13", "miou", "accuracy")


def are_metrics(found: Any) -> bool:
    """Whether what a file has is the metrics of both domains, None for one without labels.

    >>> are_metrics({"target": {"miou": 0.5, "iou": {"sky": None}}, "source": None})
    True
    >>> are_metrics({"target": {"miou": "high"}})
    False
    """
    try:
        for measured in (found["target"], found.get("source")):
            if measured is not None:
                accuracy, classes = measured.get("pixel_accuracy"), measured.get("iou", {}).values()
                values = (selection_metric(measured).value, accuracy, *classes)
                if not all(value is None or 0 <= value <= 1 for value in values):
                    return False
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    return True


def _first(metrics: dict[str, Any], *keys: str) -> Metric:
    key = next((key for key in keys if key in metrics), keys[0])
    return Metric(key, TITLES[key], metrics[key])
