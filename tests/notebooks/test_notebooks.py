"""The notebooks run from their first to their last cell and are kept with what they show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from benchmarks.notebooks import COMMAND, DIGEST, NOTEBOOKS, code_digest, executed

RUNS = [
    pytest.param(
        path, id=path.stem, marks=() if path.stem == "gradient_analysis" else pytest.mark.long
    )
    for path in NOTEBOOKS
]
_NUMBERS = re.compile(r"[ +-]*\d[\d.e+-]*")


def _outputs(notebook: Any) -> list[list[Any]]:
    """What each code cell shows: kinds, and the words of the first line of printed text.

    Numbers and further lines are the run's, which the machine's rounding decides.
    """
    return [
        [
            _NUMBERS.sub(" 0", output["text"].splitlines()[0])
            if output.output_type == "stream"
            else sorted(output.data)
            for output in cell.outputs
        ]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_outputs_are_those_of_the_code(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.get(DIGEST) == code_digest(notebook), (
        f"the code of {path.name} has changed since its outputs were made: {COMMAND} {path.stem}"
    )
    assert ["image/png"] in [kinds for cell in _outputs(notebook) for kinds in cell]
    assert path.stat().st_size < 400_000
    for cell in notebook.cells:
        assert cell.get("execution_count") is None
        assert "execution" not in cell.metadata
    # Of the machine where they were made nothing is told.
    printed = str([cell.get("outputs") for cell in notebook.cells])
    assert str(Path.home()) not in printed
    assert "/notebooks" not in printed


@pytest.mark.parametrize("path", RUNS)
def test_runs(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One folder for all notebooks: the second finds the run of the first in it.
    shared = tmp_path_factory.getbasetemp() / "notebooks"
    monkeypatch.setenv("MSL_JAX_NOTEBOOK_RUNS", str(shared / "runs"))
    monkeypatch.setenv("MSL_JAX_NOTEBOOK_STEPS", "20")
    monkeypatch.setenv("TFDS_DATA_DIR", str(shared / "records"))
    found, kept = _outputs(executed(path)), _outputs(nbformat.read(path, as_version=4))
    assert found == kept, f"{path.name} shows something else now: {COMMAND} {path.stem}"
