"""Errors, bounds and tables of `benchmarks.support.parity_figures`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.support.parity_figures import KINDS, Figure, as_json, as_markdown, figure

FOUND, EXPECTED = np.array([1.5, -8.0]), np.array([1.0, -10.0])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("logits", 0.2),  # 2 / 10
        ("losses", 0.5),  # 0.5 / 1
        ("first element of each gradient", 1.0),  # 2 / 2
        ("change where no gradient is", 2.0),
    ],
)
def test_scales(kind, error):
    found = figure("g", kind, "float64", FOUND, EXPECTED, rms=np.array([4.0, 2.0]))
    assert found.error == pytest.approx(error)
    assert found.count == 2


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"network, logits: shape \(2, 1\), expected \(2,\)"):
        figure("network", "logits", "float64", FOUND[:, None], EXPECTED)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds(kind):
    bounds = [Figure("g", kind, precision, 0.0, 1).bound for precision in ("float64", "float32")]
    assert bounds in ([0, 0], [1e-6, KINDS[kind].float32])


@pytest.mark.parametrize(("error", "within"), [(1e-6, True), (2e-6, False), (math.nan, False)])
def test_within(error, within):
    found = Figure("g", "logits", "float64", error, 1)
    assert found.within == within
    assert as_json([found])[0]["within"] == within


def test_markdown():
    figures = [
        Figure("network", "logits", "float64", 3e-9, 7),
        Figure("network", "change where no gradient is", "float64", 0.0, 2),
        Figure("network", "logits", "float32", 2e-4, 7),
    ]
    assert as_markdown(figures).splitlines()[2:] == [
        "| network | logits | 7 | largest value | 3.0e-09 | 1.0e-06 | **2.0e-04** | 1.0e-04 |",
        "| network | change where no gradient is | 2 | (absolute) | 0 | 0 |  |  |",
    ]
