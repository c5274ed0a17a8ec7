"""Reads and writes `.safetensors` files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, expect_readable

_METADATA = "msl_jax"


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays by name, and our description where `write` left one.

    Raises:
        UserError: the file is missing, damaged or of another kind.
    """
    expect_readable(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata[_METADATA]) if _METADATA in metadata else None
    except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: no safetensors file that can be read ({error}): it is truncated, damaged or"
            " of another kind. Fetch it again."
        ) from error
    return arrays, description


def write(path: Path, state_dict: Mapping[str, np.ndarray], description: dict[str, Any]) -> None:
    """Writes arrays by name and the description, whole or not at all."""
    # In C order: of a transposed array safetensors would mix up the numbers.
    arrays = {name: np.asarray(array, order="C") for name, array in state_dict.items()}
    with atomic_write(path) as partial:
        # Not save_file, which makes files that only their owner may read.
        partial.write_bytes(save(arrays, metadata={_METADATA: json.dumps(description)}))
