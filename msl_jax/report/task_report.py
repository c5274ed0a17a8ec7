"""What each task contributes to the report, and what the tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.html import element
from msl_jax.report.networks import Networks
from msl_jax.report.results import Measured, Results
from msl_jax.report.tables import change
from msl_jax.runs.metrics import main_metric

DOMAINS = ("target", "source")


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        key: its name in the page's address, after ``#``.
        title: its heading.
        content: what is shown below the heading.
    """

    key: str
    title: str
    content: Sequence[Element]


class Predictions(NamedTuple):
    """The predictions of a run's networks on the target's evaluation split.

    Attributes:
        figures: sections other than the gallery.
        gallery: the images.
        about: one sentence about the images.
    """

    figures: Sequence[Section]
    gallery: Sequence[Element]
    about: str


class TaskReport(Protocol):
    """The parts of a report that depend on the task.

    Attributes:
        task: its name in configurations.
        metric: key in the metrics M of `results.json`, and the prefix of its names in the logs.
        metrics: what M holds, in words.
        predicted: what is missing where no network can be loaded, in words.
    """

    task: str
    metric: str
    metrics: str
    predicted: str

    def values(self, measured: dict[str, Any]) -> list[float]:
        """All numbers in the metrics M of a domain, each in [0, 1].

        Raises:
            KeyError, TypeError, AttributeError: they are not metrics of this task.
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


def evaluation_content(results: Results, tables: Sequence[Element]) -> list[Element]:
    """The change in a sentence, the tables, and notes about them.

    Args:
        results: of the run.
        tables: of the metrics, one or more for each domain that has any.
    """
    if not tables:
        return [element("p", "Nothing has been evaluated yet.")]
    content = []
    if not columns(results, "target"):
        content.append(element("p", "The target has no labels, so nothing is measured on it."))
    if results.before and results.after:
        content.append(element("p", _headline(results), class_="headline"))
        content.append(bars_key(results.before.title, results.after.title))
    scrolled = (element("div", table, class_="scroll") for table in tables)
    content.append(element("div", *scrolled, class_="tables"))
    if results.best:
        text = (
            f"* {results.best.title}: step {results.best.step}, chosen on target labels, hence not"
            " for conclusions."
        )
        content.append(element("p", text, class_="muted"))
    return content


def columns(results: Results, *domains: str) -> list[Measured]:
    """The networks, before and after, that were evaluated on any of `domains`."""
    found = [measured for measured in (results.before, results.after) if measured]
    return [m for m in found if any(m.metrics.get(domain) for domain in domains)]


def bars_key(before: str, after: str) -> Element:
    """A key to the two bars of a row."""
    key = (element("i", class_="before"), before, element("i", class_="after"), after)
    return element("p", "Bars:", *key, class_="muted key")


def _headline(results: Results) -> str:
    """The main metric before and after, on each domain with labels."""
    parts = []
    for domain in DOMAINS:
        pair = [m and m.metrics.get(domain) for m in (results.before, results.after)]
        if all(pair):
            before, after = (main_metric(m) for m in pair if m)
            moved = change(before.value, after.value)
            values = f"{before.percent} → {after.percent}"
            if moved:
                values += f" % ({moved})"
            parts.append(f"{domain} {after.title} {values}")
    return "; ".join(parts)
