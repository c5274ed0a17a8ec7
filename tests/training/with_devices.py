"""Results of a script of this folder that needs more devices than the tests' process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

HERE = Path(__file__).parent


def results_with_devices(
    script: str, devices: int, path: Path, **environment: str
) -> dict[str, np.ndarray]:
    """What `script` writes to `path`, an ``.npz`` file, in a process with so many devices."""
    process = subprocess.run(
        [sys.executable, str(HERE / script), str(path)],
        env={
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "PYTHONPATH": str(HERE.parents[1]),
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    with np.load(path) as found:
        return dict(found)
