"""Runs the notebooks and keeps them with their outputs, which is what GitHub shows of them.

    python -m benchmarks.notebooks [NAME ...]

Each notebook runs from its first to its last cell in a new kernel and is written back with pictures
and printed text, without execution counts and times, which differ each time. The digest of its code
and of msl_jax/analysis/plots.py is kept beside: tests/notebooks tells when one has changed since.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbclient
import nbformat

from msl_jax.analysis import plots

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
DIGEST = "executed_code"  # in the notebook's metadata
COMMAND = "python -m benchmarks.notebooks"


def code_digest(notebook: Any) -> str:
    """Of the sources of all code cells, in order, and of what draws their pictures."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code.append(inspect.getsource(plots))
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def executed(path: Path) -> Any:
    """The notebook of a file with the outputs of a run, in the folder of the file.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    client = nbclient.NotebookClient(notebook, timeout=None, resources=folder, record_timing=False)
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = kept(cell.outputs)
    notebook.metadata = {
        "kernelspec": notebook.metadata.kernelspec,
        "language_info": {"name": "python"},
        DIGEST: code_digest(notebook),
    }
    return notebook


def kept(outputs: Sequence[Any]) -> list[Any]:
    """What is printed, in one piece, and pictures; not what a training reports while it works."""
    found: list[Any] = []
    for output in outputs:
        if output.get("name") == "stdout":
            if found and found[-1].output_type == "stream":
                found[-1].text += output.text
            else:
                found.append(output)
        elif "image/png" in output.get("data", {}):
            picture = {"image/png": output.data["image/png"]}
            found.append(nbformat.v4.new_output("display_data", picture))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the notebooks; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Runs the notebooks and keeps them with their outputs."
    )
    names = [path.stem for path in NOTEBOOKS]
    parser.add_argument("notebooks", nargs="*", metavar="NAME", help="default: all of them")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.notebooks) - set(names)):
        parser.error(f"expected names among {', '.join(names)}, found {', '.join(unknown)}")
    for path in NOTEBOOKS:
        if path.stem in (options.notebooks or names):
            notebook = executed(path)
            nbformat.write(notebook, path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
