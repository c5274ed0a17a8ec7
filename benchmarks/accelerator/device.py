"""Which machine this is, and its peak performance."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.accelerator.timing import time_rounds
from benchmarks.support.reporting import CORES, surroundings

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
# What the parts other than steps and losses need: (part, module).
_OPTIONAL = (
    ("PyTorch's side", "torch"),
    ("input and training", "grain"),
    ("input and training", "tensorflow_datasets"),
    ("input and training", "array_record"),
    ("input and training", "PIL"),
    ("training", "orbax.checkpoint"),
    ("training", "tensorboardX"),
)


def versions() -> dict[str, Any]:
    """Device, versions of packages, and what is missing."""
    device = jax.devices()[0]
    stats = device.memory_stats() or {}
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.device_count(),
        "memory_gb": stats.get("bytes_limit", 0) / 1e9 or None,
        "driver": _driver(),
        "python": platform.python_version(),
        "missing": [f"{module} ({part})" for part, module in _OPTIONAL if not _found(module)],
        **surroundings(_PACKAGES),
    }


def ceilings(*, size: int, megabytes: int, seconds: float) -> dict[str, Any]:
    """TFLOP/s of a square matrix product in each precision, and GB/s of a copy.

    Args:
        size: number of rows of the matrices.
        megabytes: to copy; bytes read and written both count.
        seconds: for each measurement.
    """
    left, right = (jax.random.normal(jax.random.key(i), (size, size)) for i in range(2))
    found: dict[str, Any] = {"cores": CORES}
    for name, precision, dtype in (
        ("float32", "highest", jnp.float32),
        ("tf32", "default", jnp.float32),
        ("bfloat16", "default", jnp.bfloat16),
    ):
        with jax.default_matmul_precision(precision):
            product = jax.jit(jnp.matmul)
            operands = left.astype(dtype), right.astype(dtype)
            jax.block_until_ready(product(*operands))
            taken = time_rounds(
                lambda f=product, x=operands: jax.block_until_ready(f(*x)),  # type: ignore[misc]
                seconds,
            )
        found[f"{name}_tflops"] = 2 * size**3 / taken["seconds"] / 1e12
    numbers = jnp.ones(megabytes * 250_000, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    taken = time_rounds(lambda: jax.block_until_ready(copy(numbers)), seconds)
    found["copy_gb_per_second"] = 2 * megabytes / 1e3 / taken["seconds"]
    return found


def _driver() -> str | None:
    """Version of NVIDIA's driver, None if there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return printed.stdout.split()[0] if printed.stdout.split() else None


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False
