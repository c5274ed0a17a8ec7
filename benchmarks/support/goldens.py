"""Golden values from the official PyTorch code, and the weights that it used."""

from __future__ import annotations

import functools
import runpy
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msl_jax import losses
from msl_jax.convert import from_torch
from msl_jax.models import DeepLabV2, ResNet

FOLDER = Path(__file__).parents[3] / "shared" / "goldens"
# The official network; the goldens' images come ready for it.
MODEL = DeepLabV2(num_classes=19, backbone=ResNet(input_convention=None))

_FILES = ("official_losses.npz", "official_model.npz", "official_three_steps.npz")
_WEIGHTS = ("reference_weights.py", "deeplab_names.json")


class Goldens:
    """The contents of the golden files.

    Args:
        folder: of the files and of the script that makes the weights.

    Attributes:
        losses: arrays of `official_losses.npz`.
        network: arrays of `official_model.npz`.
        three_steps: arrays of `official_three_steps.npz`.

    Raises:
        FileNotFoundError: lists the files that are missing.
    """

    def __init__(self, folder: Path) -> None:
        missing = [name for name in (*_FILES, *_WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(f"no golden values in {folder}: no {', no '.join(missing)}")
        self.losses, self.network, self.three_steps = (
            dict(np.load(folder / name)) for name in _FILES
        )
        self._make_state_dict = runpy.run_path(str(folder / _WEIGHTS[0]))["make_state_dict"]

    @functools.cached_property
    def variables(self) -> Any:
        """The weights as variables of `MODEL`, float32, on the host."""
        with jax.enable_x64(False):
            return jax.device_get(from_torch(self._make_state_dict(0), MODEL))


def our_labels(labels: np.ndarray) -> np.ndarray:
    """Our labels from those of the goldens, in which ignored pixels are -1."""
    return np.where(labels < 0, losses.IGNORE, labels).astype(np.uint8)
