"""The results of runs as one long table, of which text, differences and plots are made.

Pure functions of `results.json`. Everything comes from `final`, the evaluation after the last
step, except the figure `best`.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.tables.runs import ROWS, TASK_ROWS, TASKS
from msl_jax.methods.variants import VARIANTS

CONTROL, CONTROL_MULTI, ORACLE = "target_statistics", "target_statistics_multi", "oracle"
_MULTI = {name for name, kind in VARIANTS.items() if kind.multi}
# A row of the tables that is not a run: the source-only stage of the Multi rows.
TWO_HEADS = "source (two heads)"
# In place of a task: the mean over all tasks.
MEAN = "mean"
METRICS = {"miou": "mIoU", "miou_13": "mIoU* (13 classes)", "accuracy": "accuracy"}
# In the order of the main table's columns.
FIGURES = ("target", "best", "over_source_only", "over_control", "gap_closed", "source")

# Contents of a `results.json`; and those of all rows by task and seed.
RunResults = Mapping[str, Any]
AllResults = Mapping[tuple[str, int], Mapping[str, RunResults]]


class Value(NamedTuple):
    """A line of the long table.

    Attributes:
        task: ``SOURCE-TARGET``, the domains of a classification, or `MEAN`; "" in segmentation.
        row: ``VARIANT``, ``VARIANT-KEY=VALUE`` or `TWO_HEADS`.
        seed: of the run.
        figure: one of `FIGURES`.
        metric: one of `METRICS`, or ``iou/CLASS``, which has the figure "target" alone.
        value: as a fraction; None where the run has no such figure.
    """

    task: str
    row: str
    seed: int
    figure: str
    metric: str
    value: float | None


class Spread(NamedTuple):
    """A figure over the seeds, in percent; all but `n` are None where there is no seed.

    Attributes:
        n: number of seeds.
        mean: over them.
        deviation: standard deviation with n - 1, None for a single seed.
        low: the smallest.
        high: the largest.
    """

    n: int = 0
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


def spread(values: Iterable[float | None]) -> Spread:
    """Of fractions; None are left out.

    >>> spread([0.25, None, 0.75])
    Spread(n=2, mean=50.0, deviation=35.35533905932738, low=25.0, high=75.0)
    """
    found = [100.0 * value for value in values if value is not None]
    if not found:
        return Spread()
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return Spread(len(found), statistics.mean(found), deviation, min(found), max(found))


class Results(NamedTuple):
    """Finished runs.

    Attributes:
        config: name of the configuration, without the domains of a task.
        values: the long table, with all figures of each run by all metrics.
        own: the rows' own values of the parameters, by key, where known.
    """

    config: str
    values: list[Value]
    own: Mapping[str, float]

    @property
    def tasks(self) -> dict[str, str]:
        """Headings of the tasks, see `headings`; none in segmentation."""
        return headings(self.config, {value.task for value in self.values} - {MEAN})

    @property
    def metrics(self) -> list[str]:
        """What was measured on the target, the main metric first."""
        found = {value.metric for value in self.values}
        return [metric for metric in METRICS if metric in found]

    @property
    def classes(self) -> dict[str, str]:
        """Metric of each class, by name."""
        metrics = dict.fromkeys(value.metric for value in self.values)
        return {name[len("iou/") :]: name for name in metrics if name.startswith("iou/")}

    @property
    def columns(self) -> dict[tuple[str, str], str]:
        """Headings of the columns, by task and metric: the metrics, or the tasks and their mean."""
        if not self.tasks:
            return {("", metric): METRICS[metric] for metric in self.metrics}
        columns = self.tasks | {MEAN: MEAN}
        return {(task, self.metrics[0]): heading for task, heading in columns.items()}

    @property
    def rows(self) -> list[str]:
        """Names of the rows: those of the paper's table whether they have runs or not, then others.

        In segmentation other values of a parameter have a table of their own.
        """
        names = TASK_ROWS if self.tasks else (ROWS[0], TWO_HEADS, *ROWS[1:])
        others = {value.row for value in self.values}.difference(names)
        return [*names, *sorted(row for row in others if self.tasks or "-" not in row)]

    def count(self, row: str) -> int:
        """Number of seeds of a row, in the task that has most of them."""
        tasks = {value.task for value in self.values}
        return max(len(self.of_seeds(row, "target", self.metrics[0], task)) for task in tasks)

    def of_seeds(
        self, row: str, figure: str, metric: str, task: str = ""
    ) -> dict[int, float | None]:
        """A figure of a row for each of its seeds, as a fraction; see `Value`."""
        wanted = (row, figure, metric, task)
        return {
            value.seed: value.value
            for value in self.values
            if (value.row, value.figure, value.metric, value.task) == wanted
        }

    def cell(self, row: str, figure: str, metric: str, task: str = "") -> Spread:
        """A cell of a table; see `Value`."""
        return spread(self.of_seeds(row, figure, metric, task).values())


def headings(config: str, tasks: Iterable[str]) -> dict[str, str]:
    """Headings of tasks: those of the paper whether they have runs or not, then any other.

    >>> headings("digits", ["mnist-uci"]), headings("camvid", [""])
    ({'mnist-uci': 'MNIST to UCI', 'uci-mnist': 'UCI to MNIST'}, {})
    """
    found = sorted(filter(None, tasks))
    known = TASKS.get(config, {}) if found else {}
    return known | {task: task for task in found if task not in known}


def control_of(variant: str) -> str:
    """The row that takes the same steps from the same source-only network, without target loss.

    >>> control_of("max_square"), control_of("max_square_multi")
    ('target_statistics', 'target_statistics_multi')
    """
    return CONTROL_MULTI if variant in _MULTI else CONTROL


def metrics_of(runs: Iterable[RunResults]) -> list[str]:
    """What was measured on the target in any run, nothing where no pixel has a label."""
    measured = (run["final"]["target"] or {} for run in runs)
    found = {key for metrics in measured for key, value in metrics.items() if value is not None}
    return [metric for metric in METRICS if metric in found]


def tabulate(config: str, found: AllResults, own: Mapping[str, float]) -> Results:
    """The long table; for `config` and `own` see `Results`."""
    values = list(_of_runs(found))
    tasks = headings(config, {task for task, _ in found})
    return Results(config, [*values, *_means(values, len(tasks))], own)


def _of_runs(found: AllResults) -> Iterator[Value]:
    runs = [run for rows in found.values() for run in rows.values()]
    metrics = metrics_of(runs)
    classes = dict.fromkeys(name for run in runs for name in _iou(run))
    for (task, seed), rows in sorted(found.items()):
        rows = {**rows, **_two_heads(rows)}
        for row, run in rows.items():
            for metric in metrics:
                for figure, value in _figures(run, rows, metric).items():
                    yield Value(task, row, seed, figure, metric, value)
            for name in classes:
                yield Value(task, row, seed, "target", f"iou/{name}", _iou(run).get(name))


def _iou(run: RunResults) -> Mapping[str, float | None]:
    return (run["final"]["target"] or {}).get("iou", {})


def _two_heads(rows: Mapping[str, RunResults]) -> dict[str, RunResults]:
    """The source-only stage of the Multi rows as a row of its own."""
    for row in ("max_square_multi", "max_square_iw_multi"):
        if run := rows.get(row):
            final = run["source_only"]
            return {TWO_HEADS: {**run, "source_only": None, "final": final, "best": None}}
    return {}


def _figures(
    run: RunResults, rows: Mapping[str, RunResults], metric: str
) -> dict[str, float | None]:
    """All `FIGURES` of a run, given those of all rows of the same task and seed."""

    def found(run: RunResults, part: str = "final", domain: str = "target") -> float | None:
        return ((run.get(part) or {}).get(domain) or {}).get(metric)

    control = control_of(run["variant"])
    source, controlled, oracle = (found(rows.get(row, {})) for row in ("source", control, ORACLE))
    after, before = found(run), found(run, "source_only")
    lengths = {each.get("final", {}).get("step") for each in (run, rows.get(control, {}))}
    if not run["source_only"] or run["variant"] == control or len(lengths) > 1:
        controlled = None
    change, gap = _less(after, before), _less(oracle, before)
    return {
        "target": after,
        "best": found(run, "best"),
        "over_source_only": _less(after, source) if run["variant"] == ORACLE else change,
        "over_control": _less(after, controlled),
        # Where the oracle is no better there is no gap to close.
        "gap_closed": change / gap if change is not None and gap is not None and gap > 0 else None,
        "source": found(run, domain="source"),
    }


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _means(values: Iterable[Value], tasks: int) -> Iterator[Value]:
    """Means over the tasks, for each seed that all of them have."""
    found = defaultdict(list)
    for value in values:
        found[value[1:-1]].append(value.value)
    for key, each in found.items():
        known = [value for value in each if value is not None]
        if tasks and len(each) == tasks:
            yield Value(MEAN, *key, statistics.fmean(known) if len(known) == tasks else None)
