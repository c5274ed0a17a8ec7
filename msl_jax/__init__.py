"""Unsupervised domain adaptation of semantic segmentation with maximum squares loss, in JAX."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names and the modules that have them, or that they are. Modules are imported at the first
# use: what takes losses alone does not read data, nor wait for what does.
MODULES = {
    "losses": "losses",
    "Objective": "methods.segmentation",
    "TrainState": "training.state",
    "Variant": "methods.variants",
    "base_config": "config",
    "parallel_train_step": "training.step",
    "register_backbone": "models.spec",
    "register_dataset": "data.datasets.registry",
    "register_method": "methods.registry",
    "register_public_names": "weights.registry",
    "register_target_loss": "losses.pixelwise",
    "register_variant": "methods.registry",
    "segmentation": "methods.segmentation",
    "train_step": "training.step",
}

__all__ = ["__version__", *MODULES]


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    found = module if module.__name__.endswith(f".{name}") else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
