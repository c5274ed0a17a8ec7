"""PyTorch state dicts to Flax variables and back: pure functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from msl_jax.models import DeepLabV2, ResNetClassifier
from msl_jax.models.initial import abstract_variables, initial_heads
from msl_jax.runtime.errors import UserError
from msl_jax.weights.layouts import CLASSIFIER, Layout, detect, gives_way, is_counter
from msl_jax.weights.mismatch import expect_same_shapes
from msl_jax.weights.names import (
    COUNTER,
    TORCH_HEADS,
    TORCH_PARTS,
    flax_array,
    paths_by_torch_name,
    torch_array,
    torch_name,
    torch_shape,
)

StateDict = Mapping[str, np.ndarray]
Model = DeepLabV2 | ResNetClassifier


def from_torch(
    state_dict: StateDict, model: Model, *, reinit_heads: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Variables of `model` from a state dict of PyTorch.

    Takes torchvision's ResNets, the DeepLab initialisation and DeepLabv2 checkpoints of the
    official code, AdaptSegNet and ADVENT, see `detect`, which also tells the stride placement and
    the input convention that the weights need: `model` should have that stride placement.

    Heads that the file lacks are drawn. Of torchvision's `fc` a classifier takes over that of its
    own classes; that of ImageNet's 1000 gives way to a new one.

    Args:
        state_dict: arrays by name. Kernels are `[out, in, kh, kw]`.
        model: gives names, shapes and the dtype of the result (`param_dtype`).
        reinit_heads: draw all heads anew, also where the file has them.
        seed: of the heads that are drawn.

    Returns:
        ``{"params", "batch_stats"}``. Every number is the file's own, rounded where the model's
        dtype is narrower; counts of batches, which no forward pass reads, are dropped.

    Raises:
        UserError: not such a checkpoint; or arrays are missing, left over, of another shape (one
            message lists all), or hold anything but finite floating-point numbers.

    >>> import jax
    >>> from msl_jax.models import initial_variables
    >>> model = DeepLabV2(num_classes=3, depth=14, width=4)
    >>> variables = initial_variables(model, seed=0)
    >>> again = from_torch(to_torch(variables), model)
    >>> bool(jax.tree.all(jax.tree.map(np.array_equal, variables, again)))
    True
    """
    layout = detect({name: np.shape(array) for name, array in state_dict.items()})
    heads = {} if reinit_heads else _heads(layout, model)
    abstract = abstract_variables(model)
    paths = {}
    for name, path in paths_by_torch_name(abstract).items():
        part = path[1]
        if part in heads:
            paths[heads[part] + name.removeprefix(TORCH_PARTS[part])] = path
        elif part not in TORCH_PARTS:
            paths[name] = path
    found = {
        name.removeprefix(layout.prefix): array
        for name, array in state_dict.items()
        if _is_taken(name.removeprefix(layout.prefix), layout, heads, reinit_heads, state_dict)
    }
    leaves = flatten_dict(abstract)
    expect_same_shapes(
        {name: np.shape(array) for name, array in found.items()},
        {name: torch_shape(leaves[path].shape) for name, path in paths.items()},
        title=f"{_sentence(layout, model)} does not fit the network: {_network(model)}.",
        advice=_advice(layout, model),
    )
    broken = [name for name, array in found.items() if not _all_finite(np.asarray(array))]
    if broken:
        raise UserError(
            f"not finite floating-point numbers in {len(broken)} arrays: {', '.join(broken)}"
        )
    converted = {
        path: jnp.asarray(flax_array(np.asarray(found[name])), model.param_dtype)
        for name, path in paths.items()
    }
    variables = unflatten_dict(converted)
    if new := abstract["params"].keys() & TORCH_PARTS.keys() - heads.keys():
        drawn = initial_heads(model, seed)
        variables["params"].update({head: drawn[head] for head in new})
    return variables


def to_torch(variables: Any) -> dict[str, np.ndarray]:
    """State dict of the official network, or of torchvision's; the inverse of `from_torch`.

    Args:
        variables: ``{"params", "batch_stats"}`` of a `DeepLabV2` or a `ResNetClassifier`.

    Returns:
        Arrays by name, in PyTorch's layouts, without a prefix; no number is changed. Each norm's
        count of batches is 0, which PyTorch reads only for a momentum of None.
    """
    state_dict = {}
    for path, leaf in flatten_dict(variables).items():
        name = torch_name(path[1:])
        state_dict[name] = torch_array(np.asarray(leaf))
        if name.endswith("running_var"):
            state_dict[name.replace("running_var", COUNTER)] = np.zeros((), np.int64)
    return state_dict


def _heads(layout: Layout, model: Model) -> dict[str, str]:
    """Our name -> the module's name in the file, of the heads that the network takes over."""
    deeplab = isinstance(model, DeepLabV2)
    foreign = gives_way(layout.num_classes, model.num_classes)
    wanted = TORCH_HEADS if deeplab else () if foreign else (CLASSIFIER,)
    return {head: module for head, module in layout.heads.items() if head in wanted}


def _is_taken(
    name: str, layout: Layout, heads: dict[str, str], reinit_heads: bool, state_dict: StateDict
) -> bool:
    """Whether an array has to have its place in the network."""
    module = name.partition(".")[0]
    drawn_anew = reinit_heads and module in layout.heads.values()
    foreign = module == layout.heads.get(CLASSIFIER)
    if module not in heads.values() and (drawn_anew or foreign or name in layout.left_out):
        return False
    # A count belongs to a norm; one that stands alone is left over.
    norm = layout.prefix + name.removesuffix(COUNTER) + "running_var"
    return not (is_counter(name) and norm in state_dict)


def _all_finite(array: np.ndarray) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating) and np.isfinite(array).all())


def _sentence(layout: Layout, model: Model) -> str:
    classes = _classes(layout, model)
    return f"{layout.title} with {classes} classes" if classes else layout.title


def _classes(layout: Layout, model: Model) -> int | None:
    """Outputs of the heads that the network would take over; None without any."""
    given_way = CLASSIFIER in layout.heads and CLASSIFIER not in _heads(layout, model)
    return None if given_way else layout.num_classes


def _network(model: Model) -> str:
    network = f"ResNet-{model.depth} of width {model.width}, {model.num_classes} classes"
    if isinstance(model, DeepLabV2):
        network += f", heads of {len(model.head_rates)} convolutions"
    return network


def _advice(layout: Layout, model: Model) -> str:
    """What to set, where only sizes that a configuration names differ."""
    keys = []
    if layout.depth != model.depth:
        keys.append(f"--config.model.depth={layout.depth}")
    if layout.width != model.width:
        keys.append(f"--config.model.width={layout.width}")
    convolutions = layout.head_convolutions
    if isinstance(model, DeepLabV2) and convolutions not in (None, len(model.head_rates)):
        keys.append(f"{convolutions} rates (--config.model.head_rates, convert: --head_rates)")
    if _classes(layout, model) not in (None, model.num_classes):
        keys.append("--config.reinit_heads=true to train new heads")
    if not keys:
        return "It is a checkpoint of another network."
    return "To take it all the same, set " + ", ".join(keys) + "."
