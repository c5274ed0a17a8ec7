"""Rows compared seed by seed."""

from __future__ import annotations

import pytest

from benchmarks.tables.differences import difference, differences, higher, pairs
from benchmarks.tables.results import Results, Spread, Value
from benchmarks.tables.runs import ROWS, TASK_ROWS


def test_seeds_that_both_have() -> None:
    """The spread is that of the differences, not that of the rows."""
    cell = difference({0: 0.50, 1: 0.61, 2: 0.9, 3: None}, {0: 0.40, 1: 0.50, 3: 0.1, 4: 0.2})
    assert set(cell) == {0, 1}
    spread, count = higher(cell)
    assert spread.n == 2
    assert spread.mean == pytest.approx(10.5)
    assert spread.deviation == pytest.approx(0.5**0.5)
    assert count == 2


def test_no_seed_in_common() -> None:
    cell = difference({0: 0.5, 1: None}, {1: 0.5})
    assert cell == {}
    assert higher(cell) == (Spread(), 0)


def test_equal_figures_are_not_higher() -> None:
    """Also where they were rounded differently, as means over tasks are."""
    assert 0.1 + 0.2 > 0.3
    spread, count = higher(difference({0: 0.1 + 0.2, 1: 0.5}, {0: 0.3, 1: 0.5}))
    assert count == 0
    assert spread.low == 0


def test_pairs_of_segmentation() -> None:
    found = pairs([*ROWS, "hard"])
    assert found[0] == ("target_statistics", "source")
    others = ("source", "target_statistics", "target_statistics_multi", "oracle")
    methods = [row for row in ROWS if row not in others]
    assert found[1:8] == [(row, "target_statistics") for row in [*methods, "hard"]]
    assert found[8:10] == [
        ("max_square_multi", "target_statistics_multi"),
        ("max_square_iw_multi", "target_statistics_multi"),
    ]
    assert found[10:] == [
        ("max_square", "minent"),
        ("minent_iw", "minent"),
        ("max_square_iw", "max_square"),
        ("max_square_multi", "max_square"),
        ("max_square_iw_multi", "max_square_iw"),
    ]


def test_pairs_of_classification() -> None:
    assert pairs(TASK_ROWS)[-2:] == [("max_square", "minent"), ("max_square", "dann")]


def test_pairs_without_results_are_left_out() -> None:
    values = [
        Value(task, row, seed, "target", "accuracy", value)
        for task, row, seed, value in (
            ("mnist-uci", "source", 0, 0.1),
            ("mnist-uci", "target_statistics", 0, 0.2),
            ("mnist-uci", "max_square", 1, 0.3),
        )
    ]
    found = differences(Results("digits", values, {}))
    assert found == {("target_statistics", "source"): [{0: 0.1}, {}, {}]}
