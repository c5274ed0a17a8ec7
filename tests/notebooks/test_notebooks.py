"""The notebooks run from their first to their last cell and are kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# The others take a minute each on top; .ci/run asks for them.
QUICK = {"gradient_analysis.ipynb"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.name not in QUICK and os.environ.get("MSL_JAX_ALL_NOTEBOOKS") != "1":
        pytest.skip("only with MSL_JAX_ALL_NOTEBOOKS=1")
    monkeypatch.setenv("MSL_JAX_NOTEBOOK_RUNS", str(_shared_runs(tmp_path)))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    drawn = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in drawn)


def _shared_runs(tmp_path: Path) -> Path:
    """One folder for all notebooks, that the second finds the run of the first in."""
    return tmp_path.parent / "notebook_runs"
