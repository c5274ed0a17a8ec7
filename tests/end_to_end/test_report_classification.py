"""The report of whole runs of classification, on made-up digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from html_pages import Node, expect_self_contained, read_page, rows_of

from msl_jax.data.datasets.digits import Digits
from msl_jax.report.command import write_report

pytestmark = pytest.mark.usefixtures("made_digits")


@pytest.fixture(scope="module")
def adapted(start, made_digits, digits_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Both stages."""
    return start(digits_config("max_square"), tmp_path_factory.mktemp("adapted") / "run")


def _written(workdir: Path, output: Path, images: int = 4) -> Node:
    write_report(workdir, output, images)
    expect_self_contained(output.read_text())
    return read_page(output.read_text())


def _tables(root: Node) -> dict[str, dict[str, list[str]]]:
    return {table.one("caption").text: rows_of(table) for table in root.find("table")}


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def test_whole_run(adapted, tmp_path: Path, snapshot) -> None:
    before = snapshot(adapted.workdir)
    root = _written(adapted.workdir, tmp_path / "page.html", images=1000)
    assert snapshot(adapted.workdir) == before
    assert root.one("h1").text == "digits-mnist-uci:max_square, seed 0"
    assert not list(root.find("p", class_="warning"))
    tables, results = _tables(root), adapted.results
    expected = {
        domain: [_percent(results[key][domain]["accuracy"]) for key in ("source_only", "final")]
        for domain in ("target", "source")
    }
    for domain, values in expected.items():
        assert tables["accuracy in %"][domain][:2] == values
    # What the networks predict is counted anew, and comes to the same.
    by_class = tables["target: accuracy in %"]
    assert by_class["all images"][:3] == ["10", *expected["target"]]
    assert list(by_class) == ["class", *"0123456789", "class mean", "all images"]
    (matrix,) = (t for caption, t in tables.items() if caption.startswith("adapted: images"))
    counts = [[int(cell or 0) for cell in matrix[name]] for name in "0123456789"]
    assert sum(map(sum, counts)) == 10
    right = sum(counts[i][i] for i in range(10))
    assert _percent(right / 10) == expected["target"][1]
    titles = [svg.children[0].text for svg in root.find("svg")]
    assert any(title.startswith("source-only: source/cross_entropy") for title in titles)
    assert any(title.startswith("max_square: target/max_square") for title in titles)
    (curve,) = (title for title in titles if title.startswith("max_square: accuracy in %"))
    assert f"{100 * results['source_only']['target']['accuracy']:.3g} at step 0" in curve
    assert _tables(root)["Network"]["model.network"][0] == "small_resnet"


def test_gallery_gives_the_numbers_of_the_results(adapted, tmp_path: Path) -> None:
    root = _written(adapted.workdir, tmp_path / "page.html", images=1000)
    items = list(root.one("ol").find("li"))
    assert len(items) == len({item.one("h3").text for item in items}) == 10
    for place, key in ((0, "source_only"), (1, "final")):
        marks = [list(item.find("span", role="img"))[place] for item in items]
        right = sum(mark.attributes["title"] == "right" for mark in marks)
        assert right / 10 == adapted.results[key]["target"]["accuracy"]
    weights = [json.loads(item.attributes["data-classes"]) for item in items]
    changed = [max(weight for weight, _ in found.values()) for found in weights]
    assert changed == sorted(changed, reverse=True)


def test_run_that_began_elsewhere_and_has_lost_that(adapted, tmp_path: Path) -> None:
    """One network alone: the images that it gets wrong come first, and beyond those asked for."""
    workdir = Path(shutil.copytree(adapted.workdir, tmp_path / "copy"))
    shutil.rmtree(workdir / "source")
    root = _written(workdir, tmp_path / "page.html", images=2)
    (warning,) = root.find("p", class_="warning")
    assert warning.text.startswith("The source-only network cannot be shown. ")
    assert root.one("ol").attributes["data-order"] == "wrong predictions first"
    assert "2 of 10 images, evenly spaced, and 2 more that are misclassified" in root.text
    assert len(list(root.one("ol").find("li"))) == 4
    assert _tables(root)["target: accuracy in %"]["class"] == ["images", "adapted"]


def test_unfinished_run(adapted, tmp_path: Path) -> None:
    workdir = Path(shutil.copytree(adapted.workdir, tmp_path / "copy"))
    (workdir / "results.json").unlink()
    root = _written(workdir, tmp_path / "page.html")
    assert "Not finished: evaluated up to step 4 of 4 of the adaptation." in root.text
    rows = _tables(root)["accuracy in %"]
    assert rows["domain"] == ["source-only", "step 4", "change", "best so far*"]


def test_damaged_checkpoint(adapted, tmp_path: Path) -> None:
    workdir = Path(shutil.copytree(adapted.workdir, tmp_path / "copy"))
    files = (workdir / "adapt/4/variables").rglob("*")
    max(files, key=lambda path: path.stat().st_size).write_bytes(b"")
    root = _written(workdir, tmp_path / "page.html")
    (warning,) = root.find("p", class_="warning")
    assert warning.text.startswith(
        "This page has no accuracy by class, confusion matrix or gallery. "
    )
    assert "adapt/4" in warning.text
    assert "target" in _tables(root)["accuracy in %"]
    assert not list(root.find("section", id="classes"))


def test_target_without_labels(start, digits_config, tmp_path: Path) -> None:
    labelled = Digits.labelled
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Digits, "labelled", lambda self, split: "uci" not in split and labelled(self, split)
        )
        run = start(digits_config("max_square"), tmp_path / "run")
        assert run.results["final"]["target"] is None
        root = _written(run.workdir, tmp_path / "page.html")
    assert "The target has no labels" in root.one("section", id="accuracy").text
    assert root.one("section", id="classes").one("h2").text == "Predicted classes"
    assert not list(root.find("span", role="img"))
    terms = {term.text for term in root.one("ol").find("dt")}
    assert terms == {"source-only", "adapted"}


def test_no_images(adapted, tmp_path: Path) -> None:
    root = _written(adapted.workdir, tmp_path / "page.html", images=0)
    assert "No images were asked for." in root.text
    assert not list(root.find("section", id="classes"))
