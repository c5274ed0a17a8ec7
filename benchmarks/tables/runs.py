"""Rows of the tables, and the runs that they need: their order and where each starts from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.methods.variants import CLASSIFICATION_VARIANTS, VARIANTS, Variant
from msl_jax.runtime.errors import UserError

# Table 4 with our controls and the oracle: source-only first, because others start from it.
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
# Table 1 likewise.
TASK_ROWS = ("source", "target_statistics", "dann", "minent", "max_square", "oracle")
# Tasks (one domain to another) and their headings, by the configuration's family.
TASKS: dict[str, dict[str, str]] = {
    "office31": {
        "amazon-webcam": "A-W",
        "dslr-webcam": "D-W",
        "webcam-dslr": "W-D",
        "amazon-dslr": "A-D",
        "dslr-amazon": "D-A",
        "webcam-amazon": "W-A",
    },
    "pacs": {
        "photo-art_painting": "P-A",
        "photo-cartoon": "P-C",
        "art_painting-photo": "A-P",
        "art_painting-cartoon": "A-C",
        "cartoon-photo": "C-P",
        "cartoon-art_painting": "C-A",
    },
    "digits": {"mnist-uci": "MNIST to UCI", "uci-mnist": "UCI to MNIST"},
}
# Trains the source-only network with two heads that the other Multi rows start from.
_FIRST_MULTI = "max_square_multi"


class Parameter(NamedTuple):
    """A line of Table 5.

    Attributes:
        symbol: its name in the paper.
        row: the row that varies it.
        key: its key in the configuration.
        published: the paper's values with the mIoU in percent, GTA5 to Cityscapes.
        relative_to: the paper's own value, if values are tried as multiples of the own one; else
            None.
    """

    symbol: str
    row: str
    key: str
    published: Mapping[float, float]
    relative_to: float | None = None

    def values(self, own: float) -> dict[float, float]:
        """The values that a configuration tries, with the paper's mIoU at each.

        Args:
            own: the configuration's own value.

        >>> list(PARAMETERS[0].values(4.0))
        [20.0, 8.0, 4.0, 2.0, 0.8]
        """
        scale = 1.0 if self.relative_to is None else own / self.relative_to
        return {float(f"{scale * value:.6g}"): miou for value, miou in self.published.items()}

    def in_paper(self, value: float, own: float | None) -> float | None:
        """The paper's mIoU at a value, None if it has none or if `own` is needed and unknown."""
        if self.relative_to is not None and not own:
            return None
        return self.values(own or 0.0).get(float(f"{value:.6g}"))


PARAMETERS = (
    # The right weight of a loss depends on the number of steps and on normalization, so
    # configurations differ in it: each tries the same multiples of its own.
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
    """One training run.

    Attributes:
        variant: of the method.
        seed: of the run.
        key: of the configuration, if a parameter is varied, else "".
        value: its value.
        task: ``SOURCE-TARGET``, the domains of a classification; "" in segmentation, where the
            configuration decides them.
        joint: whether it trains on both domains from the start, without a source-only stage.
    """

    variant: str
    seed: int
    key: str = ""
    value: float = 0.0
    task: str = ""
    joint: bool = False

    @property
    def title(self) -> str:
        """For messages."""
        title = f"seed {self.seed}, {self.row}"
        return f"{self.task}, {title}" if self.task else title

    @property
    def kind(self) -> Variant:
        """Its variant."""
        return {**VARIANTS, **CLASSIFICATION_VARIANTS}[self.variant]

    @property
    def row(self) -> str:
        """Name of the row, ``VARIANT`` or ``VARIANT-KEY=VALUE``."""
        return f"{self.variant}-{self.key}={self.value:g}" if self.key else self.variant

    @property
    def start(self) -> Run | None:
        """The run of the same task and seed whose source-only network this one starts from."""
        if not self.kind.adapt or self.joint or self == Run(_FIRST_MULTI, self.seed):
            return None
        return Run(_FIRST_MULTI if self.kind.multi else "source", self.seed, task=self.task)

    def folder(self, workdir: Path) -> Path:
        """Its workdir, inside that of all runs."""
        return workdir / self.task / f"seed{self.seed}" / self.row

    def keys(self, workdir: Path) -> dict[str, str | float]:
        """What it sets in the configuration.

        Args:
            workdir: of all runs, absolute: a run's configuration names the run it started from.
        """
        keys: dict[str, str | float] = {"seed": self.seed}
        if self.task:
            keys["source"], keys["target"] = self.task.split("-")
        if self.key:
            keys[self.key] = self.value
        if self.start is not None:
            # A Multi row's folder also holds checkpoints of its adaptation.
            which = "" if self.start.variant == "source" else ":source"
            keys["init_from"] = f"{self.start.folder(workdir)}{which}"
        return keys


def family(config: str, task: str) -> str:
    """A configuration's name without the domains of a task at its end.

    >>> family("office31-amazon-webcam", "amazon-webcam"), family("gta5", "")
    ('office31', 'gta5')
    """
    return config.removesuffix(f"-{task}") if task else config


def seeds_of(texts: Sequence[str]) -> list[int]:
    """Parses seeds from the command line.

    Raises:
        UserError: there is none, or one is not a non-negative integer.

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
        chosen: a selection, None for all.

    Raises:
        UserError: there is no such task, or the configuration has none.
    """
    if config.task == "segmentation":
        if chosen:
            raise UserError(f"--tasks: {config.name} is not a classification; leave it out")
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
    joint: Collection[str] = (),
) -> list[Run]:
    """All runs in order: the rows of a task and seed before those of the next.

    Args:
        seeds: of the runs. All tasks of a seed come before the next seed.
        rows: in any order, None for all of the paper's table; those that they start from are added.
        own: the configuration's value of each parameter to vary, by key; these runs come last.
        tasks: see `tasks_of`.
        joint: rows without a source-only stage, which start from no other run.

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
    wanted = [
        Run(row, seed, task=task, joint=row in joint)
        for seed in seeds
        for task in tasks
        for row in rows
    ]
    for seed in seeds:
        for parameter in PARAMETERS:
            if own is not None and parameter.row in rows:
                wanted += [
                    Run(parameter.row, seed, parameter.key, value, joint=parameter.row in joint)
                    for value in parameter.values(own[parameter.key])
                    if value != own[parameter.key]
                ]
    runs: dict[Run, None] = {}
    for run in wanted:
        if run.start is not None:
            runs.setdefault(run.start)
        runs.setdefault(run)
    return list(runs)
