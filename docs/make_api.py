"""The library's pages, made by pdoc from its docstrings.

    python docs/make_api.py [FOLDER]        # default: docs/api, which git ignores

They need no network. What they hold are the modules of the public names of `msl_jax`, the seams
that one's own methods, data sets and backbones fit (docs/architecture.md), and what these import.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import msl_jax

SEAMS = (
    *("data.datasets.dataset", "data.labels", "methods.method", "models"),
    *("models.backbones.backbone", "models.inputs", "models.keys", "models.layers"),
)


def write(folder: Path) -> None:
    """Writes the pages; ``index.html`` is the first."""
    # Its submodules among its public names come with msl_jax itself.
    modules = sorted({*msl_jax.MODULES.values(), *SEAMS} - set(msl_jax.__all__))
    pdoc.render.configure(docformat="google", search=False)
    # Annotations of named tuples are then shown as they are written.
    warnings.filterwarnings("ignore", "Error parsing type annotation", UserWarning)
    pdoc.pdoc("msl_jax", *(f"msl_jax.{module}" for module in modules), output_directory=folder)


if __name__ == "__main__":
    made = Path(*sys.argv[1:2] or [Path(__file__).parent / "api"])
    write(made)
    print(made / "index.html")
