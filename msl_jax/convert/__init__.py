"""Weights between PyTorch and Flax, both ways."""

from msl_jax.convert.layouts import Layout, detect
from msl_jax.convert.network import Network
from msl_jax.convert.state_dict import from_torch, to_torch

__all__ = ["Layout", "Network", "detect", "from_torch", "to_torch"]
