"""The page of a report, from plain data."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from html_pages import Node, expect_self_contained, read_page, rows_of

from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.report.charts import line_chart, thinned, ticks
from msl_jax.report.curves import StageCurves
from msl_jax.report.page import Report, page
from msl_jax.report.results import Results
from msl_jax.report.segmentation import SegmentationReport
from msl_jax.report.settings import settings


def _tables(root: Node) -> dict[str, dict[str, list[str]]]:
    return {table.one("caption").text: rows_of(table) for table in root.find("table")}


def test_nothing_is_loaded(report) -> None:
    expect_self_contained(page(report))


def test_iou_against_source_only(report) -> None:
    nasty = report.label_set.names[1]
    tables = _tables(read_page(page(report)))
    assert tables["target: IoU in %"] == {
        "class": ["source-only", "final", "change", "best*"],
        "road": ["40.0", "51.2", "+11.2", "60.0"],
        nasty: ["12.5", "10.0", "-2.5", "30.0"],
        "sky": ["-", "-", "", "-"],
        "train": ["-", "-", "", "-"],
        "mIoU": ["26.2", "30.6", "+4.3", "45.0"],
        "pixel accuracy": ["75.0", "75.0", "+0.0", "75.0"],
    }
    source = tables["source: IoU in %"]
    assert source["class"] == ["source-only", "final", "change"]
    assert source["sky"] == ["70.0", "75.0", "+5.0"]
    text = read_page(page(report)).text
    assert "target mIoU 26.2 → 30.6 % (+4.3); source mIoU 80.0 → 80.0 % (+0.0)" in text
    assert "best: step 20, chosen on target labels" in text


def test_bars_are_as_long_as_the_numbers(report) -> None:
    first = next(read_page(page(report)).find("span", class_="bars"))
    assert [bar.attributes for bar in first.find("i")] == [
        {"class": "before", "style": "width:40.0%"},
        {"class": "after", "style": "width:51.2%"},
    ]


def test_every_text_arrives_as_it_is(report) -> None:
    nasty = report.label_set.names[1]
    root = read_page(page(report))
    assert root.one("head").one("title").text == root.one("h1").text == report.title
    assert root.one("p", class_="warning").text == report.notes[0]
    assert report.place in root.text
    assert [node.text for node in root.find("b")] == [
        nasty
    ]  # the changed setting, none out of a name
    keys = [item.one("h3").text for item in root.one("ol").find("li")]
    assert keys == ["one", "two", nasty]


def test_gallery_holds_what_the_filter_needs(report) -> None:
    nasty = report.label_set.names[1]
    root = read_page(page(report))
    links = {link.attributes["data-class"]: link for link in root.one("nav").find("a")}
    assert [link.text for link in links.values()] == [
        "all classes (3)",
        "road (2)",
        f"{nasty} (2)",
        "sky (1)",
        "train (0)",
    ]
    for name, link in links.items():
        address = link.attributes["href"]
        assert parse_qs(address[1:], keep_blank_values=True) == {"class": [name]}
    first, second, third = root.one("ol").find("li")
    assert root.one("ol").attributes["data-order"] == "most changed first"
    assert json.loads(first.attributes["data-classes"]) == {
        "road": [0.25, "IoU 66.7 → 100.0 % (+33.3), 25.0 % of the pixels changed"],
        nasty: [0.25, "IoU 0.0 → 100.0 % (+100.0), 25.0 % of the pixels changed"],
    }
    changed = json.loads(second.attributes["data-classes"])
    assert changed == {"sky": [0, "IoU 100.0 → 100.0 % (+0.0), 0.0 % of the pixels changed"]}
    titles = [caption.text for caption in third.find("figcaption")]
    assert titles == ["image", "label", "source-only", "adapted", "confidence"]
    for picture in third.find("img"):
        assert nasty in picture.attributes["alt"]


def test_curves(report) -> None:
    root = read_page(page(report)).one("section", id="curves")
    assert root.one("h3").text == "max_square, 30 steps"
    titles = [chart.children[0].text for chart in root.find("svg")]
    assert titles == [
        "max_square: mIoU in %. target: 25 at step 0, 31 at step 30. source: 80 at step 0, 79 at"
        " step 30.",
        "max_square: target/final. target/final: -0.5 at step 10, -0.75 at step 20.",
        "max_square: shares of the pixels in %. target/guided_share: 50 at step 10, 75 at step 20.",
    ]


def test_curves_of_classes_are_folded(report) -> None:
    (stage,) = report.curves
    shares = {**stage.shares, "teacher/labels/road_share": {10: 0.25, 20: 0.125}}
    found = page(report._replace(curves=[stage._replace(shares=shares)]))
    root = read_page(found).one("section", id="curves")
    (chart,) = root.one("details").find("svg")
    assert chart.children[0].text.endswith("road_share: 25 at step 10, 12.5 at step 20.")
    assert len(list(root.find("svg"))) == 4


def test_stage_that_has_lost_its_log(report) -> None:
    assert "losses of this stage are missing" not in page(report)
    (stage,) = report.curves
    found = page(report._replace(curves=[stage._replace(losses={})]))
    text = read_page(found).one("section", id="curves").text
    assert "The losses of this stage are missing: its metrics.jsonl holds none, or is gone." in text


def test_run_that_has_nothing_yet() -> None:
    empty = Report("title", "place", SegmentationReport(), Results("Not finished."), [], {})
    text = read_page(page(empty)).text
    assert "Nothing has been evaluated yet." in text
    assert "The run has logged nothing yet." in text


def test_run_without_a_baseline(report) -> None:
    alone = report._replace(results=report.results._replace(before=None, best=None))
    table = _tables(read_page(page(alone)))["target: IoU in %"]
    assert table["class"] == ["final"]
    assert table["road"] == ["51.2"]
    assert "source-only" not in read_page(page(alone)).one("section", id="iou").text


def test_target_without_labels(report) -> None:
    before, after = (
        measured._replace(metrics={**measured.metrics, "target": None})
        for measured in (report.results.before, report.results.after)
    )
    results = report.results._replace(before=before, after=after, best=None)
    root = read_page(page(report._replace(results=results)))
    assert "target: IoU in %" not in _tables(root)
    assert "source: IoU in %" in _tables(root)
    assert "The target has no labels" in root.text


# Charts.


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-0.48, -0.44), (3.0, 3.0), (0.0, 0.0), (0.1, 29_750.0)]
)
def test_ticks_enclose_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert found[0] <= low <= high <= found[-1]
    assert found == sorted(set(found))


def test_many_points_are_averaged() -> None:
    found = thinned({step: float(step % 2) for step in range(10_000)})
    assert len(found) <= 300
    assert set(found.values()) == {0.5}


def test_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    (svg,) = read_page(page_of_one_line()).find("svg")
    points = [
        tuple(map(float, p.split(","))) for p in svg.one("polyline").attributes["points"].split()
    ]
    (x0, y0), (x1, y1) = points
    assert x0 < x1
    assert y0 > y1  # SVG counts downwards


def page_of_one_line() -> str:
    stage = StageCurves("a", 10, {}, {"loss": {1: 2.0, 9: 3.0}}, {})
    return page(Report("", "", SegmentationReport(), Results(""), [stage], {}))


def test_chart_of_a_single_value() -> None:
    svg = line_chart({"a": {5: 0.0}}, 10, "a")
    assert "nan" not in str([node.attrib for node in svg.iter()])


# Configuration.


def test_settings_beside_the_defaults() -> None:
    config = base_config("camvid", "minent")
    config.update_from_flattened_dict({"model.depth": 50, "iw_alpha": 0.5})
    with config.unlocked():
        config.city = "Rio"
    groups = settings(complete(config))
    found = {s.key: s for group in groups.values() for s in group}
    changed = {key for key, setting in found.items() if setting.changed}
    assert changed == {"model.depth", "iw_alpha", "city"}
    assert found["model.depth"][1:] == ("50", "101")
    assert found["city"][1:] == ("Rio", None)
    assert [s.key for s in groups["Other"]] == ["city"]
    assert "lambda_target" in {s.key for s in groups["Adaptation"]}


def test_a_small_trial_run_says_so() -> None:
    config = base_config("camvid", "minent")
    config.shrink = True
    whole, shrunk = (settings(complete(config), shrunk=shrunk)["Run"] for shrunk in (False, True))
    assert [s.value for s in whole if s.key == "shrink"] == ["False"]
    assert [(s.value, s.changed) for s in shrunk if s.key == "shrink"] == [("True", True)]


def test_other_preset_is_no_default() -> None:
    """The official recipe's figures are the defaults; what `paper` decides otherwise is marked."""
    config = base_config("camvid", "minent")
    config.preset = "paper"
    found = [s for group in settings(complete(config)).values() for s in group if s.changed]
    assert {"preset", "normalization", "model.active_dilations"} <= {
        setting.key for setting in found
    }
