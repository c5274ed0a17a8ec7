"""What a kind of task gives to the page of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.networks import Networks
from msl_jax.report.results import Results


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        key: the part of the address behind ``#`` that leads to it.
        title: its heading.
        content: what stands below it.
    """

    key: str
    title: str
    content: Sequence[Element]


class Predictions(NamedTuple):
    """What the networks of a run make of the target's evaluation split.

    Attributes:
        figures: sections beside the gallery.
        gallery: the images.
        about: what is to be said of the images, one sentence.
    """

    figures: Sequence[Section]
    gallery: Sequence[Element]
    about: str


class TaskReport(Protocol):
    """The parts of a report that differ between kinds of task.

    Attributes:
        task: its name in configurations.
        metric: key in the metrics M of `results.json`, and beginning of its names in the logs.
        metrics: what M holds, in words.
        predicted: what there is not where no network can be loaded.
    """

    task: str
    metric: str
    metrics: str
    predicted: str

    def values(self, measured: dict[str, Any]) -> list[float]:
        """All numbers in the metrics M of a domain, each in [0, 1].

        Raises:
            KeyError, TypeError, AttributeError: these are no such metrics.
        """
        ...

    def evaluation(self, results: Results, label_set: LabelSet | None) -> Section:
        """The metrics before and after; `label_set` is None where it cannot be read."""
        ...

    def predictions(self, networks: Networks, count: int) -> Predictions:
        """Predicts the target's images, of which the gallery shows `count`.

        Raises:
            UserError: a record is damaged.
        """
        ...
