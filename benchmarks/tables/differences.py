"""Rows compared seed by seed: what both owe to their seed does not hide what they differ by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.tables.results import CONTROL, CONTROL_MULTI, TWO_HEADS, Spread, control_of, spread
from msl_jax.methods.variants import VARIANTS_OF

# A figure of a row for each of its seeds, as a fraction.
OfSeeds = Callable[[str], Mapping[int, float | None]]
# A row and the one that is taken from it.
Pair = tuple[str, str]

_ADAPTING = {name for those in VARIANTS_OF.values() for name, kind in those.items() if kind.adapt}
# What the paper adds to each row, and the methods that it compares itself with.
_METHODS: tuple[Pair, ...] = (
    ("max_square", "minent"),
    ("max_square", "dann"),
    ("minent_iw", "minent"),
    ("max_square_iw", "max_square"),
    ("max_square_multi", "max_square"),
    ("max_square_iw_multi", "max_square_iw"),
)


class Difference(NamedTuple):
    """A row less another over the seeds that both have.

    Attributes:
        spread: of the differences, in points of percent.
        higher: number of seeds in which the row is above the other.
    """

    spread: Spread
    higher: int


class Line(NamedTuple):
    """A pair of rows in every column of a table; None where they have no seed in common."""

    row: str
    other: str
    cells: list[Difference | None]


def difference(
    row: Mapping[int, float | None], other: Mapping[int, float | None]
) -> Difference | None:
    """Compares two rows by their figures of each seed, in fractions.

    >>> found = difference({0: 0.5, 1: 0.75, 2: 0.9}, {0: 0.5, 1: 0.5, 3: 0.1})
    >>> found.spread.n, found.spread.mean, found.higher
    (2, 12.5, 1)
    """
    found = [
        # So that rounding in a mean over tasks does not tell two equal figures apart.
        round(figure - beside, 12)
        for seed, figure in row.items()
        if figure is not None and (beside := other.get(seed)) is not None
    ]
    over_seeds = spread(found)
    return over_seeds and Difference(over_seeds, sum(value > 0 for value in found))


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


def differences(rows: Sequence[str], columns: Sequence[OfSeeds]) -> list[Line]:
    """The lines of a table; pairs without a seed in common are left out."""
    lines = [
        Line(row, other, [difference(of(row), of(other)) for of in columns])
        for row, other in pairs(rows)
    ]
    return [line for line in lines if any(line.cells)]
