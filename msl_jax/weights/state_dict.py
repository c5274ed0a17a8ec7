"""PyTorch state dicts to Flax variables and back: pure functions of NumPy arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from msl_jax.models import DeepLabV2, ImageClassifier
from msl_jax.models.initial import HEADS, abstract_variables, initial_heads
from msl_jax.runtime.errors import UserError
from msl_jax.weights.layouts import (
    CLASSIFIER,
    SEGMENTATION_HEADS,
    Layout,
    is_foreign_imagenet_head,
)
from msl_jax.weights.mismatch import expect_same_shapes
from msl_jax.weights.names import COUNTER, Path, flax_array, is_counter, torch_array, torch_shape
from msl_jax.weights.registry import NAMES, detect, names_of

StateDict = Mapping[str, np.ndarray]
Model = DeepLabV2 | ImageClassifier


def from_torch(
    state_dict: StateDict, model: Model, *, reinit_heads: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Variables of `model` from a state dict of PyTorch.

    Takes torchvision's ResNets, the DeepLab initialisation and DeepLabv2 checkpoints of the
    official code, AdaptSegNet and ADVENT, and what else `detect` recognises. It also tells the
    stride placement and the input convention that the weights need, which `model` should have.

    Heads that the file lacks are initialised at random. A published classifier is taken over by a
    classifier with its number of classes; ImageNet's 1000 are replaced by a new one otherwise.

    Args:
        state_dict: arrays by name. Kernels are `[out, in, kh, kw]`.
        model: gives names, shapes and the dtype of the result (`param_dtype`).
        reinit_heads: re-initialise all heads, also where the file has them.
        seed: of the heads that are initialised.

    Returns:
        ``{"params", "batch_stats"}``. Every number is the file's own, rounded where the model's
        dtype is narrower; counts of batches, which no forward pass reads, are dropped.

    Raises:
        UserError: the checkpoint is not recognised; or arrays are missing, left over, of another
            shape (one message lists all), or hold values other than finite floating-point numbers.

    >>> import jax
    >>> from msl_jax.models import ResNet, initial_variables
    >>> model = DeepLabV2(num_classes=3, backbone=ResNet(depth=14, width=4))
    >>> variables = initial_variables(model, seed=0)
    >>> again = from_torch(to_torch(variables), model)
    >>> bool(jax.tree.all(jax.tree.map(np.array_equal, variables, again)))
    True
    """
    layout = detect({name: np.shape(array) for name, array in state_dict.items()})
    heads = {} if reinit_heads else _heads(layout, model)
    abstract = abstract_variables(model)
    leaves = flatten_dict(abstract)
    paths = _paths(layout, model, heads, leaves)
    kept = [*heads.values(), *(m for m in layout.published if any(_within(n, [m]) for n in paths))]
    found = {
        name.removeprefix(layout.prefix): array
        for name, array in state_dict.items()
        if _is_taken(name.removeprefix(layout.prefix), layout, kept, reinit_heads, state_dict)
    }
    expect_same_shapes(
        {name: np.shape(array) for name, array in found.items()},
        {name: torch_shape(leaves[path].shape) for name, path in paths.items()},
        title=_misfit(layout, model),
        advice=_advice(layout, model),
    )
    broken = [name for name, array in found.items() if not _all_finite(np.asarray(array))]
    if broken:
        raise UserError(
            "arrays with values other than finite floating-point numbers"
            f" ({len(broken)}): {', '.join(broken)}"
        )
    converted = {
        path: jnp.asarray(flax_array(np.asarray(found[name])), model.param_dtype)
        for name, path in paths.items()
    }
    variables = unflatten_dict(converted)
    if new := {head for head in HEADS if head in abstract["params"]} - heads.keys():
        drawn = initial_heads(model, seed)
        variables["params"].update({head: drawn[head] for head in new})
    return variables


def to_torch(variables: Any) -> dict[str, np.ndarray]:
    """State dict with the names of public files; the inverse of `from_torch`.

    On a ResNet these are the names of the official code, or of torchvision's classifier.

    Args:
        variables: ``{"params", "batch_stats"}`` of a `DeepLabV2` or an `ImageClassifier`.

    Returns:
        Arrays by name, in PyTorch's layouts, without a prefix; no number is changed. The count of
        batches of each batch norm is 0, which PyTorch reads only for a momentum of None.

    Raises:
        UserError: the backbone has no names in public files.
    """
    leaves, state_dict = flatten_dict(variables), {}
    names = names_of(path[1:] for path in leaves)
    for path, leaf in leaves.items():
        name = str(names.name(path[1:]))
        state_dict[name] = torch_array(np.asarray(leaf))
        if name.endswith("running_var"):
            state_dict[name.replace("running_var", COUNTER)] = np.zeros((), np.int64)
    return state_dict


def _heads(layout: Layout, model: Model) -> dict[str, str]:
    """Our name -> the module's name in the file, of the heads that the network takes over."""
    found = layout.heads
    if isinstance(model, DeepLabV2):
        wanted: tuple[str, ...] = SEGMENTATION_HEADS
    else:
        foreign = is_foreign_imagenet_head(found.num_classes, model.num_classes)
        wanted = () if foreign else (CLASSIFIER,)
    return {head: module for head, module in found.modules.items() if head in wanted}


def _paths(
    layout: Layout, model: Model, heads: dict[str, str], leaves: Mapping[Path, Any]
) -> dict[str, Path]:
    """`{name in the file: our path}` of all arrays that the network takes over.

    Raises:
        UserError: the network stands on another backbone.
    """
    names, paths = NAMES[layout.backbone], {}
    for path in leaves:
        part, name = path[1], names.name(path[1:])
        if name is None:
            raise UserError(
                f"{_misfit(layout, model)} It has {'/'.join(path[1:])}, which is no array of a"
                f" {layout.backbone}. Set --config.model.backbone={layout.backbone}."
            )
        if part in heads:
            paths[heads[part] + name.removeprefix(names.heads[part])] = path
        elif part not in names.heads:
            paths[name] = path
    return paths


def _is_taken(
    name: str, layout: Layout, kept: Sequence[str], reinit_heads: bool, state_dict: StateDict
) -> bool:
    """Whether an array has to have its place in the network, which has the modules `kept`."""
    heads = layout.heads.modules.items()
    unwanted = [module for head, module in heads if reinit_heads or head == CLASSIFIER]
    unwanted += layout.published
    if not _within(name, kept) and (_within(name, unwanted) or name in layout.skipped):
        return False
    # A count belongs to a batch norm; one that stands alone is left over.
    variance = layout.prefix + name.removesuffix(COUNTER) + "running_var"
    return not (is_counter(name) and variance in state_dict)


def _within(name: str, modules: Collection[str]) -> bool:
    return name.startswith(tuple(f"{module}." for module in modules))


def _all_finite(array: np.ndarray) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.floating) and np.isfinite(array).all())


def _misfit(layout: Layout, model: Model) -> str:
    """Says that a file does not fit a network, and what both are."""
    classes = _classes(layout, model)
    found = f"{layout.title} with {classes} classes" if classes else layout.title
    backbone = getattr(model, "backbone", None)
    network = f"{backbone.title if backbone else 'no backbone'}, {model.num_classes} classes"
    if isinstance(model, DeepLabV2):
        network += f", heads of {len(model.aspp_dilations)} convolutions"
    return f"{found} does not fit the network: {network}."


def _classes(layout: Layout, model: Model) -> int | None:
    """Outputs of the heads that the network would take over; None without any."""
    skipped = CLASSIFIER in layout.heads.modules and CLASSIFIER not in _heads(layout, model)
    return None if skipped else layout.heads.num_classes


def _advice(layout: Layout, model: Model) -> str:
    """What to set, where only sizes that a configuration names differ."""
    keys = [
        f"--config.model.{key}={value}"
        for key, value in layout.seen.items()
        if getattr(model.backbone, key) != value
    ]
    count = layout.heads.convolutions
    if isinstance(model, DeepLabV2) and count not in (None, len(model.aspp_dilations)):
        keys.append(
            f"{count} dilations (--config.model.aspp_dilations, convert: --active_dilations)"
        )
    if _classes(layout, model) not in (None, model.num_classes):
        keys.append("--config.reinit_heads=true to train new heads")
    if not keys:
        return "It is a checkpoint of another network."
    return "To use it all the same, set " + ", ".join(keys) + "."
