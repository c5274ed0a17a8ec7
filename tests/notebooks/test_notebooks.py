"""The notebooks run from their first to their last cell and are kept without outputs."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUNS = [
    pytest.param(
        path, id=path.stem, marks=() if path.stem == "gradient_analysis" else pytest.mark.long
    )
    for path in NOTEBOOKS
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_kept(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", RUNS)
def test_runs(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One folder for all notebooks: the second finds the run of the first in it.
    shared = tmp_path_factory.getbasetemp() / "notebooks"
    monkeypatch.setenv("MSL_JAX_NOTEBOOK_RUNS", str(shared / "runs"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(shared / "records"))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    drawn = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in drawn)
