"""Files of the tables: results in, Markdown, CSV and pictures out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import table_text
from benchmarks.measuring import progress
from benchmarks.table_results import Results, sensitivity, with_two_heads
from benchmarks.table_rows import PARAMETERS, Run
from msl_jax import runs
from msl_jax.config import VARIANTS
from msl_jax.errors import UserError

# Values of the parameters that the rows themselves have, beside the results of other values.
OWN_VALUES = "own_values.json"
_RUN = re.compile(r"((\w+)(?:-\w+=\d+(?:\.\d+)?(?:e[+-]?\d+)?)?)-seed(\d+)\.json")


def result_file(output: Path, run: Run) -> Path:
    """Where the results of a run are kept."""
    return output / f"{run.row}-seed{run.seed}.json"


def expect_room(output: Path, left: Iterable[Run], config: str) -> None:
    """Looks whether results can be added, before hours are spent on them.

    Args:
        output: where they are kept.
        left: runs that are still to be made; what has their names would be of something else.
        config: name of their configuration.

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
    if (
        any(map(_is_result, output.glob("*.json")))
        and (found := read_results(output).config) != config
    ):
        raise UserError(f"{output}: results of {found}, not of {config}. Give another --output.")


def _is_result(path: Path) -> re.Match[str] | None:
    match = _RUN.fullmatch(path.name)
    return match if match and match[2] in VARIANTS else None


def copy_results(workdir: Path, output: Path) -> None:
    """Copies what finished runs have found.

    Raises:
        UserError: there is none, or other results stand in their place.
    """
    found = {}
    for path in sorted(workdir.glob(f"seed*/*/{runs.RESULTS}")):
        copy = output / f"{path.parent.name}-{path.parent.parent.name}.json"
        if _is_result(copy):  # there may be other runs of the user's
            found[path] = copy
    if not found:
        raise UserError(f"{workdir}: no finished run, expected seedS/ROW/{runs.RESULTS} there")
    runs.make_folder(output, "--output")
    for path, copy in found.items():
        if not copy.exists():
            runs.write_text(copy, path.read_text())
        elif copy.read_text() != path.read_text():
            raise UserError(
                f"{copy} holds other results than {path}. Give another --output, or move the file"
                " away; nothing has been changed."
            )
    if own := _own_values(list(found)):
        runs.write_json(output / OWN_VALUES, own)


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


def read_results(folder: Path) -> Results:
    """Reads ``ROW-seedS.json`` of all runs.

    Raises:
        UserError: there are none, one is damaged, or they are of several configurations.
    """
    found: dict[str, dict[int, Any]] = {}
    names = set()
    for path in sorted(folder.glob("*.json")):
        if match := _is_result(path):
            values = runs.read_json(path)
            _expect_results(path, values, match[2], int(match[3]))
            names.add(values["config"])
            found.setdefault(match[1], {})[int(match[3])] = values
    if not found:
        raise UserError(f"{folder}: no results, expected files ROW-seedS.json there")
    if len(names) > 1:
        raise UserError(f"{folder}: results of several configurations: {', '.join(sorted(names))}")
    own = folder / OWN_VALUES
    results = Results(found, runs.read_json(own) if own.exists() else {})
    if not results.metrics:
        raise UserError(f"{folder}: the target has no labels in these runs: nothing to compare")
    return with_two_heads(results)


def _expect_results(path: Path, values: Any, variant: str, seed: int) -> None:
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


def write_tables(results: Results, output: Path) -> str:
    """Writes all tables and pictures, in place of those of before; returns the Markdown.

    Raises:
        UserError: the folder cannot be written.
    """
    runs.make_folder(output, "--output")
    text = table_text.markdown(results)
    runs.write_text(output / "tables.md", text)
    runs.write_text(output / "table.csv", table_text.main_csv(results))
    runs.write_text(output / "classes.csv", table_text.class_csv(results))
    if sensitivity(results, results.metrics[0]):
        runs.write_text(output / "sensitivity.csv", table_text.sensitivity_csv(results))
    try:
        from benchmarks import table_plot
    except ImportError as error:
        progress(f'no plot ({error}): pip install "msl_jax[notebooks]"')
    else:
        table_plot.write(results, output)
    return text
