"""Weights between PyTorch and Flax, both ways."""

from msl_jax.models.spec import NetworkSpec
from msl_jax.weights.layouts import Layout
from msl_jax.weights.registry import detect
from msl_jax.weights.state_dict import from_torch, to_torch

__all__ = ["Layout", "NetworkSpec", "detect", "from_torch", "to_torch"]
