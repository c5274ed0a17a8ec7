"""Rows of the tables, and the runs that they take: in which order, and from which networks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msl_jax.config import VARIANTS
from msl_jax.errors import UserError

# Table 4 with what stands beside it: source-only first, from which others begin, the oracle last.
ROWS = (
    "source",
    "target_statistics",
    "minent",
    "minent_iw",
    "max_square",
    "max_square_iw",
    "max_square_multi",
    "max_square_iw_multi",
    "oracle",
)
# Trains the source-only network of two heads, from which the other Multi rows begin.
_FIRST_MULTI = "max_square_multi"


class Parameter(NamedTuple):
    """A line of Table 5.

    Attributes:
        symbol: in the paper.
        row: which varies it.
        key: of the configuration.
        published: the paper's values with the mIoU in percent, GTA5 to Cityscapes.
        relative_to: the value that the paper's are multiples of, None where they count as they are.
    """

    symbol: str
    row: str
    key: str
    published: Mapping[float, float]
    relative_to: float | None = None

    def grid(self, own: float) -> list[float]:
        """The values that a configuration tries beside its own.

        >>> PARAMETERS[0].grid(4.0)
        [20.0, 8.0, 2.0, 0.8]
        """
        scale = 1.0 if self.relative_to is None else own / self.relative_to
        values = [float(f"{scale * value:.6g}") for value in self.published]
        return [value for value in values if value != own]

    def in_paper(self, value: float, own: float | None) -> float | None:
        """The paper's mIoU at a value, None where it has none.

        Args:
            value: of the configuration's grid.
            own: the configuration's own, None where it is not known.
        """
        scale = 1.0
        if self.relative_to is not None:
            if not own:
                return None
            scale = own / self.relative_to
        return next((m for v, m in self.published.items() if math.isclose(scale * v, value)), None)


PARAMETERS = (
    # The weight of a loss belongs to the number of steps and to the normalization, so that other
    # configurations have another one: around it the same multiples are tried.
    Parameter(
        "lambda_T",
        "max_square",
        "lambda_target",
        {0.5: 43.2, 0.2: 44.1, 0.1: 44.3, 0.05: 43.7, 0.02: 43.0},
        relative_to=0.1,
    ),
    Parameter(
        "alpha",
        "max_square_iw",
        "iw_alpha",
        {0.0: 44.3, 0.1: 44.8, 0.15: 45.2, 0.2: 45.2, 0.25: 44.8, 0.3: 44.4},
    ),
    Parameter(
        "delta",
        "max_square_iw_multi",
        "guidance_threshold",
        {0.98: 46.4, 0.95: 46.4, 0.9: 46.2, 0.8: 46.1},
    ),
)


class Run(NamedTuple):
    """One training.

    Attributes:
        variant: of the method.
        seed: of the run.
        key: of the configuration, where a parameter is varied, else "".
        value: its value.
    """

    variant: str
    seed: int
    key: str = ""
    value: float = 0.0

    @property
    def row(self) -> str:
        """Name of the row, ``VARIANT`` or ``VARIANT-KEY=VALUE``."""
        return f"{self.variant}-{self.key}={self.value:g}" if self.key else self.variant

    @property
    def start(self) -> Run | None:
        """The run of the same seed whose source-only network this one begins with."""
        kind = VARIANTS[self.variant]
        if not kind.adapt or self == Run(_FIRST_MULTI, self.seed):
            return None
        return Run(_FIRST_MULTI if kind.multi else "source", self.seed)

    def folder(self, workdir: Path) -> Path:
        """Its workdir, below that of all runs."""
        return workdir / f"seed{self.seed}" / self.row

    def keys(self, workdir: Path) -> dict[str, str | float]:
        """What it sets in the configuration.

        Args:
            workdir: of all runs, absolute: a run's configuration names where it began.
        """
        keys: dict[str, str | float] = {"seed": self.seed}
        if self.key:
            keys[self.key] = self.value
        if self.start is not None:
            # The adaptation's checkpoints lie beside the source-only network of a Multi row.
            which = "" if self.start.variant == "source" else ":source"
            keys["init_from"] = f"{self.start.folder(workdir)}{which}"
        return keys


def plan(
    seeds: Iterable[int], rows: Sequence[str], own: Mapping[str, float] | None = None
) -> list[Run]:
    """All runs in their order: the rows of a seed before those of the next, parameters at the end.

    Args:
        seeds: of the runs.
        rows: in any order; those that they begin from are added.
        own: the configuration's value of each parameter that is to be varied, by key.

    Raises:
        UserError: there is no such row.
    """
    unknown = [row for row in rows if row not in VARIANTS]
    if unknown:
        raise UserError(f"--rows: no row {unknown[0]!r}; choose some of {', '.join(VARIANTS)}")
    order = [*ROWS, *(row for row in VARIANTS if row not in ROWS)]
    seeds = list(dict.fromkeys(seeds))
    wanted = [Run(row, seed) for seed in seeds for row in sorted(rows, key=order.index)]
    for seed in seeds:
        for parameter in PARAMETERS:
            if own is not None and parameter.row in rows:
                values = parameter.grid(own[parameter.key])
                wanted += [Run(parameter.row, seed, parameter.key, value) for value in values]
    runs: dict[Run, None] = {}
    for run in wanted:
        if run.start is not None:
            runs.setdefault(run.start)
        runs.setdefault(run)
    return list(runs)
