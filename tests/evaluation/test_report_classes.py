"""The page of a classification, from plain data."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from html_pages import Node, expect_self_contained, read_page, rows_of
from PIL import Image

from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.evaluation.classification import Classified, Prediction
from msl_jax.report.classification import ClassificationReport, notable
from msl_jax.report.classification_sections import class_sections
from msl_jax.report.classification_tables import pairs
from msl_jax.report.html import element, enlarged, render
from msl_jax.report.page import page
from msl_jax.report.results import Measured
from msl_jax.report.settings import settings

NAMES = ("bike", "mug", "pen", "ruler")
LABELS = [0, 0, 0, 0, 1, 1, 2, 255]
BEFORE = [0, 0, 1, 1, 1, 0, 2, 3]
AFTER = [0, 0, 0, 1, 1, 2, 0, 3]
CHANCES = [0.9, 0.9, 0.9, 0.4, 0.9, 0.5, 0.6, 1.0]


def _classified(labels: list[int] = LABELS, **networks: list[int]) -> Classified:
    chances = np.array(CHANCES, np.float32)
    logits = np.zeros((len(labels), len(NAMES)), np.float32)  # the report shows none
    return Classified(
        tuple(f"image {i}" for i in range(len(labels))),
        np.array(labels, np.uint8),
        {
            name: Prediction(np.array(found, np.int32), chances, logits)
            for name, found in networks.items()
        },
    )


def _root(found: Classified, names: tuple[str, ...] = NAMES) -> Node:
    sections = class_sections(found, names)
    content = (element("section", *section.content, id=section.key) for section in sections)
    return read_page(render(element("main", *content)))


def _tables(root: Node) -> dict[str, dict[str, list[str]]]:
    return {table.one("caption").text: rows_of(table) for table in root.find("table")}


def test_accuracy_by_class_of_two_networks() -> None:
    root = _root(_classified(before=BEFORE, after=AFTER))
    assert _tables(root)["target: accuracy in %"] == {
        "class": ["images", "before", "after", "change"],
        "bike": ["4", "50.0", "75.0", "+25.0"],
        "mug": ["2", "50.0", "50.0", "+0.0"],
        "pen": ["1", "100.0", "0.0", "-100.0"],
        "ruler": ["0", "-", "-", ""],
        "class mean": ["", "66.7", "41.7", "-25.0"],
        "all images": ["7", "57.1", "57.1", "+0.0"],
    }
    # Without the image that has no label.
    assert (
        "Fixed (wrong before, right now): 1 of 7 images; broken (right before, wrong now): 1."
        in root.text
    )
    assert (
        "after: the predicted class has a mean probability of 90.0 % where it is right" in root.text
    )
    assert " and 50.0 % where it is wrong." in root.text


def test_confusions_of_two_networks() -> None:
    root = _root(_classified(before=BEFORE, after=AFTER)).one("section", id="confusions")
    changed, matrix, other = root.find("table")
    rows = [[c.text for c in row.find("*") if c.tag in ("th", "td")] for row in changed.find("tr")]
    assert rows == [
        ["label", "predicted as", "before", "after", "change"],
        ["bike", "mug", "2", "1", "-1"],
        ["mug", "bike", "1", "0", "-1"],
        ["mug", "pen", "0", "1", "+1"],
        ["pen", "bike", "0", "1", "+1"],
    ]
    assert [cell.attributes.get("class") for cell in list(changed.find("td"))[3:16:4]] == [
        "up",
        "up",
        "down",
        "down",
    ]
    assert rows_of(matrix)["bike"] == ["3", "1", "", ""]
    assert rows_of(matrix)["pen"] == ["1", "", "", ""]
    assert rows_of(other)["bike"] == ["2", "2", "", ""]
    kinds = [
        cell.attributes.get("class") for cell in next(matrix.one("tbody").find("tr")).find("td")
    ]
    assert kinds == ["same", "other", None, None]
    cell = matrix.one("td", title="bike predicted as mug: 1 of 4 images")
    assert cell.attributes["style"] == "--share:25%"  # half the root of a quarter
    assert root.one("summary").text == "the same matrix for before"


def test_one_network() -> None:
    root = _root(_classified(oracle=BEFORE))
    tables = _tables(root)
    assert tables["target: accuracy in %"]["bike"] == ["4", "50.0"]
    assert tables["most frequent confusions (images)"] == {
        "label": ["predicted as", "oracle"],
        "bike": ["mug", "2"],
        "mug": ["bike", "1"],
    }
    assert not list(root.find("details"))
    assert "wrong before" not in root.text


def test_classes_of_images_without_labels() -> None:
    found = _classified([255] * 8, before=BEFORE, after=AFTER)
    tables = _tables(_root(found))
    assert tables["target: predictions by class, in %"]["bike"] == ["37.5", "50.0", "+12.5"]
    assert tables["most frequent changes (images)"]["mug"] == ["bike", "1"]
    assert tables["images by prediction: before (rows), after (columns)"]["bike"] == [
        "2",
        "",
        "1",
        "",
    ]
    assert not any("accuracy" in caption for caption in tables)
    (section,) = class_sections(_classified([255] * 8, source=BEFORE), NAMES)
    assert section.title == "Predicted classes"


def test_matrix_that_nobody_could_read_is_left_out() -> None:
    names = tuple(f"class {i}" for i in range(101))
    root = _root(_classified(before=BEFORE, after=AFTER), names)
    assert len(_tables(root)) == 2
    assert "A matrix of 101 classes" in root.text


def test_nothing_confused() -> None:
    root = _root(_classified(before=BEFORE, after=BEFORE))
    assert "No confusion changed." in root.one("section", id="confusions").text
    assert pairs(np.eye(3, dtype=int), np.eye(3, dtype=int), 5) == []


def test_notable_images() -> None:
    assert notable(_classified(before=BEFORE, after=AFTER)) == [2, 5, 6]
    assert notable(_classified(oracle=BEFORE)) == [2, 3, 5]
    assert notable(_classified([255] * 8, source=BEFORE)) == []


# The gallery.


def test_cards(class_report) -> None:
    html = page(class_report)
    expect_self_contained(html)
    items = list(read_page(html).one("ol").find("li"))
    assert [item.one("h3").text for item in items] == ["fixed", "broken", "other", "same", "bare"]
    facts = {
        item.one("h3").text: [node.text for node in item.find("*") if node.tag in ("dt", "dd")]
        for item in items
    }
    nasty = class_report.label_set.names[1]
    assert facts["fixed"] == [
        *("label", "road"),
        *("source-only", f"✗ {nasty} (60.0 %)", "adapted", "✓ road (90.0 %)"),
    ]
    # Without a label nothing is right or wrong.
    assert facts["bare"] == ["source-only", "sky (60.0 %)", "adapted", "sky (90.0 %)"]
    verdicts = [[p.text for p in item.find("p", class_="verdict")] for item in items]
    assert verdicts == [["fixed"], ["broken"], ["changed, still wrong"], [], []]
    marks = [mark.attributes["aria-label"] for mark in items[0].find("span", role="img")]
    assert marks == ["wrong", "right"]


def test_cards_hold_what_the_filter_needs(class_report) -> None:
    nasty = class_report.label_set.names[1]
    root = read_page(page(class_report))
    first, *_, last = root.one("ol").find("li")
    assert json.loads(first.attributes["data-classes"]) == {
        "road": [1, "label, adapted"],
        nasty: [1, "source-only"],
    }
    assert json.loads(last.attributes["data-classes"]) == {"sky": [0, "source-only, adapted"]}
    assert root.one("ol").attributes["data-order"] == "changed predictions first"
    assert not list(root.one("nav").find("span"))  # colours mean nothing here
    assert [link.text for link in root.one("nav").find("a")][1] == "road (4)"


@pytest.mark.parametrize(("side", "expected", "kind"), [(16, 128, "png"), (200, 200, "webp")])
def test_small_images_are_enlarged(
    rng: np.random.Generator, side: int, expected: int, kind: str
) -> None:
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    found = enlarged("image", pixels)
    assert found.kind == f"image/{kind}"
    with Image.open(io.BytesIO(found.content)) as picture:
        assert picture.size == (expected, expected)
        if kind == "png":
            shown = np.array(picture)
            np.testing.assert_array_equal(shown[::8, ::8], pixels)
            np.testing.assert_array_equal(shown[7::8, 7::8], pixels)


# Accuracy of both domains, and the configuration.


def test_accuracy_against_source_only(class_report) -> None:
    root = read_page(page(class_report)).one("section", id="accuracy")
    assert (
        "target accuracy 40.0 → 51.2 % (+11.2); source accuracy 90.0 → 85.0 % (-5.0)" in root.text
    )
    assert _tables(root)["accuracy in %"] == {
        "domain": ["source-only", "final", "change", "best*"],
        "target": ["40.0", "51.2", "+11.2", "60.0"],
        "source": ["90.0", "85.0", "-5.0", "not measured"],  # the best is looked for on the target
    }
    bars = next(root.find("span", class_="bars")).find("i")
    assert [bar.attributes["style"] for bar in bars] == ["width:40.0%", "width:51.2%"]
    assert "best: step 20, chosen on target labels" in root.text


def test_accuracy_of_a_target_without_labels(class_report) -> None:
    before, after = (
        Measured(m.title, m.step, {**m.metrics, "target": None})
        for m in (class_report.results.before, class_report.results.after)
    )
    results = class_report.results._replace(before=before, after=after, best=None)
    root = read_page(page(class_report._replace(results=results))).one("section", id="accuracy")
    assert "The target has no labels" in root.text
    assert list(_tables(root)["accuracy in %"]) == ["domain", "source"]


def test_curves_of_accuracy(class_report) -> None:
    titles = [svg.children[0].text for svg in read_page(page(class_report)).find("svg")]
    assert titles[0] == "dann: accuracy in %. target: 25 at step 0, 31 at step 30."


def test_accuracy_that_was_not_measured_is_no_value() -> None:
    assert ClassificationReport().values({"accuracy": None}) == []
    assert ClassificationReport().values({"accuracy": 0.0}) == [0.0]


@pytest.mark.parametrize("found", [{}, {"miou": 0.5}, 3])
def test_metrics_of_another_kind(found: object) -> None:
    with pytest.raises((KeyError, TypeError)):
        assert all(0 <= value <= 1 for value in ClassificationReport().values(found))  # type: ignore[arg-type]


def test_settings_of_a_variant_that_segmentation_does_not_have() -> None:
    config = complete(base_config("digits", "dann", task="classification"))
    assert not any(s.changed for group in settings(config).values() for s in group)
