"""The table that the console shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from msl_jax.runs.table import print_results


def _metrics(road: float, pole: float | None, miou: float, accuracy: float) -> dict:
    return {"miou": miou, "iou": {"road": road, "pole": pole}, "pixel_accuracy": accuracy}


@pytest.fixture
def results() -> dict:
    return {
        "config": "demo",
        "variant": "max_square_iw",
        "seed": 7,
        "source_only": {
            "target": _metrics(0.401, 0.125, 0.263, 0.7),
            "source": _metrics(0.9, None, 0.9, 0.95),
        },
        "final": {
            "target": _metrics(0.5125, 0.1, 0.3062, 0.801),
            "source": _metrics(0.85, None, 0.85, 0.94),
        },
        "best": {"step": 150, "target": _metrics(0.6, 0.1, 0.3456, 0.8)},
    }


def _printed(results: dict) -> list[str]:
    stream = io.StringIO()
    print_results(results, Console(file=stream, width=100))
    return stream.getvalue().splitlines()


def _cells(lines: list[str], name: str) -> list[str]:
    (line,) = [line for line in lines if line.strip().startswith(name)]
    return line.strip().removeprefix(name).split()


def test_adapted_network_beside_source_only(results):
    lines = _printed(results)
    assert "demo:max_square_iw, seed 7" in lines[0]
    # Before, after and change: on the target, then on the source.
    assert _cells(lines, "road") == ["40.1", "51.2", "+11.1", "90.0", "85.0", "-5.0"]
    assert _cells(lines, "pole") == ["12.5", "10.0", "-2.5", "-", "-"]
    assert _cells(lines, "mIoU") == ["26.3", "30.6", "+4.3", "90.0", "85.0", "-5.0"]
    assert _cells(lines, "pixel accuracy") == ["70.0", "80.1", "+10.1", "95.0", "94.0", "-1.0"]
    assert "34.6 at step 150" in " ".join(lines)


def test_miou_of_13_classes(results):
    for name, value in (("final", 0.35), ("source_only", 0.3)):
        for metrics in results[name].values():
            metrics["miou_13"] = value
    lines = _printed(results)
    assert _cells(lines, "mIoU* (13 classes)") == ["30.0", "35.0", "+5.0"] * 2
    assert _cells(lines, "mIoU  ") == ["26.3", "30.6", "+4.3", "90.0", "85.0", "-5.0"]


def test_without_a_baseline(results):
    lines = _printed({**results, "source_only": None, "best": None})
    assert _cells(lines, "road") == ["51.2", "85.0"]
    assert _cells(lines, "pole") == ["10.0", "-"]
    text = "\n".join(lines)
    assert "source-only" not in text
    assert "Best" not in text


def test_what_was_not_measured(results):
    nothing = {"miou": None, "iou": {"road": None, "pole": None}, "pixel_accuracy": None}
    results["final"]["target"] = nothing
    lines = _printed(results)
    assert _cells(lines, "road") == ["40.1", "-", "90.0", "85.0", "-5.0"]
    assert _cells(lines, "mIoU") == ["26.3", "not", "measured", "90.0", "85.0", "-5.0"]
    assert _cells(lines, "pixel accuracy")[:3] == ["70.0", "not", "measured"]
    assert "target: not measured (in no label, never predicted): road, pole" in lines
    assert "source: not measured (in no label, never predicted): pole" in lines


def test_domain_without_labels_alone(results):
    results["final"] = {"target": None, "source": None, "step": 20}
    assert _printed(results) == ["not measured: there are no labels"]
