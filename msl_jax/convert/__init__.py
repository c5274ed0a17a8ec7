"""Weights between PyTorch and Flax, both ways."""

from msl_jax.models.spec import Network
from msl_jax.weights.layouts import Layout, detect
from msl_jax.weights.state_dict import from_torch, to_torch

__all__ = ["Layout", "Network", "detect", "from_torch", "to_torch"]
