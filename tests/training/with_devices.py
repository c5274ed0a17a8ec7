"""Results of a script of this folder that needs more devices than the tests' process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import quick_compilation

HERE = Path(__file__).parent


def results_with_devices(
    script: str, devices: int, path: Path, *, quick: bool = False
) -> dict[str, np.ndarray]:
    """What `script` writes to `path`, an ``.npz`` file, in a process with so many devices.

    Where it is to be quick, with few optimisations.
    """
    plain = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    process = subprocess.run(
        [sys.executable, str(HERE / script), str(path)],
        env={
            **os.environ,
            **(quick_compilation.environment(devices) if quick else plain),
            "PYTHONPATH": str(HERE.parents[1]),
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    with np.load(path) as found:
        return dict(found)
