"""Names and layouts of arrays: PyTorch's beside ours.

`layer3.5.conv2.weight` is `backbone/layer3_5/conv2/kernel`, the public checkpoints' `layer5` and
`layer6` are the low and the final head. Kernels are `[out, in, kh, kw]` there and `[kh, kw, in,
out]` here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

Path = tuple[str, ...]

TORCH_HEADS = {"low_head": "layer5", "final_head": "layer6"}
COUNTER = "num_batches_tracked"
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def torch_name(path: Path) -> str:
    """Name in the public checkpoints of the array at `path`, without the collection.

    >>> torch_name(("backbone", "layer3_5", "downsample_bn", "mean"))
    'layer3.5.downsample.1.running_mean'
    >>> torch_name(("final_head", "conv0", "kernel"))
    'layer6.conv2d_list.0.weight'
    """
    part, *inner, leaf = path
    modules = [TORCH_HEADS[part]] if part in TORCH_HEADS else []
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
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else tuple(shape)


def torch_array(array: np.ndarray) -> np.ndarray:
    """Our array in PyTorch's layout."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1)) if array.ndim == 4 else array


def flax_array(array: np.ndarray) -> np.ndarray:
    """PyTorch's array in our layout."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
