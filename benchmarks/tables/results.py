"""What the tables show, computed from the results of runs. Pure functions of `results.json`.

Everything comes from `final`, the evaluation after the last step, except the figure `best`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.tables.runs import PARAMETERS, ROWS, Parameter, Run
from msl_jax.methods.variants import VARIANTS

CONTROL, CONTROL_MULTI, ORACLE = "target_statistics", "target_statistics_multi", "oracle"
_MULTI = {name for name, kind in VARIANTS.items() if kind.multi}
# A row of the tables that is no run: the source-only stage of the Multi rows.
TWO_HEADS = "source (two heads)"
METRICS = {"miou": "mIoU", "miou_13": "mIoU* (13 classes)", "accuracy": "accuracy"}


class Results(NamedTuple):
    """Finished runs.

    Attributes:
        runs: of each row and seed, the contents of its ``results.json``.
        own: values of the parameters that the rows themselves have, by key, where known.
    """

    runs: Mapping[str, Mapping[int, Mapping[str, Any]]]
    own: Mapping[str, float]

    @property
    def config(self) -> str:
        """Name of the configuration."""
        return next(run["config"] for seeds in self.runs.values() for run in seeds.values())

    @property
    def metrics(self) -> list[str]:
        """What was measured on the target, the main metric first."""
        found = [run["final"]["target"] or {} for s in self.runs.values() for run in s.values()]
        return [metric for metric in METRICS if any(metric in values for values in found)]

    @property
    def rows(self) -> list[str]:
        """Names of the rows: those of Table 4 whether they have runs or not, then any other."""
        names = list(ROWS)
        names.insert(1, TWO_HEADS)
        return names + sorted(row for row in self.runs if row not in names and "-" not in row)


class Spread(NamedTuple):
    """A figure over the seeds, in percent.

    Attributes:
        n: number of seeds.
        mean: over them.
        deviation: standard deviation with n - 1, None for a single seed.
        low: the smallest.
        high: the largest.
    """

    n: int
    mean: float
    deviation: float | None
    low: float
    high: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Of fractions; None are left out, and where nothing is left the spread is None.

    >>> spread([0.25, None, 0.75])
    Spread(n=2, mean=50.0, deviation=35.35533905932738, low=25.0, high=75.0)
    """
    found = [100 * value for value in values if value is not None]
    if not found:
        return None
    deviation = statistics.stdev(found) if len(found) > 1 else None
    return Spread(len(found), statistics.mean(found), deviation, min(found), max(found))


def with_two_heads(results: Results) -> Results:
    """With the source-only stage of the Multi rows as a row of its own."""
    found: dict[int, Mapping[str, Any]] = {}
    for row in ("max_square_iw_multi", "max_square_multi"):
        for seed, run in results.runs.get(row, {}).items():
            found[seed] = {**run, "source_only": None, "final": run["source_only"], "best": None}
    return results._replace(runs={**results.runs, TWO_HEADS: found}) if found else results


# A figure of one seed, from the row's run, the runs of all rows of the same seed, and the metric.
_Runs = Mapping[str, Mapping[str, Any]]
_Figure = Callable[[Mapping[str, Any], _Runs, str], float | None]


def _target(run: Mapping[str, Any] | None, metric: str, part: str = "final") -> float | None:
    return _value((run or {}).get(part), "target", metric)


def _value(part: Mapping[str, Any] | None, domain: str, metric: str) -> float | None:
    return ((part or {}).get(domain) or {}).get(metric)


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _over_source_only(run: Mapping[str, Any], runs: _Runs, metric: str) -> float | None:
    before = _target(run, metric, "source_only")
    if run["variant"] == ORACLE:
        before = _target(runs.get("source"), metric)
    return _less(_target(run, metric), before)


def control_of(variant: str) -> str:
    """The row that makes the same steps from the same source-only network, without target loss.

    >>> control_of("max_square"), control_of("max_square_multi")
    ('target_statistics', 'target_statistics_multi')
    """
    return CONTROL_MULTI if variant in _MULTI else CONTROL


def _over_control(run: Mapping[str, Any], runs: _Runs, metric: str) -> float | None:
    own = control_of(run["variant"])
    if not run["source_only"] or run["variant"] == own:
        return None
    return _less(_target(run, metric), _target(runs.get(own), metric))


def _gap_closed(run: Mapping[str, Any], runs: _Runs, metric: str) -> float | None:
    before = _target(run, metric, "source_only")
    change = _less(_target(run, metric), before)
    gap = _less(_target(runs.get(ORACLE), metric), before)
    # Where the oracle is no better there is no gap to close.
    return change / gap if change is not None and gap is not None and gap > 0 else None


# In the order of the main table's columns.
FIGURES: dict[str, _Figure] = {
    "target": lambda run, runs, metric: _target(run, metric),
    "best": lambda run, runs, metric: _target(run, metric, "best"),
    "over_source_only": _over_source_only,
    "over_control": _over_control,
    "gap_closed": _gap_closed,
    "source": lambda run, runs, metric: _value(run["final"], "source", metric),
}


def of_seeds(results: Results, row: str, figure: str, metric: str) -> dict[int, float | None]:
    """A figure of a row for each of its seeds, as a fraction."""
    compute = FIGURES[figure]
    return {
        seed: compute(
            run,
            {name: seeds[seed] for name, seeds in results.runs.items() if seed in seeds},
            metric,
        )
        for seed, run in sorted(results.runs.get(row, {}).items())
    }


def figure(results: Results, row: str, name: str, metric: str) -> Spread | None:
    """A cell of the main table, one of `FIGURES`."""
    return spread(of_seeds(results, row, name, metric).values())


def classes(results: Results) -> list[str]:
    """Names of the classes."""
    targets = (run["final"]["target"] for s in results.runs.values() for run in s.values())
    return list(dict.fromkeys(name for values in targets for name in (values or {}).get("iou", {})))


def class_iou(results: Results, row: str, name: str) -> Spread | None:
    """A cell of the table by class: IoU on the target."""
    runs = results.runs.get(row, {}).values()
    return spread(((run["final"]["target"] or {}).get("iou", {}).get(name)) for run in runs)


class Line(NamedTuple):
    """A line of the sensitivity table.

    Attributes:
        parameter: which.
        value: of it, None where the row's own is not known.
        own: whether it is the row's own.
        target: the metric on the target.
        published: mIoU in the paper, in percent.
    """

    parameter: Parameter
    value: float | None
    own: bool
    target: Spread | None
    published: float | None


def sensitivity(results: Results, metric: str) -> list[Line]:
    """Lines of Table 5, of all values that were tried; none where there were no such runs.

    The row's own value counts in the seeds in which others were tried: seeds differ by more.
    """
    lines = []
    for parameter in PARAMETERS:
        prefix = Run(parameter.row, 0, parameter.key).row.rpartition("=")[0] + "="
        found = {float(r.removeprefix(prefix)): r for r in results.runs if r.startswith(prefix)}
        if not found:
            continue
        own = results.own.get(parameter.key)
        tried: list[tuple[float | None, bool, str]] = [(own, True, parameter.row)]
        tried += [(value, False, row) for value, row in found.items()]
        seeds = {seed for row in found.values() for seed in results.runs[row]}
        for value, is_own, row in sorted(tried, key=lambda line: -(line[0] or 0)):
            of_row = of_seeds(results, row, "target", metric)
            cell = spread(value for seed, value in of_row.items() if seed in seeds)
            paper = None if value is None else parameter.in_paper(value, own)
            lines.append(Line(parameter, value, is_own, cell, paper))
    return lines
