"""Unsupervised domain adaptation of semantic segmentation with maximum squares loss, in JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


if TYPE_CHECKING:  # for a type checker, a `__getattr__` would give any name
    from msl_jax import losses as losses
    from msl_jax.config import base_config as base_config
    from msl_jax.data.datasets.registry import register_dataset as register_dataset
    from msl_jax.losses.pixelwise import register_target_loss as register_target_loss
    from msl_jax.methods import segmentation as segmentation
    from msl_jax.methods.registry import register_method as register_method
    from msl_jax.methods.registry import register_variant as register_variant
    from msl_jax.methods.segmentation import Objective as Objective
    from msl_jax.methods.variants import Variant as Variant
    from msl_jax.models.spec import register_backbone as register_backbone
    from msl_jax.training.state import TrainState as TrainState
    from msl_jax.training.step import parallel_train_step as parallel_train_step
    from msl_jax.training.step import train_step as train_step
    from msl_jax.weights.registry import register_public_names as register_public_names
else:

    def __getattr__(name: str) -> Any:
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{MODULES[name]}")
        found = module if module.__name__.endswith(f".{name}") else getattr(module, name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
