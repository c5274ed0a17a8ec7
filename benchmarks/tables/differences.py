"""Rows compared seed by seed: what both owe to their seed does not hide what they differ by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.tables.format import cell_text, csv_text, table
from benchmarks.tables.results import (
    CONTROL,
    CONTROL_MULTI,
    TWO_HEADS,
    Results,
    Spread,
    control_of,
    spread,
)
from msl_jax.methods.variants import VARIANTS_OF

# A row and the one that is subtracted from it.
Pair = tuple[str, str]
# Differences of such a pair by seed, as fractions.
OfSeeds = Mapping[int, float]

_ADAPTING = {name for those in VARIANTS_OF.values() for name, kind in those.items() if kind.adapt}
# What the paper adds to each row, and the methods that it compares its own with.
_METHODS: tuple[Pair, ...] = (
    ("max_square", "minent"),
    ("max_square", "dann"),
    ("minent_iw", "minent"),
    ("max_square_iw", "max_square"),
    ("max_square_multi", "max_square"),
    ("max_square_iw_multi", "max_square_iw"),
    ("max_square", "minent_advent"),
    ("max_square_iw_multi", "adaptsegnet"),
    ("max_square_iw_multi", "advent"),
    ("max_square_iw_multi", "cbst"),
    ("cbst_sp", "cbst"),
    ("crst_mrkld", "cbst"),
    ("crst_lrent", "cbst"),
)
_NOTE = (
    "In points of percent, of the seeds that both rows have: mean of the differences ± standard"
    " deviation (n - 1), and in how many of n seeds the first row is higher."
)
_TWO_HEADS_NOTE = (
    " Multi rows begin from a source-only network of their own, of two heads, as does their"
    " control, target_statistics_multi."
)


def pairs(rows: Sequence[str]) -> list[Pair]:
    """What is compared: controls with source-only, methods with the controls, then methods.

    Multi rows are compared with the control of one head too, which is that of all other rows.

    >>> pairs(["source", "target_statistics", "max_square", "oracle"])
    [('target_statistics', 'source'), ('max_square', 'target_statistics')]
    """
    methods = [row for row in rows if row in _ADAPTING and row not in (CONTROL, CONTROL_MULTI)]
    multi = [row for row in methods if control_of(row) == CONTROL_MULTI]
    wanted = [
        (CONTROL, "source"),
        (CONTROL_MULTI, TWO_HEADS),
        *((row, CONTROL) for row in methods),
        *((row, CONTROL_MULTI) for row in multi),
        *_METHODS,
    ]
    return [pair for pair in wanted if set(pair) <= set(rows)]


def difference(row: Mapping[int, float | None], other: Mapping[int, float | None]) -> OfSeeds:
    """A row's figures minus another's, over the seeds in which both have one.

    >>> difference({0: 0.5, 1: 0.75, 2: 0.9}, {0: 0.5, 1: 0.5, 3: 0.1})
    {0: 0.0, 1: 0.25}
    """
    return {
        # Rounding in a mean over tasks must not tell two equal figures apart.
        seed: round(figure - subtracted, 12)
        for seed, figure in row.items()
        if figure is not None and (subtracted := other.get(seed)) is not None
    }


def differences(results: Results) -> dict[Pair, list[OfSeeds]]:
    """Of each pair in every column of the table; pairs without a seed in common are left out."""
    found = {
        pair: [
            difference(*(results.of_seeds(row, "target", metric, task) for row in pair))
            for task, metric in results.columns
        ]
        for pair in pairs(results.rows)
    }
    return {pair: cells for pair, cells in found.items() if any(cells)}


def higher(cell: OfSeeds) -> tuple[Spread, int]:
    """The differences over the seeds, and in how many of them the first row is higher."""
    return spread(cell.values()), sum(value > 0 for value in cell.values())


def markdown(results: Results) -> str:
    """The table with its heading."""
    note = _NOTE if results.tasks else _NOTE + _TWO_HEADS_NOTE
    lines = ([" - ".join(pair), *map(_text, cells)] for pair, cells in differences(results).items())
    headings = ["difference, seed by seed", *results.columns.values()]
    return f"### {results.config}: differences\n\n{note}\n\n{table(headings, lines)}"


def _text(cell: OfSeeds) -> str:
    found, count = higher(cell)
    text = cell_text(found, found.n, sign="+")
    return f"{text} (higher in {count} of {found.n})" if found.n else text


def csv(results: Results) -> str:
    """A line for each pair of rows and each column, which is a task or a metric."""
    lines = []
    for pair, cells in differences(results).items():
        for (task, metric), cell in zip(results.columns, cells, strict=True):
            found, count = higher(cell)
            lines.append((*pair, task or metric, *found, count if found.n else None))
    column = "task" if results.tasks else "metric"
    return csv_text(("row", "minus", column, *Spread._fields, "higher"), lines)
