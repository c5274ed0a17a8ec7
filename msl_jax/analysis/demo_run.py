"""The demo at a size for notebooks: trained while one reads on."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from msl_jax.commands.command_line import DEFAULT_CONFIG
from msl_jax.commands.train import train
from msl_jax.config import VARIANTS

# Enough for a network that is right about the large classes and unsure about the small ones.
_KEYS = {"source_steps": 150, "steps": 60, "eval_every": 1000, "log_every": 30}


def demo_run(variant: str = "max_square_iw_multi") -> str:
    """Trains a variant of the demo, unless that has been done, and returns its workdir.

    Runs lie in ``runs/notebooks`` of the repository, or in ``$MSL_JAX_NOTEBOOK_RUNS``. The
    source-only stage is trained once for the variants of two heads and once for those of one.

    Args:
        variant: one that adapts, or "source".
    """
    config = runpy.run_path(str(DEFAULT_CONFIG))["get_config"](variant)
    config.update(_KEYS)
    first = "max_square_iw_multi" if VARIANTS[variant].multi else "source"
    if variant != first:
        config.init_from = f"{demo_run(first)}:source"
    default = DEFAULT_CONFIG.parents[1] / "runs" / "notebooks"
    workdir = Path(os.environ.get("MSL_JAX_NOTEBOOK_RUNS", default)) / f"demo-{variant}"
    train(config, str(workdir))
    return str(workdir)
