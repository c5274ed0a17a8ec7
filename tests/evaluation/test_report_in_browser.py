"""The page of a report in a real browser, driven by its address: its filter, and its width."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from html_pages import Node, read_page

from msl_jax.data.datasets.class_dataset import class_label_set
from msl_jax.evaluation.classification import Classified, Prediction
from msl_jax.report.classification_gallery import class_cards
from msl_jax.report.classification_sections import class_sections
from msl_jax.report.page import Report, page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, _NAMES) if path), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(_NAMES)} is here")


def _rendered(address: str, profile: Path, *flags: str) -> Node:
    """The document after its script has run."""
    command = [str(CHROMIUM), *FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return read_page(re.sub(r"^<!DOCTYPE html>", "", done.stdout))


def _written(report: Report, folder: Path) -> str:
    path = folder / "report.html"
    path.write_text(f"<!doctype html>{page(report)}")
    return path.as_uri()


@pytest.fixture
def address(report, tmp_path: Path) -> str:
    return _written(report, tmp_path)


def _shown(root: Node) -> list[str]:
    return [
        item.one("h3").text for item in root.one("ol").find("li") if "hidden" not in item.attributes
    ]


def test_without_a_class_all_images_are_shown(report, address: str, tmp_path: Path) -> None:
    root = _rendered(address, tmp_path / "profile")
    assert _shown(root) == ["one", "two", report.label_set.names[1]]
    assert root.one("a", aria_current="true").text == "all classes (3)"
    assert root.one("p", role="status").text == "3 images"


def test_class_in_the_address_chooses_and_orders(report, address: str, tmp_path: Path) -> None:
    nasty = report.label_set.names[1]
    root = _rendered(f"{address}#class={quote(nasty, safe='')}", tmp_path / "profile")
    # More of it changed in the last image than in the first one.
    assert _shown(root) == [nasty, "one"]
    assert root.one("a", aria_current="true").attributes["data-class"] == nasty
    assert root.one("p", role="status").text == f"2 of 3 images with {nasty}, most changed first"
    notes = [note.text for note in root.find("p", class_="note") if "hidden" not in note.attributes]
    assert notes == [
        f"{nasty}: IoU 25.0 → 100.0 % (+75.0), 75.0 % of the pixels changed",
        f"{nasty}: IoU 0.0 → 100.0 % (+100.0), 25.0 % of the pixels changed",
    ]


def test_unknown_class_shows_all(address: str, tmp_path: Path) -> None:
    root = _rendered(f"{address}#class=constructor", tmp_path / "profile")
    assert len(_shown(root)) == 3


def test_class_chooses_cards(class_report, tmp_path: Path) -> None:
    """Those whose prediction changed come first, whatever their role in the change."""
    address = _written(class_report, tmp_path)
    root = _rendered(f"{address}#class=road", tmp_path / "profile")
    assert _shown(root) == ["fixed", "broken", "other", "same"]
    status = "4 of 5 images with road, changed predictions first"
    assert root.one("p", role="status").text == status
    notes = [note.text for note in root.find("p", class_="note") if "hidden" not in note.attributes]
    assert notes[:2] == ["road: label, adapted", "road: label, source-only"]


@pytest.mark.parametrize("kind", ["report", "class_report"])
def test_narrow_window_does_not_scroll_sideways(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Windows have at least 500 pixels, frames need not."""
    report = request.getfixturevalue(kind)
    if kind == "class_report":
        names = tuple(f"a_name_that_is_as_long_as_no_name_should_be_{i}" for i in range(40))
        places = np.arange(400) % 40
        networks = {
            "source-only": Prediction(places[::-1], np.ones(400), np.zeros((400, 40))),
            "adapted": Prediction(places[::2].repeat(2), np.ones(400), np.zeros((400, 40))),
        }
        split = Classified(tuple(map(str, range(400))), places, networks)
        cards = class_cards([], class_label_set("long", names), "")
        report = report._replace(figures=class_sections(split, names), gallery=cards)
    address = _written(report, tmp_path)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{address}" style="width:400px"></iframe><p id="width"></p><script>'
        "onload = () => { document.getElementById('width').textContent ="
        " frames[0].document.documentElement.scrollWidth; };</script>"
    )
    access = "--allow-file-access-from-files"  # of one file to the other
    root = _rendered(frame.as_uri(), tmp_path / "profile", access)
    assert int(root.one("p", id="width").text) <= 400
