"""Files of the tables: results in, Markdown, CSV and pictures out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.support.measuring import progress
from benchmarks.tables import markdown, tasks_markdown
from benchmarks.tables.results import Results, sensitivity, with_two_heads
from benchmarks.tables.runs import PARAMETERS, Run, family
from benchmarks.tables.tasks import TaskResults
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.runs import workdir as runs
from msl_jax.runtime.errors import UserError

# Values of the parameters that the rows themselves have, beside the results of other values.
OWN_VALUES = "own_values.json"
_RUN = re.compile(r"((\w+)(?:-\w+=\d+(?:\.\d+)?(?:e[+-]?\d+)?)?)-seed(\d+)\.json")
_TASK = re.compile(r"\w+-\w+")


def result_file(output: Path, run: Run) -> Path:
    """Where the results of a run are kept."""
    return output / run.task / f"{run.row}-seed{run.seed}.json"


def expect_room(output: Path, left: Iterable[Run], config: str) -> None:
    """Looks whether results can be added, before hours are spent on them.

    Args:
        output: where they are kept.
        left: runs that are still to be made; what has their names would be of something else.
        config: name of their configuration, without the domains of tasks.

    Raises:
        UserError: there are results of these runs, or of another configuration.
    """
    for run in left:
        path = result_file(output, run)
        if path.exists():
            raise UserError(
                f"{path} exists, but its run is not finished in --workdir. Give another --output,"
                " or move the file away; nothing has been changed."
            )
    if _result_files(output) and (found := read_results(output).config) != config:
        raise UserError(f"{output}: results of {found}, not of {config}. Give another --output.")


def _is_result(path: Path) -> re.Match[str] | None:
    match = _RUN.fullmatch(path.name)
    known = match and any(match[2] in variants for variants in VARIANTS_OF.values())
    return match if known else None


def _result_files(folder: Path) -> list[tuple[str, Path]]:
    """Each with its task.

    Those without one lie in `folder` itself; where there are some, no others are looked for.
    """
    plain = [("", path) for path in sorted(folder.glob("*.json")) if _is_result(path)]
    return plain or [
        (path.parent.name, path)
        for path in sorted(folder.glob("*/*.json"))
        if _is_result(path) and _TASK.fullmatch(path.parent.name)
    ]


def _finished(workdir: Path) -> dict[Path, Path]:
    """Results of finished runs, and where in a folder of results they belong.

    Where there are runs without a task, none with a task are looked for.
    """
    plain = {
        path: Path(f"{path.parent.name}-{path.parent.parent.name}.json")
        for path in sorted(workdir.glob(f"seed*/*/{runs.RESULTS}"))
    }
    # There may be other runs of the user's, here and below.
    if kept := {path: copy for path, copy in plain.items() if _is_result(copy)}:
        return kept
    found = {}
    for path in sorted(workdir.glob(f"*/seed*/*/{runs.RESULTS}")):
        row, seed, task = (folder.name for folder in list(path.parents)[:3])
        copy = Path(task, f"{row}-{seed}.json")
        if _is_result(copy) and _is_of_task(runs.read_json(path), task):
            found[path] = copy
    return found


def _is_of_task(results: Any, task: str) -> bool:
    name = results.get("config") if isinstance(results, dict) else None
    return bool(_TASK.fullmatch(task)) and str(name).endswith(f"-{task}")


def expect_tasks(workdir: Path) -> None:
    """Looks whether a sweep of tasks can take a folder.

    Raises:
        UserError: there are runs of segmentation, whose folders are others.
    """
    others = [path for path, copy in _finished(workdir).items() if copy.parent == Path()]
    if others:
        raise UserError(
            f"{others[0].parent} is a run without a task, of another configuration. Give another"
            " --workdir."
        )


def copy_results(workdir: Path, output: Path) -> None:
    """Copies what finished runs have found.

    Raises:
        UserError: there is none, or other results stand in their place.
    """
    found = {path: output / copy for path, copy in _finished(workdir).items()}
    if not found:
        raise UserError(
            f"{workdir}: no finished run, expected seedS/ROW/{runs.RESULTS} there, or for a"
            f" classification SOURCE-TARGET/seedS/ROW/{runs.RESULTS}"
        )
    for folder in {copy.parent for copy in found.values()}:
        runs.make_folder(folder, "--output")
    for path, copy in found.items():
        if not copy.exists():
            runs.write_text(copy, path.read_text())
        elif copy.read_text() != path.read_text():
            raise UserError(
                f"{copy} holds other results than {path}. Give another --output, or move the file"
                " away; nothing has been changed."
            )
    if own := _own_values(list(found)):
        # Sweeps beside each other may vary other parameters each.
        runs.write_json(output / OWN_VALUES, _kept_own_values(output) | own)


def _kept_own_values(folder: Path) -> dict[str, float]:
    path = folder / OWN_VALUES
    return runs.read_json(path) if path.exists() else {}


def _own_values(finished: Sequence[Path]) -> dict[str, float]:
    """Of the parameters that were varied, by key."""
    varied = {path.parent.name.rpartition("=")[0] for path in finished}
    own = {}
    for parameter in PARAMETERS:
        rows = [path.parent for path in finished if path.parent.name == parameter.row]
        config = runs.saved_config(rows[0]) if rows else None
        if f"{parameter.row}-{parameter.key}" in varied and config is not None:
            own[parameter.key] = config[parameter.key]
    return own


def read_results(folder: Path) -> Results | TaskResults:
    """Reads ``ROW-seedS.json`` of all runs, or those in the folders ``SOURCE-TARGET`` of tasks.

    Raises:
        UserError: there are none, one is damaged, or they are of several configurations.
    """
    found: dict[str, dict[str, dict[int, Any]]] = {}
    names = set()
    for task, path in _result_files(folder):
        if match := _is_result(path):
            values = runs.read_json(path)
            _expect_results(path, values, match[2], int(match[3]), task)
            names.add(family(values["config"], task))
            found.setdefault(task, {}).setdefault(match[1], {})[int(match[3])] = values
    if not found:
        raise UserError(
            f"{folder}: no results, expected files ROW-seedS.json there, or for a classification"
            " in its folders SOURCE-TARGET"
        )
    if len(names) > 1:
        raise UserError(f"{folder}: results of several configurations: {', '.join(sorted(names))}")
    own = _kept_own_values(folder)
    results = {task: Results(rows, own) for task, rows in found.items()}
    for task, those in results.items():
        if not those.metrics:
            raise UserError(
                f"{folder / task}: the target has no labels in these runs: nothing to compare"
            )
    return with_two_heads(results[""]) if "" in results else TaskResults(names.pop(), results)


def _expect_results(path: Path, values: Any, variant: str, seed: int, task: str) -> None:
    expected = {"variant": variant, "seed": seed}
    keys = {"config", "final", "source_only", *expected}
    missing = sorted(keys - set(values if isinstance(values, dict) else ()))
    if missing:
        raise UserError(f"{path}: no results of a run, {', '.join(missing)} missing")
    if not isinstance(values["final"], dict) or {"target", "source"} - set(values["final"]):
        raise UserError(f"{path}: final: expected metrics of target and source")
    for key, value in expected.items():
        if values[key] != value:
            raise UserError(f"{path}: {key}: expected {value!r}, found {values[key]!r}")
    if task and not _is_of_task(values, task):
        raise UserError(
            f"{path}: config: expected one of {task!r}, found {values['config']!r}; a folder holds"
            " the results of the task that it is named after"
        )


def write_tables(results: Results | TaskResults, output: Path) -> str:
    """Writes all tables and pictures, in place of those of before; returns the Markdown.

    Raises:
        UserError: the folder cannot be written.
    """
    runs.make_folder(output, "--output")
    if isinstance(results, TaskResults):
        texts = tasks_markdown.files(results)
    else:
        texts = markdown.files(results)
        lines = sensitivity(results, results.metrics[0])
        if unknown := {line.parameter.key for line in lines if line.value is None}:
            progress(
                f"the rows' own {', '.join(sorted(unknown))} stand in {OWN_VALUES}, which a sweep"
                " writes beside its results: copy it together with them"
            )
    for name, text in texts.items():
        runs.write_text(output / name, text)
    try:
        from benchmarks.tables import plot
    except ImportError as error:
        progress(f'no plot ({error}): pip install ".[notebooks]"')
    else:
        plot.write(results, output)
    return texts["tables.md"]
