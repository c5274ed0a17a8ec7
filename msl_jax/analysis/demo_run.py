"""The demo, short enough for notebooks: it trains while one reads on."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
from pathlib import Path

from ml_collections.config_dict import ConfigDict

from msl_jax.commands.train import train
from msl_jax.config import VARIANTS
from msl_jax.runtime.errors import UserError

# Enough for a network that recognises the large classes and is unsure about the small ones.
_KEYS = {"source_steps": 150, "steps": 60, "eval_every": 1000, "log_every": 30}
_CONFIG = Path("configs") / "demo.py"
_STEPS = "MSL_JAX_NOTEBOOK_STEPS"


def demo_config(variant: str, **keys: int) -> ConfigDict:
    """The demo's configuration, for a kernel that runs inside a clone of the repository.

    ``$MSL_JAX_NOTEBOOK_STEPS`` makes each stage so many steps long: to see that a notebook runs.

    Args:
        variant: behind the configuration's name.
        **keys: values of its keys.

    Raises:
        UserError: it runs somewhere else.
    """
    config = runpy.run_path(str(_repository() / _CONFIG))["get_config"](variant)
    config.update(keys)
    if steps := os.environ.get(_STEPS):
        config.update({"source_steps": int(steps), "steps": int(steps)})
    return config


def demo_run(variant: str = "max_square_iw_multi") -> str:
    """Trains a variant of the demo, unless it is trained already, and returns its workdir.

    Runs are in ``runs/notebooks`` of the repository, or in ``$MSL_JAX_NOTEBOOK_RUNS``. The
    source-only stage is trained once for the variants with two heads and once for those with one.

    Args:
        variant: one that adapts, or "source".

    Raises:
        UserError: the kernel does not run inside a clone of the repository.
    """
    config = demo_config(variant, **_KEYS)
    name = f"demo-{variant}"
    if steps := os.environ.get(_STEPS):
        name += f"-{steps}-steps"  # never taken for the whole run
    first = "max_square_iw_multi" if VARIANTS[variant].multi else "source"
    if variant != first:
        config.init_from = f"{demo_run(first)}:source"
    default = _repository() / "runs" / "notebooks"
    workdir = Path(os.environ.get("MSL_JAX_NOTEBOOK_RUNS", default)) / name
    with contextlib.redirect_stdout(io.StringIO()):  # its table and the next commands
        train(config, str(workdir))
    return str(workdir)


def _repository() -> Path:
    # Not relative to this file: the package may be installed somewhere else.
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _CONFIG).is_file():
            return folder
    raise UserError(
        f"{here} is not inside a clone of this repository (there is no {_CONFIG}); start the"
        " notebook in one"
    )
