"""`python -m msl_jax.convert`: weights between PyTorch's files and converted checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msl_jax.convert import Network, to_torch
from msl_jax.models.backbones.resnet import StridePlacement
from msl_jax.models.inputs import InputConvention
from msl_jax.models.spec import OFFICIAL_RATES
from msl_jax.runtime.errors import UserError
from msl_jax.weights import find as weights_module
from msl_jax.weights import safetensors_files, torch_files
from msl_jax.weights.find import Weights
from msl_jax.weights.layouts import CLASSIFIER

DEFAULT_ACTIVE_RATES = (6, 12)


def convert(
    source: str,
    output: str,
    *,
    head_rates: tuple[int, ...] | None = None,
    stride_placement: StridePlacement | None = None,
    input_convention: InputConvention | None = None,
) -> None:
    """Converts weights and says what they were recognised as.

    Args:
        source: as `msl_jax.weights.find.find` takes it.
        output: a ``.pth``, ``.pt`` or ``.safetensors`` file, otherwise a folder; does not exist.
        head_rates: rates that the heads sum; None: what the weights tell, otherwise 6 and 12.
        stride_placement: corrects what was recognised, which is but the custom for such files.
        input_convention: likewise.

    Raises:
        UserError: anything that the user can put right; then nothing is written.
    """
    target = Path(output)
    if target.exists():
        raise UserError(f"{target} exists already and is not replaced; give another name")
    found = weights_module.find(source)
    _expect_layout(found)
    if CLASSIFIER in found.heads and stride_placement == "caffe":
        found = found.without_classifier("it reads features of the other stride placement")
    network = dataclasses.replace(
        found.network,
        stride_placement=stride_placement or _stride_placement(found),
        input_convention=input_convention or found.network.input_convention,
    )
    if CLASSIFIER in found.heads:
        _expect_no_rates(head_rates)
    elif found.heads:
        network = _with_rates(network, head_rates)
    found = dataclasses.replace(found, network=network)
    variables = _arrays(found)
    _write(target, found, variables)
    leaves = jax.tree.leaves(variables)
    print(f"{source}: {found.title}")
    print(f"{target}: {len(leaves)} arrays, {sum(leaf.size for leaf in leaves):,} numbers")
    known = {k: v for k, v in dataclasses.asdict(network).items() if v is not None}
    print("Network: " + ", ".join(f"{key} {value}" for key, value in known.items()))
    if target.suffix.lower() in weights_module.FILE_SUFFIXES:
        _say_what_runs_it(found)


def _expect_layout(found: Weights) -> None:
    """Looks whether PyTorch has a network of this kind.

    Raises:
        UserError: it has none.
    """
    if found.run is not None and found.run.config["model"].get("network") == "small_resnet":
        raise UserError(
            f"{found.path} ({found.title}): config.model.network is 'small_resnet', a network of"
            " this project for small images; expected 'resnet' or 'deeplab', for which PyTorch has"
            " names. It is not converted; its workdir itself can be given wherever weights are"
            " asked for."
        )


def _expect_no_rates(rates: tuple[int, ...] | None) -> None:
    if rates is not None:
        raise UserError("--head_rates: a classifier has no heads of several rates; leave it out")


def _stride_placement(found: Weights) -> StridePlacement:
    """That of a classifier is torchvision's, whatever its configuration says."""
    return "torchvision" if CLASSIFIER in found.heads else found.network.stride_placement


def _say_what_runs_it(found: Weights) -> None:
    """Notes what is to be known of a file where PyTorch runs it."""
    network = found.network
    if CLASSIFIER in found.heads:
        feed = {"torchvision": "RGB, normalised as for ImageNet", "caffe": "BGR minus mean"}
        print(
            f"note: these are the names of torchvision's ResNet with {network.num_classes} classes;"
            f" feed {feed[network.input_convention]}"
        )
    elif network.stride_placement != "caffe":
        print(
            "note: the official code puts the stride elsewhere and feeds BGR minus mean; it loads"
            " this file, but does not compute this network"
        )


def _with_rates(network: Network, rates: tuple[int, ...] | None) -> Network:
    """Says which rates the heads have and sum.

    Raises:
        UserError: impossible, or otherwise than the weights tell.
    """
    if network.active_rates is not None:
        if rates not in (None, network.active_rates):
            raise UserError(f"--head_rates is {rates}, the weights need {network.active_rates}")
        return network
    active = rates or DEFAULT_ACTIVE_RATES
    if network.head_rates is None:
        return dataclasses.replace(network, head_rates=active, active_rates=active)
    if not set(active) <= set(network.head_rates):
        raise UserError(f"--head_rates: expected some of {OFFICIAL_RATES}, found {active}")
    return dataclasses.replace(network, active_rates=active)


def _arrays(found: Weights) -> dict[str, Any]:
    """The variables that the weights hold, every one accounted for."""
    network = found.network
    if not found.heads:  # any heads do: they are taken off again
        network = dataclasses.replace(network, num_classes=1, head_rates=(1,), active_rates=(1,))
    model = network.classifier() if CLASSIFIER in found.heads else network.model()
    variables = jax.tree.map(np.asarray, found.load(model))
    params = variables["params"]
    kept = {part: params[part] for part in params if part in ("backbone", *found.heads)}
    return {**variables, "params": kept}


def _write(target: Path, found: Weights, variables: dict[str, Any]) -> None:
    if target.suffix.lower() == ".safetensors":
        write = safetensors_files.write
    elif target.suffix.lower() in weights_module.FILE_SUFFIXES:
        write = torch_files.write
    else:
        weights_module.save(target, found, variables)
        return
    write(target, to_torch(variables), dataclasses.asdict(found.network))
