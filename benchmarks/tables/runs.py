"""Rows of the tables, and the runs that they take: in which order, and from which networks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.methods.variants import CLASSIFICATION_VARIANTS, VARIANTS, Variant, task_name
from msl_jax.runtime.errors import UserError

# Table 4 with what stands beside it: source-only first, from which others begin, the oracle last.
ROWS = (
    "source",
    "target_statistics",
    "minent",
    "minent_iw",
    "max_square",
    "max_square_iw",
    "target_statistics_multi",
    "max_square_multi",
    "max_square_iw_multi",
    "oracle",
)
# Table 1 in the same way.
TASK_ROWS = ("source", "target_statistics", "dann", "minent", "max_square", "oracle")
# By the configuration's family: its tasks, each one domain to another, with their headings.
TASKS: dict[str, dict[str, str]] = {
    "office31": {
        "amazon-webcam": "A-W",
        "dslr-webcam": "D-W",
        "webcam-dslr": "W-D",
        "amazon-dslr": "A-D",
        "dslr-amazon": "D-A",
        "webcam-amazon": "W-A",
    },
    "digits": {"mnist-uci": "MNIST to UCI", "uci-mnist": "UCI to MNIST"},
}
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
        task: ``SOURCE-TARGET``, the domains of a classification; "" in segmentation, where the
            configuration decides them.
    """

    variant: str
    seed: int
    key: str = ""
    value: float = 0.0
    task: str = ""

    @property
    def title(self) -> str:
        """For messages."""
        title = f"seed {self.seed}, {self.row}"
        return f"{self.task}, {title}" if self.task else title

    @property
    def kind(self) -> Variant:
        """What its variant does."""
        return {**VARIANTS, **CLASSIFICATION_VARIANTS}[self.variant]

    @property
    def row(self) -> str:
        """Name of the row, ``VARIANT`` or ``VARIANT-KEY=VALUE``."""
        return f"{self.variant}-{self.key}={self.value:g}" if self.key else self.variant

    @property
    def start(self) -> Run | None:
        """The run of the same task and seed whose source-only network this one begins with."""
        if not self.kind.adapt or self == Run(_FIRST_MULTI, self.seed):
            return None
        return Run(_FIRST_MULTI if self.kind.multi else "source", self.seed, task=self.task)

    def folder(self, workdir: Path) -> Path:
        """Its workdir, below that of all runs."""
        return workdir / self.task / f"seed{self.seed}" / self.row

    def keys(self, workdir: Path) -> dict[str, str | float]:
        """What it sets in the configuration.

        Args:
            workdir: of all runs, absolute: a run's configuration names where it began.
        """
        keys: dict[str, str | float] = {"seed": self.seed}
        if self.task:
            keys["source"], keys["target"] = self.task.split("-")
        if self.key:
            keys[self.key] = self.value
        if self.start is not None:
            # The adaptation's checkpoints lie beside the source-only network of a Multi row.
            which = "" if self.start.variant == "source" else ":source"
            keys["init_from"] = f"{self.start.folder(workdir)}{which}"
        return keys


def family(config: str, task: str) -> str:
    """A configuration's name without the domains of a task, with which such names end.

    >>> family("office31-amazon-webcam", "amazon-webcam"), family("gta5", "")
    ('office31', 'gta5')
    """
    return config.removesuffix(f"-{task}") if task else config


def seeds_of(texts: Sequence[str]) -> list[int]:
    """Seeds as the command lines take them.

    Raises:
        UserError: one is no integer of 0 or more, or there is none.

    >>> seeds_of(["0", "2"])
    [0, 2]
    """
    if not texts or not all(text.isdecimal() for text in texts):
        raise UserError(f"--seeds: expected integers like 0,1,2, found {','.join(texts)!r}")
    return [int(text) for text in texts]


def tasks_of(config: Any, chosen: Sequence[str] | None = None) -> list[str]:
    """The tasks of a configuration, ``[""]`` for segmentation.

    Args:
        config: of any variant.
        chosen: some of them, None for all.

    Raises:
        UserError: there is no such task, or the configuration has none.
    """
    if task_name(config) == "segmentation":
        if chosen:
            raise UserError(f"--tasks: {config.name} is no classification; leave it out")
        return [""]
    own = f"{config.get('source')}-{config.get('target')}"
    if not config.name.endswith(f"-{own}"):
        raise UserError(
            f"{config.name}: its tasks cannot be told apart: expected keys source and target, and a"
            " name that ends with their values, as in configs/digits.py"
        )
    known = list(TASKS.get(family(config.name, own), {}))
    wrong = [
        task
        for task in chosen or ()
        if (task not in known if known else not re.fullmatch(r"\w+-\w+", task))
    ]
    if wrong:
        expected = f"some of {', '.join(known)}" if known else "SOURCE-TARGET"
        raise UserError(f"--tasks: expected {expected}, found {wrong[0]!r}")
    return list(dict.fromkeys(chosen or known or [own]))


def plan(
    seeds: Iterable[int],
    rows: Sequence[str] | None = None,
    own: Mapping[str, float] | None = None,
    tasks: Sequence[str] = ("",),
) -> list[Run]:
    """All runs in their order: the rows of a task and seed before those of the next.

    Args:
        seeds: of the runs. All tasks of a seed come before the next seed.
        rows: in any order, None for all of the paper's table; those that they begin from are added.
        own: the configuration's value of each parameter that is to be varied, by key; these runs
            come at the end.
        tasks: see `tasks_of`.

    Raises:
        UserError: there is no such row.
    """
    table, variants = (TASK_ROWS, CLASSIFICATION_VARIANTS) if any(tasks) else (ROWS, VARIANTS)
    rows = rows or table
    unknown = [row for row in rows if row not in variants]
    if unknown:
        raise UserError(f"--rows: no row {unknown[0]!r}; choose some of {', '.join(variants)}")
    order = [*table, *(row for row in variants if row not in table)]
    rows = sorted(rows, key=order.index)
    seeds = list(dict.fromkeys(seeds))
    wanted = [Run(row, seed, task=task) for seed in seeds for task in tasks for row in rows]
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
