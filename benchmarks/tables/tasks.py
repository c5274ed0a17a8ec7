"""What the table of a classification shows: a column for each task, and the mean over them.

A cell is made as in `benchmarks.tables.results`, from `final`, the evaluation after the last step.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.tables import results as table_results
from benchmarks.tables.results import Results, Spread, spread
from benchmarks.tables.runs import TASK_ROWS, TASKS

MEAN, METRIC = "mean", "accuracy"


class TaskResults(NamedTuple):
    """Finished runs of a classification.

    Attributes:
        config: name of the configuration without its domains.
        found: the runs of each task, ``SOURCE-TARGET``.
    """

    config: str
    found: Mapping[str, Results]

    @property
    def tasks(self) -> dict[str, str]:
        """Headings of the tasks: those of the paper whether they have runs or not, then others."""
        return TASKS.get(self.config, {}) | {
            task: task for task in sorted(self.found) if task not in TASKS.get(self.config, {})
        }

    @property
    def rows(self) -> list[str]:
        """Names of the rows: those of Table 1 whether they have runs or not, then any other."""
        found = {row for results in self.found.values() for row in results.runs}
        return [*TASK_ROWS, *sorted(found.difference(TASK_ROWS))]

    def count(self, row: str) -> int:
        """Number of seeds, of the task that has most of them."""
        return max(len(results.runs.get(row, {})) for results in self.found.values())


def of_seeds(results: TaskResults, row: str, task: str, figure: str) -> dict[int, float | None]:
    """A figure of a row for each of its seeds, as a fraction.

    Args:
        results: finished runs.
        row: name of it.
        task: one of them; `MEAN`: over all of them, of the seeds that all of them have.
        figure: one of `table_results.FIGURES`.
    """
    if task in results.found:
        return table_results.of_seeds(results.found[task], row, figure, METRIC)
    if task != MEAN:
        return {}
    each = [of_seeds(results, row, one, figure) for one in results.tasks]
    means: dict[int, float | None] = {}
    for seed in sorted(set.intersection(*map(set, each))):
        values = [value for seeds in each if (value := seeds[seed]) is not None]
        means[seed] = statistics.fmean(values) if len(values) == len(each) else None
    return means


def figure(results: TaskResults, row: str, task: str, name: str) -> Spread | None:
    """A cell of the table."""
    return spread(of_seeds(results, row, task, name).values())
