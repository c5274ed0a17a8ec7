"""The report of a run: one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.charts import line_chart
from msl_jax.report.curves import StageCurves
from msl_jax.report.html import element, render
from msl_jax.report.results import Results
from msl_jax.report.settings import Setting
from msl_jax.report.tables import settings_table
from msl_jax.report.task_report import Section, TaskReport
from msl_jax.runs.metrics import TITLES
from msl_jax.runs.scalars import LABELS, Points

# Even if the page tried to load something, the browser would refuse.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


class Report(NamedTuple):
    """Everything that a page shows.

    Attributes:
        title: of the run.
        place: its folder.
        task: the parts that depend on its task.
        results: evaluations.
        curves: of the stages that have begun.
        made: pictures of what the method trained on, where it makes images of its own.
        settings: the configuration by group.
        label_set: classes and their colours; None where they cannot be read.
        figures: sections about the predictions.
        gallery: the images.
        about: sentences about the gallery.
        notes: what is missing from it, and why.
    """

    title: str
    place: str
    task: TaskReport
    results: Results
    curves: Sequence[StageCurves]
    settings: Mapping[str, Sequence[Setting]]
    label_set: LabelSet | None = None
    made: Sequence[Element] = ()
    figures: Sequence[Section] = ()
    gallery: Sequence[Element] = ()
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
            *(_section(*section) for section in _sections(report)),
        ),
        element("script", _asset("filter.js")),
    )
    return render(element("html", head, body, lang="en"))


def _sections(report: Report) -> list[Section]:
    return [
        report.task.evaluation(report.results, report.label_set),
        *report.figures,
        Section("curves", "Curves", _curves(report)),
        *([Section("made", "Images that it trained on", report.made)] if report.made else []),
        Section("gallery", "Target images", _gallery(report)),
        Section("configuration", "Configuration", _configuration(report.settings)),
    ]


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _section(name: str, title: str, content: Sequence[Element]) -> Element:
    return element("section", element("h2", title), *content, id=name)


def _curves(report: Report) -> list[Element]:
    content: list[Element] = []
    for stage in report.curves:
        charts = []
        if stage.evaluations:
            title = f"{TITLES[report.task.metric]} in %"
            charts.append(_chart(stage, title, _percent(stage.evaluations)))
        for name, points in stage.losses.items():
            charts.append(_chart(stage, name, {name: points}))
        shares = _percent(stage.shares)
        if of_all := {name: points for name, points in shares.items() if LABELS not in name}:
            charts.append(_chart(stage, "shares of the pixels in %", of_all))
        of_classes = [_chart(stage, n, {n: p}) for n, p in shares.items() if LABELS in n]
        content.append(element("h3", f"{stage.title}, {stage.steps:,} steps"))
        content += [element("p", concern, class_="warning") for concern in stage.concerns]
        content.append(element("div", *charts, class_="charts"))
        if of_classes:
            said = element("summary", "The teacher's labels by class: shares of the pixels in %")
            grid = element("div", *of_classes, class_="charts")
            content.append(element("details", said, grid))
        if not stage.losses:
            text = "The losses of this stage are missing: its metrics.jsonl holds none, or is gone."
            content.append(element("p", text, class_="muted"))
    return content or [element("p", "The run has logged nothing yet.")]


def _percent(lines: Mapping[str, Points]) -> dict[str, Points]:
    return {
        name: {step: 100 * value for step, value in points.items()}
        for name, points in lines.items()
    }


def _chart(stage: StageCurves, title: str, lines: Mapping[str, Points]) -> Element:
    caption: list[Element | str] = [title]
    if list(lines) != [title]:
        for number, name in enumerate(lines):
            dash = element("span", "—" if number == 0 else "- -", class_=f"legend line{number}")
            caption += [dash, f" {name}"]
    chart = line_chart(lines, stage.steps, f"{stage.title}: {title}")
    return element("figure", element("figcaption", *caption), chart)


def _gallery(report: Report) -> list[Element]:
    notes = [element("p", note, class_="warning") for note in report.notes]
    about = [element("p", sentence, class_="muted") for sentence in report.about]
    return [*notes, *about, *report.gallery]


def _configuration(settings: Mapping[str, Sequence[Setting]]) -> list[Element]:
    text = "Bold: differs from the default, which is the official recipe."
    tables = [settings_table(group, found) for group, found in settings.items()]
    return [element("p", text, class_="muted"), element("div", *tables, class_="tables")]
