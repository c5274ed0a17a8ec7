"""Names and layouts of arrays in PyTorch's files, and ours.

Kernels are `[out, in, kh, kw]` there and `[kh, kw, in, out]` here; in a linear layer `[out, in]`
and `[in, out]`. What a backbone's modules are called, and how its files are recognised, stands in a
file of its own for each backbone, as `PublicNames`.
"""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import ClassVar

import numpy as np

from msl_jax.models.spec import NetworkSpec, conventions_of
from msl_jax.weights.layouts import Layout
from msl_jax.weights.mismatch import Shapes

Path = tuple[str, ...]

COUNTER = "num_batches_tracked"
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Kernels by their number of axes: which of our axes stands at each place in PyTorch.
_TORCH_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}


class PublicNames(abc.ABC):
    """The names of networks on a backbone in public files; listed in `msl_jax.weights.registry`.

    Attributes:
        title: such networks, for messages, e.g. "a ResNet or DeepLabv2".
        expected: what tells their files from others, e.g. "one 7x7 convolution conv1.weight".
        heads: our heads -> their modules in files.
    """

    title: ClassVar[str]
    expected: ClassVar[str]
    heads: ClassVar[dict[str, str]] = {
        "low_head": "layer5",
        "final_head": "layer6",
        "classifier": "fc",
    }

    @abc.abstractmethod
    def module(self, path: Path) -> str | None:
        """Name of the backbone's module at `path`; None where it has no such module."""

    @abc.abstractmethod
    def detect(self, shapes: Shapes) -> Layout | None:
        """What a file is; None where it is not of this backbone.

        Args:
            shapes: shape of every array by its name, as the file has them.

        Raises:
            UserError: it is of this backbone, but no network that there is here.
        """

    def note(self, network: NetworkSpec, heads: Collection[str]) -> str | None:
        """What those must know who run a file with these names in PyTorch."""
        del heads
        convention = conventions_of(network.model)[network.input_convention]
        return f"the network expects {convention.title}"

    def name(self, path: Path) -> str | None:
        """Name of the array at `path`, without the collection; None where there is none."""
        part, *inner, leaf = path
        if part in self.heads:
            modules = [module.replace("conv", "conv2d_list.") for module in inner]
            module: str | None = ".".join([self.heads[part], *modules])
        else:
            module = self.module(tuple(inner)) if part == "backbone" else None
        return None if module is None else f"{module}.{_LEAVES.get(leaf, leaf)}"


def is_counter(name: str) -> bool:
    """Whether an array is a batch norm's count of batches, which no forward pass reads."""
    return name.rpartition(".")[2] == COUNTER


def torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that an array of our `shape` has in PyTorch."""
    return tuple(shape[axis] for axis in _TORCH_AXES.get(len(shape), range(len(shape))))


def torch_array(array: np.ndarray) -> np.ndarray:
    """Our array in PyTorch's layout."""
    axes = _TORCH_AXES.get(array.ndim)
    return array if axes is None else np.ascontiguousarray(array.transpose(axes))


def flax_array(array: np.ndarray) -> np.ndarray:
    """PyTorch's array in our layout."""
    axes = _TORCH_AXES.get(array.ndim)
    return array if axes is None else array.transpose(np.argsort(axes))
