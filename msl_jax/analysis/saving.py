"""Figures as files. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from msl_jax.runtime.files import written_whole


def save(figure: Figure, folder: Path, name: str) -> None:
    """Writes ``NAME.png`` and ``NAME.svg``, in place of those of before, each of them whole.

    Equal figures give equal files: without a date, and without random names inside.
    """
    for kind in ("png", "svg"):
        metadata = {"Date": None} if kind == "svg" else {}
        with (
            matplotlib.rc_context({"svg.hashsalt": name}),
            written_whole(folder / f"{name}.{kind}") as path,
        ):
            figure.savefig(path, format=kind, dpi=150, metadata=metadata)
