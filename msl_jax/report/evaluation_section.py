"""The metrics of a run before and after the adaptation, as HTML: what all tasks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from msl_jax.report.html import element
from msl_jax.report.results import Measured, Results
from msl_jax.report.tables import change, percent
from msl_jax.runs.metrics import headline

DOMAINS = ("target", "source")


def evaluation(results: Results, tables: Sequence[Element]) -> list[Element]:
    """The change in a sentence, the tables, and what is to be known of them.

    Args:
        results: of the run.
        tables: of the metrics, one or more for each domain that has any.
    """
    if not tables:
        return [element("p", "Nothing has been evaluated yet.")]
    content = []
    if not columns(results, "target"):
        content.append(element("p", "The target has no labels, so that nothing is measured on it."))
    if results.before and results.after:
        content.append(element("p", _headline(results), class_="headline"))
        content.append(bars_key(results.before.title, results.after.title))
    scrolled = (element("div", table, class_="scroll") for table in tables)
    content.append(element("div", *scrolled, class_="tables"))
    if results.best:
        text = (
            f"* {results.best.title}: step {results.best.step}, chosen on target labels, so that no"
            " conclusion can rest on it."
        )
        content.append(element("p", text, class_="muted"))
    return content


def columns(results: Results, *domains: str) -> list[Measured]:
    """The networks, before and after, that were evaluated on any of the domains."""
    found = [measured for measured in (results.before, results.after) if measured]
    return [m for m in found if any(m.metrics.get(domain) for domain in domains)]


def bars_key(before: str, after: str) -> Element:
    """What the two bars of a row mean."""
    key = (element("i", class_="before"), before, element("i", class_="after"), after)
    return element("p", "Bars:", *key, class_="muted key")


def _headline(results: Results) -> str:
    """The metric before and after, on each domain that has labels."""
    parts = []
    for domain in DOMAINS:
        pair = [m and m.metrics.get(domain) for m in (results.before, results.after)]
        if all(pair):
            before, after = (headline(m) for m in pair if m)
            moved = change(before.value, after.value)
            values = f"{percent(before.value)} → {percent(after.value)} %"
            parts.append(f"{domain} {after.title} {values} ({moved})")
    return "; ".join(parts)
