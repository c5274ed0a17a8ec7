"""`python -m msl_jax.convert`: weights between PyTorch's files and converted checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from msl_jax.convert import NetworkSpec, to_torch
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.deeplab import OFFICIAL_ACTIVE_DILATIONS, OFFICIAL_DILATIONS
from msl_jax.models.spec import conventions_of, keys_of, on_backbone
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute
from msl_jax.weights import find as weights_module
from msl_jax.weights import safetensors_files, torch_files
from msl_jax.weights.find import Weights
from msl_jax.weights.layouts import CLASSIFIER
from msl_jax.weights.registry import NAMES


def convert(
    source: str,
    output: str,
    *,
    active_dilations: tuple[int, ...] | None = None,
    stride_placement: str | None = None,
    input_convention: str | None = None,
) -> None:
    """Converts weights and says what they were recognised as.

    Args:
        source: as `msl_jax.weights.find.find` takes it.
        output: a ``.pth``, ``.pt`` or ``.safetensors`` file, otherwise a folder; does not exist.
        active_dilations: those that the heads sum; None: what the weights tell, otherwise 6 and 12.
        stride_placement: corrects what was recognised, which is only a convention for such files.
        input_convention: likewise.

    Raises:
        UserError: anything that the user can put right; then nothing is written.
    """
    target = absolute(output)
    if target.exists():
        raise UserError(f"{target} exists already and is not replaced; give another name")
    found = _corrected(_found(source), stride_placement, input_convention)
    if CLASSIFIER in found.heads and active_dilations is not None:
        raise UserError("--active_dilations: a classifier has no dilated heads; leave it out")
    if found.heads and CLASSIFIER not in found.heads:
        network = _with_dilations(found.network, active_dilations)
        found = dataclasses.replace(found, network=network)
    variables = _arrays(found)
    _write(target, found, variables)
    leaves = jax.tree.leaves(variables)
    print(f"{source}: {found.title}")
    print(f"{target}: {len(leaves)} arrays, {sum(leaf.size for leaf in leaves):,} numbers")
    known = {key.removeprefix("model."): value for key, value in found.network.keys().items()}
    print("Network: " + ", ".join(f"{key} {value}" for key, value in known.items()))
    if target.suffix.lower() in weights_module.FILE_SUFFIXES:
        names = NAMES[found.network.model["backbone"]]
        if note := names.note(found.network, found.heads):
            print(f"note: {note}")


def _found(source: str) -> Weights:
    """The weights, if there are public names for their network.

    Raises:
        UserError: nothing is there, or there are none.
    """
    found = weights_module.find(source)
    model = found.network.model
    if not on_backbone(model):
        raise UserError(
            f"{found.path} ({found.title}): config.model.network is {model['network']!r}, a network"
            " of this project for small images; expected 'classifier' or 'deeplab', for which"
            " PyTorch has names. It is not converted; its workdir itself can be given wherever"
            " weights are asked for."
        )
    if model["backbone"] not in NAMES:
        raise UserError(
            f"{found.path} ({found.title}): there are no public names for config.model.backbone="
            f"{model['backbone']}, only for {', '.join(NAMES)}; its workdir itself can be given"
            " wherever weights are asked for."
        )
    return found


def _corrected(
    found: Weights, stride_placement: str | None, input_convention: str | None
) -> Weights:
    """The weights with conventions that their user knows better than custom.

    Raises:
        UserError: their backbone has no such convention.
    """
    network = found.network
    if stride_placement is not None:
        name = network.model["backbone"]
        backbone = BACKBONES[name]
        if "stride_placement" not in backbone.KEYS:
            raise UserError(f"--stride_placement: a {name} has none; leave it out")
        if CLASSIFIER in found.heads and stride_placement != backbone.PUBLISHED["stride_placement"]:
            found = found.without_classifier("it reads features of the other stride placement")
            network = found.network
        model = {**network.model, "stride_placement": stride_placement}
        network = dataclasses.replace(network, model=model)
    if input_convention is not None:
        conventions = conventions_of(network.model)
        if input_convention not in conventions:
            raise UserError(
                f"--input_convention: expected one of {', '.join(map(str, conventions))} for a"
                f" {network.model['backbone']}, found {input_convention}"
            )
        network = dataclasses.replace(network, input_convention=input_convention)
    return dataclasses.replace(found, network=network)


def _with_dilations(network: NetworkSpec, wanted: tuple[int, ...] | None) -> NetworkSpec:
    """Says which dilations the heads have and sum.

    Raises:
        UserError: impossible, or otherwise than the weights tell.
    """
    known = network.model.get("active_dilations")
    if known is not None:
        if wanted not in (None, known):
            raise UserError(f"--active_dilations is {wanted}, the weights need {known}")
        return network
    active = wanted or OFFICIAL_ACTIVE_DILATIONS
    dilations = network.model.get("aspp_dilations", active)
    if not set(active) <= set(dilations):
        raise UserError(
            f"--active_dilations: expected some of {OFFICIAL_DILATIONS}, found {active}"
        )
    model = {**network.model, "aspp_dilations": dilations, "active_dilations": active}
    return dataclasses.replace(network, model=model)


def _arrays(found: Weights) -> dict[str, Any]:
    """The variables that the weights hold, every one accounted for."""
    network = found.network
    if not found.heads:  # any heads do: they are removed again
        heads = {"network": "deeplab", "aspp_dilations": (1,), "active_dilations": (1,)}
        model = {**network.model, **heads}
        # So do values of the keys that a backbone's weights leave open.
        open_keys = {name: key.from_scratch for name, key in keys_of(model).items()}
        network = dataclasses.replace(network, model={**open_keys, **model}, num_classes=1)
    variables = jax.tree.map(np.asarray, found.load(network.build()))
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
    write(target, to_torch(variables), found.description)
