"""Names and layouts of arrays: PyTorch's beside ours.

`layer3.5.conv2.weight` is `backbone/layer3_5/conv2/kernel`, the public checkpoints' `layer5` and
`layer6` are the low and the final head, torchvision's `fc` is the classifier. Kernels are
`[out, in, kh, kw]` there and `[kh, kw, in, out]` here; in a linear layer `[out, in]` and `[in,
out]`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

Path = tuple[str, ...]

TORCH_HEADS = {"low_head": "layer5", "final_head": "layer6"}
# All parts of a network but the backbone, whose modules stand at the top in PyTorch.
TORCH_PARTS = {**TORCH_HEADS, "classifier": "fc"}
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


def torch_name(path: Path) -> str:
    """Name in the public checkpoints of the array at `path`, without the collection.

    >>> torch_name(("backbone", "layer3_5", "downsample_bn", "mean"))
    'layer3.5.downsample.1.running_mean'
    >>> torch_name(("final_head", "conv0", "kernel"))
    'layer6.conv2d_list.0.weight'
    >>> torch_name(("classifier", "kernel"))
    'fc.weight'
    """
    part, *inner, leaf = path
    modules = [TORCH_PARTS[part]] if part in TORCH_PARTS else []
    for module in inner:
        if part in TORCH_HEADS:
            module = module.replace("conv", "conv2d_list.")
        module = re.sub(r"^(layer\d)_", r"\1.", module)
        module = module.replace("downsample_conv", "downsample.0")
        modules.append(module.replace("downsample_bn", "downsample.1"))
    return ".".join([*modules, _LEAVES[leaf]])


def paths_by_torch_name(variables: Any) -> dict[str, Path]:
    """`{torch name: path with its collection}` of every array of a tree of variables."""
    return {torch_name(path[1:]): path for path in flatten_dict(variables)}


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
