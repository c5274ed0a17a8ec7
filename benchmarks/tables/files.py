"""Files of the tables: results in; Markdown, CSV and plots out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.support.measuring import progress
from benchmarks.tables import markdown
from benchmarks.tables.results import Results, metrics_of, tabulate
from benchmarks.tables.runs import PARAMETERS, Run, family
from benchmarks.tables.sensitivity import sensitivity
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.runs.workdir import RESULTS, saved_config
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import make_folder, read_json, write_json, write_text

# The rows' own values of the parameters, next to the results for other values.
OWN_VALUES = "own_values.json"
_TASK = r"(?:(?P<task>\w+-\w+)/)?"
_ROW = r"(?P<row>(?P<variant>\w+)(?:-\w+=\d+(?:\.\d+)?(?:e[+-]?\d+)?)?)"
# Where a folder of results keeps those of a run, and where the workdir of all runs has them.
_KEPT = re.compile(rf"{_TASK}{_ROW}-seed(?P<seed>\d+)\.json")
_RUN = re.compile(rf"{_TASK}seed(?P<seed>\d+)/{_ROW}/{re.escape(RESULTS)}")


def result_file(output: Path, run: Run) -> Path:
    """The file that keeps the results of a run."""
    return output / run.task / f"{run.row}-seed{run.seed}.json"


def expect_room(output: Path, left: Iterable[Run], config: str) -> None:
    """Checks that results can be added, before hours are spent on them.

    Args:
        output: folder of the results.
        left: runs that are not finished; files with their names would belong to something else.
        config: name of their configuration, without the domains of a task.

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
    if _kept(output) and (found := read_results(output).config) != config:
        raise UserError(f"{output}: results of {found}, not of {config}. Give another --output.")


def _find(folder: Path, pattern: re.Pattern[str], files: str) -> dict[Path, re.Match[str]]:
    """Files of results, each with what its path says; ignores other files.

    If there are any without a task, those of tasks are ignored as well.

    Args:
        folder: where to look.
        pattern: of the paths relative to it.
        files: the same as a glob, without the folder of a task.
    """
    known = {variant for variants in VARIANTS_OF.values() for variant in variants}
    for glob in (files, f"*/{files}"):
        found = {
            path: match
            for path in sorted(folder.glob(glob))
            if (match := pattern.fullmatch(path.relative_to(folder).as_posix()))
            and match["variant"] in known
        }
        if found:
            return found
    return {}


def _kept(output: Path) -> dict[Path, re.Match[str]]:
    return _find(output, _KEPT, "*.json")


def _finished(workdir: Path) -> dict[Path, Path]:
    """Results of finished runs, and their paths in a folder of results."""
    return {
        path: Path(match["task"] or "", f"{match['row']}-seed{match['seed']}.json")
        for path, match in _find(workdir, _RUN, f"seed*/*/{RESULTS}").items()
        if not match["task"] or _is_of_task(read_json(path), match["task"])
    }


def _is_of_task(results: Any, task: str) -> bool:
    name = results.get("config") if isinstance(results, dict) else None
    return str(name).endswith(f"-{task}")


def expect_tasks(workdir: Path) -> None:
    """Checks that a sweep over tasks can use a workdir.

    Raises:
        UserError: it has runs of segmentation, which are laid out differently.
    """
    others = [path for path, copy in _finished(workdir).items() if copy.parent == Path()]
    if others:
        raise UserError(
            f"{others[0].parent} is a run without a task, of another configuration. Give another"
            " --workdir."
        )


def copy_results(workdir: Path, output: Path) -> None:
    """Copies the results of finished runs.

    Raises:
        UserError: there are none, or `output` has different results of the same runs.
    """
    found = {path: output / copy for path, copy in _finished(workdir).items()}
    if not found:
        raise UserError(
            f"{workdir}: no finished run, expected seedS/ROW/{RESULTS} there, or for a"
            f" classification SOURCE-TARGET/seedS/ROW/{RESULTS}"
        )
    for folder in {copy.parent for copy in found.values()}:
        make_folder(folder, "--output")
    for path, copy in found.items():
        if not copy.exists():
            write_text(copy, path.read_text())
        elif copy.read_text() != path.read_text():
            raise UserError(
                f"{copy} holds other results than {path}. Give another --output, or move the file"
                " away; nothing has been changed."
            )
    if own := _own_values(list(found)):
        # Sweeps that share this folder may each vary different parameters.
        write_json(output / OWN_VALUES, _kept_own_values(output) | own)


def _kept_own_values(folder: Path) -> dict[str, float]:
    path = folder / OWN_VALUES
    return read_json(path) if path.exists() else {}


def _own_values(finished: Sequence[Path]) -> dict[str, float]:
    """The rows' own values of the parameters that were varied, by key."""
    varied = {path.parent.name.rpartition("=")[0] for path in finished}
    own = {}
    for parameter in PARAMETERS:
        rows = [path.parent for path in finished if path.parent.name == parameter.row]
        config = saved_config(rows[0]) if rows else None
        if f"{parameter.row}-{parameter.key}" in varied and config is not None:
            own[parameter.key] = config[parameter.key]
    return own


def read_results(folder: Path) -> Results:
    """Reads ``ROW-seedS.json`` of all runs, in folders ``SOURCE-TARGET`` for those of tasks.

    Raises:
        UserError: there are none, one is damaged, or they belong to several configurations.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    names = set()
    for path, match in _kept(folder).items():
        task, seed, values = match["task"] or "", int(match["seed"]), read_json(path)
        _expect_results(path, values, match["variant"], seed, task)
        names.add(family(values["config"], task))
        found.setdefault((task, seed), {})[match["row"]] = values
    if not found:
        raise UserError(
            f"{folder}: no results, expected files ROW-seedS.json there, or for a classification"
            " in its folders SOURCE-TARGET"
        )
    if len(names) > 1:
        raise UserError(f"{folder}: results of several configurations: {', '.join(sorted(names))}")
    for task in {task for task, _ in found}:
        those = (run for key, rows in found.items() if key[0] == task for run in rows.values())
        if not metrics_of(those):
            raise UserError(
                f"{folder / task}: nothing was measured on the target in these runs (no labels, or"
                " none that count): nothing to compare"
            )
    return tabulate(names.pop(), found, _kept_own_values(folder))


def _expect_results(path: Path, values: Any, variant: str, seed: int, task: str) -> None:
    expected = {"variant": variant, "seed": seed}
    keys = {"config", "final", "source_only", *expected}
    missing = sorted(keys - set(values if isinstance(values, dict) else ()))
    if missing:
        raise UserError(f"{path}: not a run's results: {', '.join(missing)} missing")
    if not isinstance(values["final"], dict) or {"target", "source"} - set(values["final"]):
        raise UserError(f"{path}: final: expected metrics of target and source")
    for key, value in expected.items():
        if values[key] != value:
            raise UserError(f"{path}: {key}: expected {value!r}, found {values[key]!r}")
    if task and not _is_of_task(values, task):
        raise UserError(
            f"{path}: config: expected one of {task!r}, found {values['config']!r}; a folder is"
            " named after the task of its results"
        )


def write_tables(results: Results, output: Path) -> str:
    """Writes all tables and plots, replacing earlier ones; returns the Markdown.

    Raises:
        UserError: the folder cannot be written.
    """
    make_folder(output, "--output")
    if unknown := {line.parameter.key for line in sensitivity(results) if line.value is None}:
        progress(
            f"the rows' own {', '.join(sorted(unknown))} are in {OWN_VALUES}, which a sweep writes"
            " next to its results: copy that file too"
        )
    texts = markdown.files(results)
    for name, text in texts.items():
        write_text(output / name, text)
    try:
        from benchmarks.tables import plot
    except ImportError as error:
        progress(f'no plot ({error}): pip install -e ".[notebooks]"')
    else:
        plot.write(results, output)
    return texts["tables.md"]
