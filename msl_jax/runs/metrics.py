"""The one number that metrics are known by, whatever the task."""

from __future__ import annotations

from typing import Any, NamedTuple


class Headline(NamedTuple):
    """A metric that stands for all.

    Attributes:
        key: in the metrics M of `results.json`.
        title: for the console.
        value: in [0, 1].
    """

    key: str
    title: str
    value: float


# By the key in M.
TITLES = {"miou": "mIoU", "miou_13": "mIoU*", "accuracy": "accuracy"}


def headline(metrics: dict[str, Any]) -> Headline:
    """The metric that is shown while a network is trained.

    >>> headline({"miou": 0.5, "iou": {}, "pixel_accuracy": 0.9}).title
    'mIoU'
    >>> headline({"accuracy": 0.75}).value
    0.75
    """
    return _first(metrics, "miou", "accuracy")


def deciding(metrics: dict[str, Any]) -> Headline:
    """The metric that decides which checkpoint is best.

    In 16-class runs it is the 13-class mIoU, as in the official code.
    """
    return _first(metrics, "miou_13", "miou", "accuracy")


def _first(metrics: dict[str, Any], *keys: str) -> Headline:
    key = next(key for key in keys if key in metrics)
    return Headline(key, TITLES[key], metrics[key])
