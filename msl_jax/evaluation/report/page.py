"""The report of a run: one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.evaluation.report.charts import line_chart
from msl_jax.evaluation.report.curves import StageCurves
from msl_jax.evaluation.report.elements import element, render
from msl_jax.evaluation.report.events import Points
from msl_jax.evaluation.report.gallery import GalleryImage
from msl_jax.evaluation.report.gallery_section import gallery_images
from msl_jax.evaluation.report.results import Results
from msl_jax.evaluation.report.settings import Setting
from msl_jax.evaluation.report.tables import change, iou_table, percent, settings_table

# The browser itself refuses whatever the page might load.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


class Report(NamedTuple):
    """All that a page shows.

    Attributes:
        title: names the run.
        place: its folder.
        results: evaluations.
        curves: of the stages that have begun.
        settings: the configuration by group.
        label_set: classes and their colours; None where they cannot be read.
        images: of the gallery.
        about: sentences on the gallery.
        notes: what is missing in it, and why.
    """

    title: str
    place: str
    results: Results
    curves: Sequence[StageCurves]
    settings: Mapping[str, Sequence[Setting]]
    label_set: LabelSet | None = None
    images: Sequence[GalleryImage] = ()
    about: Sequence[str] = ()
    notes: Sequence[str] = ()


def page(report: Report) -> str:
    """The page as HTML, beginning with the element ``html``."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", report.title),
        element("style", _asset("style.css")),
    )
    body = element(
        "body",
        element(
            "header",
            element("h1", report.title),
            element("p", report.place, class_="muted"),
            element("p", report.results.state),
        ),
        element(
            "main",
            _section("iou", "IoU by class", _iou(report)),
            _section("curves", "Curves", _curves(report.curves)),
            _section("gallery", "Target images", _gallery(report)),
            _section("configuration", "Configuration", _configuration(report.settings)),
        ),
        element("script", _asset("filter.js")),
    )
    return render(element("html", head, body, lang="en"))


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _section(name: str, title: str, content: Sequence[Element]) -> Element:
    return element("section", element("h2", title), *content, id=name)


def _iou(report: Report) -> list[Element]:
    colors = {c.name: c.color for c in report.label_set.classes} if report.label_set else {}
    results, content = report.results, []
    found = {d: iou_table(results, d, colors) for d in ("target", "source")}
    tables = [
        element("div", table, class_="scroll") for table in found.values() if table is not None
    ]
    if tables and found["target"] is None:
        content.append(element("p", "The target has no labels, so it has no IoU."))
    if not tables:
        return [element("p", "Nothing has been evaluated yet.")]
    if results.before and results.after:
        content.append(element("p", _headline(results), class_="headline"))
        key = (
            element("i", class_="before"),
            results.before.title,
            element("i", class_="after"),
            results.after.title,
        )
        content.append(element("p", "Bars:", *key, class_="muted key"))
    content.append(element("div", *tables, class_="tables"))
    if results.best:
        text = (
            f"* {results.best.title}: step {results.best.step}, chosen on target labels, so that no"
            " conclusion can rest on it."
        )
        content.append(element("p", text, class_="muted"))
    return content


def _headline(results: Results) -> str:
    """The mIoU before and after, on each domain that has labels."""
    parts = []
    for domain in ("target", "source"):
        pair = [m and m.metrics.get(domain) for m in (results.before, results.after)]
        if all(pair):
            before, after = (m["miou"] for m in pair if m)
            moved = change(before, after)
            parts.append(f"{domain} mIoU {percent(before)} → {percent(after)} % ({moved})")
    return "; ".join(parts)


def _curves(stages: Sequence[StageCurves]) -> list[Element]:
    content: list[Element] = []
    for stage in stages:
        charts = []
        if stage.miou:
            miou = {
                domain: {step: 100 * value for step, value in points.items()}
                for domain, points in stage.miou.items()
            }
            charts.append(_chart(stage, "mIoU in %", miou))
        for name, points in stage.losses.items():
            charts.append(_chart(stage, name, {name: points}))
        content.append(element("h3", f"{stage.title}, {stage.steps:,} steps"))
        content.append(element("div", *charts, class_="charts"))
    return content or [element("p", "The run has logged nothing yet.")]


def _chart(stage: StageCurves, title: str, lines: Mapping[str, Points]) -> Element:
    caption: list[Element | str] = [title]
    if len(lines) > 1:
        for number, name in enumerate(lines):
            dash = element("span", "—" if number == 0 else "- -", class_=f"legend line{number}")
            caption += [dash, f" {name}"]
    chart = line_chart(lines, stage.steps, f"{stage.title}: {title}")
    return element("figure", element("figcaption", *caption), chart)


def _gallery(report: Report) -> list[Element]:
    notes = [element("p", note, class_="warning") for note in report.notes]
    about = [element("p", sentence, class_="muted") for sentence in report.about]
    if not report.images or report.label_set is None:
        return [*notes, *about]
    return [*notes, *about, *gallery_images(report.images, report.label_set)]


def _configuration(settings: Mapping[str, Sequence[Setting]]) -> list[Element]:
    text = "Bold: other than the default, which is the official recipe's."
    tables = [settings_table(group, found) for group, found in settings.items()]
    return [element("p", text, class_="muted"), element("div", *tables, class_="tables")]
